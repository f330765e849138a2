//! Quantiles by counting values in buckets whose width is a fixed part of the values.
//!
//! A bucket is all numbers that have the sign, the exponent and the first 8 bits behind the point in common, as the bits of an `f64` say, so that
//! finding it takes a shift. How many values are in each is all that is kept, so states are added by adding counts, and neither the order of the
//! values nor that of merging shows. (It is the layout of HdrHistogram, over all floats and with the empty buckets left out. KLL sketches and
//! t-digests take less memory, and their results depend on the order, and in part on chance.)
//!
//! ```text
//!  f64     | sign 1 | exponent 11 | mantissa 52: the first 8, and 44 |
//!  bucket  | sign   | exponent    | the first 8 |                        as a number, negative ones in reverse; NaN above all
//! ```

use super::Aggregate;
use super::entries::Entries;
use crate::record::Record;
use alloc::borrow::Cow;

/// Bits of a float that a bucket has not.
const WITHIN: u32 = 44;
/// The bucket of every NaN.
const NAN: i32 = i32::MAX;

/// A number that [`quantiles`] takes: integers and floats. What does not fit into an `f64` exactly is rounded to one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a number that quantiles can be taken of",
    label = "no number",
    note = "`quantiles` takes integers, `f32` and `f64`"
)]
pub trait Measured: Record + Copy {
    /// The nearest float.
    fn to_f64(self) -> f64;
}

macro_rules! measured {
    ($($type:ty),*) => { $(impl Measured for $type {
        #[inline(always)]
        fn to_f64(self) -> f64 {
            self as f64
        }
    })* };
}
measured!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

#[inline(always)]
fn bucket(value: f64) -> i32 {
    if value.is_nan() {
        return NAN;
    }
    let magnitude = (value.abs().to_bits() >> WITHIN) as i32;
    if value < 0.0 { !magnitude } else { magnitude }
}

/// The number of a bucket that is nearest to zero.
fn least_of(bucket: i32) -> f64 {
    if bucket == NAN {
        return f64::NAN;
    }
    let magnitude = if bucket < 0 { !bucket } else { bucket };
    let value = f64::from_bits((magnitude as u64) << WITHIN);
    // Negative numbers that are hardly any are 0 as well, and there is one 0.
    if bucket < 0 && value > 0.0 { -value } else { value }
}

/// Made by [`quantiles`].
#[derive(Clone, Copy, Debug)]
pub struct Quantiles<F, const N: usize> {
    f: F,
    at: [f64; N],
}

/// Quantiles of `f(record)`: for each `q` of `at` the value that at least that part of all values does not exceed (the value of rank `q * n`, rounded
/// up; SQL's `PERCENTILE_DISC`), as a float that is **nearer to zero by less than a part in 256** of it (0.4 %), and exact for integers to 512 in
/// either direction.
///
/// It does not depend on the order of the values, or on shards and ticks. A NaN is above every number, whatever its sign, and infinities are what they
/// are. What is nearer to zero than 2^-1030 counts as 0.
///
/// Costs some 25 bytes for each bucket that has a value: 256 for each factor of two, so 60 KiB at most for values from 1 to 1,000.
///
/// ```
/// use pelton::prelude::*;
///
/// let rows = collect();
/// Job::new("latencies")
///     .source(from_iter(|| (1..=1_000u64).map(|n| n * 1_000)))
///     .event_time(|_| EventTime::from_secs(1), in_order())
///     .key_by(|_| ())
///     .window(tumbling(secs(60)))
///     .aggregate(quantiles(|nanos: &u64| *nanos, [0.5, 0.99, 1.0]))
///     .sink(rows.clone())
///     .run()?;
/// let [median, p99, max] = rows.take()[0].value;
/// assert_eq!([median, p99, max], [499_712.0, 989_184.0, 999_424.0]); // of 500,000, 990,000 and 1,000,000
/// # Ok::<(), pelton::JobError>(())
/// ```
///
/// # Panics
/// When one of `at` is not between 0 and 1.
pub fn quantiles<F, const N: usize>(f: F, at: [f64; N]) -> Quantiles<F, N> {
    for q in at {
        assert!(
            (0.0..=1.0).contains(&q),
            "quantiles(.., [{q}]): a quantile is between 0 and 1, 0.99 for the 99th percentile"
        );
    }
    Quantiles { f, at }
}

/// The rank of a quantile among `count` values, from 1 on: `q * count` rounded up, exactly. 0.07 is a float a little above it, which of a hundred
/// would come to 8, so a quantile counts for the least number that the float may stand for.
fn rank(q: f64, count: u64) -> u64 {
    // q is bits * 2^-shift with up to 53 bits, so the product fits.
    let (bits, exponent) = super::exact::parts(q);
    let shift = (-super::exact::LOWEST) as u32 - exponent as u32;
    let product = u128::from(bits.saturating_sub(1)) * u128::from(count);
    let rounded = if shift > 127 { u128::from(product > 0) } else { product.div_ceil(1 << shift) };
    (rounded as u64).clamp(1, count)
}

