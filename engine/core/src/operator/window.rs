//! Keyed window aggregation: the open windows of every key that this shard owns.
//!
//! A record enters once through a frame and is added to its pane's table. When the watermark passes a window's end, the
//! window closes: its panes are sorted by key, merged, and leave as rows in the order (window end, key), never in
//! hash order. A record costs one lookup; closing costs O(rows), in bounded steps.
//!
//! ```text
//!  pane open      table: key -> accumulator                          (records are added here)
//!  pane closed    run: (key, accumulator) in key order               (hopping windows only: each run serves several
//! windows)
//!  late but useful: a record of a closed pane whose later windows are open goes into the pane's table again, which
//! becomes
//!                 one more run when the next window closes
//!  late           every window of the record has closed: counted, and pushed into the late output
//! ```
//!
//! This module never reads a clock and never iterates a table to produce output.

mod behind;
mod closing;
mod saving;

use self::behind::Behind;
use crate::aggregate::Aggregate;
use crate::bounds::WINDOW_ROWS;
use crate::bounds::{BATCH, FIRE_ROWS_MAX};
use crate::checkpoint::announced::Announced;
use crate::checkpoint::owns::Owns;
use crate::checkpoint::saver::Saver;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::checkpoint::watch::Watch;
use crate::exchange::frame::Frame;
use crate::exchange::hash;
use crate::exchange::partition::{ArchivedKeyed, Keyed};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::Operator;
use crate::operator::fork::SideOutput;
use crate::operator::push::{Link, Pipe, Push};
use crate::record::key::Key;
use crate::record::{self, is_fixed, read};
use crate::stage::context::StageContext;
use crate::state::memory::{Buf, Memory};
use crate::state::order::Order;
use crate::state::prefetch::prefetch_slice;
use crate::state::table::{Spares, Table};
use crate::window::{Windowed, Windows};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// Rows that leave in the time that a part of catching up takes.
const CATCH_UP_ROWS: usize = 1_024;

/// Later than the end of any window.
const BEYOND_TIME: i128 = 1 << 66;

/// Rows of a closed pane, in the order of their keys. They do not change any more.
struct Run<K, C> {
    rows: Buf<(K, C)>,
    watch: Watch<(K, C)>,
}

struct Pane<K, C, I> {
    start: i64,
    table: Table<K, C>,
    runs: Vec<Run<K, C>>,
    /// Of a table that came back and cannot be looked up yet: what is to be added to it.
    behind: Option<Behind<K, I>>,
}

/// What a closing window is at.
enum Closing {
    No,
    /// Sorting the table of pane number `pane`.
    Sorting {
        pane: usize,
    },
    /// Writing the sorted table of the only pane out as rows.
    Emitting {
        at: usize,
    },
    /// Writing a sorted table into a run.
    Storing {
        pane: usize,
        at: usize,
    },
    /// Merging the runs of all panes; `cursors` says how far each run is.
    Merging,
    /// The window has left: letting go of the panes that no later window holds.
    Leaving,
}

/// The window operator. `A` aggregates records of type `T`, rows go to `next`, late items to `late`.
pub struct WindowOperator<T, K, A: Aggregate<T>, N> {
    aggregate: A,
    windows: Windows,
    /// In the order of their starts; few as a rule, and as many as there are records at worst.
    panes: VecDeque<Pane<K, A::Acc, A::Item>>,
    spares: Spares<K, A::Acc>,
    spare_runs: Vec<Run<K, A::Acc>>,
    spare_lists: Vec<Vec<Run<K, A::Acc>>>,
    /// Runs that only a checkpoint still needs.
    kept_runs: Vec<Run<K, A::Acc>>,
    saver: Saver,
    /// What is still to come of a checkpoint that is being restored.
    announced: Announced<saving::Place>,
    /// Windows that end at or before this have closed. A border of a window may lie beyond the ends of time.
    closed: i128,
    closing: Closing,
    /// The end of the next window to close, as long as there is a pane.
    due: Option<i128>,
    /// The end of the window that is closing.
    end: i128,
    order: Order,
    /// For each run of the closing window: pane, run, next row.
    cursors: Vec<(usize, usize, usize)>,
    /// Whether a closing window may pause when its output is full.
    may_wait: bool,
    next: N,
    late: SideOutput<A::Item>,
    context: Rc<StageContext>,
    memory: Arc<dyn Memory>,
    _records: core::marker::PhantomData<T>,
}

