//! Writing a snapshot while records are processed.

use super::format::{
    BLOCK_ALIGNMENT, ENTRY_BYTES, FOOTER_BYTES, Footer, Header, block_bytes, block_header, encode_entry,
};
use super::sort::Sort;
use super::stream::Stream;
use super::{BlockEntry, SnapshotId, SnapshotIndex, checkpoint_directory, note, snapshot_path};
use crate::bounds::{BLOCK_BYTES, INDEX_ENTRIES};
use crate::disk::{Disk, DiskFile, How};
use crate::error::StorageError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A new snapshot file, empty, whose name will outlast a crash.
///
/// Making it costs a few milliseconds of waiting for the disk. It can be made on any thread and then sent to the shard's.
pub struct SnapshotFile {
    id: SnapshotId,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl SnapshotFile {
    /// Makes the file of `id` in the directory `checkpoints`.
    ///
    /// # Errors
    /// When the disk refuses, or the file is there already: numbers of checkpoints are not used twice, and what a crash left is removed by
    /// [`DataDirectory::remove_unreferenced`](crate::DataDirectory::remove_unreferenced).
    pub fn create(disk: &dyn Disk, checkpoints: &Path, id: SnapshotId) -> Result<Self, StorageError> {
        let directory = checkpoint_directory(checkpoints, id.number);
        let path = snapshot_path(checkpoints, id.number, id.shard);
        disk.create_directory(&directory).map_err(|error| StorageError::io("create", &directory, error))?;
        let file = disk.open(&path, How::Create).map_err(|error| StorageError::io("create", &path, error))?;
        for directory in [&directory, checkpoints] {
            disk.sync_directory(directory).map_err(|error| StorageError::io("sync", directory, error))?;
        }
        Ok(SnapshotFile { id, path, file })
    }
}

/// Writes one snapshot, in steps.
///
/// ```
/// use pelton_storage::disk::{Blocking, Disk};
/// use pelton_storage::{SnapshotId, SnapshotReader, SnapshotWriter};
/// use std::sync::Arc;
///
/// let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
/// let checkpoints = std::env::temp_dir().join(format!("pelton-doc-snapshot-{}", std::process::id()));
/// let id = SnapshotId { log_id: 7, generation: 0, shard: 0, number: 1, tick: 500 };
///
/// let mut writer = SnapshotWriter::create(&disk, &checkpoints, id, None)?;
/// for chunk in 0..100 {
///     while !writer.room() {
///         writer.turn()?; // and process records
///     }
///     writer.block(0, 0, chunk, &chunk.to_le_bytes());
/// }
/// writer.finish();
/// while !writer.is_done() {
///     writer.turn()?; // and process records
/// }
/// let index = writer.into_index();
/// assert_eq!(index.entries().len(), 100);
///
/// let reader = SnapshotReader::open(&disk, &checkpoints, &id)?;
/// let entry = reader.index().find(0, 0, 42).unwrap();
/// assert_eq!(reader.block(entry)?, 42_u32.to_le_bytes());
/// # std::fs::remove_dir_all(&checkpoints).unwrap();
/// # Ok::<(), pelton_storage::StorageError>(())
/// ```
pub struct SnapshotWriter {
    id: SnapshotId,
    stream: Stream,
    previous: Option<SnapshotIndex>,
    /// Where in `previous` the next block is expected that is the same: the one after the last such.
    expected: usize,
    entries: Vec<BlockEntry>,
    needs: Vec<u64>,
    ascending: bool,
    /// Checksum of the index, once it was written.
    index_crc: u32,
    step: WriteStep,
}

enum WriteStep {
    Taking,
    Sorting(Sort),
    Indexing { at: u64, next: usize, crc: u32 },
    Syncing(Footer),
    Ending,
    Done,
}

impl SnapshotWriter {
    /// Makes the file and a writer for it: [`SnapshotFile::create`] and [`SnapshotWriter::new`] in one.
    ///
    /// # Errors
    /// As for these.
    pub fn create(
        disk: &Arc<dyn Disk>,
        checkpoints: &Path,
        id: SnapshotId,
        previous: Option<&SnapshotIndex>,
    ) -> Result<Self, StorageError> {
        SnapshotWriter::new(disk.as_ref(), SnapshotFile::create(disk.as_ref(), checkpoints, id)?, previous)
    }

