//! Timers: times at which something is to be done for a key, in event time and in processing time.
//!
//! A timer is (time, key, tag), and is there once however often it is set. Timers fire in that order, those of event time before those of
//! processing time, when the tick completes that has brought the watermark, or the clock, to their time. They are part of the state of their
//! key: saved, restored and moved with it.

use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::{Due, TickInfo};
use crate::record::key::Key;
use crate::record::struct_record;
use crate::state::ordered::{Ordered, Ordering};
use alloc::rc::Rc;
use core::cell::RefCell;
use rkyv::{Archive, Deserialize, Serialize};

/// Which clock a timer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// The watermark.
    Event,
    /// The wall clock, as ticks have it.
    Processing,
}

/// A timer of a key.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer<K> {
    /// The time that it waits for.
    pub at: EventTime,
    /// The key.
    pub key: K,
    /// What tells it from others of the key and the time.
    pub tag: u64,
}
struct_record!(Timer<K> { at: EventTime, key: K, tag: u64 });

impl<K: Key> Ordering for Timer<K> {
    fn hash(&self) -> u64 {
        self.key.hash()
    }
}

/// See the [module](self). A handle.
pub struct Timers<K> {
    event: Rc<RefCell<Ordered<Timer<K>>>>,
    processing: Rc<RefCell<Ordered<Timer<K>>>>,
}

impl<K: Key> Timers<K> {
    pub(crate) fn new(
        event: Rc<RefCell<Ordered<Timer<K>>>>,
        processing: Rc<RefCell<Ordered<Timer<K>>>>,
    ) -> Self {
        Timers { event, processing }
    }

    fn of(&self, kind: TimerKind) -> &RefCell<Ordered<Timer<K>>> {
        match kind {
            TimerKind::Event => &self.event,
            TimerKind::Processing => &self.processing,
        }
    }

    /// Sets a timer; false if it is set already.
    ///
    /// # Errors
    /// When the memory limit refuses the room for it.
    pub fn set(&self, kind: TimerKind, timer: Timer<K>) -> Result<bool, Fault> {
        self.of(kind).borrow_mut().insert(timer)
    }

    /// Takes a timer back; false if it is not set.
    ///
    /// # Errors
    /// When a timer refuses to be archived that a checkpoint needs as it was.
    pub fn cancel(&self, kind: TimerKind, timer: &Timer<K>) -> Result<bool, Fault> {
        self.of(kind).borrow_mut().remove(timer)
    }

    /// Takes the next timer that fires in a tick. At the end of the input all do.
    ///
    /// # Errors
    /// As for [`cancel`](Self::cancel).
    pub fn pop_due(&self, tick: &TickInfo<'_>) -> Result<Option<(TimerKind, Timer<K>)>, Fault> {
        let ended = tick.watermark == EventTime::MAX;
        let clocks = [(TimerKind::Event, tick.watermark), (TimerKind::Processing, tick.time)];
        for (kind, now) in clocks {
            let mut timers = self.of(kind).borrow_mut();
            if timers.first().is_some_and(|first| first.at <= now || ended) {
                return Ok(timers.pop_first()?.map(|timer| (kind, timer)));
            }
        }
        Ok(None)
    }

    /// The times of the next ones.
    pub fn due(&self) -> Due {
        let first = |kind| self.of(kind).borrow().first().map_or(EventTime::MAX, |first| first.at);
        Due { watermark: first(TimerKind::Event), time: first(TimerKind::Processing) }
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.event.borrow().len() + self.processing.borrow().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
