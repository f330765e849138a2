//! What a durable shard does for the coordinator: it looks into the mailbox, and saves its state a piece at a time.

use super::{DurableShard, Saving, Suspension};
use crate::bounds::CHECKPOINT_AHEAD;
use crate::durability::checkpoint::Blocks;
use crate::durability::input_log::fault;
use crate::durability::mailbox::{Mine, Report};
use pelton_core::{Fault, Saved, ShardId, Tick};
use pelton_storage::SnapshotWriter;
use std::sync::atomic::Ordering;

impl DurableShard {
    /// Looks at what was left at the mailbox.
    #[cold]
    pub(super) fn look(&mut self) -> Result<(), Fault> {
        let mailbox = self.mailbox.clone();
        let mut notes = mailbox.notes();
        if let Some(message) = notes.failure.clone() {
            return Err(Fault::Storage { message });
        }
        if notes.propose && self.id == ShardId(0) && notes.proposed.is_none() {
            // Checkpoints follow each other, and come after all that the logs hold, though all clocks that were there may have ended, and show no
            // tick any more.
            let before = mailbox.barrier().load(Ordering::Acquire).max(mailbox.last_recovered().0);
            let highest = self.shard.look().highest().0.max(before);
            notes.proposed = Some(Tick(highest.saturating_add(CHECKPOINT_AHEAD)));
            mailbox.tell_coordinator();
        }
        if notes.close_logs {
            self.suspension = Suspension::Closing;
        }
        let retire = notes.retire;
        let mine = usize::from(self.id.0);
        let begin = notes.begin.as_mut().and_then(|begin| begin.take(mine));
        drop(notes);
        if retire > self.retired {
            self.retired = retire;
            self.log.borrow_mut().retire_before(retire.0).map_err(fault)?;
        }
        match begin {
            None => {}
            Some(Mine::Checkpoint { tick, full, file }) => {
                let full = full || self.last.is_none();
                if let Some(begun) = self.shard.running().checkpoint(tick, full) {
                    let previous = self.last.as_ref().filter(|_| !full);
                    let writer = SnapshotWriter::new(&*self.disk, file, previous).map_err(fault)?;
                    self.saving = Some(Saving { writer, begun: Some(begun), sinks: Vec::new() });
                } else {
                    self.last = None;
                    mailbox.report(self.id, Report::TooLate);
                }
            }
            Some(Mine::Ask(tick)) => {
                let in_time = self.shard.running().can_move_after(tick);
                mailbox.report(self.id, if in_time { Report::InTime } else { Report::TooLate });
            }
            Some(Mine::Move(moving)) => {
                let moves = self.shard.running().move_groups(&moving);
                assert!(moves, "a shard that was in time has passed the barrier before a move");
                self.moving = true;
            }
        }
        Ok(())
    }

    /// Saves a part of the checkpoint in hand.
    pub(super) fn save(&mut self) -> Result<bool, Fault> {
        let Some(saving) = &mut self.saving else { return Ok(false) };
        let mut moved = saving.writer.turn().map_err(fault)?;
        if saving.begun.is_some() {
            if saving.writer.room()
                && let Some(begun) = saving.begun.take()
            {
                moved = true;
                match self.shard.running().save(begun, &mut Blocks(&mut saving.writer))? {
                    Saved::Pending(begun) => saving.begun = Some(begun),
                    Saved::Done(sinks) => {
                        saving.sinks = sinks;
                        saving.writer.finish();
                    }
                }
            }
        } else if saving.writer.is_done()
            && let Some(Saving { writer, sinks, .. }) = self.saving.take()
        {
            let bytes = writer.file_bytes();
            let index = writer.into_index();
            self.last = Some(index.clone());
            let position = self.log.borrow().durable();
            self.mailbox.report(self.id, Report::Saved { index, bytes, sinks, position });
        }
        Ok(moved)
    }
}
