//! State that expires: what was not changed for a while is gone.
//!
//! A row says until when it lives, and is gone for whoever looks at it later. Its room comes back as ticks complete: for each row there is one entry
//! in the order of times that says when to look at it, and whoever finds it alive then puts the entry off until it would end. So a row that is
//! changed again and again costs one entry in each time to live, and nothing at all when it is changed.

use super::state::{KeyInHand, StateDescription};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::record::key::Key;
use crate::record::{Record, struct_record};
use crate::state::ordered::{Ordered, Ordering};
use crate::state::risen::Risen;
use crate::state::store::StateStore;
use crate::state::timers::TimerKind;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use rkyv::{Archive, Deserialize, Serialize};

/// How long state lives that is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    nanos: i64,
    clock: TimerKind,
}

impl Ttl {
    /// In event time: what was put there at a time is gone for whoever looks at it from `duration` later on, the time being that of the record or the
    /// timer for which the function is called. So which records find it does not depend on how they are cut into ticks, but for those that are
    /// late: for them it is gone once the watermark has come so far.
    ///
    /// # Panics
    /// When `duration` is zero, or above 292 years.
    pub fn event_time(duration: Duration) -> Self {
        Ttl::new(duration, TimerKind::Event)
    }

    /// In processing time: what was put there is gone for the ticks that are made `duration` later or more.
    ///
    /// # Panics
    /// As for [`event_time`](Self::event_time).
    pub fn processing_time(duration: Duration) -> Self {
        Ttl::new(duration, TimerKind::Processing)
    }

    fn new(duration: Duration, clock: TimerKind) -> Self {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(0);
        assert!(nanos > 0, "a time to live above zero, and of 292 years at most, and not {duration:?}");
        Ttl { nanos, clock }
    }

    #[doc(hidden)]
    pub fn is_of_event_time(&self) -> bool {
        self.clock == TimerKind::Event
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = match self.clock {
            TimerKind::Event => "event time",
            TimerKind::Processing => "processing time",
        };
        write!(f, "{:?} of {clock} after it was changed", Duration::from_nanos(self.nanos.unsigned_abs()))
    }
}

/// State of kind `S` of which every row has a time to live: `Expiring<ValueState<V>>` or `Expiring<MapState<S, V>>`.
///
/// A function that has it says how long, in [`state`](super::ProcessFunction::state):
///
/// ```
/// use pelton::prelude::*;
///
/// /// The last reading of each sensor, until an hour has gone by without one.
/// #[derive(Clone)]
/// struct Last { hours: u64 }
///
/// impl ProcessFunction<u64, i64> for Last {
///     type State = Expiring<ValueState<i64>>;
///     type Out = (i64, Option<i64>);
///
///     fn state(&self) -> Self::State {
///         Expiring::after(Ttl::event_time(secs(3600 * self.hours)))
///     }
///
///     fn record(&self, reading: i64, mut last: ExpiringValue<'_, i64>, sensor: &mut KeyContext<'_, u64, Self::Out>) {
///         sensor.emit((reading, last.replace(reading)));
///     }
/// }
/// ```
pub struct Expiring<S> {
    ttl: Option<Ttl>,
    _kind: PhantomData<fn() -> S>,
}

impl<S> Expiring<S> {
    /// With this time to live.
    pub fn after(ttl: Ttl) -> Self {
        Expiring { ttl: Some(ttl), _kind: PhantomData }
    }

    /// None for one that came of `default`: `process` panics.
    pub(super) fn ttl(&self) -> Option<Ttl> {
        self.ttl
    }
}

impl<S> Default for Expiring<S> {
    fn default() -> Self {
        Expiring { ttl: None, _kind: PhantomData }
    }
}

impl<S> Clone for Expiring<S> {
    fn clone(&self) -> Self {
        Expiring { ttl: self.ttl, _kind: PhantomData }
    }
}

/// A value with its times.
#[doc(hidden)]
#[derive(Archive, Serialize, Deserialize, Clone)]
pub struct Expires<V> {
    pub(super) value: V,
    /// From then on it is gone.
    pub(super) until: EventTime,
    /// When somebody looks whether it is: no later.
    pub(super) check: EventTime,
}
struct_record!(Expires<V> { value: V, until: EventTime, check: EventTime });

