//! The engine's fixed bounds, in one place, with what relates them.

/// Every frame, and everything inside of a ring, begins at a multiple of this.
pub const FRAME_ALIGN: usize = 16;
/// Bytes of a frame's header.
pub const FRAME_HEADER: usize = 32;
/// A frame is closed at this size, so that the work of one frame stays within tens of microseconds.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Ring space that records never use, kept for one tick's watermark, one oversized frame and a wrap marker.
pub const RING_RESERVE: usize = 8 * FRAME_HEADER;
/// The smallest ring.
pub const RING_BYTES_MIN: usize = if cfg!(loom) { 64 } else { 4 * 1024 };
/// Records that are looked up together: far enough ahead to hide a cache miss, few enough to stay in registers and L1.
pub const BATCH: usize = 64;
/// Records that a stage merges before it lets the rest of the duty cycle run.
pub const STEP_RECORDS_MAX: usize = 8 * 1024;
/// Times in a row that a partition may pause in a replay; one that is not replayable pauses for ever.
pub const REPLAY_PAUSES_MAX: usize = 1 << 20;
/// Rows of a closing window that are handled before the rest of the duty cycle runs.
pub const FIRE_ROWS_MAX: usize = 2 * 1024;
/// Bytes of state that are copied when one of them is about to change while a checkpoint still needs it: about a page.
pub const CHUNK_BYTES: usize = 4 * 1024;
/// Rows of a checkpoint that are written before the rest of the duty cycle runs, and bytes of them.
pub const SAVE_ROWS_MAX: usize = 2 * 1024;
/// See [`SAVE_ROWS_MAX`].
pub const SAVE_BYTES_MAX: usize = 64 * 1024;
/// Copies of what changed are kept in blocks of this size until the checkpoint takes them.
pub const ASIDE_BYTES: usize = 256 * 1024;
/// As many of these blocks stay for the next checkpoint: getting them anew would cost page faults in the middle of a
/// batch.
pub const ASIDE_SPARE_MAX: usize = 32;
/// Partitions of one source: each is asked in every tick.
pub const PARTITIONS_MAX: usize = 1 << 16;
/// Shards of one job.
pub const SHARDS_MAX: usize = 1024;

const _: () = {
    assert!(FRAME_HEADER.is_multiple_of(FRAME_ALIGN));
    assert!(RING_RESERVE >= 4 * FRAME_HEADER + 2 * FRAME_ALIGN);
    // Models of the ring alone are small, and send no frames through lanes.
    assert!(cfg!(loom) || RING_BYTES_MIN >= 4 * RING_RESERVE && RING_BYTES_MIN.is_power_of_two());
    assert!(SHARDS_MAX <= u16::MAX as usize);
    assert!(BATCH <= u64::BITS as usize);
};
