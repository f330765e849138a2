//! The open-loop schedule: when each event is due, whatever the engine does.
//!
//! Event `i` is due `i / rate` seconds after the start. A generator that falls behind does not slow the schedule
//! down; the delay shows up in the latencies, which is the point (no coordinated omission). Arithmetic is in
//! 128 bits, so that neither long runs nor odd rates drift. This module never reads a clock.

/// Nanoseconds per second.
const SECOND: u128 = 1_000_000_000;

/// How fast, how long before recording, and how long recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Events per second, over all partitions together; at least 1.
    pub rate: u64,
    /// Milliseconds at the beginning whose windows are not recorded.
    pub warmup_ms: u64,
    /// Milliseconds recorded after the warm-up.
    pub duration_ms: u64,
}

impl Schedule {
    /// How many events the whole run has.
    pub fn events(&self) -> u64 {
        let total_ms = u128::from(self.warmup_ms) + u128::from(self.duration_ms);
        u64::try_from(total_ms * u128::from(self.rate) / 1000).expect("a run has fewer than 2^64 events")
    }

    /// Nanoseconds after the start at which event `i` is due.
    #[inline]
    pub fn due_ns(&self, i: u64) -> u64 {
        (u128::from(i) * SECOND / u128::from(self.rate)) as u64
    }

    /// The event time of event `i`: the millisecond in which it is due.
    #[inline]
    pub fn time_ms(&self, i: u64) -> u64 {
        self.due_ns(i) / 1_000_000
    }

    /// The whole length of the run in milliseconds.
    pub fn total_ms(&self) -> u64 {
        self.warmup_ms + self.duration_ms
    }

    /// Whether a window of `window_ms` that ends at `end_ms` lies whole in the recorded part.
    #[inline]
    pub fn records(&self, end_ms: u64, window_ms: u64) -> bool {
        end_ms >= self.warmup_ms + window_ms && end_ms <= self.total_ms()
    }

    /// The ends of the recorded windows, in order.
    pub fn recorded_ends(&self, window_ms: u64) -> impl Iterator<Item = u64> + use<> {
        let schedule = *self;
        let first = (self.warmup_ms + window_ms).next_multiple_of(window_ms);
        (first..=self.total_ms()).step_by(window_ms as usize).filter(move |&e| schedule.records(e, window_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u64; 7] = [1, 3, 7, 999, 100_000, 999_983, 50_000_000];

    fn schedule(rate: u64) -> Schedule {
        Schedule { rate, warmup_ms: 1_000, duration_ms: 2_000 }
    }

    #[test]
    fn events_are_due_in_order_and_never_early() {
        for rate in RATES {
            let s = schedule(rate);
            let mut last = 0;
            for i in (0..s.events()).step_by(1 + s.events() as usize / 10_000) {
                let due = s.due_ns(i);
                assert!(due >= last, "event {i} at {rate}/s");
                // due <= i / rate < due + 1, exactly
                assert!(u128::from(due) * u128::from(rate) <= u128::from(i) * SECOND);
                assert!(u128::from(due + 1) * u128::from(rate) > u128::from(i) * SECOND);
                last = due;
            }
        }
    }

    #[test]
    fn the_rate_holds_over_every_whole_second() {
        for rate in RATES {
            let s = schedule(rate);
            for second in 0..1_000 {
                assert_eq!(s.due_ns(second * rate), second * 1_000_000_000);
            }
        }
    }

    #[test]
    fn a_month_at_full_speed_neither_overflows_nor_drifts() {
        let s = schedule(50_000_000);
        let month = 30 * 24 * 3600;
        assert_eq!(s.due_ns(month * s.rate), month * 1_000_000_000);
    }

    #[test]
    fn the_last_event_is_due_before_the_end() {
        for rate in RATES {
            let s = schedule(rate);
            assert_eq!(s.events(), 3 * rate);
            assert!(s.time_ms(s.events() - 1) < s.total_ms());
        }
    }

    #[test]
    fn only_windows_after_the_warm_up_are_recorded() {
        let s = schedule(100);
        let ends: Vec<u64> = s.recorded_ends(10).collect();
        assert_eq!((ends[0], *ends.last().unwrap(), ends.len()), (1_010, 3_000, 200));
        let odd = Schedule { rate: 1, warmup_ms: 15, duration_ms: 30 };
        assert_eq!(odd.recorded_ends(10).collect::<Vec<_>>(), [30, 40]);
    }
}
