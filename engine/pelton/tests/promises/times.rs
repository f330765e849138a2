//! The ends of time.

use crate::check::check;
use crate::data::{Event, at, nanos, twin};
use pelton::prelude::*;

/// Events near both ends of the range, in order.
fn extreme_events() -> Vec<Event> {
    let near = |end: i64, sign: i64| (0..40).map(move |n| end.saturating_add(sign * n * n * n));
    let mut times: Vec<i64> =
        near(i64::MIN, 1).chain(near(i64::MAX, -1)).chain(near(0, 1)).chain(near(-1, -1)).collect();
    times.extend([i64::MIN; 5]);
    times.extend([i64::MAX; 5]);
    times.sort();
    times
        .into_iter()
        .zip(0..)
        .map(|(time, n)| Event { key: n % 3, time, value: n as i64, price: 0.0 })
        .collect()
}

fn windows(size: i64, slide: i64) {
    let events = extreme_events();
    let items = events.iter().map(|e| (e.time, e.key, e.value));
    let twin = twin((size, slide), items.collect::<Vec<_>>(), |values| {
        (values.len() as u64, values.iter().sum::<i64>())
    });
    let rows = collect();
    let job = Job::new("ends")
        .source(from_vec(events))
        .event_time(at, in_order())
        .key_by(|e| e.key)
        .window(hopping(nanos(size as u64), nanos(slide as u64)))
        .aggregate((count(), sum(|e: &Event| e.value)))
        .sink(rows.clone());
    check(&job, &rows, twin);
}

#[test]
fn tumbling_windows_at_the_ends_of_time() {
    [1, 7, 1_000, 10_000_000_000, i64::MAX].into_iter().for_each(|size| windows(size, size));
}

#[test]
fn hopping_windows_at_the_ends_of_time() {
    for (size, slide) in [(10, 3), (1_000, 250), (10_000_000_000, 3_000_000_000)] {
        windows(size, slide);
    }
}

#[test]
fn the_largest_of_windows_at_the_ends_of_time() {
    let events = extreme_events();
    let mut twin =
        twin((1_000, 1_000), events.iter().map(|e| (e.time, e.key, ())), |items| items.len() as u64);
    twin.sort_by_key(|row| (row.window, std::cmp::Reverse(row.value), row.key));
    twin.dedup_by_key(|row| row.window);
    let twin: Vec<_> =
        twin.into_iter().map(|row| Windowed { window: row.window, key: (), value: row }).collect();
    let rows = collect();
    let job = Job::new("ends")
        .source(from_vec(events))
        .event_time(at, in_order())
        .key_by(|e| e.key)
        .window(tumbling(nanos(1_000)))
        .count()
        .window_all()
        .max_by(|row| row.value)
        .sink(rows.clone());
    check(&job, &rows, twin);
}
