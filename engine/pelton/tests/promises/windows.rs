//! Window kinds and aggregates.

use crate::check::check;
use crate::data::{DISORDER, Event, at, disorder, events, events_from, nanos, total, twin};
use pelton::prelude::*;

/// Seeds and sizes of the inputs: records, keys.
const INPUTS: [(u64, usize, u64); 3] = [(1, 1_500, 40), (2, 800, 1), (3, 600, 5_000)];

fn timed(events: &[Event]) -> impl Iterator<Item = (i64, u64, i64)> {
    events.iter().map(|event| (event.time, event.key, event.value))
}

/// Count and sum of `events` in windows of `size` every `slide`.
fn counts_and_sums(events: Vec<Event>, size: i64, slide: i64) {
    let twin = twin((size, slide), timed(&events), |values| (values.len() as u64, total(values)));
    let rows = collect();
    let job = Job::new("count and sum")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|event| event.key)
        .window(hopping(nanos(size as u64), nanos(slide as u64)))
        .aggregate((count(), sum(|event: &Event| event.value)))
        .sink(rows.clone());
    check(&job, &rows, twin);
}

#[test]
fn tumbling_counts_and_sums() {
    for (seed, records, keys) in INPUTS {
        counts_and_sums(events(seed, records, keys), 1_000, 1_000);
    }
}

/// Enough keys in a window, and more in one than in the next, for every phase of the sort.
#[test]
fn windows_of_many_keys() {
    let mut events = events(13, 4_000, 1 << 40);
    let from = events[events.len() / 3].time;
    events.retain(|event| event.time < from || event.value % 3 == 0);
    counts_and_sums(events, 8_000, 8_000);
}

#[test]
fn windows_far_larger_and_far_smaller_than_the_input() {
    counts_and_sums(events(4, 500, 10), 1 << 40, 1 << 40);
    counts_and_sums(events(5, 300, 10), 1, 1);
}

#[test]
fn hopping_windows_share_panes() {
    for (seed, records, keys) in INPUTS {
        counts_and_sums(events(seed, records / 2, keys), 1_000, 200);
    }
}

#[test]
fn hopping_windows_whose_size_is_no_multiple_of_the_slide() {
    for (size, slide) in [(1_000, 300), (700, 500), (1_200, 800), (101, 100)] {
        counts_and_sums(events(6, 500, 20), size, slide);
    }
}

/// Windows with far more panes than keys share what their panes come to.
#[test]
fn hopping_windows_of_many_panes() {
    for (size, slide) in [(1_000, 30), (2_100, 20)] {
        counts_and_sums(events(14, 400, 3), size, slide);
    }
}

#[test]
fn negative_and_large_times() {
    for start in [i64::MIN / 2, -1 << 40, 1 << 40, i64::MAX / 2] {
        counts_and_sums(events_from(start, 7, 300, 10), 1_000, 300);
    }
}

#[test]
fn no_input_and_one_record() {
    counts_and_sums(Vec::new(), 1_000, 1_000);
    counts_and_sums(events(8, 1, 1), 1_000, 1_000);
    counts_and_sums(events(9, 1, 1), 1_000, 300);
}

/// A row's floats as bits, which have a total order.
type Bits = (EventTime, u64, [u64; 6], (i64, i64, u64));

/// Sums of floats are exact, so a twin in another order must round to the same bits; its own sum is exact because all
/// values are multiples of 2^-82 below 2^30, summed as integers.
fn exact(prices: &[f64]) -> f64 {
    let scale = 2f64.powi(82);
    let sum: i128 = prices.iter().map(|price| (price * scale) as i128).sum();
    sum as f64 / scale
}

/// The exact sum divided by the number of prices, rounded once: what is left of the division only matters by being there, as the quotient has more
/// bits than an `f64`.
fn exact_mean(prices: &[f64]) -> f64 {
    let scale = 2f64.powi(82);
    let sum: i128 = prices.iter().map(|price| (price * scale) as i128).sum();
    let (magnitude, number) = (sum.unsigned_abs(), prices.len() as u128);
    let (magnitude, shift) = if magnitude < 1 << 70 { (magnitude << 56, 56) } else { (magnitude, 0) };
    let bits = (magnitude / number) | u128::from(!magnitude.is_multiple_of(number));
    let mean = bits as f64 / scale / 2f64.powi(shift);
    if sum < 0 { -mean } else { mean }
}

