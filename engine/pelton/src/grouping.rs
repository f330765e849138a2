//! How the records of a grouped stream come to the operator behind it: through an exchange, or within the chain that they are in.

use crate::flow::{Flow, InChain, OperatorInput};
use crate::job::Job;
use crate::keyed::Keyed;
use crate::settings::Label;
use crate::stream::{Stream, StreamPlace};
use pelton_core::exchange::partition::{ByKey, Keyed as KeyedRecord, WholeByKey};
use pelton_core::exchange::pre_aggregate::PreAggregatedByKey;
use pelton_core::stage::context::WatermarkOrigin;
use pelton_core::window::Windows;
use pelton_core::{Aggregate, EdgeId, Key, Record};
use pelton_runtime::plan::{NodeNumbers, Partitioning, PlanInput, RowSchema};
use std::marker::PhantomData;
use std::panic::Location;

impl<F: Flow> Stream<F> {
    /// Groups the stream: records of equal keys meet on one shard.
    #[track_caller]
    pub fn key_by<K: Key, P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static>(self, key: P) -> Keyed<F, P> {
        Keyed { stream: self, key, at: Location::caller(), grouping: PhantomData }
    }

    /// Says that the stream is grouped already: what it was grouped by before is the key of its records now. What follows needs no exchange, and
    /// stands in the same chain.
    ///
    /// That is so for rows of [windows](Keyed::window), [process functions](Keyed::process), [sorts](Keyed::sort) and so on behind
    /// [`key_by`](Self::key_by), for as long as they have their key, whatever else is done to them. A stream that was not grouped by a key of the
    /// same schema is refused when the job starts; a record whose key lives on another shard stops the job, with the key.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// // (sensor, second, watts)
    /// let readings = [(1, 1, 20), (1, 2, 40), (2, 3, 9), (1, 70, 30), (2, 75, 5), (1, 130, 50)];
    /// let rows = collect();
    /// Job::new("peaks")
    ///     .source(from_iter(move || readings))
    ///     .event_time(|(_, second, _)| EventTime::from_secs(*second), in_order())
    ///     .key_by(|(sensor, _, _)| *sensor)
    ///     .window(tumbling(secs(60)))
    ///     .sum(|(_, _, watts)| *watts as i64)
    ///     .keyed_as(|minute| minute.key)
    ///     .window(tumbling(secs(3600)))
    ///     .max(|minute| minute.value)
    ///     .map(|hour| (hour.key, hour.value))
    ///     .sink(rows.clone())
    ///     .run()?;
    /// let mut peaks = rows.take();
    /// peaks.sort();
    /// assert_eq!(peaks, [(1, 60), (2, 9)]);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    #[track_caller]
    pub fn keyed_as<K, P>(self, key: P) -> Keyed<F, P, OnShard>
    where
        K: Key,
        P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    {
        Keyed { stream: self, key, at: Location::caller(), grouping: PhantomData }
    }
}

/// How records come to the operator behind a grouped stream: [`ByExchange`] or [`OnShard`].
pub trait Grouping: Sized + 'static {
    /// What the operator reads.
    type Input<S: Flow, P: Clone + Send + Sync + 'static>: Clone + Send + Sync + 'static;

    /// Whole records go to the operator, which is called `operator`.
    #[doc(hidden)]
    fn whole<F, K, P>(keyed: Keyed<F, P, Self>, operator: &str) -> Grouped<Self::Input<F, P>>
    where
        F: Flow<Item: Record>,
        K: Key,
        P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
        Self::Input<F, P>: OperatorInput<K, F::Item, F::Item>;

    /// What `aggregate` needs of them for `windows` does.
    #[doc(hidden)]
    fn items<F, K, P, A>(
        keyed: Keyed<F, P, Self>,
        operator: &str,
        aggregate: &A,
        windows: Windows,
    ) -> Grouped<Self::Input<F, P>>
    where
        F: Flow,
        K: Key,
        P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
        A: Aggregate<F::Item>,
        Self::Input<F, P>: OperatorInput<K, F::Item, A::Item>;
}

/// A grouped stream, up to the operator behind it.
#[doc(hidden)]
pub struct Grouped<I> {
    pub(crate) job: Job,
    pub(crate) input: I,
    /// Where the stream goes on.
    pub(crate) place: StreamPlace,
    /// The same for the plan.
    pub(crate) reads: PlanInput,
    pub(crate) numbers: NodeNumbers,
}

/// Behind [`key_by`](Stream::key_by): an exchange brings records of equal keys together.
#[derive(Debug)]
pub enum ByExchange {}

