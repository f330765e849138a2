//! Ingress: stage 0 of a shard, where records enter and ticks are made.
//!
//! Each step takes what the sources have on hand, bounded by a budget and by the room in the rings, gives the group the next
//! tick, sends it, and publishes the tick in this shard's clock line. A shard with nothing to send that sees a higher clock
//! moves its own clock there at once, so an idle system makes no ticks and a lightly loaded one waits for nobody's timer.
//!
//! What was taken in each tick is the *ingress log*: together with replayable sources it determines everything that follows. In a job
//! with durability it goes into the [input log](crate::ingress::input_log), and after a restart comes from there:
//!
//! 1. restored:  the partitions are where the checkpoint left them
//! 2. replayed:  each entry of the input log is taken in again as the tick that it was
//! 3. live:      the clock goes to the end of the longest input log of any shard, so that no new tick falls among old ones

mod checkpoint;
pub(crate) mod deadline;
pub mod input_log;
pub(crate) mod known;
pub(crate) mod log_quota;
mod replay;
pub mod source;
mod stopping;

pub(crate) use self::replay::Feed;
use self::stopping::Stopping;
use crate::exchange::clock::Clocks;
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos, ShardId, Tick};
use crate::ingress::deadline::Deadlines;
use crate::ingress::input_log::{InputLog, encode, entry_bytes, padded};
use crate::ingress::log_quota::LogQuota;
use crate::ingress::source::{OpenContext, Poll, Read, Reader};
use crate::operator::fork::ForkBuffer;
use crate::operator::push::{Pipe, TickEnd};
use crate::stage::context::{IDLE, StageContext};
use crate::stage::segments::Segments;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

/// How much one tick takes, and how often ticks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickBudget {
    /// Records in one tick at most.
    pub records_max: usize,
    /// Nanoseconds between two ticks at least.
    pub interval_idle_nanos: u64,
    /// The same while the shard has work in every step: fewer and larger ticks cost less.
    pub interval_busy_nanos: u64,
}

/// What one partition gave in one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Number of records.
    pub records: usize,
    /// What the partition said of its own progress.
    pub watermark: EventTime,
    /// Whether it has ended.
    pub done: bool,
    /// Whether it was asked at all: there may have been no room.
    pub asked: bool,
}

/// One tick of the ingress log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressEntry {
    /// The tick.
    pub tick: Tick,
    /// The driver's clock.
    pub now: Nanos,
    /// The wall clock, as time since 1970.
    pub wall: EventTime,
    /// What each partition of this shard gave, in order.
    pub taken: Vec<Taken>,
    /// What each of them wrote down of its records, where the job has durability.
    pub logged: Vec<Vec<u8>>,
}

/// Where ticks come from and where they are written down.
pub(crate) struct IngressLog {
    pub(crate) feed: Feed,
    pub(crate) writing: Option<Writing>,
    pub(crate) barrier: Barrier,
}

/// What stage 0 of a job with streams whose time is the wall clock's has to know of them.
#[derive(Default)]
pub(crate) struct Clocked {
    /// The watermarks of their generators, as of the last tick.
    pub(crate) generators: Vec<Rc<Cell<EventTime>>>,
    /// Until when the stages wait that they drive.
    pub(crate) deadlines: Vec<Deadlines>,
    /// The whole millisecond that was looked at last.
    pub(crate) looked: EventTime,
    /// Until which processing time stages wait.
    pub(crate) timers: Vec<Deadlines>,
}

impl Clocked {
    /// Whether somebody waits for a time that has come by now, and has not been told: the last tick was made at `last`. For a watermark it looks
    /// once in a millisecond.
    fn is_due(&mut self, wall: EventTime, last: EventTime) -> bool {
        self.timers.iter().any(|timers| timers.any_within(last, wall)) || self.is_watermark_due(wall)
    }

