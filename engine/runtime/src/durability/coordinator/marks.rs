//! The marks of the logs, and the witness of them all: looked at now and then, made durable when nobody waits for a flush.

use super::Coordinator;
use crate::bounds::MARK_INTERVAL_NS;
use pelton_storage::{Durability, StorageError};
use std::sync::atomic::Ordering;

/// What is known of a shard's mark.
#[derive(Clone, Copy, Default)]
pub(super) struct Marked {
    /// The position at the last look.
    seen: u64,
    /// The position that is durable in it.
    durable: u64,
}

impl Coordinator {
    /// Makes the marks durable of logs that have been kept no further for a while. Of logs that are, each group says that the one before it
    /// was through.
    pub(super) fn keep_marks(&mut self, now_ns: u64) -> Result<(), StorageError> {
        if now_ns.saturating_sub(self.marked) < MARK_INTERVAL_NS {
            return Ok(());
        }
        self.marked = now_ns;
        let mailbox = self.mailbox.clone();
        let is_durable = self.manifest.durability == "disk";
        // Until all logs are open nothing is kept that a witness could speak of, and there may be no directory to put it in.
        let positions = mailbox.positions();
        if !positions.is_empty() && positions.iter().all(|position| position.load(Ordering::Acquire) > 0) {
            let witness = match &mut self.witness {
                Some(witness) => witness,
                none => none.insert(self.data.witness(&self.manifest)?),
            };
            let kind = if is_durable { Durability::Disk } else { Durability::Process };
            witness.note(positions, mailbox.durable_through().0, kind)?;
        }
        if !is_durable {
            return Ok(());
        }
        for ((shard, position), marked) in (0..).zip(mailbox.positions().iter()).zip(&mut self.marks) {
            let position = position.load(Ordering::Acquire);
            if position == marked.seen && position != marked.durable {
                self.data.sync_mark(self.manifest.generation, shard)?;
                marked.durable = position;
            }
            marked.seen = position;
        }
        Ok(())
    }
}
