//! A job as far as it takes to run it: what is left of typed streams once they have been put together.

use crate::durability::JobShape;
use crate::plan::{self, LogicalPlan};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::stage::graph::Graph;
use pelton_storage::Job;
use std::fmt;
use std::sync::Arc;

/// Builds a stretch of the job on one shard.
pub type BuildShard = Arc<dyn Fn(&mut ShardBuilder) + Send + Sync>;

/// What a job's shards are built from.
pub struct Blueprint<'a> {
    /// The job's name.
    pub name: String,
    /// Its plan.
    pub plan: LogicalPlan,
    /// The graph for a number of shards, on which the sources' partitions may depend.
    pub graph: Box<dyn Fn(usize) -> Graph + 'a>,
    /// What builds the stretches of the job, in order.
    pub builders: Vec<BuildShard>,
}

impl Blueprint<'_> {
    /// The shape of the job, for a first start with `shards` shards.
    pub fn shape(&self, shards: usize, key_groups: u32) -> JobShape {
        let partitions = (self.graph)(shards).partitions.iter().map(|count| *count as u32).collect();
        JobShape { name: self.name.clone(), operators: self.plan.fingerprint(), partitions, key_groups }
    }

    /// The graph of the job as a data directory knows it: with the partitions that its sources had first, and the numbers of its operators.
    pub fn graph_with(&self, job: &Job) -> Graph {
        let partitions = job.partitions.iter().map(|count| *count as usize).collect();
        Graph { partitions, ids: plan::ids(&self.plan, &job.operators), ..(self.graph)(1) }
    }

    /// Builds the whole job on one shard.
    pub fn build(&self, shard: &mut ShardBuilder) {
        self.builders.iter().for_each(|build| build(shard));
    }
}

impl fmt::Debug for Blueprint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blueprint")
            .field("name", &self.name)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}
