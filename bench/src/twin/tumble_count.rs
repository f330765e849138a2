//! Twin of `tumble_count`: count and sum of prices per auction and second.

use crate::checksum::{Tally, tumble_term};
use crate::event::Event;
use std::collections::BTreeMap;

/// The result over the first `events` events.
pub fn tumble_count(events: u64) -> Tally {
    let mut windows: BTreeMap<u64, BTreeMap<u64, (u64, u64)>> = BTreeMap::new();
    let mut tally = Tally::default();
    for event in (0..events).map(Event::nth) {
        let end = event.time_ms / 1000 * 1000 + 1000;
        // Event time never goes back, so the windows before this one are complete.
        while let Some(done) = windows.first_entry().filter(|window| *window.key() < end) {
            close(done.remove_entry(), &mut tally);
        }
        let (count, sum) = windows.entry(end).or_default().entry(event.auction).or_default();
        *count += 1;
        *sum += event.price;
    }
    windows.into_iter().for_each(|window| close(window, &mut tally));
    tally
}

fn close((end, keys): (u64, BTreeMap<u64, (u64, u64)>), tally: &mut Tally) {
    for (key, (count, sum)) in keys {
        tally.add(tumble_term(key, end, count, sum));
    }
}
