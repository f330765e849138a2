//! Clock lines: how far each shard has come in a stage.
//!
//! A stage publishes `done through tick T` in a line of its own that every other shard reads: one store, N readers, no
//! marker messages. The store comes after the rings' tails, so whoever sees `T` here sees every frame of a tick <= `T` there.

use crate::ids::{ShardId, Tick};
use crate::sync::{Arc, AtomicU64, Ordering, Padded};
use alloc::vec::Vec;

/// The clock lines of one stage, one for each shard.
#[derive(Clone)]
pub struct Clocks {
    lines: Arc<Vec<Padded<AtomicU64>>>,
}

impl Clocks {
    /// Lines for `shards` shards, all at tick 0, before the first.
    pub fn new(shards: usize) -> Self {
        Clocks { lines: Arc::new((0..shards).map(|_| Padded::new(AtomicU64::new(0))).collect()) }
    }

    /// How far `shard` is.
    #[inline]
    pub fn read(&self, shard: ShardId) -> Tick {
        Tick(self.lines[usize::from(shard.0)].load(Ordering::Acquire))
    }

    /// The largest tick of any shard that has not ended.
    #[inline]
    pub fn highest(&self) -> Tick {
        let running =
            |line: &Padded<AtomicU64>| Some(line.load(Ordering::Acquire)).filter(|&t| t != Tick::END.0);
        Tick(self.lines.iter().filter_map(running).max().unwrap_or(0))
    }

    /// Publishes that `shard` is done through `tick`. Only the shard itself may call this, with rising ticks.
    #[inline]
    pub fn publish(&self, shard: ShardId, tick: Tick) {
        self.lines[usize::from(shard.0)].store(tick.0, Ordering::Release);
    }
}
