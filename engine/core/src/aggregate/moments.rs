//! The count, the sum and the sum of squares of some numbers, exactly: what variances are made of.
//!
//! The usual ways (Welford's, and that of Chan, Golub and LeVeque for parts) round at each step, so that their last bits depend on the order of the
//! records and on the shards. The naive one, sums of `f64`s and one subtraction, loses everything where the numbers are large and alike. Here nothing is
//! rounded before the end: sums of integers are kept in 128 and 192 bits, those of floats in as many as there are ([`ExactSum`]), and
//! `n * squares - sum * sum`, which is where the naive way loses, is computed in integers of up to 4,400 bits. One rounding is left.
//!
//! Costs 48 bytes for each key of integers, and 840 of floats; a result of floats takes some microseconds.

use super::carried::CarriedSum;
use super::exact::{ExactSum, LOWEST, parts};
use super::number::Adds;
use super::rounding::spread;
use crate::record::{Record, struct_record};
use rkyv::{Archive, Deserialize, Serialize};

/// A number that has a variance: integers of up to 64 bits, `f32` and `f64`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a number that a variance can be taken of",
    label = "no such number",
    note = "variances and standard deviations take integers of up to 64 bits, `f32` and `f64`; \
            an `i128` or `u128` can be made an `f64`"
)]
pub trait Varies: Record + Copy {
    /// The state of a variance.
    type Moments: Moments<Self>;
}

/// What a variance is made of, in whatever order numbers come. Begins with nothing.
pub trait Moments<V>: Record + Clone + Default {
    /// Adds a number.
    fn add(&mut self, value: V);
    /// Adds what another one holds.
    fn merge(&mut self, other: &Self);
    /// How many numbers were added.
    fn count(&self) -> u64;
    /// The sum of the squared distances from the mean, divided by `by`, rounded once; `count() >= 1` and `by >= 1`.
    fn spread(&self, by: u64) -> f64;
}

/// Words of a sum of squares of integers: 2^63 of 128 bits fit.
const INTEGER_WORDS: usize = 3;
/// Words of a sum of squares of floats, in units of 2^-2148: 4,196 bits of values, and 63 of carries.
const FLOAT_WORDS: usize = 67;

/// Those of integers of up to 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct IntegerMoments {
    count: u64,
    sum: CarriedSum,
    squares: [u64; INTEGER_WORDS],
}
struct_record!(IntegerMoments { count: u64, sum: CarriedSum, squares: [u64; INTEGER_WORDS] });

/// Those of floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct FloatMoments {
    count: u64,
    sum: ExactSum,
    squares: [u64; FLOAT_WORDS],
}
struct_record!(FloatMoments { count: u64, sum: ExactSum, squares: [u64; FLOAT_WORDS] });

impl Default for FloatMoments {
    fn default() -> Self {
        FloatMoments { count: 0, sum: ExactSum::default(), squares: [0; FLOAT_WORDS] }
    }
}

/// Adds `parts` to the number, from the word `at` on.
fn add(words: &mut [u64], at: usize, parts: &[u64]) {
    let mut carry = false;
    for (number, word) in words[at..].iter_mut().enumerate() {
        let part = parts.get(number).copied().unwrap_or(0);
        if number >= parts.len() && !carry {
            break;
        }
        (*word, carry) = word.carrying_add(part, carry);
    }
}

macro_rules! integers {
    ($($type:ident),*) => { $(
        impl Varies for $type {
            type Moments = IntegerMoments;
        }
        impl Moments<$type> for IntegerMoments {
            #[inline]
            fn add(&mut self, value: $type) {
                self.count += 1;
                self.sum.add(value);
                let magnitude = i128::from(value).unsigned_abs();
                let square = magnitude * magnitude;
                add(&mut self.squares, 0, &[square as u64, (square >> 64) as u64]);
            }
            fn merge(&mut self, other: &Self) {
                self.count += other.count;
                Adds::<$type>::merge(&mut self.sum, &other.sum);
                add(&mut self.squares, 0, &other.squares);
            }
            fn count(&self) -> u64 {
                self.count
            }
            fn spread(&self, by: u64) -> f64 {
                let sum = self.sum.get().unsigned_abs();
                spread(&[sum as u64, (sum >> 64) as u64], &self.squares, self.count, by, 0)
            }
        }
    )* };
}
integers!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! floats {
    ($($type:ty),*) => { $(
        impl Varies for $type {
            type Moments = FloatMoments;
        }
        impl Moments<$type> for FloatMoments {
            fn add(&mut self, value: $type) {
                let value = f64::from(value);
                self.count += 1;
                self.sum.add(value);
                if value.is_finite() {
                    let (bits, shift) = parts(value);
                    let square = u128::from(bits) * u128::from(bits);
                    let (at, by) = (2 * shift / 64, 2 * shift % 64);
                    let low = square << by;
                    let high = if by == 0 { 0 } else { (square >> (128 - by)) as u64 };
                    add(&mut self.squares, at, &[low as u64, (low >> 64) as u64, high]);
                }
            }
            fn merge(&mut self, other: &Self) {
                self.count += other.count;
                self.sum.merge(&other.sum);
                add(&mut self.squares, 0, &other.squares);
            }
            fn count(&self) -> u64 {
                self.count
            }
            fn spread(&self, by: u64) -> f64 {
                if !self.sum.is_finite() {
                    return f64::NAN;
                }
                spread(&self.sum.magnitude().1, &self.squares, self.count, by, 2 * LOWEST)
            }
        }
    )* };
}
floats!(f32, f64);
