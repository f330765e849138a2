//! The graph of a job: stages, exchanges, sources and generators, with numbers only, and what follows from it.

use crate::ids::{ShardId, StageId};
use crate::ingress::source::partition_name;
use crate::stage::context::WatermarkOrigin;
use crate::stats::Heard;
use alloc::vec::Vec;

/// An exchange of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The stage that sends.
    pub from: StageId,
    /// The stage that receives.
    pub to: StageId,
    /// Whether every shard sends to every shard; otherwise each sends to itself only.
    pub mesh: bool,
    /// Where its watermark comes from; empty where there is no event time.
    pub origins: Vec<WatermarkOrigin>,
}

/// A watermark generator of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generator {
    /// The stage that it is in.
    pub stage: StageId,
    /// The sources that feed it, in stage 0. Elsewhere the exchange into the stage feeds it, on each shard.
    pub sources: Vec<usize>,
    /// Whether its time is the wall clock's.
    pub is_clock: bool,
}

/// By which numbers what a job keeps is known: those of the graph, unless a data directory knows its operators by others.
///
/// Each list is by the number in the graph. Whoever opens a data directory fills them, so that what an operator kept is found again though
/// other operators came or went before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Of stages. Stage 0 is 0.
    pub stages: Vec<u32>,
    /// Of sources.
    pub sources: Vec<u32>,
    /// Of watermark generators.
    pub generators: Vec<u32>,
    /// Of sinks.
    pub sinks: Vec<u32>,
    /// Of operators within chains.
    pub chained: Vec<u32>,
}

/// The first number that the state of operators within chains goes by, unless a data directory knows them by others: beyond those of all stages.
pub const CHAINED_FIRST: usize = 1 << 14;

fn id(ids: &[u32], number: usize) -> u32 {
    ids.get(number).copied().unwrap_or(number as u32)
}

impl Ids {
    pub(crate) fn stage(&self, number: usize) -> u32 {
        id(&self.stages, number)
    }

    pub(crate) fn source(&self, number: usize) -> u32 {
        id(&self.sources, number)
    }

    pub(crate) fn generator(&self, number: usize) -> u32 {
        id(&self.generators, number)
    }

    /// Operators within chains have numbers as stages have.
    pub(crate) fn chained(&self, number: usize) -> usize {
        self.chained.get(number).map_or(CHAINED_FIRST + number, |id| *id as usize)
    }

    pub(crate) fn sink(&self, number: usize) -> u32 {
        id(&self.sinks, number)
    }
}

/// The shape of a job: everything about it but the code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Stages, stage 0 included.
    pub stages: usize,
    /// Exchanges; the place of one is its [`EdgeId`](crate::EdgeId).
    pub edges: Vec<Edge>,
    /// For each source the number of its partitions.
    pub partitions: Vec<usize>,
    /// Watermark generators; the place of one is its number.
    pub generators: Vec<Generator>,
    /// Stages with timers in processing time, which are told the time of every tick.
    pub timers: Vec<StageId>,
    /// Of each operator within a chain the stage that it is in, in the order of the program.
    pub chained: Vec<StageId>,
    /// By which numbers what it keeps is known.
    pub ids: Ids,
}

impl Graph {
    /// Rings of the job on `shards` shards.
    pub fn rings(&self, shards: usize) -> usize {
        let rings = |edge: &Edge| if edge.mesh { shards.saturating_mul(shards) } else { shards };
        self.edges.iter().map(rings).fold(0, usize::saturating_add)
    }

    /// Whether a stage that is slow to be read may simply wait: nothing that it sends to waits for another of its outputs.
    pub(super) fn may_wait(&self, stage: StageId) -> bool {
        let mut outputs = self.edges.iter().filter(|edge| edge.from == stage);
        match (outputs.next(), outputs.next()) {
            (Some(only), None) => self.edges.iter().filter(|edge| edge.to == only.to).count() == 1,
            _ => false,
        }
    }

    /// Of each stage, whether it, or one behind it, has timers in processing time.
    pub(super) fn timed(&self) -> Vec<bool> {
        let mut timed = alloc::vec![false; self.stages];
        // Exchanges lead into later stages.
        for stage in (0..self.stages).rev() {
            let mut behind = self.edges.iter().filter(|edge| usize::from(edge.from.0) == stage);
            timed[stage] = self.timers.contains(&StageId(stage as u16))
                || behind.any(|edge| timed[usize::from(edge.to.0)]);
        }
        timed
    }

    /// Of each stage, whether time passes there without any record: a clock has a part in its watermark.
    pub(super) fn driven_by_clock(&self) -> Vec<bool> {
        let mut driven = alloc::vec![false; self.stages];
        for stage in 1..self.stages {
            let clock = |edge: &Edge| {
                edge.origins.iter().any(|origin| match *origin {
                    WatermarkOrigin::Generator(index) => self.generators[index].is_clock,
                    WatermarkOrigin::Input => driven[usize::from(edge.from.0)],
                })
            };
            driven[stage] = self.edges.iter().filter(|edge| usize::from(edge.to.0) == stage).any(clock);
        }
        driven
    }

    /// What each generator hears on a shard, in the order in which it counts it.
    pub(super) fn heard_on(&self, shard: ShardId, shards: usize) -> Vec<Heard> {
        let mut heard = Vec::new();
        for (index, generator) in self.generators.iter().enumerate() {
            if generator.stage != StageId(0) {
                heard.push(Heard::new(index, 0));
                continue;
            }
            for source in (0..self.partitions.len()).filter(|source| generator.sources.contains(source)) {
                let names = (0..self.partitions_on(source, shard, shards))
                    .map(|number| self.partition_name(source, usize::from(shard.0) + number * shards));
                heard.extend(names.map(|name| Heard::new(index, name)));
            }
        }
        heard
    }

    /// By which number what a stage keeps is known, of each.
    pub(super) fn stage_ids(&self) -> Vec<usize> {
        (0..self.stages).map(|stage| self.ids.stage(stage) as usize).collect()
    }

    /// The name in the job of partition `index` of source number `source`.
    pub(crate) fn partition_name(&self, source: usize, index: usize) -> u64 {
        partition_name(self.ids.source(source), index)
    }

    pub(crate) fn partitions_on(&self, source: usize, shard: ShardId, shards: usize) -> usize {
        self.partitions[source].saturating_sub(usize::from(shard.0)).div_ceil(shards)
    }
}
