//! What the segments of one stage on one shard share while they run: where the stage is, and what went wrong.
//!
//! What one part has to say to another within a call is an argument of that call, or what it returns. Here is the rest: what several chains read at
//! any record, and what an operator has to say whose [`push`](crate::operator::push::Push::push) returns nothing.
//!
//! | cell | written by | read by |
//! |---|---|---|
//! | `tick` | `Ingress` as it begins a tick, `Stage` as it opens one | exchange writers, sinks, reports |
//! | `wall` | the same | operators in processing time, generators of the wall clock, exchange writers |
//! | `frame_time` | the same | exchange writers: frames are cut within a push |
//! | `partition` | the reader of a source, before its records come | generators: the first early record asks |
//! | `watermark` | `Stage` as a tick completes | process functions, for the records after it |
//! | `generators` | each generator its own | exchange writers as a tick ends, `Ingress` for what has moved |
//! | `flush_requested` | a sink that holds a row | the driver after the step |
//! | `fault` | whoever is pushed to | `Ingress`, `Stage` and operators after a batch |
//! | `blamed`, `within` | a sink; an operator within a chain: before a panic, which returns nothing either | reports |

use crate::checkpoint::notes::{Earlier, Notes};
use crate::exchange::frame::TickTime;
use crate::fault::Fault;
use crate::ids::{EdgeId, EventTime, ShardId, Tick};
use crate::ingress::known::{Known, WatermarkOf};
use crate::stage::graph::Ids;
use crate::stats::ShardStats;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
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
    /// Whether what other histories have shown behind the checkpoint is given up.
    pub gives_up: bool,
}

/// The shared state of a stage. It never leaves its shard's thread.
pub struct StageContext {
    /// The shard.
    pub shard: ShardId,
    /// Counters of the shard.
    pub stats: Arc<ShardStats>,
    run: RunInfo,
    /// What is known of watermarks before anybody says them.
    known: Option<Rc<Known>>,
    /// The tick in progress.
    pub tick: Cell<Tick>,
    /// The processing time of the tick: what the wall clock showed as it was made, as time since 1970. Never falls. Behind an exchange the
    /// latest that any shard has said.
    pub wall: Cell<EventTime>,
    /// What frames say of that: as of the first frame of the tick in progress. It stays the same for all frames of a tick, whose borders depend on
    /// the room in the ring.
    pub frame_time: Cell<EventTime>,
    /// The source partition, counted within this shard, that is being read: from before its records come.
    pub partition: Cell<usize>,
    /// The watermark as of the last tick that completed, which never falls; in stage 0 there is none.
    pub watermark: Cell<EventTime>,
    /// Rows wait for ticks through this one to be durable.
    pub flush_requested: Cell<Tick>,
    /// The sink that failed or panicked.
    blamed: RefCell<Option<Rc<str>>>,
    /// The operator within a chain that runs while the one in front of it does, or that failed or panicked there.
    within: RefCell<Option<Rc<str>>>,
    /// The stage's generators by their number in the job.
    generators: RefCell<BTreeMap<usize, Rc<Cell<EventTime>>>>,
    fault: RefCell<Option<Fault>>,
}

impl StageContext {
    /// The context of a stage that has not begun.
    pub(crate) fn new(
        shard: ShardId,
        stats: Arc<ShardStats>,
        run: RunInfo,
        known: Option<Rc<Known>>,
    ) -> Self {
        StageContext {
            shard,
            stats,
            run,
            known,
            tick: Cell::new(Tick(0)),
            wall: Cell::new(EventTime::MIN),
            frame_time: Cell::new(EventTime::MIN),
            partition: Cell::new(0),
            watermark: Cell::new(EventTime::MIN),
            flush_requested: Cell::new(Tick(0)),
            blamed: RefCell::default(),
            within: RefCell::default(),
            generators: RefCell::default(),
            fault: RefCell::default(),
        }
    }

    /// A context that no shard is around.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        Self::new(ShardId(0), Arc::default(), RunInfo { shards: 1, ..RunInfo::default() }, None)
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
        self.run
    }

    /// Says what is known of the run.
    pub(crate) fn set_run(&mut self, run: RunInfo) {
        self.run = run;
    }

    /// The watermark that the receivers of `edge` know of shard `from` by themselves.
    pub(crate) fn known(&self, edge: EdgeId, from: ShardId) -> EventTime {
        self.known.as_ref().map_or(EventTime::MIN, |known| known.of(edge, from))
    }

    /// Generator `index` goes on from a checkpoint: see [`Known::restore`].
    pub(crate) fn restore_known(&self, index: usize, watermark: &WatermarkOf<'_>) {
        if let Some(known) = &self.known {
            known.restore(index, watermark);
        }
    }

    /// The cell that generator number `index` of the job publishes its watermark in.
    pub fn generator(&self, index: usize) -> Rc<Cell<EventTime>> {
        let mut generators = self.generators.borrow_mut();
        generators.entry(index).or_insert_with(|| Rc::new(Cell::new(EventTime::MIN))).clone()
    }

    /// The least of several origins, of which `input` is the stage's own. A stream without event time has none, and stays at the minimum.
    pub fn watermark(&self, origins: &[WatermarkOrigin], input: EventTime) -> EventTime {
        let generators = self.generators.borrow();
        let of = |origin: &WatermarkOrigin| match *origin {
            WatermarkOrigin::Generator(index) => {
                generators.get(&index).map_or(EventTime::MIN, |cell| cell.get())
            }
            WatermarkOrigin::Input => input,
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

    /// Notes where the stage is between two ticks, and with it the least watermark of its `input`.
    pub fn note(&self, notes: &mut Notes, input: EventTime) {
        let generators = self.generators.borrow();
        notes.number(generators.len() as u64);
        for (number, watermark) in generators.iter() {
            notes.number(*number as u64);
            notes.time(watermark.get());
        }
        notes.time(input);
        notes.time(self.wall.get());
    }

    /// Takes back what was noted, and returns the watermark of the input. With another number of shards the generators begin from what their partitions say.
    ///
    /// # Errors
    /// When the notes are of another job.
    pub fn recall(&self, earlier: &mut Earlier<'_>) -> Result<EventTime, Fault> {
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
                Ok(noted[mine].1)
            }
            None => Ok(noted.iter().map(|noted| noted.1).min().unwrap_or(EventTime::MIN)),
        }
    }

    /// By which numbers what the job keeps is known.
    pub(crate) fn ids<T>(&self, look: impl FnOnce(&Ids) -> T) -> T {
        match &self.known {
            Some(known) => look(known.ids()),
            None => look(&Ids::default()),
        }
    }

    /// The sink of that name has failed or panicked: it is named in the report, and not the segment that runs.
    #[cold]
    pub(crate) fn blame_sink(&self, name: &Rc<str>) {
        self.blamed.borrow_mut().get_or_insert_with(|| name.clone());
    }

    /// The name of the sink that failed or panicked, if one did.
    pub(crate) fn blamed(&self) -> Option<Rc<str>> {
        self.blamed.borrow().clone()
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
