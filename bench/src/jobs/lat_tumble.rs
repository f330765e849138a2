//! `lat_tumble`: count and sum per key in windows of 10 ms of the wall clock; what is measured is how late a row is.
//!
//! The source emits on a schedule, and the sink reads the clock once for every row: its latency is that reading minus
//! the end of the row's window.

use crate::checksum::Tally;
use crate::clock::now_ns;
use crate::error::BenchError;
use crate::event::Event;
use crate::hist::Latencies;
use crate::jobs::tumble_count;
use crate::paced::Paced;
use crate::workload::{Load, Prepared, Produced};
use pelton::prelude::*;
use std::time::Duration;

/// Time for the engine's threads to start before the schedule does.
const LEAD_NS: u64 = 250_000_000;

/// What the sink keeps.
#[derive(Clone, Default)]
struct Seen {
    tally: Tally,
    latencies: Latencies,
}

/// A job over the events of a schedule that starts in a moment.
pub fn prepare(load: &Load) -> Result<Prepared, BenchError> {
    let Load::Latency { schedule, window_ms } = *load else {
        unreachable!("a latency workload keeps its kind of load");
    };
    let start_ns = now_ns() + LEAD_NS;
    let source = Paced::new(schedule, start_ns);
    let add = move |seen: &mut Seen, row: Windowed<u64, (u64, u64)>| {
        let end_ms = row.window.end.as_millis() as u64;
        if schedule.records(end_ms, window_ms) {
            seen.latencies.record(now_ns().saturating_sub(start_ns + end_ms * 1_000_000));
        }
        tumble_count::add(&mut seen.tally, row);
    };
    let merge = |left: Seen, right: Seen| Seen {
        tally: left.tally.merge(right.tally),
        latencies: left.latencies.merge(&right.latencies),
    };
    let rows = fold(Seen::default(), add, merge);
    let job = Job::new("lat_tumble")
        .source(source.clone())
        .event_time(|event: &Event| EventTime::from_millis(event.time_ms as i64), from_source())
        .key_by(|event| event.auction % 1_000)
        .window(tumbling(Duration::from_millis(window_ms)))
        .aggregate((count(), sum(|event: &Event| event.price)))
        .sink(rows.clone());
    let produced = move || {
        let seen = rows.take();
        Produced { tally: seen.tally, latencies: Some(seen.latencies), emitted_ns: Some(source.emitted_ns()) }
    };
    Ok(Prepared { job, produced: Box::new(produced) })
}
