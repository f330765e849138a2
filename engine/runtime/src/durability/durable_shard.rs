//! A durable shard: the core's shard, its log, and its part in checkpoints.
//!
//! Each step does this, never waiting for long:
//!
//! 1. the shard's own step, which appends what it takes in to the log
//! 2. the log's turn: completions are reaped; the next group is sent to the disk when somebody, on any shard, waits for what is in it
//! 3. through which tick the log is durable is published; what is durable in all logs is released to the sinks
//! 4. if a checkpoint is being saved, a bounded part of it
//! 5. with nothing to do but a flush under way: a short sleep in the kernel, for a core that spins starves the workers that do the flush
//! 6. with nothing to do at all: a bounded part of what was put off when the state came back
//!
//! Lives on its core's thread and holds the only handle to its log.

mod checkpoint;
mod line;
mod start;

use self::line::Line;
use self::start::Inner;

use super::checkpoint::Restored;
use super::input_log::{LogReplay, StoredInputLog, fault};
use super::mailbox::{Mailbox, Report};
use crate::bounds::{FLUSH_LATEST_NS, FLUSH_WAIT, QUIET_STEPS};
use crate::duty::{Duty, Position};
use pelton_core::sink::SinkSync;
use pelton_core::stage::build::{Durable, ShardBuilder};
use pelton_core::{CheckpointBegun, ClockReading, Fault, Nanos, RestoreFrom, Shard, ShardId, Step, Tick};
use pelton_storage::disk::Disk;
use pelton_storage::{Durability, Kind, Log, LogOptions, LogReader, Proof, SnapshotIndex, SnapshotWriter};
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// What a durable shard is made of besides its shard.
#[derive(Clone)]
pub struct DurableShardParts {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The directory of the shard's log.
    pub log_directory: PathBuf,
    /// The log's options.
    pub log: LogOptions,
    /// Whether the log's generation begins with this start.
    pub begins: bool,
    /// Whether what sinks have shown behind the checkpoint is given up.
    pub gives_up: bool,
    /// What is known of the log from elsewhere.
    pub proof: Proof,
    /// Where checkpoint and coordinator leave notes.
    pub mailbox: Arc<Mailbox>,
    /// The checkpoint to begin from.
    pub checkpoint: Option<Arc<Restored>>,
    /// The tick after which the log's entries are replayed; that of the checkpoint, if there is one.
    pub after: Tick,
    /// The state is hashed after every tick that this divides, and the hash logged; 0 for never.
    pub hash_ticks: u64,
    /// Takes in nothing new after the replay.
    pub paused: bool,
}

/// A durable shard.
pub struct DurableShard {
    id: ShardId,
    shard: Inner,
    line: Line,
    log: Rc<RefCell<Log>>,
    mailbox: Arc<Mailbox>,
    disk: Arc<dyn Disk>,
    /// A flush is what makes a tick durable.
    flushes: bool,
    hashes: bool,
    live: bool,
    finished: bool,
    /// Key groups are on their way, and that is to be reported.
    moving: bool,
    suspension: Suspension,
    paused: bool,
    /// Steps in a row without work.
    quiet: u32,
    /// Changes of the mailbox that were seen.
    seen: u64,
    /// There has been something to flush since then.
    unflushed: Option<Nanos>,
    flush_requested: Tick,
    retired: Tick,
    saving: Option<Saving>,
    /// What the last checkpoint consists of.
    last: Option<SnapshotIndex>,
}

/// How far the shard is with being suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspension {
    No,
    /// It takes in what its sources have accepted.
    Settling,
    /// It takes in nothing any more, and saves its state.
    Quiet,
    /// Its log is to be closed.
    Closing,
    /// It is.
    Closed,
}

struct Saving {
    writer: SnapshotWriter,
    /// Until the shard has handed over all of it.
    begun: Option<CheckpointBegun>,
    sinks: Vec<SinkSync>,
}

