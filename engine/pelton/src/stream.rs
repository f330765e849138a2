//! Streams: the typed graph that a job is written in.

mod branches;
mod nodes;

use self::nodes::{delivered, timed};
use crate::flow::{
    Filtered, FlatMapped, Flow, Forked, Generator, Ingested, Inspected, Mapped, Rebalanced,
    RebalancedArchived, Stamped,
};
use crate::job::Job;
use crate::keyed::AllWindows;
use crate::settings::{Delivering, Label};
use crate::watermarks::WatermarkStrategy;
use pelton_core::exchange::partition::{ByTurn, Timed as TimedRecord};
use pelton_core::operator::WatermarkKind;
use pelton_core::record::Archived;
use pelton_core::sink::{Delivery, Sink, ToSink};
use pelton_core::stage::context::WatermarkOrigin;
use pelton_core::{EdgeId, EventTime, Record, StageId, Windowed};
use pelton_runtime::plan::{Fused, NodeId, NodeNumbers, Partitioning, PlanNode, RowSchema};
use std::marker::PhantomData;
use std::panic::Location;

/// Streams whose records have an event time.
#[diagnostic::on_unimplemented(
    message = "this stream has no event time",
    label = "windows need event time",
    note = "call `.event_time(|record| .., out_of_order(..))`, `.event_time(|record| .., in_order())` or `.ingestion_time()` first"
)]
pub trait Timed: Flow {}

/// A stream of records; `F` is how it is made.
///
/// A stream ends in exactly one place: a [`sink`](Self::sink), a window, an exchange or a fork. One that ends nowhere is an
/// error when the job starts.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct Stream<F> {
    pub(crate) job: Job,
    pub(crate) flow: F,
    pub(crate) place: StreamPlace,
}

/// One of the two streams that a stream forks into.
pub type Branch<F> = Stream<Forked<F, <F as Flow>::Item>>;

/// One of the two streams that [`event_time_with_early`](Stream::event_time_with_early) makes.
pub type TimedBranch<F, T> = Branch<Stamped<F, T, true>>;

/// Where in the graph a stream is.
#[derive(Clone)]
pub(crate) struct StreamPlace {
    pub(crate) stage: StageId,
    /// The number under which the job knows that the stream must still end.
    pub(crate) root: usize,
    /// Where its watermark comes from.
    pub(crate) origins: Vec<WatermarkOrigin>,
    /// The sources that feed it within stage 0.
    pub(crate) sources: Vec<usize>,
    /// What it is called in reports: what was done to it so far.
    pub(crate) name: String,
    /// What the stretch that it is at the end of is called.
    pub(crate) label: Label,
    /// How its rows are to be delivered.
    pub(crate) delivery: Delivering,
    /// The last node of the plan that it comes out of.
    pub(crate) node: NodeId,
    /// Which of its outputs that is.
    pub(crate) port: u16,
    /// The node that the stretch begins with.
    pub(crate) root_node: NodeId,
    /// What was done to it since the last node.
    pub(crate) fused: Vec<Fused>,
    /// What its records are.
    pub(crate) rows: RowSchema,
}

impl<F: Flow> Stream<F> {
    #[track_caller]
    fn then<G: Flow>(self, operator: &'static str, flow: impl FnOnce(F) -> G) -> Stream<G> {
        let mut next = self.becomes(operator, flow);
        next.place.fused.push(Fused { kind: operator, at: Location::caller() });
        next.place.rows = RowSchema::named::<G::Item>();
        next
    }

    fn becomes<G>(self, operator: &str, flow: impl FnOnce(F) -> G) -> Stream<G> {
        let Stream { job, flow: inner, mut place } = self;
        place.name = format!("{} > {operator}", place.name);
        Stream { job, flow: flow(inner), place }
    }

