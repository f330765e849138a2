//! Rows that come with their names.

use pelton_core::{EventTime, ShardId, Tick};

/// A row with its name: no two rows of a run have the same (tick, shard, seq), and a replay gives the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<T> {
    /// The tick that it came of.
    pub tick: Tick,
    /// The shard that wrote it.
    pub shard: ShardId,
    /// Its number among that shard's rows of that tick.
    pub seq: u64,
    /// Its event time.
    pub at: EventTime,
    /// The row.
    pub row: T,
}

/// The name of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The tick that it came of.
    pub tick: Tick,
    /// The shard that wrote it.
    pub shard: ShardId,
    /// Its number among that shard's rows of that tick, from 0.
    pub seq: u64,
}

impl<T> Row<T> {
    /// The row's name.
    pub fn position(&self) -> Position {
        Position { tick: self.tick, shard: self.shard, seq: self.seq }
    }
}
