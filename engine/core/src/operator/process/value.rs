//! A value of each key.

use super::expiring::{Expires, Expiring, Expiry};
use super::state::{KeyInHand, KeyedState, OpenState, StateDescription};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::record::Record;
use crate::record::key::Key;
use crate::state::arena::Arena;
use crate::state::keyed::Place;
use crate::state::store::StateStore;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

/// A value of each key: a function is shown an `&mut Option<V>`, which is `None` before anything was put there, and takes no room once it is `None`
/// again.
pub struct ValueState<V>(PhantomData<fn() -> V>);

impl<V> Default for ValueState<V> {
    fn default() -> Self {
        ValueState(PhantomData)
    }
}

impl<V> Clone for ValueState<V> {
    fn clone(&self) -> Self {
        ValueState::default()
    }
}

/// The values of all keys of a shard, and that of the key in hand, which is out of its place meanwhile.
#[doc(hidden)]
pub struct OpenValues<K, W> {
    /// One table.
    values: Rc<RefCell<Arena<K, Option<W>>>>,
    place: Place,
    in_hand: Option<W>,
}

impl<K: Key, W: Record + Clone> OpenValues<K, W> {
    fn new(store: &StateStore) -> Self {
        OpenValues { values: store.arena(), place: 0, in_hand: None }
    }

    fn prefetch(&self, hash: u64) {
        let values = self.values.borrow();
        if values.len() > 0 {
            values.table(0).prefetch(hash);
        }
    }

    fn begin(&mut self, &KeyInHand { hash, key, .. }: &KeyInHand<'_, K>) -> Result<(), Fault> {
        let mut values = self.values.borrow_mut();
        let table = values.open(0);
        let (table, saver) = values.table_mut(table);
        self.place = table.place(hash, saver, |k| k == key, || (key.clone(), None))?;
        self.in_hand = table.change(self.place, Option::take);
        Ok(())
    }

    fn end(&mut self, &KeyInHand { hash, key, .. }: &KeyInHand<'_, K>) -> Result<(), Fault> {
        let mut values = self.values.borrow_mut();
        let table = values.open(0);
        let (table, saver) = values.table_mut(table);
        match self.in_hand.take() {
            None => drop(table.remove(hash, saver, |k| k == key)?),
            value => table.change(self.place, |there| *there = value),
        }
        Ok(())
    }

    /// Clears some of what was let go of as keys moved.
    fn clear_some(&mut self, budget: &mut usize) {
        self.values.borrow_mut().clear_some(budget);
    }
}

impl<K: Key, V: Record + Clone> OpenState<K> for OpenValues<K, V> {
    fn prefetch(&self, hash: u64) {
        OpenValues::prefetch(self, hash);
    }
    #[inline]
    fn begin(&mut self, key: &KeyInHand<'_, K>) -> Result<(), Fault> {
        OpenValues::begin(self, key)
    }
    #[inline]
    fn end(&mut self, key: &KeyInHand<'_, K>) -> Result<(), Fault> {
        OpenValues::end(self, key)
    }
    fn expire(&mut self, _: EventTime, _: EventTime, budget: &mut usize) -> Result<bool, Fault> {
        OpenValues::clear_some(self, budget);
        Ok(true)
    }
}

impl<K: Key, V: Record + Clone> KeyedState<K> for ValueState<V> {
    type Of<'a> = &'a mut Option<V>;
    type Open = OpenValues<K, V>;

    fn open(&self, store: &StateStore) -> Self::Open {
        OpenValues::new(store)
    }
    fn of<'a>(open: &'a mut Self::Open, _: &'a KeyInHand<'a, K>) -> Self::Of<'a> {
        &mut open.in_hand
    }
    fn describe(&self, into: &mut Vec<StateDescription>) {
        let value = Some(Option::<V>::SCHEMA);
        into.push(StateDescription { name: "state", key: None, value, expires: None });
    }
}

/// The value of a key that [expires](Expiring): an `Option<V>` behind a pointer. To change it, or to borrow it so that it can be changed, is what
/// has its time to live begin anew; to look at it is not.
pub struct ExpiringValue<'a, V> {
    value: &'a mut Option<V>,
    changed: &'a mut bool,
}

impl<V> Deref for ExpiringValue<'_, V> {
    type Target = Option<V>;
    fn deref(&self) -> &Option<V> {
        self.value
    }
}

