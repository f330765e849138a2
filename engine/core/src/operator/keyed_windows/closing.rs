//! Windows that close: their panes are merged, sorted by key, and leave in slices.
//!
//! A window of few panes is the sum of its panes, which are added up for it alone; one of many shares what they come to with the windows around it
//! ([`suffixes`](super::suffixes)).

use super::merging::{Cursor, Rest, merge_some};
use super::suffixes::{Adding, Way};
use super::{Closes, KeyedWindows};
use crate::aggregate::Overflow;
use crate::bounds::{EMIT_AHEAD, PANE_ROWS, WINDOW_ROWS};
use crate::fault::Fault;
use crate::record::Record;
use crate::record::key::Key;
use crate::window::within;
use alloc::string::String;

/// What a closing window is at.
pub(super) enum Closing {
    No,
    /// Adding what waited to its panes: all windows have closed that it does not count for.
    Admitting {
        at: Cursor,
    },
    /// Merging the panes that are left.
    Merging(Rest),
    /// The same by way of what windows share.
    Adding(Adding),
    /// Sorting the rows.
    Sorting {
        of: Rows,
    },
    /// Writing what is sorted out as rows.
    Emitting {
        of: Rows,
        at: usize,
    },
    /// The window has left: letting go of the panes that no later window holds.
    Leaving,
}

/// The table that holds the rows of the window that closes.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    /// That of its only pane with rows.
    Pane(usize),
    /// What was merged of several.
    Merged,
    /// The suffix of its first pane.
    Suffix,
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
            Closing::No if !self.is_clean() => {
                self.merged.clear_some(budget);
                self.suffixes.clear_some(budget);
                self.panes.borrow_mut().clear_some(budget);
                self.waiting.borrow_mut().clear_some(budget);
            }
            Closing::No => {
                if !self.begin_admitting(passed) {
                    let Some(end) = self.next_due().filter(|&end| end <= passed) else { return Ok(true) };
                    self.end = end;
                    *budget = budget.saturating_sub(WINDOW_ROWS);
                    self.begin_closing();
                }
            }
            Closing::Admitting { at } => self.admit(at, budget, &*rows)?,
            Closing::Merging(rest) => self.merge(rest, budget, &*rows)?,
            Closing::Adding(phase) => self.add_some(phase, budget, &*rows)?,
            Closing::Sorting { of } => self.sort(of, budget)?,
            Closing::Emitting { of, at } => self.emit(of, at, budget, rows),
            Closing::Leaving => self.leave(budget),
        }
        Ok(false)
    }

    fn is_clean(&self) -> bool {
        self.panes.borrow().is_clean()
            && self.merged.is_clean()
            && self.suffixes.is_clean()
            && self.waiting.borrow().is_clean()
    }

    fn begin_closing(&mut self) {
        let panes = self.panes.borrow();
        let window = self.panes_of(self.end);
        let mut with_rows = window.clone().filter(|pane| !panes.table(*pane).is_empty());
        self.added = 0;
        self.closing = match (with_rows.next(), with_rows.next(), panes.number(window.start)) {
            (Some(_), Some(_), Some(first)) => match self.suffixes.way(first, self.end) {
                Way::Alone => Closing::Merging(Rest::new(window.start, window.end)),
                Way::Shared => Closing::Adding(Adding::Choosing),
                Way::Later => Closing::No,
            },
            (Some(pane), ..) => Closing::Sorting { of: Rows::Pane(pane) },
            (None, ..) => Closing::Leaving,
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
        Rest { next, end, mut at }: Rest,
        budget: &mut usize,
        closes: &impl Closes<K, V>,
    ) -> Result<(), Fault> {
        if next == end {
            let panes = self.panes_of(self.end).len();
            self.suffixes.weigh(self.added, panes, self.merged.table(0).len());
            self.order.begin();
            self.closing = Closing::Sorting { of: Rows::Merged };
            return Ok(());
        }
        let (panes, one) = (self.panes.borrow(), self.merged.open(0));
        let table = panes.table(next);
        self.closing = if merge_some(self.merged.table_mut(one), table, &mut at, budget, closes)? {
            *budget = budget.saturating_sub(PANE_ROWS);
            self.added += table.len();
            Closing::Merging(Rest::new(next + 1, end))
        } else {
            Closing::Merging(Rest { next, end, at })
        };
        Ok(())
    }

    fn sort(&mut self, of: Rows, budget: &mut usize) -> Result<(), Fault> {
        let panes = self.panes.borrow();
        let table = match of {
            Rows::Pane(pane) => panes.table(pane),
            Rows::Merged => self.merged.table(0),
            Rows::Suffix => self.suffixes.first(),
        };
        if self.order.step(table, budget)? {
            self.closing = Closing::Emitting { of, at: 0 };
        }
        Ok(())
    }

    fn emit(&mut self, of: Rows, from: usize, budget: &mut usize, closes: &mut impl Closes<K, V>) {
        let at = within(self.end - 1);
        let rows = self.order.rows().len();
        let to = rows.min(from + *budget);
        {
            let panes = self.panes.borrow();
            let table = match of {
                Rows::Pane(pane) => panes.table(pane),
                Rows::Merged => self.merged.table(0),
                Rows::Suffix => self.suffixes.first(),
            };
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
            Closing::Emitting { of, at: to }
        } else {
            self.has_left();
            Closing::Leaving
        };
    }

    /// The last row of the window has left.
    fn has_left(&mut self) {
        self.merged.retire_all();
        self.closed.borrow_mut().raise(self.end);
        self.context.stats.windows.add(1);
    }

    /// Lets go of the panes that no later window holds, within `budget`.
    fn leave(&mut self, budget: &mut usize) {
        let (mut panes, closed) = (self.panes.borrow_mut(), self.closed.borrow().get());
        self.suffixes.leave(|first| self.windows.last_end(first) <= closed);
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
