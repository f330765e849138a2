//! Records beyond the bound: none is lost, each is counted once.

use crate::check::{check_by, config, same_rows, simulated};
use crate::data::{Chance, Event, at, events, nanos, windows_of};
use pelton::config::DriverKind;
use pelton::prelude::*;
use pelton::sim::Simulation;
use pelton::sinks::Collect;

/// Row of a window (its start, key, count, sum) or a late record (`i64::MIN`, key, time, value).
type Row = (i64, u64, i64, i64);

const LATE: i64 = i64::MIN;

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
