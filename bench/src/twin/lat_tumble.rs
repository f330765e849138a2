//! Twin of `lat_tumble`: count and sum of prices per key in windows of 10 ms, at the times events are due.

use crate::checksum::{Tally, tumble_term};
use crate::event::Event;
use crate::schedule::Schedule;
use std::collections::BTreeMap;

/// The result, and how many rows the windows with each end (ms) have.
pub fn lat_tumble(schedule: &Schedule, window_ms: u64) -> (Tally, BTreeMap<u64, u64>) {
    let mut windows: BTreeMap<u64, BTreeMap<u64, (u64, u64)>> = BTreeMap::new();
    let mut rows = BTreeMap::new();
    let mut tally = Tally::default();
    for i in 0..schedule.events() {
        let event = Event::due(schedule, i);
        let end = event.time_ms / window_ms * window_ms + window_ms;
        while let Some(done) = windows.first_entry().filter(|window| *window.key() < end) {
            close(done.remove_entry(), &mut tally, &mut rows);
        }
        let (count, sum) = windows.entry(end).or_default().entry(event.auction % 1_000).or_default();
        *count += 1;
        *sum += event.price;
    }
    windows.into_iter().for_each(|window| close(window, &mut tally, &mut rows));
    (tally, rows)
}

fn close((end, keys): (u64, BTreeMap<u64, (u64, u64)>), tally: &mut Tally, rows: &mut BTreeMap<u64, u64>) {
    rows.insert(end, keys.len() as u64);
    for (key, (count, sum)) in keys {
        tally.add(tumble_term(key, end, count, sum));
    }
}
