//! Who holds a watermark back, and which records are late: nothing but the partitions, their records and the ticks decide that.

use pelton::WatermarkStrategy;
use pelton::prelude::*;
use pelton::sim::{Simulation, simulate};
use pelton::sources::{Partition, Poll, Polled, Source};
use std::sync::Arc;
use std::time::Duration;

/// A unit of the scripts' time: much longer than a shard waits for its turn.
const UNIT: u64 = 10_000_000;

const fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

/// Yields each record when its moment has come: (virtual nanoseconds, event time).
#[derive(Clone)]
struct Scripted {
    partitions: Arc<[Vec<(u64, i64)>]>,
    ends: u64,
}

struct Script {
    records: Vec<(u64, i64)>,
    next: usize,
    ends: u64,
}

impl Source for Scripted {
    type Item = i64;
    type Partition = Script;

    fn partitions(&self, _: usize) -> usize {
        self.partitions.len()
    }

    fn open(&self, index: usize, _: usize) -> Script {
        Script { records: self.partitions[index].clone(), next: 0, ends: self.ends }
    }
}

impl Partition for Script {
    type Item = i64;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(i64)) -> Polled {
        let due = |record: &&(u64, i64)| record.0 <= poll.now.0;
        let records = self.records[self.next..].iter().take_while(due).take(poll.records_max);
        self.next += records.map(|(_, at)| out(*at)).count();
        if self.next == self.records.len() && poll.now.0 >= self.ends { Polled::Done } else { Polled::Open }
    }
}

fn scripted(partitions: Vec<Vec<(u64, i64)>>, ends: u64) -> Scripted {
    Scripted { partitions: partitions.into(), ends }
}

/// The times of the records that come too late for windows of 10 ns, and (start, records) of the windows.
fn run<S: Source<Item = i64>>(
    source: S,
    watermarks: WatermarkStrategy,
    simulation: &Simulation,
) -> (Vec<i64>, Vec<(i64, u64)>) {
    let (rows, late) = (collect(), collect());
    let job = Job::new("late");
    let (windows, strays) = job
        .source(source)
        .event_time(|at| EventTime(*at), watermarks)
        .key_by(|_| 0u64)
        .window(tumbling(nanos(10)))
        .aggregate_with_late(count());
    let _ = windows.map(|row| (row.window.start.0, row.value)).sink(rows.clone());
    let job = strays.sink(late.clone());
    simulate(&job, simulation).unwrap();
    let (mut late, mut rows) = (late.take(), rows.take());
    late.sort_unstable();
    rows.sort_unstable();
    (late, rows)
}

/// A shard that reads no partition has nothing to say, and must not have to say it.
#[test]
fn shards_without_a_partition_decide_nothing() {
    for shards in [1, 2, 3, 4, 8] {
        for seed in 0..60 {
            let source = from_iter(|| [100i64, 15, 16, 130]);
            let simulation = Simulation { seed, shards, records_max: 1, ..Simulation::default() };
            let (late, rows) = run(source, in_order(), &simulation);
            assert_eq!(late, [15, 16], "{simulation:?}");
            assert_eq!(rows, [(100, 1), (130, 1)], "{simulation:?}");
        }
    }
}

/// The orders of 0, 1, 2 and 3.
fn orders() -> Vec<[usize; 4]> {
    let all = (0..256).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3]);
    all.filter(|order| (0..4).all(|n| order.contains(&n))).collect()
}

/// A partition speaks for the first time when it has long been idle. It holds back what the others have not reached together by then,
/// with whomever it shares a shard: two of them are far ahead, and with one of those beside it, it was not heard.
#[test]
fn a_partition_that_speaks_after_idling_holds_back_whatever_shard_it_is_on() {
    let script = [
        vec![(UNIT, 20), (60 * UNIT, 21), (90 * UNIT, 70)],
        vec![(UNIT, 50), (60 * UNIT, 51), (90 * UNIT, 70)],
        vec![(UNIT, 50), (60 * UNIT, 51), (90 * UNIT, 70)],
        // At 75, when it is idle, the others have reached 21 together. At 90 it keeps them from 70.
        vec![(75 * UNIT, 32), (105 * UNIT, 45), (112 * UNIT, 41), (119 * UNIT, 38)],
    ];
    for shards in [1, 2, 3, 4, 8] {
        for order in orders() {
            let partitions = order.map(|index| script[index].clone()).to_vec();
            let simulation = Simulation { seed: shards as u64, shards, ..Simulation::default() };
            let watermarks = in_order().idle_after(nanos(70 * UNIT));
            let (late, rows) = run(scripted(partitions, 126 * UNIT), watermarks, &simulation);
            assert_eq!(late, [38], "{order:?}, {simulation:?}");
            assert_eq!(rows, [(20, 2), (30, 1), (40, 2), (50, 4), (70, 3)], "{order:?}, {simulation:?}");
        }
    }
}

/// Counts in windows of 50 ms by the clock: (start of the window, records), in the order in which they came.
fn by_the_clock<S: Source<Item = i64>>(source: S) -> (Job, pelton::sinks::Collect<(i64, u64)>) {
    let rows = collect();
    let counts = Job::new("clock")
        .source(source)
        .ingestion_time()
        .key_by(|_| 0u64)
        .window(tumbling(millis(50)))
        .count();
    (counts.map(|row| (row.window.start.0, row.value)).sink(rows.clone()), rows)
}

