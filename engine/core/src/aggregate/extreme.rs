//! The least and the greatest value of a field.

use super::Aggregate;
use crate::ids::EventTime;
use crate::record::Record;
use alloc::string::String;
use core::cmp::Ordering;

/// A value with a total order: integers, text and times as usual, floats as in IEEE 754 `totalOrder` (NaN above infinity).
#[diagnostic::on_unimplemented(
    message = "`min` and `max` do not know the order of `{Self}`",
    label = "no order",
    note = "integers, floats, `bool`, `char`, `String` and `EventTime` have one; `min_by` and `max_by` find whole records by such a field"
)]
pub trait Ranked: Record + Clone {
    /// How the two compare.
    fn rank(&self, other: &Self) -> Ordering;
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
                self.total_cmp(other)
            }
        })*
    };
}
ranked!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, bool, char, String, EventTime; f32, f64);

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
    /// use pelton_core::{Aggregate, aggregate::max};
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
    /// use pelton_core::{Aggregate, aggregate::min};
    /// let lowest = min(|price: &f64| *price);
    /// let mut acc = lowest.empty();
    /// lowest.add(&mut acc, 0.5);
    /// lowest.add(&mut acc, -0.5);
    /// assert_eq!(lowest.finish(&acc), -0.5);
    /// ```
    min, Min, Ordering::Less
}
