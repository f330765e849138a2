//! The job over many keys: a count of each that stays, and small windows whose results come at once.
//!
//! ```text
//!  touches -+-> by key, one long window, count       the state: nothing of it closes while the job is measured
//!           +-> by key % 1,000, tumbling 10 ms, count    the rows: their latency, and whether they are right
//! ```

use super::source::{Touch, Touches};
use pelton::prelude::*;
use pelton::sinks::Sink;

/// The length of the small windows.
pub const WINDOW_MS: u64 = 10;
/// Their keys.
const SMALL_KEYS: u64 = 1_000;
/// The length of the window in which the keys stay.
const LONG: Duration = secs(1_000_000);

/// A row of a small window.
pub type Row = Windowed<u64, u64>;

/// The job, with the sink of the small windows.
pub fn job(source: Touches, rows: impl Sink<Row>) -> Job {
    let job = Job::new("many-keys");
    let touches = job
        .source(source)
        .event_time(|touch: &Touch| EventTime::from_millis(touch.time_ms as i64), from_source());
    let (many, small) = touches.fork();
    let _ = many
        .key_by(|touch: &Touch| touch.key)
        .window(tumbling(LONG))
        .aggregate(count())
        .sink(for_each(|_: Windowed<u64, u64>| {}));
    let _ = small
        .key_by(|touch: &Touch| touch.key % SMALL_KEYS)
        .window(tumbling(millis(WINDOW_MS)))
        .aggregate(count())
        .sink(rows);
    job
}
