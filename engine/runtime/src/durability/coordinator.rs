//! The coordinator of checkpoints: decides when one is made, makes its files, and writes the manifest when all shards have saved.
//!
//! ```text
//!  idle       until the interval is over, or somebody commands
//!  asking     shard 0 is asked for a tick that lies ahead of all
//!  writing    files made, shards told; they save while records keep coming
//!  keeping    all have saved: sinks made durable, manifest stored, old checkpoints and logs let go
//! ```
//!
//! When the job is suspended, it has a last checkpoint made once no shard takes in anything any more, and then all logs closed. There is a
//! bound on how long that may take: after it, or when a shard is gone, the logs are closed without, and the next start replays more.
//!
//! Old snapshots are deleted a part at a time, behind everything else, for the logs' flushes wait for what the file system does.
//!
//! The coordinator waits for the disk, so it lives on a thread of its own; that thread is started by whoever runs the job. It reads no clock.
//! Whatever fails here stops the job: a job that cannot keep its state must say so.

use super::balance;
use super::mailbox::{Begin, CheckpointDone, Command, Mailbox, Report, Request};
use super::opening::stands_alone;
use crate::bounds::{INCREMENTS_MAX, MARK_INTERVAL_NS, REMOVE_INTERVAL_NS, REMOVED_BYTES, SUSPEND_NS_MAX};
use crate::panics;
use pelton_core::Tick;
use pelton_core::sink::SinkSync;
use pelton_storage::{
    Checkpoint, DataDirectory, Durability, Manifest, Moved, SnapshotFile, SnapshotId, StorageError, Witness,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How the coordinator keeps.
#[derive(Clone, Debug)]
pub struct CoordinatorOptions {
    /// Nanoseconds from one checkpoint to the next; 0 for those only that are asked for.
    pub interval_ns: u64,
    /// Nanoseconds from one look at the shards' loads to the next; 0 for never.
    pub balance_ns: u64,
    /// Checkpoints that are kept, savepoints aside.
    pub keep: usize,
    /// Text for the time of a checkpoint.
    pub now: fn() -> String,
}

enum State {
    Idle,
    Asking,
    Writing { number: u64, tick: Tick },
    Moving { tick: Tick, owners: Vec<u16> },
}

/// The coordinator of checkpoints of one job.
pub struct Coordinator {
    data: Arc<DataDirectory>,
    manifest: Manifest,
    mailbox: Arc<Mailbox>,
    options: CoordinatorOptions,
    owners: Vec<u16>,
    state: State,
    /// When the last checkpoint was begun, or the coordinator first turned.
    since: Option<u64>,
    /// When loads were last looked at.
    balanced: Option<u64>,
    command: Option<Command>,
    next_number: u64,
    /// Logs of earlier generations have been let go.
    stands_alone: bool,
    /// Checkpoints before this one may be there that nobody needs, and when a part of them was deleted last.
    removing: Option<(u64, u64)>,
    /// The next checkpoint cannot build on the one before.
    full: bool,
    increments: usize,
    /// When marks were last looked at, and what was seen of each shard's.
    marked: u64,
    marks: Vec<Marked>,
    witness: Option<Witness>,
    suspension: Suspension,
}

/// What is known of a shard's mark.
#[derive(Clone, Copy, Default)]
struct Marked {
    /// The position at the last look.
    seen: u64,
    /// The position that is durable in it.
    durable: u64,
}

/// Why the job cannot go on.
struct KeepError(String);

impl From<StorageError> for KeepError {
    fn from(error: StorageError) -> Self {
        KeepError(error.to_string())
    }
}

/// How far the coordinator is with suspending the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspension {
    No,
    /// Since then it waits for the shards to take in nothing any more, and for what is under way.
    Settling {
        since: u64,
    },
    /// The last checkpoint is under way.
    Saving {
        since: u64,
    },
    /// All logs are being closed.
    Closing,
}

