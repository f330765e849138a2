//! Counters of each core, readable by anybody while the job runs.
//!
//! One writer, the core itself, so an increment is a load and a store without a lock prefix; readers may see one
//! counter a moment before another. All of it comes from the one clock reading that a cycle takes anyway.

use crate::bounds::STALL_NS;
use pelton_core::Nanos;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one core did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreStats {
    /// Duty cycles run.
    pub cycles: u64,
    /// Cycles in which no shard had anything to do.
    pub cycles_idle: u64,
    /// Times the core went to sleep.
    pub parks: u64,
    /// The longest time between the starts of two cycles with no sleep between them, in nanoseconds. It includes what
    /// the operating system took away.
    pub stall_ns_max: u64,
    /// How often that was more than [`STALL_NS`].
    pub stalls: u64,
}

/// The counters of one core, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    cycles: AtomicU64,
    cycles_idle: AtomicU64,
    parks: AtomicU64,
    stall_ns_max: AtomicU64,
    stalls: AtomicU64,
}

fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn read(&self) -> CoreStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CoreStats {
            cycles: get(&self.cycles),
            cycles_idle: get(&self.cycles_idle),
            parks: get(&self.parks),
            stall_ns_max: get(&self.stall_ns_max),
            stalls: get(&self.stalls),
        }
    }
}

/// The writing side, held by the core.
pub(crate) struct Meter<'a> {
    counters: &'a Counters,
    /// When the last cycle began, unless the core slept since.
    began: Option<Nanos>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(counters: &'a Counters) -> Self {
        Meter { counters, began: None }
    }

    /// A cycle begins.
    #[inline]
    pub(crate) fn cycle(&mut self, now: Nanos) {
        add_one(&self.counters.cycles);
        if let Some(began) = self.began.replace(now) {
            let took = now.0.saturating_sub(began.0);
            if took > self.counters.stall_ns_max.load(Ordering::Relaxed) {
                self.counters.stall_ns_max.store(took, Ordering::Relaxed);
            }
            if took > STALL_NS {
                add_one(&self.counters.stalls);
            }
        }
    }

    /// The cycle found nothing to do.
    #[inline]
    pub(crate) fn idle(&mut self) {
        add_one(&self.counters.cycles_idle);
    }

    /// The core goes to sleep.
    pub(crate) fn park(&mut self) {
        add_one(&self.counters.parks);
        self.began = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_are_gaps_between_cycles_but_sleep_is_not_one() {
        let counters = Counters::default();
        let mut meter = Meter::new(&counters);
        meter.cycle(Nanos(1_000));
        meter.cycle(Nanos(1_000 + STALL_NS));
        assert_eq!((counters.read().stalls, counters.read().stall_ns_max), (0, STALL_NS));
        meter.cycle(Nanos(2_000 + 2 * STALL_NS));
        assert_eq!((counters.read().stalls, counters.read().stall_ns_max), (1, STALL_NS + 1_000));
        meter.idle();
        meter.park();
        meter.cycle(Nanos(100 * STALL_NS));
        let expected =
            CoreStats { cycles: 4, cycles_idle: 1, parks: 1, stall_ns_max: STALL_NS + 1_000, stalls: 1 };
        assert_eq!(counters.read(), expected);
    }
}
