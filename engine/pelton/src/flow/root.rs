//! Where a stretch begins: a source, the reading end of an exchange, or one of the ends of a fork.

use super::Flow;
use super::input::OperatorInput;
use crate::settings::Label;
use crate::stream::Timed;
use pelton_core::exchange::partition::Timed as TimedRecord;
use pelton_core::ingress::source::Source;
use pelton_core::operator::fork::ToQueue;
use pelton_core::operator::push::Push;
use pelton_core::operator::{PassArchived, Port, WindowOperator};
use pelton_core::record::Archived;
use pelton_core::stage::build::{OperatorContext, ShardBuilder};
use pelton_core::window::Windows;
use pelton_core::{Aggregate, EdgeId, Key, Record, StageId, Windowed};
use std::marker::PhantomData;

/// `PhantomData` that is `Send` and `Sync` whatever the type.
pub(crate) type Marker<T> = PhantomData<fn() -> T>;

/// A source.
#[derive(Clone)]
pub struct SourceRoot<S> {
    pub(crate) source: S,
    pub(crate) number: usize,
    pub(crate) label: Label,
}

impl<S: Source> Flow for SourceRoot<S> {
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        shard.add_source(self.number, &self.source, self.label.get(), next);
    }
}

/// Behind [`rebalance`](crate::Stream::rebalance); `S` is what came before.
pub struct Rebalanced<S> {
    pub(crate) edge: EdgeId,
    pub(crate) label: Label,
    pub(crate) marker: Marker<S>,
}

impl<S: Flow<Item: Record>> Flow for Rebalanced<S> {
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        shard.add_pass(self.edge, self.label.get(), next);
    }
}

/// Behind [`flat_map_archived`](crate::Stream::flat_map_archived); `S` is what came before.
pub struct RebalancedArchived<S, M> {
    pub(crate) inner: Rebalanced<S>,
    pub(crate) f: M,
}

impl<S, M, I> Flow for RebalancedArchived<S, M>
where
    S: Flow<Item: Record>,
    I: IntoIterator<Item: 'static>,
    M: Fn(&Archived<S::Item>) -> I + Clone + Send + Sync + 'static,
{
    type Item = I::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<I::Item>) {
        let port = Port::of::<TimedRecord<S::Item>>(self.inner.edge);
        let operator =
            |at: OperatorContext| PassArchived::<S::Item, _, _>::new(at.context, self.f.clone(), next);
        shard.add_operator(&[port], self.inner.label.get(), operator);
    }
}

/// One end of a fork; `S` is what came before.
pub struct Forked<S, T> {
    pub(crate) stage: StageId,
    pub(crate) queue: usize,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(S, T)>,
}

impl<S: 'static, T: 'static> Flow for Forked<S, T> {
    type Item = T;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<T>) {
        shard.add_queue(self.stage, self.queue, self.label.get(), next);
    }
}

/// Two streams in one; `S` and `R` are what came before.
pub struct Joined<S, R> {
    pub(crate) stage: StageId,
    pub(crate) queue: usize,
    /// The exchanges that bring the two here, if they were of different stages.
    pub(crate) edges: Option<[EdgeId; 2]>,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(S, R)>,
}

impl<S: Flow<Item: Record>, R: Flow<Item = S::Item>> Flow for Joined<S, R> {
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        for edge in self.edges.into_iter().flatten() {
            let queue = shard.queue::<S::Item>(self.queue);
            shard.add_pass(edge, self.label.get(), ToQueue::new(queue));
        }
        shard.add_queue(self.stage, self.queue, self.label.get(), next);
    }
}

/// Behind a keyed window: rows of `A` over records of `T`, by key `K`; `I` is how they get here.
pub struct Aggregated<T, K, A, I = EdgeId> {
    pub(crate) input: I,
    pub(crate) windows: Windows,
    pub(crate) aggregate: A,
    /// The queue that late items go to.
    pub(crate) late: Option<usize>,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(T, K)>,
}

impl<T, K, A, I> Flow for Aggregated<T, K, A, I>
where
    T: 'static,
    K: Key,
    A: Aggregate<T, Out: 'static>,
    I: OperatorInput<K, T, A::Item>,
{
    type Item = Windowed<K, A::Out>;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<Self::Item>) {
        let late = shard.side_output(self.late);
        let (aggregate, takes) = (self.aggregate.clone(), self.aggregate.clone());
        self.input.add(
            shard,
            self.label.get(),
            move |record| takes.take_item(record),
            |at| WindowOperator::<T, K, A, _>::new(aggregate, self.windows, at, next, late),
        );
    }
}

impl<S> Clone for Rebalanced<S> {
    fn clone(&self) -> Self {
        Rebalanced { edge: self.edge, label: self.label.clone(), marker: PhantomData }
    }
}

impl<S, M: Clone> Clone for RebalancedArchived<S, M> {
    fn clone(&self) -> Self {
        RebalancedArchived { inner: self.inner.clone(), f: self.f.clone() }
    }
}

impl<S, T> Clone for Forked<S, T> {
    fn clone(&self) -> Self {
        Forked { stage: self.stage, queue: self.queue, label: self.label.clone(), marker: PhantomData }
    }
}

impl<S, R> Clone for Joined<S, R> {
    fn clone(&self) -> Self {
        let Joined { stage, queue, edges, ref label, marker } = *self;
        Joined { stage, queue, edges, label: label.clone(), marker }
    }
}

impl<T, K, A: Clone, I: Clone> Clone for Aggregated<T, K, A, I> {
    fn clone(&self) -> Self {
        let Aggregated { ref input, windows, ref aggregate, late, ref label, marker } = *self;
        Aggregated {
            input: input.clone(),
            windows,
            aggregate: aggregate.clone(),
            late,
            label: label.clone(),
            marker,
        }
    }
}

impl<S: Timed> Timed for Rebalanced<S> where Rebalanced<S>: Flow {}
impl<S: Timed, M> Timed for RebalancedArchived<S, M> where RebalancedArchived<S, M>: Flow {}
impl<S: Timed, T: 'static> Timed for Forked<S, T> {}
impl<S: Timed, R: Timed> Timed for Joined<S, R> where Joined<S, R>: Flow {}
impl<T, K, A, I> Timed for Aggregated<T, K, A, I> where Aggregated<T, K, A, I>: Flow {}
