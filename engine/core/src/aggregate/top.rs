//! The greatest values and the least ones, and the records that have them.

use super::{Aggregate, Ranked};
use crate::record::schema::Schema;
use crate::record::{Archived, Decoder, Encoder, Record, read, rebuild};
use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;
use core::cmp::Ordering;
use rkyv::rancor::Failure;
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};

/// Puts a value where it belongs in a list of at most `k`, the best first. `order` says which of two comes first; of equal ones it makes no
/// difference.
fn insert<V>(list: &mut Vec<V>, k: usize, value: V, order: impl Fn(&V, &V) -> Ordering) {
    if list.len() == k && list.last().is_none_or(|last| order(last, &value).is_le()) {
        return;
    }
    let at = list.partition_point(|other| order(other, &value).is_le());
    list.truncate(k - 1);
    list.insert(at, value);
}

/// Adds another such list.
fn merge<V: Clone>(list: &mut Vec<V>, k: usize, other: &[V], order: impl Fn(&V, &V) -> Ordering) {
    for value in other {
        // They come best first, so after one that is dropped all are.
        if list.len() == k && list.last().is_none_or(|last| order(last, value).is_le()) {
            return;
        }
        insert(list, k, value.clone(), &order);
    }
}

macro_rules! top {
    ($(#[$doc:meta])* $function:ident, $type:ident, |$left:ident, $right:ident| $order:expr) => {
        #[doc = concat!("Made by [`", stringify!($function), "`].")]
        #[derive(Clone, Copy, Debug)]
        pub struct $type<F> {
            k: usize,
            f: F,
        }

        $(#[$doc])*
        ///
        /// # Panics
        /// When `k` is 0.
        pub fn $function<F>(k: usize, f: F) -> $type<F> {
            assert!(k > 0, concat!(stringify!($function), "(0, ..) keeps nothing: say how many"));
            $type { k, f }
        }

        impl<T, V: Ranked, F: Fn(&T) -> V + Clone + Send + Sync + 'static> Aggregate<T> for $type<F> {
            type Item = V;
            type Acc = Vec<V>;
            type Out = Vec<V>;

            // How many are kept is a part of what is kept.
            fn kind(&self) -> Cow<'static, str> {
                format!("{}({})", stringify!($function), self.k).into()
            }

            #[inline(always)]
            fn item(&self, record: &T) -> V {
                (self.f)(record)
            }
            fn empty(&self) -> Vec<V> {
                Vec::new()
            }
            #[inline]
            fn add(&self, acc: &mut Vec<V>, item: V) {
                insert(acc, self.k, item, |$left, $right| $order);
            }
            #[inline]
            fn add_archived(&self, acc: &mut Vec<V>, item: &Archived<V>) {
                // Most are below what is kept: a text is not even rebuilt.
                if acc.len() == self.k && acc.last().is_some_and(|last| Self::keeps(last, item)) {
                    return;
                }
                self.add(acc, read(item));
            }
            fn merge(&self, acc: &mut Vec<V>, other: &Vec<V>) {
                merge(acc, self.k, other, |$left, $right| $order);
            }
            fn finish(&self, acc: &Vec<V>) -> Vec<V> {
                acc.clone()
            }
        }
    };
}
top! {
    /// The `k` greatest `f(record)`, the greatest first, equal ones as often as they came; fewer where there are fewer records. A NaN is above every
    /// number.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::top_k};
    /// let dearest = top_k(2, |cents: &u64| *cents);
    /// let mut acc = dearest.empty();
    /// for cents in [30, 70, 20, 70] {
    ///     dearest.add(&mut acc, cents);
    /// }
    /// assert_eq!(dearest.finish(&acc), [70, 70]);
    /// ```
    top_k, TopK, |left, right| right.rank(left)
}
top! {
    /// The `k` least `f(record)`, the least first, equal ones as often as they came; fewer where there are fewer records. A NaN is above every number.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::bottom_k};
    /// let cheapest = bottom_k(2, |cents: &u64| *cents);
    /// let mut acc = cheapest.empty();
    /// for cents in [30, 70, 20, 70] {
    ///     cheapest.add(&mut acc, cents);
    /// }
    /// assert_eq!(cheapest.finish(&acc), [20, 30]);
    /// ```
    bottom_k, BottomK, |left, right| left.rank(right)
}

