//! Jobs that survive: a shard with its log, the keeper of checkpoints, and how a start takes up what is there.
//!
//! 1. [`Opened`]: the data directory is locked and its manifest compared with the job; what to begin from is chosen.
//! 2. [`Survivor`]: on each core's thread a shard is built around its recovered log, restored, and replays; then it goes live.
//! 3. While it runs, each step appends to the log, flushes it, and publishes through which tick it will survive; what all logs survive is
//!    released to the sinks.
//! 4. [`Keeper`]: now and then, or by command, has all shards save their state after one tick, and writes the manifest.
//!
//! Nothing here starts a thread or reads a clock: the same code runs under the drivers and in the simulator.

mod balance;
mod checkpoint;
mod commands;
mod desk;
mod exchange;
mod journal;
mod keeper;
mod opening;
mod replayed;
mod survivor;

pub use checkpoint::Restored;
pub use commands::Commands;
pub use desk::{Answer, CheckpointDone, Desk, UnderWay, Wish};
pub use journal::LogReplay;
pub use keeper::{Keeper, KeeperOptions};
pub use opening::{JobShape, OpenError, Opened, SurvivalOptions, Task, difference, router};
pub use replayed::{Replayed, StateHash};
pub use survivor::{Survivor, SurvivorParts};
