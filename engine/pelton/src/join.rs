//! Joins: two keyed streams that meet in windows.

use crate::flow::{FlatMapped, Flow, WindowJoined};
use crate::keyed::{Keyed, Late, Whole};
use crate::stream::{Stream, Timed};
use pelton_core::exchange::partition::{ByKey, Keyed as KeyedRecord};
use pelton_core::operator::{JoinKind, Joined};
use pelton_core::window::Windows;
use pelton_core::{Aggregate, EdgeId, Key, Record, StageId, Windowed};
use pelton_runtime::plan::{NodeNumbers, Partitioning, PlanNode, RowSchema, nanos};
use std::marker::PhantomData;

/// Two keyed streams that are to meet, made by [`join`](Keyed::join) and its kin.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct Joining<F, P, G, Q> {
    left: Keyed<F, P>,
    right: Keyed<G, Q>,
    kind: JoinKind,
}

/// Two keyed streams that meet in windows, made by [`Joining::window`].
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct JoinedWindows<F, P, G, Q> {
    joining: Joining<F, P, G, Q>,
    windows: Windows,
}

/// The stream of rows of a join of `F` and `G` by `K`: what each side came to, if it had records.
pub type JoinRows<F, G, K, A, B> = Stream<WindowJoined<<F as Flow>::Item, <G as Flow>::Item, K, A, B>>;

/// What both sides came to, where both had records.
type Both<K, L, R> = fn(Joined<K, L, R>) -> Option<Windowed<K, (L, R)>>;

/// The stream of rows of an inner join of `F` and `G` by `K`: what both sides came to.
pub type InnerRows<F, G, K, A, B> = Stream<
    FlatMapped<
        WindowJoined<<F as Flow>::Item, <G as Flow>::Item, K, A, B>,
        Both<K, <A as Aggregate<<F as Flow>::Item>>::Out, <B as Aggregate<<G as Flow>::Item>>::Out>,
    >,
>;

/// The rows of a join, and the late records of either stream.
pub type JoinRowsWithLate<F, G, K, A, B> = (JoinRows<F, G, K, Whole<A>, Whole<B>>, Late<F>, Late<G>);

/// The rows of an inner join, and the late records of either stream.
pub type InnerRowsWithLate<F, G, K, A, B> = (InnerRows<F, G, K, Whole<A>, Whole<B>>, Late<F>, Late<G>);

impl<F: Timed, P> Keyed<F, P> {
    /// Joins with `other`, which is grouped by keys of the same type: a row for each key and window in which *both* streams have records.
    /// What it holds of either side an aggregate says.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// #[pelton::record]
    /// struct Click { user: u64, at: u64 }
    /// #[pelton::record]
    /// struct Order { user: u64, at: u64, cents: u64 }
    ///
    /// let job = Job::new("clicks before orders");
    /// let clicks = job
    ///     .source(from_iter(|| [(1, 3), (1, 5), (2, 7), (1, 12)].map(|(user, at)| Click { user, at })))
    ///     .event_time(|click| EventTime::from_secs(click.at as i64), in_order());
    /// let orders = job
    ///     .source(from_iter(|| [(1, 4, 250), (3, 6, 100)].map(|(user, at, cents)| Order { user, at, cents })))
    ///     .event_time(|order| EventTime::from_secs(order.at as i64), in_order());
    ///
    /// let rows = collect();
    /// clicks
    ///     .key_by(|click| click.user)
    ///     .join(orders.key_by(|order| order.user))
    ///     .window(tumbling(secs(10)))
    ///     .aggregate(count(), sum(|order: &Order| order.cents))
    ///     .sink(rows.clone())
    ///     .run()?;
    /// let rows: Vec<_> = rows.take().into_iter().map(|row| (row.key, row.value)).collect();
    /// assert_eq!(rows, [(1, (2, 250))]); // user 1 alone has both: two clicks, and an order of 2.50
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    pub fn join<G: Timed, Q>(self, other: Keyed<G, Q>) -> Inner<F, P, G, Q> {
        Inner(self.joining(other, JoinKind::Inner))
    }

