//! Any aggregate, of some of the records: what SQL calls `FILTER (WHERE ..)`.

use super::{Aggregate, Overflow};
use crate::record::Archived;
use alloc::borrow::Cow;
use rkyv::option::ArchivedOption;

/// The aggregate of those records for which `predicate` is true; `None` if there are none. Of the others nothing crosses but that there was one.
///
/// [`or_default`](Matching::or_default) says 0, or no elements, instead of `None`. [`count_if`](super::count_if()) is the shorter count.
///
/// ```
/// use pelton::aggregate::{count, filtered, max};
/// use pelton::prelude::*;
///
/// let rows = collect();
/// Job::new("cheap-orders")
///     .source(from_iter(|| [(1, 250u64), (2, 70), (3, 990)]))
///     .event_time(|(second, _)| EventTime::from_secs(*second), in_order())
///     .key_by(|_| ())
///     .window(tumbling(secs(60)))
///     .aggregate((
///         count(),
///         filtered(|(_, cents): &(i64, u64)| *cents < 500, max(|(_, cents): &(i64, u64)| *cents)),
///         filtered(|(_, cents): &(i64, u64)| *cents < 50, max(|(_, cents): &(i64, u64)| *cents)),
///         filtered(|(_, cents): &(i64, u64)| *cents < 50, count()).or_default(),
///     ))
///     .sink(rows.clone())
///     .run()?;
/// assert_eq!(rows.take()[0].value, (3, Some(250), None, 0));
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn filtered<P, A>(predicate: P, aggregate: A) -> Matching<P, A> {
    Matching { predicate, aggregate }
}

/// Made by [`filtered`].
#[derive(Clone, Copy, Debug)]
pub struct Matching<P, A> {
    predicate: P,
    aggregate: A,
}

impl<P, A> Matching<P, A> {
    /// The same, with the default of the result's type where no record matches: 0 of a count or a sum, and no elements of a list.
    ///
    /// ```
    /// use pelton::Aggregate;
    /// use pelton::aggregate::{distinct, filtered};
    ///
    /// let buyers = filtered(|(_, cents): &(u64, u64)| *cents > 100, distinct(|(buyer, _): &(u64, u64)| *buyer)).or_default();
    /// let mut acc = buyers.empty();
    /// buyers.add(&mut acc, buyers.item(&(7, 20)));
    /// assert_eq!(buyers.finish(&acc), 0);
    /// buyers.add(&mut acc, buyers.item(&(7, 200)));
    /// assert_eq!(buyers.finish(&acc), 1);
    /// ```
    pub fn or_default(self) -> MatchingOrDefault<P, A> {
        MatchingOrDefault(self)
    }
}

/// Made by [`Matching::or_default`].
#[derive(Clone, Copy, Debug)]
pub struct MatchingOrDefault<P, A>(Matching<P, A>);

impl<T, P, A> Aggregate<T> for Matching<P, A>
where
    P: Fn(&T) -> bool + Clone + Send + Sync + 'static,
    A: Aggregate<T>,
{
    type Item = Option<A::Item>;
    type Acc = Option<A::Acc>;
    type Out = Option<A::Out>;

    fn kind(&self) -> Cow<'static, str> {
        ["filtered(", &self.aggregate.kind(), ")"].concat().into()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> Self::Item {
        (self.predicate)(record).then(|| self.aggregate.item(record))
    }
    #[inline(always)]
    fn take_item(&self, record: T) -> Self::Item {
        (self.predicate)(&record).then(|| self.aggregate.take_item(record))
    }
    fn empty(&self) -> Self::Acc {
        None
    }
    #[inline(always)]
    fn add(&self, acc: &mut Self::Acc, item: Self::Item) {
        if let Some(item) = item {
            self.aggregate.add(acc.get_or_insert_with(|| self.aggregate.empty()), item);
        }
    }
    #[inline(always)]
    fn add_archived(&self, acc: &mut Self::Acc, item: &Archived<Self::Item>) {
        if let ArchivedOption::Some(item) = item {
            self.aggregate.add_archived(acc.get_or_insert_with(|| self.aggregate.empty()), item);
        }
    }
    #[inline(always)]
    fn add_record(&self, acc: &mut Self::Acc, record: T) {
        if (self.predicate)(&record) {
            self.aggregate.add_record(acc.get_or_insert_with(|| self.aggregate.empty()), record);
        }
    }
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
        let Some(other) = other else { return };
        match acc {
            Some(acc) => self.aggregate.merge(acc, other),
            None => *acc = Some(other.clone()),
        }
    }
    fn finish(&self, acc: &Self::Acc) -> Self::Out {
        acc.as_ref().map(|acc| self.aggregate.finish(acc))
    }
    fn try_finish(&self, acc: &Self::Acc) -> Result<Self::Out, Overflow> {
        acc.as_ref().map(|acc| self.aggregate.try_finish(acc)).transpose()
    }
}

