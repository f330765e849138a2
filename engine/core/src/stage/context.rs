//! What the segments of one stage on one shard share while they run: where the stage is, and what went wrong.

use crate::checkpoint::notes::{Earlier, Notes};
use crate::exchange::frame::TickTime;
use crate::fault::Fault;
use crate::ids::{EdgeId, EventTime, Nanos, ShardId, Tick};
use crate::ingress::known::{Known, WatermarkOf};
use crate::stage::graph::Ids;
use crate::stats::ShardStats;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// The watermark of a sender that nobody need wait for at present. Unlike all others it is not a bound, and may be followed by
/// a lower one.
pub const IDLE: EventTime = EventTime(i64::MAX - 1);

/// Where an exchange, seen from the stage that sends, takes its watermark from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatermarkOrigin {
    /// A generator (`event_time`) in the same stage, by its number.
    Generator(usize),
    /// The stage's own input.
    Input,
}

/// What is known of a run before anything of it is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunInfo {
    /// Shards of the job.
    pub shards: u16,
    /// Whether the job has durability: its input is written down, and rows wait for that.
    pub durable: bool,
    /// Whether the run is only to be looked at: nothing is handed to sinks.
    pub dry_run: bool,
    /// Whether the run only recovers what other shards left, for another that follows.
    pub is_rescale: bool,
    /// The job's log, if it has one.
    pub log: u128,
    /// The generation of the log.
    pub generation: u32,
    /// Whether it begins with this start.
    pub begins: bool,
}

/// The shared state of a stage. It never leaves its shard's thread.
pub struct StageContext {
    /// The shard.
    pub shard: ShardId,
    /// Counters of the shard.
    pub stats: Arc<ShardStats>,
    /// The tick in progress.
    pub tick: Cell<Tick>,
    /// The driver's clock when this step began.
    pub now: Cell<Nanos>,
    /// The processing time of the tick: what the wall clock showed as it was made, as time since 1970. Never falls. Behind an exchange the
    /// latest that any shard has said.
    pub wall: Cell<EventTime>,
    /// What frames say of that: as of the first frame of the tick in progress. It stays the same for all frames of a tick, whose borders depend on
    /// the room in the ring.
    pub frame_time: Cell<EventTime>,
    /// The source partition, counted within this shard, that is being read: from before its records come.
    pub partition: Cell<usize>,
    /// Whether everything that will ever enter this stage has entered.
    pub ended: Cell<bool>,
    /// The least watermark of the stage's inputs as of `tick`: it may fall, or be [`IDLE`].
    pub input: Cell<EventTime>,
    /// The watermark as of the last tick that completed, which never falls; in stage 0 there is none.
    pub watermark: Cell<EventTime>,
    /// Everything through this tick was taken in by an earlier run, and is replayed.
    pub replayed: Cell<Tick>,
    /// Rows wait for ticks through this one to be durable.
    pub flush_requested: Cell<Tick>,
    run: Cell<RunInfo>,
    /// What the sinks of the stage are called, and the one that failed or panicked, by its number.
    sinks: RefCell<Vec<String>>,
    blamed: Cell<Option<usize>>,
    /// The operator within a chain that runs while the one in front of it does, or that failed or panicked there.
    within: RefCell<Option<Rc<str>>>,
    /// The stage's generators by their number in the job.
    generators: RefCell<BTreeMap<usize, Rc<Cell<EventTime>>>>,
    /// What is known of watermarks before anybody says them.
    known: RefCell<Option<Rc<Known>>>,
    fault: RefCell<Option<Fault>>,
}

impl StageContext {
    /// The context of a stage that has not begun.
    pub fn new(shard: ShardId, stats: Arc<ShardStats>) -> Rc<Self> {
        Rc::new(StageContext {
            shard,
            stats,
            tick: Cell::new(Tick(0)),
            now: Cell::new(Nanos(0)),
            wall: Cell::new(EventTime::MIN),
            frame_time: Cell::new(EventTime::MIN),
            partition: Cell::new(0),
            ended: Cell::new(false),
            input: Cell::new(EventTime::MIN),
            watermark: Cell::new(EventTime::MIN),
            replayed: Cell::new(Tick(0)),
            flush_requested: Cell::new(Tick(0)),
            run: Cell::new(RunInfo { shards: 1, ..RunInfo::default() }),
            sinks: RefCell::default(),
            blamed: Cell::new(None),
            within: RefCell::default(),
            generators: RefCell::default(),
            known: RefCell::default(),
            fault: RefCell::default(),
        })
    }

    /// What frames of the tick in progress say of it.
    #[inline(always)]
    pub(crate) fn tick_time(&self) -> TickTime {
        TickTime { tick: self.tick.get(), time: self.frame_time.get() }
    }

    /// The tick in progress begins, at `time`.
    pub(crate) fn begin_time(&self, time: EventTime) {
        self.wall.set(time);
        self.frame_time.set(time);
    }

    /// What is known of the run.
    pub fn run(&self) -> RunInfo {
        self.run.get()
    }

    /// Says what is known of the run, before anything is built that asks.
    pub(crate) fn set_run(&self, run: RunInfo) {
        self.run.set(run);
    }

    pub(crate) fn set_known(&self, known: Rc<Known>) {
        self.known.replace(Some(known));
    }

    /// The watermark that the receivers of `edge` know of shard `from` by themselves.
    pub(crate) fn known(&self, edge: EdgeId, from: ShardId) -> EventTime {
        self.known.borrow().as_ref().map_or(EventTime::MIN, |known| known.of(edge, from))
    }

