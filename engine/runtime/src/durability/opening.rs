//! How a start recovers what is there: the data directory, its manifest, and what to begin from.
//!
//! | there is                                   | the job begins                                                          |
//! |--------------------------------------------|-------------------------------------------------------------------------|
//! | nothing                                    | anew                                                                    |
//! | a log                                      | from the newest checkpoint, and replays the log behind it               |
//! | a log of another number of shards          | with a [`Task::Rescale`]: replays it with those shards first            |
//! | a savepoint, and it is asked for           | from the savepoint; what was logged after it does not count any more    |
//! | a suspended job's log, and the job changed | from what it was suspended with, as far as that fits: [`plan::change`]  |
//! | another job's log, or what does not fit    | not: the difference is named                                            |
//! | logs that end before what is known of them | not: what is missing is named                                           |
//!
//! Until it is certain that the job begins ([`Opened::commit`]), nothing is changed that a later start could miss: a new manifest is only
//! in memory, logs of a new generation have no entry, and sinks have taken nothing back. A start that ends before that leaves what was there.

mod elsewhere;
mod error;

use self::elsewhere::programs;
pub use self::error::OpenError;
use super::checkpoint::Restored;
use super::durable_shard::DurableShardParts;
use super::mailbox::Mailbox;
use crate::bounds::UNKNOWN_TICKS;
use crate::plan;
use pelton_core::Tick;
use pelton_core::checkpoint::moving::STEP_ROWS;
use pelton_core::exchange::router::Router;
use pelton_storage::disk::{Disk, Lifetime};
use pelton_storage::{
    Checkpoint, DataDirectory, DirectoryOptions, Durability, FINGERPRINT_VERSION, Job, LogOptions, LogReader,
    Manifest, Proof, StorageError, StoredOperator, proofs as proofs_of,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What of a job its stored state depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobShape {
    /// Its name.
    pub name: String,
    /// Its operators: see [`fingerprint`](crate::plan::LogicalPlan::fingerprint).
    pub operators: Vec<StoredOperator>,
    /// Partitions of each source, should the job begin anew.
    pub partitions: Vec<u32>,
    /// Key groups.
    pub key_groups: u32,
}

/// With which durability the job runs, and on what.
#[derive(Clone, Debug)]
pub struct DurabilityOptions {
    /// What it is safe from.
    pub durability: Durability,
    /// Shards.
    pub shards: u16,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// Whether and how often the state is hashed.
    pub hash_ticks: u64,
    /// The savepoint or the number of the checkpoint to begin from.
    pub restore: Option<String>,
    /// Operators whose state may be given up, should it not fit.
    pub drop_state: Vec<String>,
    /// A number drawn for a new log.
    pub log_id: u128,
    /// The configuration, for people.
    pub configuration: BTreeMap<String, String>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Run with the shards that are wanted.
    Run,
    /// First recover what so many other shards left, as far as it goes, and make a checkpoint of it.
    Rescale {
        /// The shards of before.
        shards: u16,
    },
}

/// A data directory, recovered.
pub struct Opened {
    /// The directory, locked.
    pub data: Arc<DataDirectory>,
    /// The manifest that this run goes by; it is stored when the run begins.
    pub manifest: Manifest,
    options: DurabilityOptions,
    /// What is known of the logs, by shard.
    proofs: Vec<Proof>,
    /// The first generation that the stored manifest knows nothing of.
    unknown: u32,
    /// Logs of earlier generations are not wanted any more once the run begins.
    replaces: bool,
    /// What was shown behind the checkpoint that the run begins from is given up.
    gives_up: bool,
    committed: bool,
    /// Rows that move in a step.
    move_rows: usize,
    /// What the manifest said before shards were run only to recover what was there.
    durability_before: String,
    /// What people should know before it runs.
    notes: Vec<String>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.committed {
            // What cannot be removed now is removed by the next start.
            let _ = self.data.remove_unused_logs(self.manifest.log_id, self.unknown);
        }
    }
}

