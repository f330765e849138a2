//! From a job's graph to its shards: what is built where.
//!
//! 1. [`Graph`](crate::stage::graph::Graph) describes stages, exchanges and sources, with numbers only.
//! 2. [`wire`](crate::stage::wiring::wire) makes the rings and clock lines and divides them among the shards, before any thread begins.
//! 3. On each shard's own thread a [`ShardBuilder`] takes that shard's ends and is filled by the typed flows of the job.

mod operators;
mod sources;

pub use self::operators::OperatorContext;

use self::operators::Built;
use crate::checkpoint::snapshot::Section;
use crate::exchange::frame::RowFormat;
use crate::exchange::partition::ExchangeWriter;
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::{EdgeId, EventTime, ShardId, StageId};
use crate::ingress::input_log::{InputLog, Replay};
use crate::ingress::known::Known;
use crate::ingress::source::Reader;
use crate::ingress::{Barrier, Clocked, Feed, Ingress, IngressEntry, IngressLog, TickBudget, Writing};
use crate::operator::Port;
use crate::operator::fork::{ForkBuffer, FromQueue, Queue, QueuedRecords, SideOutput};
use crate::operator::push::Push;
use crate::record::{Record, is_fixed};
use crate::sink::HeldRows;
use crate::stage::context::{RunInfo, StageContext};
use crate::stage::graph::Edge;
use crate::stage::segments::Segments;
use crate::stage::shard::{RestoreFrom, RestoredShard, Shard};
use crate::stage::wiring::Wiring;
use crate::stage::{Input, Stage};
use crate::state::memory::Memory;
use crate::state::slab::Slabs;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::AtomicU64;

#[derive(Default)]
struct StageParts {
    operators: Vec<Built>,
    forks: Vec<(Box<dyn ForkBuffer>, String)>,
}

/// Builds one shard, on its own thread.
pub struct ShardBuilder {
    wiring: Wiring,
    memory: Arc<dyn Memory>,
    contexts: Vec<Rc<StageContext>>,
    readers: Vec<(Box<dyn Reader>, String)>,
    stages: Vec<StageParts>,
    queues: BTreeMap<usize, Rc<dyn Any>>,
    /// What is written into each exchange.
    formats: BTreeMap<EdgeId, RowFormat>,
    /// Bytes of the largest fixed record that stage 0 sends.
    record_bytes: usize,
    feed: Feed,
    writing: Option<Writing>,
    barrier: Barrier,
    hash_ticks: u64,
    /// What the state of the shard's operators is cut from.
    slabs: Slabs,
    run: RunInfo,
    loads: Option<Arc<[AtomicU64]>>,
}

/// What makes a shard durable.
pub struct Durable {
    /// The job's log.
    pub log: u128,
    /// The generation of the log: it changes with the number of shards, and when a job goes back to a savepoint.
    pub generation: u32,
    /// Whether it begins with this start.
    pub begins: bool,
    /// Whether what other histories have shown behind the checkpoint is given up: a start that goes back to a savepoint.
    pub gives_up: bool,
    /// Where the shard writes its input down; nowhere in an inspection.
    pub input_log: Option<Box<dyn InputLog>>,
    /// What it wrote down since the checkpoint that it begins from.
    pub replay: Box<dyn Replay>,
    /// The tick of the checkpoint that was announced last, shared by all shards: stored before the first of them is told to
    /// [begin](Shard::checkpoint).
    pub barrier: Arc<AtomicU64>,
    /// Counts what each key group is sent, where anybody asks.
    pub loads: Option<Arc<[AtomicU64]>>,
    /// Whether the run only recovers what other shards left, for another that follows it at once.
    pub is_rescale: bool,
}

impl ShardBuilder {
    /// Begins with nothing built.
    pub fn new(wiring: Wiring, memory: Arc<dyn Memory>) -> Self {
        let stages = wiring.graph.stages;
        let run = RunInfo { shards: wiring.sizes.shards, ..RunInfo::default() };
        let known = Rc::new(Known::new(wiring.graph.clone(), usize::from(wiring.sizes.shards)));
        let context =
            |_| Rc::new(StageContext::new(wiring.shard, wiring.stats.clone(), run, Some(known.clone())));
        let contexts: Vec<_> = (0..stages).map(context).collect();
        let stages = (0..stages).map(|_| StageParts::default()).collect();
        let slabs = Slabs::new(memory.clone());
        ShardBuilder {
            wiring,
            memory,
            contexts,
            readers: Vec::new(),
            stages,
            queues: BTreeMap::new(),
            formats: BTreeMap::new(),
            record_bytes: 1,
            feed: Feed::Live,
            writing: None,
            barrier: Barrier::default(),
            hash_ticks: 0,
            slabs,
            run,
            loads: None,
        }
    }

