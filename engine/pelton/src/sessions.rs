//! Grouped streams in sessions.

use crate::flow::{FlatMapped, Flow, Forked, InSessions, OperatorInput};
use crate::grouping::{ByExchange, Grouped, Grouping};
use crate::keyed::{InputOf, Keyed, Whole, WindowKind};
use crate::stream::{Stream, Timed};
use pelton_core::aggregate::{self, Number, Ranked};
use pelton_core::operator::OpenSessions;
use pelton_core::state::timers::Timer;
use pelton_core::window::{SessionWindows, tumbling};
use pelton_core::{Aggregate, Key, Record, Windowed};
use pelton_runtime::plan::{PlanNode, RowSchema, nanos};
use std::marker::PhantomData;
use std::time::Duration;

impl WindowKind for SessionWindows {
    type Of<F, P, H> = SessionStream<F, P, H>;

    fn of<F, P, H>(self, keyed: Keyed<F, P, H>) -> SessionStream<F, P, H> {
        SessionStream { keyed, windows: self }
    }
}

/// A grouped stream in sessions, made by [`Keyed::window`] with [`session`](pelton_core::window::session).
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct SessionStream<F, P, H = ByExchange> {
    keyed: Keyed<F, P, H>,
    windows: SessionWindows,
}

/// What comes out of sessions over `F` by `K`: rows, and the items of late records.
type Closed<F, K, A, P, H> = InSessions<<F as Flow>::Item, K, A, InputOf<F, P, H>>;

/// A row, or the item of a late record.
type RowOrLate<F, K, A> =
    Result<Windowed<K, <A as Aggregate<<F as Flow>::Item>>::Out>, <A as Aggregate<<F as Flow>::Item>>::Item>;

/// What takes the rows out of these.
type TakeRow<F, K, A> =
    fn(RowOrLate<F, K, A>) -> Option<Windowed<K, <A as Aggregate<<F as Flow>::Item>>::Out>>;

/// What takes the late records out of these.
type TakeLate<F, K, A> = fn(RowOrLate<F, K, A>) -> Option<<A as Aggregate<<F as Flow>::Item>>::Item>;

/// The stream of rows that sessions over `F` by `K` yield, which `P` takes from a record.
pub type SessionRows<F, K, A, P, H> = Stream<FlatMapped<Closed<F, K, A, P, H>, TakeRow<F, K, A>>>;

/// One of the two streams that these are parted into.
type Part<F, K, A, P, H> = Forked<Closed<F, K, A, P, H>, RowOrLate<F, K, A>>;

/// The stream of rows, and that of the records of `F` that came too late.
pub type SessionRowsWithLate<F, K, A, P, H> = (
    Stream<FlatMapped<Part<F, K, Whole<A>, P, H>, TakeRow<F, K, Whole<A>>>>,
    Stream<FlatMapped<Part<F, K, Whole<A>, P, H>, TakeLate<F, K, Whole<A>>>>,
);

