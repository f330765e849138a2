//! Windows that close: their panes are merged, sorted by key, and leave in slices.

use super::{Closes, KeyedWindows};
use crate::aggregate::Overflow;
use crate::bounds::{BATCH, EMIT_AHEAD, PANE_ROWS, WINDOW_ROWS};
use crate::fault::Fault;
use crate::record::Record;
use crate::record::key::Key;
use crate::window::within;
use alloc::string::String;

/// What a closing window is at.
pub(super) enum Closing {
    No,
    /// Merging panes: `pane`, of which the rows before entry `entry` of leaf `leaf` have been.
    Merging {
        pane: usize,
        leaf: usize,
        entry: usize,
    },
    /// Sorting the only pane with rows, or what was merged of several.
    Sorting {
        alone: Option<usize>,
    },
    /// Writing what is sorted out as rows.
    Emitting {
        alone: Option<usize>,
        at: usize,
    },
    /// The window has left: letting go of the panes that no later window holds.
    Leaving,
}

impl<K: Key, V: Record + Clone> KeyedWindows<K, V> {
    /// Does some of what follows from the watermark having passed `passed`, within `budget` rows; true when nothing is left.
    pub(super) fn close_some(
        &mut self,
        passed: i128,
        budget: &mut usize,
        rows: &mut impl Closes<K, V>,
    ) -> Result<bool, Fault> {
        match self.closing {
            Closing::No if !self.panes.borrow().is_clean() || !self.merged.is_clean() => {
                self.merged.clear_some(budget);
                self.panes.borrow_mut().clear_some(budget);
            }
            Closing::No => match self.next_due().filter(|&end| end <= passed) {
                Some(end) => {
                    self.end = end;
                    *budget = budget.saturating_sub(WINDOW_ROWS);
                    self.begin_closing();
                }
                None => return Ok(true),
            },
            Closing::Merging { pane, leaf, entry } => self.merge(pane, leaf, entry, budget, &*rows)?,
            Closing::Sorting { alone } => self.sort(alone, budget)?,
            Closing::Emitting { alone, at } => self.emit(alone, at, budget, rows),
            Closing::Leaving => self.leave(budget),
        }
        Ok(false)
    }

    fn begin_closing(&mut self) {
        let panes = self.panes.borrow();
        let mut with_rows = self.panes_of(self.end).filter(|pane| !panes.table(*pane).is_empty());
        self.closing = match (with_rows.next(), with_rows.next()) {
            (None, _) => Closing::Leaving,
            (Some(pane), None) => Closing::Sorting { alone: Some(pane) },
            (Some(pane), Some(_)) => Closing::Merging { pane, leaf: 0, entry: 0 },
        };
        drop(panes);
        match self.closing {
            Closing::Sorting { .. } => self.order.begin(),
            Closing::Leaving => self.has_left(),
            _ => {}
        }
    }

    /// Adds rows of the window's panes to what is merged.
    fn merge(
        &mut self,
        pane: usize,
        leaf: usize,
        entry: usize,
        budget: &mut usize,
        closes: &impl Closes<K, V>,
    ) -> Result<(), Fault> {
        let panes = self.panes.borrow();
        if pane == self.panes_of(self.end).end {
            drop(panes);
            self.order.begin();
            self.closing = Closing::Sorting { alone: None };
            return Ok(());
        }
        let table = panes.table(pane);
        if leaf == table.leaves() {
            *budget = budget.saturating_sub(PANE_ROWS);
            self.closing = Closing::Merging { pane: pane + 1, leaf: 0, entry: 0 };
            return Ok(());
        }
        let (_, rows) = table.leaf(leaf);
        let to = rows.len().min(entry + *budget);
        let at = self.merged.open(0);
        let (merged, saver) = self.merged.table_mut(at);
        let mut hashes = [0; BATCH];
        for batch in rows[entry..to].chunks(BATCH) {
            for (hash, (key, _)) in hashes.iter_mut().zip(batch) {
                *hash = key.hash();
            }
            merged.upsert_batch(
                &hashes[..batch.len()],
                saver,
                |number, key| *key == batch[number].0,
                |number| batch[number].clone(),
                |number, acc, made| {
                    if !made {
                        closes.merge(acc, &batch[number].1);
                    }
                },
            )?;
        }
        *budget = budget.saturating_sub((to - entry).max(1));
        self.closing = if to < rows.len() {
            Closing::Merging { pane, leaf, entry: to }
        } else {
            Closing::Merging { pane, leaf: leaf + 1, entry: 0 }
        };
        Ok(())
    }

    fn sort(&mut self, alone: Option<usize>, budget: &mut usize) -> Result<(), Fault> {
        let panes = self.panes.borrow();
        let table = alone.map_or_else(|| self.merged.table(0), |pane| panes.table(pane));
        if self.order.step(table, budget)? {
            self.closing = Closing::Emitting { alone, at: 0 };
        }
        Ok(())
    }

    fn emit(
        &mut self,
        alone: Option<usize>,
        from: usize,
        budget: &mut usize,
        closes: &mut impl Closes<K, V>,
    ) {
        let at = within(self.end - 1);
        let rows = self.order.rows().len();
        let to = rows.min(from + *budget);
        {
            let panes = self.panes.borrow();
            let table = alone.map_or_else(|| self.merged.table(0), |pane| panes.table(pane));
            for index in from..to {
                if let Some(ahead) = self.order.rows().get(index + EMIT_AHEAD) {
                    table.prefetch_entry(ahead.1);
                }
                let (key, value) = table.entry(self.order.rows()[index].1);
                if let Err(overflow) = closes.emit(at, self.windows.ending(self.end), key, value) {
                    self.context.fail(overflowed(key, overflow));
                }
            }
        }
        *budget -= to - from;
        self.closing = if to < rows {
            Closing::Emitting { alone, at: to }
        } else {
            self.has_left();
            Closing::Leaving
        };
    }

    /// The last row of the window has left.
    fn has_left(&mut self) {
        if self.merged.len() > 0 {
            self.merged.retire_first();
        }
        self.closed.borrow_mut().raise(self.end);
        self.context.stats.windows.add(1);
    }

    /// Lets go of the panes that no later window holds, within `budget`.
    fn leave(&mut self, budget: &mut usize) {
        let (mut panes, closed) = (self.panes.borrow_mut(), self.closed.borrow().get());
        while panes.number(0).is_some_and(|start| self.windows.last_end(start) <= closed) {
            if *budget == 0 {
                return;
            }
            *budget = budget.saturating_sub(PANE_ROWS);
            panes.retire_first();
        }
        self.due = None;
        self.closing = Closing::No;
    }
}

/// The fault of a result that its type cannot hold. The stage knows what the operator is called.
#[cold]
fn overflowed<K: Key>(key: &K, overflow: Overflow) -> Fault {
    Fault::Overflow { operator: String::new(), key: key.describe(), message: overflow.message }
}
