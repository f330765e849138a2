//! Streams that fork, and streams that meet.

use super::nodes::united;
use super::{Branch, Stream};
use crate::flow::{Flow, Forked, Joined};
use pelton_core::Record;
use pelton_core::operator::Side;
use pelton_core::operator::fork::{ToBoth, ToQueue};
use pelton_runtime::plan::{Partitioning, PlanNode, RowSchema};
use std::marker::PhantomData;

impl<F: Flow> Stream<F> {
    /// Two streams with the same records.
    #[track_caller]
    pub fn fork(mut self) -> (Branch<F>, Branch<F>)
    where
        F::Item: Clone,
    {
        self.divides("fork");
        let (left, right) = (self.branch("left", 0), self.branch("right", 1));
        let Stream { job, flow, place } = self;
        let (l, r) = (left.flow.queue, right.flow.queue);
        job.plan().end(&place, move |shard| {
            let end = ToBoth::new(shard.queue(l), shard.queue(r));
            flow.instantiate(shard, end);
        });
        (left, right)
    }

    /// Splits the stream in two: the records for which `f` is true go to the second one, the side output.
    #[track_caller]
    pub fn side_output<P: Fn(&F::Item) -> bool + Clone + Send + Sync + 'static>(
        mut self,
        f: P,
    ) -> (Branch<F>, Branch<F>) {
        self.divides("side_output");
        let (main, side) = (self.branch("main", 0), self.branch("side output", 1));
        let Stream { job, flow, place } = self;
        let (m, s) = (main.flow.queue, side.flow.queue);
        job.plan().end(&place, move |shard| {
            let (main, side) = (ToQueue::new(shard.queue(m)), ToQueue::new(shard.queue(s)));
            flow.instantiate(shard, Side::new(f.clone(), main, side));
        });
        (main, side)
    }

    /// The node of the plan of which both branches are outputs.
    #[track_caller]
    fn divides(&mut self, kind: &'static str) {
        let mut plan = self.job.plan();
        let input = plan.input(&self.place, Partitioning::Forward);
        let node = PlanNode::new(kind, self.place.stage).input(input).rows(self.place.rows.clone());
        plan.begin(&mut self.place, node.bounded_by("the records of one step"));
    }

    /// A new stream that begins in a queue where this one is: output `port` of the node that this one comes out of.
    pub(super) fn branch(&self, name: &str, port: u16) -> Stream<Forked<F, F::Item>> {
        let name = format!("{} > {name}", self.place.name);
        let mut plan = self.job.plan();
        let mut place = plan.beside(&self.place, name);
        let queue = plan.next_queue();
        (place.port, place.root_node) = (port, place.node);
        plan.logical.node_mut(place.node).numbers.queues.push(queue);
        drop(plan);
        let flow = Forked { stage: self.place.stage, queue, label: place.label.clone(), marker: PhantomData };
        Stream { job: self.job.clone(), flow, place }
    }

    /// The records of both streams. They must be of the same job.
    ///
    /// # Panics
    /// When they are not.
    #[track_caller]
    pub fn union<G: Flow<Item = F::Item>>(self, other: Stream<G>) -> Stream<Joined<F, G>>
    where
        F::Item: Record,
    {
        assert!(self.job.is(&other.job), "a union of streams of two jobs");
        let job = self.job.clone();
        let name = format!("({} + {})", self.place.name, other.place.name);
        let (stage, edges, mut place);
        let mut plan = job.plan();
        let queue = plan.next_queue();
        let delivery = self.place.delivery.and(other.place.delivery);
        if self.place.stage == other.place.stage {
            (stage, edges) = (self.place.stage, None);
            let mut both = self.place.clone();
            both.origins.extend(&other.place.origins);
            both.sources.extend(&other.place.sources);
            place = plan.beside(&both, name);
            let inputs = [&self.place, &other.place].map(|place| plan.input(place, Partitioning::Forward));
            plan.begin(&mut place, united(stage, inputs, Vec::new(), queue, self.place.rows.clone()));
            drop(plan);
            self.into_queue(queue);
            other.into_queue(queue);
        } else {
            // Streams of two stages are at different ticks: they meet where ticks are merged.
            stage = plan.next_stage();
            let left = plan.next_edge(&self.place, stage, false);
            let right = plan.next_edge(&other.place, stage, false);
            place = plan.behind(stage, &self.place, name);
            let inputs = [&self.place, &other.place].map(|place| plan.input(place, Partitioning::SameShard));
            plan.begin(
                &mut place,
                united(stage, inputs, vec![left, right], queue, RowSchema::of::<F::Item>()),
            );
            drop(plan);
            self.send_in_turn(left, 1);
            other.send_in_turn(right, 1);
            edges = Some([left, right]);
        }
        place.delivery = delivery;
        let label = place.label.clone();
        Stream { job, flow: Joined { stage, queue, edges, label, marker: PhantomData }, place }
    }

    pub(super) fn into_queue(self, queue: usize) {
        let Stream { job, flow, place } = self;
        job.plan().end(&place, move |shard| {
            let end = ToQueue::new(shard.queue(queue));
            flow.instantiate(shard, end);
        });
    }
}
