//! Grouped streams, their windows, and what is kept of them.

use crate::flow::{Aggregated, Flow, Forked, Mapped, OperatorInput};
use crate::grouping::{ByExchange, Grouped, Grouping};
use crate::stream::{Stream, Timed};
use pelton_core::aggregate::{self, Number, Overflow, PreAggregated, Ranked, pre_aggregated};
use pelton_core::window::{Windows, tumbling};
use pelton_core::{Aggregate, Key, Record, Window, Windowed};
use pelton_runtime::plan::{NodeNumbers, Partitioning, PlanNode, RowSchema, nanos};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::panic::Location;
use std::time::Duration;

/// A grouped stream, made by [`key_by`](Stream::key_by) or [`keyed_as`](Stream::keyed_as): `H` says which.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct Keyed<F, P, H = ByExchange> {
    pub(crate) stream: Stream<F>,
    pub(crate) key: P,
    /// Where it was grouped.
    pub(crate) at: &'static Location<'static>,
    pub(crate) grouping: PhantomData<H>,
}

impl<F: Flow, P, H: Grouping> Keyed<F, P, H> {
    /// Cuts each group into windows of event time: `tumbling(size)`, `hopping(size, slide)` or `session(gap)`.
    pub fn window<W: WindowKind>(self, windows: W) -> W::Of<F, P, H>
    where
        F: Timed,
    {
        windows.of(self)
    }
}

/// A kind of window, and what a grouped stream becomes in windows of that kind.
pub trait WindowKind: Sized {
    /// The stream in windows.
    type Of<F, P, H>;

    #[doc(hidden)]
    fn of<F, P, H>(self, keyed: Keyed<F, P, H>) -> Self::Of<F, P, H>;
}

impl WindowKind for Windows {
    type Of<F, P, H> = WindowedStream<F, P, H>;

    fn of<F, P, H>(self, keyed: Keyed<F, P, H>) -> WindowedStream<F, P, H> {
        WindowedStream { keyed, windows: self }
    }
}

impl<G> Stream<G> {
    /// The stream of late records that the operator which this one begins with puts into `queue`.
    pub(crate) fn late<F: Flow>(&self, queue: usize) -> Late<F> {
        self.late_of(queue, 1)
    }

    /// As [`late`](Self::late), where the operator has others: this is output number `port` of its node.
    pub(crate) fn late_of<F: Flow>(&self, queue: usize, port: u16) -> Late<F> {
        let name = format!("{} > late", self.place.name);
        let mut place = self.job.plan().beside(&self.place, name);
        place.port = port;
        place.fused.clear();
        let flow = Forked { stage: self.place.stage, queue, label: place.label.clone(), marker: PhantomData };
        Stream { job: self.job.clone(), flow, place }
    }
}

/// A grouped stream in windows, made by [`Keyed::window`].
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct WindowedStream<F, P, H = ByExchange> {
    keyed: Keyed<F, P, H>,
    windows: Windows,
}

/// What the operator behind a grouped stream reads.
pub(crate) type InputOf<F, P, H> = <H as Grouping>::Input<F, P>;

/// The stream of rows that windows over `F` by `K` yield, which `P` takes from a record.
pub type Rows<F, K, A, P, H> = Stream<Aggregated<<F as Flow>::Item, K, A, InputOf<F, P, H>>>;

/// A stream of `R`, and one of the records of `F` that came too late for it.
pub type WithLate<R, F> = (R, Late<F>);

/// The stream of records that came too late for windows over `F`.
pub type Late<F> = Stream<Forked<F, <F as Flow>::Item>>;

