//! Keyed window aggregation: one row for each key and window, in the order (window end, key).

use crate::aggregate::{Aggregate, Overflow};
use crate::exchange::frame::Frame;
use crate::exchange::partition::Keyed;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::fork::SideOutput;
use crate::operator::keyed_windows::{Adds, Closes, KeyedWindows};
use crate::operator::push::{Link, Pipe, Push};
use crate::operator::{Due, Operator, TickInfo};
use crate::record::Archived;
use crate::record::key::Key;
use crate::stage::build::OperatorContext;
use crate::stage::context::StageContext;
use crate::window::{Window, Windowed, Windows};
use alloc::rc::Rc;
use core::marker::PhantomData;

/// The window operator. `A` aggregates records of type `T`, rows go to `next`, late items to the late output.
pub struct WindowOperator<T, K, A: Aggregate<T>, N> {
    windows: KeyedWindows<K, A::Acc>,
    rows: Aggregated<T, A, N>,
    context: Rc<StageContext>,
}

/// What is done with items and accumulators.
struct Aggregated<T, A: Aggregate<T>, N> {
    aggregate: A,
    next: N,
    late: SideOutput<A::Item>,
    _records: PhantomData<T>,
}

impl<T, K, A: Aggregate<T>, N> Adds<K, A::Acc, A::Item> for Aggregated<T, A, N> {
    #[inline(always)]
    fn empty(&self) -> A::Acc {
        self.aggregate.empty()
    }
    #[inline(always)]
    fn add(&self, acc: &mut A::Acc, item: &Archived<A::Item>) {
        self.aggregate.add_archived(acc, item);
    }
    fn late(&mut self, at: EventTime, item: A::Item) {
        self.late.push(at, item);
    }
    #[inline(always)]
    fn records(&self, item: &Archived<A::Item>) -> u64 {
        self.aggregate.records(item)
    }
}

impl<T, K: Key, A: Aggregate<T>, N: Push<Windowed<K, A::Out>>> Closes<K, A::Acc> for Aggregated<T, A, N> {
    #[inline(always)]
    fn merge(&self, acc: &mut A::Acc, other: &A::Acc) {
        self.aggregate.merge(acc, other);
    }
    #[inline(always)]
    fn emit(&mut self, at: EventTime, window: Window, key: &K, acc: &A::Acc) -> Result<(), Overflow> {
        let value = self.aggregate.try_finish(acc)?;
        self.next.push(at, Windowed { window, key: key.clone(), value });
        Ok(())
    }
    fn room(&mut self) -> usize {
        self.next.room()
    }
    fn flush(&mut self) {
        self.next.flush();
    }
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
        let windows = KeyedWindows::new(windows, &at);
        let rows = Aggregated { aggregate, next, late, _records: PhantomData };
        WindowOperator { windows, rows, context: at.context }
    }
}

impl<T, K, A, N> Operator for WindowOperator<T, K, A, N>
where
    T: 'static,
    K: Key,
    A: Aggregate<T>,
    N: Push<Windowed<K, A::Out>>,
{
    fn frame(&mut self, _: usize, frame: Frame<'_>) -> Result<(), Fault> {
        self.windows.add(&frame.batch::<Keyed<K, A::Item>>(), &mut self.rows)?;
        self.context.check()
    }

    fn complete(&mut self, tick: &TickInfo<'_>) -> Result<bool, Fault> {
        self.windows.close(tick.watermark, &mut self.rows)
    }

    fn due(&mut self) -> Due {
        Due::at(self.windows.due())
    }

    fn tidy(&mut self, ends: bool) -> bool {
        self.windows.tidy(ends)
    }

    fn restored(&mut self) -> Result<bool, Fault> {
        self.windows.restored().map(|()| true)
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
        self.rows.next.each_link(visit);
    }
}
