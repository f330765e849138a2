//! Records from iterators: generators, test data, files read by other means.

use pelton_core::source::{Partition, Poll, Polled, Source};
use std::sync::Arc;

/// A source made of iterators, one for each partition; made by [`generate`] or [`from_iter`].
#[derive(Clone, Debug)]
pub struct Generate<F> {
    make: F,
    partitions: Option<usize>,
}

/// One partition for each shard: `make(partition, of)` returns the iterator of that partition. Being repeatable, it can be replayed.
///
/// ```
/// use pelton::prelude::*;
/// // Partition `w` of `p` makes the numbers that leave `w` when divided by `p`.
/// let numbers = generate(|w, p| (w as u64..1_000).step_by(p));
/// let sum = fold(0, |sum, n| *sum += n, |a, b| a + b);
/// Job::new("sum").source(numbers).sink(sum.clone()).run(&Config::default())?;
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

/// One partition only, read by the first shard: records enter in the iterator's order.
///
/// ```
/// use pelton::prelude::*;
/// let words = from_iter(|| "to be or not to be".split(' '));
/// let rows = collect();
/// Job::new("words").source(words).sink(rows.clone()).run(&Config::default())?;
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
    /// When it is 0.
    #[must_use]
    pub fn partitions(mut self, partitions: usize) -> Self {
        assert!(partitions > 0, "a source without partitions");
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
}

/// A source over a shared slice; made by [`from_vec`].
#[derive(Debug)]
pub struct FromVec<T>(Arc<[T]>);

/// The records of a vector, dealt to one partition for each shard: partition `w` of `p` has those at `w`, `w + p`, `w + 2p` …
///
/// ```
/// use pelton::prelude::*;
/// let rows = collect();
/// Job::new("copy").source(from_vec(vec![3, 1, 2])).sink(rows.clone()).run(&Config::default())?;
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
}