impl<T, V: Measured, F: Fn(&T) -> V + Clone + Send + Sync + 'static, const N: usize> Aggregate<T>
    for Quantiles<F, N>
{
    type Item = V;
    type Acc = Entries<i32, u64>;
    type Out = [f64; N];

    // What is kept does not depend on which are asked for.
    fn kind(&self) -> Cow<'static, str> {
        "quantiles".into()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> V {
        (self.f)(record)
    }
    fn empty(&self) -> Self::Acc {
        Entries::default()
    }
    #[inline]
    fn add(&self, acc: &mut Self::Acc, item: V) {
        acc.count(bucket(item.to_f64()));
    }
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
        acc.add_counts(other);
    }
    fn finish(&self, acc: &Self::Acc) -> [f64; N] {
        let count: u64 = acc.iter().map(|(_, count)| *count).sum();
        let mut found = [f64::NAN; N];
        let mut ranks = [(0, 0); N];
        for (number, q) in self.at.iter().enumerate() {
            ranks[number] = (rank(*q, count), number);
        }
        ranks.sort_unstable();
        let mut ranks = ranks.into_iter().peekable();
        let mut below = 0;
        for (bucket, count) in acc.iter() {
            below += count;
            while let Some((_, number)) = ranks.next_if(|(rank, _)| *rank <= below) {
                found[number] = least_of(*bucket);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Ranked;
    use crate::aggregate::check::check;
    use crate::exchange::hash::fold;
    use alloc::format;
    use alloc::vec::Vec;

    const AT: [f64; 9] = [0.5, 0.0, 0.01, 0.25, 0.75, 0.99, 0.999, 1.0, 1.0 / 3.0];

    fn found<V: Measured>(values: &[V]) -> [f64; 9] {
        let quantiles = quantiles(|value: &V| *value, AT);
        let mut acc = Aggregate::<V>::empty(&quantiles);
        values.iter().for_each(|value| Aggregate::<V>::add(&quantiles, &mut acc, *value));
        let found = Aggregate::<V>::finish(&quantiles, &acc);
        assert_eq!(check(&quantiles, values), Some(format!("{found:?}")));
        found
    }

    /// Sorted, the value of each rank: within the bound, and on the side of zero.
    fn check_bound<V: Measured>(values: &[V]) {
        let mut sorted: Vec<f64> = values.iter().map(|value| value.to_f64()).collect();
        sorted.sort_by(|a, b| a.rank(b));
        for (q, found) in AT.into_iter().zip(found(values)) {
            let place = (q * values.len() as f64 - 1e-9).ceil() as usize;
            let exact = sorted[place.clamp(1, sorted.len()) - 1];
            assert!(found.abs() <= exact.abs(), "{q}: {found} for {exact}");
            assert!(
                (exact - found).abs() <= exact.abs() / 256.0 + 2f64.powi(-1030),
                "{q}: {found} for {exact}"
            );
        }
    }

    #[test]
    fn they_are_as_near_as_is_said() {
        for seed in 0..12u64 {
            let count = [1, 2, 3, 10, 100, 1_000][seed as usize % 6];
            let words: Vec<u64> = (0..count).map(|n| fold(seed << 32 | n)).collect();
            check_bound(&words);
            check_bound(&words.iter().map(|word| *word as i64).collect::<Vec<_>>());
            check_bound(&words.iter().map(|word| (*word >> 40) as u32).collect::<Vec<_>>());
            check_bound(&words.iter().map(|word| i128::from(*word as i64) << 40).collect::<Vec<_>>());
            let floats = words.iter().map(|word| f64::from_bits(*word)).filter(|value| value.is_finite());
            check_bound(&floats.collect::<Vec<_>>());
            let near: Vec<f32> = words.iter().map(|word| (*word >> 44) as f32 / 1e3 - 500.0).collect();
            check_bound(&near);
        }
    }

    #[test]
    fn small_integers_are_exact() {
        let values: Vec<i16> = (-512..=512).collect();
        for value in &values {
            assert_eq!(least_of(bucket(f64::from(*value))), f64::from(*value));
        }
        assert_eq!(found(&values)[..4], [0.0, -512.0, -502.0, -256.0]);
        assert_eq!(found(&[7u8]), [7.0; 9]);
    }

    #[test]
    fn buckets_are_in_the_order_of_their_numbers() {
        let mut values: Vec<f64> = (0..20_000).map(|n| f64::from_bits(fold(n))).collect();
        values.extend([f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 5e-324, -5e-324, f64::MAX, f64::MIN]);
        values.retain(|value| !value.is_nan());
        values.sort_by(f64::total_cmp);
        assert!(values.is_sorted_by_key(|value| bucket(*value)));
        assert!(bucket(f64::INFINITY) < NAN && least_of(bucket(f64::INFINITY)) == f64::INFINITY);
        assert_eq!(least_of(bucket(-5e-324)).to_bits(), 0, "no negative zero");
        assert_eq!(bucket(0.0), bucket(-0.0));
    }

    #[test]
    fn a_nan_of_either_sign_is_above_every_number() {
        for nan in [f64::NAN, -f64::NAN, f64::from_bits(0xfff8_0000_0000_0007)] {
            let [median, least, .., greatest, third] = found(&[1.0, nan, f64::NEG_INFINITY, f64::INFINITY]);
            assert_eq!((median, least, third), (1.0, f64::NEG_INFINITY, 1.0));
            assert!(greatest.is_nan());
            assert!(found(&[nan, nan]).iter().all(|value| value.is_nan()));
        }
    }

    #[test]
    fn ranks_are_rounded_up_as_decimals_are() {
        assert_eq!([0.0, 1e-300, 0.25, 0.26, 0.5, 0.75, 1.0].map(|q| rank(q, 4)), [1, 1, 1, 2, 2, 3, 4]);
        assert_eq!((rank(0.5, 1 << 50), rank(1.0, 1 << 50)), (1 << 49, 1 << 50));
        for thousandths in 1..=1_000u64 {
            let q = thousandths as f64 / 1_000.0;
            for count in [1, 7, 10, 100, 999, 1_000, 123_456_789, 1_000_000_000_000] {
                assert_eq!(rank(q, count), (thousandths * count).div_ceil(1_000), "{q} of {count}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "a quantile is between 0 and 1")]
    fn a_percentage_is_refused() {
        let _ = quantiles(|n: &u64| *n, [99.0]);
    }
}