    /// Joins with `other`: a row for each key and window in which *this* stream has records.
    pub fn left_join<G: Timed, Q>(self, other: Keyed<G, Q>) -> Joining<F, P, G, Q> {
        self.joining(other, JoinKind::Left)
    }

    /// Joins with `other`: a row for each key and window in which the *other* stream has records.
    pub fn right_join<G: Timed, Q>(self, other: Keyed<G, Q>) -> Joining<F, P, G, Q> {
        self.joining(other, JoinKind::Right)
    }

    /// Joins with `other`: a row for each key and window in which *either* stream has records. Flink calls this a co-group.
    pub fn full_join<G: Timed, Q>(self, other: Keyed<G, Q>) -> Joining<F, P, G, Q> {
        self.joining(other, JoinKind::Full)
    }

    fn joining<G, Q>(self, right: Keyed<G, Q>, kind: JoinKind) -> Joining<F, P, G, Q> {
        assert!(self.stream.job.is(&right.stream.job), "a join of streams of two jobs");
        Joining { left: self, right, kind }
    }
}

impl<F: Timed, P, G: Timed, Q> Joining<F, P, G, Q> {
    /// Records meet that are in one window: `tumbling(size)` or `hopping(size, slide)`.
    pub fn window(self, windows: Windows) -> JoinedWindows<F, P, G, Q> {
        JoinedWindows { joining: self, windows }
    }
}

impl<F, P, G, Q, K> JoinedWindows<F, P, G, Q>
where
    F: Timed,
    G: Timed,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    Q: Fn(&G::Item) -> K + Clone + Send + Sync + 'static,
{
    /// A row for each key and window, in the order (window end, key), when the watermarks of both streams have passed the window's end: what
    /// `left` made of this stream's records and `right` of the other's, `None` where there were none.
    ///
    /// Records that come after all of their windows have closed are counted, and lost to the result; see
    /// [`aggregate_with_late`](Self::aggregate_with_late).
    #[track_caller]
    pub fn aggregate<A, B>(self, left: A, right: B) -> JoinRows<F, G, K, A, B>
    where
        A: Aggregate<F::Item, Out: 'static>,
        B: Aggregate<G::Item, Out: 'static>,
    {
        self.exchange(left, right, [None, None])
    }

    /// As [`aggregate`](Self::aggregate), with the late records of either stream as streams of their own, whole and with their event time.
    #[track_caller]
    pub fn aggregate_with_late<A, B>(self, left: A, right: B) -> JoinRowsWithLate<F, G, K, A, B>
    where
        A: Aggregate<F::Item, Out: 'static>,
        B: Aggregate<G::Item, Out: 'static>,
        F::Item: Record + Clone,
        G::Item: Record + Clone,
    {
        let job = self.joining.left.stream.job.clone();
        let late = [(); 2].map(|()| job.plan().next_queue());
        let rows = self.exchange(Whole(left), Whole(right), late.map(Some));
        let [left, right] = late;
        let late = (rows.late_of::<F>(left, 1), rows.late_of::<G>(right, 2));
        (rows, late.0, late.1)
    }

    #[track_caller]
    fn exchange<A, B>(self, left: A, right: B, late: [Option<usize>; 2]) -> JoinRows<F, G, K, A, B>
    where
        A: Aggregate<F::Item, Out: 'static>,
        B: Aggregate<G::Item, Out: 'static>,
    {
        let JoinedWindows { joining: Joining { left: one, right: other, kind }, windows } = self;
        let job = one.stream.job.clone();
        let to = job.plan().next_stage();
        let (one_place, other_place) = (&one.stream.place, &other.stream.place);
        let name = format!("({} + {}) > join", one_place.name, other_place.name);
        let mut behind = job.plan().behind(to, one_place, name);
        behind.delivery = one_place.delivery.and(other_place.delivery);
        let (one_input, other_input) = {
            let mut plan = job.plan();
            let (by_one, by_other) =
                (Partitioning::key::<K>(Some(one.at)), Partitioning::key::<K>(Some(other.at)));
            let (of_one, of_other) = (plan.input(one_place, by_one), plan.input(other_place, by_other));
            (of_one.crossing(RowSchema::of::<A::Item>()), of_other.crossing(RowSchema::of::<B::Item>()))
        };
        let edges = [one.send_items(left.clone(), to), other.send_items(right.clone(), to)];
        let node = PlanNode::new("join", to)
            .input(one_input)
            .input(other_input)
            .rows(RowSchema::named::<Joined<K, A::Out, B::Out>>())
            .state("panes of the left side", RowSchema::of::<K>(), RowSchema::of::<A::Acc>())
            .state("panes of the right side", RowSchema::of::<K>(), RowSchema::of::<B::Acc>())
            .parameter("kind", kind.name())
            .parameter("left", left.kind())
            .parameter("right", right.kind())
            .parameter("size", nanos(windows.size_nanos()))
            .parameter("slide", nanos(windows.slide_nanos()))
            .bounded_by("the keys of the windows that are open")
            .numbers(NodeNumbers {
                edges: edges.to_vec(),
                queues: late.into_iter().flatten().collect(),
                ..NodeNumbers::default()
            });
        job.plan().begin(&mut behind, node);
        job.plan().waits.push((to, behind.label.clone()));
        let (aggregates, label) = ((left, right), behind.label.clone());
        let flow = WindowJoined { edges, kind, windows, aggregates, late, label, marker: PhantomData };
        Stream { job, flow, place: behind }
    }
}

