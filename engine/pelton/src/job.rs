//! Jobs: a graph under construction, and how it is set going.

use crate::JobError;
use crate::flow::SourceRoot;
use crate::running::{Progress, Running};
use crate::settings::{Delivering, Label};
use crate::stream::{Stream, StreamPlace};
use pelton_core::bounds::PARTITIONS_MAX;
use pelton_core::ingress::source::{FailureOfJob, Source};
use pelton_core::sink::Ending;
use pelton_core::stage::build::ShardBuilder;
use pelton_core::stage::context::WatermarkOrigin;
use pelton_core::stage::graph::{Edge, Generator, Graph};
use pelton_core::{EdgeId, StageId};
use pelton_runtime::config::Config;
use pelton_runtime::plan::{
    Explanation, LogicalPlan, NodeId, NodeNumbers, Partitioning, PlanInput, PlanNode, RowSchema, SOURCE_KIND,
};
use pelton_runtime::sim::Recording;
use pelton_runtime::{Blueprint, BuildShard};
use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

/// A job: streams from sources to sinks.
///
/// `Job` is a handle; clones are the same job. It may be run more than once, and its sources then begin anew.
///
/// ```
/// use pelton::prelude::*;
///
/// let total = fold(0u64, |sum, n| *sum += n, |left, right| left + right);
/// let job = Job::new("sum").source(from_iter(|| 1..=100u64)).filter(|n| n % 2 == 0).sink(total.clone());
/// job.run()?;
/// assert_eq!(total.take(), 2_550);
/// # Ok::<(), pelton::JobError>(())
/// ```
#[derive(Clone)]
pub struct Job {
    plan: Rc<RefCell<JobPlan>>,
}

/// Wakes the engine.
type Wake = Arc<dyn Fn() + Send + Sync>;

/// What a source of the job needs when the job starts.
pub(crate) struct PlannedSource {
    pub(crate) partitions: Box<dyn Fn(usize) -> usize>,
    /// Whether its records can be had again after the process is gone.
    pub(crate) is_replayable: bool,
    pub(crate) attach: Box<dyn Fn(Wake, FailureOfJob)>,
}

/// Tells a sink of the job what says how the run has ended, before it begins.
pub(crate) type AttachSink = Box<dyn Fn(Ending)>;

/// The graph under construction.
pub(crate) struct JobPlan {
    pub(crate) name: String,
    pub(crate) graph: Graph,
    pub(crate) sources: Vec<PlannedSource>,
    pub(crate) builders: Vec<BuildShard>,
    pub(crate) sinks: Vec<AttachSink>,
    /// The same for people, and for the comparison with what an earlier program left.
    pub(crate) logical: LogicalPlan,
    /// Operators that wait for a watermark, by stage, as they are called in reports.
    pub(crate) waits: Vec<(StageId, Label)>,
    /// A stream that is to be delivered exactly once by a sink that forgets.
    pub(crate) non_transactional: Option<String>,
    /// A stream that ends in a sink and is a union of streams that are to be delivered differently.
    pub(crate) disputed: Option<String>,
    /// A stream that is not grouped by what it was said to be, where that was said, and by what it is.
    pub(crate) not_grouped: Option<(String, &'static Location<'static>, String)>,
    /// A stream with state that expires in event time, which it has not.
    pub(crate) timeless: Option<String>,
    queues: usize,
    /// A stream that asks for the clock where there is none.
    pub(crate) processing_time: Option<String>,
    /// Streams that have not ended, by root.
    open: BTreeMap<usize, String>,
    roots: usize,
}

impl JobPlan {
    pub(crate) fn next_stage(&mut self) -> StageId {
        self.graph.stages += 1;
        StageId((self.graph.stages - 1) as u16)
    }

    /// An exchange from where `before` is.
    pub(crate) fn next_edge(&mut self, before: &StreamPlace, to: StageId, mesh: bool) -> EdgeId {
        let (from, origins) = (before.stage, before.origins.clone());
        self.graph.edges.push(Edge { from, to, mesh, origins });
        EdgeId((self.graph.edges.len() - 1) as u16)
    }

    /// What reads the stream that ends at `place`: stateless operators since the last node become one of their own.
    pub(crate) fn input(&mut self, place: &StreamPlace, partitioning: Partitioning) -> PlanInput {
        let input =
            |partitioning| PlanInput { node: place.node, port: place.port, partitioning, crossing: None };
        if place.fused.is_empty() {
            return input(partitioning);
        }
        let chain = PlanNode::chain(place.stage, place.fused.clone()).rows(place.rows.clone());
        PlanInput::of(self.logical.add(chain.input(input(Partitioning::Forward))), partitioning)
    }