    fn set_run(&mut self, change: impl FnOnce(RunInfo) -> RunInfo) {
        self.run = change(self.run);
        for context in &mut self.contexts {
            let Some(context) = Rc::get_mut(context) else {
                panic!("what a run is like is said before anything of it is built")
            };
            context.set_run(self.run);
        }
    }

    /// Has the shard note what every tick took.
    pub fn record(&mut self) {
        self.feed = Feed::Recorded(Vec::new());
    }

    /// Has the shard take what `log` says, tick by tick, instead of whatever is there.
    pub fn replay(&mut self, log: Vec<IngressEntry>) {
        self.feed = Feed::Replayed { log: Box::new(VecDeque::from(log)), next: None };
    }

    /// Makes the shard durable: before anything is built.
    pub fn make_durable(&mut self, durable: Durable) {
        self.set_run(|run| {
            let Durable { log, generation, begins, gives_up, is_rescale, .. } = durable;
            RunInfo { durable: true, log, generation, begins, gives_up, is_rescale, ..run }
        });
        self.loads = durable.loads;
        self.feed = Feed::Replayed { log: durable.replay, next: None };
        self.writing = durable.input_log.map(Writing::new);
        self.barrier = Barrier::new(durable.barrier);
    }

    /// Has the shard take in again what `replay` says, to be looked at: nothing reaches its sinks. As for [`make_durable`](Self::make_durable).
    pub fn inspect(&mut self, replay: Box<dyn Replay>) {
        self.make_durable(Durable {
            log: 0,
            generation: 0,
            begins: false,
            gives_up: false,
            input_log: None,
            replay,
            barrier: Arc::default(),
            loads: None,
            is_rescale: false,
        });
        self.set_run(|run| RunInfo { dry_run: true, ..run });
    }

    /// Puts what `wrap` returns between the shard and what it takes in again, if it takes in anything again.
    pub fn wrap_replay(&mut self, wrap: impl FnOnce(Box<dyn Replay>) -> Box<dyn Replay>) {
        if let Feed::Replayed { log, .. } = &mut self.feed {
            let inner = core::mem::replace(log, Box::new(VecDeque::new()));
            *log = wrap(inner);
        }
    }

    /// Has the shard hash its state after every tick that `ticks` divides, for [`Shard::hashes`]. A hash goes over the whole state.
    pub fn hash_ticks(&mut self, ticks: u64) {
        self.hash_ticks = ticks;
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.wiring.shard
    }

    /// Where keys live.
    pub fn router(&self) -> Arc<Router> {
        self.wiring.router.clone()
    }

    /// What the segments of `stage` share.
    pub fn context(&self, stage: StageId) -> Rc<StageContext> {
        self.contexts[usize::from(stage.0)].clone()
    }

    /// The sending ends of `edge`, for records of type `R`.
    ///
    /// # Panics
    /// When they were taken before.
    pub fn channels<R: Record>(&mut self, edge: EdgeId) -> ExchangeWriter {
        let rings = self.wiring.outputs.remove(&edge).unwrap_or_else(|| panic!("{edge:?} has one sender"));
        self.formats.insert(edge, RowFormat::of::<R>());
        let Edge { from, to, ref origins, .. } = self.wiring.graph.edges[usize::from(edge.0)];
        let is_timed = self.wiring.graph.timed()[usize::from(to.0)];
        if from == StageId(0) {
            self.record_bytes =
                self.record_bytes.max(if is_fixed::<R>() { size_of::<R::Archived>() } else { 64 });
        }
        ExchangeWriter::new::<R>(
            edge,
            rings,
            &self.memory,
            self.context(from),
            (origins.clone(), is_timed),
            self.loads.clone(),
        )
    }

    /// Where rows are counted that wait for a sink of this shard.
    pub fn held(&self) -> HeldRows {
        HeldRows::new(self.memory.clone(), self.slabs.heap().clone())
    }

