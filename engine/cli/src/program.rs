//! What the commands ask of the program that they are part of.

use crate::interrupt::Interrupt;
use pelton_core::Tick;
use pelton_runtime::config::Config;
use pelton_runtime::durability::{Replayed, StateHash};
use pelton_runtime::plan::Explanation;
use std::error::Error;
use std::path::Path;

/// A program with jobs.
pub trait Program {
    /// Rebuilds, tick by tick, what a job of the program's did, and shows `each` the states in the order (tick, shard, stage).
    ///
    /// # Errors
    /// When the program does not have the job whose data it is, or that data cannot be read.
    fn replay(
        &self,
        request: &ReplayRequest<'_>,
        each: &mut dyn FnMut(&StateHash),
    ) -> Result<Replayed, Box<dyn Error>>;
}

/// A program with a job to run.
pub trait Runnable: Program {
    /// The plan of the job.
    fn explain(&self) -> Explanation;

    /// Runs the job until its input ends, or until `interrupt` is raised: then it is stopped in order.
    ///
    /// # Errors
    /// When the job cannot be started or fails, and [`Interrupted`](crate::exit::Interrupted) when it was stopped and keeps nothing from
    /// which it could go on.
    fn run(&self, config: &Config, interrupt: &Interrupt) -> Result<(), Box<dyn Error>>;
}

/// What is to be replayed.
#[derive(Clone, Copy, Debug)]
pub struct ReplayRequest<'a> {
    /// The name of the job, as its data directory has it.
    pub job: &'a str,
    /// The data directory.
    pub data: &'a Path,
    /// The sizes to replay with.
    pub config: &'a Config,
    /// The first tick to show.
    pub from: Tick,
    /// The last one.
    pub to: Tick,
}