    /// The stream at `place` begins with `node`, in the stage of that.
    pub(crate) fn begin(&mut self, place: &mut StreamPlace, node: PlanNode) {
        place.rows = node.rows.clone();
        place.node = self.logical.add(node);
        (place.port, place.root_node) = (0, place.node);
        place.fused.clear();
    }

    /// A watermark generator where `place` is.
    pub(crate) fn next_generator(&mut self, place: &StreamPlace, is_clock: bool) -> usize {
        let (stage, sources) = (place.stage, place.sources.clone());
        self.graph.generators.push(Generator { stage, sources, is_clock });
        self.graph.generators.len() - 1
    }

    pub(crate) fn next_queue(&mut self) -> usize {
        self.queues += 1;
        self.queues - 1
    }

    fn next_root(&mut self, name: &str) -> usize {
        self.roots += 1;
        self.open.insert(self.roots, name.to_owned());
        self.roots
    }

    /// The place of a stream that begins behind an exchange from `before`.
    pub(crate) fn behind(&mut self, stage: StageId, before: &StreamPlace, name: String) -> StreamPlace {
        // Without event time before the exchange there is none behind it either.
        let origins = if before.origins.is_empty() { Vec::new() } else { vec![WatermarkOrigin::Input] };
        let root = self.next_root(&name);
        StreamPlace {
            stage,
            root,
            origins,
            sources: Vec::new(),
            label: Label::new(&name),
            name,
            ..before.clone()
        }
    }

    /// The place of a stream that begins in a queue, in the stage of `before`.
    pub(crate) fn beside(&mut self, before: &StreamPlace, name: String) -> StreamPlace {
        StreamPlace { root: self.next_root(&name), label: Label::new(&name), name, ..before.clone() }
    }

    /// Notes how a stream ends.
    pub(crate) fn end(
        &mut self,
        place: &StreamPlace,
        build: impl Fn(&mut ShardBuilder) + Send + Sync + 'static,
    ) {
        self.open.remove(&place.root);
        self.builders.push(Arc::new(build));
    }

    /// The first thing that keeps the job from starting.
    pub(crate) fn check(&self) -> Result<(), JobError> {
        if let Some(stream) = self.open.values().next() {
            return Err(JobError::Unfinished { job: self.name.clone(), stream: stream.clone() });
        }
        if let Some(stream) = &self.disputed {
            return Err(JobError::Disputed { job: self.name.clone(), stream: stream.clone() });
        }
        if let Some(stream) = &self.processing_time {
            return Err(JobError::Clockless { job: self.name.clone(), stream: stream.clone() });
        }
        if let Some(stream) = &self.timeless {
            return Err(JobError::Timeless { job: self.name.clone(), stream: stream.clone() });
        }
        if let Some((stream, at, problem)) = &self.not_grouped {
            let (job, stream, problem) = (self.name.clone(), stream.clone(), format!("{problem}, at {at}"));
            return Err(JobError::NotGrouped { job, stream, problem });
        }
        if self.sources.is_empty() {
            return Err(JobError::Empty { job: self.name.clone() });
        }
        self.logical.check_uids().map_err(|error| JobError::Uid { job: self.name.clone(), error })?;
        Ok(())
    }

    /// What it takes to run it.
    pub(crate) fn blueprint(&self) -> Blueprint<'_> {
        Blueprint {
            name: self.name.clone(),
            plan: self.logical.clone(),
            graph: Box::new(|shards| self.graph(shards)),
            builders: self.builders.clone(),
        }
    }

    /// The graph for a number of shards.
    pub(crate) fn graph(&self, shards: usize) -> Graph {
        let count = |(number, source): (usize, &PlannedSource)| {
            let count = (source.partitions)(shards);
            assert!(
                count <= PARTITIONS_MAX,
                "source {number} has {count} partitions, and may have {PARTITIONS_MAX}"
            );
            count
        };
        let partitions = self.sources.iter().enumerate().map(count).collect();
        Graph { partitions, ..self.graph.clone() }
    }
}

impl Job {
    /// A job without streams. The name appears in reports.
    pub fn new(name: &str) -> Self {
        let plan = JobPlan {
            name: name.to_owned(),
            graph: Graph { stages: 1, ..Graph::default() },
            sources: Vec::new(),
            builders: Vec::new(),
            sinks: Vec::new(),
            logical: LogicalPlan::new(name),
            waits: Vec::new(),
            non_transactional: None,
            disputed: None,
            not_grouped: None,
            timeless: None,
            queues: 0,
            processing_time: None,
            open: BTreeMap::new(),
            roots: 0,
        };
        Job { plan: Rc::new(RefCell::new(plan)) }
    }

