//! The coordinator of checkpoints: decides when one is made, makes its files, and writes the manifest when all shards have saved.
//!
//! ```text
//!  idle       until the interval is over, or somebody commands
//!  asking     shard 0 is asked for a tick that lies ahead of all; before a move, all whether they are in time for it
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

mod checkpoint;
mod marks;
mod rebalance;
mod suspend;

use self::marks::Marked;
use super::balance;
use super::mailbox::{Command, Mailbox, Request};
use super::opening::stands_alone;
use crate::bounds::{REMOVE_INTERVAL_NS, REMOVED_BYTES};
use pelton_core::Tick;
use pelton_storage::{DataDirectory, Manifest, StorageError, Witness};
use std::sync::Arc;

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

enum Activity {
    Idle,
    Asking,
    Writing {
        number: u64,
        tick: Tick,
    },
    /// The barrier was at `before`.
    AskingToMove {
        tick: Tick,
        owners: Vec<u16>,
        before: u64,
    },
    Moving {
        tick: Tick,
        owners: Vec<u16>,
    },
}

/// What is said to those who asked for something too late.
const ENDED: &str = "the job came to its end before that was done";

/// The coordinator of checkpoints of one job.
pub struct Coordinator {
    data: Arc<DataDirectory>,
    manifest: Manifest,
    mailbox: Arc<Mailbox>,
    options: CoordinatorOptions,
    owners: Vec<u16>,
    state: Activity,
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
            state: Activity::Idle,
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
            Activity::Idle if self.suspension != Suspension::No => Ok(false),
            Activity::Idle => Ok(self.ask(now_ns)),
            Activity::Asking => self.announce(),
            &Activity::Writing { number, tick } => self.collect(number, tick),
            Activity::AskingToMove { .. } => self.collect_in_time(),
            Activity::Moving { .. } => Ok(self.collect_moved()),
        }
    }

    /// Gives up what is under way if a shard that has no part in it yet is there no more: the job has come to its end.
    fn give_up_what_is_lost(&mut self) -> bool {
        let mut notes = self.mailbox.notes();
        let silent = notes.gone.iter().zip(&notes.reports).any(|(gone, report)| *gone && report.is_none());
        let lost = match &self.state {
            Activity::Idle => notes.gone.contains(&true) && !notes.commands.is_empty(),
            Activity::Asking => notes.gone.first() == Some(&true),
            Activity::Writing { .. } | Activity::AskingToMove { .. } | Activity::Moving { .. } => silent,
        };
        if !lost {
            return false;
        }
        let mut commands = std::mem::take(&mut notes.commands);
        // What was announced stays, unless it was only a question: who has not heard of it stands before its tick until it does, and answers that it is too late where the input has
        // ended. Taken back, it would keep that shard there for ever; without the barrier, one could pass a move that it has not made.
        notes.begun = None;
        drop(notes);
        if let Activity::AskingToMove { before, .. } = self.state {
            self.take_back_question(before);
        }
        commands.extend(self.command.take());
        for command in commands {
            command.answer.give(Err(ENDED.to_owned()));
        }
        (self.state, self.full) = (Activity::Idle, true);
        true
    }

    /// Asks shard 0 for a tick for the next checkpoint or move.
    fn propose(&mut self, now_ns: u64) {
        let mut notes = self.mailbox.notes();
        (notes.propose, notes.proposed, notes.begun) = (true, None, Some(now_ns));
        drop(notes);
        self.mailbox.tell_shards();
        self.state = Activity::Asking;
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
                Ok(self.ask_to_move(tick, owners))
            }
            Some(Request::Balance) => {
                match balance::balanced(&self.owners, &self.mailbox.loads(), self.manifest.shards) {
                    Some(owners) => Ok(self.ask_to_move(tick, owners)),
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
        self.state = Activity::Idle;
        self.mailbox.notes().begun = None;
        if let Some(command) = self.command.take() {
            command.answer.give(Err(why));
        }
    }
}