/// With nothing to do, a job whose time is the clock's makes no ticks; and a window that waits for its end closes in time.
#[test]
fn the_clock_makes_ticks_only_for_those_who_wait() {
    for seed in 0..20 {
        // A burst, three seconds of nothing, and another burst.
        let script = vec![vec![(UNIT, 1), (UNIT, 2), (2 * UNIT, 3), (300 * UNIT, 4)], Vec::new()];
        let (job, rows) = by_the_clock(scripted(script, 600 * UNIT));
        let recording = simulate(&job, &Simulation { seed, shards: 3, ..Simulation::default() }).unwrap();
        let entries: Vec<_> = recording.logs.iter().flatten().collect();
        // For each shard a first tick and a last one, those of the records, and for each of some three windows one of each shard.
        assert!(entries.len() < 20, "seed {seed}: {} ticks in six seconds", entries.len());
        for log in &recording.logs {
            assert!(log.windows(2).all(|pair| pair[0].wall <= pair[1].wall), "seed {seed}: time falls");
        }
        let rows = rows.take();
        assert_eq!(rows.iter().map(|row| row.1).sum::<u64>(), 4, "seed {seed}");
        for (start, _) in rows {
            // The clock is put forward by up to 50 ms now and then.
            let in_time = start + 50_000_000..start + 110_000_000;
            assert!(entries.iter().any(|entry| in_time.contains(&entry.wall.0)), "seed {seed}: {start}");
        }
    }
}

/// Windows of the clock lie where the clock on the wall says.
#[test]
fn ingestion_time_is_the_time_of_day() {
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let (job, rows) = by_the_clock(from_iter(|| 0..100));
    let before = now();
    job.run_with(&Config { shards: 2, driver: pelton::config::DriverKind::Threads, ..Config::default() })
        .unwrap();
    let (rows, after) = (rows.take(), now());
    assert_eq!(rows.iter().map(|row| row.1).sum::<u64>(), 100);
    for (start, _) in rows {
        assert!(
            start > before - 60_000_000 && start <= after,
            "{before} to {after}, and a window of {start}"
        );
    }
}

/// Sets a timer of the clock for each record, so many nanoseconds later: (set for, fired at).
#[derive(Clone)]
struct Delayed(u64);

impl ProcessFunction<u64, i64> for Delayed {
    type State = ();
    type Out = (EventTime, EventTime);
    const PROCESSING_TIMERS: bool = true;

    fn record(&self, at: i64, _: (), key: &mut KeyContext<'_, u64, Self::Out>) {
        let due = key.processing_time() + nanos(self.0);
        key.set_processing_timer(due, at as u64);
    }

    fn timer(&self, timer: FiredTimer, _: (), key: &mut KeyContext<'_, u64, Self::Out>) {
        assert_eq!(timer.kind, TimerKind::Processing);
        let row = (timer.at, key.processing_time());
        key.emit(row);
    }
}

/// Behind one exchange and behind three, on shards that have no source, with nothing else going on: the job makes a tick when a timer is due,
/// and hardly any other.
#[test]
fn a_tick_is_made_for_a_timer_of_the_clock() {
    for (seed, far) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let script = vec![vec![(UNIT, 1), (2 * UNIT, 3), (300 * UNIT, 4)], Vec::new()];
        let rows = collect();
        let records = Job::new("delayed").source(scripted(script, 600 * UNIT));
        let delay = 50 * UNIT;
        let job = if far {
            let records = records.rebalance().map(|n| n).rebalance();
            records.key_by(|n| *n as u64).process(Delayed(delay)).sink(rows.clone())
        } else {
            records.key_by(|n| *n as u64).process(Delayed(delay)).sink(rows.clone())
        };
        let recording = simulate(&job, &Simulation { seed, shards: 3, ..Simulation::default() }).unwrap();
        let rows = rows.take();
        assert_eq!(rows.len(), 3, "seed {seed}");
        for (due, fired) in rows {
            // The clock is put forward by up to 50 ms now and then.
            assert!(due <= fired && fired.0 < due.0 + 60_000_000, "seed {seed}: {due:?}, {fired:?}");
        }
        let entries = recording.logs.iter().map(Vec::len).sum::<usize>();
        assert!(entries < 30, "seed {seed}: {entries} ticks in six seconds");
    }
}

/// How long after its time a timer fires on a machine that does nothing else, by the clock of the tick that it fires in, and by that on the
/// wall when its row is shown.
#[test]
#[ignore = "measures"]
fn how_soon_timers_fire() {
    use std::time::SystemTime;
    for shards in [1, 2] {
        let (sender, source) = channel::<i64>(100);
        let late = fold(
            Vec::new(),
            |late, row| late.push(row),
            |mut a: Vec<_>, b| {
                a.extend(b);
                a
            },
        );
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i64;
        let job = Job::new("soon")
            .source(source)
            .key_by(|n| *n as u64)
            .process(Delayed(20_000_000))
            .map(move |(due, fired)| (fired.0 - due.0, now() - due.0))
            .sink(late.clone());
        let running = job.start_with(&Config { shards, ..Config::default() }).unwrap();
        for number in 0..200 {
            sender.send(number).unwrap();
            std::thread::sleep(Duration::from_millis(27));
        }
        drop(sender);
        running.wait().unwrap();
        let late = late.take();
        for (what, mut nanos) in [
            ("tick", late.iter().map(|l| l.0).collect::<Vec<_>>()),
            ("row", late.iter().map(|l| l.1).collect()),
        ] {
            nanos.sort_unstable();
            let at = |part: f64| nanos[((nanos.len() - 1) as f64 * part) as usize] as f64 / 1e3;
            eprintln!(
                "{shards} shards, {what}: p50 {:.0}, p90 {:.0}, p99 {:.0}, max {:.0} us",
                at(0.5),
                at(0.9),
                at(0.99),
                at(1.0)
            );
        }
    }
}
