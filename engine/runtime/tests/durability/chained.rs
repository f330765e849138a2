//! Operators within chains, over restarts and changes of the job.

use crate::changed::{Pace, refusal, slow};
use crate::support::{Counted, Scratch, config};
use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sinks::Collect;
use std::collections::BTreeMap;

const NUMBERS: u64 = 300_000;

/// Adds up the rows of a key so far, and lists those of the last five seconds.
#[derive(Clone)]
struct Total;

/// (key, second, total, counts of the last five seconds)
type Totals = (u64, i64, u64, Vec<u64>);

impl ProcessFunction<u64, Counted> for Total {
    type State = (ValueState<u64>, Expiring<MapState<EventTime, u64>>);
    type Out = Totals;

    fn state(&self) -> Self::State {
        (ValueState::default(), Expiring::after(Ttl::event_time(secs(5))))
    }

    fn record(
        &self,
        row: Counted,
        (total, mut recent): StateOf<'_, u64, Self::State>,
        key: &mut KeyContext<'_, u64, Totals>,
    ) {
        let total = total.get_or_insert_default();
        *total += row.value;
        recent.put(row.window.start, row.value);
        let recent = recent.iter().map(|(_, count)| *count).collect();
        key.emit((row.key, row.window.start.as_secs(), *total, recent));
    }
}

/// Counts what passes.
#[derive(Clone)]
struct Passed;

impl ProcessFunction<u64, Counted> for Passed {
    type State = ValueState<u64>;
    type Out = Counted;

    fn record(&self, row: Counted, passed: &mut Option<u64>, key: &mut KeyContext<'_, u64, Counted>) {
        *passed.get_or_insert_default() += 1;
        key.emit(row);
    }
}

/// What stands around the operator of the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    /// It is within the chain of the windows, alone.
    Nothing,
    /// There are others before and behind it.
    More,
    /// It is behind an exchange.
    Exchange,
}

fn job(pace: &Pace, around: Around, rows: &Collect<Totals>) -> Job {
    let pace = pace.clone();
    let counts = Job::new("chained")
        .source(generate(move |w, of| (w as u64..NUMBERS).step_by(of)).partitions(3))
        .uid("numbers")
        .inspect(move |_, n| pace.keep(*n))
        .event_time(|n| EventTime::from_millis(*n as i64), in_order())
        .key_by(|n| n % 97)
        .window(tumbling(secs(1)))
        .count()
        .uid("counts");
    match around {
        Around::Nothing => {
            counts.keyed_as(|row| row.key).process(Total).uid("totals").sink_with_uid("rows", rows.clone())
        }
        Around::Exchange => {
            counts.key_by(|row| row.key).process(Total).uid("totals").sink_with_uid("rows", rows.clone())
        }
        Around::More => {
            let passed = counts.keyed_as(|row| row.key).process(Passed).uid("passed");
            let totals = passed.keyed_as(|row| row.key).process(Total).uid("totals");
            totals
                .keyed_as(|row| row.0)
                .deduplicate(millis(1))
                .uid("once")
                .sink_with_uid("rows", rows.clone())
        }
    }
}

fn twin() -> Vec<Totals> {
    let mut counts: BTreeMap<(u64, i64), u64> = BTreeMap::new();
    (0..NUMBERS).for_each(|n| *counts.entry((n % 97, n as i64 / 1_000)).or_default() += 1);
    let mut totals: BTreeMap<u64, u64> = BTreeMap::new();
    let row = |(&(key, second), count): (&(u64, i64), &u64)| {
        let total = totals.entry(key).or_default();
        *total += count;
        let recent = counts.range((key, second - 4)..=(key, second)).map(|(_, count)| *count).collect();
        (key, second, *total, recent)
    };
    counts.iter().map(row).collect()
}