impl<V> DerefMut for ExpiringValue<'_, V> {
    fn deref_mut(&mut self) -> &mut Option<V> {
        *self.changed = true;
        self.value
    }
}

/// Values that expire.
#[doc(hidden)]
pub struct OpenExpiringValues<K: Key, V: Record + Clone> {
    rows: OpenValues<K, Expires<V>>,
    expiry: Expiry<K, ()>,
    /// That of the key in hand, and until when it lives and when that is looked at, if there is a row of it.
    value: Option<V>,
    times: Option<(EventTime, EventTime)>,
    /// The row, if it is over for the key in hand: it stays for one of an earlier time, unless something else takes its place.
    over: Option<Expires<V>>,
    changed: bool,
}

impl<K: Key, V: Record + Clone> OpenState<K> for OpenExpiringValues<K, V> {
    fn prefetch(&self, hash: u64) {
        self.rows.prefetch(hash);
    }

    fn begin(&mut self, key: &KeyInHand<'_, K>) -> Result<(), Fault> {
        self.rows.begin(key)?;
        self.changed = false;
        let Some(row) = self.rows.in_hand.take() else { return Ok(()) };
        self.times = Some((row.until, row.check));
        if row.until > self.expiry.now(key) {
            self.value = Some(row.value);
        } else {
            self.over = Some(row);
        }
        Ok(())
    }

    fn end(&mut self, key: &KeyInHand<'_, K>) -> Result<(), Fault> {
        let over = self.over.take().filter(|_| !self.changed);
        self.rows.in_hand = match (self.times.take(), self.value.take()) {
            (_, None) if over.is_some() => over,
            (None, None) => None,
            (Some((_, check)), None) => {
                self.expiry.cancel(key.key, (), check)?;
                None
            }
            (Some((until, check)), Some(value)) => {
                let until = if self.changed { self.expiry.until(key).max(until) } else { until };
                Some(Expires { value, until, check })
            }
            (None, Some(value)) => {
                let until = self.expiry.until(key);
                self.expiry.check(key.key.clone(), (), until)?;
                Some(Expires { value, until, check: until })
            }
        };
        self.rows.end(key)
    }

    fn expire(
        &mut self,
        watermark: EventTime,
        processing: EventTime,
        budget: &mut usize,
    ) -> Result<bool, Fault> {
        let through = self.expiry.through(watermark, processing);
        while *budget > 0 {
            *budget -= 1;
            let Some(due) = self.expiry.pop_due(through)? else {
                self.expiry.passed(through);
                self.rows.clear_some(budget);
                return Ok(true);
            };
            let hash = due.key.hash();
            let mut values = self.rows.values.borrow_mut();
            let table = values.open(0);
            let (table, saver) = values.table_mut(table);
            let place = table.place(hash, saver, |k| *k == due.key, || (due.key.clone(), None))?;
            let lives_until = table.change(place, |row| {
                let Some(row) = row else { unreachable!("what is to be looked at is there") };
                row.check = row.until;
                row.until
            });
            if lives_until > through {
                self.expiry.check(due.key, (), lives_until)?;
            } else {
                table.remove(hash, saver, |k| *k == due.key)?;
            }
        }
        Ok(false)
    }
}

impl<K: Key, V: Record + Clone> KeyedState<K> for Expiring<ValueState<V>> {
    type Of<'a> = ExpiringValue<'a, V>;
    type Open = OpenExpiringValues<K, V>;

    fn open(&self, store: &StateStore) -> Self::Open {
        let rows = OpenValues::new(store);
        let expiry = Expiry::new(self, store);
        OpenExpiringValues { rows, expiry, value: None, times: None, over: None, changed: false }
    }
    fn of<'a>(open: &'a mut Self::Open, _: &'a KeyInHand<'a, K>) -> Self::Of<'a> {
        ExpiringValue { value: &mut open.value, changed: &mut open.changed }
    }
    fn describe(&self, into: &mut Vec<StateDescription>) {
        let (value, expires) = (Some(Option::<Expires<V>>::SCHEMA), Some(self.ttl()));
        into.push(StateDescription { name: "state", key: None, value, expires });
        Expiry::<K, ()>::describe(self.ttl(), into);
    }
}
