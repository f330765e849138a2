//! How the events enter a job: in partitions, by reference.
//!
//! Partition `p` of `n` hands out the events `i` with `i % n == p`, in order, so that all partitions move through event
//! time together. What is handed out is a reference into the archive; what a query does not look at is
//! never read.

use pelton::prelude::*;
use pelton::sources::Source;

use super::generate::Events;
use super::model::ArchivedEvent;

impl Events {
    /// The events as a source, with a partition for each shard.
    pub fn source(self) -> impl Source<Item = &'static ArchivedEvent> {
        generate(move |partition, of| self.partition(partition, of))
    }

    fn partition(self, partition: usize, of: usize) -> impl Iterator<Item = &'static ArchivedEvent> {
        (partition..self.len()).step_by(of).map(move |index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nexmark::generate::Recipe;

    #[test]
    fn partitions_together_are_all_events_in_order() {
        let events = Events::generate(&Recipe { events: 1_000, ..Recipe::default() });
        for of in [1, 2, 3, 7] {
            let mut parts: Vec<_> = (0..of).map(|partition| events.partition(partition, of)).collect();
            let dealt: Vec<_> = (0..1_000).map(|i| parts[i % of].next().expect("an event")).collect();
            assert!(dealt.iter().zip(events.iter()).all(|(a, b)| std::ptr::eq(*a, b)));
            assert!(parts.iter_mut().all(|part| part.next().is_none()));
        }
    }
}
