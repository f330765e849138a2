//! The process operator: user code that is called for each record of a key, with a state of that key and timers.
//!
//! A record costs one lookup. Timers fire when the tick completes that has brought their clock there, in the order (time, key, tag), a bounded
//! number in a step. Everything that user code can see is a function of the records and their ticks: the state, the timers, and both times.

mod expiring;
mod function;
mod map;
mod state;
#[cfg(test)]
mod tests;
mod value;

pub use self::expiring::{Expiring, Ttl};
pub use self::function::{FiredTimer, KeyContext, ProcessFunction, StateOf};
pub use self::map::{MapOf, MapState};
pub use self::state::{KeyInHand, KeyedState, OpenState, StateDescription};
pub use self::value::{ExpiringValue, ValueState};

use self::function::{Fired, Now};
use crate::bounds::{BATCH, FIRE_ROWS_MAX};
use crate::exchange::frame::Frame;
use crate::exchange::partition::{ArchivedKeyed, Keyed};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};
use crate::operator::{Due, Operator, TickInfo};
use crate::record::key::Key;
use crate::record::{Record, read};
use crate::stage::build::OperatorContext;
use crate::stage::context::StageContext;
use crate::state::timers::{Timer, TimerKind, Timers};
use alloc::rc::Rc;
use core::marker::PhantomData;

/// The operator behind an exchange by `K` that calls `P` for records of type `T`.
pub struct ProcessOperator<K, T, P: ProcessFunction<K, T>, N>
where
    K: Key,
{
    function: P,
    states: <P::State as KeyedState<K>>::Open,
    timers: Timers<K>,
    /// In the tick that completes.
    fired: Fired,
    /// How far the records of the frame in hand are.
    overdue: Option<EventTime>,
    may_wait: bool,
    next: N,
    context: Rc<StageContext>,
    _records: PhantomData<T>,
}

impl<K: Key, T: Record, P: ProcessFunction<K, T>, N: Push<P::Out>> ProcessOperator<K, T, P, N> {
    /// An operator that has seen nothing.
    pub fn new(function: P, at: OperatorContext, next: N) -> Self {
        ProcessOperator {
            states: function.state().open(&at.store),
            function,
            timers: at.store.timers(),
            fired: Fired::default(),
            overdue: None,
            may_wait: at.may_wait,
            next,
            context: at.context,
            _records: PhantomData,
        }
    }

    /// Calls the function with the state of a key.
    #[inline]
    fn call(
        &mut self,
        (hash, key): (u64, &K),
        (time, now): (EventTime, Now),
        fired: Option<&Fired>,
        call: impl FnOnce(&P, StateOf<'_, K, P::State>, &mut KeyContext<'_, K, P::Out>),
    ) -> Result<(), Fault> {
        let (timers, context) = (&self.timers, &*self.context);
        let in_hand = KeyInHand { hash, key, time, processing: now.time, context };
        self.states.begin(&in_hand)?;
        let next = &mut self.next;
        let mut out = |at, row| next.push(at, row);
        let (may_wait_for_time, overdue) = (P::PROCESSING_TIMERS, self.overdue);
        let mut key_context =
            KeyContext { key, time, now, fired, timers, out: &mut out, context, may_wait_for_time, overdue };
        call(&self.function, P::State::of(&mut self.states, &in_hand), &mut key_context);
        self.states.end(&in_hand)
    }

    /// Up to [`BATCH`] records of fixed size: their lookups overlap.
    fn take_batch(&mut self, rows: &[ArchivedKeyed<K, T>]) -> Result<(), Fault> {
        let mut hashes = [0; BATCH];
        for (hash, keyed) in hashes.iter_mut().zip(rows) {
            *hash = read::<K>(&keyed.key).hash();
        }
        hashes[..rows.len()].iter().for_each(|hash| self.states.prefetch(*hash));
        hashes.iter().zip(rows).try_for_each(|(hash, keyed)| self.take(*hash, keyed))
    }

    fn take(&mut self, hash: u64, keyed: &ArchivedKeyed<K, T>) -> Result<(), Fault> {
        let key = read::<K>(&keyed.key);
        let now = Now { watermark: self.context.watermark.get(), time: self.context.wall.get() };
        let time = EventTime(keyed.at.into());
        self.call((hash, &key), (time, now), None, |function, state, key| {
            function.record_archived(&keyed.item, state, key);
        })
    }
}

impl<K: Key, T: Record, P: ProcessFunction<K, T>, N: Push<P::Out>> Operator for ProcessOperator<K, T, P, N> {
    fn frame(&mut self, _: usize, frame: Frame<'_>) -> Result<(), Fault> {
        let batch = frame.batch::<Keyed<K, T>>();
        // What the function lets out for a record is as far overdue as that.
        self.overdue = frame.overdue();
        if self.overdue.is_some() {
            self.next.overdue(self.overdue);
        }
        match batch.fixed() {
            Some(rows) => rows.chunks(BATCH).try_for_each(|rows| self.take_batch(rows))?,
            None => batch.entries().try_for_each(|(hash, keyed)| self.take(hash, keyed))?,
        }
        if self.overdue.take().is_some() {
            self.next.overdue(None);
        }
        self.context.check()
    }

    fn complete(&mut self, tick: &TickInfo<'_>) -> Result<bool, Fault> {
        let now = Now { watermark: tick.watermark, time: tick.time };
        let mut budget = if self.may_wait { self.next.room().min(FIRE_ROWS_MAX) } else { FIRE_ROWS_MAX };
        loop {
            if budget == 0 {
                self.next.flush();
                return self.context.check().map(|()| false);
            }
            budget -= 1;
            let Some((kind, Timer { at, key, tag })) = self.timers.pop_due(tick)? else {
                self.fired = Fired::default();
                // After the timers: what they wait for is still there.
                // No row leaves with that, so the room for rows has nothing to say about it.
                let done = self.states.expire(tick.watermark, tick.time, &mut { FIRE_ROWS_MAX })?;
                return self.context.check().map(|()| done);
            };
            *self.fired.of(kind) = Some(at);
            let time = if kind == TimerKind::Event { at } else { tick.watermark };
            let fired = FiredTimer { kind, at, tag };
            let so_far = self.fired;
            self.call((key.hash(), &key), (time, now), Some(&so_far), |function, state, key| {
                function.timer(fired, state, key)
            })?;
            self.context.check()?;
        }
    }

    fn due(&mut self) -> Due {
        self.timers.due()
    }
}

impl<K: Key, T: 'static, P: ProcessFunction<K, T>, N: Pipe> Pipe for ProcessOperator<K, T, P, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
