//! All rows folded into one value.

use super::ended::Ended;
use pelton_core::sink::{Ending, Outcome, Sink, SinkWriter};
use pelton_core::{EventTime, Fault, ShardId, Tick};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A folding sink; a clone is a handle to the same value. Made by [`fold`].
pub struct Fold<A, F, M> {
    empty: A,
    add: F,
    merge: M,
    /// The values of the shards that have ended.
    folded: Arc<Mutex<BTreeMap<ShardId, A>>>,
    ended: Ended,
}

/// Folds each shard's rows into a copy of `empty` with `add`, on the shard itself and without locks, and merges the shards' values
/// with `merge`, in the order of the shards, when the result is taken.
///
/// Where several streams of a job end in the same sink, their values are merged, those of one shard in an order that never changes. Each run begins anew.
///
/// The value is in memory only: in a job with durability it begins empty after each restart, and has the rows since the last checkpoint. For
/// a total that is durable, aggregate in the job.
///
/// ```
/// use pelton::prelude::*;
/// let longest = fold(0, |longest: &mut usize, word: &str| *longest = word.len().max(*longest), usize::max);
/// Job::new("longest").source(from_iter(|| ["fig", "plum"])).sink(longest.clone()).run()?;
/// assert_eq!(longest.take(), 4);
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn fold<A, T, F, M>(empty: A, add: F, merge: M) -> Fold<A, F, M>
where
    F: Fn(&mut A, T),
    M: Fn(A, A) -> A,
{
    Fold { empty, add, merge, folded: Arc::default(), ended: Ended::default() }
}

impl<A: Clone, F, M: Fn(A, A) -> A> Fold<A, F, M> {
    /// How the job has ended, if it has: only of one that is [complete](Outcome::Complete), or was [suspended](Outcome::Suspended), is the value
    /// that of all rows.
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended.outcome()
    }

    /// Takes the value of the shards that have ended, or were suspended, merged in the order of the shards: all of them, after a
    /// [run](crate::Job::run) that returned `Ok`. Shards that failed, or were stopped at once, have none: see [`outcome`](Self::outcome).
    pub fn take(&self) -> A {
        let folded = std::mem::take(&mut *self.folded.lock().unwrap_or_else(PoisonError::into_inner));
        folded.into_values().reduce(&self.merge).unwrap_or_else(|| self.empty.clone())
    }
}

impl<A: Clone, F: Clone, M: Clone> Clone for Fold<A, F, M> {
    fn clone(&self) -> Self {
        let Fold { empty, add, merge, folded, ended } = self;
        let (folded, ended) = (folded.clone(), ended.clone());
        Fold { empty: empty.clone(), add: add.clone(), merge: merge.clone(), folded, ended }
    }
}

impl<T, A, F, M> Sink<T> for Fold<A, F, M>
where
    A: Clone + Send + Sync + 'static,
    F: Fn(&mut A, T) + Clone + Send + Sync + 'static,
    M: Fn(A, A) -> A + Clone + Send + Sync + 'static,
{
    type Writer = Folding<A, F, M>;
    fn attach(&self, ending: Ending) {
        if self.ended.attach(ending) {
            self.folded.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
    fn open(&self, shard: ShardId) -> Folding<A, F, M> {
        Folding { shard, value: self.empty.clone(), fold: self.clone() }
    }
}

/// The writing end of [`Fold`] on one shard.
pub struct Folding<A, F, M> {
    shard: ShardId,
    value: A,
    fold: Fold<A, F, M>,
}

impl<T, A, F, M> SinkWriter<T> for Folding<A, F, M>
where
    A: Clone + 'static,
    F: Fn(&mut A, T) + 'static,
    M: Fn(A, A) -> A + 'static,
{
    #[inline(always)]
    fn write(&mut self, _: EventTime, row: T) {
        (self.fold.add)(&mut self.value, row);
    }

    fn commit(&mut self, _: Tick) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let mut folded = self.fold.folded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut value = self.value.clone();
        if let Some(before) = folded.remove(&self.shard) {
            // Of another stream that ends in the same sink: those of a shard end in an order that never changes.
            value = (self.fold.merge)(before, value);
        }
        folded.insert(self.shard, value);
        Ok(())
    }

    fn suspend(&mut self) -> Result<(), Fault> {
        SinkWriter::<T>::close(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[test]
    fn streams_that_end_in_the_same_sink_are_merged_and_each_run_begins_anew() {
        let total = fold(0u64, |sum, n| *sum += n, |a, b| a + b);
        let job = Job::new("both");
        let (one, other) = job.source(from_iter(|| 1..=100u64)).rebalance().map(|n| n).fork();
        one.sink(total.clone());
        other.filter(|n| *n > 50).sink(total.clone());
        for shards in [3, 1] {
            job.run_with(&Config { shards, ..Config::default() }).unwrap();
        }
        let whole = 5_050 + (51..=100).sum::<u64>();
        assert_eq!(total.take(), whole);
        for seed in [1, 2] {
            crate::sim::simulate(&job, &crate::sim::Simulation { seed, shards: 2, ..Default::default() })
                .unwrap();
        }
        assert_eq!(total.take(), whole);
    }
}
