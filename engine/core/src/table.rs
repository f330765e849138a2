//! A flat hash table: open addressing, linear probing, fixed-size slots, storage that is counted.
//!
//! Made for one pattern: look up many keys at once, add to what is found, empty everything at once. A lookup is split into
//! [`prefetch`](Lookups::prefetch) and [`upsert`](Lookups::upsert), so that a batch of cache misses overlaps. Emptying is one
//! increment: a slot is live only if it carries the table's current epoch.
//!
//! The load stays at or below 5/8. The order of slots is hash order and never reaches an output.
//! This file holds the unsafe code that reads and writes slots.

use crate::fault::OutOfMemory;
use crate::memory::{Buf, Memory, Zeroable};
use crate::prefetch::prefetch;
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, needs_drop};

const CAPACITY_MIN: usize = 64;

/// Slots that belong together: a key's home is a pair, which for slots of up to 32 bytes is one cache line.
const PAIR: usize = 2;

#[repr(C)]
struct Slot<K, V> {
    /// The table's epoch when the slot was filled, and the low half of the hash: compared in one go.
    stamp: u64,
    key: MaybeUninit<K>,
    value: MaybeUninit<V>,
}

const fn stamp(epoch: u32, hash: u64) -> u64 {
    (epoch as u64) << 32 | hash as u32 as u64
}

const fn epoch(stamp: u64) -> u32 {
    (stamp >> 32) as u32
}

// SAFETY: no value lives in a slot of epoch 0, and the other field is an integer.
unsafe impl<K, V> Zeroable for Slot<K, V> {}

/// Keys of type `K`, each with a `V`.
pub struct Table<K, V> {
    slots: Buf<Slot<K, V>>,
    epoch: u32,
    len: usize,
    memory: Arc<dyn Memory>,
}

impl<K, V> Table<K, V> {
    /// An empty table without storage.
    pub fn new(memory: Arc<dyn Memory>) -> Self {
        Table { slots: Buf::new(memory.clone()), epoch: 1, len: 0, memory }
    }

    /// Keys in the table.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Slots, live or not.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Makes room for `additional` keys.
    ///
    /// # Errors
    /// When the memory limit refuses it; the content stays as it was.
    #[inline]
    pub fn reserve(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        if (self.len + additional) * 8 > self.slots.len() * 5 {
            self.grow(self.len + additional)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn grow(&mut self, keys: usize) -> Result<(), OutOfMemory> {
        let capacity = (keys * 8).div_ceil(5).next_power_of_two().max(CAPACITY_MIN);
        let mut slots: Buf<Slot<K, V>> = Buf::new(self.memory.clone());
        slots.zero(capacity)?;
        let old = core::mem::replace(&mut self.epoch, 1);
        for slot in self.slots.iter().filter(|slot| epoch(slot.stamp) == old) {
            let mut at = home(slot.stamp, capacity - 1);
            while slots[at].stamp != 0 {
                at = (at + 1) & (capacity - 1);
            }
            // SAFETY: a bitwise move: the old slots are freed below without dropping what was in them.
            slots[at] = unsafe { core::ptr::read(slot) };
            slots[at].stamp = stamp(1, slot.stamp);
        }
        self.slots = slots;
        Ok(())
    }

    /// A view for a number of lookups, with everything that does not change between them in registers.
    #[inline(always)]
    pub fn lookups(&mut self) -> Lookups<'_, K, V> {
        let mask = self.slots.len().wrapping_sub(1);
        Lookups {
            slots: self.slots.as_mut_ptr(),
            mask,
            epoch: self.epoch,
            len: &mut self.len,
            _table: PhantomData,
        }
    }

    /// One lookup: see [`Lookups::upsert`].
    ///
    /// # Panics
    /// When no room was [reserved](Self::reserve).
    #[inline(always)]
    pub fn upsert(
        &mut self,
        hash: u64,
        same: impl Fn(&K) -> bool,
        key: impl FnOnce() -> K,
        value: impl FnOnce() -> V,
    ) -> &mut V {
        let mut lookups = self.lookups();
        let value = core::ptr::from_mut(lookups.upsert(hash, same, key, value));
        // SAFETY: the value lives in the table, which stays borrowed; only the view of it ends here.
        unsafe { &mut *value }
    }

    /// Asks the processor to have the home of `hash` at hand soon.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        prefetch(self.slots.as_ptr().wrapping_add(home(hash, self.slots.len().wrapping_sub(1))));
    }

