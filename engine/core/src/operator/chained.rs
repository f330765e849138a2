//! A stateful operator within a chain: the rows of the chain in front are on the shard of their key already, so no exchange is needed.
//!
//! ```text
//!   exchange -> window -> map -> [ end of the chain ]
//!                                   | a frame of its own, a few thousand bytes
//!                                [ operator ] -> filter -> sink
//! ```
//!
//! Operators take their rows from frames, wherever these come from. The operator acts on a tick after those before it, in the order in which they
//! stand in the program, so all that they let out in the tick has come to it by then.

use crate::exchange::frame::Frame;
use crate::exchange::local::LocalFrame;
use crate::exchange::partition::Keyed;
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};
use crate::operator::{Due, Operator, TickInfo};
use crate::record::Record;
use crate::record::key::Key;
use crate::stage::context::StageContext;
use crate::state::memory::Memory;
use crate::state::store::StateStore;
use alloc::format;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::RefCell;
use core::marker::PhantomData;

/// An operator and the rows that wait for it.
struct Inner<O> {
    operator: O,
    rows: LocalFrame,
    store: Rc<StateStore>,
    /// What it is called in reports.
    name: Rc<str>,
}

impl<O: Operator> Inner<O> {
    fn drain(&mut self) -> Result<(), Fault> {
        let operator = &mut self.operator;
        self.rows.take(|frame| operator.frame(0, frame))?;
        self.store.count_heap()
    }

    /// As [`drain`](Self::drain), while another operator runs: what goes wrong is this one's doing.
    fn drain_within(&mut self, context: &StageContext) {
        let before = context.enter(Some(self.name.clone()));
        if let Err(fault) = self.drain() {
            context.fail(fault);
        }
        if !context.has_failed() {
            context.enter(before);
        }
    }
}

/// An operator within a chain, as its stage has it.
pub(crate) struct Chained<O>(Rc<RefCell<Inner<O>>>);

impl<O: Operator> Chained<O> {
    /// The operator, whose state is in `store` and which is called `name`, for rows that are `R`s.
    pub(crate) fn new<R: Record>(
        operator: O,
        store: Rc<StateStore>,
        name: &str,
        memory: &Arc<dyn Memory>,
    ) -> Self {
        let inner = Inner { operator, rows: LocalFrame::new::<R>(memory), store, name: name.into() };
        Chained(Rc::new(RefCell::new(inner)))
    }

    /// What the chain in front ends in.
    pub(crate) fn end<K, T, I, FK, FI>(
        &self,
        (key, item): (FK, FI),
        router: Arc<Router>,
        context: Rc<StageContext>,
    ) -> impl Push<T> + use<O, K, T, I, FK, FI>
    where
        K: Key,
        T: 'static,
        I: Record,
        FK: Fn(&T) -> K + 'static,
        FI: Fn(T) -> I + 'static,
    {
        ToChained { to: self.0.clone(), key, item, router, context, _rows: PhantomData }
    }
}

impl<O: Operator> Pipe for Chained<O> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.0.borrow_mut().operator.each_link(visit);
    }
}

impl<O: Operator> Operator for Chained<O> {
    fn frame(&mut self, port: usize, frame: Frame<'_>) -> Result<(), Fault> {
        self.0.borrow_mut().operator.frame(port, frame)
    }

    fn drain(&mut self) -> Result<(), Fault> {
        self.0.borrow_mut().drain()
    }

    fn complete(&mut self, tick: &TickInfo<'_>) -> Result<bool, Fault> {
        let mut inner = self.0.borrow_mut();
        inner.drain()?;
        inner.operator.complete(tick)
    }

    fn due(&mut self) -> Due {
        self.0.borrow_mut().operator.due()
    }

    fn tidy(&mut self, ends: bool) -> bool {
        self.0.borrow_mut().operator.tidy(ends)
    }

    fn restored(&mut self) -> Result<bool, Fault> {
        self.0.borrow_mut().operator.restored()
    }
}

/// The end of the chain in front.
struct ToChained<O, FK, FI, T, I> {
    to: Rc<RefCell<Inner<O>>>,
    key: FK,
    item: FI,
    router: Arc<Router>,
    context: Rc<StageContext>,
    _rows: PhantomData<fn(T) -> I>,
}