impl Opened {
    /// Opens `path` for a job of this shape.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing has been changed then, but that the directory may have been made.
    pub fn open(
        disk: &Arc<dyn Disk>,
        path: &Path,
        shape: &JobShape,
        options: DurabilityOptions,
    ) -> Result<Self, OpenError> {
        let staging = (options.durability == Durability::Process).then_some(Lifetime::OnMachine);
        let data = DataDirectory::open(disk, path, &DirectoryOptions { staging })?;
        let durability = match options.durability {
            Durability::Process => "process",
            Durability::Disk => "disk",
        };
        let found = Manifest::load(disk, path)?;
        let log_id = found.as_ref().map_or(options.log_id, |found| found.log_id);
        let manifest = match found.filter(|found| found.begun) {
            // Or a first start that never began.
            None => Manifest {
                log_id,
                job: Job {
                    name: shape.name.clone(),
                    operators: plan::numbered(&shape.operators, &[]),
                    fingerprint: FINGERPRINT_VERSION,
                    partitions: shape.partitions.clone(),
                },
                key_groups: shape.key_groups,
                durability: durability.to_owned(),
                shards: options.shards,
                segment_bytes: options.segment_bytes,
                ..Manifest::default()
            },
            Some(manifest) => {
                if let Some(difference) = other_job(&manifest, shape) {
                    return Err(OpenError::OtherJob { path: path.to_owned(), difference });
                }
                plan::note_sources(manifest, &shape.operators)
            }
        };
        let unknown = if manifest.begun { manifest.generation + 1 } else { 0 };
        let mut opened = Opened {
            data: Arc::new(data),
            durability_before: manifest.durability.clone(),
            notes: memory_is_gone(&manifest, &disk.boot_id()).into_iter().collect(),
            manifest,
            options,
            proofs: Vec::new(),
            unknown,
            replaces: false,
            // A history that begins with nothing has no part in what others have shown.
            gives_up: unknown == 0,
            committed: false,
            move_rows: STEP_ROWS,
        };
        // What a start has left that did not begin.
        opened.data.remove_unused_logs(opened.manifest.log_id, unknown)?;
        opened.begin_elsewhere(shape)?;
        opened.check_room()?;
        let is_new = opened.manifest.generation >= unknown;
        if !is_new
            && opened.manifest.durability != durability
            && durability == "disk"
            && !opened.manifest.clean
        {
            // Staging rings hold nothing that the segments lack only after a clean end. With `disk` the segments never lack anything that was
            // acknowledged.
            let before = &opened.manifest.durability;
            let difference = format!(
                "it was last run with durability \"{before}\" and did not end cleanly; start it with that once more and suspend it \
                 (`Stop::Suspend`, or SIGTERM), or let it come to its end"
            );
            return Err(OpenError::OtherJob { path: path.to_owned(), difference });
        }
        if opened.task() == Task::Run {
            opened.manifest.durability = durability.to_owned();
        }
        opened.proofs = if is_new {
            vec![Proof::default(); usize::from(opened.manifest.shards)]
        } else {
            proofs_of(disk, path, &opened.manifest)?
        };
        if !opened.manifest.begun {
            // Logs without a manifest are those of one that was lost.
            opened.store()?;
        }
        Ok(opened)
    }

    /// Before anything is changed: there is room for the logs of the shards that are wanted.
    fn check_room(&self) -> Result<(), StorageError> {
        let DurabilityOptions { shards, durability, segment_bytes, .. } = self.options;
        let segment_bytes =
            if self.task() == Task::Run { self.manifest.segment_bytes } else { segment_bytes };
        self.data.check_room(&self.manifest, shards, segment_bytes, durability)
    }

