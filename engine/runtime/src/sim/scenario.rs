//! What a scenario of several runs is like.

use super::{Faults, Mistake};
use crate::config::Durability;
use pelton_core::TickBudget;
use pelton_core::stage::wiring::Sizes;
use std::ops::RangeInclusive;

/// What a scenario of several runs is like. Two runs of equal scenarios are equal, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Everything that is left to chance is drawn from it.
    pub seed: u64,
    /// How often the job dies or is stopped before it is left alone. It may come to its end earlier.
    pub crashes: u32,
    /// A run that ends early does so within this many steps.
    pub steps_max: u64,
    /// Shards; each run draws its own number.
    pub shards: RangeInclusive<usize>,
    /// Key groups.
    pub key_groups: u32,
    /// Bytes of each ring, a power of two of at least 4 KiB.
    pub ring_bytes: usize,
    /// The most records in a tick.
    pub records_max: usize,
    /// What the job withstands. Power fails only where it promises to withstand that.
    pub durability: Durability,
    /// Bytes of a log segment, a power of two of at least 64 KiB.
    pub segment_bytes: u64,
    /// The ticks from one recorded hash of the state to the next; 0 for none.
    pub hash_ticks: u64,
    /// Virtual nanoseconds from one checkpoint to the next; 0 for those only that are commanded. A step takes 50 µs on average.
    pub checkpoint_ns: u64,
    /// Checkpoints that are kept.
    pub keep: usize,
    /// Of a thousand bursts of steps, after this many somebody commands a checkpoint or a savepoint.
    pub commands: u32,
    /// Of a thousand runs, this many begin from a savepoint, if there is one and the environment bears it.
    pub restores: u32,
    /// What the disk does wrong in runs that end early. Errors of reads, writes and syncs, and a full disk, stop a job, and are not in every run. Bits
    /// turn over at one crash in four; the run may then end in a refusal.
    pub faults: Faults,
    /// A mistake that is to be found.
    #[doc(hidden)]
    pub mistake: Option<Mistake>,
}

impl Default for Scenario {
    /// A few crashes by either kind, one to four shards, small rings and segments, and a slow disk.
    fn default() -> Self {
        Scenario {
            seed: 0,
            crashes: 4,
            steps_max: 4_000,
            shards: 1..=4,
            key_groups: 64,
            ring_bytes: 16 << 10,
            records_max: 16,
            durability: Durability::Disk,
            segment_bytes: 64 << 10,
            hash_ticks: 0,
            checkpoint_ns: 20_000_000,
            keep: 2,
            commands: 2,
            restores: 0,
            faults: Faults { slow: 0..8, ..Faults::default() },
            mistake: None,
        }
    }
}

impl Scenario {
    pub(super) fn sizes(&self, shards: usize) -> Sizes {
        Sizes {
            shards: shards as u16,
            key_groups: self.key_groups,
            ring_bytes: self.ring_bytes,
            tick: TickBudget {
                records_max: self.records_max,
                interval_idle_nanos: 0,
                interval_busy_nanos: 0,
            },
            tick_bytes_max: usize::MAX,
        }
    }
}
