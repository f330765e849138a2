//! Latency histograms and the percentiles shown of them.
//!
//! Values are nanoseconds, kept to three significant digits up to an hour. A histogram is allocated whole when it
//! is made (about 260 KiB), so recording never allocates; it costs a few nanoseconds.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The largest value told apart from larger ones.
const VALUE_NS_MAX: u64 = 3_600_000_000_000;

/// Recorded latencies or gaps.
#[derive(Clone, Debug)]
pub struct Latencies {
    ns: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let ns = Histogram::new_with_bounds(1, VALUE_NS_MAX, 3).expect("these bounds are valid");
        Latencies { ns }
    }
}

impl Latencies {
    /// Records one value.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.ns.saturating_record(ns);
    }

    /// Records the same value `times` times.
    pub fn record_n(&mut self, ns: u64, times: u64) {
        self.ns.saturating_record_n(ns, times);
    }

    /// Adds everything another histogram has.
    pub fn merge(mut self, other: &Latencies) -> Latencies {
        self.ns.add(&other.ns).expect("all histograms have the same bounds");
        self
    }

    /// How many values were recorded.
    pub fn samples(&self) -> u64 {
        self.ns.len()
    }

    /// How many values above `ns` were recorded.
    pub fn above(&self, ns: u64) -> u64 {
        self.ns.iter_recorded().filter(|v| v.value_iterated_to() > ns).map(|v| v.count_at_value()).sum()
    }

    /// The value in nanoseconds that a share `quantile` (0 to 1) of the samples does not exceed.
    pub fn at(&self, quantile: f64) -> u64 {
        self.ns.value_at_quantile(quantile).min(self.ns.max())
    }

    /// The usual percentiles in microseconds.
    pub fn percentiles(&self) -> Percentiles {
        let us = |ns: u64| (ns as f64 / 100.0).round() / 10.0;
        Percentiles {
            p50: us(self.at(0.5)),
            p90: us(self.at(0.9)),
            p99: us(self.at(0.99)),
            p999: us(self.at(0.999)),
            p9999: us(self.at(0.9999)),
            max: us(self.ns.max()),
            samples: self.samples(),
        }
    }
}

/// The percentiles printed of a histogram, in microseconds with one decimal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of the samples are no larger.
    pub p50: f64,
    /// 90 % of the samples are no larger.
    pub p90: f64,
    /// 99 % of the samples are no larger.
    pub p99: f64,
    /// 99.9 % of the samples are no larger.
    pub p999: f64,
    /// 99.99 % of the samples are no larger.
    pub p9999: f64,
    /// The largest sample.
    pub max: f64,
    /// How many samples.
    pub samples: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_known_distribution() {
        let mut all = Latencies::default();
        for us in 1..=10_000 {
            all.record(us * 1000);
        }
        let p = all.percentiles();
        for (got, expected) in
            [(p.p50, 5_000.0), (p.p90, 9_000.0), (p.p99, 9_900.0), (p.p999, 9_990.0), (p.max, 10_000.0)]
        {
            assert!((got - expected).abs() <= expected / 1000.0, "{got} against {expected}");
        }
        assert_eq!(p.samples, 10_000);
        assert_eq!(all.above(9_000_000) / 10, 100);
    }

    #[test]
    fn merged_parts_equal_the_whole_and_extremes_are_kept() {
        let (mut left, mut right, mut all) =
            (Latencies::default(), Latencies::default(), Latencies::default());
        for i in 0..1_000u64 {
            if i % 2 == 0 {
                left.record(i)
            } else {
                right.record(i)
            }
            all.record(i);
        }
        left.record_n(u64::MAX, 2);
        all.record_n(u64::MAX, 2);
        let merged = left.merge(&right);
        assert_eq!(merged.percentiles(), all.percentiles());
        assert!(merged.percentiles().max >= VALUE_NS_MAX as f64 / 1000.0);
    }

    #[test]
    fn an_empty_histogram_shows_zeroes() {
        let p = Latencies::default().percentiles();
        assert_eq!((p.p50, p.max, p.samples), (0.0, 0.0, 0));
    }
}
