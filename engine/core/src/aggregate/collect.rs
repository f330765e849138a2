//! Values as lists and maps.

use super::entries::Entries;
use super::{Aggregate, Count, Overflow, Ranked, count};
use crate::record::key::Key;
use crate::record::{Archived, read, struct_record};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::cmp::Ordering;
use rkyv::tuple::ArchivedTuple2;
use rkyv::{Archive, Deserialize, Serialize};

/// A value that is compared by its [rank](Ranked).
#[derive(Clone, Debug, Archive, Serialize, Deserialize)]
pub struct ByRank<V> {
    value: V,
}
struct_record!(ByRank<V> { value: V });

impl<V: Ranked> Ord for ByRank<V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.rank(&other.value)
    }
}
impl<V: Ranked> PartialOrd for ByRank<V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<V: Ranked> PartialEq for ByRank<V> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<V: Ranked> Eq for ByRank<V> {}

/// Made by [`collect_list`].
#[derive(Clone, Copy, Debug)]
pub struct CollectList<F>(F);

/// Every `f(record)`, in order, as often as it came: SQL's `ARRAY_AGG(x ORDER BY x)`, and with a `join` behind its `LISTAGG`. The order in which
/// records came is not to be had, as it depends on shards and ticks; where it matters put a time in front, `collect_list(|r| (r.time, r.value))`.
///
/// All are kept until the window closes, equal ones once with their number, and count against the memory limit. The list is made in one go, so it
/// is for windows of some thousand records for each key.
///
/// ```
/// use pelton::prelude::*;
///
/// let rows = collect();
/// Job::new("words")
///     .source(from_iter(|| ["to be", "or not", "to be"].map(String::from)))
///     .event_time(|_| EventTime::from_secs(1), in_order())
///     .key_by(|_| ())
///     .window(tumbling(secs(60)))
///     .aggregate(collect_list(|line: &String| line.clone()))
///     .map(|row| row.value.join(", "))
///     .sink(rows.clone())
///     .run()?;
/// assert_eq!(rows.take(), ["or not, to be, to be"]);
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn collect_list<F>(f: F) -> CollectList<F> {
    CollectList(f)
}

impl<T, V: Ranked, F: Fn(&T) -> V + Clone + Send + Sync + 'static> Aggregate<T> for CollectList<F> {
    type Item = V;
    type Acc = Entries<ByRank<V>, u64>;
    type Out = Vec<V>;

    fn kind(&self) -> Cow<'static, str> {
        "collect_list".into()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> V {
        (self.0)(record)
    }
    fn empty(&self) -> Self::Acc {
        Entries::default()
    }
    #[inline]
    fn add(&self, acc: &mut Self::Acc, value: V) {
        acc.count(ByRank { value });
    }
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
        acc.add_counts(other);
    }
    fn finish(&self, acc: &Self::Acc) -> Vec<V> {
        acc.iter().flat_map(|(value, count)| (0..*count).map(|_| value.value.clone())).collect()
    }
}

/// Made by [`collect_map`].
#[derive(Clone, Copy, Debug)]
pub struct CollectMap<F, A> {
    by: F,
    aggregate: A,
}

/// An aggregate for each `by(record)`: a map of results, in order. With [`count`](super::count()) it is a histogram ([`count_by`]); with
/// `arg_max(time, value)` it is SQL's `MAP_AGG` or `JSON_OBJECTAGG`, of several values of a key the last.
///
/// All keys are kept until the window closes, and count against the memory limit.
///
/// ```
/// use pelton::prelude::*;
///
/// let rows = collect();
/// Job::new("sold-by-kind")
///     .source(from_iter(|| [("fig", 3u64), ("plum", 4), ("fig", 5)].map(|(kind, cents)| (kind.to_string(), cents))))
///     .event_time(|_| EventTime::from_secs(1), in_order())
///     .key_by(|_| ())
///     .window(tumbling(secs(60)))
///     .aggregate(collect_map(
///         |(kind, _): &(String, u64)| kind.clone(),
///         sum(|(_, cents): &(String, u64)| *cents),
///     ))
///     .sink(rows.clone())
///     .run()?;
/// let sums = &rows.take()[0].value;
/// assert_eq!((sums["fig"], sums["plum"]), (8, 4));
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn collect_map<F, A>(by: F, aggregate: A) -> CollectMap<F, A> {
    CollectMap { by, aggregate }
}

/// How often each `f(record)` came: a histogram. It is `collect_map(f, count())`.
///
/// ```
/// use pelton::{Aggregate, aggregate::count_by};
/// let by_status = count_by(|status: &u16| status / 100);
/// let mut acc = by_status.empty();
/// for status in [200, 503, 204] {
///     by_status.add(&mut acc, by_status.item(&status));
/// }
/// assert_eq!(by_status.finish(&acc).into_iter().collect::<Vec<_>>(), [(2, 2), (5, 1)]);
/// ```
pub fn count_by<F>(f: F) -> CollectMap<F, Count> {
    collect_map(f, count())
}