    fn is_watermark_due(&mut self, wall: EventTime) -> bool {
        let Some(told) = self.generators.iter().map(|watermark| watermark.get()).min() else { return false };
        let reached = wall.whole_millis();
        if told >= reached || self.looked == reached {
            return false;
        }
        self.looked = reached;
        self.deadlines.iter().any(|deadlines| deadlines.any_within(told, reached))
    }
}

/// What a shard writes its input down in.
pub(crate) struct Writing {
    input_log: Box<dyn InputLog>,
    entry: Vec<u8>,
}

/// The tick of the checkpoint that was announced last. A clock stands still there until its shard has heard of it, so that none comes too
/// late. It is stored before any clock shows the tick, so whoever sees a clock there sees the barrier.
#[derive(Clone, Default)]
pub(crate) struct Barrier {
    pub(crate) tick: Arc<AtomicU64>,
    /// The last one that the shard has heard of.
    pub(crate) acknowledged: Tick,
}

impl Barrier {
    pub(crate) fn new(tick: Arc<AtomicU64>) -> Self {
        Barrier { tick, acknowledged: Tick(0) }
    }

    /// How far the clock may go: as far as `tick`, or up to the barrier.
    pub(crate) fn limit(&self, tick: Tick) -> Tick {
        let barrier = Tick(self.tick.load(Ordering::Acquire));
        if barrier > self.acknowledged { tick.min(barrier) } else { tick }
    }
}

impl Writing {
    pub(crate) fn new(input_log: Box<dyn InputLog>) -> Self {
        Writing { input_log, entry: Vec::new() }
    }
}

/// Stage 0 of one shard.
pub(crate) struct Ingress {
    shard: ShardId,
    context: Rc<StageContext>,
    segments: Segments<dyn Reader>,
    clocks: Clocks,
    budget: TickBudget,
    feed: Feed,
    writing: Option<Writing>,
    barrier: Barrier,
    /// What the partitions gave and logged in the tick in progress.
    taken: Vec<Taken>,
    logged: Vec<u8>,
    logged_lens: Vec<u32>,
    /// The last tick made or taken over.
    tick: Tick,
    made: Nanos,
    /// The driver's clock when the tick in progress was begun, going on from where an earlier run was.
    now: Nanos,
    /// The latest time in any tick.
    latest: Nanos,
    /// Everything through this tick was taken in by an earlier run.
    replayed: Tick,
    /// Added to the driver's clock, so that time goes on from where an earlier run was.
    offset: u64,
    /// What the wall clock showed last, less the driver's clock then; and the latest time that it has in any tick.
    wall_offset: i64,
    latest_wall: EventTime,
    /// The generators whose time is the wall clock's, and where it is said who waits for them.
    clocked: Clocked,
    /// Watermarks as of the last tick.
    marked: Vec<EventTime>,
    ended: bool,
    paused: bool,
    /// How the shard stops in order, once it is live.
    stopping: Option<Stopping>,
    /// Ticks tried, by which the partitions take turns with what cannot be divided among them.
    turn: usize,
    /// Deals the room in the log, of which one partition can have so much in one tick.
    log_quota: LogQuota,
    logged_most: usize,
    /// Whether a generator noted anything new in the tick in progress.
    noted: bool,
    /// Producers wait for ticks through this one to be durable.
    flush_requested: Tick,
}

/// What all of `partitions` may log together in an entry of `bytes` bytes, if the entry fits at all.
fn logged_in(bytes: usize, partitions: usize) -> Option<usize> {
    // What each of them logs may be padded.
    bytes.checked_sub(entry_bytes(partitions) + partitions * padded(1))
}

