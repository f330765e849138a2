//! Numbers that can be added up.

use super::carried::CarriedSum;
use super::exact::ExactSum;
use super::unsigned::UnsignedSum;
use super::wide::WideSum;
use crate::record::Record;
use alloc::format;
use alloc::string::String;

/// An integer or a float, with the states that its sum and its mean are kept in.
///
/// Nothing wraps, and the order in which numbers are added cannot show. Only what a sum comes to may not fit:
///
/// | numbers | state of a sum | sum | beyond its range | state of a mean |
/// |---|---|---|---|---|
/// | `u8` `u16` `u32` `u64` | 64 bits, which stop at the end | `u64`, below 2^64 - 1 | [`Overflow`] | 128 bits |
/// | `i8` `i16` `i32` `i64` | 128 bits | `i64` | [`Overflow`] | 128 bits |
/// | `u128`, `i128` | 192 bits | the same | [`Overflow`] | 192 bits |
/// | `f32` `f64` | [`ExactSum`] | `f64`, rounded once | an infinity, as in IEEE 754 | [`ExactSum`] |
/// | [`Rounded`](super::Rounded) | 64 bits | `f64`, rounded at each addition: the order shows | the same | 64 bits |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a number that can be added up",
    label = "no number",
    note = "`sum` and `avg` take integers, `f32` and `f64`"
)]
pub trait Number: Record + Copy {
    /// The state of a sum.
    type Sum: Adds<Self>;
    /// What a sum comes to.
    type Total;
    /// The state of a mean.
    type Mean: Adds<Self>;

    /// What a sum comes to.
    ///
    /// # Errors
    /// When that is no [`Total`](Self::Total).
    fn total(sum: &Self::Sum) -> Result<Self::Total, Overflow>;
    /// The sum divided by `count`, rounded once.
    fn mean(sum: &Self::Mean, count: u64) -> f64;
}

/// A sum of `V`s, in whatever order they come. Begins with nothing.
pub trait Adds<V>: Record + Clone + Default {
    /// Adds a number.
    fn add(&mut self, value: V);
    /// Adds another sum.
    fn merge(&mut self, other: &Self);
}

/// A result that the type of the result cannot hold: the job stops and says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Overflow {
    /// What does not fit into what, and what to do.
    pub message: String,
}