impl<F> TopK<F> {
    #[inline(always)]
    fn keeps<V: Ranked>(last: &V, item: &Archived<V>) -> bool {
        last.rank_archived(item).is_ge()
    }
}

impl<F> BottomK<F> {
    #[inline(always)]
    fn keeps<V: Ranked>(last: &V, item: &Archived<V>) -> bool {
        last.rank_archived(item).is_le()
    }
}

/// Records in an order that is made of their fields: what `top_k_by` and `bottom_k_by` keep.
#[derive(Clone, Debug)]
pub struct Sorted<T> {
    records: Vec<T>,
}

impl<T: Archive> Archive for Sorted<T> {
    type Archived = ArchivedVec<Archived<T>>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_len(self.records.len(), resolver, out);
    }
}

impl<T: Record> Serialize<Encoder> for Sorted<T> {
    fn serialize(&self, encoder: &mut Encoder) -> Result<VecResolver, Failure> {
        ArchivedVec::serialize_from_iter::<T, _, _>(self.records.iter(), encoder)
    }
}

impl<T: Record> Deserialize<Sorted<T>, Decoder> for ArchivedVec<Archived<T>> {
    fn deserialize(&self, _: &mut Decoder) -> Result<Sorted<T>, Failure> {
        let records = self.iter().map(rebuild).collect::<Option<_>>().ok_or(Failure)?;
        Ok(Sorted { records })
    }
}

impl<T: Record> Record for Sorted<T> {
    // Not a `Vec` of records, each of which a changed program converts by itself: it could have fewer fields then, or others, and another order.
    const SCHEMA: &'static Schema = &Schema::Generic { name: "Sorted", of: &[|| T::SCHEMA] };

    fn heap_bytes(&self) -> usize {
        self.records.heap_bytes()
    }
}

