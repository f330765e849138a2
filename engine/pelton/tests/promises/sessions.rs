//! Sessions, against a twin that sorts all records of a key and looks for the pauses.

use crate::check::{check, simulated};
use crate::data::{Chance, Event, at, disorder, events, nanos};
use crate::late::{LATE, Parts, Row, parts, reached};
use pelton::prelude::*;
use pelton::sim::Simulation;
use pelton::sinks::Collect;

/// Rows of (start, key, end, count and sum in one number).
fn row(start: i64, end: i64, key: u64, count: u64, sum: i64) -> Row {
    (start, key, end, count as i64 * 1_000_000 + sum)
}

/// Sessions of all events, whatever their order.
fn twin(events: &[Event], gap: i64) -> Vec<Row> {
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by_key(|e| (e.key, e.time));
    let sessions = sorted.chunk_by(|a, b| a.key == b.key && b.time - a.time < gap);
    let session = |run: &[&Event]| {
        let sum = run.iter().map(|e| e.value).sum();
        row(run[0].time, run[run.len() - 1].time + gap, run[0].key, run.len() as u64, sum)
    };
    sessions.map(session).collect()
}

fn job(
    source: impl pelton::sources::Source<Item = Event>,
    gap: i64,
    bound: Option<i64>,
    rows: &Collect<Row>,
) -> Job {
    let watermarks = bound.map_or(disorder(), |bound| out_of_order(nanos(bound as u64)));
    let (sessions, late) = Job::new("sessions")
        .source(source)
        .event_time(at, watermarks)
        .key_by(|e| e.key)
        .window(session(nanos(gap as u64)))
        .aggregate_with_late((count(), sum(|e: &Event| e.value)));
    let _ = late.map(|e| -> Row { (LATE, e.key, e.time, e.value) }).sink(rows.clone());
    sessions.map(|w| row(w.window.start.0, w.window.end.0, w.key, w.value.0, w.value.1)).sink(rows.clone())
}

#[test]
fn sessions_are_the_runs_without_a_pause() {
    for (seed, count, keys, gap) in [(110, 900, 20, 150), (111, 900, 3, 20), (112, 600, 300, 1_000)] {
        let events = events(seed, count, keys);
        let rows = collect();
        check(&job(from_vec(events.clone()), gap, None, &rows), &rows, twin(&events, gap));
    }
}

/// A session that is open: key, start, end, count, sum.
type Open = (u64, i64, i64, u64, i64);

/// What overdue records come to: each meets, in the order of the watermarks of their partitions, the sessions that end after that.
fn twin_with_late(parts: &Parts, bound: i64, gap: i64) -> Vec<Row> {
    let records = reached(parts, bound);
    // By the watermark at which it comes in: what is not overdue is there before all that is as old as itself.
    let mut steps: Vec<(i64, &Event)> =
        records.iter().map(|(e, w)| (if e.time < *w { *w } else { e.time }, e)).collect();
    let overdue = |(when, e): &(i64, &Event)| *when > e.time;
    steps.sort_by_key(|step| (step.0, overdue(step)));
    let (mut rows, mut open): (Vec<Row>, Vec<Open>) = (Vec::new(), Vec::new());
    for (when, e) in steps {
        let end = e.time + gap;
        if end <= when && when > e.time {
            rows.push((LATE, e.key, e.time, e.value));
            continue;
        }
        // Those that are over by then.
        let over = |s: &Open| s.2 <= when && when > e.time;
        rows.extend(open.iter().filter(|s| over(s)).map(|s| row(s.1, s.2, s.0, s.3, s.4)));
        open.retain(|s| !over(s));
        let meets = |s: &Open| s.0 == e.key && s.1 < end && s.2 > e.time;
        let (mut start, mut end, mut count, mut sum) = (e.time, end, 1, e.value);
        for s in open.iter().filter(|s| meets(s)) {
            (start, end, count, sum) = (start.min(s.1), end.max(s.2), count + s.3, sum + s.4);
        }
        open.retain(|s| !meets(s));
        open.push((e.key, start, end, count, sum));
    }
    rows.extend(open.iter().map(|s| row(s.1, s.2, s.0, s.3, s.4)));
    rows
}

/// Whatever the shards, ticks, cores and speeds, though many records are overdue and partitions are far apart.
#[test]
fn sessions_with_late_records_follow_from_the_partitions() {
    for (seed, bound, gap) in [(120, 50, 150), (121, 0, 60), (122, 20, 400)] {
        let (parts, rows) = (parts(seed), collect());
        let twin = twin_with_late(&parts, bound, gap);
        assert!(twin.len() > 20);
        check(&job(parts, gap, Some(bound), &rows), &rows, twin);
    }
}

/// Records between two sessions make one of them, and a gap is just not within it.
#[test]
fn sessions_meet_and_just_do_not() {
    let rows = collect();
    let job = Job::new("bridges")
        .source(from_iter(|| [0i64, 18, 9, 28, 40, 50]))
        .event_time(|n| EventTime(*n), out_of_order(nanos(100)))
        .key_by(|_| ())
        .window(session(nanos(10)))
        .count()
        .map(|w| (w.window.start.0, w.window.end.0, w.value))
        .sink(rows.clone());
    let (_, found) = simulated(&job, &rows, &Simulation::default());
    let found: Vec<(i64, i64, u64)> = found.into_iter().map(|row| row.row).collect();
    assert_eq!(found, [(0, 28, 3), (28, 38, 1), (40, 50, 1), (50, 60, 1)]);
}

/// At the ends of time, where a session cannot reach as far as it would, and with many sessions of one key at once.
#[test]
fn sessions_at_the_ends_of_time_and_many_of_one_key() {
    let times = [i64::MIN, i64::MIN + 3, 0, i64::MAX - 5, i64::MAX];
    let rows = collect();
    let job = Job::new("ends")
        .source(from_vec(times.to_vec()))
        .event_time(|n| EventTime(*n), out_of_order(Duration::from_nanos(i64::MAX as u64)).never_early())
        .key_by(|_| 7u64)
        .window(session(nanos(10)))
        .count()
        .map(|w| (w.window.start.0, w.window.end.0, w.value))
        .sink(rows.clone());
    let twin = vec![(i64::MIN, i64::MIN + 13, 2), (0, 10, 1), (i64::MAX - 5, i64::MAX, 2)];
    let (_, found) = simulated(&job, &rows, &Simulation { shards: 1, ..Simulation::default() });
    let found: Vec<(i64, i64, u64)> = found.into_iter().map(|row| row.row).collect();
    assert_eq!(found, twin);

    let mut chance = Chance(7);
    let mut times: Vec<i64> = (0..3_000).map(|n| n * 20).collect();
    (0..times.len()).for_each(|n| times.swap(n, chance.below(3_000) as usize));
    let rows = collect();
    let job = Job::new("many")
        .source(from_vec(times))
        .event_time(|n| EventTime(*n), out_of_order(nanos(100_000)))
        .key_by(|_| 7u64)
        .window(session(nanos(20)))
        .count()
        .map(|w| w.value)
        .sink(rows.clone());
    job.run().unwrap();
    assert_eq!(rows.take(), vec![1; 3_000]);
}