impl core::fmt::Display for Overflow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::fmt::Debug for Overflow {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Overflow {}

const WIDER: &str = "sum `i128`s, `.sum(|r| i128::from(r.field))`";

macro_rules! unsigned {
    ($($type:ident),*) => { $(
        impl Number for $type {
            type Sum = UnsignedSum;
            type Total = u64;
            type Mean = CarriedSum;
            #[inline(always)]
            fn total(sum: &UnsignedSum) -> Result<u64, Overflow> {
                sum.get().ok_or_else(|| beyond(format_args!("{} or more", u64::MAX), "u64", WIDER))
            }
            fn mean(sum: &CarriedSum, count: u64) -> f64 {
                quotient(sum.get(), count)
            }
        }
    )* };
}
unsigned!(u8, u16, u32, u64);

macro_rules! signed {
    ($($type:ident),*) => { $(
        impl Number for $type {
            type Sum = CarriedSum;
            type Total = i64;
            type Mean = CarriedSum;
            #[inline(always)]
            fn total(sum: &CarriedSum) -> Result<i64, Overflow> {
                let sum = sum.get();
                i64::try_from(sum).map_err(|_| beyond(sum, "i64", WIDER))
            }
            fn mean(sum: &CarriedSum, count: u64) -> f64 {
                quotient(sum.get(), count)
            }
        }
    )* };
}
signed!(i8, i16, i32, i64);

macro_rules! wide_integers {
    ($($type:ident),*) => { $(
        impl Number for $type {
            type Sum = WideSum;
            type Total = $type;
            type Mean = WideSum;
            fn total(sum: &WideSum) -> Result<$type, Overflow> {
                $type::try_from(*sum).map_err(|()| beyond(sum.approximate(), stringify!($type), "sum floats, or use an `Aggregate` of your own"))
            }
            fn mean(sum: &WideSum, count: u64) -> f64 {
                match i128::try_from(*sum) {
                    Ok(sum) => quotient(sum, count),
                    Err(()) => sum.approximate() / count as f64,
                }
            }
        }
    )* };
}
wide_integers!(u128, i128);

macro_rules! floats {
    ($($type:ty),*) => { $(
        impl Number for $type {
            type Sum = ExactSum;
            type Total = f64;
            type Mean = ExactSum;
            fn total(sum: &ExactSum) -> Result<f64, Overflow> {
                Ok(sum.total())
            }
            fn mean(sum: &ExactSum, count: u64) -> f64 {
                sum.mean(count)
            }
        }
        impl Adds<$type> for ExactSum {
            fn add(&mut self, value: $type) {
                self.add(f64::from(value));
            }
            fn merge(&mut self, other: &ExactSum) {
                self.merge(other);
            }
        }
    )* };
}
floats!(f32, f64);

#[cold]
fn beyond(sum: impl core::fmt::Display, total: &str, advice: &str) -> Overflow {
    Overflow { message: format!("a sum of {sum} does not fit into `{total}`: {advice}") }
}

/// `sum` divided by `count`, rounded to the nearest `f64`, ties to even.
fn quotient(sum: i128, count: u64) -> f64 {
    const EXACT: u128 = 1 << 53;
    let (magnitude, divisor) = (sum.unsigned_abs(), u128::from(count));
    let quotient = if magnitude <= EXACT || divisor == 0 || divisor > EXACT {
        // Both are floats as they are, so the division is the only rounding. Nobody has counted to 2^53.
        magnitude as f64 / count as f64
    } else {
        let (whole, rest) = (magnitude / divisor, magnitude % divisor);
        let exact = |bits: u128, rest: u128| (bits | u128::from(rest > 0)) as f64;
        if whole >> 56 > 0 {
            // More bits than an `f64` has, so that of the rest it only matters whether there is one.
            exact(whole, rest)
        } else {
            let fraction = rest << 64;
            exact((whole << 64) | (fraction / divisor), fraction % divisor) / (1u128 << 64) as f64
        }
    };
    if sum < 0 { -quotient } else { quotient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::fold;

    /// By definition: the float nearest to the fraction, found among its neighbours by exact arithmetic on small enough numbers.
    #[test]
    fn means_are_rounded_once() {
        let mut rounded_twice = 0;
        for i in 0..200_000u64 {
            let count = 1 + fold(3 * i) % 1_000;
            let sum = i128::from(fold(3 * i + 1) as i64) * i128::from(1 + fold(3 * i + 2) % 1_000);
            let mean = quotient(sum, count);
            // Distances from sum / count, times count, in units of 2^-64: whole numbers that fit.
            let distance = |float: f64| {
                let scaled = float.abs();
                let whole = scaled as u128;
                let fraction = ((scaled - whole as f64) * (1u128 << 20) as f64) as u128;
                let product = ((whole * u128::from(count)) << 20) + fraction * u128::from(count);
                product.abs_diff(sum.unsigned_abs() << 20)
            };
            // What has no more than 20 bits behind the point is a whole number in that unit.
            if mean.abs() >= (1u64 << 33) as f64 {
                let (up, down) = (mean.next_up(), mean.next_down());
                assert!(distance(mean) <= distance(up).min(distance(down)), "{sum} / {count} = {mean:e}");
                rounded_twice += u32::from(mean != sum as f64 / count as f64);
            }
        }
        assert!(rounded_twice > 1_000, "the plain way is wrong at times: {rounded_twice}");
        assert_eq!(quotient(i128::MIN, 1), -(2f64.powi(127)));
        assert_eq!(quotient(-3, 2), -1.5);
        assert_eq!(quotient(i128::from(u64::MAX) * 3, 3), u64::MAX as f64);
    }
}
