//! What happens as a tick completes: its watermark is known, operators act on it in slices, and what came of it is sent.

use super::Stage;
use crate::exchange::hash::join;
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos, Tick};
use crate::ingress::Taken;
use crate::operator::push::TickEnd;
use crate::operator::{Due, TickInfo};
use crate::stage::context::IDLE;
use crate::state::store::StateStore;
use alloc::rc::Rc;
use alloc::vec::Vec;

impl Stage {
    /// Everything of the open tick has been taken: its watermark is the least of the inputs' that are not idle.
    pub(super) fn begin_completing(&mut self) {
        self.completing = Some(0);
        if !core::mem::take(&mut self.is_moved) {
            return;
        }
        let least = self.inputs.iter().map(|input| input.watermark).min().unwrap_or(EventTime::MAX);
        self.raise_ports();
        if least != IDLE {
            self.watermark = self.watermark.max(least);
            if let Some(line) = self.context.stats.stages.get(self.number) {
                line.set(self.watermark);
            }
        }
        // What is sent on is not held up here: whether a partition that came back holds others back must not depend on whose
        // shard it shares, so only those who act on the watermark keep it from falling.
        self.least = least;
        self.input_ended = least == EventTime::MAX;
        self.context.watermark.set(self.watermark);
    }

    /// Each port's watermark is the least of its inputs' that are not idle, and never falls.
    fn raise_ports(&mut self) {
        let mut inputs = self.inputs.iter().peekable();
        // Inputs stand in the order of operators and their ports.
        while let Some(first) = inputs.next() {
            let mut least = first.watermark;
            while let Some(input) =
                inputs.next_if(|next| (next.operator, next.port) == (first.operator, first.port))
            {
                least = least.min(input.watermark);
            }
            if least != IDLE {
                let port = &mut self.ports[first.operator][first.port];
                *port = least.max(*port);
            }
        }
    }

    /// One slice of completing the open tick; true when it is sealed.
    pub(super) fn complete(&mut self) -> Result<bool, Fault> {
        let (Some(tick), Some(mut index)) = (self.open, self.completing) else { return Ok(true) };
        while index < self.segments.heads.len() {
            self.segments.running = index;
            let time = self.context.wall.get();
            // One within a chain has its stage's watermark.
            let own = core::slice::from_ref(&self.watermark);
            let inputs = self.ports.get(index).map_or(own, Vec::as_slice);
            let tick = TickInfo { tick, time, watermark: self.watermark, inputs };
            let done = self.segments.heads[index].complete(&tick)?;
            self.stores[index].count_heap()?;
            self.segments.drain_forks(|_| ())?;
            if !done {
                self.completing = Some(index);
                return Ok(false);
            }
            index += 1;
        }
        // Before sinks commit: rows of a tick may be missing for which there was no room.
        self.context.check()?;
        // The driver's clock is only known where ticks are made.
        let (ended, input, now) = (self.input_ended, self.least, Nanos(0));
        let taken = Taken { records: 0, watermark: EventTime::MIN, done: ended, asked: true };
        self.segments.each(|pipe| {
            pipe.mark(&taken, now);
        });
        self.segments.each(|pipe| pipe.seal(TickEnd { ended, input, now }));
        self.context.check()?;
        self.note_state(tick);
        self.open = None;
        self.completing = None;
        self.done = tick;
        self.clocks.publish(self.shard, tick);
        Ok(true)
    }

    /// Nothing can come at or below `through`: says so, if that is news.
    pub(super) fn advance(&mut self, through: Tick, end: bool) -> Result<bool, Fault> {
        if end {
            self.segments.each(|pipe| pipe.finish());
            self.context.check()?;
            self.done = Tick::END;
            self.clocks.publish(self.shard, Tick::END);
            return Ok(true);
        }
        let news = self.open.is_none() && through > self.done;
        if news {
            self.done = through;
            self.clocks.publish(self.shard, through);
        }
        Ok(news)
    }

    fn note_state(&mut self, tick: Tick) {
        let digest = |stores: &[Rc<StateStore>], first| {
            stores.iter().fold(first, |all, store| join(all, store.digest()))
        };
        if self.hash_ticks > 0 && tick.0.is_multiple_of(self.hash_ticks) {
            self.hashes.push((tick, digest(&self.stores, 0)));
        }
        if let Some(trace) = self.trace {
            self.trace = Some(join(digest(&self.stores, trace), tick.0));
        }
    }

    /// Says until when the operators wait, if that is news.
    pub(super) fn tell_due(&mut self) {
        if !self.deadlines.any() {
            return;
        }
        let due = self.segments.heads.iter_mut().fold(Due::NEVER, |due, operator| due.or(operator.due()));
        if due != self.due {
            self.due = due;
            self.deadlines.publish(self.shard, due);
        }
    }
}
