//! The open windows of every key that a shard owns, with a value for each: what window operators stand on.
//!
//! A record enters once through a frame and is added to its pane's table. When the watermark passes a window's end, the
//! window closes: its panes are merged, sorted by key, and leave as rows in the order (window end, key), never in
//! hash order. A record costs one lookup; closing costs O(rows of the window + rows of a pane * log panes), taken over
//! all windows, in bounded steps.
//!
//! ```text
//!  pane       table: key -> value                        records are added here, as long as any window of the pane is open
//!  waiting    table: (pane, key) -> value                overdue records that do not count for all of the pane's windows that are open here
//!  suffixes   tables of several panes each, which windows of many panes share
//!  merged     table of all panes of the window that closes, if it has several and does not share them
//!  order      its keys sorted, one row each
//! ```
//!
//! This module never reads a clock and never iterates a table to produce output.

mod closing;
mod merging;
mod suffixes;
mod waiting;

use self::closing::Closing;
use self::suffixes::Suffixes;
use self::waiting::AtPane;
use crate::aggregate::Overflow;
use crate::bounds::{BATCH, FIRE_ROWS_MAX};
use crate::exchange::frame::Batch;
use crate::exchange::partition::{ArchivedKeyed, Keyed};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::record::key::Key;
use crate::record::{Archived, Record, read};
use crate::stage::build::OperatorContext;
use crate::stage::context::StageContext;
use crate::state::arena::{Arena, ToChange};
use crate::state::order::Order;
use crate::state::prefetch::prefetch_slice;
use crate::state::risen::Risen;
use crate::window::{Window, Windows};
use alloc::rc::Rc;
use alloc::string::ToString;
use core::cell::RefCell;
use core::ops::Range;

/// Later than the end of any window.
const BEYOND_TIME: i128 = 1 << 66;

/// What is added to windows, and what becomes of it.
pub(crate) trait Adds<K, V, I: Record> {
    /// The value of a key before any record.
    fn empty(&self) -> V;

    /// Adds the item of a record, which lies in its frame.
    fn add(&self, value: &mut V, item: &Archived<I>);

    /// All windows of a record have closed.
    fn late(&mut self, at: EventTime, item: I);

    /// Of how many records an item is.
    fn records(&self, item: &Archived<I>) -> u64 {
        let _ = item;
        1
    }
}

/// What becomes of windows that close.
pub(crate) trait Closes<K, V> {
    /// Adds all that `other` holds.
    fn merge(&self, value: &mut V, other: &V);

    /// The row of a key leaves, if there is one.
    ///
    /// # Errors
    /// When there is no result for the value.
    fn emit(&mut self, at: EventTime, window: Window, key: &K, value: &V) -> Result<(), Overflow>;

    /// How many more rows surely fit.
    fn room(&mut self) -> usize;

    /// Shows what has left so far.
    fn flush(&mut self);
}

/// What is added to a table, or to several alike.
trait Added<K, V> {
    fn add_to(&mut self, hash: u64, to: ToChange<'_, K, V>) -> Result<(), Fault>;
}

/// A record as it lies in its frame.
struct RecordOf<'a, K: Key, I: Record, A> {
    keyed: &'a ArchivedKeyed<K, I>,
    to: &'a A,
}

impl<K: Key, V: Record, I: Record, A: Adds<K, V, I>> Added<K, V> for RecordOf<'_, K, I, A> {
    #[inline(always)]
    fn add_to(&mut self, hash: u64, (table, saver): ToChange<'_, K, V>) -> Result<(), Fault> {
        let RecordOf { keyed, to } = *self;
        let place = table.place(hash, saver, |key| key.is(&keyed.key), || (read(&keyed.key), to.empty()))?;
        table.change(place, |value| to.add(value, &keyed.item));
        Ok(())
    }
}

/// See the [module](self).
pub(crate) struct KeyedWindows<K, V> {
    windows: Windows,
    /// By their starts; few as a rule, and as many as there are records at worst.
    panes: Rc<RefCell<Arena<K, V>>>,
    /// By the end of the first window that they count for.
    waiting: Rc<RefCell<Arena<AtPane<K>, V>>>,
    /// Windows that end at or before this have closed. A border of a window may lie beyond the ends of time.
    closed: Rc<RefCell<Risen>>,
    closing: Closing,
    /// The end of the next window to close, as long as there is a pane; none if that has to be found out.
    due: Option<Option<i128>>,
    /// The end of the window that is closing.
    end: i128,
    /// What is merged of the window that is closing: one table, no part of the state, since windows close within a tick.
    merged: Arena<K, V>,
    suffixes: Suffixes<K, V>,
    /// Rows of panes that have been added up for the window that is closing.
    added: usize,
    order: Order,
    /// Whether a closing window may pause when its output is full.
    may_wait: bool,
    context: Rc<StageContext>,
}

