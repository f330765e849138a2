//! Everything that a job usually needs: `use pelton::prelude::*`.

pub use crate::job::Job;
pub use crate::sinks::{collect, fold, for_each};
pub use crate::sources::{channel, from_iter, from_vec, generate};
pub use crate::timing::{from_source, in_order, out_of_order};
pub use pelton_core::aggregate::{Aggregate, avg, count, max, max_by, min, min_by, sum};
pub use pelton_core::window::{Window, Windowed, hopping, tumbling};
pub use pelton_core::{EventTime, Key, Record};
pub use pelton_runtime::Stop;
pub use pelton_runtime::config::Config;
pub use std::time::Duration;

/// A duration of whole seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A duration of whole milliseconds.
pub const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
