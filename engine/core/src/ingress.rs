//! Ingress: stage 0 of a shard, where records enter and ticks are made.
//!
//! Each step takes what the sources have on hand, bounded by a budget and by the room in the rings, gives the group the next
//! tick, sends it, and publishes the tick in this shard's clock line. A shard with nothing to send that sees a higher clock
//! moves its own clock there at once, so an idle system makes no ticks and a lightly loaded one waits for nobody's timer.
//!
//! What was taken in each tick is the *ingress log*: together with replayable sources it determines everything that follows.

use crate::bounds::REPLAY_PAUSES_MAX;
use crate::clock::Clocks;
use crate::context::{IDLE, StageContext};
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos, ShardId, Tick};
use crate::local::Local;
use crate::source::{Poll, Reader};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

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
    /// What each partition of this shard gave, in order.
    pub taken: Vec<Taken>,
}

/// Where the next tick comes from.
pub(crate) enum Feed {
    /// From the sources as they are.
    Live,
    /// From the sources, and noted.
    Recorded(Vec<IngressEntry>),
    /// From the sources as they were.
    Replayed(VecDeque<IngressEntry>),
}

/// Stage 0 of one shard.
pub(crate) struct Ingress {
    shard: ShardId,
    context: Rc<StageContext>,
    readers: Vec<Box<dyn Reader>>,
    locals: Vec<Box<dyn Local>>,
    clocks: Clocks,
    budget: TickBudget,
    feed: Feed,
    /// The last tick made or taken over.
    tick: Tick,
    made: Nanos,
    /// Watermarks as of the last tick.
    marked: Vec<EventTime>,
    ended: bool,
    /// Ticks tried, by which the partitions take turns with what cannot be divided among them.
    turn: usize,
}