#[test]
fn extremes_and_means_of_integers_and_floats() {
    for (seed, records, keys) in INPUTS {
        let events = events(seed, records, keys);
        let items = events.iter().map(|event| (event.time, event.key, (event.value, event.price)));
        let twin = twin((1_000, 300), items, |items| {
            let (values, prices): (Vec<i64>, Vec<f64>) = items.iter().copied().unzip();
            let least = prices.iter().copied().min_by(f64::total_cmp).unwrap();
            let greatest = prices.iter().copied().max_by(f64::total_cmp).unwrap();
            let number = items.len() as f64;
            let floats =
                [least, greatest, exact(&prices), exact_mean(&prices), total(&values) as f64 / number];
            let least_value = *values.iter().min().unwrap();
            (floats, (least_value, *values.iter().max().unwrap(), items.len() as u64))
        });
        let bits = |floats: [f64; 5]| {
            let [a, b, c, d, e] = floats.map(f64::to_bits);
            [a, b, c, d, e, 0]
        };
        let twin: Vec<Bits> =
            twin.into_iter().map(|row| (row.window.end, row.key, bits(row.value.0), row.value.1)).collect();
        let rows = collect();
        let job = Job::new("extremes")
            .source(from_vec(events))
            .event_time(at, disorder())
            .key_by(|event| event.key)
            .window(hopping(nanos(1_000), nanos(300)))
            .aggregate((
                (min(|e: &Event| e.price), max(|e: &Event| e.price), sum(|e: &Event| e.price)),
                (avg(|e: &Event| e.price), avg(|e: &Event| e.value)),
                (min(|e: &Event| e.value), max(|e: &Event| e.value), count()),
            ))
            .map(move |row| -> Bits {
                let ((least, greatest, sum), (mean, mean_value), whole) = row.value;
                (row.window.end, row.key, bits([least, greatest, sum, mean, mean_value]), whole)
            })
            .sink(rows.clone());
        check(&job, &rows, twin);
    }
}

#[test]
fn the_largest_of_the_counts() {
    for (seed, records, keys) in INPUTS {
        let events = events(seed, records, keys);
        let counts = twin((1_000, 500), timed(&events), |values| values.len() as u64);
        let twin: Vec<_> = twin_of_windows(&counts, |rows| {
            *rows.iter().max_by_key(|row| (row.value, std::cmp::Reverse(row.key))).unwrap()
        });
        let rows = collect();
        let job = Job::new("hot items")
            .source(from_vec(events))
            .event_time(at, disorder())
            .key_by(|event| event.key)
            .window(hopping(nanos(1_000), nanos(500)))
            .aggregate(count())
            .window_all()
            .max_by(|row| row.value)
            .sink(rows.clone());
        check(&job, &rows, twin);
    }
}

/// What `value` makes of all rows of each window.
fn twin_of_windows<V>(
    rows: &[Windowed<u64, u64>],
    value: impl Fn(&[Windowed<u64, u64>]) -> V,
) -> Vec<Windowed<(), V>> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.window);
    rows.chunk_by(|a, b| a.window == b.window)
        .map(|rows| Windowed { window: rows[0].window, key: (), value: value(rows) })
        .collect()
}

#[test]
fn windows_of_windows() {
    let events = events(10, 1_200, 50);
    let counts = twin((100, 100), timed(&events), |values| values.len() as i64);
    let items = counts.iter().map(|row| (row.window.end.0 - 1, row.key % 5, row.value));
    let twin = twin((1_000, 500), items, total);
    let rows = collect();
    let job = Job::new("twice")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|event| event.key)
        .window(tumbling(nanos(100)))
        .count()
        .key_by(|row| row.key % 5)
        .window(hopping(nanos(1_000), nanos(500)))
        .sum(|row| row.value as i64)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// The second largest value, which takes an accumulator that owns memory and is not a number.
#[derive(Clone)]
struct TopTwo;

impl Aggregate<Event> for TopTwo {
    type Item = i64;
    type Acc = Vec<i64>;
    type Out = Vec<i64>;

    fn item(&self, event: &Event) -> i64 {
        event.value
    }
    fn empty(&self) -> Vec<i64> {
        Vec::new()
    }
    fn add(&self, acc: &mut Vec<i64>, value: i64) {
        acc.push(value);
        acc.sort_by(|a, b| b.cmp(a));
        acc.truncate(2);
    }
    fn merge(&self, acc: &mut Vec<i64>, other: &Vec<i64>) {
        other.iter().for_each(|&value| self.add(acc, value));
    }
    fn finish(&self, acc: &Vec<i64>) -> Vec<i64> {
        acc.clone()
    }
}

#[test]
fn an_aggregate_of_ones_own() {
    let events = events(11, 1_000, 30);
    let twin = twin((1_000, 300), timed(&events), |values| {
        let mut values = values.to_vec();
        values.sort_by(|a, b| b.cmp(a));
        values.truncate(2);
        values
    });
    let rows = collect();
    let job = Job::new("top two")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|event| event.key)
        .window(hopping(nanos(1_000), nanos(300)))
        .aggregate(TopTwo)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// A shard's rows leave in the order (window end, key), whatever order they came in.
#[test]
fn windows_close_in_order() {
    let rows = collect();
    let job = Job::new("order")
        .source(from_vec(events(12, 2_000, 300)))
        .event_time(at, out_of_order(nanos(DISORDER as u64)))
        .key_by(|event| event.key)
        .window(hopping(nanos(1_000), nanos(250)))
        .count()
        .sink(rows.clone());
    for (seed, shards) in [(1, 1), (2, 2), (3, 4)] {
        let settings = pelton::sim::Simulation { seed, shards, ..pelton::sim::Simulation::default() };
        let (_, found) = crate::check::simulated(&job, &rows, &settings);
        for shard in 0..shards {
            let mine: Vec<_> = found.iter().filter(|row| usize::from(row.shard.0) == shard).collect();
            assert!(mine.len() > 100);
            assert!(mine.windows(2).all(|two| {
                let [left, right] = [two[0], two[1]].map(|row| (row.row.window.end, row.row.key));
                left < right
            }));
        }
    }
}
