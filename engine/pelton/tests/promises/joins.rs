//! Two streams that meet in windows.

use crate::check::{check, check_by};
use crate::data::{Event, at, disorder, events, nanos, total, windows_of};
use pelton::Keyed;
use pelton::prelude::*;
use std::collections::BTreeMap;

/// What a side of a window came to: how many, and their sum.
type Side = Option<(u64, i64)>;
type Row<K> = (Window, K, Side, Side);

/// Every key of every window that either side has records in.
fn twin<K: Ord + Clone>(
    (size, slide): (i64, i64),
    left: &[Event],
    right: &[Event],
    key: impl Fn(&Event) -> K,
) -> Vec<Row<K>> {
    let mut windows: BTreeMap<(Window, K), [Vec<i64>; 2]> = BTreeMap::new();
    for (side, events) in [left, right].into_iter().enumerate() {
        for event in events {
            for window in windows_of(size, slide, event.time) {
                windows.entry((window, key(event))).or_default()[side].push(event.value);
            }
        }
    }
    let came_to = |values: &Vec<i64>| (!values.is_empty()).then(|| (values.len() as u64, total(values)));
    windows.into_iter().map(|((window, key), [l, r])| (window, key, came_to(&l), came_to(&r))).collect()
}

/// Which rows a kind of join has.
type Keep = fn(&Row<u64>) -> bool;

/// A join of two sources, the right one having gone through another stage.
macro_rules! job {
    ($join:expr, $left:expr, $right:expr, $geometry:expr, $key:expr, $rows:expr) => {{
        let job = Job::new("join");
        let (size, slide): (i64, i64) = $geometry;
        let left = job.source(from_vec($left.clone())).event_time(at, disorder());
        let right = job.source(from_vec($right.clone())).event_time(at, disorder()).rebalance_chunks(3);
        let counts = || (count(), sum(|event: &Event| event.value));
        $join(left.key_by($key), right.key_by($key))
            .window(hopping(nanos(size as u64), nanos(slide as u64)))
            .aggregate(counts(), counts())
            .map(|row| -> Row<_> { (row.window, row.key, row.value.0.into(), row.value.1.into()) })
            .sink($rows.clone())
    }};
}

/// A join that may leave a side out, by its name: one type for all three.
fn outer<F: pelton::Timed, P, G: pelton::Timed, Q>(
    kind: &str,
    left: Keyed<F, P>,
    right: Keyed<G, Q>,
) -> pelton::Joining<F, P, G, Q> {
    match kind {
        "left" => left.left_join(right),
        "right" => left.right_join(right),
        _ => left.full_join(right),
    }
}

#[test]
fn each_kind_of_join_has_the_rows_that_its_name_says() {
    let (left, right) = (events(70, 500, 40), events(71, 300, 60));
    let geometry = (1_000, 300);
    let all = twin(geometry, &left, &right, |e| e.key);
    let of = |keep: Keep| all.iter().copied().filter(keep).collect::<Vec<_>>();
    assert!(all.iter().any(|row| row.2.is_none()) && all.iter().any(|row| row.3.is_none()));
    let rows = collect();
    let inner = |left: Keyed<_, _>, right| left.join(right);
    check(
        &job!(inner, left, right, geometry, |e: &Event| e.key, rows),
        &rows,
        of(|row| row.2.is_some() && row.3.is_some()),
    );
    let kinds: [(&str, Keep); 3] =
        [("left", |row| row.2.is_some()), ("right", |row| row.3.is_some()), ("full", |_| true)];
    for (kind, keep) in kinds {
        let join = |left, right| outer(kind, left, right);
        check(&job!(join, left, right, geometry, |e: &Event| e.key, rows), &rows, of(keep));
    }
}

#[test]
fn keys_that_own_memory_and_windows_without_a_gap() {
    let (left, right) = (events(72, 400, 30), events(73, 400, 30));
    let key = |e: &Event| format!("key {}", e.key);
    let rows = collect();
    let twin = twin((700, 700), &left, &right, key);
    check(&job!(|l, r| outer("full", l, r), left, right, (700, 700), key, rows), &rows, twin);
}

#[test]
fn a_side_without_records() {
    let (left, none) = (events(74, 200, 10), Vec::<Event>::new());
    let rows = collect();
    let twin = twin((500, 500), &left, &none, |e| e.key);
    let wanted = [("left", twin.clone()), ("right", Vec::new()), ("full", twin)];
    for (kind, twin) in wanted {
        let join = |left, right| outer(kind, left, right);
        check(&job!(join, left, none, (500, 500), |e: &Event| e.key, rows), &rows, twin);
    }
}

/// Both sides of a stream that was forked, in one stage: a join with itself.
#[test]
fn a_stream_joined_with_itself() {
    let events = events(75, 500, 15);
    let rows = collect();
    let (left, right) = Job::new("self").source(from_vec(events.clone())).event_time(at, disorder()).fork();
    let even = |e: &Event| e.value % 2 == 0;
    let job = left
        .filter(even)
        .key_by(|e| e.key)
        .join(right.filter(move |e| !even(e)).key_by(|e| e.key))
        .window(tumbling(nanos(2_000)))
        .aggregate(count(), count())
        .map(|row| (row.window, row.key, row.value.0 * row.value.1))
        .sink(rows.clone());
    let (left, right): (Vec<_>, Vec<_>) = events.into_iter().partition(even);
    let pairs = |row: &Row<u64>| Some((row.0, row.1, row.2?.0 * row.3?.0));
    let twin = twin((2_000, 2_000), &left, &right, |e| e.key).iter().filter_map(pairs).collect();
    check(&job, &rows, twin);
}

/// Each record is in its window or in the late output of its side, once.
#[test]
fn late_records_of_both_sides_are_kept_apart() {
    let (left, right) = (events(76, 500, 8), events(77, 500, 8));
    let seen = std::cell::Cell::new((0, 0));
    let rows = collect();
    let job = Job::new("late");
    let bound = || out_of_order(nanos(60));
    let lefts = job.source(from_vec(left.clone())).event_time(at, bound());
    let rights = job.source(from_vec(right.clone())).event_time(at, bound());
    let (joined, late_left, late_right) = lefts
        .key_by(|e| e.key)
        .full_join(rights.key_by(|e| e.key))
        .window(tumbling(nanos(40)))
        .aggregate_with_late(count(), count());
    let _ = late_left.map(|e| (0u8, e.key, e.time, 1u64)).sink(rows.clone());
    let _ = late_right.map(|e| (1u8, e.key, e.time, 1u64)).sink(rows.clone());
    let job = joined
        .flat_map(|row| {
            let side =
                |side: u8, number: Option<u64>| number.map(|n| (2 + side, row.key, row.window.start.0, n));
            [side(0, row.value.0), side(1, row.value.1)].into_iter().flatten()
        })
        .sink(rows.clone());
    check_by(&job, &rows, |found| {
        let count = |mark: u8| found.iter().filter(|row| row.0 == mark).map(|row| row.3).sum::<u64>();
        assert_eq!(count(0) + count(2), left.len() as u64);
        assert_eq!(count(1) + count(3), right.len() as u64);
        // A late record is one of its own side.
        for (mark, events) in [(0, &left), (1, &right)] {
            let mut late = found.iter().filter(|row| row.0 == mark);
            assert!(late.all(|row| events.iter().any(|e| (e.key, e.time) == (row.1, row.2))));
        }
        seen.set((seen.get().0 + count(0), seen.get().1 + count(1)));
    });
    assert!(seen.get().0 > 100 && seen.get().1 > 100, "the bound was broken: {:?}", seen.get());
}