impl<F: Timed, P, K: Key> Keyed<F, P>
where
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
{
    /// Ends the stream in the sending end of an exchange by key into stage `to`; what crosses is what the aggregate needs.
    fn send_items<A: Aggregate<F::Item>>(self, aggregate: A, to: StageId) -> EdgeId {
        let Keyed { stream: Stream { job, flow, place }, key, .. } = self;
        let edge = job.plan().next_edge(&place, to, true);
        job.plan().end(&place, move |shard| {
            let channels = shard.channels::<KeyedRecord<K, A::Item>>(edge);
            flow.instantiate(shard, ByKey::new(key.clone(), aggregate.clone(), shard.router(), channels));
        });
        edge
    }
}

/// Two keyed streams that are to meet where both have records, made by [`join`](Keyed::join).
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct Inner<F, P, G, Q>(Joining<F, P, G, Q>);

/// Two keyed streams that meet in windows where both have records, made by [`Inner::window`].
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct InnerWindows<F, P, G, Q>(JoinedWindows<F, P, G, Q>);

impl<F: Timed, P, G: Timed, Q> Inner<F, P, G, Q> {
    /// As [`Joining::window`].
    pub fn window(self, windows: Windows) -> InnerWindows<F, P, G, Q> {
        InnerWindows(self.0.window(windows))
    }
}

impl<F, P, G, Q, K> InnerWindows<F, P, G, Q>
where
    F: Timed,
    G: Timed,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    Q: Fn(&G::Item) -> K + Clone + Send + Sync + 'static,
{
    /// As [`JoinedWindows::aggregate`], for keys with records on both sides alone.
    #[track_caller]
    pub fn aggregate<A, B>(self, left: A, right: B) -> InnerRows<F, G, K, A, B>
    where
        A: Aggregate<F::Item, Out: 'static>,
        B: Aggregate<G::Item, Out: 'static>,
    {
        self.0.aggregate(left, right).flat_map(both as Both<K, A::Out, B::Out>)
    }

    /// As [`JoinedWindows::aggregate_with_late`], for keys with records on both sides alone.
    #[track_caller]
    pub fn aggregate_with_late<A, B>(self, left: A, right: B) -> InnerRowsWithLate<F, G, K, A, B>
    where
        A: Aggregate<F::Item, Out: 'static>,
        B: Aggregate<G::Item, Out: 'static>,
        F::Item: Record + Clone,
        G::Item: Record + Clone,
    {
        let (rows, left, right) = self.0.aggregate_with_late(left, right);
        (rows.flat_map(both as Both<K, A::Out, B::Out>), left, right)
    }
}

fn both<K, L, R>(row: Joined<K, L, R>) -> Option<Windowed<K, (L, R)>> {
    let (left, right) = row.value;
    Some(Windowed { window: row.window, key: row.key, value: (left?, right?) })
}