    /// The value of the key with `hash` for which `same` is true, if there is one.
    pub fn find(&self, hash: u64, same: impl Fn(&K) -> bool) -> Option<&V> {
        let mask = self.slots.len().checked_sub(1)?;
        let (wanted, mut at) = (stamp(self.epoch, hash), home(hash, mask));
        loop {
            let slot = &self.slots[at];
            if epoch(slot.stamp) != self.epoch {
                return None;
            }
            // SAFETY: a slot of the current epoch holds a key and a value.
            if slot.stamp == wanted && same(unsafe { slot.key.assume_init_ref() }) {
                // SAFETY: as above.
                return Some(unsafe { slot.value.assume_init_ref() });
            }
            at = (at + 1) & mask;
        }
    }

    /// The key and the value in slot `at`, if it is live.
    #[inline(always)]
    pub fn slot(&self, at: usize) -> Option<(&K, &V)> {
        let slot = &self.slots[at];
        // SAFETY: a slot of the current epoch holds a key and a value.
        (epoch(slot.stamp) == self.epoch)
            .then(|| unsafe { (slot.key.assume_init_ref(), slot.value.assume_init_ref()) })
    }

    /// Asks the processor to have slot `at` at hand soon.
    #[inline(always)]
    pub fn prefetch_slot(&self, at: usize) {
        prefetch(self.slots.as_ptr().wrapping_add(at));
    }

    /// Every key with its value, in hash order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        (0..self.slots.len()).filter_map(|at| self.slot(at))
    }

    /// Forgets every key and keeps the storage.
    pub fn clear(&mut self) {
        if needs_drop::<K>() || needs_drop::<V>() {
            for slot in self.slots.iter_mut().filter(|slot| epoch(slot.stamp) == self.epoch) {
                slot.stamp = 0;
                // SAFETY: the slot was live, and its epoch says now that it is not.
                unsafe {
                    slot.key.assume_init_drop();
                    slot.value.assume_init_drop();
                }
            }
        }
        self.len = 0;
        if self.epoch == u32::MAX {
            self.slots.iter_mut().for_each(|slot| slot.stamp = 0);
            self.epoch = 0;
        }
        self.epoch += 1;
    }
}

/// A table during a number of lookups; made by [`Table::lookups`].
pub struct Lookups<'a, K, V> {
    slots: *mut Slot<K, V>,
    mask: usize,
    epoch: u32,
    len: &'a mut usize,
    _table: PhantomData<&'a mut V>,
}

