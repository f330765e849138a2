//! The duty cycle of a core, on one screen: what a driver does over and over, whichever driver it is.
//!
//! One clock reading, one look at the order to stop, one bounded step of each shard, one fence if anything was
//! published, and then the idle strategy. It never blocks: sleeping, or turning the reactor, is left to the driver. An
//! empty cycle costs little more than its clock reading.

use crate::bounds::WALL_INTERVAL_NS;
use crate::clock;
use crate::control::{Control, Order};
use crate::doorbell::Bells;
use crate::duty::{Build, Duty, Position};
use crate::error::{RunError, StartError};
use crate::idle::{Idle, Rest};
use crate::panics;
use crate::stats::Meter;
use pelton_core::{ClockReading, Nanos, ShardId, Step};

/// The shards of one core, and what goes round with them.
pub(crate) struct Cycle<'a> {
    pub(crate) core: usize,
    pub(crate) shards: Vec<Shard>,
    pub(crate) control: &'a Control,
    pub(crate) bells: &'a Bells,
    pub(crate) idle: Idle,
    pub(crate) meter: Meter<'a>,
    /// The order that the shards were told last.
    pub(crate) told: Order,
    /// When the last turn began.
    pub(crate) now: Nanos,
    /// When the wall clock was read last.
    pub(crate) wall_read: Nanos,
}

/// What the driver does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Rests so, then turns again.
    Turn(Rest),
    /// Leaves: all shards are finished, or the job stops.
    Leave,
}

impl Cycle<'_> {
    /// One turn of the wheel.
    #[inline]
    pub(crate) fn turn(&mut self) -> Next {
        let now = clock::now();
        self.now = now;
        self.meter.cycle(now);
        match self.control.order() {
            Order::StopNow => return self.stop(),
            order if order == self.told => {}
            order => match self.tell(order) {
                Ok(true) => {}
                Ok(false) => return self.stop(),
                Err(error) => return self.fail(error),
            },
        }
        let mut at = ClockReading::from(now);
        if now.0 - self.wall_read.0 >= WALL_INTERVAL_NS {
            self.wall_read = now;
            at.wall = Some(clock::wall());
        }
        let (mut worked, mut published, mut finished) = (false, false, false);
        for shard in &mut self.shards {
            match shard.step(at) {
                Ok(step) => {
                    worked |= step.work > 0 || step.published;
                    published |= step.published;
                    finished |= step.finished;
                }
                Err(error) => return self.fail(error),
            }
        }
        if finished {
            self.shards.retain(|shard| !shard.finished);
        }
        if published || finished {
            self.bells.ring_others(self.core);
        }
        if self.shards.is_empty() {
            return Next::Leave;
        }
        let rest = self.idle.after(now, worked || finished, self.bells.door(self.core));
        match rest {
            Rest::Park(_) => self.meter.park(),
            _ if !worked => self.meter.idle(),
            _ => {}
        }
        Next::Turn(rest)
    }

    /// Tells the shards to come to an end; whether there is anything to wait for.
    #[cold]
    fn tell(&mut self, order: Order) -> Result<bool, RunError> {
        self.told = order;
        if order == Order::Suspend {
            // Those that keep nothing are left where they are.
            for mut shard in std::mem::take(&mut self.shards) {
                if shard.suspend()? {
                    self.shards.push(shard);
                } else {
                    self.control.leave_undone();
                }
            }
            return Ok(!self.shards.is_empty());
        }
        self.shards.iter_mut().try_for_each(Shard::drain).map(|()| true)
    }

    #[cold]
    fn stop(&self) -> Next {
        if !self.shards.is_empty() {
            self.control.leave_undone();
        }
        Next::Leave
    }

    #[cold]
    fn fail(&self, error: RunError) -> Next {
        self.control.fail(error);
        Next::Leave
    }
}

/// A shard in its place: the boundary where panics of user code stop.
pub(crate) struct Shard {
    id: ShardId,
    finished: bool,
    /// Taken only to be dropped.
    duty: Option<Box<dyn Duty>>,
}

impl Shard {
    /// Builds shard `id` on the current thread.
    pub(crate) fn build(id: ShardId, build: &Build) -> Result<Self, StartError> {
        match panics::catch(|| build(id)) {
            Ok(Ok(duty)) => Ok(Shard { id, finished: false, duty: Some(duty) }),
            Ok(Err(fault)) => Err(StartError::Build { shard: id, fault }),
            Err(panicked) => Err(StartError::BuildPanic { shard: id, panicked }),
        }
    }

    fn duty(&mut self) -> &mut dyn Duty {
        self.duty.as_deref_mut().expect("a shard holds its duty until it is dropped")
    }

    #[inline]
    fn step(&mut self, at: ClockReading) -> Result<Step, RunError> {
        match panics::catch(|| self.duty().step(at)) {
            Ok(Ok(step)) => {
                self.finished = step.finished;
                Ok(step)
            }
            Ok(Err(fault)) => Err(RunError::Fault { shard: self.id, position: self.position(), fault }),
            Err(panicked) => Err(self.panicked(panicked)),
        }
    }

    fn drain(&mut self) -> Result<(), RunError> {
        panics::catch(|| self.duty().drain()).map_err(|panicked| self.panicked(panicked))
    }

    fn suspend(&mut self) -> Result<bool, RunError> {
        panics::catch(|| self.duty().suspend()).map_err(|panicked| self.panicked(panicked))
    }

    #[cold]
    fn panicked(&mut self, panicked: panics::Panicked) -> RunError {
        RunError::Panic { shard: self.id, position: self.position(), panicked }
    }

    /// Where the shard is. It may have been left in any state, so a second panic only costs the answer.
    #[cold]
    fn position(&mut self) -> Position {
        panics::catch(|| self.duty().position()).unwrap_or_default()
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        // User code may panic here too, perhaps because of the panic that is being reported; there is nothing to add.
        let duty = self.duty.take();
        let _ = panics::catch(|| drop(duty));
    }
}
