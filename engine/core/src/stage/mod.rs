//! A stage behind exchanges, on one shard: merges its inputs by rule, and lets its operators act tick by tick.
//!
//! Merging is a rule, not a race. Frames are taken in the order (tick, edge, source shard, sequence), and one is taken only when no
//! earlier one can come: each input either shows its next frame, or its clock says that nothing at or below a tick is
//! missing. Only then are a tick's effects a function of its inputs, whatever the threads did.
//!
//! 1. open:      the first frame of tick `t` is taken
//! 2. complete:  no input can hold another frame of `t`; the watermark as of `t` is known; operators close windows, in slices
//! 3. seal:      what came of it is sent, labelled `t`, and the clock line says `t`
//!
//! A frame of a tick may be taken before every shard has finished that tick, as long as the order is certain: a tick larger than a
//! ring passes through it in pieces.

pub mod build;
mod checkpoint;
mod complete;
pub mod context;
pub mod graph;
mod merge;
mod rebalance;
pub(crate) mod segments;
pub(crate) mod shard;
pub mod wiring;

use crate::bounds::STEP_RECORDS_MAX;
use crate::checkpoint::moving::Move;
use crate::checkpoint::notes::Notes;
use crate::checkpoint::snapshot::Section;
use crate::exchange::clock::Clocks;
use crate::exchange::frame::{RowFormat, discard, peek, take};
use crate::exchange::ring::Consumer;
use crate::fault::Fault;
use crate::ids::{EdgeId, EventTime, ShardId, StageId, Tick};
use crate::ingress::Barrier;
use crate::ingress::deadline::StageDeadlines;
use crate::operator::fork::ForkBuffer;
use crate::operator::{Due, Operator};
use crate::stage::context::StageContext;
use crate::stage::merge::{Bound, Merge};
use crate::stage::rebalance::Moving;
use crate::stage::segments::Segments;
use crate::state::store::StateStore;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

/// One ring that a stage reads.
pub(crate) struct Input {
    pub(crate) ring: Consumer,
    /// The clocks of the stage that writes it.
    pub(crate) clocks: Clocks,
    /// The exchange that it is of.
    pub(crate) edge: EdgeId,
    /// The shard that writes it.
    pub(crate) source: ShardId,
    /// What the sender writes.
    pub(crate) format: RowFormat,
    /// The operator, counted within the stage, that reads it, and which of its ports this is.
    pub(crate) operator: usize,
    pub(crate) port: usize,
    /// As of the last frame, or what is known without any. It falls when partitions come back from being idle.
    pub(crate) watermark: EventTime,
}

impl Input {
    fn bound(&mut self) -> Bound {
        if let Some(head) = peek(&mut self.ring) {
            return Bound { tick: head.tick, ready: true };
        }
        // The clock is read before the ring is looked at again: frames of ticks up to it are visible after it.
        let done = self.clocks.read(self.source);
        match peek(&mut self.ring) {
            Some(head) => Bound { tick: head.tick, ready: true },
            None => Bound { tick: Tick(done.0.saturating_add(1)), ready: false },
        }
    }
}

/// Stage 1 or later of one shard.
pub(crate) struct Stage {
    shard: ShardId,
    context: Rc<StageContext>,
    /// In the order (edge, source shard).
    inputs: Vec<Input>,
    merge: Merge,
    /// Whether the next frame is the first of its tick.
    begins: bool,
    /// Whether a frame of the open tick has said another watermark than the one before it.
    is_moved: bool,
    /// The least watermark of the inputs as of the open tick: it may fall, or be idle; and whether everything that will ever enter has entered.
    least: EventTime,
    input_ended: bool,
    segments: Segments<dyn Operator>,
    /// The state of each operator, and what blocks of it are called.
    stores: Vec<Rc<StateStore>>,
    sections: Vec<Section>,
    clocks: Clocks,
    /// The tick that frames have been taken of.
    open: Option<Tick>,
    /// The operator that is acting on the completed tick.
    completing: Option<usize>,
    done: Tick,
    /// As of the last tick completed, and never falling: the stage's, and of each operator those of its ports.
    watermark: EventTime,
    ports: Vec<Vec<EventTime>>,
    /// Folded over the state after every tick, where a run is to be compared with another.
    trace: Option<u64>,
    /// The state is hashed after every tick that this divides; 0 for none.
    hash_ticks: u64,
    hashes: Vec<(Tick, u64)>,
    /// Where the stage stands still until its shard has heard of a checkpoint. Ingress may have ended, and then its clock holds back nobody.
    barrier: Barrier,
    /// The tick of a checkpoint that is still to come.
    freezing: Option<(Tick, bool)>,
    /// What was noted at the checkpoint, still to be saved.
    frozen: Option<Notes>,
    /// Moves of key groups that are still to come, in the order of their ticks, and how far the first is.
    moves: VecDeque<Move>,
    moving: Option<Moving>,
    /// Operators may have put something off.
    behind: bool,
    /// Its number.
    number: usize,
    /// Where to say until when operators wait, if a clock drives the stage; and what was said last.
    deadlines: StageDeadlines,
    due: Due,
}