    /// The run begins from `checkpoint`: all its shards, sinks and threads are ready. Only now does the manifest say so, before anything is shown or acknowledged.
    ///
    /// # Errors
    /// When a sink has rows that the logs do not reach, or the disk refuses.
    pub fn commit(&mut self, mailbox: &Mailbox, checkpoint: Option<&Arc<Restored>>) -> Result<(), OpenError> {
        let (kept, last) = (mailbox.kept(), mailbox.last_recovered());
        if kept > last && kept < Tick::END {
            if !self.gives_up {
                return Err(OpenError::Storage(StorageError::Unusable {
                    path: self.data.path().to_path_buf(),
                    reason: format!(
                        "the logs end with tick {}, and a sink of the job has rows of ticks through {}: what the logs held in between is gone, as \
                         when an older copy of the directory was put back",
                        last.0, kept.0
                    ),
                    advice: "Put back the newest copy, take the sink's output back as well, or start from a savepoint (`restore`).",
                }));
            }
            // Of a history that is given up: its ticks do not come again.
            mailbox.recovered(kept);
            self.manifest.first_tick = kept.0 + 1;
        }
        self.supersede(checkpoint);
        self.manifest.boot_id = self.data.disk().boot_id();
        self.manifest.clean = false;
        self.manifest.begun = true;
        self.manifest.configuration = self.options.configuration.clone();
        if self.task() != Task::Run {
            // The shards of before write to the disk, whatever they did: what their rings held is in the segments by now.
            self.durability_before = std::mem::replace(&mut self.manifest.durability, "disk".to_owned());
        }
        // Should the disk fail, it is not known which manifest a later start finds: the logs of either stay.
        self.committed = true;
        self.store()?;
        self.unknown = self.manifest.generation + 1;
        self.data.remove_unreferenced(&self.manifest)?;
        if std::mem::take(&mut self.replaces) || stands_alone(&self.manifest) {
            self.data.remove_logs_before(self.manifest.log_id, self.manifest.generation)?;
        }
        Ok(())
    }

    /// Checkpoints that lie behind the one that the run begins from could not be read. Should they be readable again, they are of another history:
    /// the logs need not have held all that was in them, and the ticks that follow here are not those that came before them.
    fn supersede(&mut self, checkpoint: Option<&Arc<Restored>>) {
        use pelton_core::checkpoint::snapshot::Checkpoint as _;
        let Some(begun) = checkpoint.map(|checkpoint| checkpoint.tick().0) else { return };
        let generation = self.manifest.generation;
        let behind = |known: &&mut Checkpoint| known.generation == generation && known.tick > begun;
        self.manifest.checkpoints.iter_mut().filter(behind).for_each(|known| known.superseded = true);
    }

    fn store(&self) -> Result<(), StorageError> {
        self.manifest.store(self.data.disk(), self.data.path())
    }

    /// The log of a shard of this generation, as the last run kept it.
    fn log_options(&self, shard: u16) -> LogOptions {
        let Manifest { generation, segment_bytes, log_id, .. } = self.manifest;
        let durability =
            if self.manifest.durability == "disk" { Durability::Disk } else { Durability::Process };
        LogOptions { durability, segment_bytes, id: log_id, generation, shard }
    }

    /// The last tick that this directory knows of, or one beyond it if logs cannot be read: they are given up, so they need not be whole.
    fn last_tick(&self) -> u64 {
        let (last, unread) = self.last_read_tick();
        if unread.is_some() { last.saturating_add(UNKNOWN_TICKS) } else { last }
    }

