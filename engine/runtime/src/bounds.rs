//! What the runtime is tuned with, in one place, with what relates it, and with what relates it to the crates below.

use pelton_core::bounds::{FRAME_BYTES_MAX, RING_BYTES_MIN, SAVE_BYTES_MAX};
use pelton_storage::{BLOCK_BYTES, LogOptions};
use std::time::Duration;

/// A cycle longer than this is counted as a stall.
pub const STALL_NS: u64 = 1_000_000;
/// Nanoseconds from one reading of the wall clock to the next: within that it goes on with the driver's.
pub(crate) const WALL_INTERVAL_NS: u64 = 1_000_000;
/// From this size on a block of memory is a map of its own.
pub(crate) const MAP_BYTES_MIN: usize = 128 << 10;

/// An idle core turns the reactor this often.
pub(crate) const REACTOR_TURN_INTERVAL_NS: u64 = 1_000_000;
/// The shortest sleep that surely has not ended yet when glommio first looks; one that has turns nothing.
pub(crate) const REACTOR_TURN: Duration = Duration::from_micros(1);
/// How long glommio spins before it parks: enough for [`REACTOR_TURN`], which a real park would stretch to 50 µs.
pub(crate) const SPIN_BEFORE_PARK: Duration = Duration::from_micros(5);
/// How long a core that glommio parked by mistake stays parked at most.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(10);
/// What glommio registers with the kernel for its own IO. The hot path has none, so the least it accepts.
pub(crate) const IO_MEMORY_BYTES: usize = 64 << 10;

/// How long a core with nothing else to do sleeps at most while its own flush is under way.
pub(crate) const FLUSH_WAIT: Duration = Duration::from_micros(20);
/// After so long what nobody waits for is flushed as well, so that a crash costs little work.
pub(crate) const FLUSH_LATEST_NS: u64 = 1_000_000;
/// A flush that goes unwatched for this many steps without work is waited for.
pub(crate) const QUIET_STEPS: u32 = 4;

/// A checkpoint is taken so many ticks ahead: far enough that no shard has come there when the barrier goes up. Ticks are only numbers: skipping
/// them costs nothing.
pub(crate) const CHECKPOINT_AHEAD: u64 = 1 << 20;
/// So many ticks are passed over when it is not known which the last one was: more than any job makes between two checkpoints.
pub(crate) const UNKNOWN_TICKS: u64 = 1 << 48;
/// Checkpoints in a row that may build on each other.
pub(crate) const INCREMENTS_MAX: usize = 8;
/// Bytes of old snapshots that are deleted at a time,
pub(crate) const REMOVED_BYTES: u64 = 4 << 20;
/// and how often.
pub(crate) const REMOVE_INTERVAL_NS: u64 = 20_000_000;
/// How often the logs' marks are looked at, and the witness says how far they are. A mark that has not moved since is made durable: a flush of
/// its own, when nobody waits for one.
pub(crate) const MARK_INTERVAL_NS: u64 = 20_000_000;
/// How long a job that is suspended is waited for at most before its logs are closed: so that it has ended before whoever stops it loses
/// patience, which is after 10 s for some.
pub(crate) const SUSPEND_NS_MAX: u64 = 8_000_000_000;
/// A shard that has this many hundredths of the mean is not worth moving anything for.
pub(crate) const SKEW_PERCENT: u64 = 110;

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

/// The smallest ring that can be configured: a frame must leave room for others beside it.
pub(crate) const BUFFER_BYTES_MIN: u64 = 64 << 10;
/// The smallest log segment that can be: its header, and room for entries worth the file.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 20;
/// What a shard gives another in so many steps may be on its way when key groups move: more would take memory, and wait there.
pub(crate) const MOVING_BATCHES_MAX: usize = 64;
/// The smallest memory limit that can be: below it no job has room for a table.
pub(crate) const MEMORY_BYTES_MIN: u64 = 16 << 20;
/// No configuration is longer; what is (a device, the wrong file) is not read to its end.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;
/// No machine has more CPUs than this; a longer list is a mistake.
pub(crate) const CPU_LIST_MAX: usize = 4096;

const _: () = {
    assert!(REACTOR_TURN.as_nanos() < SPIN_BEFORE_PARK.as_nanos());
    assert!(SPIN_BEFORE_PARK.as_nanos() < HEARTBEAT.as_nanos());
    assert!(FLUSH_WAIT.as_nanos() < FLUSH_LATEST_NS as u128, "who sleeps for a flush is back for the next");
    assert!(FLUSH_LATEST_NS < MARK_INTERVAL_NS, "a mark that has not moved says that nothing is flushed");
    assert!(CHECKPOINT_AHEAD < UNKNOWN_TICKS);
    assert!(KEEPER_INTERVAL.as_nanos() <= COMMANDS_INTERVAL_NS as u128);
    assert!(BUFFER_BYTES_MIN >= RING_BYTES_MIN as u64 && BUFFER_BYTES_MIN >= FRAME_BYTES_MAX as u64);
    assert!(
        SEGMENT_BYTES_MIN >= LogOptions::SEGMENT_BYTES_MIN && SEGMENT_BYTES_MIN <= LogOptions::SEGMENT_BYTES
    );
    assert!(SAVE_BYTES_MAX <= BLOCK_BYTES, "what a step saves fits the room that was asked for");
};