/// What a step of a stage came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) work: usize,
    pub(crate) published: bool,
}

impl Stage {
    pub(crate) fn new(
        context: Rc<StageContext>,
        inputs: Vec<Input>,
        segments: Segments<dyn Operator>,
        (sections, stores): (Vec<Section>, Vec<Rc<StateStore>>),
        clocks: Clocks,
        trace: bool,
        hash_ticks: u64,
    ) -> Self {
        let (shard, trace) = (context.shard, trace.then_some(0));
        let mut ports: Vec<Vec<EventTime>> = Vec::new();
        for input in &inputs {
            ports.resize(ports.len().max(input.operator + 1), Vec::new());
            let ports = &mut ports[input.operator];
            ports.resize(ports.len().max(input.port + 1), EventTime::MIN);
        }
        Stage {
            shard,
            context,
            merge: Merge::new(inputs.len()),
            begins: false,
            is_moved: true,
            least: EventTime::MIN,
            input_ended: false,
            inputs,
            segments,
            stores,
            sections,
            clocks,
            open: None,
            completing: None,
            done: Tick(0),
            watermark: EventTime::MIN,
            ports,
            trace,
            hash_ticks,
            hashes: Vec::new(),
            barrier: Barrier::default(),
            freezing: None,
            frozen: None,
            moves: VecDeque::new(),
            moving: None,
            behind: true,
            number: 0,
            deadlines: StageDeadlines::default(),
            due: Due::NEVER,
        }
    }

    /// The stage, with what it stands still at.
    pub(crate) fn behind(mut self, barrier: Barrier) -> Self {
        self.barrier = barrier;
        self
    }

    /// The stage, with its number, and where it says until when it waits.
    pub(crate) fn waited_for(mut self, number: usize, deadlines: StageDeadlines) -> Self {
        self.number = number;
        self.deadlines = deadlines;
        self
    }

    /// The last tick that is known here.
    pub(crate) fn highest(&self) -> Tick {
        let done = if self.ended() { Tick(0) } else { self.done };
        done.max(self.context.tick.get())
    }

    /// What the segment is called that ran last.
    pub(crate) fn running(&self) -> String {
        let within = self.context.within();
        within.as_deref().unwrap_or_else(|| self.segments.name(self.segments.running)).into()
    }

    pub(crate) fn ended(&self) -> bool {
        self.done == Tick::END
    }

    /// Through which tick everything is done.
    pub(crate) fn done(&self) -> Tick {
        self.done
    }

    pub(crate) fn context(&self) -> &StageContext {
        &self.context
    }

