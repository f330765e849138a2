//! Numbers that can be added up.

use super::exact::ExactSum;
use super::wide::WideSum;
use crate::record::Record;
use alloc::format;
use alloc::string::String;

/// An integer or a float, with the state that its sum is kept in.
///
/// The state is wide enough for 2^63 numbers, so nothing wraps on the way and the order in which numbers are added cannot show. Only what the
/// sum comes to may not fit:
///
/// | numbers | state | sum | beyond its range |
/// |---|---|---|---|
/// | `u8` `u16` `u32` `u64` | 128 bits | `u64` | [`Overflow`] |
/// | `i8` `i16` `i32` `i64` | 128 bits | `i64` | [`Overflow`] |
/// | `u128`, `i128` | 192 bits | the same | [`Overflow`] |
/// | `f32` `f64` | [`ExactSum`] | `f64`, rounded once | an infinity, as in IEEE 754 |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a number that can be added up",
    label = "no number",
    note = "`sum` and `avg` take integers, `f32` and `f64`"
)]
pub trait Number: Record + Copy {
    /// The state of a sum and of a mean.
    type Sum: Record + Clone + Default;
    /// What a sum comes to.
    type Total;

    /// Adds to a sum.
    fn add(self, sum: &mut Self::Sum);
    /// Adds one sum to another.
    fn merge(sum: &mut Self::Sum, other: &Self::Sum);
    /// What a sum comes to.
    ///
    /// # Errors
    /// When that is no [`Total`](Self::Total).
    fn total(sum: &Self::Sum) -> Result<Self::Total, Overflow>;
    /// The sum divided by `count`, rounded once.
    fn mean(sum: &Self::Sum, count: u64) -> f64;
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

macro_rules! integers {
    ($($total:ident: $($type:ty),*;)*) => { $($(
        impl Number for $type {
            type Sum = i128;
            type Total = $total;
            #[inline(always)]
            fn add(self, sum: &mut i128) {
                *sum += i128::from(self);
            }
            fn merge(sum: &mut i128, other: &i128) {
                *sum += other;
            }
            fn total(sum: &i128) -> Result<$total, Overflow> {
                $total::try_from(*sum).map_err(|_| beyond(sum, stringify!($total), "sum `i128`s, `.sum(|r| i128::from(r.field))`"))
            }
            fn mean(sum: &i128, count: u64) -> f64 {
                quotient(*sum, count)
            }
        }
    )*)* };
}
integers! { u64: u8, u16, u32, u64; i64: i8, i16, i32, i64; }

macro_rules! wide_integers {
    ($($type:ident),*) => { $(
        impl Number for $type {
            type Sum = WideSum;
            type Total = $type;
            fn add(self, sum: &mut WideSum) {
                sum.add(WideSum::from(self));
            }
            fn merge(sum: &mut WideSum, other: &WideSum) {
                sum.add(*other);
            }
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
            fn add(self, sum: &mut ExactSum) {
                sum.add(f64::from(self));
            }
            fn merge(sum: &mut ExactSum, other: &ExactSum) {
                sum.merge(other);
            }
            fn total(sum: &ExactSum) -> Result<f64, Overflow> {
                Ok(sum.total())
            }
            fn mean(sum: &ExactSum, count: u64) -> f64 {
                sum.mean(count)
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
    use crate::hash::fold;

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
