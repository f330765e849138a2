//! What the storage layer is tuned with, in one place, with what relates it. Nothing here is part of a format: a file that was written with
//! other numbers is read as well.

use crate::log::LogOptions;
use crate::segment::PAGE;
use crate::snapshot::ENTRY_BYTES;
use std::time::Duration;

/// Unwritten bytes that make a group that nobody waits for; less where a quarter of a segment is less.
pub(crate) const GROUP_BYTES_ENOUGH: u64 = 256 << 10;
/// Turns after which a smaller group is written all the same.
pub(crate) const GROUP_TURNS_MAX: u32 = 1 << 14;
/// How long one call to the kernel may sleep while [`Log::sync`](crate::Log::sync) waits.
pub(crate) const LOG_SYNC_WAIT: Duration = Duration::from_millis(100);

/// Retired segments that are kept to be used again.
pub(crate) const SPARES_MAX: usize = 2;
/// Zeros that a new segment is filled with at a time.
pub(crate) const FILL_BYTES: u64 = 256 << 10;
/// It is made durable as often as this.
pub(crate) const FILL_SYNC_BYTES: u64 = 1 << 20;
/// Filled at once, whatever the rate at which the segment before fills.
pub(crate) const FILL_AHEAD_BYTES: u64 = 4 << 20;

/// How long a ring is waited for that another process holds: one that was killed does until the kernel has cleared it away.
pub(crate) const RING_HOLD_WAIT: Duration = Duration::from_secs(3);
/// Numbers that are drawn for a ring before it is believed that none is free.
pub(crate) const RING_DRAWS_MAX: usize = 8;

/// Zeros that are written at a time behind the end of a log.
pub(crate) const ERASED_BYTES: u64 = 1 << 20;
/// Bytes of a log that are written again at a time.
pub(crate) const AGAIN_BYTES: u64 = 1 << 20;

/// Room for a block of this length is asked for: most are shorter by far. One that is longer, because what it holds cannot be divided, has
/// memory made for it until it has been written.
pub const BLOCK_BYTES: usize = 128 << 10;
/// A snapshot's bytes are handed to the disk in buffers of this size,
pub(crate) const BUFFER_BYTES: usize = 64 << 10;
/// of which there are so many,
pub(crate) const BUFFERS: usize = 8;
/// and made durable as often as this: a flush of the log waits for all that the device has by then.
pub(crate) const SYNC_EVERY_BYTES: usize = 256 << 10;
/// Entries of a snapshot's index that are written in one turn.
pub(crate) const INDEX_ENTRIES: usize = 512;
/// Entries that are sorted or merged in one.
pub(crate) const SORT_ENTRIES: usize = 512;
/// The most of a block that is asked for ahead of its checksum: less than what the cache next to the processor holds.
pub(crate) const TOUCHED_BYTES: usize = 16 << 10;

/// The longest file with a command, or an answer, that is read.
pub(crate) const COMMAND_BYTES_MAX: u64 = 64 << 10;

/// How long the lock of a directory is waited for. A tool that looks whether a job is at work has it for a moment, and that of a process that
/// was killed is there until the kernel has cleared it away.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(1);
/// The time from one try to the next.
pub(crate) const LOCK_STEP: Duration = Duration::from_millis(2);
/// Zeros that a file is filled with at a time where nobody has anything else to do meanwhile.
pub(crate) const ZEROS_BYTES: usize = 1 << 20;
/// Writes that a writer gives to the kernel at a time; more of them wait in the writer.
pub(crate) const URING_IN_FLIGHT: usize = 32;
/// Threads of the kernel per submitting thread, for work that can block and for work that can wait for ever.
pub(crate) const URING_WORKERS: [u32; 2] = [4, 4];

const _: () = {
    assert!(GROUP_BYTES_ENOUGH <= LogOptions::SEGMENT_BYTES / 4, "in a segment of the usual size it counts");
    assert!(FILL_BYTES.is_multiple_of(PAGE) && FILL_SYNC_BYTES.is_multiple_of(FILL_BYTES));
    assert!(FILL_AHEAD_BYTES >= FILL_SYNC_BYTES && FILL_AHEAD_BYTES <= LogOptions::SEGMENT_BYTES);
    assert!(ERASED_BYTES.is_multiple_of(PAGE) && AGAIN_BYTES.is_multiple_of(PAGE));
    assert!(
        BUFFERS * BUFFER_BYTES >= 2 * BLOCK_BYTES + BUFFER_BYTES,
        "one block is written while the next comes"
    );
    assert!(SYNC_EVERY_BYTES.is_multiple_of(BUFFER_BYTES) && SYNC_EVERY_BYTES <= BUFFERS * BUFFER_BYTES);
    assert!(INDEX_ENTRIES * ENTRY_BYTES < BUFFER_BYTES, "a turn's entries fit a buffer");
    assert!(TOUCHED_BYTES <= BLOCK_BYTES);
    assert!(LOCK_STEP.as_nanos() < LOCK_WAIT.as_nanos());
};
