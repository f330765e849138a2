//! A shard: one duty of one core, and the whole of the engine that a driver sees.
//!
//! [`step`](Shard::step) does a bounded amount of each thing once, in the order in which a record passes through: ingest and
//! send (stage 0), then merge, act and send for each later stage. It never waits, never reads a clock and never allocates for a
//! record of fixed size. The driver calls it over and over, with the time.
//!
//! What comes after what is in the types, for every driver (ADR 17): a call that another one has to
//! come before takes what that one returned.
//!
//! ```text
//!  ShardBuilder --finish()---------------------------------------------------------> Shard     without a log
//!               --restore(RestoreFrom)--> RestoredShard --begin(Beginning)---------> Shard     with one
//!
//!  Shard --step(ClockReading)------------------------------------------------------> Step
//!        --take_in(ClockReading)--> TakenIn --release(Tick)*, act()----------------> Step      the same, in two halves
//!
//!  Shard --checkpoint(Tick)--> CheckpointBegun --save()--> Saved::Pending(CheckpointBegun)     between steps, one at a time
//!                                                          Saved::Done
//! ```
//!
//! Between two steps, in any order and as often as it likes, a driver looks (what takes `&self`), [releases](Shard::release) ticks, has key groups
//! [move](Shard::move_groups), takes [hashes](Shard::hashes), and says how the shard is to end ([drain](Shard::drain),
//! [suspend](Shard::suspend)). Sinks are told that a job is suspended last of all ([suspend_sinks](Shard::suspend_sinks)). A shard that has [finished](Step::finished) or failed is only looked at.

mod checkpoint;
mod rebalance;
mod start;
mod step;

use self::checkpoint::Saving;
pub use self::checkpoint::{CheckpointBegun, Saved};
use self::start::Phase;
pub use self::start::{Beginning, RestoreFrom, RestoredShard};
pub use self::step::{ClockReading, Step, TakenIn};
use crate::bounds::TIDY_NANOS;
use crate::checkpoint::moving::Move;
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::{Nanos, ShardId, StageId, Tick};
use crate::ingress::{Ingress, IngressEntry};
use crate::sink::SinkNotes;
use crate::stage::Stage;
use crate::stage::context::StageContext;
use crate::state::slab::Slabs;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A shard of a running job.
pub struct Shard {
    id: ShardId,
    /// Where keys live when the shard begins.
    router: Arc<Router>,
    ingress: Ingress,
    first: Rc<StageContext>,
    stages: Vec<Stage>,
    /// By which number what a stage keeps is known, stage 0 included.
    ids: Vec<usize>,
    /// Steps in a row that had work.
    streak: u32,
    /// The stage that runs, for reports.
    running: usize,
    /// Ticks through this one will be durable, and ticks through this one have been released to the sinks.
    durable_through: Tick,
    released: Tick,
    /// The sinks have rows of an earlier run of ticks through this one.
    kept: Tick,
    saving: Option<Saving>,
    /// Moves of an earlier run, still to be made again.
    moves: VecDeque<Move>,
    slabs: Slabs,
    /// When it is looked again which memory has not been needed, and whether some is still to be given back.
    tidy_at: Nanos,
    is_untidy: bool,
    phase: Phase,
}

impl Shard {
    pub(crate) fn new(
        router: Arc<Router>,
        ingress: Ingress,
        first: Rc<StageContext>,
        stages: Vec<Stage>,
        ids: Vec<usize>,
        slabs: Slabs,
    ) -> Self {
        let durable_through = if first.run().durable { Tick(0) } else { Tick::END };
        let (released, saving) = (durable_through, None);
        Shard {
            id: first.shard,
            router,
            ingress,
            first,
            stages,
            ids,
            streak: 0,
            running: 0,
            durable_through,
            released,
            kept: Tick(0),
            saving,
            moves: VecDeque::new(),
            slabs,
            tidy_at: Nanos(TIDY_NANOS),
            is_untidy: false,
            phase: Phase::Runs,
        }
    }

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Now and then looks which memory nobody has needed since it last did, and gives that back, a bounded part in a step.
    #[inline]
    fn tidy(&mut self) {
        let now = self.ingress.now();
        let ends = now >= self.tidy_at;
        if ends | self.is_untidy {
            self.tidy_some(now, ends);
        }
    }

    #[cold]
    fn tidy_some(&mut self, now: Nanos, ends: bool) {
        if ends {
            self.tidy_at = Nanos(now.0.saturating_add(TIDY_NANOS));
        }
        let mut done = true;
        for stage in &mut self.stages {
            if ends || done {
                done &= stage.tidy(ends);
            }
        }
        if ends || done {
            done &= self.slabs.tidy(ends);
        }
        self.is_untidy = !done;
    }