    /// Gives what the stream begins with a uid: the source, or the window, sort, deduplication, `rebalance`, union or fork that came last.
    /// That is what it is called in the job's [plan](Job::explain), and by which its state is found again after a change of the job. A stateless
    /// operator needs none, and both streams of a fork, or the rows and the late records of a window, begin with the same. A sink gets one by
    /// [`sink_with_uid`](Self::sink_with_uid).
    ///
    /// Without this an operator is called by its kind and its number among those of its kind that have no uid: `window-0`. A job in which two have
    /// the same does not start.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let job = Job::new("visits")
    ///     .source(from_iter(|| 0..100u64))
    ///     .uid("visits")
    ///     .map(|n| n / 2)
    ///     .rebalance()
    ///     .sink_with_uid("pages", collect());
    /// let explained = job.explain().to_string();
    /// assert!(["visits: source", "rebalance-0: rebalance", "pages: sink"].iter().all(|line| explained.contains(line)));
    /// ```
    #[track_caller]
    pub fn uid(self, uid: &str) -> Self {
        self.job.plan().logical.node_mut(self.place.root_node).give_uid(uid);
        self
    }

    /// Calls the stretch so far, back to the source, exchange, window or fork that it begins with, `name` in reports of errors and
    /// panics. What is done to the stream from here on is called after it: `name > map > window`.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.place.name);
        self.place.label.set(name);
        self
    }

    /// One record in, one out.
    #[track_caller]
    pub fn map<U: 'static, M: Fn(F::Item) -> U + Clone + Send + Sync + 'static>(
        self,
        f: M,
    ) -> Stream<Mapped<F, M>> {
        self.then("map", |inner| Mapped { inner, f })
    }

    /// Keeps the records for which `f` is true.
    #[track_caller]
    pub fn filter<P: Fn(&F::Item) -> bool + Clone + Send + Sync + 'static>(
        self,
        f: P,
    ) -> Stream<Filtered<F, P>> {
        self.then("filter", |inner| Filtered { inner, f })
    }

    /// One record in, everything that `f` yields for it out, at the record's own event time.
    #[track_caller]
    pub fn flat_map<I, M>(self, f: M) -> Stream<FlatMapped<F, M>>
    where
        I: IntoIterator<Item: 'static>,
        M: Fn(F::Item) -> I + Clone + Send + Sync + 'static,
    {
        self.then("flat_map", |inner| FlatMapped { inner, f })
    }

    /// Shows each record and its event time to `f`, on the core that handles it. Not for results: `f` runs again in a replay.
    #[track_caller]
    pub fn inspect<P: Fn(EventTime, &F::Item) + Clone + Send + Sync + 'static>(
        self,
        f: P,
    ) -> Stream<Inspected<F, P>> {
        self.then("inspect", |inner| Inspected { inner, f })
    }

    /// Gives each record its event time, and the stream its watermark.
    #[track_caller]
    pub fn event_time<T: Fn(&F::Item) -> EventTime + Clone + Send + Sync + 'static>(
        mut self,
        f: T,
        watermarks: WatermarkStrategy,
    ) -> Stream<Stamped<F, T>> {
        let generator = self.generator("event_time", watermarks.0);
        self.becomes("event_time", |inner| Stamped { inner, f, generator, early: None })
    }

    /// As [`event_time`](Self::event_time), with the [early](WatermarkStrategy#early-records) records as a second stream. They come with their
    /// times, which are far ahead of the watermark.
    #[track_caller]
    pub fn event_time_with_early<T: Fn(&F::Item) -> EventTime + Clone + Send + Sync + 'static>(
        mut self,
        f: T,
        watermarks: WatermarkStrategy,
    ) -> (TimedBranch<F, T>, TimedBranch<F, T>) {
        let generator = self.generator("event_time", watermarks.0);
        let mut stamped = self.becomes("event_time", |inner| Stamped { inner, f, generator, early: None });
        let (main, early) = (stamped.branch("main", 0), stamped.branch("early", 1));
        stamped.flow.early = Some(early.flow.queue);
        stamped.into_queue(main.flow.queue);
        (main, early)
    }

    /// Takes the time of day at which a record enters the engine for its event time: processing-time windows, made repeatable, since
    /// the reading of the wall clock is part of the input. The watermark follows the clock in whole milliseconds, and needs no records for
    /// that: a window closes when its time has come. Where nothing waits for that, nothing is done and nothing is logged.
    ///
    /// Time never falls: when the wall clock is put back, records have the latest time so far until it has caught up, in a job with
    /// [durability](crate::Config::durability) over restarts, too.
    #[track_caller]
    pub fn ingestion_time(mut self) -> Stream<Ingested<F>> {
        let generator = self.generator("ingestion_time", WatermarkKind::Clock);
        self.becomes("ingestion_time", |inner| Ingested { inner, generator })
    }

    #[track_caller]
    fn generator(&mut self, kind: &'static str, timing: WatermarkKind) -> Generator {
        if self.place.stage != StageId(0) && timing.belongs_to_sources() {
            self.job.plan().processing_time.get_or_insert_with(|| self.place.name.clone());
        }
        let index = self.job.plan().next_generator(&self.place, timing == WatermarkKind::Clock);
        self.place.origins = vec![WatermarkOrigin::Generator(index)];
        let numbers = NodeNumbers { generator: Some(index), ..NodeNumbers::default() };
        let mut plan = self.job.plan();
        let input = plan.input(&self.place, Partitioning::Forward);
        let node =
            PlanNode::new(kind, self.place.stage).input(input).rows(self.place.rows.clone()).numbers(numbers);
        self.place.node = plan.logical.add(timed(node, timing));
        drop(plan);
        self.place.port = 0;
        self.place.fused.clear();
        Generator { index, stage: self.place.stage, timing, sources: self.place.sources.clone() }
    }

    /// Spreads the records evenly over the shards, one for each in turn.
    #[track_caller]
    pub fn rebalance(self) -> Stream<Rebalanced<F>>
    where
        F::Item: Record,
    {
        self.rebalance_chunks(1)
    }

    /// Spreads the records evenly over the shards, `chunk` for each in turn: cheaper, and neighbours stay together.
    ///
    /// # Panics
    /// When `chunk` is 0.
    #[track_caller]
    pub fn rebalance_chunks(self, chunk: usize) -> Stream<Rebalanced<F>>
    where
        F::Item: Record,
    {
        assert!(chunk > 0, "a chunk of no records");
        let to = self.job.plan().next_stage();
        let edge = self.job.plan().next_edge(&self.place, to, true);
        let job = self.job.clone();
        let name = format!("{} > rebalance", self.place.name);
        let mut plan = job.plan();
        let mut place = plan.behind(to, &self.place, name);
        let input = plan.input(&self.place, Partitioning::InTurn { chunk });
        let numbers = NodeNumbers { edges: vec![edge], ..NodeNumbers::default() };
        let node =
            PlanNode::new("rebalance", to).input(input).rows(RowSchema::of::<F::Item>()).numbers(numbers);
        plan.begin(
            &mut place,
            node.state("turn", RowSchema::None, RowSchema::Type("whose turn it is".to_owned())),
        );
        drop(plan);
        let flow = Rebalanced { edge, label: place.label.clone(), marker: PhantomData };
        self.send_in_turn(edge, chunk);
        Stream { job, flow, place }
    }

    /// Ends this stream in the sending end of an exchange that does not group.
    fn send_in_turn(self, edge: EdgeId, chunk: usize)
    where
        F::Item: Record,
    {
        let Stream { job, flow, place } = self;
        job.plan().end(&place, move |shard| {
            let channels = shard.channels::<TimedRecord<F::Item>>(edge);
            flow.instantiate(shard, ByTurn::new(chunk, channels));
        });
    }

    /// How often the sinks that this stream ends in show each row, should the job be stopped and go on: all of them, whatever is done to
    /// the stream before, unless it is said anew. Unless told, a sink that [is transactional](Sink::is_transactional) delivers exactly once, and any
    /// other at least once. Without [durability](crate::Config::durability) it makes no difference.
    ///
    /// Behind a [union](Self::union) of streams that were told different things it has to be said again: otherwise the job does not start.
    ///
    /// ```
    /// use pelton::Delivery;
    /// use pelton::prelude::*;
    ///
    /// let rows = collect();
    /// Job::new("readings")
    ///     .source(from_iter(|| 0..100))
    ///     .deliver(Delivery::AtMostOnce)
    ///     .rebalance()
    ///     .map(|n| 2 * n)
    ///     .sink(rows.clone()) // at most once
    ///     .run()?;
    /// assert_eq!(rows.take().len(), 100);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    pub fn deliver(mut self, delivery: Delivery) -> Self {
        self.place.delivery = Delivering::Said(delivery);
        self
    }

    /// Ends the stream in `sink`, and gives the job back.
    #[track_caller]
    pub fn sink<S: Sink<F::Item>>(self, sink: S) -> Job {
        self.end_in(sink, None)
    }

    /// As [`sink`](Self::sink), for a sink with a [uid](Self::uid) of its own.
    #[track_caller]
    pub fn sink_with_uid<S: Sink<F::Item>>(self, uid: &str, sink: S) -> Job {
        self.end_in(sink, Some(uid))
    }

    #[track_caller]
    fn end_in<S: Sink<F::Item>>(self, sink: S, uid: Option<&str>) -> Job {
        let Stream { job, flow, place } = self;
        let usual = if sink.is_transactional() { Delivery::ExactlyOnce } else { Delivery::AtLeastOnce };
        let mut plan = job.plan();
        let delivery = match place.delivery {
            Delivering::Unsaid => usual,
            Delivering::Said(delivery) => delivery,
            Delivering::Disputed => {
                plan.disputed.get_or_insert_with(|| place.name.clone());
                usual
            }
        };
        if delivery == Delivery::ExactlyOnce && !sink.is_transactional() {
            plan.non_transactional.get_or_insert_with(|| place.name.clone());
        }
        let input = plan.input(&place, Partitioning::Forward);
        let node = delivered(PlanNode::new("sink", place.stage).input(input), delivery);
        let number = plan.sinks.len();
        let node = node.numbers(NodeNumbers { sink: Some(number), ..NodeNumbers::default() });
        let node = match sink.schema() {
            Some(schema) => node.state("rows", RowSchema::None, RowSchema::Schema(schema)),
            None => node,
        };
        let id = plan.logical.add(node);
        if let Some(uid) = uid {
            plan.logical.node_mut(id).give_uid(uid);
        }
        let (name, attached) = (format!("sink of `{}`", place.name), sink.clone());
        plan.sinks.push(Box::new(move |ending| attached.attach(ending)));
        plan.end(&place, move |shard| {
            let (writer, context) = (sink.open(shard.shard()), shard.context(place.stage));
            let end = ToSink::new(writer, delivery, number, name.clone(), context, &shard.held());
            flow.instantiate(shard, end);
        });
        drop(plan);
        job
    }
}