impl<T, K, F, A> Aggregate<T> for CollectMap<F, A>
where
    K: Key,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    A: Aggregate<T>,
{
    type Item = (K, A::Item);
    type Acc = Entries<K, A::Acc>;
    type Out = BTreeMap<K, A::Out>;

    fn kind(&self) -> Cow<'static, str> {
        ["collect_map(", &self.aggregate.kind(), ")"].concat().into()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> Self::Item {
        ((self.by)(record), self.aggregate.item(record))
    }
    #[inline(always)]
    fn take_item(&self, record: T) -> Self::Item {
        ((self.by)(&record), self.aggregate.take_item(record))
    }
    fn empty(&self) -> Self::Acc {
        Entries::default()
    }
    fn add(&self, acc: &mut Self::Acc, (key, item): Self::Item) {
        acc.change(key, || self.aggregate.empty(), |value| self.aggregate.add(value, item));
    }
    fn add_archived(&self, acc: &mut Self::Acc, item: &Archived<Self::Item>) {
        let ArchivedTuple2(key, item) = item;
        acc.change(read(key), || self.aggregate.empty(), |value| self.aggregate.add_archived(value, item));
    }
    fn add_record(&self, acc: &mut Self::Acc, record: T) {
        let key = (self.by)(&record);
        acc.change(key, || self.aggregate.empty(), |value| self.aggregate.add_record(value, record));
    }
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
        for (key, other) in other.iter() {
            acc.change_of(key, || self.aggregate.empty(), |value| self.aggregate.merge(value, other));
        }
    }
    fn finish(&self, acc: &Self::Acc) -> Self::Out {
        acc.iter().map(|(key, value)| (key.clone(), self.aggregate.finish(value))).collect()
    }
    fn try_finish(&self, acc: &Self::Acc) -> Result<Self::Out, Overflow> {
        let entry = |(key, value): (&K, &A::Acc)| match self.aggregate.try_finish(value) {
            Ok(out) => Ok((key.clone(), out)),
            Err(Overflow { message }) => {
                Err(Overflow { message: format!("in the entry of {}: {message}", key.describe()) })
            }
        };
        acc.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::check::check;
    use crate::aggregate::{arg_max, filtered, max, sum};
    use crate::exchange::hash::fold;
    use alloc::string::{String, ToString};

    fn records() -> Vec<(u64, String)> {
        (0..200).map(|n| (fold(n) % 9, format!("{:03}", fold(n + 1_000) % 70))).collect()
    }

    #[test]
    fn lists_are_in_order_and_have_all() {
        let records = records();
        let mut twin: Vec<String> = records.iter().map(|record| record.1.clone()).collect();
        twin.sort();
        assert_eq!(
            check(&collect_list(|r: &(u64, String)| r.1.clone()), &records),
            Some(format!("{twin:?}"))
        );
        assert_eq!(check(&collect_list(|n: &u64| *n), &[]).as_deref(), Some("[]"));
        let floats = [1.0, f64::NAN, -0.0, f64::NEG_INFINITY, 0.0, 1.0, -f64::NAN];
        let expected = "[-inf, -0.0, 0.0, 1.0, 1.0, NaN, NaN]";
        assert_eq!(check(&collect_list(|n: &f64| *n), &floats).as_deref(), Some(expected));
    }

    #[test]
    fn maps_have_a_result_for_each_key() {
        let records = records();
        let mut twin: BTreeMap<u64, (u64, String)> = BTreeMap::new();
        for (key, text) in &records {
            let entry = twin.entry(*key).or_default();
            *entry = (entry.0 + 1, text.clone().max(entry.1.clone()));
        }
        let by = |record: &(u64, String)| record.0;
        let text = |record: &(u64, String)| record.1.clone();
        assert_eq!(check(&collect_map(by, (count(), max(text))), &records), Some(format!("{twin:?}")));
        let counts: BTreeMap<u64, u64> = twin.iter().map(|(key, value)| (*key, value.0)).collect();
        assert_eq!(check(&count_by(by), &records), Some(format!("{counts:?}")));
        let of_text: BTreeMap<String, Option<u64>> = records
            .iter()
            .map(|(_, name)| {
                let of = records.iter().filter(|(key, text)| text == name && *key > 4);
                (name.clone(), of.map(|record| record.0).max())
            })
            .collect();
        let nested = collect_map(text, filtered(|record: &(u64, String)| record.0 > 4, arg_max(by, by)));
        assert_eq!(check(&nested, &records), Some(format!("{of_text:?}")));
    }

    #[test]
    fn an_overflow_names_the_entry() {
        let sums = collect_map(|r: &(String, u64)| r.0.clone(), sum(|r: &(String, u64)| r.1));
        let mut acc = sums.empty();
        for record in [("fig", 1), ("plum", u64::MAX), ("fig", 2)] {
            sums.add(&mut acc, (record.0.to_string(), record.1));
        }
        let message = sums.try_finish(&acc).unwrap_err().message;
        assert!(message.starts_with("in the entry of \"plum\": a sum of"), "{message}");
    }
}