/// When to look whether a row has expired: that of `key`, and there the one for `at`.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Check<K, S> {
    time: EventTime,
    pub(super) key: K,
    pub(super) at: S,
}
struct_record!(Check<K, S> { time: EventTime, key: K, at: S });

impl<K: Key, S: Record + Clone + Ord> Ordering for Check<K, S> {
    fn hash(&self) -> u64 {
        self.key.hash()
    }
}

/// When the rows of a state expire.
pub(super) struct Expiry<K, S> {
    ttl: Ttl,
    checks: Rc<RefCell<Ordered<Check<K, S>>>>,
    /// What had expired by then is gone.
    passed: Rc<RefCell<Risen>>,
}

impl<K: Key, S: Record + Clone + Ord> Expiry<K, S> {
    pub(super) fn new<Of>(of: &Expiring<Of>, store: &StateStore) -> Self {
        let Some(ttl) = of.ttl else { panic!("a state that expires without a time to live") };
        Expiry { ttl, checks: store.ordered(), passed: store.risen(i64::MIN.into()) }
    }

    /// What it keeps, as a plan shows it.
    pub(super) fn describe(ttl: Option<Ttl>, into: &mut Vec<StateDescription>) {
        let state =
            StateDescription { name: "expiry", key: None, value: Some(Check::<K, S>::SCHEMA), expires: None };
        into.push(state.clone());
        // All times are of the one clock or of the other, which so is part of what the state is.
        let name = match ttl.map(|ttl| ttl.clock) {
            Some(TimerKind::Processing) => "expired in processing time",
            Some(TimerKind::Event) | None => "expired in event time",
        };
        into.push(StateDescription { name, value: None, ..state });
    }

    /// What time it is for the key in hand.
    pub(super) fn now(&self, key: &KeyInHand<'_, K>) -> EventTime {
        let now = match self.ttl.clock {
            // Timers of the clock at the end of the input.
            TimerKind::Event if key.time == EventTime::MAX => EventTime::MIN,
            TimerKind::Event => key.time,
            TimerKind::Processing => key.processing,
        };
        EventTime(self.passed.borrow().get().max(now.0.into()) as i64)
    }

    /// Until when a row lives that is changed now.
    pub(super) fn until(&self, key: &KeyInHand<'_, K>) -> EventTime {
        self.now(key).plus(self.ttl.nanos)
    }

    /// A row has come that lives until `until`, or so long at least.
    pub(super) fn check(&self, key: K, at: S, until: EventTime) -> Result<(), Fault> {
        if until < EventTime::MAX {
            self.checks.borrow_mut().insert(Check { time: until, key, at })?;
        }
        Ok(())
    }

    /// A row has gone that was to be looked at.
    pub(super) fn cancel(&self, key: &K, at: S, check: EventTime) -> Result<(), Fault> {
        if check < EventTime::MAX {
            let check = Check { time: check, key: key.clone(), at };
            let was_there = self.checks.borrow_mut().remove(&check)?;
            assert!(was_there, "a row is looked at some time");
        }
        Ok(())
    }

    /// Through which time rows expire in a tick: at the end of the input none do, since whatever else happens then should find them.
    pub(super) fn through(&self, watermark: EventTime, processing: EventTime) -> EventTime {
        match self.ttl.clock {
            TimerKind::Event if watermark == EventTime::MAX => EventTime::MIN,
            TimerKind::Event => watermark,
            TimerKind::Processing => processing,
        }
    }

    /// The next row to be looked at.
    pub(super) fn pop_due(&self, through: EventTime) -> Result<Option<Check<K, S>>, Fault> {
        let mut checks = self.checks.borrow_mut();
        if checks.first().is_some_and(|first| first.time <= through) { checks.pop_first() } else { Ok(None) }
    }

    /// All rows have been looked at that were due.
    pub(super) fn passed(&self, through: EventTime) {
        self.passed.borrow_mut().raise(through.0.into());
    }
}
