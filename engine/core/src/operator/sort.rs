//! Sorting by event time: records are held back until no earlier one can come.
//!
//! A record enters once through a frame and waits in a heap. When the watermark passes its time it leaves, in
//! the order (event time, the order given for ties, arrival). The watermark is a bound on all that is still
//! to come, so what has left is in order for good. Records that compare as equal at one time leave as they
//! arrived, in the merge order of ticks; an order in which only equal records are equal makes the result the
//! same for any number of shards and any cut into ticks.
//!
//! A record costs O(log n) moves on its way in and again on its way out, n being what the watermark has not
//! passed. Releasing is bounded by the step. A record that comes after the watermark has passed its time, be it only that of its own partition, is
//! late: it cannot be put in its place any more, is counted, and goes into the late output.

use crate::bounds::{FIRE_ROWS_MAX, REFILL_ROWS};
use crate::exchange::frame::Frame;
use crate::exchange::partition::{ArchivedKeyed, Keyed};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::fork::SideOutput;
use crate::operator::push::{Link, Pipe, Push};
use crate::operator::{self, Operator, TickInfo};
use crate::record::key::Key;
use crate::record::{Record, read, struct_record};
use crate::stage::build::OperatorContext;
use crate::stage::context::StageContext;
use crate::state::bag::{Bag, BagPlace, RANGES};
use crate::state::heap::Heap;
use crate::state::risen::Risen;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::cmp::Ordering;
use core::marker::PhantomData;
use rkyv::{Archive, Deserialize, Serialize};

/// A record that waits.
#[derive(Archive, Serialize, Deserialize)]
struct Held<T> {
    at: i64,
    record: T,
}
struct_record!(Held<T> { at: i64, record: T });

/// When a record may leave, and its place among those that wait. Records stay where they are while these are put in
/// order.
#[derive(Clone, Copy)]
struct Due {
    at: i64,
    place: BagPlace,
}

/// The order is made anew in steps, from what waits.
#[derive(Clone, Copy)]
enum Refill {
    /// Part of the hash space, and place of it, from which on rows have still to come.
    Rows(usize, usize),
    /// All are there: so many of the first have still to be put in order.
    Order(usize),
}

/// The sorting operator behind an exchange by `K`. `C` compares records of equal times; sorted ones go to
/// `next`, late ones to `late`.
pub struct SortOperator<K, T, C, N> {
    compare: C,
    waiting: Rc<RefCell<Bag<Held<T>>>>,
    /// What waits, in order.
    due: Heap<Due>,
    /// How far it is with being made anew, while that is under way.
    refill: Option<Refill>,
    /// Everything before this has left.
    passed: Rc<RefCell<Risen>>,
    may_wait: bool,
    next: N,
    late: SideOutput<T>,
    context: Rc<StageContext>,
    _keys: PhantomData<K>,
}

impl<K, T, C, N> SortOperator<K, T, C, N>
where
    K: Key,
    T: Record,
    C: Fn(&T, &T) -> Ordering + 'static,
    N: Push<T>,
{
    /// An operator that holds nothing yet.
    pub fn new(compare: C, at: OperatorContext, next: N, late: SideOutput<T>) -> Self {
        SortOperator {
            compare,
            waiting: at.store.bag(),
            due: Heap::new(at.memory.clone()),
            refill: None,
            passed: at.store.risen(i64::MIN.into()),
            may_wait: at.may_wait,
            next,
            late,
            context: at.context,
            _keys: PhantomData,
        }
    }

    fn before<'a>(
        compare: &'a C,
        waiting: &'a Bag<Held<T>>,
    ) -> impl Fn(&Due, &Due) -> bool + use<'a, K, T, C, N> {
        move |a, b| match a.at.cmp(&b.at) {
            Ordering::Equal => {
                let (a, b) = (waiting.get(a.place), waiting.get(b.place));
                compare(&a.row.record, &b.row.record).then(a.arrival.cmp(&b.arrival)).is_lt()
            }
            order => order.is_lt(),
        }
    }

    /// Takes a record in that is not older than what its partition had come to, or is `overdue`.
    fn add(&mut self, hash: u64, keyed: &ArchivedKeyed<K, T>, overdue: EventTime) -> Result<(), Fault> {
        let (at, record) = (EventTime(keyed.at.into()), read(&keyed.item));
        if at < overdue || i128::from(at.0) < self.passed.borrow().get() {
            self.context.stats.late.add(1);
            self.late.push(at, record);
            return Ok(());
        }
        let mut waiting = self.waiting.borrow_mut();
        let place = waiting.add(hash, Held { at: at.0, record })?;
        Ok(self.due.push(Due { at: at.0, place }, Self::before(&self.compare, &waiting))?)
    }
}

impl<K, T, C, N> Operator for SortOperator<K, T, C, N>
where
    K: Key,
    T: Record,
    C: Fn(&T, &T) -> Ordering + 'static,
    N: Push<T>,
{
    fn frame(&mut self, _: usize, frame: Frame<'_>) -> Result<(), Fault> {
        let overdue = frame.overdue().unwrap_or(EventTime::MIN);
        frame.batch::<Keyed<K, T>>().each(|hash, keyed| self.add(hash, keyed, overdue))?;
        self.context.check()
    }

    fn complete(&mut self, tick: &TickInfo<'_>) -> Result<bool, Fault> {
        let watermark = tick.watermark;
        let room = if self.may_wait { self.next.room() } else { usize::MAX };
        let mut budget = room.min(FIRE_ROWS_MAX);
        // At the end of the input everything leaves, the last instant of time included.
        let free = |due: &Due| due.at < watermark.0 || watermark == EventTime::MAX;
        let mut waiting = self.waiting.borrow_mut();
        while self.due.peek().is_some_and(free) {
            if budget == 0 {
                self.next.flush();
                self.context.check()?;
                return Ok(false);
            }
            budget -= 1;
            if let Some(due) = self.due.pop(Self::before(&self.compare, &waiting)) {
                let held = waiting.take(due.place)?;
                self.next.push(EventTime(held.at), held.record);
            }
        }
        self.passed.borrow_mut().raise(watermark.0.into());
        self.context.check().map(|()| true)
    }

    fn due(&mut self) -> operator::Due {
        operator::Due::at(self.due.peek().map_or(EventTime::MAX, |due| EventTime(due.at).plus(1)))
    }

    fn restored(&mut self) -> Result<bool, Fault> {
        let waiting = self.waiting.borrow();
        let mut next = self.refill.take().unwrap_or_else(|| {
            self.due.clear();
            Refill::Rows(0, 0)
        });
        let mut budget = REFILL_ROWS;
        while budget > 0 {
            next = match next {
                Refill::Rows(RANGES, _) => Refill::Order(self.due.unordered()),
                Refill::Rows(part, from) => {
                    let to = waiting.places(part).min(from + budget);
                    let rows = waiting.part(part, from..to);
                    let due = rows.map(|(place, waiting)| Due { at: waiting.row.at, place });
                    self.due.fill(due)?;
                    budget = budget.saturating_sub(1 + to - from);
                    if to < waiting.places(part) { Refill::Rows(part, to) } else { Refill::Rows(part + 1, 0) }
                }
                Refill::Order(0) => return Ok(true),
                Refill::Order(left) => {
                    let before = Self::before(&self.compare, &waiting);
                    let still = self.due.order(left, budget, before);
                    budget -= left - still;
                    Refill::Order(still)
                }
            };
        }
        self.refill = Some(next);
        Ok(false)
    }
}

impl<K: 'static, T: 'static, C: 'static, N: Pipe> Pipe for SortOperator<K, T, C, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
