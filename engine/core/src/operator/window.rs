//! Keyed window aggregation: the open windows of every key that this shard owns.
//!
//! A record enters once through a frame and is added to its pane's table. When the watermark passes a window's end, the
//! window closes: its panes are merged, sorted by key, and leave as rows in the order (window end, key), never in
//! hash order. A record costs one lookup; closing costs O(rows), in bounded steps.
//!
//! ```text
//!  pane       table: key -> accumulator                  records are added here, as long as any window of the pane is open
//!  merged     table of all panes of the window that closes, if it has several
//!  order      its keys sorted, one row each
//!  late       every window of the record has closed: counted, and pushed into the late output
//! ```
//!
//! This module never reads a clock and never iterates a table to produce output.

mod closing;

use self::closing::Closing;
use crate::aggregate::Aggregate;
use crate::bounds::{BATCH, FIRE_ROWS_MAX};
use crate::exchange::frame::Frame;
use crate::exchange::partition::{ArchivedKeyed, Keyed};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::Operator;
use crate::operator::fork::SideOutput;
use crate::operator::push::{Link, Pipe, Push};
use crate::record::key::Key;
use crate::record::{is_fixed, read};
use crate::stage::build::OperatorContext;
use crate::stage::context::StageContext;
use crate::state::arena::Arena;
use crate::state::order::Order;
use crate::state::prefetch::prefetch_slice;
use crate::state::risen::Risen;
use crate::window::{Windowed, Windows};
use alloc::rc::Rc;
use alloc::string::ToString;
use core::cell::RefCell;
use core::ops::Range;

/// Later than the end of any window.
const BEYOND_TIME: i128 = 1 << 66;

/// The window operator. `A` aggregates records of type `T`, rows go to `next`, late items to `late`.
pub struct WindowOperator<T, K, A: Aggregate<T>, N> {
    aggregate: A,
    windows: Windows,
    /// By their starts; few as a rule, and as many as there are records at worst.
    panes: Rc<RefCell<Arena<K, A::Acc>>>,
    /// Windows that end at or before this have closed. A border of a window may lie beyond the ends of time.
    closed: Rc<RefCell<Risen>>,
    closing: Closing,
    /// The end of the next window to close, as long as there is a pane; none if that has to be found out.
    due: Option<Option<i128>>,
    /// The end of the window that is closing.
    end: i128,
    /// What is merged of the window that is closing: one table, no part of the state, since windows close within a tick.
    merged: Arena<K, A::Acc>,
    order: Order,
    /// Whether a closing window may pause when its output is full.
    may_wait: bool,
    next: N,
    late: SideOutput<A::Item>,
    context: Rc<StageContext>,
    _records: core::marker::PhantomData<T>,
}

impl<T, K, A, N> WindowOperator<T, K, A, N>
where
    T: 'static,
    K: Key,
    A: Aggregate<T>,
    N: Push<Windowed<K, A::Out>>,
{
    /// An operator without open windows.
    pub fn new(
        aggregate: A,
        windows: Windows,
        at: OperatorContext,
        next: N,
        late: SideOutput<A::Item>,
    ) -> Self {
        WindowOperator {
            aggregate,
            windows,
            panes: at.store.arena(),
            closed: at.store.risen(i64::MIN.into()),
            closing: Closing::No,
            due: Some(None),
            end: i64::MIN.into(),
            merged: at.store.scratch(),
            order: Order::new(&at.memory),
            may_wait: at.may_wait,
            next,
            late,
            context: at.context,
            _records: core::marker::PhantomData,
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
        let mut hashes = [0; BATCH];
        for (hash, keyed) in hashes.iter_mut().zip(batch) {
            *hash = read::<K>(&keyed.key).hash();
        }
        let (aggregate, mut panes) = (&self.aggregate, self.panes.borrow_mut());
        let (table, saver) = panes.table_mut(pane);
        table.upsert_batch(
            &hashes[..batch.len()],
            saver,
            |number, key| *key == read::<K>(&batch[number].key),
            |number| (read(&batch[number].key), aggregate.empty()),
            |number, acc, _| aggregate.add(acc, read(&batch[number].item)),
        )
    }

    fn add_one(&mut self, keyed: &ArchivedKeyed<K, A::Item>) -> Result<(), Fault> {
        self.add_hashed(read::<K>(&keyed.key).hash(), keyed)
    }

    fn add_hashed(&mut self, hash: u64, keyed: &ArchivedKeyed<K, A::Item>) -> Result<(), Fault> {
        let Some(pane) = self.pane(self.windows.pane(keyed.at.into())) else {
            self.add_late(keyed);
            return Ok(());
        };
        let mut panes = self.panes.borrow_mut();
        let (table, saver) = panes.table_mut(pane);
        let place =
            table.place(hash, saver, |k| k.is(&keyed.key), || (read(&keyed.key), self.aggregate.empty()))?;
        self.aggregate.add(table.value_mut(place), read(&keyed.item));
        Ok(())
    }

    #[cold]
    fn add_late(&mut self, keyed: &ArchivedKeyed<K, A::Item>) {
        self.context.stats.late.add(1);
        self.late.push(EventTime(keyed.at.into()), read(&keyed.item));
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
        // At the end of the input every window closes, those that reach beyond the end of time included.
        let passed = if watermark == EventTime::MAX { BEYOND_TIME } else { watermark.0.into() };
        let mut budget = FIRE_ROWS_MAX;
        loop {
            if self.may_wait {
                budget = budget.min(self.next.room());
            }
            if budget == 0 {
                self.next.flush();
                self.context.check()?;
                return Ok(false);
            }
            if self.close_some(passed, &mut budget)? {
                self.closed.borrow_mut().raise(passed);
                return self.context.check().map(|()| true);
            }
        }
    }

    fn due(&mut self) -> EventTime {
        let clamped = |due: i128| EventTime(due.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
        self.next_due().map_or(EventTime::MAX, clamped)
    }

    fn restored(&mut self) -> Result<(), Fault> {
        self.due = None;
        let panes = self.panes.borrow();
        let starts = (0..panes.len()).filter_map(|pane| panes.number(pane));
        if starts.into_iter().any(|start| self.windows.pane(start) != start) {
            let message = "a checkpoint holds windows of another size or slide".to_string();
            return Err(Fault::Restore { message });
        }
        Ok(())
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
