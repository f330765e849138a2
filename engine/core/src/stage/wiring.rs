//! What shards share: the rings and clock lines of a job, made before any thread begins and divided among the shards.

use crate::exchange::clock::Clocks;
use crate::exchange::ring::{Consumer, Producer, ring};
use crate::exchange::router::Router;
use crate::fault::OutOfMemory;
use crate::ids::{EdgeId, ShardId, StageId};
use crate::ingress::TickBudget;
use crate::ingress::deadline::{Deadlines, StageDeadlines};
use crate::stage::graph::Graph;
use crate::state::memory::Memory;
use crate::stats::ShardStats;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How a job is sized.
#[derive(Clone)]
pub struct Sizes {
    /// Shards.
    pub shards: u16,
    /// Key groups.
    pub key_groups: u32,
    /// Bytes of each ring, a power of two.
    pub ring_bytes: usize,
    /// Records and intervals of ticks.
    pub tick: TickBudget,
    /// Bytes of records that one tick sends at most.
    pub tick_bytes_max: usize,
}

/// One shard's ends of everything shared.
pub struct Wiring {
    pub(super) shard: ShardId,
    pub(super) sizes: Sizes,
    pub(super) graph: Arc<Graph>,
    pub(super) router: Arc<Router>,
    pub(super) clocks: Vec<Clocks>,
    /// Of the stages that a clock drives.
    pub(super) deadlines: BTreeMap<usize, StageDeadlines>,
    pub(super) outputs: BTreeMap<EdgeId, Vec<Producer>>,
    pub(super) inputs: BTreeMap<EdgeId, Vec<(ShardId, Consumer)>>,
    pub(super) stats: Arc<ShardStats>,
}

/// Makes the rings and clock lines of a job, and divides them among its shards.
///
/// # Errors
/// When the memory limit does not hold the rings.
pub fn wire(graph: &Graph, sizes: &Sizes, memory: &dyn Memory) -> Result<Vec<Wiring>, OutOfMemory> {
    wire_by(graph, sizes, Router::new(sizes.key_groups, sizes.shards), memory)
}

/// As [`wire`], with keys where `router` says.
///
/// # Errors
/// As for [`wire`].
pub fn wire_by(
    graph: &Graph,
    sizes: &Sizes,
    router: Router,
    memory: &dyn Memory,
) -> Result<Vec<Wiring>, OutOfMemory> {
    let clocks: Vec<Clocks> = (0..graph.stages).map(|_| Clocks::new(usize::from(sizes.shards))).collect();
    let driven = graph.driven_by_clock().into_iter().enumerate();
    let lines = |wanted: bool| wanted.then(|| Deadlines::new(usize::from(sizes.shards)));
    let deadlines = driven.map(|(stage, driven)| {
        let timers = graph.timers.contains(&StageId(stage as u16));
        (stage, StageDeadlines { watermark: lines(driven), time: lines(timers) })
    });
    let deadlines: BTreeMap<usize, StageDeadlines> = deadlines.collect();
    let (router, graph) = (Arc::new(router), Arc::new(graph.clone()));
    let mut wirings: Vec<Wiring> = (0..sizes.shards)
        .map(|shard| Wiring {
            shard: ShardId(shard),
            sizes: sizes.clone(),
            graph: graph.clone(),
            router: router.clone(),
            clocks: clocks.clone(),
            deadlines: deadlines.clone(),
            outputs: BTreeMap::new(),
            inputs: BTreeMap::new(),
            stats: Arc::new(ShardStats::new(
                graph.heard_on(ShardId(shard), sizes.shards.into()),
                graph.stages,
            )),
        })
        .collect();
    for (number, edge) in graph.edges.iter().enumerate() {
        let id = EdgeId(number as u16);
        for source in 0..wirings.len() {
            let targets = if edge.mesh { 0..wirings.len() } else { source..source + 1 };
            for target in targets {
                let (producer, consumer) = ring(memory, sizes.ring_bytes)?;
                wirings[source].outputs.entry(id).or_default().push(producer);
                wirings[target].inputs.entry(id).or_default().push((ShardId(source as u16), consumer));
            }
        }
    }
    Ok(wirings)
}

impl Wiring {
    /// The shard's counters.
    pub fn stats(&self) -> Arc<ShardStats> {
        self.stats.clone()
    }
}
