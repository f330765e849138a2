//! Windows that close: each pane is sorted by key once, panes are merged, and rows leave in slices.

use super::{Closing, Pane, Run, WindowOperator};
use crate::aggregate::{Aggregate, Overflow};
use crate::bounds::{CURSORS_PER_ROW, EMIT_AHEAD, PANE_ROWS};
use crate::checkpoint::watch::Watch;
use crate::fault::{Fault, OutOfMemory};
use crate::operator::push::Push;
use crate::record::key::Key;
use crate::state::memory::Buf;
use crate::state::table::Table;
use crate::window::{Windowed, within};
use alloc::string::String;

impl<T, K, A, N> WindowOperator<T, K, A, N>
where
    T: 'static,
    K: Key,
    A: Aggregate<T>,
    N: Push<Windowed<K, A::Out>>,
{
    /// The row of a key; none if there is no result, of which the context is told.
    #[inline(always)]
    pub(super) fn row(&self, key: &K, acc: &A::Acc) -> Option<Windowed<K, A::Out>> {
        match self.aggregate.try_finish(acc) {
            Ok(value) => Some(Windowed { window: self.windows.ending(self.end), key: key.clone(), value }),
            Err(overflow) => {
                self.overflowed(key, overflow);
                None
            }
        }
    }

    #[cold]
    fn overflowed(&self, key: &K, overflow: Overflow) {
        // The stage knows what the operator is called.
        let operator = String::new();
        self.context.fail(Fault::Overflow { operator, key: key.describe(), message: overflow.message });
    }

    /// The first pane of the closing window from number `from` on that has a table to sort.
    fn unsorted(&self, from: usize) -> Option<usize> {
        let panes = self.panes_of(self.end);
        (panes.start.max(from)..panes.end).find(|&pane| !self.panes[pane].table.is_empty())
    }

    pub(super) fn sort(&mut self, from: usize) -> Result<(), OutOfMemory> {
        self.closing = match self.unsorted(from) {
            Some(pane) => {
                self.order.begin(&self.panes[pane].table)?;
                Closing::Sorting { pane }
            }
            None => {
                self.cursors.clear();
                for index in self.panes_of(self.end) {
                    self.cursors.extend((0..self.panes[index].runs.len()).map(|run| (index, run, 0)));
                }
                Closing::Merging
            }
        };
        Ok(())
    }

    pub(super) fn emit(&mut self, from: usize, budget: &mut usize) {
        let at = within(self.end - 1);
        let pane = self.unsorted(0).unwrap_or_else(|| unreachable!("the sorted pane is there"));
        let rows = self.order.rows().len();
        let to = rows.min(from + *budget);
        for index in from..to {
            let table = &self.panes[pane].table;
            if let Some(ahead) = self.order.rows().get(index + EMIT_AHEAD) {
                table.prefetch_entry(ahead.1 as usize);
            }
            let (key, acc) = table.entry(self.order.rows()[index].1 as usize);
            if let Some(row) = self.row(key, acc) {
                self.next.push(at, row);
            }
        }
        *budget -= to - from;
        self.closing = if to < rows { Closing::Emitting { at: to } } else { self.closed_window() };
    }

    pub(super) fn store(&mut self, pane: usize, from: usize, budget: &mut usize) -> Result<(), OutOfMemory> {
        if from == 0 {
            let mut run = self.run();
            run.rows.reserve(self.order.rows().len())?;
            self.panes[pane].runs.push(run);
        }
        let rows = self.order.rows();
        let to = rows.len().min(from + *budget);
        let Pane { table, runs, .. } = &mut self.panes[pane];
        let run = runs.last_mut().unwrap_or_else(|| unreachable!("begun above"));
        for (index, row) in rows[from..to].iter().enumerate() {
            if let Some(ahead) = rows.get(from + index + EMIT_AHEAD) {
                table.prefetch_entry(ahead.1 as usize);
            }
            let (key, acc) = table.entry(row.1 as usize);
            run.rows.push((key.clone(), acc.clone()));
        }
        *budget -= to - from;
        if to < rows.len() {
            self.closing = Closing::Storing { pane, at: to };
            return Ok(());
        }
        self.retire(pane);
        self.sort(pane + 1)
    }

    /// Merges rows of equal keys over all runs of the window, in key order.
    pub(super) fn merge(&mut self, budget: &mut usize) {
        let at = within(self.end - 1);
        // Every run is looked at for each row: with very many of them a row is a step's work.
        let cost = 1 + self.cursors.len() / CURSORS_PER_ROW;
        while *budget > 0 {
            let head = |&(pane, run, next): &(usize, usize, usize)| self.panes[pane].runs[run].rows.get(next);
            let Some(least) = self.cursors.iter().filter_map(head).map(|row| &row.0).min() else {
                self.closing = self.closed_window();
                return;
            };
            let (key, mut acc) = (least.clone(), None::<A::Acc>);
            for cursor in &mut self.cursors {
                if let Some((k, c)) = self.panes[cursor.0].runs[cursor.1].rows.get(cursor.2)
                    && *k == key
                {
                    cursor.2 += 1;
                    match &mut acc {
                        None => acc = Some(c.clone()),
                        Some(acc) => self.aggregate.merge(acc, c),
                    }
                }
            }
            let acc = acc.unwrap_or_else(|| unreachable!("the least key is in a run"));
            if let Some(row) = self.row(&key, &acc) {
                self.next.push(at, row);
            }
            *budget = budget.saturating_sub(cost);
        }
    }

    /// Takes a pane's table away; it is emptied in slices, once no checkpoint needs it, and then serves another pane.
    pub(super) fn retire(&mut self, pane: usize) {
        let mut nothing = Table::new(self.memory.clone());
        nothing.begin(&self.saver);
        let table = core::mem::replace(&mut self.panes[pane].table, nothing);
        self.spares.retire(table);
    }

    /// A run without rows.
    pub(super) fn run(&mut self) -> Run<K, A::Acc> {
        let new = || Run { rows: Buf::new(self.memory.clone()), watch: Watch::new(self.memory.clone()) };
        let mut run = self.spare_runs.pop().unwrap_or_else(new);
        run.watch.begin(&self.saver);
        run
    }

    /// The window has left.
    fn closed_window(&mut self) -> Closing {
        self.closed = self.end;
        self.context.stats.windows.add(1);
        Closing::Leaving
    }

    /// Lets go of the panes that no later window holds, within `budget`.
    pub(super) fn leave(&mut self, budget: &mut usize) {
        let closed = self.closed;
        while let Some(pane) = self.panes.front() {
            if self.windows.last_end(pane.start) > closed {
                break;
            }
            if *budget == 0 {
                return;
            }
            *budget = budget.saturating_sub(PANE_ROWS);
            let Some(Pane { table, mut runs, .. }) = self.panes.pop_front() else { break };
            self.spares.retire(table);
            runs.drain(..).for_each(|run| self.let_go(run));
            self.spare_lists.push(runs);
        }
        self.due = self.next_due();
        self.closing = Closing::No;
    }
}