    /// Generator `index` goes on from a checkpoint: see [`Known::restore`].
    pub(crate) fn restore_known(&self, index: usize, watermark: &WatermarkOf<'_>) {
        if let Some(known) = self.known.borrow().as_ref() {
            known.restore(index, watermark);
        }
    }

    /// The cell that generator number `index` of the job publishes its watermark in.
    pub fn generator(&self, index: usize) -> Rc<Cell<EventTime>> {
        let mut generators = self.generators.borrow_mut();
        generators.entry(index).or_insert_with(|| Rc::new(Cell::new(EventTime::MIN))).clone()
    }

    /// The least of several origins. After the end of the input every watermark is at its maximum; a stream without event time
    /// has no origins and stays at the minimum until then.
    pub fn watermark(&self, origins: &[WatermarkOrigin]) -> EventTime {
        if self.ended.get() {
            return EventTime::MAX;
        }
        let generators = self.generators.borrow();
        let of = |origin: &WatermarkOrigin| match *origin {
            WatermarkOrigin::Generator(index) => {
                generators.get(&index).map_or(EventTime::MIN, |cell| cell.get())
            }
            WatermarkOrigin::Input => self.input.get(),
        };
        origins.iter().map(of).min().unwrap_or(EventTime::MIN)
    }

    /// Whether any generator has moved since `marked` was last brought up to date here.
    pub fn moved(&self, marked: &mut Vec<EventTime>) -> bool {
        let generators = self.generators.borrow();
        marked.resize(generators.len(), EventTime::MIN);
        let moves = |(old, new): (&mut EventTime, &Rc<Cell<EventTime>>)| {
            core::mem::replace(old, new.get()) != new.get()
        };
        marked.iter_mut().zip(generators.values()).fold(false, |moved, pair| moves(pair) | moved)
    }

    /// Notes where the stage is between two ticks.
    pub fn note(&self, notes: &mut Notes) {
        let generators = self.generators.borrow();
        notes.number(generators.len() as u64);
        for (number, watermark) in generators.iter() {
            notes.number(*number as u64);
            notes.time(watermark.get());
        }
        notes.time(self.input.get());
        notes.time(self.wall.get());
    }

    /// Takes back what was noted. With another number of shards the generators begin from what their partitions say.
    ///
    /// # Errors
    /// When the notes are of another job.
    pub fn recall(&self, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        let noted = earlier.each(|noted| {
            let generators = (0..noted.number()?).map(|_| Ok((noted.number()?, noted.time()?)));
            Ok((generators.collect::<Result<Vec<_>, Fault>>()?, noted.time()?, noted.time()?))
        })?;
        // Shards hear of different times; on others none may go back.
        let latest = || noted.iter().map(|noted| noted.2).max();
        self.wall.set(earlier.mine.map_or_else(latest, |mine| Some(noted[mine].2)).unwrap_or(EventTime::MIN));
        match earlier.mine {
            Some(mine) => {
                for &(number, watermark) in &noted[mine].0 {
                    self.generator(number as usize).set(watermark);
                }
                self.input.set(noted[mine].1);
            }
            None => {
                let least = noted.iter().map(|noted| noted.1).min();
                self.input.set(least.unwrap_or(EventTime::MIN));
            }
        }
        Ok(())
    }

    /// By which numbers what the job keeps is known.
    pub(crate) fn ids<T>(&self, look: impl FnOnce(&Ids) -> T) -> T {
        match &*self.known.borrow() {
            Some(known) => look(known.ids()),
            None => look(&Ids::default()),
        }
    }

    /// The number of a sink that is called `name`, for reports.
    pub(crate) fn add_sink(&self, name: String) -> usize {
        let mut sinks = self.sinks.borrow_mut();
        sinks.push(name);
        sinks.len() - 1
    }

    /// What sink `number` is called.
    pub(crate) fn sink_name(&self, number: usize) -> String {
        self.sinks.borrow().get(number).cloned().unwrap_or_default()
    }

    /// Sink `number` has failed or panicked: it is named in the report, and not the segment that runs.
    #[cold]
    pub(crate) fn blame_sink(&self, number: usize) {
        if self.blamed.get().is_none() {
            self.blamed.set(Some(number));
        }
    }

    /// The name of the sink that failed or panicked, if one did.
    pub(crate) fn blamed(&self) -> Option<String> {
        self.blamed.get().map(|number| self.sink_name(number))
    }

    /// An operator within a chain runs, of that name, until the one of before goes on, which is returned.
    pub(crate) fn enter(&self, operator: Option<Rc<str>>) -> Option<Rc<str>> {
        self.within.replace(operator)
    }

    /// The name of the operator within a chain that runs, or has failed.
    pub(crate) fn within(&self) -> Option<Rc<str>> {
        self.within.borrow().clone()
    }

    /// Whether there is a fault that nobody has asked for yet.
    pub(crate) fn has_failed(&self) -> bool {
        self.fault.borrow().is_some()
    }

    /// Notes the first fault; the stage stops at the end of the call in progress.
    #[cold]
    pub fn fail(&self, fault: Fault) {
        self.fault.borrow_mut().get_or_insert(fault);
    }

    /// The fault, if one was noted.
    ///
    /// # Errors
    /// The fault.
    pub fn check(&self) -> Result<(), Fault> {
        match self.fault.borrow().as_ref() {
            None => Ok(()),
            Some(fault) => Err(fault.clone()),
        }
    }
}
