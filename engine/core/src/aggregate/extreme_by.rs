//! The record with the least or the greatest value of a field.

use super::Aggregate;
use crate::record::Record;
use alloc::borrow::Cow;

macro_rules! extreme_by {
    ($(#[$doc:meta])* $function:ident, $type:ident, $better:tt) => {
        #[doc = concat!("Made by [`", stringify!($function), "`].")]
        #[derive(Clone, Copy, Debug)]
        pub struct $type<F>(F);

        $(#[$doc])*
        pub fn $function<F>(f: F) -> $type<F> {
            $type(f)
        }

        impl<T, V, F> Aggregate<T> for $type<F>
        where
            T: Record + Clone + Ord,
            V: Ord,
            F: Fn(&T) -> V + Clone + Send + Sync + 'static,
        {
            type Item = T;
            type Acc = Option<T>;
            type Out = T;

            fn kind(&self) -> Cow<'static, str> {
                stringify!($function).into()
            }

            fn item(&self, record: &T) -> T {
                record.clone()
            }
            #[inline(always)]
            fn take_item(&self, record: T) -> T {
                record
            }
            fn empty(&self) -> Option<T> {
                None
            }
            fn add(&self, acc: &mut Option<T>, item: T) {
                let wins = acc.as_ref().is_none_or(|best| {
                    let (new, old) = ((self.0)(&item), (self.0)(best));
                    new $better old || (new == old && item < *best)
                });
                if wins {
                    *acc = Some(item);
                }
            }
            fn merge(&self, acc: &mut Option<T>, other: &Option<T>) {
                if let Some(other) = other {
                    self.add(acc, other.clone());
                }
            }
            fn finish(&self, acc: &Option<T>) -> T {
                acc.clone().unwrap_or_else(|| unreachable!("a window holds at least one record"))
            }
        }
    };
}
extreme_by! {
    /// The record with the greatest `f(record)`; of several, the least by the record's own order.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::max_by};
    /// let longest = max_by(|word: &String| word.len());
    /// let mut acc = longest.empty();
    /// for word in ["fig", "plum", "pear"] {
    ///     longest.add(&mut acc, word.to_string());
    /// }
    /// assert_eq!(longest.finish(&acc), "pear");
    /// ```
    max_by, MaxBy, >
}
extreme_by! {
    /// The record with the least `f(record)`; of several, the least by the record's own order.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::min_by};
    /// let shortest = min_by(|word: &String| word.len());
    /// let mut acc = shortest.empty();
    /// for word in ["plum", "fig"] {
    ///     shortest.add(&mut acc, word.to_string());
    /// }
    /// assert_eq!(shortest.finish(&acc), "fig");
    /// ```
    min_by, MinBy, <
}
