//! Jobs with durability: a shard with its log, the coordinator of checkpoints, and how a start recovers what is there.
//!
//! 1. [`Opened`]: the data directory is locked and its manifest compared with the job; what to begin from is chosen.
//! 2. [`DurableShard`]: on each core's thread a shard is built around its recovered log, restored, and replays; then it goes live.
//! 3. While it runs, each step appends to the log, flushes it, and publishes through which tick it will be durable; what is durable in all logs is
//!    released to the sinks.
//! 4. [`Coordinator`]: now and then, or by command, has all shards save their state after one tick, and writes the manifest.
//!
//! On real cores [`start`] does all of that, with the coordinator on a thread of its own; [`Harness`] holds the shards of a job on one thread.
//! Nothing but `launch.rs` starts a thread or reads a clock: the same code runs under the drivers and in the simulator.

mod balance;
mod checkpoint;
mod commands;
mod coordinator;
mod durable_shard;
mod harness;
mod input_log;
mod key_groups;
mod launch;
mod mailbox;
mod opening;
pub mod replay;
mod replayed;
pub(crate) mod rescale;
pub mod restore;

pub use checkpoint::Restored;
pub use commands::Commands;
pub use coordinator::{Coordinator, CoordinatorOptions};
pub use durable_shard::{DurableShard, DurableShardParts};
pub use harness::Harness;
pub use input_log::LogReplay;
pub use launch::{DurableJob, LateCheckpoint, Started, start};
pub use mailbox::{Answer, CheckpointDone, Mailbox, Request, UnderWay};
pub use opening::{DurabilityOptions, JobShape, OpenError, Opened, Task, difference, router};
pub use replayed::{Replayed, StateHash};

use crate::JobError;
use pelton_storage::StorageError;

fn storage(error: StorageError) -> JobError {
    JobError::Storage(error.to_string())
}