impl Ingress {
    pub(crate) fn new(
        context: Rc<StageContext>,
        mut segments: Segments<dyn Reader>,
        clocks: Clocks,
        budget: TickBudget,
        log: IngressLog,
        clocked: Clocked,
    ) -> Self {
        let (shard, made) = (context.shard, Nanos(0));
        let IngressLog { feed, writing, barrier } = log;
        let partitions = segments.heads.iter().map(|reader| reader.partitions()).sum::<usize>();
        let mut logged_most = usize::MAX;
        if let Some(Writing { input_log, .. }) = &writing {
            let most = input_log.entry_bytes_max();
            logged_most = logged_in(most, partitions).unwrap_or_else(|| {
                let message = format!(
                    "an entry of the log has {most} bytes at most, which is too little for the {partitions} source partitions of a \
                     shard: raise `log.segment`, or use fewer partitions or more shards"
                );
                context.fail(Fault::Storage { message });
                0
            });
        }
        let open = OpenContext { logged_max: logged_most, is_rescale: context.run().is_rescale };
        segments.heads.iter_mut().for_each(|reader| reader.begin(open));
        Ingress {
            shard,
            context,
            segments,
            clocks,
            budget,
            feed,
            writing,
            barrier,
            taken: Vec::new(),
            logged: Vec::new(),
            logged_lens: Vec::new(),
            tick: Tick(0),
            made,
            now: made,
            latest: made,
            replayed: Tick(0),
            offset: 0,
            wall_offset: 0,
            latest_wall: EventTime::MIN,
            clocked,
            marked: Vec::new(),
            ended: false,
            paused: false,
            stopping: None,
            turn: 0,
            log_quota: LogQuota::new(partitions),
            logged_most,
            noted: false,
            flush_requested: Tick(0),
        }
    }

    /// Through which tick producers wait for the input to be durable.
    pub(crate) fn flush_requested(&self) -> Tick {
        self.flush_requested
    }

    /// The driver's clock as of the last tick that was tried.
    pub(crate) fn now(&self) -> Nanos {
        self.now
    }

