//! Jobs with durability: what a start adds when the configuration asks for durability.
//!
//! The machinery is in `pelton_runtime::durability`; here it meets the job's own code: which sources and sinks there are, how a shard is
//! built, and who runs the coordinator of checkpoints.

mod harness;
mod launch;
pub(crate) mod rescale;
pub(crate) mod restore;
#[cfg(test)]
mod tests;

pub(crate) use harness::Harness;
pub(crate) use launch::{DurableJob, Started, start};

use crate::JobError;
use crate::job::JobPlan;
use pelton_core::stage::build::{Graph, Sizes};
use pelton_runtime::durability::JobShape;
use pelton_storage::StorageError;

fn storage(error: StorageError) -> JobError {
    JobError::Storage(error.to_string())
}

/// The shape of a job, for a first start with `shards` shards.
pub(crate) fn shape(plan: &JobPlan, shards: usize, key_groups: u32) -> JobShape {
    let partitions = plan.graph(shards).partitions.iter().map(|count| *count as u32).collect();
    JobShape { name: plan.name.clone(), lines: plan.shape.clone(), partitions, key_groups }
}

/// The graph of a job whose number of partitions was fixed when its data directory was made.
pub(crate) fn graph(plan: &JobPlan, partitions: &[u32]) -> Graph {
    let partitions = partitions.iter().map(|count| *count as usize).collect();
    Graph { partitions, ..plan.graph(1) }
}

/// Refuses what cannot be durable.
pub(crate) fn check(plan: &JobPlan) -> Result<(), JobError> {
    let refuse = |problem: String| Err(JobError::NotDurable { job: plan.name.clone(), problem });
    if let Some(number) = plan.sources.iter().position(|source| !source.is_replayable) {
        return refuse(format!(
            "what source {number} yields is gone with the process; use a source that can be read again, or an `inlet`, whose records \
             are logged"
        ));
    }
    if let Some(stream) = &plan.non_transactional {
        return refuse(format!(
            "the stream `{stream}` is to be delivered exactly once, and its sink is not transactional: it forgets which rows it has; use a sink that remembers \
             (a file, a subscription), or `.deliver(Delivery::AtLeastOnce)`"
        ));
    }
    Ok(())
}

/// The sizes of `of` for another number of shards.
pub(crate) fn resized(of: &Sizes, shards: u16) -> Sizes {
    Sizes { shards, ..of.clone() }
}
