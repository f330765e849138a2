//! Items at places that they keep, some of the places free: what an operator holds back for a while and lets go in
//! another order.
//!
//! Adding and taking cost O(1). A place that was freed is used again before a new one is made, the last first. What
//! is here can be saved while it changes: see [`watch`](crate::checkpoint::watch).

use crate::checkpoint::saver::{Saver, Step};
use crate::checkpoint::watch::Watch;
use crate::fault::Fault;
use crate::record::Record;
use crate::record::rows;
use crate::state::memory::{Buf, Memory};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Index, Range};

/// The end of the list of free places.
const NONE: u32 = u32::MAX;

enum Slot<T> {
    Taken(T),
    Free { next: u32 },
}

/// Items, each at a place of its own.
pub(crate) struct Slots<T> {
    slots: Buf<Slot<T>>,
    /// The first free place.
    free: u32,
    taken: usize,
    watch: Watch<Slot<T>>,
}

impl<T: Record> Slots<T> {
    /// None, which are table `number` in checkpoints.
    pub(crate) fn new(memory: Arc<dyn Memory>, number: u32) -> Self {
        Slots { slots: Buf::new(memory.clone()), free: NONE, taken: 0, watch: Watch::new(memory, number) }
    }

    /// Every item with its place, in the order of the places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.among(0..self.slots.len())
    }

    /// Places, taken or free: the first so many numbers.
    pub(crate) fn places(&self) -> usize {
        self.slots.len()
    }

    /// As [`iter`](Self::iter), of some of the places.
    pub(crate) fn among(&self, places: Range<usize>) -> impl Iterator<Item = (u32, &T)> {
        let first = places.start as u32;
        (first..).zip(&self.slots[places]).filter_map(|(place, slot)| match slot {
            Slot::Taken(item) => Some((place, item)),
            Slot::Free { .. } => None,
        })
    }

    /// Adds an item, and returns its place.
    pub(crate) fn add(&mut self, item: T, saver: &mut Saver) -> Result<u32, Fault> {
        let place = match self.free {
            NONE => {
                self.slots.reserve(1)?;
                assert!(self.slots.len() < NONE as usize, "2^32 items that wait");
                self.slots.len() as u32
            }
            free => free,
        };
        self.touch(place, saver)?;
        match self.slots.get_mut(place as usize) {
            None => self.slots.push(Slot::Taken(item)),
            Some(slot) => {
                let Slot::Free { next } = *slot else { unreachable!("the list holds free places only") };
                self.free = next;
                *slot = Slot::Taken(item);
            }
        }
        self.taken += 1;
        Ok(place)
    }

    /// Takes the item at `place` away.
    pub(crate) fn take(&mut self, place: u32, saver: &mut Saver) -> Result<T, Fault> {
        self.touch(place, saver)?;
        let slot = core::mem::replace(&mut self.slots[place as usize], Slot::Free { next: self.free });
        let Slot::Taken(item) = slot else { unreachable!("only what is here is taken") };
        self.free = place;
        self.taken -= 1;
        if self.taken == 0 && !self.watch.is_awaited() {
            // Every chunk was touched when its last item left, so that none passes for what it was.
            self.slots.clear();
            self.free = NONE;
        }
        Ok(item)
    }

    #[inline(always)]
    fn touch(&mut self, place: u32, saver: &mut Saver) -> Result<(), Fault> {
        if !self.watch.is_on() {
            return Ok(());
        }
        let slots = &self.slots;
        self.watch.touch(place as usize, saver, |range, into| Self::encode(slots, range, into))
    }

    fn encode(slots: &[Slot<T>], range: Range<usize>, into: &mut Vec<u8>) -> Result<(), Fault> {
        let taken = slots[range].iter().filter_map(|slot| match slot {
            Slot::Taken(item) => Some(item),
            Slot::Free { .. } => None,
        });
        rows::encode(into, taken)
    }

    /// See [`Watch::freeze`].
    pub(crate) fn freeze(&mut self, saver: &mut Saver) {
        self.watch.freeze(self.slots.len(), saver);
    }

    /// See [`Watch::sweep`].
    pub(crate) fn sweep(&mut self, step: &mut Step<'_>) -> Result<bool, Fault> {
        let slots = &self.slots;
        self.watch.sweep(step, |range, into| Self::encode(slots, range, into))
    }
}

impl<T> Index<u32> for Slots<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, place: u32) -> &T {
        match &self.slots[place as usize] {
            Slot::Taken(item) => item,
            Slot::Free { .. } => unreachable!("only what is here is looked at"),
        }
    }
}
