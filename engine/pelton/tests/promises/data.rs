//! Inputs drawn from seeds, and the twin that windows are compared with.

use pelton::prelude::*;
use std::collections::BTreeMap;

/// The record of most tests.
#[pelton::record]
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub key: u64,
    pub time: i64,
    pub value: i64,
    pub price: f64,
}

/// A stream of random numbers.
pub struct Chance(pub u64);

impl Chance {
    /// The next number, below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Sebastiano Vigna's splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % bound
    }
}

/// Nanoseconds by which the events of [`events`] are out of order at most.
pub const DISORDER: i64 = 500;

/// `count` events of `keys` keys, about one in 10 ns from `start` on, each up to [`DISORDER`] late.
pub fn events_from(start: i64, seed: u64, count: usize, keys: u64) -> Vec<Event> {
    let mut chance = Chance(seed);
    let mut clock = start;
    let mut draw = |_| {
        clock += chance.below(20) as i64;
        let value = chance.below(2_001) as i64 - 1_000;
        let late = chance.below(DISORDER as u64 + 1) as i64;
        let price = f64::from_bits(chance.below(1 << 52) | (1_023 - 30 + chance.below(60)) << 52);
        let price = if value < 0 { -price } else { price };
        Event { key: chance.below(keys), time: clock - late, value, price }
    };
    (0..count).map(&mut draw).collect()
}

/// As [`events_from`], around time 0 so that both signs occur.
pub fn events(seed: u64, count: usize, keys: u64) -> Vec<Event> {
    events_from(count as i64 * -5, seed, count, keys)
}

/// The event time of an event.
pub fn at(event: &Event) -> EventTime {
    EventTime(event.time)
}

/// The strategy that is true of [`events`].
pub fn disorder() -> pelton::WatermarkStrategy {
    out_of_order(Duration::from_nanos(DISORDER as u64))
}

/// Nanoseconds.
pub const fn nanos(nanoseconds: u64) -> Duration {
    Duration::from_nanos(nanoseconds)
}

/// Every window that holds `at`, by definition.
pub fn windows_of(size: i64, slide: i64, at: i64) -> Vec<Window> {
    let (size, slide, at) = (i128::from(size), i128::from(slide), i128::from(at));
    let clamp = |time: i128| EventTime(time.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
    let last = at.div_euclid(slide) * slide;
    let starts = (0..).map(|back| last - back * slide).take_while(|start| start + size > at);
    starts.map(|start| Window { start: clamp(start), end: clamp(start + size) }).collect()
}

/// Windows of `(time, key, item)`, each row being what `value` makes of a window's items.
pub fn twin<K: Ord + Clone, I: Clone, V>(
    (size, slide): (i64, i64),
    items: impl IntoIterator<Item = (i64, K, I)>,
    value: impl Fn(&[I]) -> V,
) -> Vec<Windowed<K, V>> {
    let mut windows: BTreeMap<(Window, K), Vec<I>> = BTreeMap::new();
    for (time, key, item) in items {
        for window in windows_of(size, slide, time) {
            windows.entry((window, key.clone())).or_default().push(item.clone());
        }
    }
    windows.into_iter().map(|((window, key), items)| Windowed { window, key, value: value(&items) }).collect()
}

/// The sum of some values.
pub fn total(values: &[i64]) -> i64 {
    values.iter().sum()
}