impl<T, P, A> Aggregate<T> for MatchingOrDefault<P, A>
where
    P: Fn(&T) -> bool + Clone + Send + Sync + 'static,
    A: Aggregate<T, Out: Default>,
{
    type Item = Option<A::Item>;
    type Acc = Option<A::Acc>;
    type Out = A::Out;

    fn kind(&self) -> Cow<'static, str> {
        self.0.kind()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> Self::Item {
        self.0.item(record)
    }
    #[inline(always)]
    fn take_item(&self, record: T) -> Self::Item {
        self.0.take_item(record)
    }
    fn empty(&self) -> Self::Acc {
        None
    }
    #[inline(always)]
    fn add(&self, acc: &mut Self::Acc, item: Self::Item) {
        self.0.add(acc, item);
    }
    #[inline(always)]
    fn add_archived(&self, acc: &mut Self::Acc, item: &Archived<Self::Item>) {
        self.0.add_archived(acc, item);
    }
    #[inline(always)]
    fn add_record(&self, acc: &mut Self::Acc, record: T) {
        self.0.add_record(acc, record);
    }
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
        self.0.merge(acc, other);
    }
    fn finish(&self, acc: &Self::Acc) -> A::Out {
        self.0.finish(acc).unwrap_or_default()
    }
    fn try_finish(&self, acc: &Self::Acc) -> Result<A::Out, Overflow> {
        self.0.try_finish(acc).map(Option::unwrap_or_default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::check::check;
    use crate::aggregate::{count, max, min, sum};
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    #[test]
    fn it_is_the_aggregate_of_what_matches() {
        let records: Vec<i64> = (-50..50).map(|n| n * 7 % 41).collect();
        for bound in [-100, 0, 20, 100] {
            let matches: Vec<i64> = records.iter().copied().filter(|n| *n < bound).collect();
            let aggregates = (
                filtered(move |n: &i64| *n < bound, min(|n: &i64| *n)),
                filtered(move |n: &i64| *n < bound, sum(|n: &i64| *n)),
                filtered(move |n: &i64| *n < bound, (count(), max(|n: &i64| *n))).or_default(),
            );
            let some = |value| if matches.is_empty() { None } else { Some(value) };
            let greatest = matches.iter().copied().max().unwrap_or(0);
            let twin = (
                matches.iter().copied().min(),
                some(matches.iter().sum::<i64>()),
                (matches.len() as u64, greatest),
            );
            assert_eq!(check(&aggregates, &records), Some(format!("{twin:?}")));
        }
    }

    #[test]
    fn text_is_kept_where_it_matches_and_filters_stand_in_filters() {
        let words: Vec<String> = ["plum", "fig", "", "pear", "a fig"].map(String::from).to_vec();
        let longest = filtered(|word: &String| word.contains('p'), max(|word: &String| word.to_string()));
        assert_eq!(check(&longest, &words), Some("Some(\"plum\")".to_string()));
        let nested = filtered(|word: &String| word.len() == 3, longest);
        assert_eq!(check(&nested, &words), Some("Some(None)".to_string()));
        assert_eq!(check(&nested, &words[..1]), Some("None".to_string()));
        assert_eq!(Aggregate::<String>::kind(&nested), "filtered(filtered(max))");
    }

    #[test]
    fn an_overflow_of_what_matches_is_one() {
        let all = filtered(|_: &u64| true, sum(|n: &u64| *n));
        let none = filtered(|_: &u64| false, sum(|n: &u64| *n)).or_default();
        assert_eq!(check(&all, &[u64::MAX, 1]), None);
        assert_eq!(check(&none, &[u64::MAX, 1]), Some("0".to_string()));
    }

    /// NEXMark's query 15 asks for twelve at once.
    #[test]
    fn twelve_stand_side_by_side() {
        let twelve = (
            count(),
            filtered(|n: &u64| *n < 10, count()).or_default(),
            filtered(|n: &u64| *n >= 10, count()).or_default(),
            filtered(|n: &u64| *n >= 1_000, count()).or_default(),
            sum(|n: &u64| *n),
            min(|n: &u64| *n),
            max(|n: &u64| *n),
            filtered(|n: &u64| *n < 10, sum(|n: &u64| *n)),
            filtered(|n: &u64| *n >= 10, sum(|n: &u64| *n)),
            filtered(|n: &u64| *n >= 1_000, sum(|n: &u64| *n)),
            max(|n: &u64| n.to_string()),
            min(|n: &u64| n.to_string()),
        );
        let expected = r#"(20, 10, 10, 0, 190, 0, 19, Some(45), Some(145), None, "9", "0")"#;
        assert_eq!(check(&twelve, &(0..20).collect::<Vec<u64>>()), Some(expected.to_string()));
    }
}
