//! Event time and watermarks: from here on each record has a time, and the stream knows how far it has come.
//!
//! A watermark is kept for each source partition that feeds this operator on this shard, and the least of them counts. A
//! partition that has ended no longer holds it back; nor does one that was silent for the idle limit, measured on the driver's
//! clock, whose readings are part of the input. Where all that have not ended are silent, the shard says that it is [`IDLE`]:
//! nobody waits for it, and when one speaks again its watermark is the old one.

use crate::context::{IDLE, StageContext};
use crate::ids::{EventTime, Nanos};
use crate::push::{Pipe, Push, forward};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

/// How a watermark follows from the times that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// No record is older than the newest by more than this many nanoseconds.
    Bounded {
        /// The bound, 0 for a stream in order.
        nanos: i64,
        /// A partition without records for this long on the driver's clock is idle; 0 means never.
        idle_nanos: u64,
    },
    /// The source itself says how far it is.
    Source,
    /// Event time is the driver's clock; the watermark follows it in whole milliseconds.
    Clock,
}

impl Timing {
    /// Whether the driver's clock has a part in it. Only stage 0 has that clock: its readings are in the ingress log.
    pub fn needs_the_clock(&self) -> bool {
        matches!(self, Timing::Clock | Timing::Bounded { idle_nanos: 1.., .. })
    }
}

/// Gives each record its event time and generates the watermark.
pub struct Stamp<F, N> {
    f: F,
    next: N,
    timing: Timing,
    context: Rc<StageContext>,
    watermark: Rc<Cell<EventTime>>,
    /// The newest time since the last mark.
    newest: EventTime,
    /// The watermark while the shard was not idle.
    reached: EventTime,
    partitions: Vec<Progress>,
}

#[derive(Clone, Copy)]
struct Progress {
    partition: usize,
    watermark: EventTime,
    heard: Nanos,
    idle: bool,
    done: bool,
}

impl<F, N> Stamp<F, N> {
    /// Generator `index` of the job, behind these source partitions of this shard.
    pub fn new(
        f: F,
        timing: Timing,
        index: usize,
        partitions: impl IntoIterator<Item = usize>,
        context: Rc<StageContext>,
        next: N,
    ) -> Self {
        let (watermark, heard) = (EventTime::MIN, Nanos(0));
        let silent = |partition| Progress { partition, watermark, heard, idle: false, done: false };
        let watermark = context.generator(index);
        let partitions: Vec<Progress> = partitions.into_iter().map(silent).collect();
        if partitions.is_empty() {
            // A shard without a partition has nothing that could come late.
            watermark.set(EventTime::MAX);
        }
        let (newest, reached) = (EventTime::MIN, EventTime::MIN);
        Stamp { f, next, timing, watermark, context, newest, reached, partitions }
    }

    fn progress(&mut self) {
        let now = self.context.now.get();
        let index = self.context.partition.get();
        let Some(partition) = self.partitions.iter_mut().find(|p| p.partition == index) else { return };
        let heard = self.newest > EventTime::MIN;
        if partition.heard == Nanos(0) || heard {
            partition.heard = now;
        }
        partition.idle = false;
        partition.done = self.context.partition_done.get();
        let seen = match self.timing {
            Timing::Source => self.context.partition_watermark.get(),
            Timing::Clock => EventTime((now.0 / 1_000_000 * 1_000_000) as i64),
            Timing::Bounded { nanos, idle_nanos } => {
                partition.idle = idle_nanos > 0 && now.0.saturating_sub(partition.heard.0) >= idle_nanos;
                if heard { self.newest.minus(nanos) } else { EventTime::MIN }
            }
        };
        // Only the end of the input closes the last window that there can be.
        partition.watermark = partition.watermark.max(seen.min(IDLE.minus(1)));
        self.newest = EventTime::MIN;
        // A tick has one watermark: the one after all of its partitions have been read.
        if self.partitions.last().is_some_and(|last| last.partition == index) {
            let least = self.least();
            self.watermark.set(least);
        }
    }

    fn least(&mut self) -> EventTime {
        let mut open = self.partitions.iter().filter(|p| !p.done).peekable();
        if open.peek().is_none() {
            return EventTime::MAX;
        }
        match open.filter(|p| !p.idle).map(|p| p.watermark).min() {
            None => IDLE,
            Some(least) => {
                self.reached = self.reached.max(least);
                self.reached
            }
        }
    }
}

impl<T, F: Fn(&T) -> EventTime + 'static, N: Push<T>> Push<T> for Stamp<F, N> {
    #[inline(always)]
    fn push(&mut self, _: EventTime, record: T) {
        let at = (self.f)(&record);
        self.newest = self.newest.max(at);
        self.next.push(at, record);
    }
}

impl<F: 'static, N: Pipe> Pipe for Stamp<F, N> {
    fn mark(&mut self) {
        self.progress();
        self.next.mark();
    }
    forward!(but mark, next);
}