    /// A writer for `file`, on the thread that will use it. Blocks may be the same as in `previous`.
    ///
    /// # Errors
    /// When the disk has no writer for this thread.
    pub fn new(
        disk: &dyn Disk,
        file: SnapshotFile,
        previous: Option<&SnapshotIndex>,
    ) -> Result<Self, StorageError> {
        let SnapshotFile { id, path, file } = file;
        if let Some(previous) = previous {
            let before = previous.id();
            let same = |id: &SnapshotId| (id.log_id, id.generation, id.shard);
            assert_eq!(same(before), same(&id), "a snapshot follows one of its own shard");
            assert!(before.number < id.number && before.tick <= id.tick, "a snapshot follows an earlier one");
        }
        let writer = disk.writer().map_err(|error| StorageError::io("open a writer for", &path, error))?;
        let mut stream = Stream::new(path, file, writer);
        stream.put(&Header::encode(&id));
        // As many blocks as last time, and then some: growing later would move them all.
        let blocks = previous.map_or(0, |previous| previous.entries().len() + previous.entries().len() / 8);
        Ok(SnapshotWriter {
            id,
            stream,
            previous: previous.cloned(),
            expected: 0,
            entries: Vec::with_capacity(blocks.max(1024)),
            needs: Vec::new(),
            ascending: true,
            index_crc: 0,
            step: WriteStep::Taking,
        })
    }

    /// Whether a block can be taken now. If not, come back after [`turn`](Self::turn).
    pub fn room(&self) -> bool {
        self.stream.room() >= block_bytes(BLOCK_BYTES)
    }

    /// Takes a block: checksum and copy, no system call. There must be [`room`](Self::room), be it for less than a block that is longer than
    /// [`BLOCK_BYTES`], and each name may be used once.
    pub fn block(&mut self, section: u32, table: u32, chunk: u32, bytes: &[u8]) {
        assert!(matches!(self.step, WriteStep::Taking), "a block was given after the snapshot was finished");
        assert!(self.room(), "a block was given without room for it");
        assert!(bytes.len() <= u32::MAX as usize, "a block of {} bytes is too long", bytes.len());
        let at = self.stream.position();
        let (header, crc) = block_header((section, table, chunk), self.id.number, bytes);
        self.stream.put(&header);
        self.stream.put(bytes);
        self.stream.pad(BLOCK_ALIGNMENT);
        self.add(BlockEntry {
            section,
            table,
            chunk,
            len: bytes.len() as u32,
            number: self.id.number,
            at,
            crc,
        });
    }

    /// Says that a block is as it was in the previous snapshot, which must have it. Needs no room.
    pub fn same(&mut self, section: u32, table: u32, chunk: u32) {
        assert!(matches!(self.step, WriteStep::Taking), "a block was given after the snapshot was finished");
        let key = (section, table, chunk);
        let previous =
            self.previous.as_ref().expect("a block can be the same only if there was a snapshot before");
        let at = match previous.entries().get(self.expected) {
            Some(entry) if entry.key() == key => self.expected,
            _ => previous
                .position(key)
                .unwrap_or_else(|_| panic!("block {key:?} was not in the snapshot before")),
        };
        let entry = previous.entries()[at];
        self.expected = at + 1;
        note(&mut self.needs, entry.number);
        self.add(entry);
    }

    /// Bytes that the file has so far.
    pub fn file_bytes(&self) -> u64 {
        self.stream.position()
    }

    /// Goes on with what has been taken, without waiting for anything. True if something moved.
    ///
    /// One call costs at most a copy of 64 KiB in the kernel, or a step of the index, which is less.
    ///
    /// # Errors
    /// When something could not be written or made durable; from then on always. The snapshot is lost, the state that it was taken of and
    /// the snapshots before it are not.
    pub fn turn(&mut self) -> Result<bool, StorageError> {
        let moved = self.stream.turn()?;
        Ok(self.advance() || moved)
    }

