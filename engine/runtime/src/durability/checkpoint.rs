//! A checkpoint on disk as the core sees it: written to through [`Blocks`], read from through [`Restored`].

use super::input_log::fault;
use crate::plan;
use pelton_core::checkpoint::snapshot::{BlockId, Checkpoint, Section, SnapshotOut, TakeBlock};
use pelton_core::record::convert::Conversion;
use pelton_core::state::prefetch::prefetch_soon;
use pelton_core::{Fault, Tick};
use pelton_storage::disk::Disk;
use pelton_storage::{BlockEntry, Checkpoint as Kept, Job, SnapshotReader, SnapshotWriter, StorageError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A snapshot that is being written, for a shard to put its blocks in.
pub(crate) struct Blocks<'a>(pub(crate) &'a mut SnapshotWriter);

impl SnapshotOut for Blocks<'_> {
    fn room(&self) -> bool {
        self.0.room()
    }

    fn block(&mut self, id: BlockId, bytes: &[u8]) {
        self.0.block(id.section.0, id.table, id.chunk, bytes);
    }

    fn same(&mut self, id: BlockId) {
        self.0.same(id.section.0, id.table, id.chunk);
    }
}

/// The snapshots of all shards of a checkpoint, open for reading.
pub struct Restored {
    tick: Tick,
    readers: Vec<SnapshotReader>,
    /// Whether a block was found damaged.
    damaged: AtomicBool,
    /// Whether it was taken by a program with other operators.
    is_of_another: bool,
    /// Sections whose rows are converted as they are read.
    conversions: BTreeMap<Section, Conversion>,
}

impl Restored {
    /// Opens the snapshots of a checkpoint of a log's manifest.
    ///
    /// # Errors
    /// When one of them is not there, damaged, or another than the one that was made.
    pub fn open(
        disk: &Arc<dyn Disk>,
        checkpoints: &Path,
        checkpoint: &Kept,
        log: u128,
    ) -> Result<Self, StorageError> {
        let open = |shard| checkpoint.snapshot(disk, checkpoints, log, shard);
        let readers = (0..checkpoint.shards).map(open).collect::<Result<Vec<_>, _>>()?;
        Ok(Restored {
            tick: Tick(checkpoint.tick),
            readers,
            damaged: AtomicBool::new(false),
            is_of_another: false,
            conversions: BTreeMap::new(),
        })
    }

    /// For a job that is `now`, of a checkpoint that was taken when it was `before`.
    ///
    /// # Errors
    /// When the job keeps other records, and those that are there cannot be converted.
    pub(crate) fn for_job(self, before: &Job, now: &Job, data: &Path) -> Result<Self, StorageError> {
        if before.operators == now.operators {
            return Ok(self);
        }
        let conversions = plan::conversions(&before.operators, &now.operators).map_err(|reason| {
            let advice = "Start the program that the checkpoint is of.";
            StorageError::Unusable { path: data.to_owned(), reason, advice }
        })?;
        Ok(Restored { is_of_another: true, conversions, ..self })
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// When a part is damaged.
    pub fn verify(&self) -> Result<(), StorageError> {
        let mut blocks =
            self.readers.iter().flat_map(|reader| blocks_of(reader, reader.index().entries(), |_| true));
        blocks.try_for_each(|(_, block)| block.map(drop))
    }

    /// Whether reading it came upon damage: an earlier checkpoint may still do.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Relaxed)
    }
}

impl Checkpoint for Restored {
    fn tick(&self) -> Tick {
        self.tick
    }

    fn shards(&self) -> usize {
        self.readers.len()
    }

    fn is_of_another_program(&self) -> bool {
        self.is_of_another
    }

    fn blocks(
        &self,
        shard: usize,
        section: Section,
        wanted: &mut dyn FnMut(BlockId) -> bool,
        take: &mut TakeBlock<'_>,
    ) -> Result<(), Fault> {
        let reader = &self.readers[shard];
        let entries = reader.index().entries();
        let first = entries.partition_point(|entry| entry.section < section.0);
        let behind = first + entries[first..].partition_point(|entry| entry.section == section.0);
        // The header of a state, which is table 0, has no rows in it.
        let (conversion, mut converted) = (self.conversions.get(&section), Vec::new());
        let named = |entry: &BlockEntry| BlockId { section, table: entry.table, chunk: entry.chunk };
        for (entry, bytes) in blocks_of(reader, &entries[first..behind], |entry| wanted(named(entry))) {
            let bytes = bytes.map_err(|error| {
                self.damaged.store(true, Relaxed);
                fault(error)
            })?;
            match conversion.filter(|_| entry.table > 0) {
                None => take(named(entry), bytes)?,
                Some(conversion) => {
                    converted.clear();
                    conversion.block(bytes, &mut converted)?;
                    take(named(entry), &converted)?;
                }
            }
        }
        Ok(())
    }
}

/// The blocks of a snapshot that are wanted, one after the other: while one is looked at, the next comes into the cache. Whether one is
/// wanted is asked when those before it have been taken.
fn blocks_of<'a>(
    reader: &'a SnapshotReader,
    entries: &'a [BlockEntry],
    mut wanted: impl FnMut(&BlockEntry) -> bool,
) -> impl Iterator<Item = (&'a BlockEntry, Result<&'a [u8], StorageError>)> {
    entries.iter().enumerate().filter(move |(_, entry)| wanted(entry)).map(|(number, entry)| {
        if let Some(next) = entries.get(number + 1) {
            prefetch_soon(reader.ahead_of(next));
        }
        (entry, reader.block(entry))
    })
}