impl<F, K, P, H> WindowedStream<F, P, H>
where
    F: Timed,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    H: Grouping,
{
    /// One row for each key and window, when the watermark passes the window's end, in the order (window end, key).
    ///
    /// Records that come after all of their windows have closed are counted, and lost to the result; see
    /// [`aggregate_with_late`](Self::aggregate_with_late).
    #[track_caller]
    pub fn aggregate<A>(self, aggregate: A) -> Rows<F, K, A, P, H>
    where
        A: Aggregate<F::Item, Out: 'static>,
        H::Input<F, P>: OperatorInput<K, F::Item, A::Item>,
    {
        self.aggregated(aggregate, None)
    }

    /// As [`aggregate`](Self::aggregate), with the late records as a second stream, whole and with their event time.
    #[track_caller]
    pub fn aggregate_with_late<A>(self, aggregate: A) -> WithLate<Rows<F, K, Whole<A>, P, H>, F>
    where
        F::Item: Record + Clone,
        A: Aggregate<F::Item, Out: 'static>,
        H::Input<F, P>: OperatorInput<K, F::Item, F::Item>,
    {
        let queue = self.keyed.stream.job.plan().next_queue();
        let rows = self.aggregated(Whole(aggregate), Some(queue));
        let late = rows.late(queue);
        (rows, late)
    }

    #[track_caller]
    fn aggregated<A>(self, aggregate: A, late: Option<usize>) -> Rows<F, K, A, P, H>
    where
        A: Aggregate<F::Item, Out: 'static>,
        H::Input<F, P>: OperatorInput<K, F::Item, A::Item>,
    {
        let WindowedStream { keyed, windows } = self;
        let Grouped { job, input, mut place, reads, numbers } =
            H::items(keyed, "window", &aggregate, windows);
        let node = PlanNode::new("window", place.stage);
        let crosses = matches!(reads.partitioning, Partitioning::Key { .. });
        let node = match A::PRE_AGGREGATES && crosses {
            true => node.setting("pre-aggregated", "by shard and tick"),
            false => node,
        };
        let node = node
            .input(reads)
            .rows(RowSchema::named::<Windowed<K, A::Out>>())
            .state("panes", RowSchema::of::<K>(), RowSchema::of::<A::Acc>())
            .parameter("aggregate", aggregate.kind())
            .parameter("size", nanos(windows.size_nanos()))
            .parameter("slide", nanos(windows.slide_nanos()))
            .bounded_by("the keys of the windows that are open")
            .numbers(NodeNumbers { queues: late.into_iter().collect(), ..numbers });
        let mut plan = job.plan();
        plan.begin(&mut place, node);
        plan.waits.push((place.stage, place.label.clone()));
        drop(plan);
        let label = place.label.clone();
        let flow = Aggregated { input, windows, aggregate, late, label, marker: PhantomData };
        Stream { job, flow, place }
    }

    /// How many records: `aggregate(count())`.
    #[track_caller]
    pub fn count(self) -> Rows<F, K, aggregate::Count, P, H>
    where
        H::Input<F, P>: OperatorInput<K, F::Item, ()>,
    {
        self.aggregate(aggregate::count())
    }

    /// The sum of `f`: `aggregate(sum(f))`. Of integers it is a `u64` or an `i64`, and one that does not fit stops the job with an error;
    /// floats are added exactly and rounded once. See [`sum`](aggregate::sum()).
    #[track_caller]
    pub fn sum<V, S>(self, f: S) -> Rows<F, K, aggregate::Sum<S>, P, H>
    where
        V: Number,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::Sum<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::sum(f))
    }

    /// The mean of `f`: `aggregate(avg(f))`. It is rounded once, and never overflows.
    #[track_caller]
    pub fn avg<V, S>(self, f: S) -> Rows<F, K, aggregate::Avg<S>, P, H>
    where
        V: Number,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::Avg<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::avg(f))
    }

    /// The least `f`: `aggregate(min(f))`. A NaN is above every number.
    #[track_caller]
    pub fn min<V, S>(self, f: S) -> Rows<F, K, aggregate::Min<S>, P, H>
    where
        V: Ranked,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::Min<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::min(f))
    }

    /// The greatest `f`: `aggregate(max(f))`. A NaN is above every number, so it is NaN if there is one.
    #[track_caller]
    pub fn max<V, S>(self, f: S) -> Rows<F, K, aggregate::Max<S>, P, H>
    where
        V: Ranked,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::Max<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::max(f))
    }

    /// The record with the greatest `f`; of several, the least one: `aggregate(max_by(f))`. Whole records cross the exchange.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let rows = collect();
    /// Job::new("dearest")
    ///     .source(from_iter(|| [(1u64, 30u64), (2, 70), (3, 20)]))
    ///     .event_time(|(second, _)| EventTime::from_secs(*second as i64), in_order())
    ///     .key_by(|_| ())
    ///     .window(tumbling(secs(10)))
    ///     .max_by(|(_, cents)| *cents)
    ///     .sink(rows.clone())
    ///     .run()?;
    /// assert_eq!(rows.take()[0].value, (2, 70));
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    #[track_caller]
    pub fn max_by<O, S>(self, f: S) -> Rows<F, K, aggregate::MaxBy<S>, P, H>
    where
        F::Item: Record + Clone + Ord,
        O: Ord,
        S: Fn(&F::Item) -> O + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::MaxBy<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::max_by(f))
    }

    /// The record with the least `f`; of several, the least one: `aggregate(min_by(f))`. Whole records cross the exchange.
    #[track_caller]
    pub fn min_by<O, S>(self, f: S) -> Rows<F, K, aggregate::MinBy<S>, P, H>
    where
        F::Item: Record + Clone + Ord,
        O: Ord,
        S: Fn(&F::Item) -> O + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::MinBy<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::min_by(f))
    }
}

/// Rows of windows, grouped per window over all keys; made by [`window_all`](Stream::window_all).
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct AllWindows<F> {
    pub(crate) stream: Stream<F>,
}

/// The stream of one row for each window, without a key.
pub type AllRows<F, A> =
    Stream<Mapped<Aggregated<<F as Flow>::Item, Window, PreAggregated<A>>, WithoutKey<A, <F as Flow>::Item>>>;

