//! The machine's own floor: the latencies the same schedule would show if the engine took no time at all.
//!
//! A row of `lat_tumble` cannot leave before every core has seen the clock pass its window's end. So pinned threads
//! spin on the run's cores, reading the clock, and for every window end of the schedule each takes its first
//! read at or after that end. What the latest core adds to the end is the floor of every row of that window. Where the
//! machine takes a core away for five milliseconds (interrupts, another process, the hypervisor), the floor shows
//! five milliseconds, and no engine on it can show less.
//!
//! Half of the windows are measured before the engine's part and half after it, so that a change of the machine's
//! mood in between shows in both. The gaps between successive clock reads are kept as well.

use crate::clock::now_ns;
use crate::error::BenchError;
use crate::hist::Latencies;
use pelton_cli::Interrupt;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time for the threads to start before the first window end.
const LEAD_NS: u64 = 20_000_000;

/// What one or both parts have seen.
#[derive(Clone, Debug, Default)]
pub struct Floor {
    /// For each window end (ms): how long after it the slowest core first saw the clock past it, in ns.
    after_end_ns: BTreeMap<u64, u64>,
    /// Gaps between successive clock reads on all cores.
    gaps: Latencies,
    /// Nanoseconds watched, over all cores.
    watched_ns: u64,
    /// Nanoseconds in gaps that count as lost, over all cores.
    lost_ns: u64,
}

/// A gap longer than this is time the machine took, not the loop.
const LOST_NS_MIN: u64 = 10_000;

/// What one core saw.
struct Watch {
    after_end_ns: Vec<u64>,
    gaps: Latencies,
    watched_ns: u64,
    lost_ns: u64,
}

impl Floor {
    /// Watches the clock on `cores` over the windows that end at `ends_ms`.
    pub fn measure(
        cores: &[usize],
        pin: bool,
        ends_ms: &[u64],
        interrupt: &Interrupt,
    ) -> Result<Floor, BenchError> {
        let (Some(&first), Some(&last)) = (ends_ms.first(), ends_ms.last()) else {
            return Ok(Floor::default());
        };
        let base = now_ns() + LEAD_NS;
        let ends: Vec<u64> = ends_ms.iter().map(|end| base + (end - first) * 1_000_000).collect();
        let stop = AtomicBool::new(false);
        let watches: Result<Vec<Watch>, BenchError> = std::thread::scope(|scope| {
            let threads: Vec<_> = cores
                .iter()
                .map(|&core| {
                    let (ends, stop) = (&ends, &stop);
                    scope.spawn(move || {
                        let pinned =
                            !pin || core_affinity::set_for_current(core_affinity::CoreId { id: core });
                        if pinned { Ok(watch(ends, stop)) } else { Err(BenchError::Pin { core }) }
                    })
                })
                .collect();
            // This thread must not take a core from the watching ones: it sleeps until they are done.
            let length = Duration::from_nanos(LEAD_NS) + Duration::from_millis(last - first);
            if interrupt.wait(length) {
                stop.store(true, Ordering::Relaxed);
            }
            threads.into_iter().map(|t| t.join().expect("watching the clock cannot panic")).collect()
        });
        let watches = watches?;
        if interrupt.is_raised() {
            return Err(BenchError::Interrupted);
        }
        let mut floor = Floor::default();
        for watch in watches {
            for (&end, after) in ends_ms.iter().zip(watch.after_end_ns) {
                let slowest = floor.after_end_ns.entry(end).or_default();
                *slowest = after.max(*slowest);
            }
            floor.gaps = floor.gaps.merge(&watch.gaps);
            floor.watched_ns += watch.watched_ns;
            floor.lost_ns += watch.lost_ns;
        }
        Ok(floor)
    }

    /// Puts the two parts together.
    pub fn merge(mut self, other: Floor) -> Floor {
        self.after_end_ns.extend(other.after_end_ns);
        self.gaps = self.gaps.merge(&other.gaps);
        self.watched_ns += other.watched_ns;
        self.lost_ns += other.lost_ns;
        self
    }