impl Coordinator {
    /// A coordinator for the job whose manifest this is. `owners` says which shard each key group belongs to.
    pub fn new(
        data: Arc<DataDirectory>,
        manifest: Manifest,
        mailbox: Arc<Mailbox>,
        options: CoordinatorOptions,
        owners: Vec<u16>,
    ) -> Self {
        // Moves of an earlier run are made again, and then keys live where the last of them says.
        let owners = manifest.moves.last().map_or(owners, |moved| moved.owners.clone());
        let next_number =
            manifest.checkpoints.iter().map(|checkpoint| checkpoint.number).max().unwrap_or(0) + 1;
        let marks = vec![Marked::default(); usize::from(manifest.shards)];
        Coordinator {
            data,
            stands_alone: stands_alone(&manifest),
            manifest,
            mailbox,
            options,
            owners,
            state: State::Idle,
            since: None,
            balanced: None,
            command: None,
            next_number,
            removing: None,
            full: true,
            increments: 0,
            suspension: Suspension::No,
            marked: 0,
            marks,
            witness: None,
        }
    }

    /// The manifest as it was stored last.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Does what there is to do; true if there was anything. After an error the job has been told to stop.
    pub fn turn(&mut self, now_ns: u64) -> bool {
        match self.try_turn(now_ns) {
            Ok(moved) => moved,
            Err(error) => {
                // The manifest in memory may not be the one that counts.
                self.removing = None;
                let KeepError(message) = error;
                if let Some(command) = self.command.take() {
                    command.answer.give(Err(message.clone()));
                }
                self.mailbox.fail(message);
                false
            }
        }
    }

    /// The job has ended well.
    ///
    /// # Errors
    /// When the manifest cannot be stored, or what it does not need any more cannot be deleted.
    pub fn finish(&mut self) -> Result<(), StorageError> {
        self.manifest.clean = true;
        self.store()?;
        self.remove_now()
    }

    /// Deletes a part of what nobody needs, if it is time.
    fn remove(&mut self, now_ns: u64) -> Result<(), StorageError> {
        let Some((before, since)) = self.removing else { return Ok(()) };
        if now_ns.saturating_sub(since) >= REMOVE_INTERVAL_NS {
            let more = self.data.remove_part(&self.manifest, before, REMOVED_BYTES)?;
            self.removing = more.then_some((before, now_ns));
        }
        Ok(())
    }

    /// Deletes all that nobody needs and that has not been deleted yet. No snapshot is on its way.
    fn remove_now(&mut self) -> Result<(), StorageError> {
        if self.removing.take().is_some() {
            self.data.remove_unreferenced(&self.manifest)?;
        }
        Ok(())
    }

