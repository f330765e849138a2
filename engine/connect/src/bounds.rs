//! What sources and sinks are tuned with, in one place, with what relates it. The size of a chunk is not here: a checkpoint depends on it.

use crate::ndjson::CHUNK_BYTES;
use pelton_runtime::bounds::SEGMENT_BYTES_MIN;
use std::time::Duration;

/// The longest line, unless [`Ndjson::line_bytes_max`](crate::ndjson::Ndjson::line_bytes_max) says otherwise.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// The least file that is read by several shards, unless [`Ndjson::partitions`](crate::ndjson::Ndjson::partitions) says otherwise.
pub const SPLIT_BYTES_MIN: u64 = 16 << 20;
/// Chunks that a partition may be ahead of the slowest: what is ahead holds windows open.
pub(crate) const CHUNKS_AHEAD_MAX: u64 = 64;

/// Bytes of a block that is read at a time: large enough that system calls do not count, small enough for a tick.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;
/// Bytes that are read at least beyond where they are wanted, for the rest of a line.
pub(crate) const REST_BYTES: usize = 4 * 1024;
/// Blocks that a thread is ahead at most.
pub(crate) const BLOCKS_AHEAD_MAX: usize = 8;

/// Lines without a record that one poll goes through at most,
pub(crate) const SKIPPED_LINES_MAX: u32 = 1_024;
/// and blocks.
pub(crate) const BLOCKS_MAX: u32 = 16;
/// Malformed lines that are shown on standard error where nobody else wants to see them.
pub(crate) const SHOWN_MAX: u32 = 5;

/// Queues that the senders of one source are spread over.
pub(crate) const STRIPES: usize = 64;
/// Of a job's memory what waits in one inlet takes one part in so many at most: the rest is for what cannot be held back.
pub(crate) const INLET_SHARE: usize = 8;
/// Empty blocks that stay with each queue of a channel.
pub(crate) const CHANNEL_SPARE_MAX: usize = 16;
/// The most bytes that a transaction may have, archived, with 24 bytes for itself and 4 for each record. A single record is a
/// transaction of one. Where the log's segments are small it is less:
/// [`Producer::transaction_bytes_max`](crate::inlet::Producer::transaction_bytes_max).
pub const TRANSACTION_BYTES_MAX: usize = 1 << 20;
/// The most bytes of a producer's id.
pub const PRODUCER_ID_BYTES_MAX: usize = 256;
/// The most producers that one inlet remembers. For another the one makes way that nobody has held for the longest.
pub const PRODUCERS_MAX: usize = 1 << 16;
/// How long [`Inlet::producer`](crate::inlet::Inlet::producer) waits for a job to be started.
pub const START_WAIT: Duration = Duration::from_secs(10);

/// How often a run is asked how it has ended, once all writers to a subscription are gone.
pub(crate) const ENDING_WAIT: Duration = Duration::from_millis(1);

/// A file sink writes a batch when it has become this large, whether or not more follows.
pub(crate) const WRITE_BYTES: usize = 256 * 1024;
/// Bytes of a part's end that a start checks; all of a part that is not longer.
pub(crate) const CHECK_BYTES: u64 = 1 << 30;
/// Bytes from one mark to the next.
pub(crate) const MARK_BYTES: u64 = 64 << 20;
/// Bytes that are read at a time for that.
pub(crate) const READ_BYTES: usize = 1 << 20;
/// How long a part may be held by another writer: one that cuts it does so for moments.
pub(crate) const PART_LOCK_WAIT: Duration = Duration::from_secs(3);

const _: () = {
    assert!(STRIPES == u64::BITS as usize, "which queues hold something is one word");
    assert!(
        TRANSACTION_BYTES_MAX as u64 <= SEGMENT_BYTES_MIN / 2,
        "the log takes what is not refused for its size"
    );
    assert!(REST_BYTES <= BLOCK_BYTES && BLOCK_BYTES as u64 <= CHUNK_BYTES);
    assert!(SPLIT_BYTES_MIN >= 2 * CHUNK_BYTES, "what is divided has something to divide");
    assert!(MARK_BYTES <= CHECK_BYTES && CHECK_BYTES.is_multiple_of(MARK_BYTES));
    assert!(READ_BYTES as u64 <= MARK_BYTES);
};