/// What takes the helper key off a row.
type WithoutKey<A, T> =
    fn(Windowed<Window, <A as Aggregate<T>>::Out>) -> Windowed<(), <A as Aggregate<T>>::Out>;

impl<K, V, F> AllWindows<F>
where
    K: Record + Clone + Ord,
    V: Record + Clone,
    F: Flow<Item = Windowed<K, V>> + Timed,
{
    /// One row for each window, over the rows of all keys. They meet on one shard, so each adds up its own first: see
    /// [`pre_aggregated`](aggregate::pre_aggregated()).
    #[track_caller]
    pub fn aggregate<A: Aggregate<F::Item, Out: 'static>>(self, aggregate: A) -> AllRows<F, A> {
        // A row's event time is the last instant of its window, so windows of one instant keep apart exactly what ended together.
        let instants = tumbling(Duration::from_nanos(1));
        let whole: WithoutKey<A, F::Item> = |row| Windowed { window: row.key, key: (), value: row.value };
        self.stream.key_by(|row| row.window).window(instants).aggregate(pre_aggregated(aggregate)).map(whole)
    }

    /// The row with the greatest `f`; of several, the one with the least key: `aggregate(max_by(f))`.
    #[track_caller]
    pub fn max_by<O, S>(self, f: S) -> AllRows<F, aggregate::MaxBy<S>>
    where
        V: Ord,
        O: Ord,
        S: Fn(&F::Item) -> O + Clone + Send + Sync + 'static,
    {
        self.aggregate(aggregate::max_by(f))
    }

    /// The row with the least `f`; of several, the one with the least key: `aggregate(min_by(f))`.
    #[track_caller]
    pub fn min_by<O, S>(self, f: S) -> AllRows<F, aggregate::MinBy<S>>
    where
        V: Ord,
        O: Ord,
        S: Fn(&F::Item) -> O + Clone + Send + Sync + 'static,
    {
        self.aggregate(aggregate::min_by(f))
    }

    /// How many keys: `aggregate(count())`.
    #[track_caller]
    pub fn count(self) -> AllRows<F, aggregate::Count> {
        self.aggregate(aggregate::count())
    }

    /// The sum of `f` over the keys: `aggregate(sum(f))`.
    #[track_caller]
    pub fn sum<N, S>(self, f: S) -> AllRows<F, aggregate::Sum<S>>
    where
        N: Number,
        S: Fn(&F::Item) -> N + Clone + Send + Sync + 'static,
    {
        self.aggregate(aggregate::sum(f))
    }

    /// The mean of `f` over the keys: `aggregate(avg(f))`.
    #[track_caller]
    pub fn avg<N, S>(self, f: S) -> AllRows<F, aggregate::Avg<S>>
    where
        N: Number,
        S: Fn(&F::Item) -> N + Clone + Send + Sync + 'static,
    {
        self.aggregate(aggregate::avg(f))
    }

    /// The least value of `f` over the keys: `aggregate(min(f))`.
    #[track_caller]
    pub fn min<N, S>(self, f: S) -> AllRows<F, aggregate::Min<S>>
    where
        N: Ranked,
        S: Fn(&F::Item) -> N + Clone + Send + Sync + 'static,
    {
        self.aggregate(aggregate::min(f))
    }

    /// The greatest value of `f` over the keys: `aggregate(max(f))`.
    #[track_caller]
    pub fn max<N, S>(self, f: S) -> AllRows<F, aggregate::Max<S>>
    where
        N: Ranked,
        S: Fn(&F::Item) -> N + Clone + Send + Sync + 'static,
    {
        self.aggregate(aggregate::max(f))
    }
}

/// An aggregate to which whole records cross, so that a late one can be given back.
#[derive(Clone, Copy, Debug)]
pub struct Whole<A>(pub(crate) A);

impl<T: Record + Clone, A: Aggregate<T>> Aggregate<T> for Whole<A> {
    type Item = T;
    type Acc = A::Acc;
    type Out = A::Out;

    fn kind(&self) -> Cow<'static, str> {
        self.0.kind()
    }
    fn item(&self, record: &T) -> T {
        record.clone()
    }
    fn take_item(&self, record: T) -> T {
        record
    }
    fn empty(&self) -> A::Acc {
        self.0.empty()
    }
    fn add(&self, acc: &mut A::Acc, record: T) {
        self.0.add(acc, self.0.take_item(record));
    }
    fn merge(&self, acc: &mut A::Acc, other: &A::Acc) {
        self.0.merge(acc, other);
    }
    fn finish(&self, acc: &A::Acc) -> A::Out {
        self.0.finish(acc)
    }
    fn try_finish(&self, acc: &A::Acc) -> Result<A::Out, Overflow> {
        self.0.try_finish(acc)
    }
}