    /// What the segment is called that ran last.
    pub(crate) fn running(&self) -> &str {
        self.segments.name(self.segments.running)
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn into_log(self) -> Vec<IngressEntry> {
        match self.feed {
            Feed::Recorded(log) => log,
            Feed::Live | Feed::Replayed { .. } => Vec::new(),
        }
    }

    /// Done through this tick.
    pub(crate) fn clock(&self) -> Tick {
        if self.ended { Tick::END } else { self.tick }
    }

    /// Whether everything that an earlier run took in has been taken in again.
    pub(crate) fn is_live(&self) -> bool {
        self.ended || !matches!(self.feed, Feed::Replayed { .. })
    }

    /// `tick`, or that of a checkpoint or move before it that this shard has not heard of.
    pub(crate) fn before_barrier(&self, tick: Tick) -> Tick {
        self.barrier.limit(tick)
    }

    /// The lowest clock of any shard.
    pub(crate) fn appended_through(&self) -> Tick {
        self.clocks.lowest()
    }

    /// The highest clock of any shard.
    pub(crate) fn highest(&self) -> Tick {
        self.tick.max(self.clocks.highest())
    }

    /// The wall clock showed `wall` when the driver's clock showed `now`.
    pub(crate) fn set_wall(&mut self, now: Nanos, wall: EventTime) {
        self.wall_offset = wall.0.wrapping_sub(now.0 as i64);
    }

    /// Ticks up to `through` will be durable.
    pub(crate) fn release(&mut self, through: Tick) {
        for (number, reader) in self.segments.heads.iter_mut().enumerate() {
            self.segments.running = number;
            reader.released(through);
        }
        self.segments.each(|pipe| pipe.release(through));
    }

    pub(crate) fn readers(&mut self) -> &mut [Box<dyn Reader>] {
        &mut self.segments.heads
    }

    pub(crate) fn forks(&mut self) -> &mut [Box<dyn ForkBuffer>] {
        &mut self.segments.forks
    }

    fn room(&mut self) -> usize {
        let readers = self.segments.heads.iter_mut().map(|reader| reader.room()).min().unwrap_or(usize::MAX);
        self.segments.forks.iter_mut().map(|fork| fork.room()).fold(readers, usize::min)
    }

    /// Bytes that partitions may log in one tick; none while the input log has too little room.
    fn logged_max(&self) -> Option<usize> {
        let Some(writing) = &self.writing else { return Some(0) };
        let partitions = self.segments.heads.iter().map(|reader| reader.partitions()).sum::<usize>();
        logged_in(writing.input_log.room(), partitions).filter(|room| *room >= self.log_quota.wanted())
    }

    /// Follows the highest clock, if nothing is being made at it. Cheap enough to call after every frame.
    #[inline]
    pub(crate) fn observe(&mut self) -> bool {
        if self.ended || matches!(self.feed, Feed::Replayed { .. }) {
            return false;
        }
        let seen = self.clocks.highest();
        if seen <= self.tick {
            return false;
        }
        let seen = self.barrier.limit(seen);
        let behind = seen > self.tick;
        if behind {
            self.tick = seen;
            self.clocks.publish(self.shard, seen);
            self.context.stats.empty_ticks.add(1);
        }
        behind
    }

    /// Makes at most one tick; returns how many records it holds, and whether a clock moved. `busy` shards wait longer for more.
    pub(crate) fn step(&mut self, now: Nanos, busy: bool) -> Result<(usize, bool), Fault> {
        if self.ended {
            return Ok((0, false));
        }
        let interval = if busy { self.budget.interval_busy_nanos } else { self.budget.interval_idle_nanos };
        if self.is_live() && self.made != Nanos(0) && now.0.saturating_sub(self.made.0) < interval {
            return Ok((0, self.observe()));
        }
        let room = self.room();
        let can_seal = self.segments.heads.iter_mut().all(|r| r.can_seal())
            && self.segments.forks.iter_mut().all(|l| l.can_seal());
        // A replayed tick is sent whole even if it was cut for larger rings: what does not fit goes as an oversized frame.
        let Some(logged_max) = self.logged_max().filter(|_| can_seal && room > 0) else {
            self.context.stats.stalls.add(1);
            return Ok((0, self.observe()));
        };
        if let Some(entry) = self.recorded(now)? {
            return self.retake(entry);
        }
        if let Some(how) = self.stopping {
            self.settle(how);
        }
        if self.paused {
            return Ok((0, self.observe()));
        }
        let time = Nanos(now.0 + self.offset);
        let tick = Tick(self.tick.max(self.clocks.highest()).0 + 1);
        if self.barrier.limit(tick) < tick {
            return Ok((0, self.observe()));
        }
        self.context.tick.set(tick);
        self.now = time;
        // A wall clock that was put back stands still here until it has caught up.
        let wall = EventTime((now.0 as i64).wrapping_add(self.wall_offset)).max(self.latest_wall);
        self.context.begin_time(wall);
        let done = self.read(self.budget.records_max.max(1).min(room), logged_max)?;
        self.end_tick(tick, now, done)
    }

    /// Reads the partitions, in order; whether all have ended. Each may take its share of the budget, and of the room in the log, and what
    /// those before it left, so that none keeps another from being read.
    fn read(&mut self, budget: usize, room: usize) -> Result<bool, Fault> {
        let (now, tick) = (self.now, self.context.tick.get());
        let mut done = true;
        let open = self.segments.heads.iter().map(|reader| reader.open()).sum::<usize>().max(1);
        let (share, rest) = (budget / open, budget % open);
        let (mut left, mut place) = (0, self.turn);
        self.turn = (self.turn + 1) % open;
        self.taken.clear();
        self.logged.clear();
        self.logged_lens.clear();
        self.log_quota.deal(room, open);
        for reader in 0..self.segments.heads.len() {
            self.segments.running = reader;
            for index in 0..self.segments.heads[reader].partitions() {
                let (number, is_open) = (self.taken.len(), self.segments.heads[reader].is_open(index));
                if is_open {
                    left += share + usize::from(place % open < rest);
                    place += 1;
                }
                let logged_max = self.log_quota.allowed(number, is_open);
                let poll = Poll { now, tick, records_max: left, logged_max };
                let before = self.logged.len();
                let log = self.writing.is_some().then_some(&mut self.logged);
                let Read { taken, waits, news } = self.segments.heads[reader].read(index, poll, log);
                self.noted |= news;
                let logged = self.logged.len() - before;
                if waits > self.logged_most {
                    let (name, most) = (self.segments.name(reader), self.logged_most);
                    let message = format!(
                        "{name}: {waits} bytes are to be logged in one tick, and there is room for {most}: raise `log.segment`"
                    );
                    self.context.fail(Fault::Storage { message });
                }
                self.log_quota.taken(number, padded(logged), waits, taken.asked);
                left = left.saturating_sub(taken.records);
                self.drain_forks(&taken)?;
                done &= taken.done;
                self.taken.push(taken);
                self.logged_lens.push(logged as u32);
            }
        }
        self.context.check()?;
        Ok(done)
    }

    fn drain_forks(&mut self, taken: &Taken) -> Result<(), Fault> {
        let (noted, now) = (&mut self.noted, self.now);
        self.segments.drain_forks(|fork| *noted |= fork.mark(taken, now))
    }

    /// Writes the tick down; one that is being taken in again was written down before.
    fn keep(&mut self, tick: Tick) -> Result<(), Fault> {
        let (now, wall) = (self.now, self.context.wall.get());
        self.latest = self.latest.max(now);
        self.latest_wall = self.latest_wall.max(wall);
        match &mut self.feed {
            Feed::Live => {}
            Feed::Recorded(log) => {
                let logged = alloc::vec![Vec::new(); self.taken.len()];
                log.push(IngressEntry { tick, now, wall, taken: self.taken.clone(), logged });
            }
            Feed::Replayed { .. } => return Ok(()),
        }
        if let Some(Writing { input_log, entry }) = &mut self.writing {
            encode(entry, (now, wall), &self.taken, &self.logged_lens, &self.logged);
            input_log.append(tick, entry)?;
            if !self.logged.is_empty() {
                // Producers wait for that.
                self.flush_requested = tick;
            }
        }
        Ok(())
    }

    /// Sends the tick, if there is anything to send.
    fn end_tick(&mut self, tick: Tick, now: Nanos, done: bool) -> Result<(usize, bool), Fault> {
        let records: usize = self.taken.iter().map(|taken| taken.records).sum();
        // A tick in which a generator saw anything that it will remember is a tick of the log, be it empty.
        let moved = self.context.moved(&mut self.marked) | core::mem::take(&mut self.noted);
        let idle = records == 0 && !moved && !done && self.logged.is_empty() && self.is_live();
        if idle && !self.clocked.is_due(self.context.wall.get(), self.latest_wall) {
            return Ok((0, self.observe()));
        }
        self.keep(tick)?;
        let end = TickEnd { ended: done, input: EventTime::MIN, now: self.now };
        self.segments.each(|pipe| pipe.seal(end));
        // Clocks move their watermarks as the tick ends, which is no reason for another one.
        self.context.moved(&mut self.marked);
        self.context.check()?;
        self.tick = tick;
        self.made = now;
        self.clocks.publish(self.shard, tick);
        let stats = &self.context.stats;
        stats.ticks.add(1);
        stats.records_in.add(records as u64);
        if let Some(least) = self.marked.iter().filter(|&&watermark| watermark != IDLE).min() {
            stats.watermark.store(least.0, core::sync::atomic::Ordering::Relaxed);
        }
        if done {
            self.segments.each(|pipe| pipe.finish());
            self.context.check()?;
            self.ended = true;
            self.clocks.publish(self.shard, Tick::END);
        }
        Ok((records, true))
    }
}
