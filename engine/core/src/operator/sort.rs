//! Sorting by event time: records are held back until no earlier one can come.
//!
//! A record enters once through a frame and waits in a heap. When the watermark passes its time it leaves, in
//! the order (event time, the order given for ties, arrival). The watermark is a bound on all that is still
//! to come, so what has left is in order for good. Records that compare as equal at one time leave as they
//! arrived, in the merge order of ticks; an order in which only equal records are equal makes the result the
//! same for any number of shards and any cut into ticks.
//!
//! A record costs O(log n) moves on its way in and again on its way out, n being what the watermark has not
//! passed. Releasing is bounded by the step. A record that comes after the watermark has passed its time is
//! late: it cannot be put in its place any more, is counted, and goes into the late output.

use crate::bounds::FIRE_ROWS_MAX;
use crate::build::Site;
use crate::context::StageContext;
use crate::fault::{Fault, OutOfMemory};
use crate::frame::Frame;
use crate::hash::{fold, join};
use crate::heap::Heap;
use crate::ids::EventTime;
use crate::key::Key;
use crate::operator::Operator;
use crate::partition::{ArchivedKeyed, Keyed};
use crate::push::{Pipe, Push, forward};
use crate::record::{Record, digest, is_fixed, read};
use alloc::rc::Rc;
use core::cmp::Ordering;
use core::marker::PhantomData;

struct Waiting<T> {
    at: i64,
    /// How many came before it.
    arrival: u64,
    record: T,
}

/// The sorting operator behind an exchange by `K`. `C` compares records of equal times; sorted ones go to
/// `next`, late ones to `late`.
pub struct SortOperator<K, T, C, N, L> {
    compare: C,
    waiting: Heap<Waiting<T>>,
    arrivals: u64,
    /// Everything before this has left.
    passed: EventTime,
    may_wait: bool,
    next: N,
    late: L,
    context: Rc<StageContext>,
    _keys: PhantomData<K>,
}

impl<K, T, C, N, L> SortOperator<K, T, C, N, L>
where
    K: Key,
    T: Record,
    C: Fn(&T, &T) -> Ordering + 'static,
    N: Push<T>,
    L: Push<T>,
{
    /// An operator that holds nothing yet.
    pub fn new(compare: C, site: Site, next: N, late: L) -> Self {
        SortOperator {
            compare,
            waiting: Heap::new(site.memory),
            arrivals: 0,
            passed: EventTime::MIN,
            may_wait: site.may_wait,
            next,
            late,
            context: site.context,
            _keys: PhantomData,
        }
    }

    fn before<'a>(compare: &'a C) -> impl Fn(&Waiting<T>, &Waiting<T>) -> bool + use<'a, K, T, C, N, L> {
        move |a, b| match a.at.cmp(&b.at) {
            Ordering::Equal => compare(&a.record, &b.record).then(a.arrival.cmp(&b.arrival)).is_lt(),
            order => order.is_lt(),
        }
    }

    fn add(&mut self, keyed: &ArchivedKeyed<K, T>) -> Result<(), OutOfMemory> {
        let (at, record) = (EventTime(keyed.at.into()), read(&keyed.item));
        if at < self.passed {
            self.context.stats.late.add(1);
            self.late.push(at, record);
            return Ok(());
        }
        self.arrivals += 1;
        let waiting = Waiting { at: at.0, arrival: self.arrivals, record };
        self.waiting.push(waiting, Self::before(&self.compare))
    }
}

impl<K, T, C, N, L> Operator for SortOperator<K, T, C, N, L>
where
    K: Key,
    T: Record,
    C: Fn(&T, &T) -> Ordering + 'static,
    N: Push<T>,
    L: Push<T>,
{
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Fault> {
        if is_fixed::<Keyed<K, T>>() {
            // SAFETY: the exchange that feeds this operator sends `Keyed<K, T>`.
            unsafe { frame.fixed::<ArchivedKeyed<K, T>>() }.iter().try_for_each(|keyed| self.add(keyed))?;
        } else {
            // SAFETY: as above.
            unsafe { frame.entries::<ArchivedKeyed<K, T>>() }.try_for_each(|(_, keyed)| self.add(keyed))?;
        }
        self.context.check()
    }

    fn complete(&mut self, watermark: EventTime) -> Result<bool, Fault> {
        let room = if self.may_wait { self.next.room() } else { usize::MAX };
        let mut budget = room.min(FIRE_ROWS_MAX);
        // At the end of the input everything leaves, the last instant of time included.
        let free = |waiting: &Waiting<T>| waiting.at < watermark.0 || watermark == EventTime::MAX;
        while self.waiting.peek().is_some_and(free) {
            if budget == 0 {
                self.next.flush();
                self.context.check()?;
                return Ok(false);
            }
            budget -= 1;
            if let Some(waiting) = self.waiting.pop(Self::before(&self.compare)) {
                self.next.push(EventTime(waiting.at), waiting.record);
            }
        }
        self.passed = self.passed.max(watermark);
        self.context.check().map(|()| true)
    }

    fn digest(&self) -> u64 {
        let of =
            |waiting: &Waiting<T>| join(join(waiting.at as u64, waiting.arrival), digest(&waiting.record));
        // A sum, so that the layout of the heap does not show.
        self.waiting
            .items()
            .iter()
            .fold(fold(self.passed.0 as u64), |sum, waiting| sum.wrapping_add(of(waiting)))
    }
}

impl<K: 'static, T: 'static, C: 'static, N: Pipe, L: Pipe> Pipe for SortOperator<K, T, C, N, L> {
    forward!(next, late);
}
