//! Floats that are added as the processor adds them.

use super::number::{Adds, Number, Overflow};
use crate::record::struct_record;
use rkyv::{Archive, Deserialize, Serialize};

/// A float whose sum is rounded at every addition: 8 bytes for each key, where the exact sum of an `f64` takes 296.
///
/// What it gives up is that the order of addition does not show. The same log gives the same sum in windows that do not overlap, restarts and replays
/// included; another number of shards, other ticks, and in windows that overlap a restart or a want of memory, may change its last bits, and sums of large
/// numbers of both signs may lose all of theirs.
///
/// ```
/// use pelton::aggregate::Rounded;
/// use pelton::prelude::*;
///
/// let rows = collect();
/// Job::new("watts")
///     .source(from_iter(|| [0.25, 0.5, 1.0]))
///     .event_time(|_| EventTime::from_secs(1), in_order())
///     .key_by(|_| ())
///     .window(tumbling(secs(60)))
///     .sum(|watts| Rounded(*watts))
///     .sink(rows.clone())
///     .run()?;
/// assert_eq!(rows.take()[0].value, 1.75);
/// # Ok::<(), pelton::JobError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub struct Rounded(pub f64);

/// A sum of [`Rounded`] floats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Archive, Serialize, Deserialize)]
pub struct RoundedSum {
    sum: f64,
}
struct_record!(RoundedSum { sum: f64 });

impl crate::record::Record for Rounded {
    const SCHEMA: &'static crate::record::schema::Schema = <f64 as crate::record::Record>::SCHEMA;
    #[inline(always)]
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Adds<Rounded> for RoundedSum {
    #[inline(always)]
    fn add(&mut self, value: Rounded) {
        self.sum += value.0;
    }
    #[inline(always)]
    fn merge(&mut self, other: &RoundedSum) {
        self.sum += other.sum;
    }
}

impl Number for Rounded {
    type Sum = RoundedSum;
    type Total = f64;
    type Mean = RoundedSum;

    #[inline(always)]
    fn total(sum: &RoundedSum) -> Result<f64, Overflow> {
        Ok(sum.sum)
    }
    fn mean(sum: &RoundedSum, count: u64) -> f64 {
        sum.sum / count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Aggregate, avg, sum};

    #[test]
    fn it_is_what_the_processor_says() {
        let values = [1e16, 1.0, -1e16, 0.1, f64::MIN_POSITIVE];
        let (total, mean) = (sum(|v: &f64| Rounded(*v)), avg(|v: &f64| Rounded(*v)));
        let (mut sums, mut means) = (total.empty(), mean.empty());
        let mut twin = 0.0;
        for value in values {
            total.add(&mut sums, total.item(&value));
            mean.add(&mut means, mean.item(&value));
            twin += value;
        }
        assert_eq!((total.finish(&sums), mean.finish(&means)), (twin, twin / 5.0));
        assert_ne!(twin, 1.1, "one was lost");
        let mut both = sums;
        total.merge(&mut both, &sums);
        assert_eq!(total.finish(&both), twin + twin);
        for special in [f64::INFINITY, f64::NAN] {
            let mut sums = sums;
            total.add(&mut sums, Rounded(special));
            assert_eq!(total.finish(&sums).to_bits(), (twin + special).to_bits());
        }
    }
}
