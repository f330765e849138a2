//! The least and the greatest value of a field.

use super::Aggregate;
use crate::ids::EventTime;
use crate::record::{Archived, Record, read};
use alloc::borrow::Cow;
use alloc::string::String;
use core::cmp::Ordering;

/// A value with a total order: integers, text and times as usual, floats as `-inf < ... < -0.0 < 0.0 < ... < inf < NaN`.
///
/// A NaN is above every number whatever its sign, which tells nothing: `0.0 / 0.0` computed at run time has it set on x86 and not on ARM. So `max`
/// of anything with a NaN is NaN, as `sum` and `avg` are, and `min` is the least number unless there is none. NaNs among each other are ordered by
/// their bits, so that the result does not depend on which came first.
#[diagnostic::on_unimplemented(
    message = "`min` and `max` do not know the order of `{Self}`",
    label = "no order",
    note = "integers, floats, `bool`, `char`, `String` and `EventTime` have one; `min_by` and `max_by` find whole records by such a field"
)]
pub trait Ranked: Record + Clone {
    /// How the two compare.
    fn rank(&self, other: &Self) -> Ordering;

    /// As [`rank`](Self::rank), where the other lies in the memory in which it came.
    #[inline(always)]
    fn rank_archived(&self, other: &Archived<Self>) -> Ordering {
        self.rank(&read(other))
    }
}

macro_rules! ranked {
    ($($type:ty),*; $($float:ty),*) => {
        $(impl Ranked for $type {
            #[inline(always)]
            fn rank(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        })*
        $(impl Ranked for $float {
            #[inline(always)]
            fn rank(&self, other: &Self) -> Ordering {
                self.is_nan().cmp(&other.is_nan()).then_with(|| self.total_cmp(other))
            }
        })*
    };
}
ranked!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, bool, char, EventTime; f32, f64);

impl Ranked for String {
    fn rank(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
    fn rank_archived(&self, other: &Archived<Self>) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

macro_rules! extreme {
    ($(#[$doc:meta])* $function:ident, $type:ident, $wins:pat) => {
        #[doc = concat!("Made by [`", stringify!($function), "`].")]
        #[derive(Clone, Copy, Debug)]
        pub struct $type<F>(F);

        $(#[$doc])*
        pub fn $function<F>(f: F) -> $type<F> {
            $type(f)
        }

        impl<T, V: Ranked, F: Fn(&T) -> V + Clone + Send + Sync + 'static> Aggregate<T> for $type<F> {
            type Item = V;
            type Acc = Option<V>;
            type Out = V;

            fn kind(&self) -> Cow<'static, str> {
                stringify!($function).into()
            }

            #[inline(always)]
            fn item(&self, record: &T) -> V {
                (self.0)(record)
            }
            fn empty(&self) -> Option<V> {
                None
            }
            #[inline(always)]
            fn add(&self, acc: &mut Option<V>, item: V) {
                if acc.as_ref().is_none_or(|best| matches!(item.rank(best), $wins)) {
                    *acc = Some(item);
                }
            }
            #[inline(always)]
            fn add_archived(&self, acc: &mut Option<V>, item: &Archived<V>) {
                if acc.as_ref().is_none_or(|best| matches!(best.rank_archived(item).reverse(), $wins)) {
                    *acc = Some(read(item));
                }
            }
            fn merge(&self, acc: &mut Option<V>, other: &Option<V>) {
                if let Some(other) = other {
                    self.add(acc, other.clone());
                }
            }
            fn finish(&self, acc: &Option<V>) -> V {
                acc.clone().unwrap_or_else(|| unreachable!("a window holds at least one record"))
            }
        }
    };
}
extreme! {
    /// The greatest `f(record)`.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::max};
    /// let highest = max(|price: &u64| *price);
    /// let mut acc = highest.empty();
    /// highest.add(&mut acc, 3);
    /// highest.add(&mut acc, 2);
    /// assert_eq!(highest.finish(&acc), 3);
    /// ```
    max, Max, Ordering::Greater
}
extreme! {
    /// The least `f(record)`.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::min};
    /// let lowest = min(|price: &f64| *price);
    /// let mut acc = lowest.empty();
    /// lowest.add(&mut acc, 0.5);
    /// lowest.add(&mut acc, -0.5);
    /// assert_eq!(lowest.finish(&acc), -0.5);
    /// ```
    min, Min, Ordering::Less
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use core::hint::black_box;

    /// The extremes of the values in every order that a few rotations and a reversal give, added and merged: the same bits each time.
    fn extremes(values: &[f64]) -> (f64, f64) {
        let (least, most) = (min(|value: &f64| *value), max(|value: &f64| *value));
        let mut found = Vec::new();
        for turn in 0..2 * values.len() {
            let mut values = values.to_vec();
            values.rotate_left(turn / 2);
            if turn % 2 == 1 {
                values.reverse();
            }
            let (mut acc, mut parts) = ((None, None), [(None, None), (None, None)]);
            for (number, value) in values.iter().enumerate() {
                let part = &mut parts[number % 2];
                least.add(&mut acc.0, *value);
                least.add(&mut part.0, *value);
                most.add(&mut acc.1, *value);
                most.add(&mut part.1, *value);
            }
            let [mut left, right] = parts;
            Aggregate::<f64>::merge(&least, &mut left.0, &right.0);
            Aggregate::<f64>::merge(&most, &mut left.1, &right.1);
            for (low, high) in [acc, left] {
                found.push((Aggregate::<f64>::finish(&least, &low), Aggregate::<f64>::finish(&most, &high)));
            }
        }
        let bits = |(low, high): &(f64, f64)| (low.to_bits(), high.to_bits());
        assert!(found.iter().all(|pair| bits(pair) == bits(&found[0])), "{values:?}: {found:?}");
        found[0]
    }

    #[test]
    fn a_nan_of_either_sign_is_above_every_number() {
        let zero = black_box(0.0f64);
        let computed = zero / zero;
        for nan in [computed, f64::NAN, -f64::NAN, f64::from_bits(0xfff8_0000_0000_0007)] {
            let (low, high) = extremes(&[1.0, nan, 2.0]);
            assert!(low == 1.0 && high.is_nan(), "{low} {high}");
            let (low, high) = extremes(&[f64::INFINITY, nan, f64::NEG_INFINITY]);
            assert!(low == f64::NEG_INFINITY && high.is_nan());
            let (low, high) = extremes(&[nan, -nan, nan]);
            assert!(low.is_nan() && high.is_nan());
        }
    }

    #[test]
    fn zeros_have_an_order() {
        let (low, high) = extremes(&[0.0, -0.0, 0.0, -0.0]);
        assert_eq!((low.to_bits(), high.to_bits()), ((-0.0f64).to_bits(), 0.0f64.to_bits()));
    }

    #[test]
    fn the_order_is_total() {
        let values = [
            -f64::NAN,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            0.0,
            1.0,
            -1.0,
            f64::MAX,
            f64::MIN,
            5e-324,
            -5e-324,
            f64::from_bits(0x7ff8_0000_0000_0007),
            f64::from_bits(0xfff8_0000_0000_0007),
        ];
        for a in values {
            for b in values {
                assert_eq!(a.rank(&b), b.rank(&a).reverse());
                assert_eq!(a.rank(&b) == Ordering::Equal, a.to_bits() == b.to_bits());
                for c in values {
                    assert!(a.rank(&b).is_gt() || b.rank(&c).is_gt() || a.rank(&c).is_le(), "{a} {b} {c}");
                }
            }
        }
    }
}