    /// The last tick that this directory knows of, as far as its logs can be read, and why they cannot.
    fn last_read_tick(&self) -> (u64, Option<StorageError>) {
        let Manifest {
            generation,
            shards,
            segment_bytes,
            log_id,
            first_tick,
            ref checkpoints,
            ref moves,
            ..
        } = self.manifest;
        let known = checkpoints.iter().map(|known| known.tick).chain(moves.iter().map(|moved| moved.tick));
        let mut last = known.max().unwrap_or(0).max(first_tick.saturating_sub(1));
        let mut unread = None;
        match proofs_of(self.data.disk(), self.data.path(), &self.manifest) {
            Ok(proofs) => last = proofs.iter().fold(last, |last, proof| last.max(proof.kept.tick)),
            Err(error) => unread = Some(error),
        }
        for shard in 0..shards {
            let durability =
                if self.manifest.durability == "disk" { Durability::Disk } else { Durability::Process };
            let options = LogOptions { durability, segment_bytes, id: log_id, generation, shard };
            let directory = self.data.log(generation, shard);
            let mut read = || -> Result<(), StorageError> {
                self.data
                    .disk()
                    .list(&directory)
                    .map_err(|error| StorageError::io("list", &directory, error))?;
                let mut reader = LogReader::open(self.data.disk(), &directory, &options, 0)?;
                while let Some(entry) = reader.next()? {
                    last = last.max(entry.tick);
                }
                Ok(())
            };
            unread = unread.or(read().err());
        }
        (last, unread)
    }

    fn begin_generation(&mut self, from: &Checkpoint, shards: u16) {
        self.manifest.generation += 1;
        self.manifest.shards = shards;
        self.manifest.segment_bytes = self.options.segment_bytes;
        self.manifest.base = Some(from.number);
        self.manifest.first_tick = from.tick + 1;
        self.manifest.moves.clear();
    }

    /// What there is to do first.
    pub fn task(&self) -> Task {
        let there = self.manifest.shards;
        if there == self.options.shards { Task::Run } else { Task::Rescale { shards: there } }
    }

    /// Key groups move with so many rows in a step, instead of as many as it should be.
    pub(crate) fn move_in_steps_of(&mut self, rows: usize) {
        self.move_rows = rows;
    }

    /// The rescaling is done, and the logs of the shards of before are closed: its checkpoint is the last in `manifest`. The job is to go on with
    /// the shards that are wanted.
    ///
    /// # Errors
    /// When the manifest cannot be stored.
    pub fn rescaled(&mut self, manifest: Manifest) -> Result<(), StorageError> {
        // As it was: should the rest of the start be refused, the job is that of before.
        self.manifest = Manifest { clean: true, durability: self.durability_before.clone(), ..manifest };
        self.store()?;
        let last = self.manifest.checkpoints.last().cloned();
        let last = last.unwrap_or_else(|| unreachable!("a rescaling ends with a checkpoint"));
        self.begin_generation(&last, self.options.shards);
        self.manifest.durability = match self.options.durability {
            Durability::Process => "process".to_owned(),
            Durability::Disk => "disk".to_owned(),
        };
        self.proofs = vec![Proof::default(); usize::from(self.options.shards)];
        // Its checkpoint holds all that was in them.
        (self.replaces, self.gives_up, self.committed) = (true, true, false);
        Ok(())
    }

    /// The checkpoints that this generation can begin from, the newest first.
    pub fn candidates(&self) -> Vec<Checkpoint> {
        let Manifest { generation, base, .. } = self.manifest;
        let fits = |checkpoint: &&Checkpoint| {
            checkpoint.generation == generation && !checkpoint.superseded || Some(checkpoint.number) == base
        };
        let mut fitting: Vec<Checkpoint> = self.manifest.checkpoints.iter().filter(fits).cloned().collect();
        // Behind the oldest of those that come and go the log is kept; what lies before it may be gone.
        let passing =
            |checkpoint: &&Checkpoint| checkpoint.generation == generation && checkpoint.savepoint.is_none();
        if let Some(oldest) = fitting.iter().filter(passing).map(|checkpoint| checkpoint.tick).min() {
            fitting.retain(|checkpoint| checkpoint.tick >= oldest);
        }
        fitting.sort_by_key(|checkpoint| std::cmp::Reverse((checkpoint.generation, checkpoint.number)));
        fitting
    }

    /// Opens a checkpoint.
    ///
    /// # Errors
    /// When it is not whole.
    pub fn restore(&self, checkpoint: &Checkpoint) -> Result<Arc<Restored>, StorageError> {
        let (disk, directory) = (self.data.disk(), self.data.checkpoints());
        let restored = Restored::open(disk, &directory, checkpoint, self.manifest.log_id)?;
        let taken_by = self.manifest.job_of(checkpoint.generation);
        restored.for_job(taken_by, &self.manifest.job, self.data.path()).map(Arc::new)
    }

