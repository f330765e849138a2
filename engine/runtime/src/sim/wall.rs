//! The wall clock of a simulated machine: somewhere in time, and put forward and back now and then.

use super::Chance;
use pelton_core::{EventTime, Nanos};

/// Readings that follow from a seed.
pub(super) struct WallClock {
    chance: Chance,
    /// What it shows less the driver's clock.
    ahead: i64,
}

impl WallClock {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "wall clock");
        let ahead = 1_500_000_000_000_000_000 + chance.below(1 << 60) as i64;
        WallClock { chance, ahead }
    }

    /// What it shows when the driver's clock shows `now`.
    pub(super) fn read(&mut self, now: Nanos) -> EventTime {
        if self.chance.below(500) == 0 {
            // By up to 50 ms, back as often as forward.
            self.ahead += self.chance.below(100_000_000) as i64 - 50_000_000;
        }
        EventTime(self.ahead + now.0 as i64)
    }
}