    /// Makes the marks durable of logs that have been kept no further for a while. Of logs that are, each group says that the one before it
    /// was through.
    fn keep_marks(&mut self, now_ns: u64) -> Result<(), StorageError> {
        if now_ns.saturating_sub(self.marked) < MARK_INTERVAL_NS {
            return Ok(());
        }
        self.marked = now_ns;
        let mailbox = self.mailbox.clone();
        let is_durable = self.manifest.durability == "disk";
        let witness = match &mut self.witness {
            Some(witness) => witness,
            none => none.insert(self.data.witness(&self.manifest)?),
        };
        let kind = if is_durable { Durability::Disk } else { Durability::Process };
        witness.note(mailbox.positions(), mailbox.durable_through().0, kind)?;
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

    fn try_turn(&mut self, now_ns: u64) -> Result<bool, KeepError> {
        self.remove(now_ns)?;
        self.keep_marks(now_ns)?;
        if self.suspension == Suspension::Closing {
            return Ok(false);
        }
        if self.suspend(now_ns) || self.give_up_what_is_lost() {
            return Ok(true);
        }
        match &self.state {
            State::Idle if self.suspension != Suspension::No => Ok(false),
            State::Idle => Ok(self.ask(now_ns)),
            State::Asking => self.announce(),
            &State::Writing { number, tick } => self.collect(number, tick),
            State::Moving { .. } => Ok(self.collect_moved()),
        }
    }

    /// If the job is to be suspended: does what that comes to next, if it is time; whether there was anything.
    fn suspend(&mut self, now_ns: u64) -> bool {
        let mut notes = self.mailbox.notes();
        if !notes.suspending {
            return false;
        }
        let commands = std::mem::take(&mut notes.commands);
        let all = |shards: &[bool]| shards.iter().all(|shard| *shard);
        let ready = all(&notes.quiet) && all(&notes.live);
        let gone = notes.gone.contains(&true);
        drop(notes);
        for command in commands {
            command.answer.give(Err("the job is being suspended".to_owned()));
        }
        let since = match self.suspension {
            Suspension::Settling { since } | Suspension::Saving { since } => since,
            Suspension::No | Suspension::Closing => {
                self.suspension = Suspension::Settling { since: now_ns };
                now_ns
            }
        };
        if gone || now_ns.saturating_sub(since) >= SUSPEND_NS_MAX {
            self.close_logs();
            return true;
        }
        if !matches!(self.state, State::Idle) || !ready {
            return false;
        }
        // Also if a shard had come too far for the one before.
        self.suspension = Suspension::Saving { since };
        self.propose(now_ns);
        true
    }

    /// Has all shards close their logs, whatever is under way.
    fn close_logs(&mut self) {
        self.suspension = Suspension::Closing;
        self.refuse("the job is being suspended".to_owned());
        let mut notes = self.mailbox.notes();
        (notes.close_logs, notes.begin, notes.begun) = (true, None, None);
        drop(notes);
        self.mailbox.tell_shards();
    }

    /// Gives up what is under way if a shard that has no part in it yet is there no more: the job has come to its end.
    fn give_up_what_is_lost(&mut self) -> bool {
        let mut notes = self.mailbox.notes();
        let silent = notes.gone.iter().zip(&notes.reports).any(|(gone, report)| *gone && report.is_none());
        let lost = match &self.state {
            State::Idle => notes.gone.contains(&true) && !notes.commands.is_empty(),
            State::Asking => notes.gone.first() == Some(&true),
            State::Writing { .. } | State::Moving { .. } => silent,
        };
        if !lost {
            return false;
        }
        let mut commands = std::mem::take(&mut notes.commands);
        // What was announced stays: who has not heard of it stands before its tick until it does, and answers that it is too late where the input has
        // ended. Taken back, it would keep that shard there for ever; without the barrier, one could pass a move that it has not made.
        notes.begun = None;
        drop(notes);
        commands.extend(self.command.take());
        for command in commands {
            command.answer.give(Err("the job came to its end before that was done".to_owned()));
        }
        (self.state, self.full) = (State::Idle, true);
        true
    }

    /// Asks shard 0 for a tick for the next checkpoint or move.
    fn propose(&mut self, now_ns: u64) {
        let mut notes = self.mailbox.notes();
        (notes.propose, notes.proposed, notes.begun) = (true, None, Some(now_ns));
        drop(notes);
        self.mailbox.tell_shards();
        self.state = State::Asking;
    }

    fn ask(&mut self, now_ns: u64) -> bool {
        let since = *self.since.get_or_insert(now_ns);
        let due = self.options.interval_ns > 0 && now_ns.saturating_sub(since) >= self.options.interval_ns;
        let mut notes = self.mailbox.notes();
        let uneven = self.options.balance_ns > 0
            && now_ns.saturating_sub(*self.balanced.get_or_insert(now_ns)) >= self.options.balance_ns;
        let all_here = notes.live.iter().all(|live| *live) && !notes.gone.contains(&true);
        if notes.over || !all_here || !due && !uneven && notes.commands.is_empty() {
            return false;
        }
        self.command = if due { None } else { notes.commands.pop_front() };
        if due {
            self.since = Some(now_ns);
        } else if self.command.is_none() {
            let answer = Arc::default();
            self.command = Some(Command { request: Request::Balance, answer });
            self.balanced = Some(now_ns);
        }
        drop(notes);
        self.propose(now_ns);
        true
    }

    fn announce(&mut self) -> Result<bool, KeepError> {
        let mut notes = self.mailbox.notes();
        let Some(tick) = notes.proposed.take() else { return Ok(false) };
        notes.propose = false;
        notes.begin = None;
        notes.reports.iter_mut().for_each(|report| *report = None);
        drop(notes);
        match self.command.as_ref().map(|command| command.request.clone()) {
            Some(Request::Checkpoint(Some(name))) if self.is_taken(&name) => {
                self.refuse(format!("there is a savepoint `{name}` already"));
                Ok(true)
            }
            None | Some(Request::Checkpoint(_)) => self.announce_checkpoint(tick),
            Some(Request::Move { first, last, shard }) => {
                let mut owners = self.owners.clone();
                let groups = owners.len();
                let range = first as usize..=last as usize;
                match owners.get_mut(range).filter(|_| shard < self.manifest.shards) {
                    Some(moved) => moved.fill(shard),
                    None => {
                        let shards = self.manifest.shards;
                        self.refuse(format!(
                            "key groups {first} to {last} cannot move to shard {shard}: there are groups 0 to {} and shards 0 to {}",
                            groups - 1,
                            shards - 1
                        ));
                        return Ok(true);
                    }
                }
                if owners == self.owners {
                    return Ok(self.moved(tick, 0));
                }
                self.announce_move(tick, owners)
            }
            Some(Request::Balance) => {
                match balance::balanced(&self.owners, &self.mailbox.loads(), self.manifest.shards) {
                    Some(owners) => self.announce_move(tick, owners),
                    None => Ok(self.moved(tick, 0)),
                }
            }
        }
    }

    fn is_taken(&self, name: &str) -> bool {
        self.manifest.checkpoints.iter().any(|checkpoint| checkpoint.savepoint.as_deref() == Some(name))
    }

    /// The job is over: whoever waits for something is told.
    pub fn give_up(&mut self) {
        self.refuse("the job has ended".to_owned());
    }

    /// The command cannot be carried out.
    fn refuse(&mut self, why: String) {
        self.state = State::Idle;
        self.mailbox.notes().begun = None;
        if let Some(command) = self.command.take() {
            command.answer.give(Err(why));
        }
    }

    /// Key groups have moved, or none had to.
    fn moved(&mut self, tick: Tick, moved: u32) -> bool {
        self.state = State::Idle;
        self.mailbox.notes().begun = None;
        if let Some(command) = self.command.take() {
            command.answer.give(Ok(CheckpointDone { number: 0, tick, bytes: 0, moved }));
        }
        true
    }

    fn announce_move(&mut self, tick: Tick, owners: Vec<u16>) -> Result<bool, KeepError> {
        // Before the manifest, which a slow disk may take long to store: a shard that comes to the tick meanwhile waits there, and none is too late.
        self.mailbox.barrier().store(tick.0, Ordering::Release);
        // Known before it is made, so that a restart makes it too.
        self.manifest.moves.push(Moved { tick: tick.0, owners: owners.clone() });
        self.store()?;
        let shards = self.manifest.shards;
        let moving = Mailbox::moving(shards, tick, owners.clone());
        self.mailbox.notes().begin =
            Some(Begin::Move { moving, acknowledged: vec![false; usize::from(shards)] });
        self.mailbox.tell_shards();
        self.state = State::Moving { tick, owners };
        Ok(true)
    }

    fn collect_moved(&mut self) -> bool {
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
        if let State::Moving { tick, owners } = std::mem::replace(&mut self.state, State::Idle) {
            let moved = self.owners.iter().zip(&owners).filter(|(before, after)| before != after).count();
            self.owners = owners;
            // Tables were made anew, so that no chunk is what it was.
            self.full = true;
            self.moved(tick, moved as u32);
        }
        true
    }

    fn announce_checkpoint(&mut self, tick: Tick) -> Result<bool, KeepError> {
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
        self.state = State::Writing { number, tick };
        Ok(true)
    }

    fn collect(&mut self, number: u64, tick: Tick) -> Result<bool, KeepError> {
        let mut notes = self.mailbox.notes();
        let late = notes.reports.iter().any(|report| matches!(report, Some(Report::TooLate)));
        if !notes.reports.iter().all(Option::is_some) {
            // A shard may be too late and another still be saving: only when all have spoken can the next attempt begin.
            return Ok(false);
        }
        let reports: Vec<Report> = notes.reports.iter_mut().filter_map(Option::take).collect();
        notes.begin = None;
        drop(notes);
        self.state = State::Idle;
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

    fn keep(&mut self, number: u64, tick: Tick, reports: Vec<Report>) -> Result<CheckpointDone, KeepError> {
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
        });
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

    fn store(&mut self) -> Result<(), StorageError> {
        self.manifest.store(self.data.disk(), self.data.path())
    }
}
