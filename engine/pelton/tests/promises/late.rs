//! Records beyond the bound: none is lost, each is counted once, and which ones are late follows from their own partition.

use crate::check::{check, check_by, config, same_rows, simulated};
use crate::data::{Chance, Event, at, events, nanos, windows_of};
use pelton::config::DriverKind;
use pelton::flow::Flow;
use pelton::prelude::*;
use pelton::sim::Simulation;
use pelton::sinks::Collect;
use pelton::sources::{Partition, Poll, Polled, Source};
use pelton::{Stream, Timed};
use std::sync::Arc;

/// Row of a window (its start, key, count, sum) or a late record (`i64::MIN`, key, time, value).
pub type Row = (i64, u64, i64, i64);

pub const LATE: i64 = i64::MIN;

/// Windows of `events` with a bound that many of them break, and the late ones, in one sink.
fn job(events: &[Event], size: u64, slide: u64, bound: u64) -> (Job, Collect<Row>) {
    let rows = collect();
    let (windows, late) = Job::new("late")
        .source(from_vec(events.to_vec()))
        .event_time(at, out_of_order(nanos(bound)))
        .key_by(|e| e.key)
        .window(hopping(nanos(size), nanos(slide)))
        .aggregate_with_late((count(), sum(|e: &Event| e.value)));
    let _ = late.map(|e| -> Row { (LATE, e.key, e.time, e.value) }).sink(rows.clone());
    let job =
        windows.map(|w| -> Row { (w.window.start.0, w.key, w.value.0 as i64, w.value.1) }).sink(rows.clone());
    (job, rows)
}

#[test]
fn late_and_on_time_are_all() {
    for (seed, bound) in [(50, 0), (51, 100), (52, 200)] {
        let events = events(seed, 800, 10);
        let (job, rows) = job(&events, 50, 50, bound);
        let seen = std::cell::Cell::new(0);
        check_by(&job, &rows, |found| {
            let (late, windows): (Vec<&Row>, Vec<&Row>) = found.iter().partition(|row| row.0 == LATE);
            // Each record is in its window or late, never both: per key, the counts and the sums add up.
            for key in 0..10 {
                let of = |rows: &[&Row], f: fn(&Row) -> i64| {
                    rows.iter().filter(|r| r.1 == key).map(|r| f(r)).sum::<i64>()
                };
                let all: Vec<_> = events.iter().filter(|e| e.key == key).collect();
                let late_here = late.iter().filter(|r| r.1 == key).count() as i64;
                assert_eq!(of(&windows, |r| r.2) + late_here, all.len() as i64);
                assert_eq!(
                    of(&windows, |r| r.3) + of(&late, |r| r.3),
                    all.iter().map(|e| e.value).sum::<i64>()
                );
            }
            // A late record is one of the input, whole, and no two are the same one.
            let mut late: Vec<_> = late.into_iter().copied().collect();
            late.sort();
            for run in late.chunk_by(|a, b| a == b) {
                let (_, key, time, value) = run[0];
                let same = events.iter().filter(|e| (e.key, e.time, e.value) == (key, time, value)).count();
                assert!(run.len() <= same, "{run:?} of {same}");
            }
            seen.set(seen.get() + late.len());
        });
        assert!(seen.get() > 100, "the bound was broken");
    }
}

/// On one shard, with one record in each tick, what is late follows from the definition.
#[test]
fn late_records_are_those_that_the_definition_says() {
    for (seed, size, slide, bound) in [(53, 300, 300, 50), (54, 300, 100, 0), (55, 250, 100, 200)] {
        let events = events(seed, 500, 5);
        let (job, rows) = job(&events, size, slide, bound);
        let (mut watermark, mut late, mut windows) = (i64::MIN, Vec::new(), Vec::new());
        for event in &events {
            // A record is added to those of its windows that have not closed.
            let open =
                windows_of(size as i64, slide as i64, event.time).into_iter().filter(|w| w.end.0 > watermark);
            let open: Vec<_> = open.collect();
            if open.is_empty() {
                late.push((LATE, event.key, event.time, event.value));
            }
            windows.extend(open.into_iter().map(|window| (window.start.0, event.key, 1, event.value)));
            watermark = watermark.max(event.time - bound as i64);
        }
        windows.sort();
        let merge = |run: &[Row]| (run[0].0, run[0].1, run.len() as i64, run.iter().map(|r| r.3).sum());
        let mut twin: Vec<Row> = windows.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).map(merge).collect();
        assert!(late.len() > 20);
        twin.extend(late);
        let settings = Simulation { seed, shards: 1, records_max: 1, ..Simulation::default() };
        let (_, found) = simulated(&job, &rows, &settings);
        same_rows(&found.into_iter().map(|row| row.row).collect::<Vec<_>>(), &twin);
    }
}