impl<K, V> Lookups<'_, K, V> {
    /// Asks the processor to have the home of `hash` at hand soon.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        prefetch(self.slots.wrapping_add(home(hash, self.mask)));
    }

    /// The value of the key with `hash` for which `same` is true; if there is none, the key is made by `key` and the value by
    /// `value`.
    ///
    /// Both slots of a pair are looked at before anything is decided, because where in the pair a key landed is a coin toss
    /// that no branch predictor wins; that the key is in its home pair is the rule (96 % at the usual load).
    ///
    /// # Panics
    /// When no room was [reserved](Table::reserve).
    #[inline(always)]
    pub fn upsert(
        &mut self,
        hash: u64,
        same: impl Fn(&K) -> bool,
        key: impl FnOnce() -> K,
        value: impl FnOnce() -> V,
    ) -> &mut V {
        assert!(*self.len <= self.mask && self.mask != usize::MAX, "upsert without reserve");
        let wanted = stamp(self.epoch, hash);
        let mut at = home(hash, self.mask);
        loop {
            // SAFETY: `at` is even and at most the mask, which is odd; the table outlives the view and is borrowed by it.
            let pair = unsafe { &mut *self.slots.add(at).cast::<[Slot<K, V>; PAIR]>() };
            let which = usize::from(pair[0].stamp != wanted);
            // SAFETY: a slot with the wanted stamp is of the current epoch, so it holds a key and a value.
            if pair[which].stamp == wanted && same(unsafe { pair[which].key.assume_init_ref() }) {
                // SAFETY: as above.
                return unsafe { (*self.slots.add(at + which)).value.assume_init_mut() };
            }
            for slot in pair {
                if epoch(slot.stamp) != self.epoch {
                    // The slot is live only when both are in it: making them is user code, which may panic.
                    let (key, value) = (key(), value());
                    slot.key.write(key);
                    slot.stamp = wanted;
                    *self.len += 1;
                    return slot.value.write(value);
                }
                // Two keys of one pair may agree in the tag.
                // SAFETY: a slot of the current epoch holds a key and a value.
                if slot.stamp == wanted && same(unsafe { slot.key.assume_init_ref() }) {
                    // SAFETY: as above.
                    return unsafe { slot.value.assume_init_mut() };
                }
            }
            at = (at + PAIR) & self.mask;
        }
    }
}

/// The first slot of the pair that `hash` belongs in; a stamp does as well as the hash.
#[inline(always)]
const fn home(hash: u64, mask: usize) -> usize {
    hash as u32 as usize & mask & !(PAIR - 1)
}

impl<K, V> Drop for Table<K, V> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::fold;
    use crate::memory::HeapMemory;
    use alloc::collections::BTreeMap;
    use alloc::string::{String, ToString};

    fn table<K, V>() -> Table<K, V> {
        Table::new(Arc::new(HeapMemory))
    }

    #[test]
    fn agrees_with_a_map_through_growth_and_clearing() {
        let mut table = table::<u64, u64>();
        for round in 0..3u64 {
            let mut twin = BTreeMap::new();
            for i in 0..20_000u64 {
                let key = fold(i * 7 + round) % 5_000;
                // Hashes that collide in half their bits.
                let hash = fold(key) & 0xffff_0000_0000_0fff;
                table.reserve(1).unwrap();
                *table.upsert(hash, |k| *k == key, || key, || 0) += i;
                *twin.entry(key).or_insert(0) += i;
            }
            let found: BTreeMap<_, _> = table.iter().map(|(k, v)| (*k, *v)).collect();
            assert_eq!(found, twin);
            assert_eq!(table.len(), twin.len());
            for key in 0..6_000 {
                let hash = fold(key) & 0xffff_0000_0000_0fff;
                assert_eq!(table.find(hash, |k| *k == key), twin.get(&key));
            }
            table.clear();
            assert_eq!(table.iter().count(), 0);
            assert!(table.find(fold(1) & 0xffff_0000_0000_0fff, |_| true).is_none());
        }
    }

    #[test]
    fn owned_keys_and_values_are_dropped_once() {
        let token = Arc::new(());
        let mut table = table::<String, Arc<()>>();
        for i in 0..1_000u64 {
            let key = (i % 300).to_string();
            table.reserve(1).unwrap();
            table.upsert(fold(i % 300), |k| *k == key, || key.clone(), || token.clone());
        }
        assert_eq!(Arc::strong_count(&token), 301);
        table.clear();
        assert_eq!(Arc::strong_count(&token), 1);
        table.upsert(1, |_| false, || "x".into(), || token.clone());
        drop(table);
        assert_eq!(Arc::strong_count(&token), 1);
    }

    #[test]
    fn epochs_wrap_around() {
        let mut table = table::<u64, u64>();
        table.reserve(1).unwrap();
        table.epoch = u32::MAX;
        table.upsert(1, |_| false, || 1, || 1);
        table.clear();
        assert_eq!((table.epoch, table.iter().count()), (1, 0));
    }
}