    pub(crate) fn plan(&self) -> RefMut<'_, JobPlan> {
        self.plan.borrow_mut()
    }

    pub(crate) fn is(&self, other: &Job) -> bool {
        Rc::ptr_eq(&self.plan, &other.plan)
    }

    /// A stream of what `source` yields.
    #[track_caller]
    pub fn source<S: Source>(&self, source: S) -> Stream<SourceRoot<S>> {
        let mut plan = self.plan();
        let number = plan.sources.len();
        let (counted, attached) = (source.clone(), source.clone());
        plan.sources.push(PlannedSource {
            partitions: Box::new(move |shards| counted.partitions(shards)),
            is_replayable: source.is_replayable(),
            attach: Box::new(move |wake, failure| {
                attached.attach(wake);
                attached.attach_failure(failure);
            }),
        });
        let name = format!("source {number}");
        let root = plan.next_root(&name);
        let mut place = StreamPlace {
            stage: StageId(0),
            root,
            origins: Vec::new(),
            sources: vec![number],
            label: Label::new(&name),
            name,
            delivery: Delivering::Unsaid,
            node: NodeId(0),
            root_node: NodeId(0),
            port: 0,
            fused: Vec::new(),
            rows: RowSchema::None,
        };
        let mut node = PlanNode::new("source", StageId(0))
            .numbers(NodeNumbers { source: Some(number), ..NodeNumbers::default() })
            .state("positions", RowSchema::None, RowSchema::Type("how far each partition is".to_owned()));
        node = match source.schema() {
            Some(schema) => node
                .rows(RowSchema::Schema(schema))
                .state("log", RowSchema::None, RowSchema::Schema(schema))
                .bounded_by("the records that wait in it, on which its capacity is the limit"),
            None => node.rows(RowSchema::named::<S::Item>()),
        };
        node = node.parameter(SOURCE_KIND, source.kind());
        if !source.is_replayable() {
            node = node.beyond_records(
                "what it yields is gone with the process, so a job with it cannot be durable",
            );
        }
        plan.begin(&mut place, node);
        drop(plan);
        let label = place.label.clone();
        Stream { job: self.clone(), flow: SourceRoot { source, number, label }, place }
    }

    /// The job's plan, told: its stages, operators with their uids, what crosses exchanges, what is kept and what bounds it. Nothing is run, and
    /// the job need not be complete.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let job = Job::new("counts")
    ///     .source(from_iter(|| 0..1_000u64))
    ///     .uid("numbers")
    ///     .event_time(|n| EventTime::from_millis(*n as i64), in_order())
    ///     .key_by(|n| n % 10)
    ///     .window(tumbling(secs(1)))
    ///     .count()
    ///     .uid("per-digit")
    ///     .sink(collect());
    /// let explained = job.explain().to_string();
    /// assert!(explained.contains("per-digit: window"));
    /// assert!(explained.contains("parameters: aggregate count, size 1s, slide 1s"));
    /// // Or as a drawing: `dot -Tsvg`.
    /// assert!(job.explain().graphviz().contains("by key u64"));
    /// ```
    pub fn explain(&self) -> Explanation {
        self.plan().logical.explain()
    }

    /// Runs the job until its sources have ended and every window has closed, configured by the defaults, `./pelton.toml` if there is
    /// one, and the `PELTON_...` variables of the environment: [`Config::load`].
    ///
    /// # Errors
    /// See [`JobError`]: the job is not complete, is configured wrongly, cannot be started, or failed on its way.
    pub fn run(&self) -> Result<Progress, JobError> {
        self.start()?.wait()
    }

    /// As [`run`](Self::run), configured by `config` alone.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let rows = collect();
    /// let job = Job::new("copy").source(from_iter(|| 0..3)).sink(rows.clone());
    /// let progress = job.run_with(&Config { shards: 3, ..Config::load()? })?;
    /// assert_eq!(progress.shards.len(), 3);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_with(&self, config: &Config) -> Result<Progress, JobError> {
        self.start_with(config)?.wait()
    }

    /// Sets the job going, configured as by [`run`](Self::run), and returns at once. Variables named `PELTON_` that are no key's are passed
    /// over, and told by [`Running::notes`].
    ///
    /// # Errors
    /// When the job is not complete, is configured wrongly, or cannot be started.
    pub fn start(&self) -> Result<Running, JobError> {
        let loaded = Config::load_with(None, &[])?;
        let mut running = self.start_with(&loaded.config)?;
        running.note(loaded.notes.iter().map(ToString::to_string));
        Ok(running)
    }

    /// As [`start`](Self::start), configured by `config` alone.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_with(&self, config: &Config) -> Result<Running, JobError> {
        Running::start(&self.plan(), config, false)
    }

    /// Runs the job to its end, keeping its ingress logs: which partition gave how many records in which tick. Feed them to
    /// [`replay`](crate::sim::replay). Costs memory for each tick and a digest of the whole state after each; for tests.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn record_with(&self, config: &Config) -> Result<Recording, JobError> {
        Running::start(&self.plan(), config, true)?.into_recording()
    }
}
