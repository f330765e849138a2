//! Twin of `hop_max`: counts per auction in windows of 10 s every 2 s, then the largest count of each window.
//!
//! Taken literally: every event is put in each of the five windows that hold it.

use crate::checksum::{Tally, hop_max_term};
use crate::event::Event;
use std::collections::BTreeMap;

const SIZE_MS: u64 = 10_000;
const SLIDE_MS: u64 = 2_000;

/// The result over the first `events` events.
pub fn hop_max(events: u64) -> Tally {
    let mut windows: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    let mut tally = Tally::default();
    for event in (0..events).map(Event::nth) {
        let first_end = event.time_ms / SLIDE_MS * SLIDE_MS + SLIDE_MS;
        while let Some(done) = windows.first_entry().filter(|window| *window.key() < first_end) {
            close(done.remove_entry(), &mut tally);
        }
        for end in (first_end..first_end + SIZE_MS).step_by(SLIDE_MS as usize) {
            *windows.entry(end).or_default().entry(event.auction).or_default() += 1;
        }
    }
    windows.into_iter().for_each(|window| close(window, &mut tally));
    tally
}

fn close((end, counts): (u64, BTreeMap<u64, u64>), tally: &mut Tally) {
    let max = counts.values().copied().max().expect("a window is opened by an event");
    let keys = counts.values().filter(|&&count| count == max).count() as u64;
    tally.add(hop_max_term(end, max, keys));
}
