//! The mailbox: where the coordinator of checkpoints and the shards leave notes for each other.
//!
//! A shard looks at one number in each step, and takes the lock only when it has changed, a few times in a checkpoint.
//!
//! 1. The coordinator asks shard 0 for a tick that no shard will have come to by the time all know of it.
//! 2. It makes the files, puts up the barrier and announces the checkpoint. Each shard begins, or says that it had come further before the
//!    barrier was there; then the attempt is given up.
//! 3. Each shard reports when its snapshot is durable. The coordinator writes the manifest, and says up to which tick logs may be forgotten.
//!
//! A move of key groups cannot be given up once a shard has made it. So between 1 and 2 the barrier is put up and all are asked whether they are
//! in time; if one is not, the barrier is taken away again, and nothing has moved.
//!
//! A job is suspended in this order: each shard says that it has been told; then that it takes in nothing any more; the coordinator has a last
//! checkpoint made; each shard closes its log, says so, and is gone.

use super::key_groups::Migration;
use pelton_core::checkpoint::moving::Move;
use pelton_core::exchange::clock::Clocks;
use pelton_core::exchange::router::Router;
use pelton_core::sink::SinkSync;
use pelton_core::{ShardId, Tick};
use pelton_storage::control::is_savepoint_name;
use pelton_storage::{Positions, SnapshotFile, SnapshotIndex};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a checkpoint came to, or a move of key groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointDone {
    /// Its number; 0 for a move, which is none.
    pub number: u64,
    /// The tick after which it was taken.
    pub tick: Tick,
    /// Bytes that were written for it.
    pub bytes: u64,
    /// How many key groups moved; 0 where nothing was worth moving, or all of them were there already.
    pub moved: u32,
}

/// A checkpoint, or a move of key groups, that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// When it was begun, by the clock that the coordinator is turned with.
    pub begun: u64,
    /// The shards that have not done their part yet; none while the coordinator does its own.
    pub waits_for: Vec<ShardId>,
}

/// What a shard says of a checkpoint.
pub(crate) enum Report {
    /// It had come beyond the tick already, or ended.
    TooLate,
    /// It has not, and stands before the tick.
    InTime,
    /// Its key groups have moved.
    Moved,
    /// Its snapshot is durable.
    Saved { index: SnapshotIndex, bytes: u64, sinks: Vec<SinkSync>, position: u64 },
}

/// What the shards are to begin.
pub(crate) enum Begin {
    /// A checkpoint.
    Checkpoint { tick: Tick, full: bool, files: Vec<Option<SnapshotFile>> },
    /// Nothing yet: whether all are in time for a move after that tick, and which shards have heard of the question.
    Ask { tick: Tick, asked: Vec<bool> },
    /// A move of key groups, and which shards have heard of it.
    Move { moving: Move, acknowledged: Vec<bool> },
}

/// What a shard takes up of it.
pub(crate) enum Mine {
    Checkpoint { tick: Tick, full: bool, file: SnapshotFile },
    Ask(Tick),
    Move(Move),
}

impl Begin {
    /// The part of `shard`, once.
    pub(crate) fn take(&mut self, shard: usize) -> Option<Mine> {
        match self {
            Begin::Checkpoint { tick, full, files } => {
                files[shard].take().map(|file| Mine::Checkpoint { tick: *tick, full: *full, file })
            }
            Begin::Ask { tick, asked } => {
                (!std::mem::replace(&mut asked[shard], true)).then_some(Mine::Ask(*tick))
            }
            Begin::Move { moving, acknowledged } => {
                (!std::mem::replace(&mut acknowledged[shard], true)).then(|| Mine::Move(moving.clone()))
            }
        }
    }
}

/// What somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A checkpoint; with a name, a savepoint.
    Checkpoint(Option<String>),
    /// Key groups, the first to the last of them, on a shard.
    Move {
        /// The first key group.
        first: u32,
        /// The last one.
        last: u32,
        /// The shard.
        shard: u16,
    },
    /// Key groups moved so that all shards have about as much to do.
    Balance,
}

/// A request with the place for its answer.
pub(crate) struct Command {
    pub(crate) request: Request,
    pub(crate) answer: Arc<Answer>,
}

impl Drop for Command {
    fn drop(&mut self) {
        // Nobody waits for ever, whatever became of those who were to answer.
        if self.answer.get().is_none() {
            self.answer.give(Err("the job ended before that was done".to_owned()));
        }
    }
}

/// Where the answer to a command appears.
#[derive(Debug, Default)]
pub struct Answer {
    answer: Mutex<Option<Result<CheckpointDone, String>>>,
    given: Condvar,
}

impl Answer {
    pub(crate) fn give(&self, answer: Result<CheckpointDone, String>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.given.notify_all();
    }