    /// The latencies an engine that takes no time would show: each window counts once per row it has.
    pub fn latencies(&self, rows_by_end_ms: &BTreeMap<u64, u64>) -> Latencies {
        let mut latencies = Latencies::default();
        for (end, &after_ns) in &self.after_end_ns {
            latencies.record_n(after_ns, rows_by_end_ms.get(end).copied().unwrap_or(0));
        }
        latencies
    }

    /// The gaps in short.
    pub fn gaps(&self) -> ClockGaps {
        ClockGaps {
            over_10us: self.gaps.above(10_000),
            over_100us: self.gaps.above(100_000),
            over_1ms: self.gaps.above(1_000_000),
            max_us: self.gaps.percentiles().max,
            lost_percent: (self.lost_ns as f64 / self.watched_ns.max(1) as f64 * 100_000.0).round() / 1000.0,
        }
    }
}

/// How often, and for how long, the machine kept the clock from a spinning thread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClockGaps {
    /// Gaps longer than 10 µs.
    pub over_10us: u64,
    /// Gaps longer than 100 µs.
    pub over_100us: u64,
    /// Gaps longer than 1 ms.
    pub over_1ms: u64,
    /// The longest gap, in microseconds.
    pub max_us: f64,
    /// The share of the time spent in gaps longer than 10 µs.
    pub lost_percent: f64,
}

/// Reads the clock over and over until the last of `ends` has passed.
fn watch(ends: &[u64], stop: &AtomicBool) -> Watch {
    let mut watch = Watch {
        after_end_ns: Vec::with_capacity(ends.len()),
        gaps: Latencies::default(),
        watched_ns: 0,
        lost_ns: 0,
    };
    let start = now_ns();
    let mut last = start;
    while watch.after_end_ns.len() < ends.len() && !stop.load(Ordering::Relaxed) {
        let now = now_ns();
        let gap = now - last;
        last = now;
        watch.gaps.record(gap);
        if gap > LOST_NS_MIN {
            watch.lost_ns += gap;
        }
        let passed = ends[watch.after_end_ns.len()..].iter().take_while(|&&end| end <= now);
        watch.after_end_ns.extend(passed.map(|end| now - end));
    }
    watch.watched_ns = last - start;
    watch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(after: &[(u64, u64)]) -> Floor {
        Floor { after_end_ns: after.iter().copied().collect(), ..Floor::default() }
    }

    #[test]
    fn a_window_counts_once_per_row() {
        let parts = floor(&[(10, 1_000), (20, 50_000)]).merge(floor(&[(30, 2_000_000)]));
        let rows = BTreeMap::from([(10, 98), (20, 1), (30, 1)]);
        let percentiles = parts.latencies(&rows).percentiles();
        assert_eq!(percentiles.samples, 100);
        assert!((percentiles.p50 - 1.0).abs() < 0.1, "{percentiles:?}");
        assert!((percentiles.p99 - 50.0).abs() < 0.1, "{percentiles:?}");
        assert!((percentiles.max - 2_000.0).abs() < 2.0, "{percentiles:?}");
    }

    #[test]
    fn every_window_end_gets_a_sample() {
        let ends: Vec<u64> = (100..150).step_by(10).collect();
        let measured = Floor::measure(&[0], false, &ends, &Interrupt::default()).unwrap();
        assert_eq!(measured.after_end_ns.keys().copied().collect::<Vec<_>>(), ends);
        assert!(measured.watched_ns >= 40_000_000);
        assert!(measured.gaps.samples() > 0);
    }

    #[test]
    fn an_interrupt_ends_it_and_a_core_that_does_not_exist_is_named() {
        let interrupt = Interrupt::default();
        interrupt.raise();
        let long = [0, 3_600_000];
        assert!(matches!(Floor::measure(&[0], false, &long, &interrupt), Err(BenchError::Interrupted)));
        let nowhere = Floor::measure(&[1_000], true, &[10], &Interrupt::default());
        assert!(matches!(nowhere, Err(BenchError::Pin { core: 1_000 })));
    }
}
