//! Records from iterators: generators, test data, files read by other means.
//!
//! They outlast a restart by being made again. After a restart the first records are passed over with [`Iterator::nth`], which for ranges and
//! slices is one step, and the rest is what the iterator then yields. **So the iterator must yield the same records each time that it is
//! made**: a `make` that reads a clock, a random seed, or a place that changes breaks the promise of whatever job it feeds, and only an
//! iterator that has become shorter is noticed.

use pelton_core::bounds::PARTITIONS_MAX;
use pelton_core::ingress::source::{Partition, Poll, Polled, Source};
use std::borrow::Cow;
use std::sync::Arc;

/// A source made of iterators, one for each partition; made by [`generate`] or [`from_iter`].
#[derive(Clone, Debug)]
pub struct Generate<F> {
    make: F,
    partitions: Option<usize>,
}

/// One partition for each shard: `make(partition, of)` returns the iterator of that partition.
///
/// In a job with durability, `make` must be repeatable: the same arguments always give an iterator of the same records. To restart with
/// another number of shards, fix the number of [partitions](Generate::partitions).
///
/// ```
/// use pelton::prelude::*;
/// // Partition `w` of `p` makes the numbers that leave `w` when divided by `p`.
/// let numbers = generate(|w, p| (w as u64..1_000).step_by(p));
/// let sum = fold(0, |sum, n| *sum += n, |a, b| a + b);
/// Job::new("sum").source(numbers).sink(sum.clone()).run()?;
/// assert_eq!(sum.take(), 499_500);
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn generate<I, F>(make: F) -> Generate<F>
where
    I: Iterator<Item: 'static> + 'static,
    F: Fn(usize, usize) -> I + Clone + Send + Sync + 'static,
{
    Generate { make, partitions: None }
}

/// One partition only, read by the first shard: records enter in the iterator's order. In a job with durability, `make` must be repeatable, as
/// for [`generate`].
///
/// ```
/// use pelton::prelude::*;
/// let words = from_iter(|| "to be or not to be".split(' '));
/// let rows = collect();
/// Job::new("words").source(words).sink(rows.clone()).run()?;
/// assert_eq!(rows.take().len(), 6);
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn from_iter<I, F>(
    make: F,
) -> Generate<impl Fn(usize, usize) -> I::IntoIter + Clone + Send + Sync + 'static>
where
    I: IntoIterator<Item: 'static, IntoIter: 'static>,
    F: Fn() -> I + Clone + Send + Sync + 'static,
{
    Generate { make: move |_, _| make().into_iter(), partitions: Some(1) }
}

impl<F> Generate<F> {
    /// Fixes the number of partitions, whatever the number of shards.
    ///
    /// # Panics
    /// When it is 0, or more than [`PARTITIONS_MAX`](pelton_core::bounds::PARTITIONS_MAX).
    #[must_use]
    pub fn partitions(mut self, partitions: usize) -> Self {
        assert!(partitions > 0, "a source without partitions");
        assert!(
            partitions <= PARTITIONS_MAX,
            "a source of {partitions} partitions; it may have {PARTITIONS_MAX}"
        );
        self.partitions = Some(partitions);
        self
    }
}

impl<I, F> Source for Generate<F>
where
    I: Iterator<Item: 'static> + 'static,
    F: Fn(usize, usize) -> I + Clone + Send + Sync + 'static,
{
    type Item = I::Item;
    type Partition = Generated<I>;

    fn partitions(&self, shards: usize) -> usize {
        self.partitions.unwrap_or(shards)
    }

    fn open(&self, index: usize, of: usize) -> Generated<I> {
        Generated((self.make)(index, of))
    }

    fn kind(&self) -> Cow<'static, str> {
        "a generator".into()
    }

    fn is_replayable(&self) -> bool {
        true
    }
}

/// One partition of [`Generate`].
#[derive(Clone, Debug)]
pub struct Generated<I>(I);

