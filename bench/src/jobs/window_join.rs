//! `window_join`: for each user and second, how many pairs there are of a bid on an even auction and one on an odd auction.

use crate::checksum::{Tally, window_join_term};
use crate::error::BenchError;
use crate::event::Event;
use crate::workload::{Load, Prepared, Produced};
use pelton::prelude::*;

/// Users that are told apart.
const USERS: u64 = 100_000;

/// A job over `load.events()` events.
pub fn prepare(load: &Load) -> Result<Prepared, BenchError> {
    let events = load.events();
    let rows = fold(Tally::default(), add, Tally::merge);
    // An auction is odd exactly if the hash is that it comes of.
    let (even, odd) = Job::new("window_join")
        .source(generate(move |partition, of| Event::partition(events, partition, of)))
        .event_time(|event: &Event| EventTime::from_millis(event.time_ms as i64), in_order())
        .side_output(|event| event.auction % 2 == 1);
    let job = even
        .key_by(|event| event.user % USERS)
        .join(odd.key_by(|event| event.user % USERS))
        .window(tumbling(secs(1)))
        .aggregate(count(), count())
        .sink(rows.clone());
    Ok(Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) })
}

/// Adds a result row to the checksum.
fn add(tally: &mut Tally, row: Windowed<u64, (u64, u64)>) {
    let (even, odd) = row.value;
    tally.add(window_join_term(row.key, row.window.end.as_millis() as u64, even * odd));
}
