//! The sources of a shard, and which of their partitions it reads.

use super::ShardBuilder;
use crate::ids::StageId;
use crate::ingress::source::{FromSource, Partition, Source};
use crate::operator::push::Push;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

impl ShardBuilder {
    /// The numbers, among this shard's partitions, of those of some sources, and their names in the job: what a generator in stage 0
    /// listens to.
    pub fn partitions_of(&self, sources: &[usize]) -> Vec<(usize, u64)> {
        let (graph, shards) = (&self.wiring.graph, usize::from(self.wiring.sizes.shards));
        let mut first = 0;
        let mut numbers = Vec::new();
        for source in 0..graph.partitions.len() {
            let here = graph.partitions_on(source, self.wiring.shard, shards);
            if sources.contains(&source) {
                let name = |number| {
                    let index = usize::from(self.wiring.shard.0) + number * shards;
                    (first + number, graph.partition_name(source, index))
                };
                numbers.extend((0..here).map(name));
            }
            first += here;
        }
        numbers
    }

    /// Adds source number `number` of the job, feeding `next`.
    pub fn add_source<S: Source>(
        &mut self,
        number: usize,
        source: &S,
        name: String,
        next: impl Push<<S::Partition as Partition>::Item>,
    ) {
        let (of, shards) = (self.wiring.graph.partitions[number], usize::from(self.wiring.sizes.shards));
        let mine = (usize::from(self.wiring.shard.0)..of).step_by(shards);
        let names = mine.clone().map(|index| self.wiring.graph.partition_name(number, index)).collect();
        let open = |index| {
            let mut partition = source.open(index, of);
            partition.count_in(&self.memory);
            partition
        };
        let partitions = mine.map(open).collect();
        let before: Vec<usize> = (0..number).collect();
        let first = self.partitions_of(&before).len();
        let reader = FromSource::new(partitions, names, first, self.context(StageId(0)), next);
        self.readers.push((Box::new(reader), name));
    }
}
