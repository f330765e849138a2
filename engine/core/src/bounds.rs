//! The engine's fixed bounds, in one place, with what relates them.

/// Every frame, and everything inside of a ring, begins at a multiple of this.
pub const FRAME_ALIGN: usize = 16;
/// Bytes of a frame's header.
pub const FRAME_HEADER: usize = 48;
/// A frame is closed at this size, so that the work of one frame stays within tens of microseconds.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Rows for an operator within a chain are handed over once they have come to so many bytes: some batches, which stay in the cache.
pub(crate) const LOCAL_FRAME_BYTES: usize = 8 * 1024;
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
/// Rows that are put in order again before the rest of the duty cycle runs, when some came from another shard or went there.
pub(crate) const REFILL_ROWS: usize = 2 * 1024;
/// Bytes of state that are copied when one of them is about to change while a checkpoint still needs it: about a page.
pub const CHUNK_BYTES: usize = 4 * 1024;
/// Rows of a checkpoint that are written before the rest of the duty cycle runs, and bytes of them.
pub const SAVE_ROWS_MAX: usize = 2 * 1024;
/// See [`SAVE_ROWS_MAX`].
pub const SAVE_BYTES_MAX: usize = 64 * 1024;
/// Rows that are handed over to another shard before the rest of the duty cycle runs, and bytes of them; a leaf that was begun goes whole.
pub(crate) const MOVE_ROWS_MAX: usize = 2 * 1024;
/// See [`MOVE_ROWS_MAX`].
pub(crate) const MOVE_BYTES_MAX: usize = 64 * 1024;
/// Copies of what changed are kept in blocks of this size until the checkpoint takes them.
pub const ASIDE_BYTES: usize = 256 * 1024;
/// As many of these blocks stay for the next checkpoint: getting them anew would cost page faults in the middle of a
/// batch.
pub const ASIDE_SPARE_MAX: usize = 32;
/// Types within each other in a schema that is read back from its text.
pub(crate) const SCHEMA_DEPTH_MAX: usize = 96;
/// Bytes of a row that is converted from one schema to another, at most: its parts point to each other with 32 bits and a sign.
pub(crate) const CONVERTED_BYTES_MAX: usize = i32::MAX as usize;
/// Bytes that are reserved for a block of a checkpoint at most before its rows are seen.
pub(crate) const HINT_BYTES_MAX: usize = 1 << 20;
/// What chains keep is saved in blocks of this size.
pub(crate) const NOTES_BLOCK_BYTES: usize = 64 * 1024;
/// Rows that are saved in the time in which a chunk that needs no saving is passed over.
pub(crate) const SKIP_ROWS: usize = 4;
/// Bytes ahead of a channel's cursor that the processor is asked for: some hundred nanoseconds at full speed.
pub(crate) const WRITE_AHEAD_BYTES: usize = 512;
/// Rows ahead that a closing window asks memory for.
pub(crate) const EMIT_AHEAD: usize = 8;
/// Rows that leave in the time that it takes to begin with a window: a window may have many panes and no rows,
pub(crate) const WINDOW_ROWS: usize = 16;
/// and to let go of a pane.
pub(crate) const PANE_ROWS: usize = 8;
/// Windows share what their panes come to if the panes have more rows than so many times a window's, and once more for each doubling of the
/// panes. One that shares copies a table of its size and merges two, and a pane is merged again for every second doubling; and the tables are two
/// and one for each doubling. So at this number it takes three quarters of the time at most, and there are fewer rows in what is shared than in
/// the panes. Windows of up to six panes are closed without.
pub(crate) const SUFFIX_TABLES: usize = 4;
/// What keys and values own on the heap is charged in pieces of this size: seldom, and hardly more than there is.
pub(crate) const HEAP_STEP_BYTES: usize = 16 * 1024;
/// Bytes of a block of a queue, unless that is less than a few items: so much is copied at most where a queue grows,
pub(crate) const QUEUE_BLOCK_BYTES: usize = 16 * 1024;
/// and so few items a block has at least.
pub(crate) const QUEUE_BLOCK_ITEMS_MIN: usize = 16;
/// Empty blocks that stay with a queue on a shard's thread, so that they need not be had anew for each poll.
pub(crate) const QUEUE_SPARE_MAX: usize = 16;
/// How long memory has to be of no use, by the driver's clock, until it is given back: long enough that getting it anew does not count.
pub(crate) const TIDY_NANOS: u64 = 30_000_000_000;
/// Rows that leave in the time in which a leaf of a table is cleared.
pub(crate) const LEAF_ROWS: usize = 64;
/// Bytes of the smallest slab, of which there may be one for each pane of a window and part of the key space,
pub(crate) const SLAB_BYTES_MIN: usize = 256;
/// of the blocks that slabs are cut from at least,
pub(crate) const SLAB_BLOCK_BYTES_MIN: usize = 16 * 1024;
/// and at most: a huge page.
pub(crate) const SLAB_BLOCK_BYTES_MAX: usize = 2 << 20;
/// Bytes of the entries of a leaf of a keyed table at most: what is copied and hashed again when one is full and divided, some ten
/// microseconds' work.
pub(crate) const LEAF_BYTES_MAX: usize = 64 * 1024;
/// At or below this many rows one comparison sort is cheaper than counting digits.
pub(crate) const ORDER_SMALL_ROWS: usize = 256;
/// Rows that can be counted or made in the time in which one is moved.
pub(crate) const ORDER_CHEAP_ROWS: usize = 8;
/// Steps in a row with work after which a shard counts as busy.
pub(crate) const BUSY_STEPS: u32 = 64;
/// One of so many records is looked at for where the load is. A prime, so that keys that come in turn are seen in turn.
pub(crate) const LOAD_SAMPLE: u32 = 61;
/// Keys of a tick whose records are added up before they cross: those that are hot are among the first, and their rows stay in L1.
pub(crate) const PRE_AGGREGATED_ROWS: usize = 256;
/// Bytes of these rows at most, besides what they own.
pub(crate) const PRE_AGGREGATED_BYTES: usize = 128 * 1024;
/// A row that owns so many bytes leaves with the next record of its key. The registers of a sketch of distinct values are 4 KiB and do not.
pub(crate) const PRE_AGGREGATED_OWNED: usize = 4 * 1024 + 64;
/// Partitions of one source: each is asked in every tick.
pub const PARTITIONS_MAX: usize = 1 << 16;
/// Shards of one job: beyond it the rings, whose number is its square, fit no machine.
pub const SHARDS_MAX: usize = 1024;

