//! The rows that share the largest value: an aggregate of our own, for the queries that ask for all of the best.
//!
//! The library's `max_by` keeps one record of several equal ones. q5 and q7 want every one. Of each record `largest`
//! takes a rank and the rows that come with it; rows of a lower rank are dropped as soon as a higher one is seen,
//! so a window holds no more rows than tie. Costs one comparison a record while nothing ties: rows are made, or rebuilt at the
//! receiver, if they stay.

use pelton::prelude::*;
use pelton::read;

/// Made by [`largest`].
#[derive(Clone)]
pub(super) struct Largest<F, G> {
    rank: F,
    rows: G,
}

/// All rows of the records with the largest `rank(record)`, in their own order. `rows(record)` are a record's rows: an
/// `Option` where it has one, a `Vec` where it was made by an earlier `largest`.
pub(super) fn largest<F, G>(rank: F, rows: G) -> Largest<F, G> {
    Largest { rank, rows }
}

impl<T, Rows, F, G> Aggregate<T> for Largest<F, G>
where
    Rows: Record + IntoIterator,
    Rows::Item: Record + Clone + Ord,
    F: Fn(&T) -> u64 + Clone + Send + Sync + 'static,
    G: Fn(&T) -> Rows + Clone + Send + Sync + 'static,
{
    type Item = (u64, Rows);
    type Acc = (u64, Vec<Rows::Item>);
    type Out = Vec<Rows::Item>;

    fn item(&self, record: &T) -> Self::Item {
        ((self.rank)(record), (self.rows)(record))
    }

    fn empty(&self) -> Self::Acc {
        (0, Vec::new())
    }

    fn add(&self, (largest, rows): &mut Self::Acc, (rank, more): Self::Item) {
        if rank > *largest {
            *largest = rank;
            rows.clear();
        }
        if rank == *largest {
            rows.extend(more);
        }
    }

    fn add_archived(&self, acc: &mut Self::Acc, item: &Archived<Self::Item>) {
        if item.0 >= acc.0 {
            self.add(acc, read(item));
        }
    }

    fn add_record(&self, acc: &mut Self::Acc, record: T) {
        if (self.rank)(&record) >= acc.0 {
            self.add(acc, self.take_item(record));
        }
    }

    fn merge(&self, acc: &mut Self::Acc, (rank, more): &Self::Acc) {
        if rank > &acc.0 {
            *acc = (*rank, more.clone());
        } else if *rank == acc.0 {
            acc.1.extend_from_slice(more);
        }
    }

    fn finish(&self, (_, rows): &Self::Acc) -> Self::Out {
        let mut rows = rows.clone();
        rows.sort();
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks by the tens.
    fn aggregate() -> impl Aggregate<u64, Item = (u64, Option<u64>), Acc = (u64, Vec<u64>), Out = Vec<u64>> {
        largest(|n: &u64| n / 10, |n: &u64| Some(*n))
    }

    fn acc(records: &[u64]) -> (u64, Vec<u64>) {
        let (aggregate, mut acc) = (aggregate(), aggregate().empty());
        records.iter().for_each(|record| aggregate.add(&mut acc, aggregate.item(record)));
        acc
    }

    #[test]
    fn every_row_of_the_largest_rank_stays_and_no_other() {
        assert_eq!(aggregate().finish(&acc(&[35, 12, 31, 3, 39, 28])), [31, 35, 39]);
        assert_eq!(aggregate().finish(&acc(&[3, 0])), [0, 3]);
    }

    #[test]
    fn merging_is_the_same_as_adding_everything_to_one() {
        for (left, right) in [(&[35, 12][..], &[31, 3][..]), (&[12], &[31]), (&[31], &[12]), (&[], &[7])] {
            let mut merged = acc(left);
            aggregate().merge(&mut merged, &acc(right));
            let all: Vec<u64> = left.iter().chain(right).copied().collect();
            assert_eq!(aggregate().finish(&merged), aggregate().finish(&acc(&all)));
        }
    }
}