macro_rules! top_by {
    ($(#[$doc:meta])* $function:ident, $type:ident, |$left:ident, $right:ident| $order:expr) => {
        #[doc = concat!("Made by [`", stringify!($function), "`].")]
        #[derive(Clone, Copy, Debug)]
        pub struct $type<F> {
            k: usize,
            f: F,
        }

        $(#[$doc])*
        ///
        /// # Panics
        /// When `k` is 0.
        pub fn $function<F>(k: usize, f: F) -> $type<F> {
            assert!(k > 0, concat!(stringify!($function), "(0, ..) keeps nothing: say how many"));
            $type { k, f }
        }

        impl<F> $type<F> {
            fn order<T: Ord, V: Ranked>(&self) -> impl Fn(&T, &T) -> Ordering
            where
                F: Fn(&T) -> V,
            {
                |one, other| {
                    let ($left, $right) = ((self.f)(one), (self.f)(other));
                    $order.then_with(|| one.cmp(other))
                }
            }
        }

        impl<T, V, F> Aggregate<T> for $type<F>
        where
            T: Record + Clone + Ord,
            V: Ranked,
            F: Fn(&T) -> V + Clone + Send + Sync + 'static,
        {
            type Item = T;
            type Acc = Sorted<T>;
            type Out = Vec<T>;

            fn kind(&self) -> Cow<'static, str> {
                format!("{}({})", stringify!($function), self.k).into()
            }

            fn item(&self, record: &T) -> T {
                record.clone()
            }
            #[inline(always)]
            fn take_item(&self, record: T) -> T {
                record
            }
            fn empty(&self) -> Sorted<T> {
                Sorted { records: Vec::new() }
            }
            fn add(&self, acc: &mut Sorted<T>, item: T) {
                insert(&mut acc.records, self.k, item, self.order());
            }
            fn merge(&self, acc: &mut Sorted<T>, other: &Sorted<T>) {
                merge(&mut acc.records, self.k, &other.records, self.order());
            }
            fn finish(&self, acc: &Sorted<T>) -> Vec<T> {
                acc.records.clone()
            }
        }
    };
}
top_by! {
    /// The `k` records with the greatest `f(record)`, the greatest first; of several with the same the least by the record's own order, as
    /// [`max_by`](super::max_by()) does for one. Whole records cross and are kept.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::top_k_by};
    /// let dearest = top_k_by(2, |(_, cents): &(u64, u64)| *cents);
    /// let mut acc = dearest.empty();
    /// for order in [(1, 30), (2, 70), (3, 20), (4, 30)] {
    ///     dearest.add(&mut acc, order);
    /// }
    /// assert_eq!(dearest.finish(&acc), [(2, 70), (1, 30)]);
    /// ```
    top_k_by, TopKBy, |left, right| right.rank(&left)
}
top_by! {
    /// The `k` records with the least `f(record)`, the least first; of several with the same the least by the record's own order. With a time for `f`
    /// these are the first records. Whole records cross and are kept.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::bottom_k_by};
    /// let first = bottom_k_by(2, |(second, _): &(u64, u64)| *second);
    /// let mut acc = first.empty();
    /// for order in [(3, 30), (1, 70), (2, 20)] {
    ///     first.add(&mut acc, order);
    /// }
    /// assert_eq!(first.finish(&acc), [(1, 70), (2, 20)]);
    /// ```
    bottom_k_by, BottomKBy, |left, right| left.rank(&right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::check::check;
    use crate::exchange::hash::fold;
    use crate::record::convert::Conversion;
    use alloc::string::{String, ToString};

    #[test]
    fn they_are_the_first_of_all_in_order() {
        for (records, values) in [(0u64, 1), (1, 1), (7, 3), (150, 20), (150, 1 << 40)] {
            let numbers: Vec<u64> = (0..records).map(|n| fold(n) % values).collect();
            let texts: Vec<String> = numbers.iter().map(|n| format!("no. {n:020}")).collect();
            for k in [1, 2, 7, 200] {
                let mut sorted = texts.clone();
                sorted.sort();
                let first = |texts: &[String]| Some(format!("{:?}", &texts[..k.min(texts.len())]));
                assert_eq!(check(&bottom_k(k, |text: &String| text.clone()), &texts), first(&sorted));
                sorted.reverse();
                assert_eq!(check(&top_k(k, |text: &String| text.clone()), &texts), first(&sorted));
            }
        }
    }

    #[test]
    fn of_records_with_the_same_the_least_comes_first() {
        let records: Vec<(u64, String)> =
            (0..120).map(|n| (fold(n) % 9, format!("{}", fold(n + 1_000) % 30))).collect();
        for k in [1, 3, 50, 500] {
            let mut sorted = records.clone();
            sorted.sort();
            let first = |records: &[(u64, String)]| Some(format!("{:?}", &records[..k.min(120)]));
            assert_eq!(check(&bottom_k_by(k, |record: &(u64, String)| record.0), &records), first(&sorted));
            sorted.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.cmp(b)));
            assert_eq!(check(&top_k_by(k, |record: &(u64, String)| record.0), &records), first(&sorted));
        }
    }

    #[test]
    fn a_nan_of_either_sign_is_above_every_number() {
        let values = [1.0, f64::NAN, f64::INFINITY, -f64::NAN, -0.0, 0.0, f64::NEG_INFINITY];
        let top = check(&top_k(3, |value: &f64| *value), &values);
        assert_eq!(top.as_deref(), Some("[NaN, NaN, inf]"));
        let bottom = check(&bottom_k(3, |value: &f64| *value), &values);
        assert_eq!(bottom.as_deref(), Some("[-inf, -0.0, 0.0]"));
    }

    #[test]
    fn how_many_are_kept_is_a_part_of_the_kind() {
        assert_eq!(Aggregate::<u64>::kind(&top_k(3, |n: &u64| *n)), "top_k(3)");
        assert_eq!(Aggregate::<u64>::kind(&bottom_k_by(9, |n: &u64| *n)), "bottom_k_by(9)");
    }

    #[test]
    #[should_panic(expected = "top_k(0, ..) keeps nothing")]
    fn none_is_refused() {
        let _ = top_k(0, |n: &u64| *n);
    }

    /// A changed program could take away a field that the order is made of.
    #[test]
    fn a_changed_program_does_not_convert_what_is_sorted_by_its_fields() {
        let before = <Sorted<(u32, u64)>>::SCHEMA.to_string();
        assert!(
            Conversion::between(
                &<Vec<(u32, u64)>>::SCHEMA.to_string(),
                &<Vec<(u64, u64)>>::SCHEMA.to_string()
            )
            .is_ok()
        );
        assert!(Conversion::between(&before, &<Sorted<(u64, u64)>>::SCHEMA.to_string()).is_err());
        assert!(Conversion::between(&before, &before).is_ok());
    }
}
