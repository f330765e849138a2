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
    while at.leaf < from.leaves() {
        if *budget == 0 {
            return Ok(false);
        }
        let (_, rows) = from.leaf(at.leaf);
        let to = rows.len().min(at.entry + *budget);
        let mut hashes = [0; BATCH];
        for batch in rows[at.entry..to].chunks(BATCH) {
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
            )?;
        }
        // A leaf without rows takes time as well.
        *budget = budget.saturating_sub((to - at.entry).max(1));
        *at = if to < rows.len() {
            Cursor { entry: to, ..*at }
        } else {
            Cursor { leaf: at.leaf + 1, entry: 0 }
        };
    }
    Ok(true)
}