impl DurableShard {
    /// Opens and recovers the log, has `add` build the shard around it, and restores the checkpoint. Until the first step the start can be given
    /// up, and has changed nothing.
    ///
    /// # Errors
    /// When log or checkpoint cannot be recovered.
    pub fn build(
        mut builder: ShardBuilder,
        parts: DurableShardParts,
        add: impl FnOnce(&mut ShardBuilder),
    ) -> Result<Self, Fault> {
        let DurableShardParts {
            disk,
            log_directory,
            log: options,
            begins,
            gives_up,
            proof,
            mailbox,
            checkpoint,
            after,
            hash_ticks,
            paused,
        } = parts;
        let id = builder.shard();
        let (mut log, recovered) = Log::prepare(&disk, &log_directory, &options, proof).map_err(fault)?;
        if recovered.tick_before > after.0 {
            let message = format!(
                "{}: the log of shard {} begins after tick {}, and it is needed from tick {} on: the manifest or the log was put back from an \
                 older copy. Put back what belongs together, or start from a savepoint (`restore`)",
                log_directory.display(),
                id.0,
                recovered.tick_before,
                after.0
            );
            return Err(Fault::Storage { message });
        }
        log.share(mailbox.positions().clone());
        mailbox.recovered(Tick(recovered.last_tick).max(after));
        let reader = LogReader::open(&disk, &log_directory, &options, after.0 + 1).map_err(fault)?;
        let replay = LogReplay { reader, after, through: Tick::END };
        let log = Rc::new(RefCell::new(log));
        builder.make_durable(Durable {
            log: options.id,
            generation: options.generation,
            begins,
            gives_up,
            input_log: Some(Box::new(StoredInputLog {
                log: log.clone(),
                entry_bytes_max: options.payload_bytes_max(),
            })),
            replay: Box::new(replay),
            barrier: mailbox.barrier().clone(),
            loads: Some(mailbox.load_counters()),
            is_rescale: paused,
        });
        builder.hash_ticks(hash_ticks);
        add(&mut builder);
        let checkpoint = checkpoint.as_deref().map(|checkpoint| checkpoint as _);
        let shard = builder.restore(RestoreFrom { checkpoint, moves: mailbox.moves() })?;
        mailbox.has_kept(shard.kept());
        if let Some(torn) = recovered.torn.filter(|torn| !torn.certain) {
            mailbox.note(format!(
                "{}: a write was cut short at byte {} ({}), by the loss of power as it seems; it was dropped",
                torn.path.display(),
                torn.at,
                torn.reason
            ));
        }
        let flushes = options.durability == Durability::Disk;
        let mut line = Line::new(id, log.clone(), mailbox.clone(), flushes);
        // What the checkpoint holds is durable.
        line.publish(shard.clock());
        Ok(DurableShard {
            id,
            shard: Inner::Restored(shard),
            line,
            log,
            mailbox,
            disk,
            flushes,
            hashes: hash_ticks > 0,
            live: false,
            finished: false,
            moving: false,
            suspension: Suspension::No,
            paused,
            quiet: 0,
            seen: 0,
            unflushed: None,
            flush_requested: Tick(0),
            retired: Tick(0),
            saving: None,
            last: None,
        })
    }

    /// The shard inside, to be looked at.
    pub fn shard(&self) -> &Shard {
        self.shard.look()
    }

