//! What a replay shows: states of a job, tick by tick, as hashes.

use pelton_core::{Nanos, ShardId, StageId, Tick};

/// The state of one stage on one shard after one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateHash {
    /// The tick.
    pub tick: Tick,
    /// The shard.
    pub shard: ShardId,
    /// The stage; those that keep no state have none.
    pub stage: StageId,
    /// The hash of the state, as replayed.
    pub hash: u64,
    /// The hash that the run logged, if it did.
    pub recorded: Option<u64>,
    /// When the tick was taken in, or the last one before it that held any input.
    pub taken_in: Option<Nanos>,
}

impl StateHash {
    /// Whether the replay came to another state than the run.
    pub fn differs(&self) -> bool {
        self.recorded.is_some_and(|recorded| recorded != self.hash)
    }
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The checkpoint that it began from, if there was one.
    pub checkpoint: Option<u64>,
    /// States that were hashed in the range.
    pub states: u64,
    /// States for which the run had logged a hash.
    pub compared: u64,
    /// States that differ from it.
    pub different: u64,
}