/// The counter says what the side output says; without a side output it still counts.
#[test]
fn late_records_are_counted() {
    let mut events = events(56, 2_000, 10);
    // Partitions apart by far more than the bound, within one source partition.
    let mut chance = Chance(57);
    events.iter_mut().for_each(|e| e.time -= chance.below(2) as i64 * 5_000);
    for (cores, shards) in [(1, 1), (2, 3)] {
        let config = config(DriverKind::Threads, cores, shards, 32, 65_536);
        let (with, rows) = job(&events, 300, 300, 500);
        let counted = with.run_with(&config).unwrap().total.late;
        let late = rows.take().into_iter().filter(|row| row.0 == LATE).count();
        assert!(late > 100);
        assert_eq!(counted, late as u64);

        let rows = collect();
        let without = Job::new("lost")
            .source(from_vec(events.clone()))
            .event_time(at, out_of_order(nanos(500)))
            .key_by(|e| e.key)
            .window(tumbling(nanos(300)))
            .count()
            .sink(rows.clone());
        let counted = without.run_with(&config).unwrap().total.late;
        let in_time: u64 = rows.take().into_iter().map(|row| row.value).sum();
        assert_eq!(in_time + counted, events.len() as u64);
    }
}

/// Events in partitions of their own, however many shards there are.
#[derive(Clone)]
pub struct Parts(pub Arc<Vec<Vec<Event>>>);

pub struct Part {
    of: Parts,
    index: usize,
    next: usize,
}

impl Source for Parts {
    type Item = Event;
    type Partition = Part;

    fn partitions(&self, _: usize) -> usize {
        self.0.len()
    }

    fn open(&self, index: usize, _: usize) -> Part {
        Part { of: self.clone(), index, next: 0 }
    }
}

impl Partition for Part {
    type Item = Event;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(Event)) -> Polled {
        let left = &self.of.0[self.index][self.next..];
        self.next += left.iter().take(poll.records_max).map(|event| out(event.clone())).count();
        if self.next == self.of.0[self.index].len() { Polled::Done } else { Polled::Open }
    }
}

/// Three partitions that are far apart in time, each with disorder of its own.
pub fn parts(seed: u64) -> Parts {
    let apart = [0, 700, 4_000];
    let part = |(number, ahead): (u64, i64)| {
        let mut events = events(seed * 3 + number, 200, 5);
        events.iter_mut().for_each(|event| event.time += ahead);
        events
    };
    Parts(Arc::new((0..).zip(apart).map(part).collect()))
}

/// Every record with the watermark that its partition has come to before it.
pub fn reached(parts: &Parts, bound: i64) -> Vec<(Event, i64)> {
    let mut all = Vec::new();
    for part in &*parts.0 {
        let mut watermark = i64::MIN;
        for event in part {
            all.push((event.clone(), watermark));
            watermark = watermark.max(event.time - bound);
        }
    }
    all
}

/// What windows come to of records that count for those windows alone that end after what their partition has come to, and the late records.
fn twin_of(records: &[(Event, i64)], size: i64, slide: i64) -> Vec<Row> {
    let (mut late, mut windows) = (Vec::new(), Vec::new());
    for (event, watermark) in records {
        let open = windows_of(size, slide, event.time).into_iter().filter(|w| w.end.0 > *watermark);
        let open: Vec<_> = open.collect();
        if open.is_empty() {
            late.push((LATE, event.key, event.time, event.value));
        }
        windows.extend(open.into_iter().map(|window| (window.start.0, event.key, 1, event.value)));
    }
    windows.sort();
    let merge = |run: &[Row]| (run[0].0, run[0].1, run.len() as i64, run.iter().map(|r| r.3).sum());
    let rows = windows.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).map(merge);
    rows.chain(late).collect()
}

/// The ways that records go before they are windowed: their times stay theirs.
#[derive(Clone, Copy)]
enum Way {
    Straight,
    Spread,
    Forked,
    /// A process function lets each out again, and the windows are in its chain.
    Processed,
    /// They have another time before, by which most of them are overdue.
    TimedAnew,
}

/// Lets out what it is given.
#[derive(Clone)]
struct Again;

impl ProcessFunction<u64, Event> for Again {
    type State = ();
    type Out = Event;

    fn record(&self, event: Event, (): (), key: &mut KeyContext<'_, u64, Event>) {
        key.emit(event);
    }
}