impl Ingress {
    pub(crate) fn new(
        context: Rc<StageContext>,
        readers: Vec<Box<dyn Reader>>,
        locals: Vec<Box<dyn Local>>,
        clocks: Clocks,
        budget: TickBudget,
        feed: Feed,
    ) -> Self {
        let (shard, made) = (context.shard, Nanos(0));
        Ingress {
            shard,
            context,
            readers,
            locals,
            clocks,
            budget,
            feed,
            tick: Tick(0),
            made,
            marked: Vec::new(),
            ended: false,
            turn: 0,
        }
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn into_log(self) -> Vec<IngressEntry> {
        match self.feed {
            Feed::Recorded(log) => log,
            Feed::Live | Feed::Replayed(_) => Vec::new(),
        }
    }

    /// Ends all sources.
    pub(crate) fn close(&mut self) {
        self.readers.iter_mut().for_each(|reader| reader.close());
    }

    fn room(&mut self) -> usize {
        let readers = self.readers.iter_mut().map(|reader| reader.room()).min().unwrap_or(usize::MAX);
        self.locals.iter_mut().map(|local| local.room()).fold(readers, usize::min)
    }

    /// Follows the highest clock, if nothing is being made at it. Cheap enough to call after every frame.
    #[inline]
    pub(crate) fn observe(&mut self) -> bool {
        if self.ended || matches!(self.feed, Feed::Replayed(_)) {
            return false;
        }
        let seen = self.clocks.highest();
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
        if self.made != Nanos(0) && now.0.saturating_sub(self.made.0) < interval {
            return Ok((0, self.observe()));
        }
        let room = self.room();
        let replay = match &mut self.feed {
            Feed::Replayed(log) => log.pop_front(),
            Feed::Live | Feed::Recorded(_) => None,
        };
        let wanted = match &replay {
            Some(entry) => entry.taken.iter().map(|taken| taken.records).sum(),
            None => self.budget.records_max.max(1),
        };
        let can_seal =
            self.readers.iter_mut().all(|r| r.can_seal()) && self.locals.iter_mut().all(|l| l.can_seal());
        // A replayed tick is sent whole even if it was cut for larger rings: what does not fit goes as an oversized frame.
        if !can_seal || room == 0 {
            if let (Some(entry), Feed::Replayed(log)) = (replay, &mut self.feed) {
                log.push_front(entry);
            }
            self.context.stats.stalls.add(1);
            return Ok((0, self.observe()));
        }
        let budget = wanted.min(if replay.is_some() { usize::MAX } else { room });
        let tick = replay
            .as_ref()
            .map_or_else(|| Tick(self.tick.max(self.clocks.highest()).0 + 1), |entry| entry.tick);
        self.context.tick.set(tick);
        self.context.now.set(replay.as_ref().map_or(now, |entry| entry.now));
        let (records, done) = self.read(budget, replay.as_ref())?;
        self.end_tick(tick, now, records, done)
    }

    /// Reads the partitions, in order. Each may take its share of the budget and what those before it left, so that none
    /// keeps another from being read.
    fn read(&mut self, budget: usize, replay: Option<&IngressEntry>) -> Result<(usize, bool), Fault> {
        let now = self.context.now.get();
        let (mut records, mut done, mut number) = (0, true, 0);
        let mut noted = matches!(self.feed, Feed::Recorded(_)).then(Vec::new);
        let open = self.readers.iter().map(|reader| reader.open()).sum::<usize>().max(1);
        let (share, rest) = (budget / open, budget % open);
        let (mut left, mut place) = (0, self.turn);
        self.turn = (self.turn + 1) % open;
        for reader in 0..self.readers.len() {
            self.context.running.set(reader);
            for index in 0..self.readers[reader].partitions() {
                let then = replay.map(|entry| entry.taken[number]);
                if self.readers[reader].is_open(index) {
                    left += share + usize::from(place % open < rest);
                    place += 1;
                }
                let records_max = then.map_or(left, |taken| taken.records);
                let taken = self.take(reader, index, Poll { now, records_max }, then);
                left = left.saturating_sub(taken.records);
                self.pump();
                records += taken.records;
                done &= taken.done;
                number += 1;
                if let Some(noted) = &mut noted {
                    noted.push(taken);
                }
            }
        }
        if let (Some(taken), Feed::Recorded(log)) = (noted, &mut self.feed) {
            let tick = self.context.tick.get();
            log.push(IngressEntry { tick, now, taken });
        }
        self.context.check()?;
        Ok((records, done))
    }

    /// Reads one partition; in a replay until it has given what it gave then, for it may pause at other places now.
    fn take(&mut self, reader: usize, index: usize, poll: Poll, then: Option<Taken>) -> Taken {
        let mut taken = self.readers[reader].read(index, poll, then);
        let missing = |taken: &Taken| then.filter(|then| taken.records < then.records && !taken.done);
        let mut pauses = 0;
        while let Some(then) = missing(&taken) {
            pauses += 1;
            assert!(
                pauses < REPLAY_PAUSES_MAX,
                "a replayed partition yields no more, and yielded {} records",
                then.records
            );
            let records = then.records - taken.records;
            let rest = Poll { records_max: records, ..poll };
            let more = self.readers[reader].read(index, rest, Some(Taken { records, ..then }));
            taken = Taken { records: taken.records + more.records, ..more };
        }
        taken
    }

    fn pump(&mut self) {
        for (number, local) in self.locals.iter_mut().enumerate() {
            self.context.running.set(self.readers.len() + number);
            local.pump();
            local.mark();
        }
    }

    /// Sends the tick, if there is anything to send.
    fn end_tick(
        &mut self,
        tick: Tick,
        now: Nanos,
        records: usize,
        done: bool,
    ) -> Result<(usize, bool), Fault> {
        self.context.ended.set(done);
        // A tick in which a generator saw anything that it will remember is a tick of the log, be it empty.
        let moved = self.context.moved(&mut self.marked) | self.context.noticed.take();
        if records == 0 && !moved && !done {
            if let Feed::Recorded(log) = &mut self.feed {
                log.pop();
            }
            return Ok((0, self.observe()));
        }
        for reader in &mut self.readers {
            reader.seal();
        }
        for local in &mut self.locals {
            local.seal();
        }
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
            for reader in &mut self.readers {
                reader.finish();
            }
            for local in &mut self.locals {
                local.finish();
            }
            self.context.check()?;
            self.ended = true;
            self.clocks.publish(self.shard, Tick::END);
        }
        Ok((records, true))
    }
}