#[test]
fn each_row_comes_once_whatever_is_stopped() {
    let (scratch, rows, pace) = (Scratch::new("chained"), collect(), Pace::default());
    pace.let_go();
    let job = job(&pace, Around::More, &rows);
    let (mut seen, mut ended, mut rounds) = (BTreeMap::new(), false, 0);
    while !ended {
        let mut config = config(scratch.path(), Durability::Process, [2, 3, 1, 8, 4][rounds % 5]);
        config.checkpoint.interval_s = 1;
        let running = job.start_with(&config).unwrap();
        ended = running.wait_for(Duration::from_millis(10 + rounds as u64 % 5 * 30));
        if !ended && rounds % 3 == 0 {
            drop(running.checkpoint(None)); // unless the job ends first
        }
        running.stop(if rounds % 4 == 1 { Stop::Suspend } else { Stop::Now });
        running.wait().unwrap();
        for row in rows.take_named() {
            let before = seen.insert((row.tick, row.shard, row.seq), row.row.clone());
            assert!(before.is_none_or(|before| before == row.row), "another row came again as {:?}", row.row);
        }
        rounds += 1;
        assert!(rounds < 500, "it does not end");
    }
    let mut found: Vec<Totals> = seen.into_values().collect();
    found.sort();
    assert_eq!(found, twin());
}

/// Keeps numbers of each key for a while, by the one clock or the other, under `S`.
#[derive(Clone)]
struct Passing<S>(Ttl, std::marker::PhantomData<fn() -> S>);

impl<S: Record + Clone + Ord + From<u32>> ProcessFunction<u64, u64> for Passing<S> {
    type State = Expiring<MapState<S, u64>>;
    type Out = ();

    fn state(&self) -> Self::State {
        Expiring::after(self.0)
    }

    fn record(&self, n: u64, mut map: StateOf<'_, u64, Self::State>, _: &mut KeyContext<'_, u64, ()>) {
        map.put(S::from(n as u32 % 100), n);
    }
}

#[test]
fn another_clock_or_another_key_of_a_map_is_refused() {
    fn passing<S: Record + Clone + Ord + From<u32>>(pace: &Pace, ttl: Ttl) -> Job {
        let pace = pace.clone();
        Job::new("passing")
            .source(generate(move |w, of| (w as u64..NUMBERS).step_by(of)).partitions(2))
            .uid("numbers")
            .inspect(move |_, n| pace.keep(*n))
            .event_time(|n| EventTime::from_millis(*n as i64), in_order())
            .key_by(|n| n % 97)
            .process(Passing::<S>(ttl, std::marker::PhantomData))
            .uid("passing")
            .sink_with_uid("nothing", for_each(drop))
    }
    let (scratch, pace) = (Scratch::new("chained-clock"), Pace::default());
    let config = slow(scratch.path(), 2);
    let running = passing::<u32>(&pace, Ttl::event_time(secs(1))).start_with(&config).unwrap();
    while running.progress().total.records_in < 1_000 {}
    running.stop(Stop::Suspend);
    running.wait().unwrap();
    let refused = refusal(&passing::<u32>(&pace, Ttl::processing_time(secs(1))), &config);
    assert!(refused.contains("expired in event time") && refused.contains("drop_state"), "{refused}");
    let refused = refusal(&passing::<u64>(&pace, Ttl::event_time(secs(1))), &config);
    assert!(refused.contains("`passing`") && refused.contains("drop_state"), "{refused}");
    // Another time to live is none of that.
    pace.let_go();
    passing::<u32>(&pace, Ttl::event_time(secs(2))).start_with(&config).unwrap().wait().unwrap();
}

#[test]
fn operators_within_chains_come_and_go() {
    use Around::{Exchange, More, Nothing};
    for (before, after) in [(2, 2), (1, 3), (3, 2)] {
        let (scratch, rows, pace) = (Scratch::new("chained-changed"), collect(), Pace::default());
        let mut found = Vec::new();
        for (around, shards) in
            [(Nothing, before), (More, after), (Nothing, before), (Exchange, after), (Nothing, after)]
        {
            pace.hold_back();
            let job = job(&pace, around, &rows);
            let mut config = slow(scratch.path(), shards);
            if around != More {
                config.drop_state = vec!["passed".to_owned(), "once".to_owned()];
            }
            let running = job.start_with(&config).unwrap();
            let notes = running.notes().join("\n");
            if around == More {
                assert!(notes.contains("`passed` (process) is new"), "{notes}");
            }
            let stop = found.len() + 1_000;
            while found.len() < stop {
                found.append(&mut rows.take());
                std::thread::sleep(Duration::from_millis(1));
            }
            running.stop(Stop::Suspend);
            running.wait().unwrap();
            found.append(&mut rows.take());
        }
        pace.let_go();
        let last = job(&pace, Nothing, &rows);
        last.start_with(&slow(scratch.path(), after)).unwrap().wait().unwrap();
        found.append(&mut rows.take());
        found.sort();
        assert_eq!(found, twin(), "from {before} to {after} shards");
    }
}
