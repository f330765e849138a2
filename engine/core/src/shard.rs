//! A shard: one duty of one core, and the whole of the engine that a driver sees.
//!
//! [`step`](Shard::step) does a bounded amount of each thing once, in the order in which a record passes through: ingest and
//! send (stage 0), then merge, act and send for each later stage. It never waits, never reads a clock and never allocates for a
//! record of fixed size. The driver calls it over and over, with the time.

use crate::context::StageContext;
use crate::fault::Fault;
use crate::ids::{Nanos, ShardId, Tick};
use crate::ingress::{Ingress, IngressEntry};
use crate::stage::Stage;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// Steps in a row with work after which a shard counts as busy.
const BUSY_STEPS: u32 = 64;

/// What one step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Records moved and slices of closing windows done: 0 when there was nothing to do.
    pub work: usize,
    /// Whether other shards have something new to see.
    pub published: bool,
    /// Whether the shard will never have work again.
    pub finished: bool,
}

/// A shard of a running job.
pub struct Shard {
    id: ShardId,
    ingress: Ingress,
    first: Rc<StageContext>,
    stages: Vec<Stage>,
    /// Steps in a row that had work.
    streak: u32,
    /// The stage that runs, for reports.
    running: usize,
}

impl Shard {
    pub(crate) fn new(id: ShardId, ingress: Ingress, first: Rc<StageContext>, stages: Vec<Stage>) -> Self {
        Shard { id, ingress, first, stages, streak: 0, running: 0 }
    }

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Does a bounded amount of work; `now` is the driver's clock.
    ///
    /// # Errors
    /// A [`Fault`], after which the shard must not be stepped again.
    pub fn step(&mut self, now: Nanos) -> Result<Step, Fault> {
        self.running = 0;
        let (mut work, mut published) = self.ingress.step(now, self.streak >= BUSY_STEPS)?;
        for (index, stage) in self.stages.iter_mut().enumerate() {
            self.running = index + 1;
            let ingress = &mut self.ingress;
            let mut moved = false;
            let progress = stage.step(|| moved |= ingress.observe())?;
            work += progress.work;
            published |= progress.published | moved;
        }
        self.streak = if work > 0 { self.streak.saturating_add(1) } else { 0 };
        let finished = self.ingress.ended() && self.stages.iter().all(Stage::ended);
        Ok(Step { work, published, finished })
    }

    /// Ends all sources, as if there were no more input: what is under way completes, and windows close.
    pub fn drain(&mut self) {
        self.ingress.close();
    }

    /// The tick and the name of what ran last, for the report of a panic in user code.
    pub fn position(&self) -> (Tick, String) {
        let context = match self.running {
            0 => &*self.first,
            stage => self.stages[stage - 1].context(),
        };
        let names = context.names.borrow();
        (context.tick.get(), names.get(context.running.get()).cloned().unwrap_or_default())
    }

    /// A digest of the keyed state after every tick so far, if the shard records or replays: equal for equal histories.
    pub fn trace(&self) -> u64 {
        self.stages.iter().fold(0, |digest, stage| crate::hash::join(digest, stage.trace()))
    }

    /// The ingress log, if it was recorded.
    pub fn into_log(self) -> Vec<IngressEntry> {
        self.ingress.into_log()
    }
}