impl<F: Flow<Item: Record>> Stream<Rebalanced<F>> {
    /// As [`flat_map`](Self::flat_map), of records that lie in the memory in which they came: their text and lists are read there, and only what is
    /// kept is copied. For that it stands right behind the `rebalance`.
    ///
    /// `Archived<T>` has the fields of a [`record`](macro@crate::record): numbers by `to_native()`, text as `&str`, and so on, as
    /// [rkyv](https://docs.rs/rkyv) has them. [`read`](crate::read) rebuilds the whole record.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// #[pelton::record]
    /// struct Page { number: u64, text: String }
    ///
    /// let rows = collect();
    /// Job::new("lines")
    ///     .source(from_iter(|| (0..3).map(|number| Page { number, text: "a line\n".repeat(number as usize) })))
    ///     .rebalance()
    ///     .flat_map_archived(|page: &Archived<Page>| {
    ///         let lines = page.text.lines().count();
    ///         (lines > 0).then(|| (page.number.to_native(), lines))
    ///     })
    ///     .sink(rows.clone())
    ///     .run()?;
    /// let mut rows = rows.take();
    /// rows.sort();
    /// assert_eq!(rows, [(1, 1), (2, 2)]);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    #[track_caller]
    pub fn flat_map_archived<I, M>(self, f: M) -> Stream<RebalancedArchived<F, M>>
    where
        I: IntoIterator<Item: 'static>,
        M: Fn(&Archived<F::Item>) -> I + Clone + Send + Sync + 'static,
    {
        self.then("flat_map", |inner| RebalancedArchived { inner, f })
    }
}

impl<K, V, F> Stream<F>
where
    K: Record + Clone + Ord,
    V: Record + Clone,
    F: Flow<Item = Windowed<K, V>> + Timed,
{
    /// Groups the rows of windows per window, over all keys: the second stage of jobs such as "the largest of the counts".
    pub fn window_all(self) -> AllWindows<F> {
        AllWindows { stream: self }
    }
}
