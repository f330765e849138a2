//! A shard in a checkpoint: it freezes after a tick, saves in steps while it runs on, and is restored from what was saved.

use super::Shard;
use crate::bounds::NOTES_BLOCK_BYTES;
use crate::checkpoint::notes::{EarlierParts, Notes};
use crate::checkpoint::owned::Owned;
use crate::checkpoint::snapshot::{BlockId, Checkpoint, Section, SnapshotOut};
use crate::fault::Fault;
use crate::ids::Tick;
use crate::operator::push::SinkLink;
use crate::sink::{SinkNotes, SinkSync};
use crate::stage::Stage;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

/// Blocks of so many bytes of notes; there is one at any rate.
fn blocks_of(bytes: usize) -> usize {
    bytes.div_ceil(NOTES_BLOCK_BYTES).max(1)
}

/// Notes that are being handed over, in blocks of a size that suits everybody: a service may leave many rows unacknowledged.
struct Putting {
    section: Section,
    notes: Notes,
    /// The next block.
    chunk: usize,
}

impl Putting {
    /// Hands over what there is room for; whether that was the last of it.
    fn put(&mut self, out: &mut dyn SnapshotOut) -> bool {
        let bytes = self.notes.as_slice();
        while self.chunk < blocks_of(bytes.len()) {
            if !out.room() {
                return false;
            }
            let start = self.chunk * NOTES_BLOCK_BYTES;
            let block = &bytes[start..bytes.len().min(start + NOTES_BLOCK_BYTES)];
            out.block(BlockId { section: self.section, table: 0, chunk: self.chunk as u32 }, block);
            self.chunk += 1;
        }
        true
    }
}

/// A checkpoint that is being saved.
pub(super) struct Saving {
    pub(super) tick: Tick,
    /// The notes of each stage, once it has frozen and until they are saved.
    notes: Vec<Option<Notes>>,
    /// For each stage the operator that saves next; none before the notes.
    operators: Vec<Option<usize>>,
    /// What the sinks keep, once they have been shown everything through the tick.
    pub(super) sinks: Option<SinkNotes>,
    /// The notes in hand.
    putting: Option<Putting>,
    /// Whether the sinks' notes have come to be.
    sinks_put: bool,
}

impl Saving {
    /// Puts notes, or goes on with those in hand; whether none are left.
    fn put(&mut self, notes: Option<(Section, Notes)>, out: &mut dyn SnapshotOut) -> bool {
        if let Some((section, notes)) = notes {
            self.putting = Some(Putting { section, notes, chunk: 0 });
        }
        if self.putting.as_mut().is_none_or(|putting| putting.put(out)) {
            self.putting = None;
        }
        self.putting.is_none()
    }
}

/// A checkpoint that a shard has begun, and has not handed over.
#[must_use = "the shard holds back rows until the checkpoint is saved"]
pub struct CheckpointBegun(());

/// How far a checkpoint is.
pub enum Saved {
    /// Come again.
    Pending(CheckpointBegun),
    /// All blocks have been handed over. What the sinks keep counts when these have been called.
    Done(Vec<SinkSync>),
}

impl Shard {
    /// All stages hear of something after `tick`, be it too late for one; whether it is in time for all.
    pub(super) fn acknowledge(&mut self, tick: Tick) -> bool {
        let late = self.stages.iter_mut().map(|stage| !stage.acknowledge(tick)).filter(|late| *late).count();
        late == 0
    }

    /// Begins a checkpoint after `tick`, if the shard has not come so far yet: ticks up to it are done with at once, later ones are not part of
    /// it. `full` says that no earlier checkpoint counts. One at a time. Nothing if the shard has come too far.
    pub fn checkpoint(&mut self, tick: Tick, full: bool) -> Option<CheckpointBegun> {
        assert!(self.saving.is_none(), "one checkpoint at a time");
        let mut notes = Notes::default();
        let in_time = self.acknowledge(tick);
        if !self.ingress.freeze(tick, &mut notes) || !in_time {
            return None;
        }
        self.stages.iter_mut().for_each(|stage| stage.freeze_after(tick, full));
        let mut all = alloc::vec![Some(notes)];
        all.extend(self.stages.iter_mut().map(Stage::frozen));
        self.saving = Some(Saving {
            tick,
            operators: alloc::vec![None; all.len()],
            notes: all,
            sinks: None,
            putting: None,
            sinks_put: false,
        });
        Some(CheckpointBegun(()))
    }

    /// Saves a bounded part of the checkpoint that was begun.
    ///
    /// # Errors
    /// When a sink cannot keep what it was given.
    pub fn save(&mut self, begun: CheckpointBegun, out: &mut dyn SnapshotOut) -> Result<Saved, Fault> {
        // Sooner than anything else: until then nothing of later ticks leaves.
        self.show()?;
        Ok(self.put_some(out)?.map_or(Saved::Pending(begun), Saved::Done))
    }