impl<I: Iterator + 'static> Partition for Generated<I> {
    type Item = I::Item;

    #[inline]
    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(I::Item)) -> Polled {
        for _ in 0..poll.records_max {
            match self.0.next() {
                Some(record) => out(record),
                None => return Polled::Done,
            }
        }
        Polled::Open
    }

    fn resume(&mut self, records: u64, _: &[u8]) -> Result<(), String> {
        let Some(last) = records.checked_sub(1) else { return Ok(()) };
        let passed = usize::try_from(last).ok().and_then(|last| self.0.nth(last));
        match passed {
            Some(_) => Ok(()),
            None => Err(format!(
                "the iterator has yielded {records} records before, and now it has fewer: it is not repeatable"
            )),
        }
    }
}

/// A source over a shared slice; made by [`from_vec`].
#[derive(Debug)]
pub struct FromVec<T>(Arc<[T]>);

/// The records of a vector, dealt to one partition for each shard: partition `w` of `p` has those at `w`, `w + p`, `w + 2p` …
///
/// ```
/// use pelton::prelude::*;
/// let rows = collect();
/// Job::new("copy").source(from_vec(vec![3, 1, 2])).sink(rows.clone()).run()?;
/// assert_eq!(rows.take().len(), 3);
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn from_vec<T: Clone + Send + Sync + 'static>(records: Vec<T>) -> FromVec<T> {
    FromVec(records.into())
}

impl<T> Clone for FromVec<T> {
    fn clone(&self) -> Self {
        FromVec(self.0.clone())
    }
}

impl<T: Clone + Send + Sync + 'static> Source for FromVec<T> {
    type Item = T;
    type Partition = Generated<Every<T>>;

    fn partitions(&self, shards: usize) -> usize {
        shards
    }

    fn open(&self, index: usize, of: usize) -> Self::Partition {
        Generated(Every { records: self.0.clone(), next: index, of })
    }

    fn kind(&self) -> Cow<'static, str> {
        "a list".into()
    }

    fn is_replayable(&self) -> bool {
        true
    }
}

/// Every `of`-th record of a slice.
#[derive(Clone, Debug)]
pub struct Every<T> {
    records: Arc<[T]>,
    next: usize,
    of: usize,
}

impl<T: Clone> Iterator for Every<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        let record = self.records.get(self.next).cloned();
        self.next += self.of;
        record
    }

    fn nth(&mut self, n: usize) -> Option<T> {
        self.next = n.saturating_mul(self.of).saturating_add(self.next).min(self.records.len());
        self.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::{Nanos, Tick};

    fn read<P: Partition>(partition: &mut P, records_max: usize) -> (Vec<P::Item>, Polled) {
        let mut records = Vec::new();
        let poll = Poll { now: Nanos(0), tick: Tick(1), records_max, logged_max: 0 };
        let polled = partition.poll(poll, &mut |record| records.push(record));
        (records, polled)
    }

    fn check<S: Source<Item: PartialEq + std::fmt::Debug>>(source: &S) {
        assert!(source.is_replayable());
        let of = source.partitions(3);
        for index in 0..of {
            let all = read(&mut source.open(index, of), 1_000).0;
            for passed in 0..=all.len() {
                let mut partition = source.open(index, of);
                partition.resume(passed as u64, &[]).unwrap();
                assert_eq!(read(&mut partition, 1_000).0, all[passed..], "partition {index} behind {passed}");
            }
            for missing in [1, 2, 1_000, u64::MAX - all.len() as u64] {
                let error = source.open(index, of).resume(all.len() as u64 + missing, &[]).unwrap_err();
                assert!(error.contains("fewer"), "{error}");
            }
        }
    }

    #[test]
    fn iterators_go_on_behind_what_they_have_yielded() {
        check(&generate(|w, p| (w as u64..40).step_by(p)));
        check(&generate(|w, _| (0..10).map(move |n| n * w)).partitions(2));
        check(&from_iter(|| "to be or not to be".split(' ')));
        check(&from_vec((0..20).map(|n| n.to_string()).collect()));
        check(&from_vec(Vec::<u8>::new()));
    }

    #[test]
    fn a_long_way_is_no_work_for_a_range() {
        let mut partition = from_iter(|| 0..u64::MAX).open(0, 1);
        partition.resume(1 << 62, &[]).unwrap();
        assert_eq!(read(&mut partition, 1).0, [1 << 62]);
    }
}
