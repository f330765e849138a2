//! Values of each key, in order.

use super::expiring::{Expires, Expiring, Expiry, Ttl};
use super::state::{KeyInHand, KeyedState, OpenState, StateDescription};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::record::key::Key;
use crate::record::{Record, struct_record};
use crate::state::ordered::{Ordered, Ordering};
use crate::state::store::StateStore;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{RefCell, RefMut};
use core::cmp;
use core::marker::PhantomData;
use core::ops::{Bound, RangeBounds};
use rkyv::{Archive, Deserialize, Serialize};

/// Values of each key, each under an `S`, in the order of these: what a `BTreeMap` for each key would be, of any size. Times make it a buffer of what
/// waits, numbers a list ([`push`](MapOf::push)), names a dictionary.
///
/// Rows lie in pages of about 4 KiB, with those of other keys, and what changed is what a checkpoint writes: whatever a key has, looking at one row
/// or changing it costs two binary searches.
pub struct MapState<S, V>(PhantomData<fn() -> (S, V)>);

impl<S, V> Default for MapState<S, V> {
    fn default() -> Self {
        MapState(PhantomData)
    }
}

impl<S, V> Clone for MapState<S, V> {
    fn clone(&self) -> Self {
        MapState::default()
    }
}

/// A row of a map: that of `key` under `at`.
#[doc(hidden)]
#[derive(Archive, Serialize, Deserialize, Clone)]
pub struct MapEntry<K, S, W> {
    key: K,
    at: S,
    value: W,
}
struct_record!(MapEntry<K, S, W> { key: K, at: S, value: W });

impl<K: Ord, S: Ord, W> MapEntry<K, S, W> {
    fn order(&self, key: &K, at: &S) -> cmp::Ordering {
        self.key.cmp(key).then_with(|| self.at.cmp(at))
    }
}

impl<K: Ord, S: Ord, W> PartialEq for MapEntry<K, S, W> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord, S: Ord, W> Eq for MapEntry<K, S, W> {}

impl<K: Ord, S: Ord, W> PartialOrd for MapEntry<K, S, W> {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, S: Ord, W> Ord for MapEntry<K, S, W> {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.order(&other.key, &other.at)
    }
}

impl<K: Key, S: Record + Clone + Ord, W: Record + Clone> Ordering for MapEntry<K, S, W> {
    fn hash(&self) -> u64 {
        self.key.hash()
    }
}

/// A value as a row has it: with its times, if it expires, or alone.
#[doc(hidden)]
pub trait Kept: Record + Clone {
    /// The value alone.
    type Value;

    /// A row that lives until `until`.
    fn new(value: Self::Value, until: EventTime) -> Self;
    fn value(&self) -> &Self::Value;
    fn into_value(self) -> Self::Value;
    /// Until when it lives, and when that is looked at; `MAX` for ever.
    fn times(&self) -> (EventTime, EventTime);
    /// Puts another value there, which lives until `until` at least, and returns the one that was there.
    fn renew(&mut self, value: Self::Value, until: EventTime) -> Self::Value;
    /// It will be looked at when it is over.
    fn put_off(&mut self);
}

/// A value that does not expire.
#[doc(hidden)]
#[derive(Archive, Serialize, Deserialize, Clone)]
pub struct Lasting<V> {
    value: V,
}
struct_record!(Lasting<V> { value: V });

impl<V: Record + Clone> Kept for Lasting<V> {
    type Value = V;

    fn new(value: V, _: EventTime) -> Self {
        Lasting { value }
    }
    fn value(&self) -> &V {
        &self.value
    }
    fn into_value(self) -> V {
        self.value
    }
    fn times(&self) -> (EventTime, EventTime) {
        (EventTime::MAX, EventTime::MAX)
    }
    fn renew(&mut self, value: V, _: EventTime) -> V {
        core::mem::replace(&mut self.value, value)
    }
    fn put_off(&mut self) {}
}

impl<V: Record + Clone> Kept for Expires<V> {
    type Value = V;

    fn new(value: V, until: EventTime) -> Self {
        Expires { value, until, check: until }
    }
    fn value(&self) -> &V {
        &self.value
    }
    fn into_value(self) -> V {
        self.value
    }
    fn times(&self) -> (EventTime, EventTime) {
        (self.until, self.check)
    }
    fn renew(&mut self, value: V, until: EventTime) -> V {
        self.until = self.until.max(until);
        core::mem::replace(&mut self.value, value)
    }
    fn put_off(&mut self) {
        self.check = self.until;
    }
}

/// The maps of all keys of a shard.
#[doc(hidden)]
pub struct OpenMaps<K: Key, S: Record + Clone + Ord, W: Kept> {
    rows: Rc<RefCell<Ordered<MapEntry<K, S, W>>>>,
    expiry: Option<Expiry<K, S>>,
}

