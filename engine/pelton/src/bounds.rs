//! What sources, sinks and launcher are tuned with, in one place, with what relates it.

use pelton_runtime::bounds::SEGMENT_BYTES_MIN;
use std::time::Duration;

/// Queues that the senders of one source are spread over.
pub(crate) const STRIPES: usize = 64;
/// Records that a new channel has room for without asking for memory again.
pub(crate) const READY_RECORDS_MAX: usize = 1 << 16;
/// The most bytes that a transaction may have, archived, with 24 bytes for itself and 4 for each record. A single record is a
/// transaction of one. Where the log's segments are small it is less:
/// [`Producer::transaction_bytes_max`](crate::sources::Producer::transaction_bytes_max).
pub const TRANSACTION_BYTES_MAX: usize = 1 << 20;
/// The most bytes of a producer's id.
pub const PRODUCER_ID_BYTES_MAX: usize = 256;
/// The most producers that one inlet remembers. For another the one makes way that nobody has held for the longest.
pub const PRODUCERS_MAX: usize = 1 << 16;
/// How long [`Inlet::producer`](crate::sources::Inlet::producer) waits for a job to be started.
pub const START_WAIT: Duration = Duration::from_secs(10);
/// How far one record may be ahead of its partition, unless it is said otherwise: an hour.
pub(crate) const EARLY_NANOS: i64 = 3_600_000_000_000;
/// Of so many records one that is late is worth saying.
pub(crate) const LATE_ONE_IN: u64 = 100;

/// How often a run is asked how it has ended, once all writers to a subscription are gone.
pub(crate) const ENDING_WAIT: Duration = Duration::from_millis(1);
/// How often a job that runs in a program of the user's is asked whether it has ended.
#[cfg(feature = "cli")]
pub(crate) const ENDED_INTERVAL: Duration = Duration::from_millis(100);

/// How often the coordinator looks whether a checkpoint is due, unless somebody has news for it.
pub(crate) const KEEPER_INTERVAL: Duration = Duration::from_millis(20);
/// How often the coordinator looks for commands of other processes.
pub(crate) const COMMANDS_INTERVAL_NS: u64 = 100_000_000;
/// A checkpoint is late after so many of its intervals,
pub(crate) const LATE_INTERVALS: u64 = 10;
/// and after so long at any rate.
pub(crate) const LATE_NS_MAX: u64 = 60_000_000_000;

/// Steps in a row in which nothing moves in a simulation, after which nothing ever will.
pub(crate) const QUIET_STEPS_MAX: u32 = 200_000;

const _: () = {
    assert!(STRIPES == u64::BITS as usize, "which queues hold something is one word");
    assert!(
        TRANSACTION_BYTES_MAX as u64 <= SEGMENT_BYTES_MIN / 2,
        "the log takes what is not refused for its size"
    );
    assert!(KEEPER_INTERVAL.as_nanos() <= COMMANDS_INTERVAL_NS as u128);
};
