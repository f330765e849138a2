//! Key groups that move from shard to shard: asked for, or to even out the load.

use super::{Activity, Coordinator, KeepError};
use crate::durability::mailbox::{Begin, CheckpointDone, Report};
use pelton_core::Tick;
use pelton_storage::Moved;
use std::sync::atomic::Ordering;

impl Coordinator {
    /// Key groups have moved, or none had to.
    pub(super) fn moved(&mut self, tick: Tick, moved: u32) -> bool {
        self.state = Activity::Idle;
        self.mailbox.notes().begun = None;
        if let Some(command) = self.command.take() {
            command.answer.give(Ok(CheckpointDone { number: 0, tick, bytes: 0, moved }));
        }
        true
    }

    pub(super) fn announce_move(&mut self, tick: Tick, owners: Vec<u16>) -> Result<bool, KeepError> {
        // Before the manifest, which a slow disk may take long to store: a shard that comes to the tick meanwhile waits there, and none is too late.
        self.mailbox.barrier().store(tick.0, Ordering::Release);
        // Known before it is made, so that a restart makes it too.
        self.manifest.moves.push(Moved { tick: tick.0, owners: owners.clone() });
        self.store()?;
        let shards = self.manifest.shards;
        let moving = self.mailbox.moving(shards, tick, owners.clone());
        self.mailbox.notes().begin =
            Some(Begin::Move { moving, acknowledged: vec![false; usize::from(shards)] });
        self.mailbox.tell_shards();
        self.state = Activity::Moving { tick, owners };
        Ok(true)
    }

    pub(super) fn collect_moved(&mut self) -> bool {
        let mut notes = self.mailbox.notes();
        if notes.reports.iter().any(|report| matches!(report, Some(Report::TooLate))) {
            drop(notes);
            // Others may have moved already, and it stands in the manifest: a restart makes it on all shards.
            self.mailbox
                .fail("a shard had come too far for a move of key groups; start the job again".to_owned());
            return false;
        }
        if !notes.reports.iter().all(Option::is_some) {
            return false;
        }
        (notes.begin, notes.begun) = (None, None);
        notes.reports.iter_mut().for_each(|report| *report = None);
        drop(notes);
        if let Activity::Moving { tick, owners } = std::mem::replace(&mut self.state, Activity::Idle) {
            let moved = self.owners.iter().zip(&owners).filter(|(before, after)| before != after).count();
            self.owners = owners;
            // Tables were made anew, so that no chunk is what it was.
            self.full = true;
            self.moved(tick, moved as u32);
        }
        true
    }
}