impl<K: Key, S: Record + Clone + Ord, W: Kept> OpenState<K> for OpenMaps<K, S, W> {
    fn expire(
        &mut self,
        watermark: EventTime,
        processing: EventTime,
        budget: &mut usize,
    ) -> Result<bool, Fault> {
        let Some(expiry) = &self.expiry else { return Ok(true) };
        let through = expiry.through(watermark, processing);
        let mut rows = self.rows.borrow_mut();
        while *budget > 0 {
            *budget -= 1;
            let Some(due) = expiry.pop_due(through)? else {
                expiry.passed(through);
                return Ok(true);
            };
            let hash = due.key.hash();
            let order = |row: &MapEntry<K, S, W>| row.order(&due.key, &due.at);
            let until = rows.get(hash, order).map(|row| row.value.times().0);
            let Some(until) = until else { unreachable!("what is to be looked at is there") };
            if until > through {
                rows.change(hash, order, |row| row.value.put_off())?;
                expiry.check(due.key, due.at, until)?;
            } else {
                rows.remove_by(hash, order)?;
            }
        }
        Ok(false)
    }
}

macro_rules! kind_of_map {
    ($kind:ty, $row:ident, |$this:ident, $store:ident| $expiry:expr, $expires:expr) => {
        impl<K: Key, S: Record + Clone + Ord, V: Record + Clone> KeyedState<K> for $kind {
            type Of<'a> = MapOf<'a, K, S, $row<V>>;
            type Open = OpenMaps<K, S, $row<V>>;

            fn open(&self, $store: &StateStore) -> Self::Open {
                let $this = self;
                OpenMaps { rows: $store.ordered(), expiry: $expiry }
            }
            fn of<'a>(open: &'a mut Self::Open, key: &'a KeyInHand<'a, K>) -> Self::Of<'a> {
                MapOf { rows: open.rows.borrow_mut(), expiry: open.expiry.as_ref(), key }
            }
            fn describe(&self, into: &mut Vec<StateDescription>) {
                let value = Some(<MapEntry<K, S, $row<V>> as Record>::SCHEMA);
                let (key, expires) = (Some(<(K, S) as Record>::SCHEMA), $expires(self));
                into.push(StateDescription { name: "map", key, value, expires });
                if let Some(ttl) = expires {
                    Expiry::<K, S>::describe(ttl, into);
                }
            }
        }
    };
}
kind_of_map!(MapState<S, V>, Lasting, |_this, store| None, |_| None::<Option<Ttl>>);
kind_of_map!(
    Expiring<MapState<S, V>>,
    Expires,
    |this, store| Some(Expiry::new(this, store)),
    |this: &Self| Some(this.ttl())
);

/// The map of a key, as a [`ProcessFunction`](super::ProcessFunction) sees it. Rows that have [expired](Expiring) are not there.
pub struct MapOf<'a, K: Key, S: Record + Clone + Ord, W: Kept> {
    rows: RefMut<'a, Ordered<MapEntry<K, S, W>>>,
    expiry: Option<&'a Expiry<K, S>>,
    key: &'a KeyInHand<'a, K>,
}