impl<O, FK, FI, T, I, K> Push<T> for ToChained<O, FK, FI, T, I>
where
    O: Operator,
    FK: Fn(&T) -> K + 'static,
    FI: Fn(T) -> I + 'static,
    T: 'static,
    I: Record,
    K: Key,
{
    fn push(&mut self, at: EventTime, record: T) {
        let key = (self.key)(&record);
        let hash = key.hash();
        if self.router.shard(hash) != self.context.shard {
            return self.is_elsewhere(&key);
        }
        let mut inner = self.to.borrow_mut();
        let row = Keyed { at: at.0, key, item: (self.item)(record) };
        if let Err(fault) = inner.rows.push(&row, hash) {
            self.context.fail(fault);
        }
        if inner.rows.is_full() {
            inner.drain_within(&self.context);
        }
    }
}

impl<O, FK, FI, T, I> ToChained<O, FK, FI, T, I> {
    #[cold]
    #[inline(never)]
    fn is_elsewhere<K: Key>(&self, key: &K) {
        let shard = self.context.shard;
        let message = format!(
            "a row of key {} is on shard {}, and its key is not: `keyed_as` takes the key by which the stream was grouped; \
             group it anew, by `key_by`, where the key is another",
            key.describe(),
            shard.0
        );
        self.context.fail(Fault::External { shard, message });
    }
}

impl<O: Operator, FK: 'static, FI: 'static, T: 'static, I: 'static> Pipe for ToChained<O, FK, FI, T, I> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(self);
    }
}

/// Whatever is done once for the chain behind is done by the stage, which has the operator as well.
impl<O: Operator, FK: 'static, FI: 'static, T: 'static, I: 'static> Link for ToChained<O, FK, FI, T, I> {
    fn flush(&mut self) {
        let mut inner = self.to.borrow_mut();
        // Whoever flushes waits for room, and the rows that wait here count against it: nobody else takes them meanwhile.
        inner.drain_within(&self.context);
        inner.operator.flush();
    }

    fn overdue(&mut self, watermark: Option<EventTime>) {
        let mut inner = self.to.borrow_mut();
        inner.drain_within(&self.context);
        inner.rows.set_overdue(watermark);
    }

    fn room(&mut self) -> usize {
        let mut inner = self.to.borrow_mut();
        let waiting = inner.rows.len();
        inner.operator.room().saturating_sub(waiting)
    }

    fn reroute(&mut self, router: &Arc<Router>) {
        self.router = router.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;
    use crate::state::memory::HeapMemory;
    use crate::state::slab::Slabs;

    /// Notes what it is asked.
    struct Asked(Rc<RefCell<alloc::vec::Vec<bool>>>);

    impl Pipe for Asked {
        fn each_link(&mut self, _: &mut dyn FnMut(&mut dyn Link)) {}
    }

    impl Operator for Asked {
        fn frame(&mut self, _: usize, _: Frame<'_>) -> Result<(), Fault> {
            Ok(())
        }
        fn complete(&mut self, _: &TickInfo<'_>) -> Result<bool, Fault> {
            Ok(true)
        }
        fn due(&mut self) -> Due {
            Due::at(EventTime(7))
        }
        fn tidy(&mut self, ends: bool) -> bool {
            self.0.borrow_mut().push(ends);
            false
        }
        fn restored(&mut self) -> Result<bool, Fault> {
            Ok(false)
        }
    }

    /// Whatever a stage asks of an operator with an answer of its own reaches the one within the chain.
    #[test]
    fn all_that_is_asked_goes_through() {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let store = StateStore::new(memory.clone(), Slabs::new(memory.clone())).on(ShardId(0));
        let asked = Rc::default();
        let mut chained = Chained::new::<Keyed<u64, u64>>(Asked(Rc::clone(&asked)), store, "asked", &memory);
        assert!(!chained.tidy(true) && !chained.tidy(false));
        assert_eq!(*asked.borrow(), [true, false]);
        assert_eq!((chained.due(), chained.restored()), (Due::at(EventTime(7)), Ok(false)));
    }
}
