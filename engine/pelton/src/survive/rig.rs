//! The shards of a job that survives on one thread, stepped by whoever holds them: for taking up what other shards left, for replays, and
//! for the simulator.

use super::graph;
use crate::error::JobError;
use crate::job::Plan;
use pelton_core::build::{ShardBuilder, Sizes, wire_by};
use pelton_core::memory::Memory;
use pelton_core::{EventTime, Fault, Nanos, Step};
use pelton_runtime::Duty;
use pelton_runtime::survive::{Desk, Keeper, KeeperOptions, Opened, Restored, Survivor};
use std::sync::Arc;

/// All shards of a job, and its keeper.
pub(crate) struct Rig {
    pub(crate) desk: Arc<Desk>,
    pub(crate) keeper: Keeper,
    /// A shard that failed, or has finished, may be taken out.
    pub(crate) survivors: Vec<Option<Survivor>>,
    /// Which shards have come to the end of their input.
    finished: Vec<bool>,
}

impl Rig {
    /// Builds every shard of the generation that `opened` is at, and has it say that they begin. `paused` ones replay and take in nothing new.
    pub(crate) fn build(
        plan: &Plan,
        sizes: &Sizes,
        memory: &Arc<dyn Memory>,
        opened: &mut Opened,
        checkpoint: Option<&Arc<Restored>>,
        paused: bool,
        keeper: KeeperOptions,
    ) -> Result<Self, JobError> {
        let graph = graph(plan, &opened.manifest.job.partitions);
        let wirings = wire_by(&graph, sizes, opened.router(checkpoint), &**memory).map_err(|error| {
            JobError::Memory {
                rings: graph.rings(usize::from(sizes.shards)),
                ring_bytes: sizes.ring_bytes,
                error,
            }
        })?;
        let desk = opened.desk(checkpoint);
        let mut survivors = Vec::new();
        let mut owners = Vec::new();
        for wiring in wirings {
            let builder = ShardBuilder::new(wiring, memory.clone());
            owners = builder.router().owners().to_vec();
            let mut parts = opened.parts(builder.shard().0, &desk, checkpoint);
            parts.paused = paused;
            let planted = Survivor::build(builder, parts, |builder| {
                plan.plantings.iter().for_each(|planting| planting(builder));
            });
            survivors.push(Some(planted.map_err(JobError::Fault)?));
        }
        opened.commit(&desk)?;
        let keeper = Keeper::new(opened.data.clone(), opened.manifest.clone(), desk.clone(), keeper, owners);
        let finished = vec![false; survivors.len()];
        Ok(Rig { desk, keeper, survivors, finished })
    }

    /// Says what the wall clock shows when the driver's clock shows `now`.
    pub(crate) fn wall_clock(&mut self, shard: usize, now: Nanos, wall: EventTime) {
        if let Some(survivor) = &mut self.survivors[shard] {
            survivor.wall_clock(now, wall);
        }
    }

    /// One step of one shard.
    pub(crate) fn step(&mut self, shard: usize, now: Nanos) -> Result<Step, Fault> {
        let Some(survivor) = &mut self.survivors[shard] else { return Ok(Step::default()) };
        let step = survivor.step(now)?;
        self.finished[shard] |= step.finished;
        Ok(step)
    }

    /// Whether every shard has finished.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.iter().all(|finished| *finished)
    }

    /// Whether everything that an earlier run took in has been taken in again, and all that followed from it has been shown.
    pub(crate) fn is_settled(&mut self) -> bool {
        let last = self.desk.last_recovered();
        let mut survivors = self.survivors.iter_mut().flatten();
        self.desk.all_live()
            && survivors.all(|survivor| survivor.shard().settled() >= last && survivor.released() >= last)
    }
}