const _: () = {
    assert!(FRAME_HEADER.is_multiple_of(FRAME_ALIGN));
    assert!(RING_RESERVE >= 4 * FRAME_HEADER + 2 * FRAME_ALIGN);
    // Models of the ring alone are small, and send no frames through channels.
    assert!(cfg!(loom) || RING_BYTES_MIN >= 4 * RING_RESERVE && RING_BYTES_MIN.is_power_of_two());
    assert!(SHARDS_MAX <= u16::MAX as usize);
    assert!(BATCH <= u64::BITS as usize);
    assert!(PRE_AGGREGATED_ROWS.is_power_of_two() && PRE_AGGREGATED_ROWS < u16::MAX as usize);
    assert!(
        SAVE_BYTES_MAX >= CHUNK_BYTES && ASIDE_BYTES >= SAVE_BYTES_MAX && NOTES_BLOCK_BYTES <= SAVE_BYTES_MAX
    );
    assert!(WRITE_AHEAD_BYTES < RING_BYTES_MIN || cfg!(loom));
    assert!(WINDOW_ROWS <= FIRE_ROWS_MAX && PANE_ROWS <= FIRE_ROWS_MAX && EMIT_AHEAD <= BATCH);
    assert!(SKIP_ROWS <= SAVE_ROWS_MAX);
};