impl<K: Key, V: Record + Clone> KeyedWindows<K, V> {
    /// No window is open.
    pub(crate) fn new(windows: Windows, at: &OperatorContext) -> Self {
        KeyedWindows {
            windows,
            panes: at.store.arena(),
            closed: at.store.risen(i64::MIN.into()),
            waiting: at.store.arena(),
            closing: Closing::No,
            due: Some(None),
            end: i64::MIN.into(),
            merged: at.store.scratch(),
            suffixes: Suffixes::new(&at.store),
            added: 0,
            order: Order::new(&at.memory),
            may_wait: at.may_wait,
            context: at.context.clone(),
        }
    }

    /// The number of the pane that begins at `start`, made if need be; `None` when all of its windows have closed.
    fn pane(&mut self, start: i64) -> Option<usize> {
        let (mut panes, closed) = (self.panes.borrow_mut(), self.closed.borrow().get());
        match panes.find(start) {
            Ok(index) => Some(index),
            Err(_) if self.windows.last_end(start) <= closed => None,
            Err(_) => {
                let end = self.windows.next_end(start, closed);
                self.due = self.due.map(|due| Some(due.map_or(end, |due| due.min(end))));
                Some(panes.open(start))
            }
        }
    }

    /// Adds the records of a frame.
    ///
    /// # Errors
    /// When the state outgrows the memory limit.
    #[inline]
    pub(crate) fn add<I: Record>(
        &mut self,
        batch: &Batch<'_, Keyed<K, I>>,
        to: &mut impl Adds<K, V, I>,
    ) -> Result<(), Fault> {
        if let Some(watermark) = batch.overdue() {
            return batch.each(|hash, keyed| self.add_overdue(hash, keyed, watermark, to));
        }
        let Some(records) = batch.fixed() else {
            return self.add_entries(batch.entries(), to);
        };
        prefetch_slice(&records[..records.len().min(BATCH)]);
        for (number, batch) in records.chunks(BATCH).enumerate() {
            // The next batch was written by another core: ask for it while this one is worked on.
            let next = records.len().min((number + 1) * BATCH)..records.len().min((number + 2) * BATCH);
            prefetch_slice(&records[next]);
            self.add_batch(batch, to)?;
        }
        Ok(())
    }

    /// Adds records that differ in size.
    fn add_entries<'a, I: Record>(
        &mut self,
        mut entries: impl Iterator<Item = (u64, &'a ArchivedKeyed<K, I>)>,
        to: &mut impl Adds<K, V, I>,
    ) -> Result<(), Fault>
    where
        ArchivedKeyed<K, I>: 'a,
    {
        while let Some((hash, keyed)) = entries.next() {
            let (mut hashes, mut batch, mut len) = ([hash; BATCH], [keyed; BATCH], 1);
            for (hash, keyed) in entries.by_ref().take(BATCH - 1) {
                (hashes[len], batch[len]) = (hash, keyed);
                len += 1;
            }
            let batch = &batch[..len];
            self.add_together(len, |number| batch[number], |number| hashes[number], to)?;
        }
        Ok(())
    }

    /// Adds up to [`BATCH`] records of fixed size.
    fn add_batch<I: Record>(
        &mut self,
        batch: &[ArchivedKeyed<K, I>],
        to: &mut impl Adds<K, V, I>,
    ) -> Result<(), Fault> {
        let hash = |number: usize| read::<K>(&batch[number].key).hash();
        self.add_together(batch.len(), |number| &batch[number], hash, to)
    }