impl<T, K, A, N> WindowOperator<T, K, A, N>
where
    T: 'static,
    K: Key,
    A: Aggregate<T>,
    N: Push<Windowed<K, A::Out>>,
{
    /// An operator without open windows. `may_wait` says that no receiver of its output waits for another output of
    /// its stage.
    pub fn new(
        aggregate: A,
        windows: Windows,
        may_wait: bool,
        context: Rc<StageContext>,
        memory: Arc<dyn Memory>,
        next: N,
        late: SideOutput<A::Item>,
    ) -> Self {
        WindowOperator {
            aggregate,
            windows,
            panes: VecDeque::new(),
            spares: Spares::new(memory.clone()),
            spare_runs: Vec::new(),
            spare_lists: Vec::new(),
            kept_runs: Vec::new(),
            saver: Saver::new(&memory),
            announced: Announced::new(),
            closed: i64::MIN.into(),
            closing: Closing::No,
            due: None,
            end: i64::MIN.into(),
            order: Order::new(&memory),
            cursors: Vec::new(),
            may_wait,
            next,
            late,
            context,
            memory,
            _records: core::marker::PhantomData,
        }
    }

    /// The number of the pane that begins at `start`, made if need be; `None` when all of its windows have closed.
    fn pane(&mut self, start: i64) -> Option<usize> {
        match self.panes.binary_search_by_key(&start, |pane| pane.start) {
            Ok(index) => Some(index),
            Err(_) if self.windows.last_end(start) <= self.closed => None,
            Err(index) => {
                self.open(index, start);
                let end = self.windows.next_end(start, self.closed);
                self.due = Some(self.due.map_or(end, |due| due.min(end)));
                Some(index)
            }
        }
    }

    /// Adds up to [`BATCH`] records of fixed size: where all are of one pane their lookups overlap.
    fn add_batch(&mut self, batch: &[ArchivedKeyed<K, A::Item>]) -> Result<(), Fault> {
        let start = self.windows.pane(batch[0].at.into());
        let end = self.windows.pane_end(start);
        let together = batch.iter().fold(true, |together, keyed| {
            let at: i64 = keyed.at.into();
            together & (at >= start) & (at < end)
        });
        if !together {
            return batch.iter().try_for_each(|keyed| self.add_one(keyed));
        }
        let Some(pane) = self.pane(start) else {
            batch.iter().for_each(|keyed| self.add_late(keyed));
            return Ok(());
        };
        if self.panes[pane].behind.is_some() {
            return batch.iter().try_for_each(|keyed| self.add_one(keyed));
        }
        let table = &mut self.panes[pane].table;
        table.reserve(batch.len())?;
        let mut lookups = table.lookups();
        let (mut hashes, mut entries) = ([0; BATCH], [0; BATCH]);
        for (hash, keyed) in hashes.iter_mut().zip(batch) {
            *hash = read::<K>(&keyed.key).hash();
            lookups.prefetch(*hash);
        }
        for ((entry, hash), keyed) in entries.iter_mut().zip(&hashes).zip(batch) {
            *entry = lookups.locate(*hash, || read(&keyed.key), || self.aggregate.empty());
        }
        if lookups.is_watched() {
            lookups.touch(&entries[..batch.len()], &mut self.saver)?;
        }
        let mut collisions = 0u64;
        let aggregate = &self.aggregate;
        lookups.visit(&entries[..batch.len()], |number, (key, acc)| {
            let keyed = &batch[number];
            if *key == read::<K>(&keyed.key) {
                aggregate.add(acc, read(&keyed.item));
            } else {
                collisions |= 1 << number;
            }
        });
        // Keys whose tag another key has too: one in a hundred thousand.
        while collisions != 0 {
            self.add_one(&batch[collisions.trailing_zeros() as usize])?;
            collisions &= collisions - 1;
        }
        Ok(())
    }

    fn add_one(&mut self, keyed: &ArchivedKeyed<K, A::Item>) -> Result<(), Fault> {
        self.add_hashed(read::<K>(&keyed.key).hash(), keyed)
    }

    fn add_hashed(&mut self, hash: u64, keyed: &ArchivedKeyed<K, A::Item>) -> Result<(), Fault> {
        let Some(pane) = self.pane(self.windows.pane(keyed.at.into())) else {
            self.add_late(keyed);
            return Ok(());
        };
        if self.panes[pane].behind.is_some() {
            return self.put_off(pane, keyed);
        }
        let table = &mut self.panes[pane].table;
        table.reserve(1)?;
        let at = table.place(hash, |k| k.is(&keyed.key), || read(&keyed.key), || self.aggregate.empty());
        if table.is_watched() {
            table.touch(at, &mut self.saver)?;
        }
        self.aggregate.add(table.value_mut(at), read(&keyed.item));
        Ok(())
    }

    #[cold]
    fn add_late(&mut self, keyed: &ArchivedKeyed<K, A::Item>) {
        self.context.stats.late.add(1);
        self.late.push(EventTime(keyed.at.into()), read(&keyed.item));
    }

    /// The panes of the window with this end: those between two places, as they are in the order of their starts.
    fn panes_of(&self, end: i128) -> Range<usize> {
        let from = self.panes.partition_point(|pane| self.windows.is_before(end, pane.start));
        let to = self.panes.partition_point(|pane| self.windows.begins_before(end, pane.start));
        from..to
    }

    /// The end of the next window to close: no later pane is in an earlier one.
    fn next_due(&self) -> Option<i128> {
        self.panes.front().map(|pane| self.windows.next_end(pane.start, self.closed))
    }
}

