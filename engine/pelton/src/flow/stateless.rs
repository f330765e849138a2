//! The stateless stretches: each instantiates its operator in front of what follows.

use super::Flow;
use crate::stream::Timed;
use pelton_core::operator::fork::SideOutput;
use pelton_core::operator::push::Push;
use pelton_core::operator::{AssignTimestamps, Filter, FlatMap, Inspect, Map, WatermarkKind};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{EventTime, StageId};

/// A stream after [`map`](crate::Stream::map).
#[derive(Clone)]
pub struct Mapped<S, F> {
    pub(crate) inner: S,
    pub(crate) f: F,
}

impl<S: Flow, U: 'static, F: Fn(S::Item) -> U + Clone + Send + Sync + 'static> Flow for Mapped<S, F> {
    type Item = U;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<U>) {
        self.inner.instantiate(shard, Map::new(self.f.clone(), next));
    }
}

/// A stream after [`filter`](crate::Stream::filter).
#[derive(Clone)]
pub struct Filtered<S, F> {
    pub(crate) inner: S,
    pub(crate) f: F,
}

impl<S: Flow, F: Fn(&S::Item) -> bool + Clone + Send + Sync + 'static> Flow for Filtered<S, F> {
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        self.inner.instantiate(shard, Filter::new(self.f.clone(), next));
    }
}

/// A stream after [`flat_map`](crate::Stream::flat_map).
#[derive(Clone)]
pub struct FlatMapped<S, F> {
    pub(crate) inner: S,
    pub(crate) f: F,
}

impl<S, I, F> Flow for FlatMapped<S, F>
where
    S: Flow,
    I: IntoIterator<Item: 'static>,
    F: Fn(S::Item) -> I + Clone + Send + Sync + 'static,
{
    type Item = I::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<I::Item>) {
        self.inner.instantiate(shard, FlatMap::new(self.f.clone(), next));
    }
}

/// A stream after [`inspect`](crate::Stream::inspect).
#[derive(Clone)]
pub struct Inspected<S, F> {
    pub(crate) inner: S,
    pub(crate) f: F,
}

impl<S: Flow, F: Fn(EventTime, &S::Item) + Clone + Send + Sync + 'static> Flow for Inspected<S, F> {
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        self.inner.instantiate(shard, Inspect::new(self.f.clone(), next));
    }
}

/// A stream after [`event_time`](crate::Stream::event_time), or with early records `APART` after
/// [`event_time_with_early`](crate::Stream::event_time_with_early).
#[derive(Clone)]
pub struct Stamped<S, F, const APART: bool = false> {
    pub(crate) inner: S,
    pub(crate) f: F,
    pub(crate) generator: Generator,
    /// The queue that early records go to.
    pub(crate) early: Option<usize>,
}

/// Which watermark generator of the job, and what it listens to.
#[derive(Clone)]
pub(crate) struct Generator {
    pub(crate) index: usize,
    pub(crate) stage: StageId,
    pub(crate) timing: WatermarkKind,
    pub(crate) sources: Vec<usize>,
}

impl Generator {
    /// The partitions of a shard that it listens to; behind an exchange there is one, the exchange.
    fn partitions(&self, shard: &ShardBuilder) -> Vec<(usize, u64)> {
        if self.stage == StageId(0) { shard.partitions_of(&self.sources) } else { vec![(0, 0)] }
    }
}

impl<S: Flow, F, const APART: bool> Flow for Stamped<S, F, APART>
where
    F: Fn(&S::Item) -> EventTime + Clone + Send + Sync + 'static,
{
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        let Generator { index, stage, timing, .. } = self.generator;
        let (partitions, context) = (self.generator.partitions(shard), shard.context(stage));
        let early = shard.side_output(self.early);
        let stamp = AssignTimestamps::<_, _, _, APART>::new(
            self.f.clone(),
            timing,
            index,
            partitions,
            context,
            next,
            early,
        );
        self.inner.instantiate(shard, stamp);
    }
}

/// A stream after [`ingestion_time`](crate::Stream::ingestion_time).
#[derive(Clone)]
pub struct Ingested<S> {
    pub(crate) inner: S,
    pub(crate) generator: Generator,
}

impl<S: Flow> Flow for Ingested<S> {
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        let Generator { index, stage, timing, .. } = self.generator;
        let (partitions, context) = (self.generator.partitions(shard), shard.context(stage));
        let clock = context.clone();
        let now = move |_: &S::Item| clock.wall.get();
        let early = SideOutput::new(None);
        let stamp =
            AssignTimestamps::<_, _, _, false>::new(now, timing, index, partitions, context, next, early);
        self.inner.instantiate(shard, stamp);
    }
}

impl<S: Timed, F> Timed for Mapped<S, F> where Mapped<S, F>: Flow {}
impl<S: Timed, F> Timed for Filtered<S, F> where Filtered<S, F>: Flow {}
impl<S: Timed, F> Timed for FlatMapped<S, F> where FlatMapped<S, F>: Flow {}
impl<S: Timed, F> Timed for Inspected<S, F> where Inspected<S, F>: Flow {}
impl<S, F, const APART: bool> Timed for Stamped<S, F, APART> where Stamped<S, F, APART>: Flow {}
impl<S> Timed for Ingested<S> where Ingested<S>: Flow {}