    /// Puts a bounded part of the checkpoint; what counts when the sinks have been asked, once that was the last of it.
    fn put_some(&mut self, out: &mut dyn SnapshotOut) -> Result<Option<Vec<SinkSync>>, Fault> {
        let Some(saving) = &mut self.saving else { unreachable!("it has begun, and is not done") };
        if !saving.put(None, out) {
            return Ok(None);
        }
        let mut whole = true;
        for number in 0..=self.stages.len() {
            if !out.room() {
                return Ok(None);
            }
            let stage = number.checked_sub(1).map(|index| &mut self.stages[index]);
            if saving.operators[number].is_none() {
                let notes = saving.notes[number].take().or_else(|| stage.and_then(Stage::frozen));
                let Some(notes) = notes else {
                    whole = false;
                    continue;
                };
                saving.operators[number] = Some(0);
                if !saving.put(Some((Section::notes(self.ids[number]), notes)), out) {
                    return Ok(None);
                }
            }
            let Some(index) = number.checked_sub(1) else { continue };
            let stores = self.stages[index].stores();
            let next = saving.operators[number].get_or_insert(0);
            while *next < stores.len() {
                if !stores[*next].save(self.stages[index].sections()[*next], out)? {
                    return Ok(None);
                }
                *next += 1;
            }
        }
        let Some(sinks) = saving.sinks.as_mut().filter(|_| whole) else { return Ok(None) };
        if !core::mem::replace(&mut saving.sinks_put, true) {
            let notes = core::mem::take(&mut sinks.notes);
            if !saving.put(Some((Section::SINKS, notes)), out) {
                return Ok(None);
            }
        }
        let syncs = self.saving.take().and_then(|saving| saving.sinks).map(|sinks| sinks.named);
        Ok(Some(syncs.unwrap_or_default()))
    }

    /// Calls every sink, in an order that never changes.
    pub(super) fn each_sink(
        &mut self,
        mut call: impl FnMut(&mut dyn SinkLink) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for reader in self.ingress.readers() {
            reader.each_sink(&mut call)?;
        }
        for fork in self.ingress.forks() {
            fork.each_sink(&mut call)?;
        }
        for stage in &mut self.stages {
            for operator in stage.operators() {
                operator.each_sink(&mut call)?;
            }
            for fork in stage.forks() {
                fork.each_sink(&mut call)?;
            }
        }
        Ok(())
    }

    /// Recovers what an earlier run left: its checkpoint, if it made one, and what its sinks kept.
    pub(super) fn restore(&mut self, checkpoint: Option<&dyn Checkpoint>) -> Result<(), Fault> {
        self.first.check()?;
        let Some(checkpoint) = checkpoint else {
            return self.recall_sinks(&mut EarlierParts::none(), Tick(0));
        };
        let (tick, before) = (checkpoint.tick(), checkpoint.shards());
        let mine = (before == usize::from(self.first.run().shards)).then_some(usize::from(self.id.0));
        let noted = |section| -> Result<Vec<Vec<u8>>, Fault> {
            let mut all = Vec::new();
            for shard in 0..before {
                let mut blocks = 0;
                let mut notes = Vec::new();
                checkpoint.blocks(shard, section, &mut |_| true, &mut |id, bytes| {
                    if id.chunk as usize == blocks {
                        notes.extend_from_slice(bytes);
                    }
                    blocks += 1;
                    Ok(())
                })?;
                // Of a stage that another program did not have there is nothing.
                let absent = blocks == 0 && checkpoint.is_of_another_program();
                if blocks_of(notes.len()) != blocks && !absent {
                    let message =
                        format!("the checkpoint at tick {} lacks notes of a shard ({section:?})", tick.0);
                    return Err(Fault::Restore { message });
                }
                all.push(notes);
            }
            Ok(all)
        };
        let is_of_another = checkpoint.is_of_another_program();
        let other = |what: &dyn fmt::Display| Fault::Restore {
            message: format!("the checkpoint at tick {} is of a job whose {what} is another", tick.0),
        };
        for number in 0..=self.stages.len() {
            let all = noted(Section::notes(self.ids[number]))?;
            let mut earlier = EarlierParts::of(&all, mine, is_of_another)?;
            match number.checked_sub(1) {
                None => self.ingress.recall(tick, &mut earlier)?,
                Some(index) => self.stages[index].recall(tick, &mut earlier)?,
            }
            if !earlier.is_done() {
                return Err(other(&format_args!("stage {number}")));
            }
        }
        let router = self.router.clone();
        let owned = Owned::new(&router, self.id);
        for stage in &mut self.stages {
            for (store, first) in stage.stores().iter().zip(stage.sections()) {
                for section in store.sections(*first) {
                    for shard in 0..before {
                        let wants = &mut |block| store.wants(block, &owned);
                        let take = &mut |block, bytes: &[u8]| store.restore(block, bytes, &owned);
                        checkpoint.blocks(shard, section, wants, take)?;
                    }
                }
                store.restored()?;
            }
            for operator in stage.operators() {
                while !operator.restored()? {}
            }
        }
        let all = noted(Section::SINKS)?;
        let mut earlier = EarlierParts::of(&all, mine, is_of_another)?;
        self.recall_sinks(&mut earlier, tick)?;
        if earlier.is_done() { Ok(()) } else { Err(other(&"last sink")) }
    }

    fn recall_sinks(&mut self, earlier: &mut EarlierParts<'_>, checkpoint: Tick) -> Result<(), Fault> {
        let mut kept = Tick(0);
        self.each_sink(|sink| {
            kept = kept.max(sink.recall(earlier, checkpoint)?);
            Ok(())
        })?;
        self.kept = kept;
        Ok(())
    }
}
