//! `tumble_count`: how many bids there were on each auction in each second, and what they add up to.

use crate::checksum::{Tally, tumble_term};
use crate::error::BenchError;
use crate::event::Event;
use crate::workload::{Load, Prepared, Produced};
use pelton::prelude::*;

/// A job over `load.events()` events.
pub fn prepare(load: &Load) -> Result<Prepared, BenchError> {
    let events = load.events();
    let rows = fold(Tally::default(), add, Tally::merge);
    let job = Job::new("tumble_count")
        .source(generate(move |partition, of| Event::partition(events, partition, of)))
        .event_time(|event: &Event| EventTime::from_millis(event.time_ms as i64), in_order())
        .key_by(|event| event.auction)
        .window(tumbling(secs(1)))
        .aggregate((count(), sum(|event: &Event| event.price)))
        .sink(rows.clone());
    Ok(Prepared { job, produced: Box::new(move || Produced::tally(rows.take())) })
}

/// Adds a result row to the checksum.
pub(super) fn add(tally: &mut Tally, row: Windowed<u64, (u64, u64)>) {
    let (count, sum) = row.value;
    tally.add(tumble_term(row.key, row.window.end.as_millis() as u64, count, sum));
}
