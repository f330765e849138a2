//! `filter_map`: the bids on every 123rd auction, with their prices in another currency. No state, no exchange.

use crate::checksum::{Tally, filter_map_term};
use crate::error::BenchError;
use crate::event::Event;
use crate::workload::{Load, Prepared, Produced};
use pelton::prelude::*;

/// A job over `load.events()` events.
pub fn prepare(load: &Load) -> Result<Prepared, BenchError> {
    let events = load.events();
    let add = |tally: &mut Tally, bid: Event| tally.add(filter_map_term(bid.auction, bid.price, bid.time_ms));
    let rows = fold(Tally::default(), add, Tally::merge);
    let job = Job::new("filter_map")
        .source(generate(move |partition, of| Event::partition(events, partition, of)))
        .filter(|bid| bid.auction % 123 == 0)
        .map(|bid| Event { price: bid.price * 908 / 1000, ..bid })
        .sink(rows.clone());
    Ok(Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) })
}
