//! How many different values there are, exactly, and which.

use super::Aggregate;
use super::entries::Entries;
use crate::record::key::Key;
use alloc::borrow::Cow;
use alloc::vec::Vec;

macro_rules! distinct {
    ($(#[$doc:meta])* $function:ident, $type:ident, $out:ty, |$values:ident| $finish:expr) => {
        #[doc = concat!("Made by [`", stringify!($function), "`].")]
        #[derive(Clone, Copy, Debug)]
        pub struct $type<F>(F);

        $(#[$doc])*
        pub fn $function<F>(f: F) -> $type<F> {
            $type(f)
        }

        impl<T, K: Key, F: Fn(&T) -> K + Clone + Send + Sync + 'static> Aggregate<T> for $type<F> {
            type Item = K;
            type Acc = Entries<K, ()>;
            type Out = $out;

            fn kind(&self) -> Cow<'static, str> {
                stringify!($function).into()
            }

            #[inline(always)]
            fn item(&self, record: &T) -> K {
                (self.0)(record)
            }
            fn empty(&self) -> Self::Acc {
                Entries::default()
            }
            #[inline]
            fn add(&self, acc: &mut Self::Acc, item: K) {
                acc.change(item, || (), |()| ());
            }
            fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
                other.iter().for_each(|(value, ())| acc.change_of(value, || (), |()| ()));
            }
            fn finish(&self, $values: &Self::Acc) -> $out {
                $finish
            }
        }
    };
}
distinct! {
    /// The number of different `f(record)`: SQL's `COUNT(DISTINCT ..)`. What `f` returns is a [`Key`]; of a float take its `to_bits()`.
    ///
    /// All values are kept until the window closes, and count against the memory limit: some 15 bytes for each integer, and what texts own. Where that
    /// is too much, `approx_distinct` needs 4 KiB at most.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::distinct};
    /// let buyers = distinct(|(buyer, _): &(u64, u64)| *buyer);
    /// let mut acc = buyers.empty();
    /// for order in [(7, 250), (8, 100), (7, 30)] {
    ///     buyers.add(&mut acc, buyers.item(&order));
    /// }
    /// assert_eq!(buyers.finish(&acc), 2);
    /// ```
    distinct, Distinct, u64, |values| values.len() as u64
}
distinct! {
    /// The different `f(record)`, in order: SQL's `ARRAY_AGG(DISTINCT ..)`. Kept as by [`distinct`].
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::collect_set};
    /// let buyers = collect_set(|(buyer, _): &(u64, u64)| *buyer);
    /// let mut acc = buyers.empty();
    /// for order in [(8, 250), (7, 100), (8, 30)] {
    ///     buyers.add(&mut acc, buyers.item(&order));
    /// }
    /// assert_eq!(buyers.finish(&acc), [7, 8]);
    /// ```
    collect_set, CollectSet, Vec<K>, |values| values.iter().map(|(value, ())| value.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::check::check;
    use crate::exchange::hash::fold;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn values_are_counted_once() {
        for (records, values) in [(0u64, 1), (1, 1), (300, 1), (300, 40), (300, 1 << 40)] {
            let numbers: Vec<u64> = (0..records).map(|n| fold(n) % values).collect();
            let texts: Vec<String> = numbers.iter().map(|n| format!("no. {n}")).collect();
            let twin: BTreeSet<u64> = numbers.iter().copied().collect();
            let of_texts: BTreeSet<&String> = texts.iter().collect();
            assert_eq!(check(&distinct(|n: &u64| *n), &numbers), Some(format!("{}", twin.len())));
            assert_eq!(
                check(&distinct(|text: &String| text.clone()), &texts),
                Some(format!("{}", twin.len()))
            );
            assert_eq!(
                check(&collect_set(|text: &String| text.clone()), &texts),
                Some(format!("{:?}", of_texts.into_iter().collect::<Vec<_>>()))
            );
        }
    }
}
