//! One checkpoint: announced to all shards, collected from them, and named in the manifest.

use super::{Activity, Coordinator, KeepError, Suspension};
use crate::bounds::INCREMENTS_MAX;
use crate::durability::mailbox::{Begin, CheckpointDone, Report, Request};
use crate::panics;
use pelton_core::Tick;
use pelton_core::sink::SinkSync;
use pelton_storage::{Checkpoint, Manifest, SnapshotFile, SnapshotId, StorageError};
use std::sync::atomic::Ordering;

impl Coordinator {
    pub(super) fn announce_checkpoint(&mut self, tick: Tick) -> Result<bool, KeepError> {
        let number = self.next_number;
        self.next_number += 1;
        let Manifest { log_id, generation, shards, .. } = self.manifest;
        let file = |shard| {
            let id = SnapshotId { log_id, generation, shard, number, tick: tick.0 };
            SnapshotFile::create(&**self.data.disk(), &self.data.checkpoints(), id).map(Some)
        };
        let files = (0..shards).map(file).collect::<Result<Vec<_>, _>>()?;
        let full = self.full || self.increments >= INCREMENTS_MAX;
        self.increments = if full { 0 } else { self.increments + 1 };
        self.mailbox.barrier().store(tick.0, Ordering::Release);
        self.mailbox.notes().begin = Some(Begin::Checkpoint { tick, full, files });
        self.mailbox.tell_shards();
        self.state = Activity::Writing { number, tick };
        Ok(true)
    }

    pub(super) fn collect(&mut self, number: u64, tick: Tick) -> Result<bool, KeepError> {
        let mut notes = self.mailbox.notes();
        let late = notes.reports.iter().any(|report| matches!(report, Some(Report::TooLate)));
        if !notes.reports.iter().all(Option::is_some) {
            // A shard may be too late and another still be saving: only when all have spoken can the next attempt begin.
            return Ok(false);
        }
        let reports: Vec<Report> = notes.reports.iter_mut().filter_map(Option::take).collect();
        notes.begin = None;
        drop(notes);
        self.state = Activity::Idle;
        if late {
            self.full = true;
            self.mailbox.notes().begun = None;
            if let Some(command) = self.command.take() {
                command.answer.give(Err("a shard had come too far; try again".to_owned()));
            }
            return Ok(true);
        }
        let done = self.keep(number, tick, reports)?;
        self.full = false;
        self.mailbox.notes().begun = None;
        if matches!(self.suspension, Suspension::Saving { .. }) {
            self.close_logs();
        }
        if let Some(command) = self.command.take() {
            command.answer.give(Ok(done));
        }
        Ok(true)
    }

    pub(super) fn keep(
        &mut self,
        number: u64,
        tick: Tick,
        reports: Vec<Report>,
    ) -> Result<CheckpointDone, KeepError> {
        let (mut written, mut needs, mut syncs) = (0, Vec::new(), Vec::new());
        let (mut positions, mut digests) = (Vec::new(), Vec::new());
        for report in reports {
            let Report::Saved { index, bytes, mut sinks, position } = report else {
                unreachable!("nobody was late")
            };
            written += bytes;
            positions.push(position);
            digests.push(index.digest());
            needs.extend_from_slice(index.needs());
            syncs.append(&mut sinks);
        }
        needs.sort_unstable();
        needs.dedup();
        for SinkSync { sink, run } in syncs {
            // Code of the sink's, on this thread: a panic in it is an error like any other.
            let done = panics::catch(run).unwrap_or_else(|panicked| Err(format!("it panicked: {panicked}")));
            done.map_err(|message| {
                KeepError(format!("{sink} could not keep what it was shown, for a checkpoint: {message}"))
            })?;
        }
        self.manifest.checkpoints.push(Checkpoint {
            number,
            tick: tick.0,
            generation: self.manifest.generation,
            shards: self.manifest.shards,
            savepoint: self.command.as_ref().and_then(|command| match &command.request {
                Request::Checkpoint(name) => name.clone(),
                Request::Move { .. } | Request::Balance => None,
            }),
            owners: self.owners.clone(),
            partitions: self.manifest.job.partitions.clone(),
            digests,
            positions,
            needs,
            bytes: written,
            created: (self.options.now)(),
            superseded: false,
        });
        // Those that could not be read are not what is kept for the case that this one cannot be.
        self.manifest
            .checkpoints
            .retain(|checkpoint| checkpoint.savepoint.is_some() || !checkpoint.superseded);
        let passing = |checkpoint: &&Checkpoint| checkpoint.savepoint.is_none();
        let mut excess =
            self.manifest.checkpoints.iter().filter(passing).count().saturating_sub(self.options.keep.max(1));
        self.manifest.checkpoints.retain(|checkpoint| {
            let goes = checkpoint.savepoint.is_none() && excess > 0;
            excess -= usize::from(goes);
            !goes
        });
        let generation = self.manifest.generation;
        let here = |checkpoint: &&Checkpoint| checkpoint.generation == generation;
        let oldest = self.manifest.checkpoints.iter().filter(here).map(|checkpoint| checkpoint.tick).min();
        self.manifest.moves.retain(|moved| oldest.is_none_or(|oldest| moved.tick > oldest));
        self.store()?;
        // Were there still something of the last time, it would never end.
        self.remove_now()?;
        self.removing = Some((number, 0));
        let generation = self.manifest.generation;
        if !std::mem::replace(&mut self.stands_alone, true) {
            self.data.remove_logs_before(self.manifest.log_id, generation)?;
        }
        let here =
            |checkpoint: &&Checkpoint| checkpoint.generation == generation && checkpoint.savepoint.is_none();
        let oldest = self.manifest.checkpoints.iter().filter(here).map(|checkpoint| checkpoint.tick).min();
        if let Some(oldest) = oldest {
            self.mailbox.notes().retire = Tick(oldest + 1);
            self.mailbox.tell_shards();
        }
        Ok(CheckpointDone { number, tick, bytes: written, moved: 0 })
    }

    pub(super) fn store(&mut self) -> Result<(), StorageError> {
        self.manifest.store(self.data.disk(), self.data.path())
    }
}