impl<F, K, P, H> SessionStream<F, P, H>
where
    F: Timed,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    H: Grouping,
{
    /// One row for each session, when the watermark passes its end, in the order (end, key). Its window is from its first record to `gap` after its last.
    ///
    /// A record is late when `gap` after it is not after the watermark of its own partition. It is counted, and lost to the result; see
    /// [`aggregate_with_late`](Self::aggregate_with_late). A record of a partition that was idle, whose session has closed meanwhile, is a session of its
    /// own.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let rows = collect();
    /// let clicks = [("ann", 0i64), ("bob", 5), ("ann", 20), ("ann", 100)];
    /// Job::new("visits")
    ///     .source(from_iter(move || clicks))
    ///     .event_time(|(_, second)| EventTime::from_secs(*second), in_order())
    ///     .key_by(|(user, _)| user.to_string())
    ///     .window(session(secs(30)))
    ///     .count()
    ///     .map(|row| (row.key, row.window.start.as_secs(), row.window.end.as_secs(), row.value))
    ///     .sink(rows.clone())
    ///     .run()?;
    /// let mut rows = rows.take();
    /// rows.sort();
    /// let (ann, bob) = ("ann".to_owned(), "bob".to_owned());
    /// assert_eq!(rows, [(ann.clone(), 0, 50, 2), (ann, 100, 130, 1), (bob, 5, 35, 1)]);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    #[track_caller]
    pub fn aggregate<A>(self, aggregate: A) -> SessionRows<F, K, A, P, H>
    where
        A: Aggregate<F::Item, Out: 'static>,
        H::Input<F, P>: OperatorInput<K, F::Item, A::Item>,
    {
        self.closed(aggregate).flat_map(Result::ok as TakeRow<F, K, A>)
    }

    /// As [`aggregate`](Self::aggregate), with the late records as a second stream, whole and with their event time.
    #[track_caller]
    pub fn aggregate_with_late<A>(self, aggregate: A) -> SessionRowsWithLate<F, K, A, P, H>
    where
        F::Item: Record + Clone,
        A: Aggregate<F::Item, Out: 'static>,
        H::Input<F, P>: OperatorInput<K, F::Item, F::Item>,
    {
        let (rows, late) = self.closed(Whole(aggregate)).side_output(|row| row.is_err());
        (
            rows.flat_map(Result::ok as TakeRow<F, K, Whole<A>>),
            late.flat_map(Result::err as TakeLate<F, K, Whole<A>>),
        )
    }

    #[track_caller]
    fn closed<A>(self, aggregate: A) -> Stream<Closed<F, K, A, P, H>>
    where
        A: Aggregate<F::Item, Out: 'static>,
        H::Input<F, P>: OperatorInput<K, F::Item, A::Item>,
    {
        let SessionStream { keyed, windows } = self;
        // What is added up before it crosses is of one time.
        let instants = tumbling(Duration::from_nanos(1));
        let Grouped { job, input, mut place, reads, numbers } =
            H::items(keyed, "session", &aggregate, instants);
        let by = RowSchema::of::<K>;
        let node = PlanNode::new("session", place.stage)
            .input(reads)
            .rows(RowSchema::named::<Windowed<K, A::Out>>())
            .state("sessions", by(), RowSchema::of::<OpenSessions<A::Acc>>())
            .state("timers in event time", by(), RowSchema::of::<Timer<K>>())
            .state("timers in processing time", by(), RowSchema::of::<Timer<K>>())
            .parameter("aggregate", aggregate.kind())
            .parameter("gap", nanos(windows.gap_nanos()))
            .bounded_by("the sessions that are open, and overdue records that wait")
            .numbers(numbers);
        let mut plan = job.plan();
        plan.begin(&mut place, node);
        plan.waits.push((place.stage, place.label.clone()));
        drop(plan);
        let (gap, label) = (windows.gap_nanos(), place.label.clone());
        Stream { job, flow: InSessions { input, gap, aggregate, label, marker: PhantomData }, place }
    }

    /// How many records: `aggregate(count())`.
    #[track_caller]
    pub fn count(self) -> SessionRows<F, K, aggregate::Count, P, H>
    where
        H::Input<F, P>: OperatorInput<K, F::Item, ()>,
    {
        self.aggregate(aggregate::count())
    }

    /// The sum of `f`: `aggregate(sum(f))`.
    #[track_caller]
    pub fn sum<V, S>(self, f: S) -> SessionRows<F, K, aggregate::Sum<S>, P, H>
    where
        V: Number,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::Sum<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::sum(f))
    }

    /// The mean of `f`: `aggregate(avg(f))`.
    #[track_caller]
    pub fn avg<V, S>(self, f: S) -> SessionRows<F, K, aggregate::Avg<S>, P, H>
    where
        V: Number,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::Avg<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::avg(f))
    }

    /// The least `f`: `aggregate(min(f))`.
    #[track_caller]
    pub fn min<V, S>(self, f: S) -> SessionRows<F, K, aggregate::Min<S>, P, H>
    where
        V: Ranked,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::Min<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::min(f))
    }

    /// The greatest `f`: `aggregate(max(f))`.
    #[track_caller]
    pub fn max<V, S>(self, f: S) -> SessionRows<F, K, aggregate::Max<S>, P, H>
    where
        V: Ranked,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        H::Input<F, P>: OperatorInput<K, F::Item, <aggregate::Max<S> as Aggregate<F::Item>>::Item>,
    {
        self.aggregate(aggregate::max(f))
    }
}
