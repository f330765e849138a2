//! All rows folded into one value.

use pelton_core::sink::{Sink, SinkWriter};
use pelton_core::{EventTime, Fault, ShardId, Tick};
use std::sync::{Arc, Mutex, PoisonError};

/// A folding sink; a clone is a handle to the same value. Made by [`fold`].
pub struct Fold<A, F, M> {
    empty: A,
    add: F,
    merge: M,
    folded: Arc<Mutex<Option<A>>>,
}

/// Folds each shard's rows into a copy of `empty` with `add`, on the shard itself and without locks, and merges the shards' values
/// with `merge` when they end.
///
/// ```
/// use pelton::prelude::*;
/// let longest = fold(0, |longest: &mut usize, word: &str| *longest = word.len().max(*longest), usize::max);
/// Job::new("longest").source(from_iter(|| ["fig", "plum"])).sink(longest.clone()).run(&Config::default())?;
/// assert_eq!(longest.take(), 4);
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn fold<A, T, F, M>(empty: A, add: F, merge: M) -> Fold<A, F, M>
where
    F: Fn(&mut A, T),
    M: Fn(A, A) -> A,
{
    Fold { empty, add, merge, folded: Arc::default() }
}

impl<A: Clone, F, M> Fold<A, F, M> {
    /// Takes the value of the shards that have ended: all of them, after a run.
    pub fn take(&self) -> A {
        let folded = self.folded.lock().unwrap_or_else(PoisonError::into_inner).take();
        folded.unwrap_or_else(|| self.empty.clone())
    }
}

impl<A: Clone, F: Clone, M: Clone> Clone for Fold<A, F, M> {
    fn clone(&self) -> Self {
        let Fold { empty, add, merge, folded } = self;
        Fold { empty: empty.clone(), add: add.clone(), merge: merge.clone(), folded: folded.clone() }
    }
}

impl<T, A, F, M> Sink<T> for Fold<A, F, M>
where
    A: Clone + Send + Sync + 'static,
    F: Fn(&mut A, T) + Clone + Send + Sync + 'static,
    M: Fn(A, A) -> A + Clone + Send + Sync + 'static,
{
    type Writer = Folding<A, F, M>;
    fn open(&self, _: ShardId) -> Folding<A, F, M> {
        Folding { value: self.empty.clone(), fold: self.clone() }
    }
}

/// The writing end of [`Fold`] on one shard.
pub struct Folding<A, F, M> {
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
        let value = self.value.clone();
        let mut folded = self.fold.folded.lock().unwrap_or_else(PoisonError::into_inner);
        *folded = Some(match folded.take() {
            None => value,
            Some(other) => (self.fold.merge)(other, value),
        });
        Ok(())
    }
}
