//! Numbers that can be added up.

use super::exact::ExactSum;
use crate::record::Record;

/// An integer or a float, with the state that its sum is kept in.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a number that can be added up",
    label = "no number",
    note = "`sum` and `avg` take integers of up to 64 bits, `f32` and `f64`"
)]
pub trait Number: Record + Copy {
    /// The state of a sum.
    type Sum: Record + Clone + Default;
    /// The state of a mean: wide enough never to wrap.
    type Wide: Record + Clone + Default;

    /// Adds to a sum; integers wrap.
    fn add(self, sum: &mut Self::Sum);
    /// Adds one sum to another.
    fn merge(sum: &mut Self::Sum, other: &Self::Sum);
    /// What a sum comes to.
    fn total(sum: &Self::Sum) -> Self;
    /// Adds to a mean's sum.
    fn add_wide(self, sum: &mut Self::Wide);
    /// Adds one mean's sum to another.
    fn merge_wide(sum: &mut Self::Wide, other: &Self::Wide);
    /// The sum divided by `count`.
    fn mean(sum: &Self::Wide, count: u64) -> f64;
}

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl Number for $type {
            type Sum = $type;
            type Wide = i128;
            #[inline(always)]
            fn add(self, sum: &mut $type) {
                *sum = sum.wrapping_add(self);
            }
            fn merge(sum: &mut $type, other: &$type) {
                *sum = sum.wrapping_add(*other);
            }
            fn total(sum: &$type) -> $type {
                *sum
            }
            fn add_wide(self, sum: &mut i128) {
                *sum += i128::from(self);
            }
            fn merge_wide(sum: &mut i128, other: &i128) {
                *sum += other;
            }
            fn mean(sum: &i128, count: u64) -> f64 {
                *sum as f64 / count as f64
            }
        }
    )* };
}
integers!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! floats {
    ($($type:ty),*) => { $(
        impl Number for $type {
            type Sum = ExactSum;
            type Wide = ExactSum;
            fn add(self, sum: &mut ExactSum) {
                sum.add(f64::from(self));
            }
            fn merge(sum: &mut ExactSum, other: &ExactSum) {
                sum.merge(other);
            }
            fn total(sum: &ExactSum) -> $type {
                sum.total() as $type
            }
            fn add_wide(self, sum: &mut ExactSum) {
                sum.add(f64::from(self));
            }
            fn merge_wide(sum: &mut ExactSum, other: &ExactSum) {
                sum.merge(other);
            }
            fn mean(sum: &ExactSum, count: u64) -> f64 {
                sum.total() / count as f64
            }
        }
    )* };
}
floats!(f32, f64);
