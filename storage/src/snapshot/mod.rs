//! Snapshots: what one shard remembers, as of one tick, in one file per checkpoint.
//!
//! A snapshot is a set of blocks named by (section, table, chunk). A full one holds all of them; an incremental one holds those that changed
//! and an index that says in which earlier checkpoint's file each of the others is. The index is always whole, so reading never follows a
//! chain, and an old file can be deleted once no index refers to it.
//!
//! 1. *create*: [`SnapshotFile::create`] makes the file and its name durable. It blocks, and is best called away from the shard's core.
//! 2. *take*: the shard gives [`SnapshotWriter`] its blocks between records, in any order, each once, and calls `turn` to move bytes on.
//!    Nothing blocks; memory is eight buffers of 64 KiB and 40 bytes per block.
//! 3. *finish*: the index is sorted and written in bounded steps, everything is made durable, and only then the footer follows, in one sector.
//!    So a file with a footer is whole, and one without is not a snapshot.
//! 4. *read*: [`SnapshotReader`] checks header, footer and index when it opens, which is quick however large the state is, and each block's
//!    checksum when the block is asked for.
//!
//! The bytes are drawn in `format.rs`, and for people in `docs/format/snapshot.md`.

mod format;
mod reader;
mod sort;
mod stream;
mod writer;

pub(crate) use format::ENTRY_BYTES;
pub use reader::SnapshotReader;
pub use writer::{SnapshotFile, SnapshotWriter};

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which snapshot: whose, and of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotId {
    /// The log that the checkpoint belongs to.
    pub log_id: u128,
    /// The generation of shards.
    pub generation: u32,
    /// The shard.
    pub shard: u16,
    /// The checkpoint's number; grows for ever.
    pub number: u64,
    /// The last tick whose effects are in it.
    pub tick: u64,
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// First part of its name: an operator's place in the job, say.
    pub section: u32,
    /// Second part: a table of that operator.
    pub table: u32,
    /// Third part: a piece of that table.
    pub chunk: u32,
    /// Bytes in it.
    pub len: u32,
    /// Number of the checkpoint whose file holds it.
    pub number: u64,
    /// Where in that file its header starts.
    pub at: u64,
    /// Its checksum.
    pub crc: u32,
}

impl BlockEntry {
    /// Its name, which is also its place in the index.
    pub fn key(&self) -> (u32, u32, u32) {
        (self.section, self.table, self.chunk)
    }
}

/// All blocks of a snapshot, in the order of their names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SnapshotIndex {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: SnapshotId,
    entries: Vec<BlockEntry>,
    crc: u32,
    needs: Vec<u64>,
    file_bytes: u64,
}

impl SnapshotIndex {
    fn new(id: SnapshotId, entries: Vec<BlockEntry>, crc: u32, needs: Vec<u64>, file_bytes: u64) -> Self {
        SnapshotIndex { inner: Arc::new(Inner { id, entries, crc, needs, file_bytes }) }
    }

    /// Which snapshot it is of.
    pub fn id(&self) -> &SnapshotId {
        &self.inner.id
    }

    /// The blocks, ascending.
    pub fn entries(&self) -> &[BlockEntry] {
        &self.inner.entries
    }

    /// The block of that name.
    pub fn find(&self, section: u32, table: u32, chunk: u32) -> Option<&BlockEntry> {
        self.position((section, table, chunk)).ok().map(|at| &self.inner.entries[at])
    }

    /// Numbers of the earlier checkpoints whose files hold blocks of this one, ascending.
    pub fn needs(&self) -> &[u64] {
        &self.inner.needs
    }

    /// Bytes of the snapshot's own file.
    pub fn file_bytes(&self) -> u64 {
        self.inner.file_bytes
    }

    /// Tells it from any other snapshot: the number of its blocks, and a CRC32C of its index, which holds a checksum of each.
    pub fn digest(&self) -> u64 {
        (self.inner.entries.len() as u64) << 32 | u64::from(self.inner.crc)
    }

    fn position(&self, key: (u32, u32, u32)) -> Result<usize, usize> {
        self.inner.entries.binary_search_by_key(&key, BlockEntry::key)
    }
}

/// The directory of checkpoint `number` within `checkpoints`.
pub fn checkpoint_directory(checkpoints: &Path, number: u64) -> PathBuf {
    checkpoints.join(format!("{number:08}"))
}

/// The snapshot file of `shard` of checkpoint `number` within `checkpoints`.
pub fn snapshot_path(checkpoints: &Path, number: u64, shard: u16) -> PathBuf {
    checkpoint_directory(checkpoints, number).join(format!("shard-{shard:04}.snap"))
}

/// Adds `number` to an ascending list, once.
fn note(numbers: &mut Vec<u64>, number: u64) {
    if let Err(at) = numbers.binary_search(&number) {
        numbers.insert(at, number);
    }
}