    /// Ends the log cleanly: nothing is appended any more.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn close_log(&mut self) -> Result<(), Fault> {
        self.log.borrow_mut().close().map_err(fault)?;
        self.finished = true;
        self.mailbox.has_closed(self.id);
        Ok(())
    }

    /// What follows from ticks up to this one has been released.
    pub fn released(&self) -> Tick {
        self.line.released()
    }

    /// Tells the others through which tick somebody here waits for all logs; whether that is news.
    fn want(&mut self) -> bool {
        if !self.flushes {
            return false;
        }
        let wanted = self.shard.look().flush_requested();
        let news = wanted > self.flush_requested && wanted < Tick::END;
        if news {
            self.flush_requested = wanted;
            self.mailbox.wants().publish(self.id, wanted);
        }
        news
    }

    /// Whether what the log holds should be flushed now: somebody waits for it, or nobody did for long enough.
    fn is_urgent(&mut self, now: Nanos) -> bool {
        let log = self.log.borrow();
        let Some(first) = log.pending().filter(|_| !log.in_flight()) else {
            self.unflushed = None;
            return false;
        };
        let since = *self.unflushed.get_or_insert(now);
        first <= self.mailbox.wants().highest().0
            || self.shard.look().clock() == Tick::END
            || now.0.saturating_sub(since.0) >= FLUSH_LATEST_NS
    }

    /// Logs the hashes of the state that fell due. What they are of lies behind what the log holds by now, so they carry their own tick.
    ///
    /// ```text
    ///  | stage u32 | 0 u32 | tick u64 | hash u64 |
    /// ```
    fn log_hashes(&mut self) {
        let mut log = self.log.borrow_mut();
        let shard = self.shard.running();
        let now = shard.clock();
        shard.hashes(|stage, tick, hash| {
            let mut payload = [0; 24];
            payload[..4].copy_from_slice(&u32::from(stage.0).to_le_bytes());
            payload[8..16].copy_from_slice(&tick.0.to_le_bytes());
            payload[16..].copy_from_slice(&hash.to_le_bytes());
            // Those of ticks that are being replayed are there, and those after the last tick have no place any more.
            if now < Tick::END && self.live && log.room() >= payload.len() {
                log.append(now.0, Kind::Hash, &payload);
            }
        });
    }

    /// Sleeps in the kernel for a moment, if a write of this shard is under way there; whether it is.
    fn wait(&mut self) -> Result<bool, Fault> {
        if self.flushes && self.log.borrow().in_flight() {
            self.log.borrow_mut().wait(FLUSH_WAIT).map_err(fault)?;
            return Ok(true);
        }
        match &mut self.saving {
            Some(saving) if saving.writer.in_flight() => {
                saving.writer.wait(FLUSH_WAIT).map_err(fault)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl Drop for DurableShard {
    fn drop(&mut self) {
        self.mailbox.is_gone(self.id);
    }
}

impl Duty for DurableShard {
    fn step(&mut self, at: ClockReading) -> Result<Step, Fault> {
        let step = self.try_step(at);
        if step.is_err() && !self.flushes {
            // Others go by the shard's clock: what it showed before it failed was written down.
            self.line.publish(self.shard.look().clock());
        }
        step
    }

    fn drain(&mut self) {
        self.shard.drain();
    }

    fn suspend(&mut self) -> bool {
        if self.suspension == Suspension::No {
            self.suspension = Suspension::Settling;
            self.shard.suspend();
            self.mailbox.is_suspending();
        }
        true
    }

    fn position(&self) -> Position {
        Duty::position(self.shard.look())
    }
}

impl DurableShard {
    fn try_step(&mut self, at: ClockReading) -> Result<Step, Fault> {
        if self.suspension == Suspension::Closed {
            return Ok(Step { work: 0, published: false, finished: true });
        }
        if !self.shard.has_begun() {
            self.begin()?;
        }
        let mut taken = self.shard.running().take_in(at)?;
        let mut told = false;
        if !self.flushes {
            // What the shard does next need not even be held.
            told = self.line.publish(taken.clock());
            if let Some(through) = self.line.due(&taken) {
                self.line.has_released(taken.release(through)?);
            }
        }
        let mut step = taken.act()?;
        if self.hashes {
            self.log_hashes();
        }
        let changes = self.mailbox.changes();
        if changes != self.seen {
            self.seen = changes;
            self.look()?;
        }
        told |= self.want();
        let urgent = self.is_urgent(at.now);
        let flushed = self.log.borrow_mut().turn_if(self.line.released().0, urgent).map_err(fault)?;
        let shard = self.shard.running();
        told |= self.line.publish(shard.clock());
        if let Some(through) = self.line.due(shard) {
            self.line.has_released(shard.release(through)?);
        }
        step.published |= told;
        if self.moving && !shard.is_moving() {
            self.moving = false;
            self.mailbox.report(self.id, Report::Moved);
        }
        if !self.live && shard.is_live() && !shard.is_moving() {
            self.live = true;
            self.mailbox.is_live(self.id);
        }
        match self.suspension {
            Suspension::Settling if self.live && shard.is_quiet() => {
                self.suspension = Suspension::Quiet;
                self.mailbox.is_quiet(self.id);
            }
            // Nothing else is waited for: what is not saved is replayed from the log.
            Suspension::Closing => {
                shard.suspend_sinks()?;
                self.close_log()?;
                self.suspension = Suspension::Closed;
                step.finished = true;
                return Ok(step);
            }
            Suspension::No | Suspension::Settling | Suspension::Quiet | Suspension::Closed => {}
        }
        let saved = self.save()?;
        if step.finished {
            if !self.finished {
                self.close_log()?;
            }
            return Ok(step);
        }
        let idle = step.work == 0 && !step.published && !flushed && !saved;
        self.quiet = if idle { self.quiet.saturating_add(1) } else { 0 };
        if self.quiet >= QUIET_STEPS {
            // Not idle: a core that parks would find out late that the write is done.
            step.work += usize::from(self.wait()?);
            // Not in a replay, for then others wait for this shard; and after those who do the flush had their turn.
            step.work += usize::from(self.live && !self.shard.running().catch_up()?);
        }
        if saved && step.work == 0 {
            step.work = 1;
        }
        Ok(step)
    }
}
