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

    /// Asks all shards whether they are in time for a move after `tick`. Who comes to the tick meanwhile waits there, so who is in time stays so.
    pub(super) fn ask_to_move(&mut self, tick: Tick, owners: Vec<u16>) -> bool {
        let before = self.mailbox.barrier().swap(tick.0, Ordering::AcqRel);
        let asked = vec![false; usize::from(self.manifest.shards)];
        self.mailbox.notes().begin = Some(Begin::Ask { tick, asked });
        self.mailbox.tell_shards();
        self.state = Activity::AskingToMove { tick, owners, before };
        true
    }

    /// Announces the move if all are in time for it. Where the input has ended a shard may not be: it closes its last windows.
    pub(super) fn collect_in_time(&mut self) -> Result<bool, KeepError> {
        let mut notes = self.mailbox.notes();
        if !notes.reports.iter().all(Option::is_some) {
            return Ok(false);
        }
        let late = notes
            .reports
            .iter_mut()
            .fold(false, |late, report| matches!(report.take(), Some(Report::TooLate)) | late);
        drop(notes);
        let Activity::AskingToMove { tick, owners, before } =
            std::mem::replace(&mut self.state, Activity::Idle)
        else {
            unreachable!("this is what it is doing")
        };
        if late {
            self.take_back_question(before);
            self.refuse(
                "a shard had come too far, or to the end of its input: nothing has moved; try again"
                    .to_owned(),
            );
            return Ok(true);
        }
        self.announce_move(tick, owners)
    }

    /// Nobody waits before the tick any more of which all were asked: the barrier is where it was `before`.
    pub(super) fn take_back_question(&self, before: u64) {
        self.mailbox.barrier().store(before, Ordering::Release);
        self.mailbox.notes().begin = None;
        self.mailbox.tell_shards();
    }

    fn announce_move(&mut self, tick: Tick, owners: Vec<u16>) -> Result<bool, KeepError> {
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
