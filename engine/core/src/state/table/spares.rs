//! The tables that an operator has no use for at the moment: they keep their storage, and serve again.
//!
//! 1. *kept*: a checkpoint that is under way still needs the rows, and nobody else does;
//! 2. *stale*: nobody needs the rows, and they are not cleared yet, which is done in bounded steps;
//! 3. *spare*: empty, for whoever [takes](Spares::take) it next.

use super::Table;
use crate::bounds::LINES_PER_ROW;
use crate::checkpoint::saver::{Saver, Step};
use crate::fault::Fault;
use crate::record::Record;
use crate::state::memory::Memory;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// See the [module](self).
pub(crate) struct Spares<K, V> {
    kept: Vec<Table<K, V>>,
    stale: Vec<Table<K, V>>,
    spare: Vec<Table<K, V>>,
    memory: Arc<dyn Memory>,
}

impl<K, V> Spares<K, V> {
    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        Spares { kept: Vec::new(), stale: Vec::new(), spare: Vec::new(), memory }
    }

    /// A table without rows.
    pub(crate) fn take(&mut self, saver: &Saver) -> Table<K, V> {
        let mut table = self.spare.pop().unwrap_or_else(|| Table::new(self.memory.clone()));
        table.begin(saver);
        table
    }

    /// Takes a table back. One without storage is no use to anybody.
    pub(crate) fn retire(&mut self, table: Table<K, V>) {
        if table.is_awaited() {
            self.kept.push(table);
        } else if table.has_storage() {
            self.stale.push(table);
        }
    }

    /// Whether no table is left to be cleared.
    pub(crate) fn is_clean(&self) -> bool {
        self.stale.is_empty()
    }

    /// Clears stale tables, within `budget` rows' worth of time.
    pub(crate) fn clear_some(&mut self, budget: &mut usize) {
        while let Some(mut table) = self.stale.pop_if(|_| *budget > 0) {
            // A line of the index is zeroed in a fraction of the time that a row takes.
            let clean = table.clear_some(budget.saturating_mul(LINES_PER_ROW));
            *budget = if clean { *budget - 1 } else { 0 };
            if clean { self.spare.push(table) } else { self.stale.push(table) }
        }
    }

    /// The checkpoint was given up, or another begins: what it did not come to is kept no longer.
    pub(crate) fn forget(&mut self) {
        self.kept.iter_mut().for_each(Table::forget);
        self.stale.append(&mut self.kept);
    }
}

impl<K: Record, V: Record> Spares<K, V> {
    /// Saves a part of what is kept; true when nothing is any more.
    pub(crate) fn sweep(&mut self, step: &mut Step<'_>) -> Result<bool, Fault> {
        while let Some(table) = self.kept.last_mut() {
            if !table.sweep(step)? {
                return Ok(false);
            }
            self.stale.extend(self.kept.pop());
        }
        Ok(true)
    }
}
