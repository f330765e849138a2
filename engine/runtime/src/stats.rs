//! Counters of each core, readable by anybody while the job runs.
//!
//! One writer, the core itself, so an increment is a load and a store without a lock prefix; readers may see one
//! counter a moment before another. All of it comes from the one clock reading that a cycle takes anyway.

use crate::bounds::STALL_NS;
use pelton_core::Nanos;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one core did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// How often that was 16,384 ns or more, by how long it was: four places for each doubling. Place `n` counts those of
    /// [`length_ns(n)`](Self::length_ns) or more that no later one does.
    pub lengths: [u64; LENGTHS],
}

/// Places of [`CoreStats::lengths`]: up to one second.
const LENGTHS: usize = 64;
/// The least length that is counted there, as a power of two, and the places for each doubling.
const LENGTH_BITS_MIN: u32 = 14;
const PLACE_BITS: u32 = 2;

impl Default for CoreStats {
    fn default() -> Self {
        Counters::default().read()
    }
}

impl CoreStats {
    /// The least length that is counted at a place of [`lengths`](Self::lengths), in nanoseconds.
    pub fn length_ns(place: usize) -> u64 {
        let (doublings, quarters) = (place >> PLACE_BITS, (place & 3) as u64);
        (4 + quarters) << (LENGTH_BITS_MIN - PLACE_BITS + doublings as u32)
    }
}

fn place_of(ns: u64) -> Option<usize> {
    let bits = ns.checked_ilog2()?;
    let doublings = bits.checked_sub(LENGTH_BITS_MIN)?;
    let quarters = ns >> (bits - PLACE_BITS) & 3;
    Some(((doublings << PLACE_BITS) as usize + quarters as usize).min(LENGTHS - 1))
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
    lengths: Lengths,
}

#[derive(Debug)]
struct Lengths([AtomicU64; LENGTHS]);

impl Default for Lengths {
    fn default() -> Self {
        Lengths([const { AtomicU64::new(0) }; LENGTHS])
    }
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
            lengths: core::array::from_fn(|place| get(&self.lengths.0[place])),
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
            if let Some(place) = place_of(took) {
                add_one(&self.counters.lengths.0[place]);
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
        let mut lengths = [0; LENGTHS];
        for took in [STALL_NS, STALL_NS + 1_000] {
            lengths[place_of(took).unwrap()] += 1;
        }
        let stall_ns_max = STALL_NS + 1_000;
        let expected = CoreStats { cycles: 4, cycles_idle: 1, parks: 1, stall_ns_max, stalls: 1, lengths };
        assert_eq!(counters.read(), expected);
    }

    #[test]
    fn every_length_has_its_place() {
        assert_eq!((place_of(0), place_of((1 << 14) - 1), place_of(1 << 14)), (None, None, Some(0)));
        for place in 0..LENGTHS {
            let least = CoreStats::length_ns(place);
            assert_eq!(place_of(least), Some(place));
            let before = place_of(least - 1).map_or(0, |before| before + 1);
            assert_eq!(before, place, "the places follow each other");
        }
        assert_eq!(place_of(u64::MAX), Some(LENGTHS - 1));
    }
}
