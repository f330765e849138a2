//! Records behind an exchange that keeps no state: rebuilt from their frames and pushed on, or read where they lie.

use crate::exchange::frame::Frame;
use crate::exchange::partition::Timed;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};
use crate::operator::{Operator, TickInfo};
use crate::record::{Archived, Record, read};
use crate::stage::context::StageContext;
use alloc::rc::Rc;
use core::marker::PhantomData;
use rkyv::Archive;

/// The reader of a rebalancing or forwarding exchange.
pub struct Pass<T, N> {
    next: N,
    context: Rc<StageContext>,
    _records: PhantomData<T>,
}

impl<T: Record, N: Push<T>> Pass<T, N> {
    /// Pushes what arrives into `next`.
    pub fn new(context: Rc<StageContext>, next: N) -> Self {
        Pass { next, context, _records: PhantomData }
    }
}

/// Has `push` let records of a frame out into `next`, which is told how far they are overdue.
#[inline(always)]
pub(crate) fn passing<N: Pipe, R>(frame: &Frame<'_>, next: &mut N, push: impl FnOnce(&mut N) -> R) -> R {
    let overdue = frame.overdue();
    if overdue.is_some() {
        next.overdue(overdue);
    }
    let outcome = push(next);
    if overdue.is_some() {
        next.overdue(None);
    }
    outcome
}

/// Shows `take` each record of a frame.
#[inline(always)]
fn each<T: Record>(frame: &Frame<'_>, mut take: impl FnMut(EventTime, &Archived<T>)) {
    let mut take = |timed: &<Timed<T> as Archive>::Archived| take(EventTime(timed.at.into()), &timed.record);
    let batch = frame.batch::<Timed<T>>();
    match batch.fixed() {
        Some(rows) => rows.iter().for_each(&mut take),
        None => batch.entries().for_each(|(_, timed)| take(timed)),
    }
}

impl<T: Record, N: Push<T>> Operator for Pass<T, N> {
    fn frame(&mut self, _: usize, frame: Frame<'_>) -> Result<(), Fault> {
        passing(&frame, &mut self.next, |next| {
            each::<T>(&frame, |at, record| next.push(at, read(record)));
        });
        self.context.check()
    }

    fn complete(&mut self, _: &TickInfo<'_>) -> Result<bool, Fault> {
        Ok(true)
    }
}

impl<T: 'static, N: Pipe> Pipe for Pass<T, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}

/// As [`Pass`], for a function that makes of a record in its frame what goes on.
pub struct PassArchived<T, F, N> {
    f: F,
    next: N,
    context: Rc<StageContext>,
    _records: PhantomData<T>,
}

impl<T: Record, I: IntoIterator, F: Fn(&Archived<T>) -> I, N: Push<I::Item>> PassArchived<T, F, N> {
    /// Pushes what `f` makes of what arrives into `next`.
    pub fn new(context: Rc<StageContext>, f: F, next: N) -> Self {
        PassArchived { f, next, context, _records: PhantomData }
    }
}

impl<T, I, F, N> Operator for PassArchived<T, F, N>
where
    T: Record,
    I: IntoIterator,
    F: Fn(&Archived<T>) -> I + 'static,
    N: Push<I::Item>,
{
    fn frame(&mut self, _: usize, frame: Frame<'_>) -> Result<(), Fault> {
        passing(&frame, &mut self.next, |next| {
            each::<T>(&frame, |at, record| {
                (self.f)(record).into_iter().for_each(|made| next.push(at, made));
            });
        });
        self.context.check()
    }

    fn complete(&mut self, _: &TickInfo<'_>) -> Result<bool, Fault> {
        Ok(true)
    }
}

impl<T: 'static, F: 'static, N: Pipe> Pipe for PassArchived<T, F, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