    /// The answer, if it is there.
    pub fn get(&self) -> Option<Result<CheckpointDone, String>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sleeps until the answer is there, but no longer than `longest`.
    pub fn wait(&self, longest: Duration) -> Option<Result<CheckpointDone, String>> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.given.wait_timeout_while(answer, longest, |answer| answer.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

#[derive(Default)]
pub(crate) struct Messages {
    /// Not a channel: who sleeps for a command sleeps for all other news as well, and none may come once the job is over.
    pub(crate) commands: VecDeque<Command>,
    /// Whether shard 0 is asked for a tick.
    pub(crate) propose: bool,
    pub(crate) proposed: Option<Tick>,
    pub(crate) begin: Option<Begin>,
    pub(crate) reports: Vec<Option<Report>>,
    /// When the checkpoint or move that is under way was begun.
    pub(crate) begun: Option<u64>,
    /// Which shards take in what is new.
    pub(crate) live: Vec<bool>,
    /// Entries of ticks before this one may be forgotten.
    pub(crate) retire: Tick,
    /// Why the job must stop.
    pub(crate) failure: Option<String>,
    pub(crate) over: bool,
    /// A shard was told that the job is to be suspended.
    pub(crate) suspending: bool,
    /// Which shards take in nothing any more for that.
    pub(crate) quiet: Vec<bool>,
    /// The logs are to be closed: nothing else is waited for.
    pub(crate) close_logs: bool,
    /// Which logs have been: all of them is on the disk.
    pub(crate) closed: Vec<bool>,
    /// Which shards are there no more.
    pub(crate) gone: Vec<bool>,
    /// What people should know of the start.
    pub(crate) said: Vec<String>,
}

fn moving(shards: u16, tick: Tick, owners: Vec<u16>, step_rows: usize) -> Move {
    let router = Arc::new(Router::with_owners(owners));
    Move { tick, router, handover: Arc::new(Migration::new(shards)), step_rows }
}

/// Shared by the shards of a job with durability, its coordinator, and whoever commands.
pub struct Mailbox {
    /// Through which tick each shard's log will be durable.
    lines: Clocks,
    /// Through which tick somebody on each shard waits for all logs.
    wants: Clocks,
    /// The highest last tick of the logs that were found.
    recovered: AtomicU64,
    /// The highest tick of which a sink says that it has rows.
    kept: AtomicU64,
    /// How far each shard's log is kept.
    positions: Positions,
    changes: AtomicU64,
    /// No clock passes this tick before its shard has begun the checkpoint there.
    barrier: Arc<AtomicU64>,
    /// What each key group was sent.
    loads: Arc<[AtomicU64]>,
    /// Moves that are to be made again.
    moves: Vec<Move>,
    /// Rows that move in a step.
    move_rows: usize,
    notes: Mutex<Messages>,
    /// Signalled when the coordinator has something to do.
    news: Condvar,
}

impl Mailbox {
    /// The mailbox of a job of `shards` shards, in which `move_rows` rows move in a step. `moves` of an earlier run, each a tick with the shard of each key group from then on, are made
    /// again.
    pub fn new(
        shards: u16,
        key_groups: u32,
        moves: impl IntoIterator<Item = (Tick, Vec<u16>)>,
        move_rows: usize,
    ) -> Arc<Self> {
        let count = usize::from(shards);
        let reports = (0..count).map(|_| None).collect();
        let none = vec![false; count];
        let (live, quiet, closed, gone) = (none.clone(), none.clone(), none.clone(), none);
        let notes = Messages { reports, live, quiet, closed, gone, ..Messages::default() };
        Arc::new(Mailbox {
            lines: Clocks::new(count),
            wants: Clocks::new(count),
            recovered: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            positions: (0..count).map(|_| AtomicU64::new(0)).collect(),
            changes: AtomicU64::new(0),
            barrier: Arc::default(),
            loads: (0..key_groups).map(|_| AtomicU64::new(0)).collect(),
            moves: moves.into_iter().map(|(tick, owners)| moving(shards, tick, owners, move_rows)).collect(),
            move_rows,
            notes: Mutex::new(notes),
            news: Condvar::new(),
        })
    }

    /// A move of key groups among `shards` shards.
    pub(crate) fn moving(&self, shards: u16, tick: Tick, owners: Vec<u16>) -> Move {
        moving(shards, tick, owners, self.move_rows)
    }

    pub(crate) fn load_counters(&self) -> Arc<[AtomicU64]> {
        self.loads.clone()
    }

    /// About how many records each key group was sent since this was asked last.
    pub(crate) fn loads(&self) -> Vec<u64> {
        self.loads.iter().map(|load| load.swap(0, Ordering::Relaxed)).collect()
    }

    /// Moves of an earlier run, to be made again.
    pub fn moves(&self) -> Vec<Move> {
        self.moves.clone()
    }

    pub(crate) fn barrier(&self) -> &Arc<AtomicU64> {
        &self.barrier
    }

    pub(crate) fn lines(&self) -> &Clocks {
        &self.lines
    }

    pub(crate) fn wants(&self) -> &Clocks {
        &self.wants
    }

    /// Ticks up to this one are durable in the logs of all shards.
    pub fn durable_through(&self) -> Tick {
        self.lines.lowest()
    }

    pub(crate) fn recovered(&self, last: Tick) {
        self.recovered.fetch_max(last.0, Ordering::AcqRel);
    }

    /// The last tick in any log, once all shards have been built.
    pub fn last_recovered(&self) -> Tick {
        Tick(self.recovered.load(Ordering::Acquire))
    }

    /// Something that people should know of the start.
    pub(crate) fn note(&self, text: String) {
        self.notes().said.push(text);
    }

    /// What people should know of the start, one sentence each.
    pub fn said(&self) -> Vec<String> {
        self.notes().said.clone()
    }

    /// A sink has rows of ticks through this one.
    pub(crate) fn has_kept(&self, tick: Tick) {
        self.kept.fetch_max(tick.0, Ordering::AcqRel);
    }

    /// The highest tick of which a sink has rows, once all shards have been built.
    pub(crate) fn kept(&self) -> Tick {
        Tick(self.kept.load(Ordering::Acquire))
    }

    /// How far each shard's log is kept.
    pub(crate) fn positions(&self) -> &Positions {
        &self.positions
    }

    /// How often anything was left here for shards.
    #[inline]
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Messages> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the shards that something was left for them.
    pub(crate) fn tell_shards(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Tells the coordinator.
    pub(crate) fn tell_coordinator(&self) {
        self.news.notify_all();
    }

    pub(crate) fn report(&self, shard: ShardId, report: Report) {
        self.notes().reports[usize::from(shard.0)] = Some(report);
        self.tell_coordinator();
    }

    pub(crate) fn is_live(&self, shard: ShardId) {
        self.notes().live[usize::from(shard.0)] = true;
        self.tell_coordinator();
    }

    /// A shard was told that the job is to be suspended.
    pub(crate) fn is_suspending(&self) {
        self.notes().suspending = true;
        self.tell_coordinator();
    }

    /// A shard that is to be suspended takes in nothing any more.
    pub(crate) fn is_quiet(&self, shard: ShardId) {
        self.notes().quiet[usize::from(shard.0)] = true;
        self.tell_coordinator();
    }

    /// A shard has closed its log.
    pub(crate) fn has_closed(&self, shard: ShardId) {
        self.notes().closed[usize::from(shard.0)] = true;
    }

    /// A shard is there no more: no checkpoint can be asked of it.
    pub(crate) fn is_gone(&self, shard: ShardId) {
        self.notes().gone[usize::from(shard.0)] = true;
        self.tell_coordinator();
    }

    /// Whether the job was suspended: it had to close its logs before its input came to its end.
    pub fn is_suspended(&self) -> bool {
        self.notes().close_logs
    }

    /// Whether the logs of all shards have been closed, so that all of them is on the disk and nothing elsewhere.
    pub fn all_closed(&self) -> bool {
        self.notes().closed.iter().all(|closed| *closed)
    }

    /// The checkpoint or move that is under way, if there is one.
    pub fn under_way(&self) -> Option<UnderWay> {
        let notes = self.notes();
        // Before it has a tick there are no reports of it.
        let waits = |(shard, report): &(usize, &Option<Report>)| {
            if notes.propose { *shard == 0 } else { report.is_none() }
        };
        let waits_for =
            notes.reports.iter().enumerate().filter(waits).map(|(shard, _)| ShardId(shard as u16));
        let waits_for = waits_for.collect();
        notes.begun.map(|begun| UnderWay { begun, waits_for })
    }

    /// Whether all shards take in what is new.
    pub fn all_live(&self) -> bool {
        self.notes().live.iter().all(|live| *live)
    }

    /// Stops the job: what must be durable cannot be kept.
    pub fn fail(&self, message: String) {
        self.notes().failure.get_or_insert(message);
        self.tell_shards();
    }

    /// Why the job had to stop, if what must be durable could not be kept.
    pub fn failure(&self) -> Option<String> {
        self.notes().failure.clone()
    }

    /// Asks for something.
    pub fn command(&self, request: Request) -> Arc<Answer> {
        let answer = Arc::new(Answer::default());
        let name = if let Request::Checkpoint(name) = &request { name.as_ref() } else { None };
        if let Some(name) = name.filter(|name| !is_savepoint_name(name)) {
            answer.give(Err(format!(
                "`{name}` is no name for a savepoint: it is made of letters, digits, `-`, `_` and `.`, and not of digits alone"
            )));
            return answer;
        }
        let mut notes = self.notes();
        if notes.over {
            answer.give(Err("the job has ended".to_owned()));
        } else {
            notes.commands.push_back(Command { request, answer: answer.clone() });
        }
        drop(notes);
        self.tell_coordinator();
        answer
    }

    /// The job is over: the coordinator may go.
    pub fn close(&self) {
        let mut notes = self.notes();
        notes.over = true;
        for command in notes.commands.drain(..) {
            command.answer.give(Err("the job has ended".to_owned()));
        }
        drop(notes);
        self.tell_coordinator();
    }

    /// Whether the job is over.
    pub fn is_closed(&self) -> bool {
        self.notes().over
    }

    /// Sleeps until there is something for the coordinator, but no longer than `longest`.
    pub fn wait_for_news(&self, longest: Duration) {
        let notes = self.notes();
        if !notes.over {
            drop(self.news.wait_timeout(notes, longest));
        }
    }
}