    /// Adds `len` records, which are no more than [`BATCH`]: where all are of one pane their lookups overlap.
    #[inline(always)]
    fn add_together<'a, I: Record>(
        &mut self,
        len: usize,
        record: impl Fn(usize) -> &'a ArchivedKeyed<K, I>,
        hash: impl Fn(usize) -> u64,
        to: &mut impl Adds<K, V, I>,
    ) -> Result<(), Fault>
    where
        ArchivedKeyed<K, I>: 'a,
    {
        let start = self.windows.pane(record(0).at.into());
        let end = self.windows.pane_end(start);
        let together = (0..len).fold(true, |together, number| {
            let at: i64 = record(number).at.into();
            together & (at >= start) & (at < end)
        });
        if !together {
            return (0..len).try_for_each(|number| self.add_one(hash(number), record(number), to));
        }
        let Some(pane) = self.pane(start) else {
            (0..len).for_each(|number| self.add_late(record(number), to));
            return Ok(());
        };
        let mut hashes = [0; BATCH];
        for (number, place) in hashes[..len].iter_mut().enumerate() {
            *place = hash(number);
        }
        let mut panes = self.panes.borrow_mut();
        let (table, saver) = panes.table_mut(pane);
        table.upsert_batch(
            &hashes[..len],
            saver,
            |number, key| key.is(&record(number).key),
            |number| (read(&record(number).key), to.empty()),
            |number, value, _| to.add(value, &record(number).item),
        )?;
        if self.suffixes.has(start) {
            (0..len).try_for_each(|number| {
                self.suffixes.add_behind(start, hashes[number], RecordOf { keyed: record(number), to: &*to })
            })?;
        }
        Ok(())
    }

    fn add_one<I: Record>(
        &mut self,
        hash: u64,
        keyed: &ArchivedKeyed<K, I>,
        to: &mut impl Adds<K, V, I>,
    ) -> Result<(), Fault> {
        let start = self.windows.pane(keyed.at.into());
        let Some(pane) = self.pane(start) else {
            self.add_late(keyed, to);
            return Ok(());
        };
        let mut record = RecordOf { keyed, to: &*to };
        record.add_to(hash, self.panes.borrow_mut().table_mut(pane))?;
        if self.suffixes.has(start) {
            self.suffixes.add_behind(start, hash, record)?;
        }
        Ok(())
    }

    #[cold]
    fn add_late<I: Record>(&self, keyed: &ArchivedKeyed<K, I>, to: &mut impl Adds<K, V, I>) {
        self.context.stats.late.add(to.records(&keyed.item));
        to.late(EventTime(keyed.at.into()), read(&keyed.item));
    }

    /// Closes windows that `watermark` has passed, as far as a step goes; true when that is done.
    ///
    /// # Errors
    /// When a result outgrows the memory limit, or the chain behind has failed.
    pub(crate) fn close(
        &mut self,
        watermark: EventTime,
        rows: &mut impl Closes<K, V>,
    ) -> Result<bool, Fault> {
        // At the end of the input every window closes, those that reach beyond the end of time included.
        let passed = if watermark == EventTime::MAX { BEYOND_TIME } else { watermark.0.into() };
        let mut budget = FIRE_ROWS_MAX;
        loop {
            if self.may_wait {
                budget = budget.min(rows.room());
            }
            if budget == 0 {
                rows.flush();
                self.context.check()?;
                return Ok(false);
            }
            if self.close_some(passed, &mut budget, rows)? {
                self.closed.borrow_mut().raise(passed);
                return self.context.check().map(|()| true);
            }
        }
    }

    /// The panes of the window with this end: those between two places, as they are in the order of their starts.
    fn panes_of(&self, end: i128) -> Range<usize> {
        let panes = self.panes.borrow();
        let from = panes.partition_point(|start| self.windows.is_before(end, start));
        let to = panes.partition_point(|start| self.windows.begins_before(end, start));
        from..to
    }

    /// The end of the next window to close: no later pane is in an earlier one.
    fn next_due(&mut self) -> Option<i128> {
        let first = || self.panes.borrow().number(0);
        let closed = || self.closed.borrow().get();
        *self.due.get_or_insert_with(|| first().map(|start| self.windows.next_end(start, closed())))
    }

    /// The watermark at which the next window closes.
    pub(crate) fn due(&mut self) -> EventTime {
        let clamped = |due: i128| EventTime(due.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
        let waiting = self.waiting.borrow().number(0).map_or(EventTime::MAX, EventTime);
        self.next_due().map_or(EventTime::MAX, clamped).min(waiting)
    }

    /// See [`Operator::tidy`](crate::operator::Operator::tidy).
    pub(crate) fn tidy(&mut self, ends: bool) -> bool {
        if ends && matches!(self.closing, Closing::No) {
            self.order.tidy();
        }
        self.merged.give_back_unused(ends) & self.suffixes.tidy(ends)
    }

    /// See [`Operator::restored`](crate::operator::Operator::restored).
    ///
    /// # Errors
    /// When the panes are of other windows.
    pub(crate) fn restored(&mut self) -> Result<(), Fault> {
        self.due = None;
        self.suffixes.reset();
        let panes = self.panes.borrow();
        let starts = (0..panes.len()).filter_map(|pane| panes.number(pane));
        if starts.into_iter().any(|start| self.windows.pane(start) != start) {
            let message = "a checkpoint holds windows of another size or slide".to_string();
            return Err(Fault::Restore { message });
        }
        Ok(())
    }
}
