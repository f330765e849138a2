//! A flat hash table: open addressing, linear probing, fixed-size slots, storage that is counted.
//!
//! Made for one pattern: look up many keys at once, add to what is found, empty everything at once. A lookup is split into
//! [`prefetch`](Table::prefetch) and [`upsert`](Table::upsert), so that a batch of cache misses overlaps. Emptying is one
//! increment: a slot is live only if it carries the table's current epoch.
//!
//! The load stays at or below 5/8. The order of slots is hash order and never reaches an output.
//! This file holds the unsafe code that reads and writes slots.

use crate::fault::OutOfMemory;
use crate::memory::{Buf, Memory, Zeroable};
use alloc::sync::Arc;
use core::mem::{MaybeUninit, needs_drop};

const CAPACITY_MIN: usize = 64;

#[repr(C)]
struct Slot<K, V> {
    epoch: u32,
    /// The low half of the hash: where the slot belongs in a table of up to 2^32 slots, and a first comparison.
    tag: u32,
    key: MaybeUninit<K>,
    value: MaybeUninit<V>,
}

// SAFETY: no value lives in a slot of epoch 0, and the other fields are integers.
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
        if (self.len + additional) * 8 > self.slots.len() * 5 { self.grow(self.len + additional) } else { Ok(()) }
    }

    #[cold]
    fn grow(&mut self, keys: usize) -> Result<(), OutOfMemory> {
        let capacity = (keys * 8).div_ceil(5).next_power_of_two().max(CAPACITY_MIN);
        let mut slots: Buf<Slot<K, V>> = Buf::new(self.memory.clone());
        slots.zero(capacity)?;
        let epoch = core::mem::replace(&mut self.epoch, 1);
        for slot in self.slots.iter().filter(|slot| slot.epoch == epoch) {
            let mut at = slot.tag as usize & (capacity - 1);
            while slots[at].epoch != 0 {
                at = (at + 1) & (capacity - 1);
            }
            // SAFETY: a bitwise move: the old slots are freed below without dropping what was in them.
            slots[at] = unsafe { core::ptr::read(slot) };
            slots[at].epoch = 1;
        }
        self.slots = slots;
        Ok(())
    }

    /// Asks the processor to have the slot of `hash` at hand soon.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        #[cfg(target_arch = "x86_64")]
        {
            let slot = self.slots.as_ptr().wrapping_add(hash as usize & self.slots.len().wrapping_sub(1));
            // SAFETY: a prefetch never faults, whatever the address.
            unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(slot.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = hash;
    }

    /// The value of the key with `hash` for which `same` is true; if there is none, the key is made by `key` and the value by
    /// `value`.
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
        let (epoch, tag, mask) = (self.epoch, hash as u32, self.slots.len().wrapping_sub(1));
        assert!(self.len <= mask, "upsert without reserve");
        let slots = self.slots.as_mut_ptr();
        let mut at = hash as usize & mask;
        loop {
            // SAFETY: the mask keeps the index inside; at least one slot is free, so the loop ends. The borrow of `self` lasts as
            // long as what is returned.
            let slot = unsafe { &mut *slots.add(at) };
            if slot.epoch != epoch {
                slot.epoch = epoch;
                slot.tag = tag;
                slot.key.write(key());
                self.len += 1;
                return slot.value.write(value());
            }
            // SAFETY: a slot of the current epoch holds a key and a value.
            if slot.tag == tag && same(unsafe { slot.key.assume_init_ref() }) {
                // SAFETY: as above.
                return unsafe { slot.value.assume_init_mut() };
            }
            at = (at + 1) & mask;
        }
    }

    /// The key and the value in slot `at`, if it is live.
    #[inline(always)]
    pub fn slot(&self, at: usize) -> Option<(&K, &V)> {
        let slot = &self.slots[at];
        // SAFETY: a slot of the current epoch holds a key and a value.
        (slot.epoch == self.epoch).then(|| unsafe { (slot.key.assume_init_ref(), slot.value.assume_init_ref()) })
    }

    /// Asks the processor to have slot `at` at hand soon.
    #[inline(always)]
    pub fn prefetch_slot(&self, at: usize) {
        self.prefetch(at as u64);
    }

    /// Every key with its value, in hash order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        (0..self.slots.len()).filter_map(|at| self.slot(at))
    }

    /// Forgets every key and keeps the storage.
    pub fn clear(&mut self) {
        if needs_drop::<K>() || needs_drop::<V>() {
            for slot in self.slots.iter_mut().filter(|slot| slot.epoch == self.epoch) {
                slot.epoch = 0;
                // SAFETY: the slot was live, and its epoch says now that it is not.
                unsafe {
                    slot.key.assume_init_drop();
                    slot.value.assume_init_drop();
                }
            }
        }
        self.len = 0;
        if self.epoch == u32::MAX {
            self.slots.iter_mut().for_each(|slot| slot.epoch = 0);
            self.epoch = 0;
        }
        self.epoch += 1;
    }
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
            table.clear();
            assert_eq!(table.iter().count(), 0);
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
