//! One step of a shard, in its two halves: it takes in, and acts.

use super::{Phase, Shard};
use crate::bounds::BUSY_STEPS;
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos, StageId, Tick};
use crate::stage::Stage;
use core::ops::Deref;

/// What the driver's clocks show as a step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The driver's clock.
    pub now: Nanos,
    /// The wall clock, as time since 1970, if the driver has looked at it: before the first step, and every millisecond or so. In between it
    /// goes on with the driver's clock; a job that is never told takes that one for it. Each tick has a reading, which is part of the input and
    /// never falls.
    pub wall: Option<EventTime>,
}

impl From<Nanos> for ClockReading {
    /// The wall clock has not been looked at.
    fn from(now: Nanos) -> Self {
        ClockReading { now, wall: None }
    }
}

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

/// A shard that has taken in and not acted on it. Until it has, nothing else can be asked of it than this.
#[must_use = "the shard has to act on what it took in"]
pub struct TakenIn<'a> {
    shard: &'a mut Shard,
    work: usize,
    published: bool,
}

impl TakenIn<'_> {
    /// As [`Shard::release`]: what follows from these ticks in the second half of the step need not be held.
    ///
    /// # Errors
    /// When a sink fails.
    pub fn release(&mut self, through: Tick) -> Result<Tick, Fault> {
        self.shard.release(through)
    }

    /// The second half of a step: merges, acts and sends for each later stage.
    ///
    /// # Errors
    /// As for [`Shard::step`].
    pub fn act(self) -> Result<Step, Fault> {
        let TakenIn { shard, work, published } = self;
        shard.act(work, published)
    }
}

/// What can be asked of a shard, and not what it does.
impl Deref for TakenIn<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        self.shard
    }
}

impl Shard {
    /// Does a bounded amount of work.
    ///
    /// # Errors
    /// A [`Fault`], after which the shard must not be stepped again.
    pub fn step(&mut self, at: ClockReading) -> Result<Step, Fault> {
        self.take_in(at)?.act()
    }

    /// The first half of a [step](Self::step): takes in what there is and sends it. Its ticks are made then, and written down if there is an
    /// input log, so that a driver for whom that is enough can [release](TakenIn::release) them before the shard [acts](TakenIn::act) on them.
    ///
    /// # Errors
    /// As for [`step`](Self::step).
    pub fn take_in(&mut self, at: ClockReading) -> Result<TakenIn<'_>, Fault> {
        if self.phase != Phase::Runs {
            self.enter()?;
        }
        let ClockReading { now, wall } = at;
        if let Some(wall) = wall {
            self.ingress.set_wall(now, wall);
        }
        self.running = 0;
        if !self.moves.is_empty() {
            self.move_again()?;
        }
        let (work, published) = self.ingress.step(now, self.streak >= BUSY_STEPS)?;
        Ok(TakenIn { shard: self, work, published })
    }

    fn act(&mut self, mut work: usize, mut published: bool) -> Result<Step, Fault> {
        for (index, stage) in self.stages.iter_mut().enumerate() {
            self.running = index + 1;
            let ingress = &mut self.ingress;
            let mut moved = false;
            let number = StageId(index as u16 + 1);
            let progress = stage.step(number, || moved |= ingress.observe())?;
            work += progress.work;
            published |= progress.published | moved;
        }
        self.tidy();
        self.streak = if work > 0 { self.streak.saturating_add(1) } else { 0 };
        let finished =
            self.ingress.ended() && self.stages.iter().all(Stage::ended) && self.released == Tick::END;
        Ok(Step { work, published, finished })
    }
}