fn windowed<F: Flow<Item = Event> + Timed>(
    events: Stream<F>,
    (size, slide): (u64, u64),
    rows: &Collect<Row>,
) -> Job {
    let windows = hopping(nanos(size), nanos(slide));
    let aggregate = (count(), sum(|e: &Event| e.value));
    let (windows, late) = events.key_by(|e| e.key).window(windows).aggregate_with_late(aggregate);
    let _ = late.map(|e| -> Row { (LATE, e.key, e.time, e.value) }).sink(rows.clone());
    windows.map(|w| -> Row { (w.window.start.0, w.key, w.value.0 as i64, w.value.1) }).sink(rows.clone())
}

/// Rows and late records are the same with any shards, ticks, cores and speeds, though partitions are further apart than the bound by far.
#[test]
fn what_is_late_follows_from_the_partition() {
    for (seed, (size, slide), bound, way) in [
        (60, (300, 300), 50, Way::Straight),
        (61, (300, 100), 0, Way::Straight),
        (62, (1_000, 70), 20, Way::Straight),
        (63, (400, 150), 100, Way::Spread),
        (64, (400, 150), 50, Way::Forked),
        (65, (400, 150), 50, Way::Processed),
        (66, (400, 150), 50, Way::TimedAnew),
    ] {
        let (parts, rows) = (parts(seed), collect());
        let mut records = reached(&parts, bound as i64);
        let holding = |(event, _): &(Event, i64)| windows_of(size as i64, slide as i64, event.time).len();
        let all: usize = records.iter().map(holding).sum();
        if matches!(way, Way::Forked) {
            records.extend(records.clone());
        }
        let twin = twin_of(&records, size as i64, slide as i64);
        let counted: i64 = twin.iter().filter(|row| row.0 != LATE).map(|row| row.2).sum();
        assert!((counted as usize) < records.len() / 600 * all - 20, "{seed}: {counted} of {all}");
        let (job, watermarks) = (Job::new("late"), out_of_order(nanos(bound)));
        if matches!(way, Way::TimedAnew) {
            let before = job.source(parts).event_time(|e| EventTime(e.value), in_order());
            let job = windowed(before.event_time(at, watermarks), (size, slide), &rows);
            check(&job, &rows, twin);
            continue;
        }
        let events = job.source(parts).event_time(at, watermarks);
        let job = match way {
            Way::TimedAnew => unreachable!("it has been checked"),
            Way::Straight => windowed(events, (size, slide), &rows),
            Way::Spread => windowed(events.rebalance(), (size, slide), &rows),
            Way::Forked => {
                let (left, right) = events.fork();
                windowed(left.union(right.filter(|_| true).rebalance()), (size, slide), &rows)
            }
            Way::Processed => {
                let events = events.key_by(|e| e.key).process(Again);
                let windows = hopping(nanos(size), nanos(slide));
                let aggregate = (count(), sum(|e: &Event| e.value));
                let (windows, late) =
                    events.keyed_as(|e| e.key).window(windows).aggregate_with_late(aggregate);
                let _ = late.map(|e| -> Row { (LATE, e.key, e.time, e.value) }).sink(rows.clone());
                windows
                    .map(|w| -> Row { (w.window.start.0, w.key, w.value.0 as i64, w.value.1) })
                    .sink(rows.clone())
            }
        };
        check(&job, &rows, twin);
    }
}