    /// The queue `number` of the job, on this shard.
    ///
    /// # Panics
    /// When it was asked for with another type before.
    pub fn queue<T: 'static>(&mut self, number: usize) -> Queue<T> {
        let queue = || Rc::new(QueuedRecords::<T>::queue(self.memory.clone()));
        let queue = self.queues.entry(number).or_insert_with(|| queue());
        queue.downcast_ref::<Queue<T>>().unwrap_or_else(|| panic!("queue {number} has one type")).clone()
    }

    /// What an operator puts aside: into the queue `number` of the job, on this shard, if there is one.
    pub fn side_output<T: 'static>(&mut self, number: Option<usize>) -> SideOutput<T> {
        SideOutput::new(number.map(|number| self.queue(number)))
    }

    /// Adds the reader of queue `number`, feeding `next`.
    pub fn add_queue<T: 'static>(&mut self, stage: StageId, number: usize, name: String, next: impl Push<T>) {
        let fork = FromQueue::new(self.queue(number), self.memory.clone(), next);
        self.stages[usize::from(stage.0)].forks.push((Box::new(fork), name));
    }

    /// The shard, of a job that keeps nothing: it begins anew.
    ///
    /// # Panics
    /// When it was made durable, or an exchange has no reader, or one that takes its rows for others.
    pub fn finish(self) -> Shard {
        assert!(!self.run.durable, "a shard with a log is restored before it begins");
        self.assemble()
    }

    /// The shard, which was made [durable](Self::make_durable), or is [inspected](Self::inspect), where an earlier run was.
    ///
    /// # Errors
    /// When the checkpoint is of another job, does not fit into memory, or cannot be read; or when a sink has lost what it kept.
    ///
    /// # Panics
    /// When it has no log, or an exchange has no reader, or one that takes its rows for others.
    pub fn restore(self, from: RestoreFrom<'_>) -> Result<RestoredShard, Fault> {
        assert!(self.run.durable, "a shard without a log has nothing to be restored from");
        RestoredShard::new(self.assemble(), from)
    }

    fn assemble(mut self) -> Shard {
        let clocks = &self.wiring.clocks;
        // What is durable need not be compared: a digest of the state after every tick is for recordings and their replays.
        let trace = !self.run.durable && !matches!(self.feed, Feed::Live);
        let mut built = self.stages.into_iter();
        let mut stages = Vec::new();
        let first = built.next().unwrap_or_default();
        for (number, mut built) in built.enumerate().map(|(n, p)| (n + 1, p)) {
            // Those within chains come last, and as they stand in the program: whatever they read was let out before.
            built.operators.sort_by_key(|built| (built.chained, built.ports.first().map(|port| port.edge)));
            let context = self.contexts[number].clone();
            let graph = &self.wiring.graph;
            let section = |(operator, built): (usize, &Built)| match built.chained {
                Some(chained) => Section::operator(graph.ids.chained(chained), 0),
                None => Section::operator(graph.ids.stage(number) as usize, operator),
            };
            let sections = built.operators.iter().enumerate().map(section).collect();
            let mut inputs = Vec::new();
            for (operator, Built { ports, name, .. }) in built.operators.iter().enumerate() {
                for (port, &Port { edge, rows: format }) in ports.iter().enumerate() {
                    let sent = self.formats.get(&edge).unwrap_or_else(|| panic!("{edge:?} has a sender"));
                    let (sent_name, name_here) = (sent.name(), format.name());
                    assert!(
                        *sent == format,
                        "port {port} of `{name}` reads {name_here} from {edge:?}, which carries {sent_name}"
                    );
                    let from = self.wiring.graph.edges[usize::from(edge.0)].from;
                    let rings =
                        self.wiring.inputs.remove(&edge).unwrap_or_else(|| panic!("{edge:?} has one reader"));
                    inputs.extend(rings.into_iter().map(|(source, ring)| Input {
                        ring,
                        clocks: clocks[usize::from(from.0)].clone(),
                        edge,
                        source,
                        format,
                        operator,
                        port,
                        watermark: context.known(edge, source),
                    }));
                }
            }
            let order = |input: &Input| (input.edge, input.source);
            assert!(inputs.is_sorted_by_key(order), "inputs merge in the order of their exchanges");
            let operators =
                built.operators.into_iter().map(|built| (built.store, (built.operator, built.name)));
            let (stores, operators): (Vec<_>, Vec<_>) = operators.unzip();
            let segments = Segments::new(operators, built.forks);
            let clocks = clocks[number].clone();
            let stores = (sections, stores);
            let stage = Stage::new(context, inputs, segments, stores, clocks, trace, self.hash_ticks);
            let deadlines = self.wiring.deadlines.get(&number).cloned().unwrap_or_default();
            stages.push(stage.behind(self.barrier.clone()).waited_for(number, deadlines));
        }
        assert!(self.wiring.inputs.is_empty(), "an exchange has no reader");
        let context = self.contexts[0].clone();
        let sizes = &self.wiring.sizes;
        let records_max = sizes.tick.records_max.min(sizes.tick_bytes_max / self.record_bytes).max(1);
        let budget = TickBudget { records_max, ..sizes.tick };
        let clocks = clocks[0].clone();
        let log = IngressLog { feed: self.feed, writing: self.writing, barrier: self.barrier };
        let generators = self.wiring.graph.generators.iter().enumerate();
        let clocked = Clocked {
            generators: generators
                .filter(|(_, g)| g.is_clock)
                .map(|(index, _)| context.generator(index))
                .collect(),
            deadlines: self.wiring.deadlines.values().filter_map(|of| of.watermark.clone()).collect(),
            looked: EventTime::MIN,
            timers: self.wiring.deadlines.into_values().filter_map(|of| of.time).collect(),
        };
        let ingress = Ingress::new(
            context.clone(),
            Segments::new(self.readers, first.forks),
            clocks,
            budget,
            log,
            clocked,
        );
        let ids = self.wiring.graph.stage_ids();
        Shard::new(self.wiring.router, ingress, context, stages, ids, self.slabs)
    }
}
