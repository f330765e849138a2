//! Twin of `window_join`: pairs of an event of an even hash and one of an odd hash per user and second.

use crate::checksum::{Tally, window_join_term};
use crate::event::Event;
use crate::mix;
use std::collections::BTreeMap;

/// The result over the first `events` events.
pub fn window_join(events: u64) -> Tally {
    let mut windows: BTreeMap<u64, BTreeMap<u64, [u64; 2]>> = BTreeMap::new();
    let mut tally = Tally::default();
    for number in 0..events {
        let event = Event::nth(number);
        let end = event.time_ms / 1000 * 1000 + 1000;
        // Event time never goes back, so the windows before this one are complete.
        while let Some(done) = windows.first_entry().filter(|window| *window.key() < end) {
            close(done.remove_entry(), &mut tally);
        }
        let sides = windows.entry(end).or_default().entry(event.user % 100_000).or_default();
        sides[(mix(number) % 2) as usize] += 1;
    }
    windows.into_iter().for_each(|window| close(window, &mut tally));
    tally
}

fn close((end, keys): (u64, BTreeMap<u64, [u64; 2]>), tally: &mut Tally) {
    for (key, [even, odd]) in keys {
        if even * odd > 0 {
            tally.add(window_join_term(key, end, even * odd));
        }
    }
}