impl<T, K, A, N> Operator for WindowOperator<T, K, A, N>
where
    T: 'static,
    K: Key,
    A: Aggregate<T>,
    N: Push<Windowed<K, A::Out>>,
{
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Fault> {
        if is_fixed::<Keyed<K, A::Item>>() {
            // SAFETY: the exchange that feeds this operator sends `Keyed<K, A::Item>`.
            let records: &[ArchivedKeyed<K, A::Item>] = unsafe { frame.fixed() };
            prefetch_slice(&records[..records.len().min(BATCH)]);
            for (number, batch) in records.chunks(BATCH).enumerate() {
                // The next batch was written by another core: ask for it while this one is worked on.
                let next = records.len().min((number + 1) * BATCH)..records.len().min((number + 2) * BATCH);
                prefetch_slice(&records[next]);
                self.add_batch(batch)?;
            }
        } else {
            // SAFETY: as above.
            let mut records = unsafe { frame.entries::<ArchivedKeyed<K, A::Item>>() };
            records.try_for_each(|(hash, keyed)| self.add_hashed(hash, keyed))?;
        }
        self.context.check()
    }

    fn complete(&mut self, watermark: EventTime) -> Result<bool, Fault> {
        let mut budget = FIRE_ROWS_MAX;
        // At the end of the input every window closes, those that reach beyond the end of time included.
        let passed = if watermark == EventTime::MAX { BEYOND_TIME } else { watermark.0.into() };
        loop {
            if self.may_wait {
                budget = budget.min(self.next.room());
            }
            if budget == 0 {
                self.next.flush();
                self.context.check()?;
                return Ok(false);
            }
            match self.closing {
                Closing::No if !self.spares.is_clean() => self.spares.clear_some(&mut budget),
                Closing::No => match self.due.filter(|&end| end <= passed) {
                    Some(end) => match self.behind_of(end) {
                        Some(pane) => {
                            self.catch_up_pane(pane)?;
                            budget = budget.saturating_sub(CATCH_UP_ROWS);
                        }
                        None => {
                            self.end = end;
                            budget = budget.saturating_sub(WINDOW_ROWS);
                            self.sort(0)?;
                        }
                    },
                    None => {
                        self.closed = self.closed.max(passed);
                        return self.context.check().map(|()| true);
                    }
                },
                Closing::Sorting { pane } => {
                    if self.order.step(&self.panes[pane].table, &mut budget)? {
                        let alone = self.windows.panes_per_window() == 1;
                        self.closing = if alone {
                            Closing::Emitting { at: 0 }
                        } else {
                            Closing::Storing { pane, at: 0 }
                        };
                    }
                }
                Closing::Emitting { at } => self.emit(at, &mut budget),
                Closing::Storing { pane, at } => self.store(pane, at, &mut budget)?,
                Closing::Merging => self.merge(&mut budget),
                Closing::Leaving => self.leave(&mut budget),
            }
        }
    }

    fn due(&self) -> EventTime {
        self.due.map_or(EventTime::MAX, |due| EventTime(due.clamp(i64::MIN.into(), i64::MAX.into()) as i64))
    }

    fn freeze(&mut self, full: bool) {
        self.catch_up_now();
        self.freeze_panes(full);
    }

    fn save(&mut self, section: Section, out: &mut dyn SnapshotOut) -> bool {
        let saved = self.save_panes(section, out);
        saved.unwrap_or_else(|fault| {
            self.context.fail(fault);
            false
        })
    }

    fn restore(&mut self, block: BlockId, bytes: &[u8], owns: Owns<'_>) -> Result<(), Fault> {
        self.restore_block(block, bytes, owns)
    }

    fn extract(
        &mut self,
        section: Section,
        moves: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<(BlockId, Vec<u8>)>, Fault> {
        while !self.catch_up_some()? {}
        self.extract_rows(section, moves)
    }

    fn restored(&mut self) -> Result<(), Fault> {
        self.end_restore()
    }

    fn catch_up(&mut self) -> Result<bool, Fault> {
        self.catch_up_some()
    }

    fn digest(&mut self) -> u64 {
        self.catch_up_now();
        let of = |start: i64, key: &K, acc: &A::Acc| {
            record::digest(&Keyed { at: start, key: key.clone(), item: acc.clone() })
        };
        let mut digest = hash::join(hash::fold((self.closed >> 64) as u64), self.closed as u64);
        for pane in &self.panes {
            let open = pane.table.iter();
            let stored = pane.runs.iter().flat_map(|run| run.rows.iter()).map(|(key, acc)| (key, acc));
            // A sum, so that hash order does not show.
            digest =
                open.chain(stored).fold(digest, |sum, (key, acc)| sum.wrapping_add(of(pane.start, key, acc)));
        }
        digest
    }
}

impl<T, K, A, N> Pipe for WindowOperator<T, K, A, N>
where
    T: 'static,
    K: Key,
    A: Aggregate<T>,
    N: Pipe,
{
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
