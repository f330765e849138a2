//! What a job is tuned with besides its configuration, in one place.

#[cfg(feature = "cli")]
use std::time::Duration;

/// How far one record may be ahead of its partition, unless it is said otherwise: an hour.
pub(crate) const EARLY_NANOS: i64 = 3_600_000_000_000;
/// Of so many records one that is late is worth saying.
pub(crate) const LATE_ONE_IN: u64 = 100;

/// How often a job that runs in a program of the user's is asked whether it has ended.
#[cfg(feature = "cli")]
pub(crate) const ENDED_INTERVAL: Duration = Duration::from_millis(100);
