//! The shards of a job with durability on one thread, stepped by whoever holds them: for recovering what other shards left, for replays, and
//! for the simulator.

use super::{Coordinator, CoordinatorOptions, DurableShard, Mailbox, Opened, Restored};
use crate::blueprint::Blueprint;
use crate::{Duty, JobError};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::stage::wiring::{Sizes, wire_by};
use pelton_core::state::memory::Memory;
use pelton_core::{ClockReading, Fault, Step};
use std::sync::Arc;

/// All shards of a job, and its coordinator.
pub struct Harness {
    /// What the shards and the coordinator say to each other.
    pub mailbox: Arc<Mailbox>,
    /// To be turned now and then.
    pub coordinator: Coordinator,
    /// A shard that failed, or has finished, may be taken out.
    pub durable_shards: Vec<Option<DurableShard>>,
    /// Which shards have come to the end of their input.
    finished: Vec<bool>,
}

impl Harness {
    /// Builds every shard of the generation that `opened` is at, and has it say that they begin. `paused` ones replay and take in nothing new.
    ///
    /// # Errors
    /// When the rings do not fit into the memory, a shard cannot be restored, or the manifest cannot be written.
    pub fn build(
        blueprint: &Blueprint<'_>,
        sizes: &Sizes,
        memory: &Arc<dyn Memory>,
        opened: &mut Opened,
        checkpoint: Option<&Arc<Restored>>,
        paused: bool,
        coordinator: CoordinatorOptions,
    ) -> Result<Self, JobError> {
        let graph = blueprint.graph_with(&opened.manifest.job);
        let wirings = wire_by(&graph, sizes, opened.router(checkpoint), &**memory).map_err(|error| {
            JobError::Memory {
                rings: graph.rings(usize::from(sizes.shards)),
                ring_bytes: sizes.ring_bytes,
                error,
            }
        })?;
        let mailbox = opened.mailbox(checkpoint);
        let mut durable_shards = Vec::new();
        let mut owners = Vec::new();
        for wiring in wirings {
            let builder = ShardBuilder::new(wiring, memory.clone());
            owners = builder.router().owners().to_vec();
            let mut parts = opened.parts(builder.shard().0, &mailbox, checkpoint);
            parts.paused = paused;
            let built = DurableShard::build(builder, parts, |builder| blueprint.build(builder));
            durable_shards.push(Some(built.map_err(JobError::Fault)?));
        }
        opened.commit(&mailbox, checkpoint)?;
        let coordinator = Coordinator::new(
            opened.data.clone(),
            opened.manifest.clone(),
            mailbox.clone(),
            coordinator,
            owners,
        );
        let finished = vec![false; durable_shards.len()];
        Ok(Harness { mailbox, coordinator, durable_shards, finished })
    }

    /// One step of one shard.
    ///
    /// # Errors
    /// When the shard fails.
    pub fn step(&mut self, shard: usize, at: ClockReading) -> Result<Step, Fault> {
        let Some(durable_shard) = &mut self.durable_shards[shard] else { return Ok(Step::default()) };
        let step = durable_shard.step(at)?;
        self.finished[shard] |= step.finished;
        Ok(step)
    }

    /// Whether every shard has finished.
    pub fn is_finished(&self) -> bool {
        self.finished.iter().all(|finished| *finished)
    }

    /// Whether everything that an earlier run took in has been taken in again, and all that followed from it has been shown.
    pub fn is_settled(&mut self) -> bool {
        let last = self.mailbox.last_recovered();
        let mut durable_shards = self.durable_shards.iter_mut().flatten();
        self.mailbox.all_live()
            && durable_shards.all(|durable_shard| {
                durable_shard.shard().completed_through() >= last && durable_shard.released() >= last
            })
    }
}
