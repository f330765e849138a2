//! Much keyed state: what checkpoints of it cost, and how soon a job is back with it.

mod checkpoint;
mod job;
mod moves;
mod recorder;
mod recovery;
mod source;

pub use checkpoint::{CheckpointResult, Made, checkpoint};
pub use moves::{MoveResult, Moves, SizeMoved, Steps, moves};
pub use recovery::{Life, Recovered, RecoveryResult, live, recovery};

use crate::error::BenchError;
use pelton::config::Durability;
use pelton::{Config, Running};
use pelton_cli::Interrupt;
use source::Keys;
use std::time::Duration;

/// What a measurement of state is asked for.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// Numbers of keys; at least one.
    pub keys: Vec<u64>,
    /// Keys that the load touches, if not all.
    pub hot: Option<u64>,
    /// Records for a second.
    pub rate: u64,
    /// How long a measurement of checkpoints goes on, in seconds.
    pub seconds: u64,
    /// Print one line of JSON.
    pub json: bool,
    /// How the engine runs.
    pub config: Config,
}

impl StateOptions {
    /// Refuses what cannot be measured.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn check(&self) -> Result<(), BenchError> {
        let problem = if self.keys.is_empty() || self.keys.contains(&0) {
            "--keys: at least one number, and none of them 0"
        } else if self.rate == 0 || self.rate > 1_000_000_000 {
            "--rate: from 1 to 1000000000 events per second"
        } else if self.hot == Some(0) {
            "--hot 0: at least one key must be touched"
        } else if self.config.durability == Durability::None {
            "--durability none: without durability there are no checkpoints; choose process or disk"
        } else {
            return Ok(());
        };
        Err(BenchError::Options(problem.to_owned()))
    }

    fn keys(&self, keys: u64, partitions: usize) -> Keys {
        Keys { keys, hot: self.hot.unwrap_or(keys).min(keys), rate: self.rate, partitions }
    }
}

/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(20);

/// Sleeps for a while, unless the job ends or Ctrl-C comes.
fn pause(running: &Running, interrupt: &Interrupt, time: Duration) -> Result<(), BenchError> {
    if interrupt.wait(time) {
        return Err(BenchError::Interrupted);
    }
    if running.is_finished() {
        return Err(BenchError::Options("the job ended by itself".to_owned()));
    }
    Ok(())
}

/// Sleeps until something is so.
fn wait_for(running: &Running, interrupt: &Interrupt, so: impl Fn() -> bool) -> Result<(), BenchError> {
    while !so() {
        pause(running, interrupt, LOOK)?;
    }
    Ok(())
}

fn engine_error(error: impl std::error::Error + Send + Sync + 'static) -> BenchError {
    BenchError::Engine(Box::new(error))
}
