//! What every shard knows of all watermarks before anybody says anything.
//!
//! A receiver learns a sender's watermark from the sender's frames, and the first of them comes when the sender makes its first tick.
//! When that is depends on how fast its core is, so nothing may depend on it. What can be known without any message is therefore
//! known at every receiver from the beginning:
//!
//! - A shard that reads no partition of a stream's sources will never send a record of it: its watermark is
//!   [`MAX`](EventTime::MAX). All shards know which shard reads which partition.
//! - In a job that goes on from a checkpoint with another number of shards, a shard's watermark follows from what its partitions had
//!   reached, and every shard reads the notes of all of them.
//!
//! Built once per shard; looked at when a shard is built and restored, never while it runs.

use crate::ids::{EdgeId, EventTime, ShardId, StageId};
use crate::stage::context::WatermarkOrigin;
use crate::stage::graph::{Edge, Graph, Ids};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

/// The watermark of a generator that hears these partitions, by their names in the job.
pub(crate) type WatermarkOf<'a> = dyn Fn(&[u64]) -> EventTime + 'a;

/// What is known of watermarks on one shard. See the [module](self).
pub(crate) struct Known {
    graph: Arc<Graph>,
    shards: usize,
    /// For each generator, its watermark on each shard.
    generators: RefCell<Vec<Vec<EventTime>>>,
    /// For each exchange, what follows from that for each sending shard; none when it has to be worked out again.
    edges: RefCell<Option<Vec<Vec<EventTime>>>>,
}

impl Known {
    /// What follows from how the job is built, for `shards` shards.
    pub(crate) fn new(graph: Arc<Graph>, shards: usize) -> Self {
        let on = |generator: &crate::stage::graph::Generator| {
            let hears = |shard: usize| {
                let partitions =
                    |source: &usize| graph.partitions_on(*source, ShardId(shard as u16), shards) > 0;
                generator.stage != StageId(0) || generator.sources.iter().any(partitions)
            };
            let begins = |shard| if hears(shard) { EventTime::MIN } else { EventTime::MAX };
            (0..shards).map(begins).collect()
        };
        let generators = graph.generators.iter().map(on).collect();
        Known { graph, shards, generators: RefCell::new(generators), edges: RefCell::new(None) }
    }

    /// By which numbers what the job keeps is known.
    pub(crate) fn ids(&self) -> &Ids {
        &self.graph.ids
    }

    /// Generator number `index` goes on from a checkpoint: on each shard with the `watermark` of those partitions that it hears there.
    pub(crate) fn restore(&self, index: usize, watermark: &WatermarkOf<'_>) {
        // Those that it hears now: what an earlier program had besides says nothing of them.
        let heard = |shard: usize| -> Vec<u64> {
            match self.graph.generators.get(index).filter(|generator| generator.stage == StageId(0)) {
                // Behind an exchange there is one on each shard, the exchange.
                None => vec![0],
                Some(generator) => {
                    let partitions = |source: &usize| {
                        let count = self.graph.partitions_on(*source, ShardId(shard as u16), self.shards);
                        let name = |number| self.graph.partition_name(*source, shard + number * self.shards);
                        (0..count).map(name).collect::<Vec<_>>()
                    };
                    generator.sources.iter().flat_map(partitions).collect()
                }
            }
        };
        if let Some(generator) = self.generators.borrow_mut().get_mut(index) {
            generator.iter_mut().enumerate().for_each(|(shard, known)| *known = watermark(&heard(shard)));
        }
        self.edges.replace(None);
    }

    /// The watermark of shard `from` as a sender of `edge`, should it say nothing.
    pub(crate) fn of(&self, edge: EdgeId, from: ShardId) -> EventTime {
        let mut edges = self.edges.borrow_mut();
        edges.get_or_insert_with(|| self.work_out())[usize::from(edge.0)][usize::from(from.0)]
    }

