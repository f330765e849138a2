//! Streams: the typed graph that a job is written in.

use crate::flow::{
    Filtered, FlatMapped, Flow, Forked, Generator, Ingested, Inspected, Joined, Mapped, Rebalanced, Stamped,
};
use crate::job::{Job, type_name_alone};
use crate::keyed::{AllWindows, Keyed};
use crate::settings::{Delivering, Label};
use crate::watermarks::WatermarkStrategy;
use pelton_core::exchange::partition::{ByTurn, Timed as TimedRecord};
use pelton_core::operator::fork::{ToBoth, ToQueue};
use pelton_core::operator::{Side, WatermarkKind};
use pelton_core::sink::{Delivery, Sink, ToSink};
use pelton_core::stage::context::WatermarkOrigin;
use pelton_core::{EventTime, Key, Record, StageId, Windowed};
use std::marker::PhantomData;

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
}

impl<F: Flow> Stream<F> {
    fn then<G>(self, operator: &str, flow: impl FnOnce(F) -> G) -> Stream<G> {
        let Stream { job, flow: inner, mut place } = self;
        place.name = format!("{} > {operator}", place.name);
        Stream { job, flow: flow(inner), place }
    }

    /// Calls the stretch so far, back to the source, exchange, window or fork that it begins with, `name` in reports of errors and
    /// panics. What is done to the stream from here on is called after it: `name > map > window`.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.place.name);
        self.place.label.set(name);
        self
    }

    /// One record in, one out.
    pub fn map<U: 'static, M: Fn(F::Item) -> U + Clone + Send + Sync + 'static>(
        self,
        f: M,
    ) -> Stream<Mapped<F, M>> {
        self.then("map", |inner| Mapped { inner, f })
    }

    /// Keeps the records for which `f` is true.
    pub fn filter<P: Fn(&F::Item) -> bool + Clone + Send + Sync + 'static>(
        self,
        f: P,
    ) -> Stream<Filtered<F, P>> {
        self.then("filter", |inner| Filtered { inner, f })
    }

    /// One record in, everything that `f` yields for it out, at the record's own event time.
    pub fn flat_map<I, M>(self, f: M) -> Stream<FlatMapped<F, M>>
    where
        I: IntoIterator<Item: 'static>,
        M: Fn(F::Item) -> I + Clone + Send + Sync + 'static,
    {
        self.then("flat_map", |inner| FlatMapped { inner, f })
    }

    /// Shows each record and its event time to `f`, on the core that handles it. Not for results: `f` runs again in a replay.
    pub fn inspect<P: Fn(EventTime, &F::Item) + Clone + Send + Sync + 'static>(
        self,
        f: P,
    ) -> Stream<Inspected<F, P>> {
        self.then("inspect", |inner| Inspected { inner, f })
    }

    /// Gives each record its event time, and the stream its watermark.
    pub fn event_time<T: Fn(&F::Item) -> EventTime + Clone + Send + Sync + 'static>(
        mut self,
        f: T,
        watermarks: WatermarkStrategy,
    ) -> Stream<Stamped<F, T>> {
        let generator = self.generator(watermarks.0);
        self.then("event_time", |inner| Stamped { inner, f, generator, early: None })
    }

    /// As [`event_time`](Self::event_time), with the [early](WatermarkStrategy#early-records) records as a second stream. They come with their
    /// times, which are far ahead of the watermark.
    pub fn event_time_with_early<T: Fn(&F::Item) -> EventTime + Clone + Send + Sync + 'static>(
        mut self,
        f: T,
        watermarks: WatermarkStrategy,
    ) -> (TimedBranch<F, T>, TimedBranch<F, T>) {
        let generator = self.generator(watermarks.0);
        let mut stamped = self.then("event_time", |inner| Stamped { inner, f, generator, early: None });
        let (main, early) = (stamped.branch("main"), stamped.branch("early"));
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
    pub fn ingestion_time(mut self) -> Stream<Ingested<F>> {
        let generator = self.generator(WatermarkKind::Clock);
        self.then("ingestion_time", |inner| Ingested { inner, generator })
    }

    fn generator(&mut self, timing: WatermarkKind) -> Generator {
        if self.place.stage != StageId(0) && timing.belongs_to_sources() {
            self.job.plan().processing_time.get_or_insert_with(|| self.place.name.clone());
        }
        let index = self.job.plan().next_generator(&self.place, timing == WatermarkKind::Clock);
        self.place.origins = vec![WatermarkOrigin::Generator(index)];
        Generator { index, stage: self.place.stage, timing, sources: self.place.sources.clone() }
    }

    /// Groups the stream: records of equal keys meet on one shard.
    pub fn key_by<K: Key, P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static>(self, key: P) -> Keyed<F, P> {
        Keyed { stream: self, key }
    }

    /// Spreads the records evenly over the shards, one for each in turn.
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
    pub fn rebalance_chunks(self, chunk: usize) -> Stream<Rebalanced<F>>
    where
        F::Item: Record,
    {
        assert!(chunk > 0, "a chunk of no records");
        let to = self.job.plan().next_stage();
        let edge = self.job.plan().next_edge(&self.place, to, true);
        let job = self.job.clone();
        let name = format!("{} > rebalance", self.place.name);
        let place = job.plan().behind(to, &self.place, name);
        let flow = Rebalanced { edge, label: place.label.clone(), marker: PhantomData };
        self.send_in_turn(edge, chunk);
        Stream { job, flow, place }
    }

    /// Ends this stream in the sending end of an exchange that does not group.
    fn send_in_turn(self, edge: pelton_core::EdgeId, chunk: usize)
    where
        F::Item: Record,
    {
        let Stream { job, flow, place } = self;
        job.plan().end(&place, move |shard| {
            let channels = shard.channels::<TimedRecord<F::Item>>(edge);
            flow.instantiate(shard, ByTurn::new(chunk, channels));
        });
    }

    /// Two streams with the same records.
    pub fn fork(self) -> (Branch<F>, Branch<F>)
    where
        F::Item: Clone,
    {
        let (left, right) = (self.branch("left"), self.branch("right"));
        let Stream { job, flow, place } = self;
        let (l, r) = (left.flow.queue, right.flow.queue);
        job.plan().end(&place, move |shard| {
            let end = ToBoth::new(shard.queue(l), shard.queue(r));
            flow.instantiate(shard, end);
        });
        (left, right)
    }

    /// Splits the stream in two: the records for which `f` is true go to the second one, the side output.
    pub fn side_output<P: Fn(&F::Item) -> bool + Clone + Send + Sync + 'static>(
        self,
        f: P,
    ) -> (Branch<F>, Branch<F>) {
        let (main, side) = (self.branch("main"), self.branch("side output"));
        let Stream { job, flow, place } = self;
        let (m, s) = (main.flow.queue, side.flow.queue);
        job.plan().end(&place, move |shard| {
            let (main, side) = (ToQueue::new(shard.queue(m)), ToQueue::new(shard.queue(s)));
            flow.instantiate(shard, Side::new(f.clone(), main, side));
        });
        (main, side)
    }

    /// A new stream that begins in a queue where this one is.
    fn branch(&self, name: &str) -> Stream<Forked<F, F::Item>> {
        let name = format!("{} > {name}", self.place.name);
        let place = self.job.plan().beside(&self.place, name);
        let queue = self.job.plan().next_queue();
        let flow = Forked { stage: self.place.stage, queue, label: place.label.clone(), marker: PhantomData };
        Stream { job: self.job.clone(), flow, place }
    }

    /// The records of both streams. They must be of the same job.
    ///
    /// # Panics
    /// When they are not.
    pub fn union<G: Flow<Item = F::Item>>(self, other: Stream<G>) -> Stream<Joined<F, G>>
    where
        F::Item: Record,
    {
        assert!(self.job.is(&other.job), "a union of streams of two jobs");
        let job = self.job.clone();
        let name = format!("({} + {})", self.place.name, other.place.name);
        let queue = job.plan().next_queue();
        let (stage, edges, mut place);
        let delivery = self.place.delivery.and(other.place.delivery);
        if self.place.stage == other.place.stage {
            (stage, edges) = (self.place.stage, None);
            let mut both = self.place.clone();
            both.origins.extend(&other.place.origins);
            both.sources.extend(&other.place.sources);
            place = job.plan().beside(&both, name);
            self.into_queue(queue);
            other.into_queue(queue);
        } else {
            // Streams of two stages are at different ticks: they meet where ticks are merged.
            stage = job.plan().next_stage();
            let left = job.plan().next_edge(&self.place, stage, false);
            let right = job.plan().next_edge(&other.place, stage, false);
            place = job.plan().behind(stage, &self.place, name);
            self.send_in_turn(left, 1);
            other.send_in_turn(right, 1);
            edges = Some([left, right]);
        }
        place.delivery = delivery;
        let label = place.label.clone();
        Stream { job, flow: Joined { stage, queue, edges, label, marker: PhantomData }, place }
    }

    fn into_queue(self, queue: usize) {
        let Stream { job, flow, place } = self;
        job.plan().end(&place, move |shard| {
            let end = ToQueue::new(shard.queue(queue));
            flow.instantiate(shard, end);
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
    pub fn sink<S: Sink<F::Item>>(self, sink: S) -> Job {
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
        plan.describe(match sink.schema() {
            Some(schema) => format!("sink of `{}`: notes rows of {schema}", place.name),
            None => format!("sink of `{}`: rows of {}", place.name, type_name_alone::<F::Item>()),
        });
        let (name, attached) = (format!("sink of `{}`", place.name), sink.clone());
        plan.sinks.push(Box::new(move |ending| attached.attach(ending)));
        plan.end(&place, move |shard| {
            let end =
                ToSink::new(sink.open(shard.shard()), delivery, name.clone(), shard.context(place.stage));
            flow.instantiate(shard, end);
        });
        drop(plan);
        job
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
