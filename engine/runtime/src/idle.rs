//! What a core does when a cycle found nothing to do.
//!
//! Kept outside the duty cycle, as in Aeron: the cycle says only whether there was work, and this decides between
//! going on, spinning, a last look with the doorbell armed, and sleeping. Spinning answers within a ring hop and takes
//! a whole CPU; parking takes next to none and answers after a wake-up of some 50 µs. Every sleep is bounded, so that
//! a source which nobody rings for (a file, a schedule) is still polled.

use crate::config::{IdleConfig, IdleStrategy};
use pelton_core::Nanos;
use pelton_core::exchange::doorbell::Doorbell;
use std::time::Duration;

/// What to do before the next cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: go on at once.
    None,
    /// Give the other hardware thread a moment.
    Spin,
    /// Sleep until the doorbell rings, but no longer than this.
    Park(Duration),
}

/// The idle strategy of one core.
#[derive(Debug)]
pub(crate) struct Idle {
    /// How long to spin before parking; `None` never parks.
    spin_ns: Option<u64>,
    park: Duration,
    /// The first cycle without work since the last one with.
    since: Option<Nanos>,
    /// The doorbell is armed and this was the last look before sleeping.
    armed: bool,
}

impl Idle {
    pub(crate) fn new(config: &IdleConfig) -> Self {
        let spin_ns = match config.strategy {
            IdleStrategy::Spin => None,
            IdleStrategy::SpinThenPark => Some(config.spin_us.saturating_mul(1_000)),
            IdleStrategy::Park => Some(0),
        };
        Idle { spin_ns, park: Duration::from_micros(config.park_us), since: None, armed: false }
    }

    /// The rest after a cycle that began at `now`. `bell` is the core's own.
    #[inline]
    pub(crate) fn after(&mut self, now: Nanos, worked: bool, bell: &Doorbell) -> Rest {
        if worked {
            if self.armed {
                self.armed = false;
                bell.disarm();
            }
            self.since = None;
            return Rest::None;
        }
        let idle_ns = now.0.saturating_sub(self.since.get_or_insert(now).0);
        match self.spin_ns {
            Some(spin_ns) if idle_ns >= spin_ns => {}
            _ => return Rest::Spin,
        }
        if self.armed {
            self.armed = false;
            Rest::Park(self.park)
        } else {
            self.armed = true;
            bell.arm();
            Rest::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(strategy: IdleStrategy) -> (Idle, Doorbell) {
        (Idle::new(&IdleConfig { strategy, spin_us: 10, park_us: 700 }), Doorbell::new())
    }

    const PARK: Rest = Rest::Park(Duration::from_micros(700));

    #[test]
    fn spinning_never_sleeps() {
        let (mut idle, bell) = idle(IdleStrategy::Spin);
        for now in [0, 1_000, 1_000_000_000] {
            assert_eq!(idle.after(Nanos(now), false, &bell), Rest::Spin);
        }
        assert!(!bell.is_armed());
    }

    #[test]
    fn parking_looks_once_more_with_the_bell_armed() {
        let (mut idle, bell) = idle(IdleStrategy::Park);
        assert_eq!(idle.after(Nanos(0), false, &bell), Rest::None);
        assert!(bell.is_armed());
        assert_eq!(idle.after(Nanos(1), false, &bell), PARK);
    }

    #[test]
    fn work_on_the_last_look_disarms_the_bell() {
        let (mut idle, bell) = idle(IdleStrategy::Park);
        idle.after(Nanos(0), false, &bell);
        assert_eq!(idle.after(Nanos(1), true, &bell), Rest::None);
        assert!(!bell.is_armed());
        assert_eq!(
            idle.after(Nanos(2), false, &bell),
            Rest::None,
            "and the next sleep begins with a look again"
        );
    }

    #[test]
    fn spin_then_park_spins_first_and_again_only_after_work() {
        let (mut idle, bell) = idle(IdleStrategy::SpinThenPark);
        assert_eq!(idle.after(Nanos(5_000), false, &bell), Rest::Spin);
        assert_eq!(idle.after(Nanos(14_999), false, &bell), Rest::Spin);
        assert_eq!(idle.after(Nanos(15_000), false, &bell), Rest::None);
        assert_eq!(idle.after(Nanos(15_001), false, &bell), PARK);
        assert_eq!(
            idle.after(Nanos(16_000), false, &bell),
            Rest::None,
            "a second sleep needs no second spin"
        );
        assert_eq!(idle.after(Nanos(16_001), false, &bell), PARK);
        assert_eq!(idle.after(Nanos(17_000), true, &bell), Rest::None);
        assert_eq!(idle.after(Nanos(18_000), false, &bell), Rest::Spin);
    }
}
