//! Twin of `filter_map`: bids on every 123rd auction, with the price converted.

use crate::checksum::{Tally, filter_map_term};
use crate::event::Event;

/// The result over the first `events` events.
pub fn filter_map(events: u64) -> Tally {
    let mut tally = Tally::default();
    for event in (0..events).map(Event::nth) {
        if event.auction % 123 == 0 {
            tally.add(filter_map_term(event.auction, event.price * 908 / 1000, event.time_ms));
        }
    }
    tally
}