    /// The mailbox of a run that begins from `checkpoint`.
    pub fn mailbox(&self, checkpoint: Option<&Arc<Restored>>) -> Arc<Mailbox> {
        use pelton_core::checkpoint::snapshot::Checkpoint as _;
        let after = checkpoint.map_or(0, |checkpoint| checkpoint.tick().0);
        let moves = self.manifest.moves.iter().filter(|moved| moved.tick > after);
        let moves = moves.map(|moved| (Tick(moved.tick), moved.owners.clone()));
        let mailbox = Mailbox::new(self.manifest.shards, self.manifest.key_groups, moves, self.move_rows);
        // New ticks come after all that any earlier history used, too.
        mailbox.recovered(Tick(self.manifest.first_tick.saturating_sub(1)));
        self.notes.iter().for_each(|note| mailbox.note(note.clone()));
        mailbox
    }

    /// Where keys live in a run that begins from `checkpoint`, until they move.
    pub fn router(&self, checkpoint: Option<&Arc<Restored>>) -> Router {
        use pelton_core::checkpoint::snapshot::Checkpoint as _;
        router(&self.manifest, checkpoint.map(|checkpoint| checkpoint.tick()))
    }

    /// What shard `shard` is made of, beginning from `checkpoint`.
    pub fn parts(
        &self,
        shard: u16,
        mailbox: &Arc<Mailbox>,
        checkpoint: Option<&Arc<Restored>>,
    ) -> DurableShardParts {
        use pelton_core::checkpoint::snapshot::Checkpoint as _;
        let generation = self.manifest.generation;
        // Shards that only recover what is there need no memory that outlives them: what they had in such is in files once it was read.
        let durability = match self.task() {
            Task::Run => self.options.durability,
            Task::Rescale { .. } => Durability::Disk,
        };
        DurableShardParts {
            disk: self.data.disk().clone(),
            log_directory: self.data.log(generation, shard),
            log: LogOptions {
                durability,
                segment_bytes: self.manifest.segment_bytes,
                id: self.manifest.log_id,
                generation,
                shard,
            },
            begins: generation >= self.unknown,
            gives_up: self.gives_up,
            proof: self.proofs[usize::from(shard)],
            mailbox: mailbox.clone(),
            checkpoint: checkpoint.cloned(),
            after: checkpoint.map_or(Tick(0), |checkpoint| checkpoint.tick()),
            hash_ticks: self.options.hash_ticks,
            paused: false,
        }
    }
}

/// What to say of a job whose last input was only in the memory of a machine that is not there any more: it goes on, as was promised, and that is
/// no reason to be silent about it.
fn memory_is_gone(manifest: &Manifest, boot_id: &str) -> Option<String> {
    let Manifest { begun, clean, ref durability, boot_id: ref before, .. } = *manifest;
    let gone = begun && !clean && durability == "process" && before != boot_id;
    gone.then(|| {
        "the machine was restarted since the job last ran, or this is another one, and the job had not ended in order: with durability \
         \"process\" its last input was in the memory of that machine, so records that were acknowledged may be missing"
            .to_owned()
    })
}

/// Whether nothing of an earlier generation of shards is wanted any more: this one has a checkpoint of its own. Until then the log of what
/// was given up for a savepoint stays, though nothing begins from it: it may be the only place where some of the input is.
pub(crate) fn stands_alone(manifest: &Manifest) -> bool {
    let Manifest { generation, ref checkpoints, .. } = *manifest;
    generation == 0 || checkpoints.iter().any(|checkpoint| checkpoint.generation == generation)
}