    /// Does a bounded part of what was put off when the state came back from a checkpoint; true when nothing is left. For a driver that has
    /// nothing else to do: whatever depends on it waits for it or does it. It costs time, and changes nothing that can be seen.
    ///
    /// # Errors
    /// As for [`step`](Self::step).
    pub fn catch_up(&mut self) -> Result<bool, Fault> {
        for (index, stage) in self.stages.iter_mut().enumerate() {
            self.running = index + 1;
            if !stage.catch_up()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends all sources, as if there were no more input: what they have accepted is taken in, what is under way completes, and windows close.
    pub fn drain(&mut self) {
        self.ingress.close();
    }

    /// Takes in what the sources have accepted, and then nothing new. The input does not end: a later run goes on with it.
    pub fn suspend(&mut self) {
        self.ingress.suspend();
    }

    /// The shard is suspended, and is not stepped any more: tells its sinks.
    ///
    /// # Errors
    /// When a sink cannot keep what it was given.
    pub fn suspend_sinks(&mut self) -> Result<(), Fault> {
        self.phase = Phase::Suspended;
        self.each_sink(|sink| sink.suspend())
    }

    /// Whether nothing is taken in any more, and everything that was has been written down, if there is a input log.
    pub fn is_quiet(&self) -> bool {
        self.ingress.is_quiet()
    }

    /// Every tick up to this one has been made here, and written down if there is a input log.
    pub fn clock(&self) -> Tick {
        self.ingress.clock()
    }

    /// Every tick up to this one has been made on every shard, and written down there if there is a input log.
    pub fn appended_through(&self) -> Tick {
        self.ingress.appended_through()
    }

    /// Through which tick somebody waits for the input of all shards to be durable: for rows that are held, for producers, or for a checkpoint.
    /// What comes later may as well be durable a little later.
    pub fn flush_requested(&self) -> Tick {
        let saving = self.saving.as_ref().map_or(Tick(0), |saving| saving.tick);
        let contexts = self.stages.iter().map(|stage| stage.context().flush_requested.get());
        let first = self.first.flush_requested.get().max(self.ingress.flush_requested());
        contexts.fold(first.max(saving), Tick::max)
    }

    /// The highest clock of any shard. Those of shards whose input has ended are known from what they sent.
    pub fn highest(&self) -> Tick {
        self.stages.iter().map(Stage::highest).fold(self.ingress.highest(), Tick::max)
    }

    /// Through which tick every stage has done all that follows.
    pub fn completed_through(&self) -> Tick {
        self.stages.iter().map(Stage::done).fold(self.ingress.clock(), Tick::min)
    }

    /// Whether the shard takes in what is new, having taken in everything of an earlier run.
    pub fn is_live(&self) -> bool {
        self.ingress.is_live()
    }

    /// Says that the input of all shards through `through` will be durable. Rows of these ticks leave; but not those behind a checkpoint whose rows
    /// are not all out yet. Returns through which tick they have left; until that is `through`, this has to be called again.
    ///
    /// # Errors
    /// When a sink fails.
    pub fn release(&mut self, through: Tick) -> Result<Tick, Fault> {
        self.durable_through = self.durable_through.max(through);
        self.show()?;
        Ok(self.released)
    }

    fn show(&mut self) -> Result<(), Fault> {
        loop {
            // What the sinks keep at a checkpoint must be what they were shown through its tick, and no more.
            let waits =
                self.saving.as_ref().filter(|saving| saving.sinks.is_none()).map(|saving| saving.tick);
            // One that has been announced may have been passed by all others. Nobody passes it before it stands there, so to look afterwards is
            // soon enough.
            let durable_through = self.ingress.before_barrier(self.durable_through);
            let through = waits.map_or(durable_through, |tick| durable_through.min(tick));
            if through > self.released {
                self.released = through;
                self.running = 0;
                self.ingress.release(through);
                for (index, stage) in self.stages.iter_mut().enumerate() {
                    self.running = index + 1;
                    stage.release(through);
                }
                self.first.check()?;
                self.stages.iter().try_for_each(|stage| stage.context().check())?;
            }
            let completed_through =
                |tick| self.released >= tick && !self.stages.iter().any(Stage::is_to_freeze);
            if !waits.is_some_and(completed_through) {
                return Ok(());
            }
            let mut sinks = SinkNotes::default();
            self.each_sink(|sink| sink.note(&mut sinks))?;
            if let Some(saving) = &mut self.saving {
                saving.sinks = Some(sinks);
            }
        }
    }

    /// Hashes of the state of stages after some ticks, since the last call: see [`ShardBuilder::hash_ticks`](crate::stage::build::ShardBuilder::hash_ticks).
    pub fn hashes(&mut self, mut take: impl FnMut(StageId, Tick, u64)) {
        for (index, stage) in self.stages.iter_mut().enumerate() {
            stage.hashes().for_each(|(tick, hash)| take(StageId(index as u16 + 1), tick, hash));
        }
    }

    /// The tick and the name of what ran last, or of the sink that failed, for the report of a panic or a fault in user code.
    pub fn position(&self) -> (Tick, String) {
        let contexts = core::iter::once(&*self.first).chain(self.stages.iter().map(Stage::context));
        if let Some((tick, sink)) = contexts.filter_map(|c| Some((c.tick.get(), c.blamed()?))).next() {
            return (tick, (*sink).into());
        }
        let (context, name) = match self.running {
            0 => (&*self.first, self.ingress.running().to_string()),
            stage => (self.stages[stage - 1].context(), self.stages[stage - 1].running()),
        };
        (context.tick.get(), name)
    }

    /// A digest of the keyed state after every tick so far, if the shard records or replays: equal for equal histories.
    pub fn trace(&self) -> u64 {
        self.stages.iter().fold(0, |digest, stage| crate::exchange::hash::join(digest, stage.trace()))
    }

    /// The ingress log, if it was recorded.
    pub fn into_log(self) -> Vec<IngressEntry> {
        self.ingress.into_log()
    }
}
