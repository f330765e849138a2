//! What came of a run.

use crate::JobError;
use std::fmt;

/// What a job went through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrashReport {
    /// Runs, the last one included.
    pub runs: u32,
    /// Steps of all shards.
    pub steps: u64,
    /// Times the process was killed.
    pub killed: u32,
    /// Times the machine lost power.
    pub power_lost: u32,
    /// Times the process ended by itself between two steps.
    pub stopped: u32,
    /// Runs that ended in whatever way while key groups were being handed over.
    pub cut_moves: u32,
    /// Times the job was suspended, and came to that end.
    pub suspended: u32,
    /// Times the job stopped because the disk failed, and said so.
    pub errors: u32,
    /// Times the job stopped because something could not be read, and said what.
    pub unreadable: u32,
    /// Reads that failed or were short, whatever came of it.
    pub failed_reads: u64,
    /// Writes that block, and changes of names, that failed, whatever came of it.
    pub failed_changes: u64,
    /// Crashes at which bits turned over.
    pub flips: u32,
    /// Checkpoints, savepoints included.
    pub checkpoints: u64,
    /// Runs that began with another number of shards than the one before.
    pub rescaled: u32,
    /// Runs that began from a savepoint, and gave up what came after it.
    pub went_back: u32,
    /// Runs that began with another program of the job than the one before.
    pub changed: u32,
    /// Starts with another program that were refused, as they had to be.
    pub refused_changes: u32,
    /// Why the job would not go on, if bits turned over and it found them.
    pub refused: Option<String>,
    /// Everything that happened, as one number.
    pub trace: u64,
    /// How each run began, what was saved in it, and how it ended.
    pub story: Vec<String>,
}

/// A promise that was not kept, with the place to look at.
pub struct Failure {
    /// The scenario's seed.
    pub seed: u64,
    /// Runs before the one in which it was seen.
    pub run: u32,
    /// Steps in that run.
    pub step: u64,
    /// What was seen.
    pub problem: Problem,
    /// How each run began, what was saved in it, and how it ended.
    pub story: Vec<String>,
}

/// What was seen.
#[derive(Debug)]
pub enum Problem {
    /// The job failed, and nothing had been done to it that would explain that.
    Job(Box<JobError>),
    /// Something else that must not be.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, run, step, problem, .. } = self;
        write!(f, "seed {seed}, run {run}, step {step}: ")?;
        match problem {
            Problem::Job(error) => write!(f, "the job failed without cause: {error}"),
            Problem::Broken(what) => f.write_str(what),
        }
    }
}

impl fmt::Debug for Failure {
    /// What `Display` says, and then the story, a line for each run: this is what `unwrap` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        self.story.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Job(error) => Some(&**error),
            Problem::Broken(_) => None,
        }
    }
}
