//! The open windows of a shard in a checkpoint, and back.
//!
//! ```text
//!  header   | closed, high and low | panes |
//!           | start | table | rows | runs | for each run: table | rows |      for each pane
//!  table    rows (key, accumulator): of an open pane in the order in which the keys came, of a run in the order of
//! the keys
//! ```
//!
//! All numbers are those of [`Notes`]. A table that its pane no longer needs while it is still to be saved is kept
//! until it is, and another serves in its place. All shards freeze after the same tick, and with it they had the same
//! watermark: `closed` is the same in all headers.

use super::{Closing, Pane, Run, WindowOperator};
use crate::aggregate::Aggregate;
use crate::checkpoint::announced::Expected;
use crate::checkpoint::leaving::Leaving;
use crate::checkpoint::notes::{Noted, Notes};
use crate::checkpoint::owns::Owns;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::fault::Fault;
use crate::operator::push::Push;
use crate::record::key::Key;
use crate::record::rows::{Rows, decode};
use crate::window::Windowed;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Where the rows of a table go: the pane that begins then, and which of its runs, if it is one.
pub(super) type Place = (i64, Option<usize>);

impl<T, K, A, N> WindowOperator<T, K, A, N>
where
    T: 'static,
    K: Key,
    A: Aggregate<T>,
    N: Push<Windowed<K, A::Out>>,
{
    pub(super) fn freeze_panes(&mut self, full: bool) {
        assert!(matches!(self.closing, Closing::No), "a freeze in the middle of a tick");
        self.saver.freeze(full);
        // What the checkpoint before did not come to.
        self.spares.forget();
        while let Some(mut run) = self.kept_runs.pop() {
            run.watch.forget();
            self.let_go(run);
        }
        let mut header = self.header(self.panes.len());
        for pane in &mut self.panes {
            header.number(pane.start as u64);
            header.number(pane.table.freeze(&mut self.saver).into());
            header.number(pane.table.len() as u64);
            header.number(pane.runs.len() as u64);
            for run in &mut pane.runs {
                header.number(run.watch.freeze(run.rows.len(), &mut self.saver).into());
                header.number(run.rows.len() as u64);
            }
        }
        self.saver.set_header(header);
    }

    fn header(&self, panes: usize) -> Notes {
        let mut header = Notes::default();
        header.number((self.closed >> 64) as u64);
        header.number(self.closed as u64);
        header.number(panes as u64);
        header
    }

    pub(super) fn save_panes(&mut self, section: Section, out: &mut dyn SnapshotOut) -> Result<bool, Fault> {
        let Some(mut step) = self.saver.step(section, out) else { return Ok(true) };
        if !step.begin() {
            return Ok(false);
        }
        // What nobody else needs goes first: its memory is wanted.
        if !self.spares.sweep(&mut step)? {
            return Ok(false);
        }
        while let Some(run) = self.kept_runs.last_mut() {
            if !run.sweep(&mut step)? {
                return Ok(false);
            }
            run.rows.clear();
            self.spare_runs.extend(self.kept_runs.pop());
        }
        for pane in &mut self.panes {
            if !pane.table.sweep(&mut step)? {
                return Ok(false);
            }
            for run in &mut pane.runs {
                if !run.sweep(&mut step)? {
                    return Ok(false);
                }
            }
        }
        Ok(step.end())
    }

    /// Nobody but perhaps a checkpoint needs the run any more.
    pub(super) fn let_go(&mut self, mut run: Run<K, A::Acc>) {
        if run.watch.is_awaited() {
            self.kept_runs.push(run);
        } else {
            run.rows.clear();
            self.spare_runs.push(run);
        }
    }

    pub(super) fn restore_block(
        &mut self,
        block: BlockId,
        bytes: &[u8],
        owns: Owns<'_>,
    ) -> Result<(), Fault> {
        if block.table == 0 {
            return self.restore_header(&mut Noted::new(bytes));
        }
        let rows = decode::<(K, A::Acc)>(bytes)?;
        let expected = self.announced.take(block, rows.left())?;
        let (start, run) = expected.place;
        let Ok(pane) = self.panes.binary_search_by_key(&start, |pane| pane.start) else {
            unreachable!("the header made the pane")
        };
        match run {
            None => {
                let (table, count) = (&mut self.panes[pane].table, rows.left());
                let owned = table.restore(rows, count, owns, &mut self.saver)?;
                if expected.is_first {
                    table.expect(expected.room(count, owned))?;
                }
                Ok(())
            }
            Some(run) => self.panes[pane].runs[run].restore(rows, &expected, owns),
        }
    }

    fn restore_header(&mut self, header: &mut Noted<'_>) -> Result<(), Fault> {
        self.announced.end()?;
        let closed = i128::from(header.number()? as i64) << 64 | i128::from(header.number()?);
        self.closed = self.closed.max(closed);
        for _ in 0..header.number()? {
            let start = header.number()? as i64;
            if self.windows.pane(start) != start {
                let message = "a checkpoint holds windows of another size or slide".to_string();
                return Err(Fault::Restore { message });
            }
            let pane = match self.panes.binary_search_by_key(&start, |pane| pane.start) {
                Ok(pane) => pane,
                Err(pane) => {
                    self.open(pane, start);
                    pane
                }
            };
            self.announced.announce(header.number()? as u32, (start, None), header.number()?)?;
            for _ in 0..header.number()? {
                let run = self.run();
                let runs = &mut self.panes[pane].runs;
                self.announced.announce(
                    header.number()? as u32,
                    (start, Some(runs.len())),
                    header.number()?,
                )?;
                runs.push(run);
            }
        }
        Ok(())
    }

    /// Every block has been taken back.
    pub(super) fn end_restore(&mut self) -> Result<(), Fault> {
        self.announced.end()?;
        self.fall_behind()?;
        self.tidy();
        Ok(())
    }

    /// Forgets runs and panes without rows: they live on other shards.
    fn tidy(&mut self) {
        for mut pane in core::mem::take(&mut self.panes) {
            pane.runs.retain(|run| !run.rows.is_empty());
            if pane.table.is_empty() && pane.runs.is_empty() {
                self.spares.retire(pane.table);
            } else {
                self.panes.push_back(pane);
            }
        }
        self.due = self.next_due();
    }

    /// Takes the rows out whose key's hash moves, as blocks that the operator of another shard
    /// [restores](crate::operator::Operator::restore). Between two ticks. Costs a pass over the state.
    ///
    /// # Errors
    /// When the tables that stay do not fit into memory beside those that they replace, or a row refuses to be
    /// archived.
    pub(crate) fn extract_rows(
        &mut self,
        section: Section,
        moves: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<(BlockId, Vec<u8>)>, Fault> {
        assert!(matches!(self.closing, Closing::No), "keys that move in the middle of a tick");
        let (mut leaving, mut header) = (Leaving::new(section), self.header(self.panes.len()));
        for pane in 0..self.panes.len() {
            let (moved, stays) = self.panes[pane].table.part(moves, &mut self.saver)?;
            header.number(self.panes[pane].start as u64);
            header.number(leaving.table(&moved)?.into());
            header.number(moved.len() as u64);
            if !moved.is_empty() {
                self.retire(pane);
                self.panes[pane].table = stays;
            }
            header.number(self.panes[pane].runs.len() as u64);
            for run in 0..self.panes[pane].runs.len() {
                let mut stays = self.run();
                let rows = &self.panes[pane].runs[run].rows;
                let moved: Vec<_> = rows.iter().filter(|(key, _)| moves(key.hash())).collect();
                header.number(leaving.table(&moved)?.into());
                header.number(moved.len() as u64);
                if moved.is_empty() {
                    self.let_go(stays);
                    continue;
                }
                stays.rows.reserve(rows.len() - moved.len())?;
                rows.iter()
                    .filter(|(key, _)| !moves(key.hash()))
                    .for_each(|row| stays.rows.push(row.clone()));
                let run = core::mem::replace(&mut self.panes[pane].runs[run], stays);
                self.let_go(run);
            }
        }
        self.tidy();
        Ok(leaving.end(&header))
    }

    /// Begins pane number `index`.
    pub(super) fn open(&mut self, index: usize, start: i64) {
        let table = self.spares.take(&self.saver);
        let runs = self.spare_lists.pop().unwrap_or_default();
        self.panes.insert(index, Pane { start, table, runs, behind: None });
    }
}

impl<K: Key, C: crate::record::Record> Run<K, C> {
    fn sweep(&mut self, step: &mut crate::checkpoint::saver::Step<'_>) -> Result<bool, Fault> {
        let rows = &self.rows;
        self.watch.sweep(step, |range, into| crate::record::rows::encode(into, &rows[range]))
    }

    fn restore(
        &mut self,
        rows: Rows<'_, (K, C)>,
        expected: &Expected<Place>,
        owns: Owns<'_>,
    ) -> Result<(), Fault> {
        let (before, count) = (self.rows.len(), rows.left());
        self.rows.reserve(count)?;
        for row in rows {
            let row = row?;
            if owns.key(|| row.0.hash()) {
                self.rows.push(row);
            }
        }
        let owned = self.rows.len() - before;
        if expected.is_first {
            self.rows.reserve(expected.room(count, owned))?;
        }
        Ok(())
    }
}
