//! Records that are added up before they cross: the same rows, and the same records late.

use crate::check::{check, check_by, config};
use crate::data::{Event, at, disorder, events, nanos, total, twin};
use pelton::aggregate::min_by;
use pelton::config::DriverKind;
use pelton::prelude::*;
use std::collections::BTreeSet;

/// Count, sum and least record by `key` in windows of `size` every `slide`.
fn check_windows<K: Key + Send + std::fmt::Debug>(
    events: Vec<Event>,
    (size, slide): (i64, i64),
    key: fn(&Event) -> K,
) {
    let least = |e: &Event| (e.value, e.time);
    let timed = events.iter().map(|e| (e.time, key(e), (e.value, e.time)));
    let twin = twin((size, slide), timed, |items| {
        let values: Vec<i64> = items.iter().map(|item| item.0).collect();
        (items.len() as u64, total(&values), *items.iter().min().expect("a record"))
    });
    let rows = collect();
    let job = Job::new("pre-aggregated")
        .source(from_vec(events))
        .event_time(at, disorder())
        .map(move |e| (key(&e), least(&e)))
        .key_by(|(key, _)| key.clone())
        .window(hopping(nanos(size as u64), nanos(slide as u64)))
        .aggregate(pre_aggregated((
            count(),
            sum(|(_, (value, _)): &(K, (i64, i64))| *value),
            min_by(|(_, least): &(K, (i64, i64))| *least),
        )))
        .map(|row| Windowed {
            window: row.window,
            key: row.key,
            value: (row.value.0, row.value.1, row.value.2.1),
        })
        .sink(rows.clone());
    check(&job, &rows, twin);
}

#[test]
fn one_key_few_keys_and_more_than_are_added_up() {
    for (seed, records, keys) in [(201, 1_500, 1), (202, 1_500, 40), (203, 3_000, 5_000)] {
        check_windows(events(seed, records, keys), (1_000, 1_000), |e| e.key);
    }
}

#[test]
fn windows_that_overlap_and_keys_that_own_memory() {
    check_windows(events(204, 700, 20), (1_000, 300), |e| e.key);
    check_windows(events(205, 700, 20), (700, 500), |e| "key ".repeat(e.key as usize % 4));
}

/// With a bound that many records break, each is in a window or counted as late, as one.
#[test]
fn each_record_that_is_late_counts() {
    let events = events(206, 2_000, 5);
    let all = events.len() as u64;
    for (driver, shards, records_max) in [
        (DriverKind::Threads, 1, 1),
        (DriverKind::Threads, 1, 64),
        (DriverKind::Threads, 3, 7),
        (DriverKind::Glommio, 4, 300),
    ] {
        let rows = collect();
        let job = Job::new("late")
            .source(from_vec(events.clone()))
            .event_time(at, in_order())
            .key_by(|_| ())
            .window(tumbling(nanos(50)))
            .aggregate(pre_aggregated(count()))
            .sink(rows.clone());
        let progress = job.run_with(&config(driver, 2, shards, records_max, 65_536)).expect("a run");
        let in_windows: u64 = rows.take().iter().map(|row: &Windowed<(), u64>| row.value).sum();
        assert!(progress.total.late > 0, "the bound was broken");
        assert_eq!(in_windows + progress.total.late, all, "{shards} shards, {records_max} records in a tick");
    }
}

/// Where late records are wanted they are whole, and cross one by one.
#[test]
fn late_records_come_whole() {
    let events = events(207, 800, 5);
    let rows = collect();
    let (windows, late) = Job::new("late")
        .source(from_vec(events.clone()))
        .event_time(at, in_order())
        .key_by(|e| e.key)
        .window(tumbling(nanos(50)))
        .aggregate_with_late(pre_aggregated(count()));
    let _ = late.map(|e| (e.time, e.key, e.value)).sink(rows.clone());
    let job = windows.map(|row| (i64::MIN, row.key, row.value as i64)).sink(rows.clone());
    let whole: BTreeSet<_> = events.iter().map(|e| (e.time, e.key, e.value)).collect();
    check_by(&job, &rows, |found| {
        let (windows, late): (Vec<_>, Vec<_>) = found.iter().partition(|row| row.0 == i64::MIN);
        assert!(late.iter().all(|row| whole.contains(row)));
        let counted: i64 = windows.iter().map(|row| row.2).sum();
        assert_eq!(counted as usize + late.len(), events.len());
    });
}

/// Within a chain there is no exchange to save.
#[test]
fn within_a_chain_and_over_all_windows() {
    let events = events(208, 900, 17);
    let sums = twin((100, 100), events.iter().map(|e| (e.time, e.key, e.value)), total);
    let per_key =
        twin((1_000, 1_000), sums.iter().map(|row| (row.window.start.0, row.key, row.value)), |v| {
            *v.iter().max().expect("a sum")
        });
    let twin = twin((1_000, 1_000), per_key.iter().map(|row| (row.window.start.0, (), row.value)), total);
    let rows = collect();
    let job = Job::new("peaks")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .window(tumbling(nanos(100)))
        .aggregate(pre_aggregated(sum(|e: &Event| e.value)))
        .keyed_as(|row| row.key)
        .window(tumbling(nanos(1_000)))
        .aggregate(pre_aggregated(max(|row: &Windowed<u64, i64>| row.value)))
        .window_all()
        .sum(|row| row.value)
        .sink(rows.clone());
    check(&job, &rows, twin);
}