    /// A digest of the state after each tick so far, and of the ticks themselves.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.unwrap_or(0)
    }

    /// Hashes of the state after some ticks, taken away.
    pub(crate) fn hashes(&mut self) -> impl Iterator<Item = (Tick, u64)> {
        self.hashes.drain(..)
    }

    pub(crate) fn operators(&mut self) -> &mut [Box<dyn Operator>] {
        &mut self.segments.heads
    }

    /// The state of each operator.
    pub(crate) fn stores(&self) -> &[Rc<StateStore>] {
        &self.stores
    }

    /// What the first state of each operator is called in a checkpoint.
    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    pub(crate) fn forks(&mut self) -> &mut [Box<dyn ForkBuffer>] {
        &mut self.segments.forks
    }

    /// What followed from ticks up to `through` may leave the job.
    pub(crate) fn release(&mut self, through: Tick) {
        self.segments.each(|pipe| pipe.release(through));
    }

    /// Takes frames up to a bound; `pulse` is called between them.
    pub(crate) fn step(&mut self, stage: StageId, pulse: impl FnMut()) -> Result<Progress, Fault> {
        let progress = self.merge_some(stage, pulse).map_err(|fault| fault.within(&self.running()))?;
        self.context.stats.looks.add(core::mem::take(&mut self.merge.looks));
        self.tell_due();
        Ok(progress)
    }

    fn merge_some(&mut self, stage: StageId, mut pulse: impl FnMut()) -> Result<Progress, Fault> {
        let mut progress = Progress::default();
        if self.ended() {
            self.moves.clear();
            return Ok(progress);
        }
        while progress.work < STEP_RECORDS_MAX {
            if self.completing.is_some() {
                progress.work += 1;
                if !self.complete()? {
                    // What was flushed may be what another shard waits for.
                    progress.published = true;
                    break;
                }
                progress.published = true;
            }
            let (least, input) = self.merge.earliest(&mut self.inputs);
            if self.open.is_none() && self.freezing.is_some_and(|(tick, _)| least > tick) {
                self.freeze();
            }
            if self.open.is_none() {
                let limit = self.barrier.limit(least);
                if limit < least {
                    progress.published |= self.advance(limit, false)?;
                    break;
                }
            }
            if least == Tick::END {
                // The last tick of an input reaches every shard. One that has seen the end before a move's tick has seen all there was, as have
                // all others, some of which may be gone.
                self.moves.clear();
            }
            if self.open.is_none() && self.moves.front().is_some_and(|moving| least > moving.tick) {
                // Others wait to hear that this shard has come so far.
                let tick = self.moves.front().map_or(Tick(0), |moving| moving.tick);
                progress.published |= self.advance(tick, false)?;
                progress.work += 1;
                if !self.move_keys(stage)? {
                    break;
                }
                continue;
            }
            if self.open.is_none() && input.is_some() {
                // Before this tick begins: it may have to wait for room, which may have to wait for others to hear this.
                progress.published |= self.advance(Tick(least.0 - 1), false)?;
            }
            match (self.open, input) {
                (Some(open), _) if least > open => self.begin_completing(),
                (None, Some(_)) if !self.can_open() => break,
                (_, Some(input)) => {
                    self.begins |= self.open.is_none();
                    self.open = Some(least);
                    self.context.tick.set(least);
                    progress.work += self.take(input)?;
                    pulse();
                }
                (_, None) => {
                    progress.published |= self.advance(Tick(least.0 - 1), least == Tick::END)?;
                    break;
                }
            }
        }
        Ok(progress)
    }

    fn can_open(&mut self) -> bool {
        self.segments.heads.iter_mut().all(|operator| operator.can_seal())
            && self.segments.forks.iter_mut().all(|fork| fork.can_seal())
    }

    fn take(&mut self, index: usize) -> Result<usize, Fault> {
        let input = &mut self.inputs[index];
        let Some(head) = peek(&mut input.ring) else { unreachable!("the input is ready") };
        self.segments.running = input.operator;
        let operator = &mut self.segments.heads[input.operator];
        let mut count = 0;
        let (format, port) = (input.format, input.port);
        self.context.wall.set(self.context.wall.get().max(head.time));
        if core::mem::take(&mut self.begins) {
            self.context.frame_time.set(self.context.wall.get());
        }
        let watermark = take(&mut input.ring, head, format, |frame| {
            count = frame.count();
            operator.frame(port, frame)
        })?;
        self.stores[input.operator].count_heap()?;
        self.merge.taken(index);
        self.is_moved |= input.watermark != watermark;
        input.watermark = watermark;
        self.context.stats.frames.add(1);
        self.drain()?;
        Ok(count + 1)
    }

    /// Brings what operators have let out to those within the chains behind them.
    fn drain(&mut self) -> Result<(), Fault> {
        self.segments.drain_forks(|_| ())?;
        // Those that exchanges lead to have nothing to drain, and come first.
        for chained in self.ports.len()..self.segments.heads.len() {
            self.segments.running = chained;
            self.segments.heads[chained].drain()?;
            self.stores[chained].count_heap()?;
            self.segments.drain_forks(|_| ())?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.inputs.iter_mut().for_each(|input| discard(&mut input.ring));
    }
}
