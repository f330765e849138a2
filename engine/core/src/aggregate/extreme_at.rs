//! A value of the record where another one is least or greatest: SQL's `ARG_MIN` and `ARG_MAX`, and the first and last values of a key.

use super::{Aggregate, Ranked};
use crate::record::{Archived, read};
use alloc::borrow::Cow;
use core::cmp::Ordering;
use rkyv::tuple::ArchivedTuple2;

macro_rules! extreme_at {
    ($(#[$doc:meta])* $function:ident, $type:ident, $wins:pat) => {
        #[doc = concat!("Made by [`", stringify!($function), "`].")]
        #[derive(Clone, Copy, Debug)]
        pub struct $type<F, G> {
            by: F,
            value: G,
        }

        $(#[$doc])*
        pub fn $function<F, G>(by: F, value: G) -> $type<F, G> {
            $type { by, value }
        }

        impl<T, R, V, F, G> Aggregate<T> for $type<F, G>
        where
            R: Ranked,
            V: Ranked,
            F: Fn(&T) -> R + Clone + Send + Sync + 'static,
            G: Fn(&T) -> V + Clone + Send + Sync + 'static,
        {
            type Item = (R, V);
            type Acc = Option<(R, V)>;
            type Out = V;

            fn kind(&self) -> Cow<'static, str> {
                stringify!($function).into()
            }

            #[inline(always)]
            fn item(&self, record: &T) -> (R, V) {
                ((self.by)(record), (self.value)(record))
            }
            fn empty(&self) -> Self::Acc {
                None
            }
            #[inline(always)]
            fn add(&self, acc: &mut Self::Acc, item: (R, V)) {
                let wins = acc.as_ref().is_none_or(|best| match item.0.rank(&best.0) {
                    Ordering::Equal => item.1.rank(&best.1).is_lt(),
                    order => matches!(order, $wins),
                });
                if wins {
                    *acc = Some(item);
                }
            }
            #[inline(always)]
            fn add_archived(&self, acc: &mut Self::Acc, item: &Archived<(R, V)>) {
                let ArchivedTuple2(by, value) = item;
                let wins = acc.as_ref().is_none_or(|best| match best.0.rank_archived(by).reverse() {
                    Ordering::Equal => best.1.rank_archived(value).is_gt(),
                    order => matches!(order, $wins),
                });
                if wins {
                    *acc = Some((read(by), read(value)));
                }
            }
            fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
                if let Some(other) = other {
                    self.add(acc, other.clone());
                }
            }
            fn finish(&self, acc: &Self::Acc) -> V {
                match acc {
                    Some((_, value)) => value.clone(),
                    None => unreachable!("a window holds at least one record"),
                }
            }
        }
    };
}
extreme_at! {
    /// `value(record)` of the record with the greatest `by(record)`; of several, the least value. With a time for `by` it is the last value. Only these
    /// two cross, where [`max_by`](super::max_by()) sends and keeps the whole record.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::arg_max};
    /// let last = arg_max(|(second, _): &(u64, f64)| *second, |(_, price): &(u64, f64)| *price);
    /// let mut acc = last.empty();
    /// for order in [(1, 9.5), (3, 2.5), (2, 7.0)] {
    ///     last.add(&mut acc, last.item(&order));
    /// }
    /// assert_eq!(last.finish(&acc), 2.5);
    /// ```
    arg_max, ArgMax, Ordering::Greater
}
extreme_at! {
    /// `value(record)` of the record with the least `by(record)`; of several, the least value. With a time for `by` it is the first value. Only these
    /// two cross, where [`min_by`](super::min_by()) sends and keeps the whole record.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::arg_min};
    /// let first = arg_min(|(second, _): &(u64, f64)| *second, |(_, price): &(u64, f64)| *price);
    /// let mut acc = first.empty();
    /// for order in [(3, 9.5), (1, 2.5), (1, 7.0)] {
    ///     first.add(&mut acc, first.item(&order));
    /// }
    /// assert_eq!(first.finish(&acc), 2.5);
    /// ```
    arg_min, ArgMin, Ordering::Less
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::check::check;
    use crate::exchange::hash::fold;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    #[test]
    fn it_is_the_value_at_the_extreme_and_the_least_of_several() {
        let records: Vec<(u64, String)> =
            (0..60).map(|n| (fold(n) % 8, format!("{:03}", fold(n + 100) % 50))).collect();
        let (by, value) = (|record: &(u64, String)| record.0, |record: &(u64, String)| record.1.clone());
        let twin = |end: u64| records.iter().filter(|r| r.0 == end).map(|r| r.1.clone()).min();
        assert_eq!(check(&arg_max(by, value), &records), twin(7).map(|value| format!("{value:?}")));
        assert_eq!(check(&arg_min(by, value), &records), twin(0).map(|value| format!("{value:?}")));
    }

    #[test]
    fn a_nan_is_above_every_number_in_both_places() {
        for nan in [f64::NAN, -f64::NAN] {
            let records = [(1.0, nan), (nan, 4.0), (2.0, 3.0), (1.0, 2.0), (nan, nan)];
            let (by, value) = (|record: &(f64, f64)| record.0, |record: &(f64, f64)| record.1);
            assert_eq!(check(&arg_max(by, value), &records).as_deref(), Some("4.0"));
            assert_eq!(check(&arg_min(by, value), &records).as_deref(), Some("2.0"));
        }
    }
}