/// Where keys live in a run that begins from the checkpoint at `tick`, or anew, until they move.
pub fn router(manifest: &Manifest, tick: Option<Tick>) -> Router {
    let Manifest { shards, key_groups, ref checkpoints, .. } = *manifest;
    let same = |known: &&Checkpoint| Some(Tick(known.tick)) == tick && known.shards == shards;
    let owners = checkpoints.iter().rev().find(same).map(|known| known.owners.clone());
    match owners.filter(|owners| owners.len() == key_groups as usize) {
        Some(owners) => Router::with_owners(owners),
        None => Router::new(key_groups, shards),
    }
}

/// The first thing in which the job is not the one that left the state.
pub fn difference(manifest: &Manifest, shape: &JobShape) -> Option<String> {
    let operators = plan::numbered(&shape.operators, &programs(manifest));
    other_job(manifest, shape).or_else(|| plan::difference(&manifest.job.operators, &operators))
}

/// Why no state of the job that left it can be this one's, if that is so.
fn other_job(manifest: &Manifest, shape: &JobShape) -> Option<String> {
    let Manifest { job, key_groups, .. } = manifest;
    if job.name != shape.name {
        return Some(format!("it is of job `{}`, and this is job `{}`", job.name, shape.name));
    }
    if job.fingerprint != FINGERPRINT_VERSION {
        let found = job.fingerprint;
        return Some(format!(
            "what it says of operators has version {found}, and this program knows version {FINGERPRINT_VERSION}"
        ));
    }
    (*key_groups != shape.key_groups).then(|| {
        format!("it has {key_groups} key groups, and the job {}; set `key_groups` back", shape.key_groups)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_storage::disk::{Faults, Simulated};

    fn checkpoint(generation: u32, number: u64, tick: u64, savepoint: Option<&str>) -> Checkpoint {
        Checkpoint {
            number,
            tick,
            generation,
            shards: 1,
            savepoint: savepoint.map(str::to_owned),
            owners: vec![0],
            partitions: vec![1],
            digests: Vec::new(),
            positions: Vec::new(),
            needs: vec![number],
            bytes: 1,
            created: "now".to_owned(),
            superseded: false,
        }
    }

    /// Behind the oldest checkpoint that comes and goes the log is kept, and not before: a savepoint from before it has no log to follow it.
    #[test]
    fn what_has_no_log_behind_it_is_no_candidate() {
        let disk: Arc<dyn Disk> = Arc::new(Simulated::new(1, Faults::default()));
        let shape =
            JobShape { name: "job".to_owned(), operators: Vec::new(), partitions: vec![1], key_groups: 1 };
        let options = DurabilityOptions {
            durability: Durability::Disk,
            shards: 1,
            segment_bytes: 64 << 10,
            hash_ticks: 0,
            restore: None,
            drop_state: Vec::new(),
            log_id: 7,
            configuration: BTreeMap::new(),
        };
        let mut opened = Opened::open(&disk, Path::new("/data/job"), &shape, options).unwrap();
        assert!(opened.candidates().is_empty());
        let candidates = |opened: &mut Opened, checkpoints: &[Checkpoint]| -> Vec<u64> {
            opened.manifest.checkpoints = checkpoints.to_vec();
            opened.candidates().iter().map(|checkpoint| checkpoint.number).collect()
        };
        opened.manifest.generation = 1;
        opened.manifest.base = Some(2);
        let (given_up, base) = (checkpoint(0, 1, 10, Some("other")), checkpoint(0, 2, 20, Some("base")));
        let (old, new) = (checkpoint(1, 4, 40, Some("old")), checkpoint(1, 7, 70, Some("new")));
        let passing = [checkpoint(1, 5, 50, None), checkpoint(1, 6, 60, None)];
        assert_eq!(candidates(&mut opened, &[given_up.clone(), base.clone()]), [2]);
        assert_eq!(candidates(&mut opened, &[given_up.clone(), base.clone(), old.clone()]), [4, 2]);
        let mut all = vec![given_up, base, old];
        all.extend(passing);
        all.push(new);
        assert_eq!(candidates(&mut opened, &all), [7, 6, 5], "of the others the log may be gone");
    }
}
