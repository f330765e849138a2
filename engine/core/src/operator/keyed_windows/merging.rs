//! One table added to another, a bounded piece at a time.

use super::Closes;
use crate::bounds::BATCH;
use crate::fault::Fault;
use crate::record::Record;
use crate::record::key::Key;
use crate::state::arena::ToChange;
use crate::state::keyed::KeyedTable;

/// A place among the rows of a table: those before entry `entry` of leaf `leaf` have been.
#[derive(Clone, Copy, Default)]
pub(super) struct Cursor {
    leaf: usize,
    entry: usize,
}

impl Cursor {
    /// Shows `take` rows of a table from here on, as far as `budget` goes, and goes on behind them; true when there are no more.
    pub(super) fn each<K: Key, V: Record>(
        &mut self,
        from: &KeyedTable<K, V>,
        budget: &mut usize,
        mut take: impl FnMut(&[(K, V)]) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        while self.leaf < from.leaves() {
            if *budget == 0 {
                return Ok(false);
            }
            let (_, rows) = from.leaf(self.leaf);
            let to = rows.len().min(self.entry + *budget);
            rows[self.entry..to].chunks(BATCH).try_for_each(&mut take)?;
            // A leaf without rows takes time as well.
            *budget = budget.saturating_sub((to - self.entry).max(1));
            *self = if to < rows.len() {
                Cursor { entry: to, ..*self }
            } else {
                Cursor { leaf: self.leaf + 1, entry: 0 }
            };
        }
        Ok(true)
    }
}

/// Panes `next` to `end`, without those rows of the first that are before `at`.
#[derive(Clone, Copy)]
pub(super) struct Rest {
    pub(super) next: usize,
    pub(super) end: usize,
    pub(super) at: Cursor,
}

impl Rest {
    /// Panes `next` to `end`, whole.
    pub(super) fn new(next: usize, end: usize) -> Self {
        Rest { next, end, at: Cursor::default() }
    }
}

/// Adds rows of `from`, from `at` on, to `into`, as far as `budget` goes; true when all have been.
pub(super) fn merge_some<K: Key, V: Record + Clone>(
    (into, saver): ToChange<'_, K, V>,
    from: &KeyedTable<K, V>,
    at: &mut Cursor,
    budget: &mut usize,
    closes: &impl Closes<K, V>,
) -> Result<bool, Fault> {
    let mut hashes = [0; BATCH];
    at.each(from, budget, |batch| {
        for (hash, (key, _)) in hashes.iter_mut().zip(batch) {
            *hash = key.hash();
        }
        into.upsert_batch(
            &hashes[..batch.len()],
            saver,
            |number, key| *key == batch[number].0,
            |number| batch[number].clone(),
            |number, value, made| {
                if !made {
                    closes.merge(value, &batch[number].1);
                }
            },
        )
    })
}