/// Both sides of a join: each by its own partitions, though the window closes with the slower side.
#[test]
fn a_join_is_late_by_each_side() {
    let (left, right, bound, (size, slide)) = (parts(70), parts(71), 50, (400, 150));
    let rows = collect();
    let of = |rows: Vec<Row>, side: usize| {
        let windows = rows.iter().filter(|row| row.0 != LATE).map(|row| ((row.0, row.1), row.2));
        let late = rows.iter().filter(|row| row.0 == LATE).map(|row| (LATE, row.1, side as i64, row.3));
        (windows.collect::<std::collections::BTreeMap<_, _>>(), late.collect::<Vec<Row>>())
    };
    let (lefts, mut twin) = of(twin_of(&reached(&left, bound), size, slide), 0);
    let (rights, late) = of(twin_of(&reached(&right, bound), size, slide), 1);
    assert!(twin.len() > 20 && late.len() > 20);
    twin.extend(late);
    let both = lefts.iter().filter_map(|(of, count)| Some((of.0, of.1, *count, *rights.get(of)?)));
    twin.extend(both);

    let job = Job::new("late on either side");
    let watermarks = || out_of_order(nanos(bound as u64));
    let side = |events: Parts| job.source(events).event_time(at, watermarks()).key_by(|e: &Event| e.key);
    let (joined, left, right) = side(left)
        .join(side(right))
        .window(hopping(nanos(size as u64), nanos(slide as u64)))
        .aggregate_with_late(count(), count());
    let _ = left.map(|e| -> Row { (LATE, e.key, 0, e.value) }).sink(rows.clone());
    let _ = right.map(|e| -> Row { (LATE, e.key, 1, e.value) }).sink(rows.clone());
    let job = joined
        .map(|w| -> Row { (w.window.start.0, w.key, w.value.0 as i64, w.value.1 as i64) })
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// A sort puts all in order that is no older than what its partition had come to.
#[test]
fn a_sort_is_late_by_the_partition() {
    let (parts, bound, rows) = (parts(80), 50, collect());
    let twin: Vec<Row> = reached(&parts, bound)
        .iter()
        .map(|(e, watermark)| (if e.time < *watermark { LATE } else { 0 }, e.key, e.time, e.value))
        .collect();
    assert!(twin.iter().filter(|row| row.0 == LATE).count() > 50);
    let (sorted, late) = Job::new("sorted")
        .source(parts)
        .event_time(at, out_of_order(nanos(bound as u64)))
        .map(|e| (e.time, e.key, e.value))
        .key_by(|e| e.1)
        .sort_with_late();
    let _ = late.map(|e| -> Row { (LATE, e.1, e.0, e.2) }).sink(rows.clone());
    let job = sorted.map(|e| -> Row { (0, e.1, e.0, e.2) }).sink(rows.clone());
    check(&job, &rows, twin);
}

/// So does what is too old to be told from a duplicate.
#[test]
fn what_may_be_a_duplicate_is_late_by_the_partition() {
    const HORIZON: i64 = 100;
    let (mut parts, bound, rows) = (parts(90), 50, collect());
    // Keys of one partition each: which of several partitions is first is another question.
    for (number, part) in (0..).zip(Arc::make_mut(&mut parts.0)) {
        part.iter_mut().for_each(|e| e.key += 5 * number);
    }
    let (mut twin, mut passed): (Vec<Row>, Vec<(u64, i64)>) = (Vec::new(), Vec::new());
    for (e, watermark) in reached(&parts, bound) {
        let known = watermark.div_euclid(HORIZON).saturating_mul(HORIZON);
        let (overdue, remembered) = (e.time < watermark, known.saturating_sub(HORIZON));
        let is_same = |(key, time): &(u64, i64)| {
            *key == e.key && (time - e.time).abs() < HORIZON && (!overdue || *time >= remembered)
        };
        if passed.iter().any(is_same) {
            continue;
        }
        if overdue && e.time < known {
            twin.push((LATE, e.key, e.time, e.value));
        } else {
            passed.push((e.key, e.time));
            twin.push((0, e.key, e.time, e.value));
        }
    }
    assert!(twin.iter().filter(|row| row.0 == LATE).count() > 20);
    let (first, late) = Job::new("first")
        .source(parts)
        .event_time(at, out_of_order(nanos(bound as u64)))
        .key_by(|e| e.key)
        .deduplicate_with_late(nanos(HORIZON as u64));
    let _ = late.map(|e| -> Row { (LATE, e.key, e.time, e.value) }).sink(rows.clone());
    let job = first.map(|e| -> Row { (0, e.key, e.time, e.value) }).sink(rows.clone());
    check(&job, &rows, twin);
}

/// What is added up before it crosses counts by the records.
#[test]
fn what_is_added_up_is_late_by_the_partition() {
    let (parts, bound, (size, slide), rows) = (parts(95), 50, (400, 150), collect());
    let records = reached(&parts, bound);
    let mut twin: Vec<Row> = twin_of(&records, size, slide).into_iter().filter(|row| row.0 != LATE).collect();
    twin.sort();
    let job = Job::new("added up")
        .source(parts)
        .event_time(at, out_of_order(nanos(bound as u64)))
        .key_by(|e| e.key)
        .window(hopping(nanos(size as u64), nanos(slide as u64)))
        .aggregate(pelton::aggregate::pre_aggregated((count(), sum(|e: &Event| e.value))))
        .map(|w| -> Row { (w.window.start.0, w.key, w.value.0 as i64, w.value.1) })
        .sink(rows.clone());
    check(&job, &rows, twin);
    let late = twin_of(&records, size, slide).iter().filter(|row| row.0 == LATE).count() as u64;
    let counted = job.run_with(&config(DriverKind::Threads, 2, 3, 64, 65_536)).unwrap().total.late;
    assert_eq!(counted, late);
}