    /// Stage by stage, as watermarks travel.
    fn work_out(&self) -> Vec<Vec<EventTime>> {
        let generators = self.generators.borrow();
        let mut edges = vec![vec![EventTime::MIN; self.shards]; self.graph.edges.len()];
        let mut stages = vec![vec![EventTime::MAX; self.shards]; self.graph.stages];
        for stage in 1..self.graph.stages {
            let into = |edge: &&(usize, &Edge)| usize::from(edge.1.to.0) == stage;
            for (number, edge) in self.graph.edges.iter().enumerate().collect::<Vec<_>>().iter().filter(into)
            {
                let from = &stages[usize::from(edge.from.0)];
                let of = |shard: usize| {
                    let origin = |origin: &WatermarkOrigin| match *origin {
                        WatermarkOrigin::Generator(index) => generators[index][shard],
                        WatermarkOrigin::Input => from[shard],
                    };
                    edge.origins.iter().map(origin).min().unwrap_or(EventTime::MIN)
                };
                let said: Vec<EventTime> = (0..self.shards).map(of).collect();
                let least = said.iter().min().copied().unwrap_or(EventTime::MAX);
                for (shard, received) in stages[stage].iter_mut().enumerate() {
                    *received = (*received).min(if edge.mesh { least } else { said[shard] });
                }
                edges[*number] = said;
            }
        }
        edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::source::partition_name;
    use crate::stage::context::IDLE;
    use crate::stage::graph::Generator;

    const MIN: EventTime = EventTime::MIN;
    const MAX: EventTime = EventTime::MAX;

    fn edge(from: u16, to: u16, mesh: bool, origins: &[WatermarkOrigin]) -> Edge {
        Edge { from: StageId(from), to: StageId(to), mesh, origins: origins.to_vec() }
    }

    /// Source 0 goes through an exchange and then meets source 1, which stayed where it was; then all are grouped.
    fn graph() -> Arc<Graph> {
        use WatermarkOrigin::{Generator as From, Input};
        let generator = |source| Generator { stage: StageId(0), sources: vec![source], is_clock: false };
        Arc::new(Graph {
            stages: 4,
            edges: vec![
                edge(0, 1, true, &[From(0)]),
                edge(1, 2, false, &[Input]),
                edge(0, 2, false, &[From(1)]),
                edge(2, 3, true, &[Input]),
            ],
            partitions: vec![1, 2],
            generators: vec![generator(0), generator(1)],
            ..Graph::default()
        })
    }

    fn said(known: &Known, shards: u16) -> Vec<Vec<EventTime>> {
        (0..4).map(|edge| (0..shards).map(|shard| known.of(EdgeId(edge), ShardId(shard))).collect()).collect()
    }

    #[test]
    fn a_shard_without_a_partition_holds_nobody_back() {
        let known = Known::new(graph(), 3);
        // Whoever can still be sent a record of source 0 by shard 0 is not at the end, wherever it is.
        assert_eq!(said(&known, 3), [[MIN, MAX, MAX], [MIN; 3], [MIN, MIN, MAX], [MIN; 3]]);
    }

    #[test]
    fn what_is_restored_travels_as_watermarks_do() {
        let known = Known::new(graph(), 3);
        let _ = said(&known, 3);
        // Partition 0 of source 0 is at 50; of source 1, partition 0 is idle, and partition 1 is at 20.
        let of = |heard: &[u64], names: &[(u64, EventTime)]| {
            let at = |name: &u64| names.iter().find(|(other, _)| other == name).map_or(MIN, |(_, at)| *at);
            heard.iter().map(at).min().unwrap_or(MAX)
        };
        // Of a partition that nobody hears any more nothing follows.
        let of_0 = [(partition_name(0, 0), EventTime(50)), (partition_name(0, 1), EventTime(7))];
        known.restore(0, &|heard| of(heard, &of_0));
        let of_1 = [(partition_name(1, 0), IDLE), (partition_name(1, 1), EventTime(20))];
        known.restore(1, &|heard| of(heard, &of_1));
        let (at_20, at_50) = (EventTime(20), EventTime(50));
        assert_eq!(
            said(&known, 3),
            [[at_50, MAX, MAX], [at_50; 3], [IDLE, at_20, MAX], [at_50, at_20, at_50]]
        );
    }
}
