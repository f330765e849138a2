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
        self.ended.attach(ending);
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
        folded.insert(self.shard, self.value.clone());
        Ok(())
    }

    fn suspend(&mut self) -> Result<(), Fault> {
        SinkWriter::<T>::close(self)
    }
}