impl ByExchange {
    fn grouped<F, K: Key, P>(keyed: &Keyed<F, P>, operator: &str) -> Grouped<EdgeId> {
        let Keyed { stream: Stream { job, place, .. }, at, .. } = keyed;
        let mut plan = job.plan();
        let to = plan.next_stage();
        let reads = plan.input(place, Partitioning::key::<K>(Some(at)));
        let edge = plan.next_edge(place, to, true);
        let behind = plan.behind(to, place, format!("{} > {operator}", place.name));
        drop(plan);
        let numbers = NodeNumbers { edges: vec![edge], ..NodeNumbers::default() };
        Grouped { job: job.clone(), input: edge, place: behind, reads, numbers }
    }
}

impl Grouping for ByExchange {
    type Input<S: Flow, P: Clone + Send + Sync + 'static> = EdgeId;

    fn whole<F, K, P>(keyed: Keyed<F, P>, operator: &str) -> Grouped<EdgeId>
    where
        F: Flow<Item: Record>,
        K: Key,
        P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    {
        let grouped = ByExchange::grouped::<F, K, P>(&keyed, operator);
        let Keyed { stream: Stream { job, flow, place }, key, .. } = keyed;
        let edge = grouped.input;
        job.plan().end(&place, move |shard| {
            let channels = shard.channels::<KeyedRecord<K, F::Item>>(edge);
            flow.instantiate(shard, WholeByKey::new(key.clone(), shard.router(), channels));
        });
        Grouped { reads: grouped.reads.crossing(RowSchema::of::<F::Item>()), ..grouped }
    }

    fn items<F, K, P, A>(
        keyed: Keyed<F, P>,
        operator: &str,
        aggregate: &A,
        windows: Windows,
    ) -> Grouped<EdgeId>
    where
        F: Flow,
        K: Key,
        P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
        A: Aggregate<F::Item>,
    {
        let grouped = ByExchange::grouped::<F, K, P>(&keyed, operator);
        let Keyed { stream: Stream { job, flow, place }, key, .. } = keyed;
        let (edge, aggregate) = (grouped.input, aggregate.clone());
        job.plan().end(&place, move |shard| {
            let channels = shard.channels::<KeyedRecord<K, A::Item>>(edge);
            let (key, aggregate, router) = (key.clone(), aggregate.clone(), shard.router());
            if A::PRE_AGGREGATES {
                let end = PreAggregatedByKey::new(key, aggregate, windows, router, channels);
                flow.instantiate(shard, end);
            } else {
                flow.instantiate(shard, ByKey::new(key, aggregate, router, channels));
            }
        });
        Grouped { reads: grouped.reads.crossing(RowSchema::of::<A::Item>()), ..grouped }
    }
}

/// Behind [`keyed_as`](Stream::keyed_as): records are on the shard of their key already.
#[derive(Debug)]
pub enum OnShard {}

impl OnShard {
    fn grouped<F: Flow, K: Key, P>(keyed: Keyed<F, P, Self>, operator: &str) -> Grouped<InChain<F, P>> {
        let Keyed { stream: Stream { job, flow, place }, key, at, .. } = keyed;
        let mut plan = job.plan();
        let reads = plan.input(&place, Partitioning::Forward);
        let mut grouped = plan.logical.is_grouped_by(reads.node, K::SCHEMA);
        // What stands in the chain goes by the watermark with which records came into the stage.
        if grouped.is_ok()
            && place.origins.iter().any(|origin| matches!(origin, WatermarkOrigin::Generator(_)))
        {
            grouped = Err("it was given another event time since it was grouped".to_owned());
        }
        if let Err(problem) = grouped {
            plan.not_grouped.get_or_insert_with(|| (place.name.clone(), at, problem));
        }
        plan.graph.chained.push(place.stage);
        let number = plan.graph.chained.len() - 1;
        drop(plan);
        let name = format!("{} > {operator}", place.name);
        let place = StreamPlace { label: Label::new(&name), name, ..place };
        let numbers = NodeNumbers { chained: Some(number), ..NodeNumbers::default() };
        Grouped { job, input: InChain { inner: flow, key, number }, place, reads, numbers }
    }
}

impl Grouping for OnShard {
    type Input<S: Flow, P: Clone + Send + Sync + 'static> = InChain<S, P>;

    fn whole<F, K, P>(keyed: Keyed<F, P, Self>, operator: &str) -> Grouped<InChain<F, P>>
    where
        F: Flow<Item: Record>,
        K: Key,
        P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    {
        OnShard::grouped::<F, K, P>(keyed, operator)
    }

    fn items<F, K, P, A>(
        keyed: Keyed<F, P, Self>,
        operator: &str,
        _: &A,
        _: Windows,
    ) -> Grouped<InChain<F, P>>
    where
        F: Flow,
        K: Key,
        P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
        A: Aggregate<F::Item>,
    {
        OnShard::grouped::<F, K, P>(keyed, operator)
    }
}