    /// Says that all blocks were given.
    pub fn finish(&mut self) {
        assert!(matches!(self.step, WriteStep::Taking), "a snapshot is finished once");
        self.step = if self.ascending {
            self.indexing()
        } else {
            WriteStep::Sorting(Sort::new(std::mem::take(&mut self.entries)))
        };
    }

    /// Whether the snapshot is complete and durable.
    pub fn is_done(&self) -> bool {
        matches!(self.step, WriteStep::Done)
    }

    /// Whether the disk is at work for it.
    pub fn in_flight(&self) -> bool {
        self.stream.in_flight()
    }

    /// Sleeps until the disk has done something, but no longer than `longest`; returns at once if it is not at work.
    ///
    /// # Errors
    /// When the system cannot wait.
    pub fn wait(&mut self, longest: Duration) -> Result<(), StorageError> {
        self.stream.wait(longest)
    }

    /// Finishes and waits until everything is durable: for snapshots that nothing runs beside.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn finish_now(mut self) -> Result<SnapshotIndex, StorageError> {
        if matches!(self.step, WriteStep::Taking) {
            self.finish();
        }
        while !self.is_done() {
            if !self.turn()? {
                self.wait(Duration::from_millis(10))?;
            }
        }
        Ok(self.into_index())
    }

    /// The index of the finished snapshot: for the next one, and for the manifest.
    pub fn into_index(self) -> SnapshotIndex {
        assert!(self.is_done(), "a snapshot has an index once it is done");
        SnapshotIndex::new(self.id, self.entries, self.index_crc, self.needs, self.stream.position())
    }

    fn add(&mut self, entry: BlockEntry) {
        self.ascending &= self.entries.last().is_none_or(|last| last.key() < entry.key());
        self.entries.push(entry);
    }

    fn indexing(&self) -> WriteStep {
        WriteStep::Indexing { at: self.stream.position(), next: 0, crc: 0 }
    }

    /// One step of what follows the last block.
    fn advance(&mut self) -> bool {
        match &mut self.step {
            WriteStep::Taking | WriteStep::Done => false,
            WriteStep::Sorting(sort) => {
                if let Some(sorted) = sort.step() {
                    self.entries = sorted;
                    self.step = self.indexing();
                }
                true
            }
            WriteStep::Indexing { at, next, crc } => {
                let first = *next;
                let room = self.stream.room() / ENTRY_BYTES;
                let end = (first + INDEX_ENTRIES.min(room)).min(self.entries.len());
                for entry in first..end {
                    let twice = entry > 0 && self.entries[entry - 1].key() >= self.entries[entry].key();
                    assert!(!twice, "block {:?} was given twice", self.entries[entry].key());
                    let bytes = encode_entry(&self.entries[entry]);
                    *crc = crc32c::crc32c_append(*crc, &bytes);
                    self.stream.put(&bytes);
                }
                *next = end;
                if end < self.entries.len() || self.stream.room() < FOOTER_BYTES {
                    return end > first;
                }
                let (index_crc, index_at) = (*crc, *at);
                self.index_crc = index_crc;
                let entries = self.entries.len() as u64;
                self.stream.pad(FOOTER_BYTES);
                self.stream.flush();
                let SnapshotId { number, tick, .. } = self.id;
                self.step = WriteStep::Syncing(Footer { index_crc, index_at, entries, number, tick });
                true
            }
            WriteStep::Syncing(footer) => {
                if self.stream.is_flushing() {
                    return false;
                }
                let footer = footer.encode();
                self.stream.put(&footer);
                self.stream.flush();
                self.step = WriteStep::Ending;
                true
            }
            WriteStep::Ending => {
                let done = !self.stream.is_flushing();
                if done {
                    self.previous = None;
                    self.step = WriteStep::Done;
                }
                done
            }
        }
    }
}
