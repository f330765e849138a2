//! A start that does not go on from where the directory is: from a savepoint, with a job that was changed, or with another number of shards where
//! the job was suspended.
//!
//! Either begins a new generation of shards. Nothing is stored here: what is decided stands in the manifest in memory.

use super::{JobShape, OpenError, Opened, difference};
use crate::plan;
use pelton_storage::{Checkpoint, Job, LogReader, Manifest, StorageError, StoredOperator};
use std::io::ErrorKind;

impl Opened {
    /// If a savepoint is asked for, or what was suspended is another job or had other shards, a new generation of shards begins from what is there.
    pub(super) fn begin_elsewhere(&mut self, shape: &JobShape) -> Result<(), OpenError> {
        let difference = (self.manifest.begun).then(|| difference(&self.manifest, shape)).flatten();
        let savepoint = self.savepoint()?;
        if savepoint.is_none() && difference.is_none() {
            if let Some(found) = self.suspended_with_other_shards() {
                // No log has more.
                self.begin_from(&found, found.tick);
            }
            return Ok(());
        }
        // Behind a suspension nothing was shown. Where it was not one, it is a start that was cut short, which may have been about to go back.
        self.gives_up = savepoint.is_some() || !self.manifest.clean;
        let found = match (savepoint, difference) {
            (None, Some(difference)) => self.suspended(&difference)?,
            (found, _) => found.unwrap_or_else(|| unreachable!("there is one, or a difference")),
        };
        let job = self.changed(&found, shape)?;
        // Be it only that the program of the savepoint knew its operators by other numbers.
        if job != self.manifest.job {
            self.manifest.change_job(job);
        }
        // Before anything is given up for it: it must be whole.
        self.restore(&found)?.verify()?;
        let last = self.last_tick();
        self.begin_from(&found, last);
        Ok(())
    }

    /// A new generation of shards begins from a checkpoint; `last` is the last tick that is known of.
    fn begin_from(&mut self, found: &Checkpoint, last: u64) {
        // Checkpoints that were taken after it are of a history that is given up.
        self.manifest.checkpoints.retain(|other| other.savepoint.is_some() || other.tick <= found.tick);
        self.begin_generation(found, self.options.shards);
        // No tick of the history that is given up comes again: rows are known by their ticks.
        self.manifest.first_tick = last.max(found.tick) + 1;
    }

    /// The savepoint that is asked for. That is a request for one start: whoever starts the same command again after a crash must not lose what
    /// came since, and whoever asks for it again must not be passed over, so what cannot be told is refused.
    fn savepoint(&mut self) -> Result<Option<Checkpoint>, OpenError> {
        let Some(wanted) = self.options.restore.clone() else {
            // It was taken out: asked for again, it is another request.
            self.manifest.restored = None;
            return Ok(None);
        };
        // Which request for it stands behind the name.
        let name = wanted.split_once('@').map_or(&*wanted, |(name, _)| name);
        let checkpoints = &self.manifest.checkpoints;
        let named = |checkpoint: &&Checkpoint| {
            checkpoint.savepoint.as_deref() == Some(name) || checkpoint.number.to_string() == name
        };
        if self.manifest.restored.as_ref() == Some(&wanted) {
            let base = checkpoints.iter().rev().find(named).map(|checkpoint| checkpoint.number);
            if base.is_none() || base != self.manifest.base || self.has_begun()? {
                return Err(OpenError::RestoredBefore { path: self.data.path().to_owned(), wanted });
            }
            // Nothing has come since: a start that was cut short.
            return Ok(None);
        }
        let Some(found) = checkpoints.iter().rev().find(named).cloned() else {
            let name = |checkpoint: &Checkpoint| match &checkpoint.savepoint {
                Some(name) => format!("`{name}`"),
                None => format!("number {}", checkpoint.number),
            };
            return Err(OpenError::NoCheckpoint { wanted, there: checkpoints.iter().map(name).collect() });
        };
        self.manifest.restored = Some(wanted);
        Ok(Some(found))
    }

    /// The checkpoint with which other shards were suspended: it has all that they had taken in, so none of them need run again. None where they were
    /// not suspended, or where it cannot be read: what is damaged gives way to the checkpoint before, and what the logs hold behind that.
    fn suspended_with_other_shards(&self) -> Option<Checkpoint> {
        let Manifest { begun, clean, shards, .. } = self.manifest;
        if !begun || !clean || shards == self.options.shards {
            return None;
        }
        let newest = self.candidates().into_iter().next()?;
        let is_whole = self.last_tick() <= newest.tick
            && self.restore(&newest).is_ok_and(|restored| restored.verify().is_ok());
        is_whole.then_some(newest)
    }

