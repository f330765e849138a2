//! A whole job on one thread, in virtual time, in an order drawn from a seed; without storage.

use super::Chance;
use super::wall::WallClock;
use crate::JobError;
use crate::blueprint::Blueprint;
use crate::sizes;
use pelton_core::stage::build::ShardBuilder;
use pelton_core::stage::wiring::{Sizes, wire};
use pelton_core::state::memory::{HeapMemory, Memory};
use pelton_core::{ClockReading, IngressEntry, Nanos, Shard, TickBudget};
use std::sync::Arc;

/// What a simulated run is like. Two runs of equal settings are equal, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// Chooses the order of steps and the pace of time.
    pub seed: u64,
    /// Shards.
    pub shards: usize,
    /// Key groups.
    pub key_groups: u32,
    /// Bytes of each ring, a power of two of at least 4 KiB.
    pub ring_bytes: usize,
    /// The most records in a tick.
    pub records_max: usize,
}

impl Default for Simulation {
    fn default() -> Self {
        Simulation { seed: 0, shards: 2, key_groups: 1_024, ring_bytes: 64 * 1_024, records_max: 64 }
    }
}

impl Simulation {
    fn sizes(&self) -> Sizes {
        Sizes {
            shards: self.shards as u16,
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

/// What a recorded run left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The ingress log of each shard.
    pub logs: Vec<Vec<IngressEntry>>,
    /// A digest of each shard's state after every tick.
    pub traces: Vec<u64>,
}

/// Runs the job to its end, and returns its ingress logs and the digests of its state.
///
/// # Errors
/// When the sizes are none that a job can run with, or a shard fails.
///
/// # Panics
/// When user code panics, or when nothing moves any more though the job has not ended.
pub fn simulate(blueprint: &Blueprint<'_>, simulation: &Simulation) -> Result<Recording, JobError> {
    drive(blueprint, simulation, None)
}

/// Runs the job again on the input of a recorded run: the same records in the same ticks, with everything else (`simulation`'s
/// seed, ring size, order of steps) as you like. Output and state come out byte for byte as they were.
///
/// # Errors
/// When the sizes are none that a job can run with, or a shard fails.
///
/// # Panics
/// When the sources do not yield what they yielded, or as for [`simulate`].
pub fn replay(
    blueprint: &Blueprint<'_>,
    recording: &Recording,
    simulation: &Simulation,
) -> Result<Recording, JobError> {
    assert_eq!(
        recording.logs.len(),
        simulation.shards,
        "a recording is replayed with the shards that it was made with"
    );
    drive(blueprint, simulation, Some(recording))
}

fn drive(
    blueprint: &Blueprint<'_>,
    simulation: &Simulation,
    recording: Option<&Recording>,
) -> Result<Recording, JobError> {
    let mut shards = build(blueprint, simulation, recording)?;
    let mut chance = Chance::new(simulation.seed, "schedule");
    let mut wall = WallClock::new(simulation.seed);
    let (mut now, mut quiet) = (Nanos(1), 0);
    let mut finished = vec![false; shards.len()];
    while !finished.iter().all(|&finished| finished) {
        // Shards run in bursts of random length, so that one gets far ahead of another.
        let shard = chance.below(shards.len() as u64) as usize;
        for _ in 0..=chance.below(8) {
            now.0 += 1 + chance.below(200_000);
            let at = ClockReading { now, wall: Some(wall.read(now)) };
            let step = shards[shard].step(at).map_err(JobError::Fault)?;
            finished[shard] |= step.finished;
            quiet = if step.work > 0 || step.published { 0 } else { quiet + 1 };
        }
        assert!(quiet < 1_000_000, "nothing moves any more: seed {}, {simulation:?}", simulation.seed);
    }
    let traces = shards.iter().map(Shard::trace).collect();
    Ok(Recording { traces, logs: shards.into_iter().map(Shard::into_log).collect() })
}

fn build(
    blueprint: &Blueprint<'_>,
    simulation: &Simulation,
    recording: Option<&Recording>,
) -> Result<Vec<Shard>, JobError> {
    sizes::check(simulation.shards, simulation.key_groups, simulation.ring_bytes)?;
    let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
    let graph = (blueprint.graph)(simulation.shards);
    let rings = graph.rings(simulation.shards);
    let wirings = wire(&graph, &simulation.sizes(), &*memory).map_err(|error| JobError::Memory {
        rings,
        ring_bytes: simulation.ring_bytes,
        error,
    })?;
    let build = |wiring| {
        let mut builder = ShardBuilder::new(wiring, memory.clone());
        match recording {
            None => builder.record(),
            Some(recording) => builder.replay(recording.logs[usize::from(builder.shard().0)].clone()),
        }
        blueprint.build(&mut builder);
        builder.finish()
    };
    Ok(wirings.into_iter().map(build).collect())
}
