//! What a driver drives: a shard, seen from outside.
//!
//! A duty is built on the thread of its core, stays there and dies there, so it need not be `Send`. The driver calls
//! [`Duty::step`] over and over, hands in the time, and learns how much was done. Each step is bounded: a duty never
//! blocks, sleeps or waits for another one.

use pelton_core::{ClockReading, Fault, Shard, ShardId, Step, Tick};
use std::fmt;
use std::sync::Arc;

/// One shard at work.
pub trait Duty {
    /// Does a bounded piece of whatever there is to do at this time. After a step that says `finished` the duty is dropped.
    ///
    /// # Errors
    /// When the shard cannot go on. The driver stops the whole job and reports it.
    fn step(&mut self, at: ClockReading) -> Result<Step, Fault>;

    /// Closes the sources: once what they have accepted is taken in, the shard behaves as if its input had ended. Called at most once.
    fn drain(&mut self);

    /// Asks the shard to bring what it keeps to a state that a later run goes on from, and then to say that it has finished. False if it keeps
    /// nothing, which is the default: then it is left where it is. Called at most once, perhaps after [`drain`](Self::drain).
    fn suspend(&mut self) -> bool {
        false
    }

    /// Where the shard is. Asked after a step panicked or failed, so it may only look.
    fn position(&self) -> Position;
}

/// Where a shard is, for reports of what went wrong there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The tick it worked on last.
    pub tick: Tick,
    /// The operator that ran last, as a person would name it.
    pub operator: String,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tick.fmt(f)?;
        if self.operator.is_empty() { Ok(()) } else { write!(f, " in {}", self.operator) }
    }
}

impl Duty for Shard {
    fn step(&mut self, at: ClockReading) -> Result<Step, Fault> {
        Shard::step(self, at)
    }

    fn drain(&mut self) {
        Shard::drain(self);
    }

    fn position(&self) -> Position {
        let (tick, operator) = Shard::position(self);
        Position { tick, operator }
    }
}

/// Makes a shard, on the thread that will run it.
pub type Build = Arc<dyn Fn(ShardId) -> Result<Box<dyn Duty>, Fault> + Send + Sync>;
