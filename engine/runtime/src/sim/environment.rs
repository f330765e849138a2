//! What is outside of the job and does not die with it: those who send, those who keep what they are shown, those who look on.

use pelton_core::{Nanos, Tick};

/// A moment of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Runs before this one.
    pub run: u32,
    /// Steps in this run, of all shards.
    pub step: u64,
    /// Virtual time.
    pub now: Nanos,
    /// Shards in this run.
    pub shards: usize,
    /// Ticks up to this one are durable.
    pub durable_through: Tick,
    /// Whether all shards have recovered what earlier runs left.
    pub is_live: bool,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunEnd {
    /// The process is killed.
    Killed,
    /// The machine loses power.
    PowerLost,
    /// The process ends by itself, between two steps.
    Stopped,
    /// The job was suspended, and came to that end. What becomes of the machine afterwards is all the same.
    Suspended,
}

/// The environment around a job. Everything in it must follow from what it is told, and from a [`Chance`](super::Chance) of its own.
pub trait Environment {
    /// Whether it bears that the job goes back to a savepoint: producers send again what came after it, and outputs that the job does not take
    /// back by itself are taken back in [`went_back`](Self::went_back).
    fn may_go_back(&self) -> bool {
        false
    }

    /// The job goes on from what it was at the end of this tick; all that came after it is given up.
    fn went_back(&mut self, to: Tick) {
        let _ = to;
    }

    /// A program of the job has begun, the first one included, that goes on from the end of this tick: later ticks, if there were any, are given up, and those
    /// that come are of this program.
    #[doc(hidden)]
    fn program(&mut self, program: usize, base: Tick) {
        let _ = (program, base);
    }

    /// Shards begin: in each run once, and once before if other shards' state has to be recovered first.
    fn began(&mut self, moment: &Moment) {
        let _ = moment;
    }

    /// Some time has passed: producers send, slow databases get on.
    fn turn(&mut self, moment: &Moment) {
        let _ = moment;
    }

    /// Looks on after each step.
    ///
    /// # Errors
    /// When it sees what must not be: the run ends with what it says.
    fn check(&mut self, moment: &Moment) -> Result<(), String> {
        let _ = moment;
        Ok(())
    }

    /// The process is gone, and with it what was on its way.
    fn ended(&mut self, run_end: RunEnd) {
        let _ = run_end;
    }
}