    /// What a changed job can begin from without being told: the checkpoint with which it was suspended. What was logged after a checkpoint is
    /// the input of the program that logged it, whose rows others may have seen.
    fn suspended(&self, difference: &str) -> Result<Checkpoint, OpenError> {
        let newest = self.candidates().into_iter().next();
        let is_base = |newest: &Checkpoint| Some(newest.number) == self.manifest.base;
        // Whether there is more is not known while they cannot be read: no job is told then that it has come to its end.
        let whole = |newest: &Checkpoint| match self.last_read_tick() {
            (last, None) => Ok(last <= newest.tick),
            (_, Some(error)) => Err(error),
        };
        let newest = match newest {
            Some(newest) if self.manifest.clean && whole(&newest)? => Some(newest),
            Some(newest) if is_base(&newest) && !self.has_begun()? => Some(newest),
            _ => None,
        };
        let way_on = if self.manifest.clean {
            "this one has come to the end of its input, or was suspended when there was no time for a checkpoint: begin from a savepoint \
             (`restore`), or anew, or start it as it was and suspend it again"
        } else {
            "this one was not: start it as it was and suspend it (`Stop::Suspend`, or SIGTERM), or begin from a savepoint (`restore`)"
        };
        newest.ok_or_else(|| OpenError::OtherJob {
            path: self.data.path().to_owned(),
            difference: format!(
                "{difference}. A job that has changed begins from where it was suspended, and {way_on}"
            ),
        })
    }

    /// The job as it is now, if the state that a checkpoint holds fits it.
    fn changed(&mut self, from: &Checkpoint, shape: &JobShape) -> Result<Job, OpenError> {
        let before = self.manifest.job_of(from.generation);
        let change = plan::change(
            &before.operators,
            &shape.operators,
            &programs(&self.manifest),
            &self.options.drop_state,
        )
        .map_err(|difference| OpenError::OtherJob { path: self.data.path().to_owned(), difference })?;
        let partitions = partitions(&self.manifest, &change.operators, &shape.partitions);
        if before.operators != change.operators {
            self.notes.extend(change.notes);
        }
        Ok(Job { operators: change.operators, partitions, ..self.manifest.job.clone() })
    }

    /// Whether anything has been taken in, or saved, by this generation of shards. What is damaged was.
    fn has_begun(&self) -> Result<bool, StorageError> {
        let Manifest { generation, shards, ref checkpoints, .. } = self.manifest;
        let holds = |shard| {
            let (disk, directory) = (self.data.disk(), self.data.log(generation, shard));
            match disk.list(&directory) {
                Ok(names) if names.is_empty() => return Ok(false),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                listed => listed.map_err(|error| StorageError::io("list", &directory, error))?,
            };
            let reader = LogReader::open(disk, &directory, &self.log_options(shard), 0);
            match reader.and_then(|mut reader| Ok(reader.next()?.is_some())) {
                Err(error @ StorageError::Io { .. }) => Err(error),
                holds => Ok(holds.unwrap_or(true)),
            }
        };
        if checkpoints.iter().any(|checkpoint| checkpoint.generation == generation) {
            return Ok(true);
        }
        for shard in 0..shards {
            if holds(shard)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whose operators the directory knows, the newest first.
pub(super) fn programs(manifest: &Manifest) -> Vec<&[StoredOperator]> {
    let earlier = manifest.earlier.iter().rev().map(|earlier| &earlier.job);
    std::iter::once(&manifest.job).chain(earlier).map(|job| &*job.operators).collect()
}

/// The number of partitions of each source: what it was when the source was there first.
fn partitions(manifest: &Manifest, operators: &[StoredOperator], here: &[u32]) -> Vec<u32> {
    let sources = |operators: &[StoredOperator]| -> Vec<String> {
        let sources = operators.iter().filter(|operator| operator.numbers.source.is_some());
        sources.map(|operator| operator.uid.clone()).collect()
    };
    let jobs =
        || std::iter::once(&manifest.job).chain(manifest.earlier.iter().rev().map(|earlier| &earlier.job));
    let before = |uid: &String| {
        jobs().find_map(|job| {
            let place = sources(&job.operators).iter().position(|other| other == uid)?;
            job.partitions.get(place).copied()
        })
    };
    sources(operators).iter().zip(here).map(|(uid, here)| before(uid).unwrap_or(*here)).collect()
}
