//! Records behind an exchange that keeps no state: rebuilt from their frames and pushed on.

use crate::exchange::frame::Frame;
use crate::exchange::partition::Timed;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};
use crate::operator::{Operator, TickInfo};
use crate::record::{Record, read};
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

impl<T: Record, N: Push<T>> Operator for Pass<T, N> {
    fn frame(&mut self, _: usize, frame: Frame<'_>) -> Result<(), Fault> {
        let mut push = |timed: &<Timed<T> as Archive>::Archived| {
            self.next.push(EventTime(timed.at.into()), read(&timed.record));
        };
        let batch = frame.batch::<Timed<T>>();
        match batch.fixed() {
            Some(rows) => rows.iter().for_each(&mut push),
            None => batch.entries().for_each(|(_, timed)| push(timed)),
        }
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