impl<K: Key, S: Record + Clone + Ord, W: Kept> MapOf<'_, K, S, W> {
    fn now(&self) -> EventTime {
        self.expiry.map_or(EventTime::MIN, |expiry| expiry.now(self.key))
    }

    fn until(&self) -> EventTime {
        self.expiry.map_or(EventTime::MAX, |expiry| expiry.until(self.key))
    }

    /// What an operation came to; the job fails where it could not be done.
    fn done<R: Default>(&self, outcome: Result<R, Fault>) -> R {
        outcome.unwrap_or_else(|fault| {
            self.key.context.fail(fault);
            R::default()
        })
    }

    /// The value under `at`.
    pub fn get(&self, at: &S) -> Option<&W::Value> {
        let row = self.rows.get(self.key.hash, |row| row.order(self.key.key, at))?;
        (row.value.times().0 > self.now()).then(|| row.value.value())
    }

    /// Puts a value under `at`, and returns the one that was there.
    pub fn put(&mut self, at: S, value: W::Value) -> Option<W::Value> {
        let outcome = self.try_put(at, value);
        self.done(outcome)
    }

    fn try_put(&mut self, at: S, value: W::Value) -> Result<Option<W::Value>, Fault> {
        let (hash, key) = (self.key.hash, self.key.key);
        let (now, until) = (self.now(), self.until());
        let mut value = Some(value);
        let changed = self.rows.change(
            hash,
            |row| row.order(key, &at),
            |row| {
                let was_live = row.value.times().0 > now;
                let before = value.take().map(|value| row.value.renew(value, until));
                before.filter(|_| was_live)
            },
        )?;
        if let Some(value) = value {
            if let Some(expiry) = self.expiry {
                expiry.check(key.clone(), at.clone(), until)?;
            }
            self.rows.insert(MapEntry { key: key.clone(), at, value: W::new(value, until) })?;
        }
        Ok(changed.flatten())
    }

    /// Takes the value under `at` away.
    pub fn remove(&mut self, at: &S) -> Option<W::Value> {
        let outcome = self.try_remove(at);
        self.done(outcome)
    }

    fn try_remove(&mut self, at: &S) -> Result<Option<W::Value>, Fault> {
        let (hash, key, now) = (self.key.hash, self.key.key, self.now());
        let Some(row) = self.rows.remove_by(hash, |row| row.order(key, at))? else { return Ok(None) };
        let (until, check) = row.value.times();
        if let Some(expiry) = self.expiry {
            expiry.cancel(key, row.at, check)?;
        }
        Ok(Some(row.value.into_value()).filter(|_| until > now))
    }

    /// The rows, from the least on. What has expired and still lies there is passed over.
    pub fn iter(&self) -> impl Iterator<Item = (&S, &W::Value)> {
        self.range(..)
    }

    /// The rows within `range`, from the least on.
    pub fn range<'s>(
        &'s self,
        range: impl RangeBounds<S> + 's,
    ) -> impl Iterator<Item = (&'s S, &'s W::Value)> {
        let (key, now) = (self.key.key, self.now());
        let order = |row: &MapEntry<K, S, W>| {
            row.key.cmp(key).then_with(|| match range.start_bound() {
                Bound::Included(first) => row.at.cmp(first),
                Bound::Excluded(before) => row.at.cmp(before).then(cmp::Ordering::Less),
                Bound::Unbounded => cmp::Ordering::Greater,
            })
        };
        let rows = self.rows.from(self.key.hash, &|row| order(row).is_lt());
        let within = move |row: &&MapEntry<K, S, W>| {
            row.key == *key
                && match range.end_bound() {
                    Bound::Included(last) => row.at <= *last,
                    Bound::Excluded(end) => row.at < *end,
                    Bound::Unbounded => true,
                }
        };
        let live = rows.take_while(within).filter(move |row| row.value.times().0 > now);
        live.map(|row| (&row.at, row.value.value()))
    }

    /// The least row.
    pub fn first(&self) -> Option<(&S, &W::Value)> {
        self.iter().next()
    }

    /// The greatest row.
    pub fn last(&self) -> Option<(&S, &W::Value)> {
        let (key, now) = (self.key.key, self.now());
        let mut last = self.rows.last_before(self.key.hash, |row| row.key <= *key)?;
        // What has expired stands in between, and is gone soon.
        while last.key == *key && last.value.times().0 <= now {
            let at = &last.at;
            last = self.rows.last_before(self.key.hash, |row| row.order(key, at).is_lt())?;
        }
        (last.key == *key).then(|| (&last.at, last.value.value()))
    }

    /// Takes the least row away.
    pub fn pop_first(&mut self) -> Option<(S, W::Value)> {
        let at = self.first().map(|(at, _)| at.clone())?;
        self.remove(&at).map(|value| (at, value))
    }

    /// Takes the greatest row away.
    pub fn pop_last(&mut self) -> Option<(S, W::Value)> {
        let at = self.last().map(|(at, _)| at.clone())?;
        self.remove(&at).map(|value| (at, value))
    }

    /// Takes all rows away that come before `end`, and returns how many.
    pub fn remove_before(&mut self, end: &S) -> usize {
        let (hash, key, mut removed) = (self.key.hash, self.key.key, 0);
        loop {
            // What has expired goes as well: it is met first, and not again and again.
            let first = self.rows.from(hash, &|row| row.key < *key).next();
            let Some(at) = first.filter(|row| row.key == *key && row.at < *end).map(|row| row.at.clone())
            else {
                return removed;
            };
            removed += usize::from(self.remove(&at).is_some());
            if self.key.context.has_failed() {
                return removed;
            }
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// How many rows there are. They are counted.
    pub fn len(&self) -> usize {
        self.iter().count()
    }
}

impl<K: Key, W: Kept> MapOf<'_, K, u64, W> {
    /// Puts a value behind all others, under the number that follows theirs, and 0 where there are none: a list.
    ///
    /// # Errors
    /// The job stops, with the key, where there is a row under `u64::MAX`.
    pub fn push(&mut self, value: W::Value) {
        let Some(next) = self.last().map_or(Some(0), |(last, _)| last.checked_add(1)) else {
            let (context, key) = (self.key.context, self.key.key.describe());
            let message = alloc::format!("key {key}: nothing can be pushed behind a row under {}", u64::MAX);
            return context.fail(Fault::External { shard: context.shard, message });
        };
        self.put(next, value);
    }
}
