//! Items at places that they keep, some of the places free: what an operator holds back for a while and lets go in
//! another order.
//!
//! Places lie in blocks, so that growing copies no more than a block. Adding and taking cost O(1), as far as there are not very many
//! blocks: of the first block with a free place the one is used that was freed last. So what is left after many have gone is in the first blocks, and
//! one without any item gives its storage back. What is here can be saved while it changes: see [`watch`](crate::checkpoint::watch).

use crate::bounds::CHUNK_BYTES;
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
/// Bytes of a block: what a checkpoint looks at together lies in one.
const BLOCK_BYTES: usize = 16 * 1024;
const _: () = assert!(BLOCK_BYTES >= CHUNK_BYTES);

enum Slot<T> {
    Taken(T),
    /// The next that is free in the block.
    Free {
        next: u32,
    },
}

/// Places side by side.
struct Block<T> {
    slots: Buf<Slot<T>>,
    /// The first free place among those that have been used.
    free: u32,
    taken: usize,
}

/// Items, each at a place of its own.
pub(crate) struct Slots<T> {
    blocks: Vec<Block<T>>,
    /// Which of them have a free place: a bit for each.
    open: Vec<u64>,
    taken: usize,
    watch: Watch<Slot<T>>,
    memory: Arc<dyn Memory>,
}

impl<T: Record> Slots<T> {
    /// A block has two to this power places.
    const SHIFT: u32 = {
        let fit = BLOCK_BYTES / size_of::<Slot<T>>();
        let shift = if fit == 0 { 0 } else { fit.ilog2() };
        if shift > 10 { 10 } else { shift }
    };
    const MASK: u32 = (1 << Self::SHIFT) - 1;

    /// None, which are table `number` in checkpoints.
    pub(crate) fn new(memory: Arc<dyn Memory>, number: u32) -> Self {
        let watch = Watch::new(memory.clone(), number);
        Slots { blocks: Vec::new(), open: Vec::new(), taken: 0, watch, memory }
    }

    /// Every item with its place, in the order of the places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.among(0..self.places())
    }

    /// Places, taken or free: the first so many numbers.
    pub(crate) fn places(&self) -> usize {
        let places = |last: &Block<T>| ((self.blocks.len() - 1) << Self::SHIFT) + last.slots.len();
        self.blocks.last().map_or(0, places)
    }

    /// As [`iter`](Self::iter), of some of the places.
    pub(crate) fn among(&self, places: Range<usize>) -> impl Iterator<Item = (u32, &T)> {
        let blocks = places.start >> Self::SHIFT..places.end.div_ceil(1 << Self::SHIFT);
        blocks.flat_map(move |number| {
            let (slots, first) = (&self.blocks[number].slots, number << Self::SHIFT);
            let to = slots.len().min(places.end - first);
            let from = places.start.saturating_sub(first).min(to);
            ((first + from) as u32..).zip(&slots[from..to]).filter_map(|(place, slot)| match slot {
                Slot::Taken(item) => Some((place, item)),
                Slot::Free { .. } => None,
            })
        })
    }

    /// The first block with a free place, made if there is none.
    fn first_open(&mut self) -> usize {
        let word = self.open.iter().position(|word| *word != 0);
        if let Some(word) = word {
            return word * 64 + self.open[word].trailing_zeros() as usize;
        }
        let number = self.blocks.len();
        self.blocks.push(Block { slots: Buf::new(self.memory.clone()), free: NONE, taken: 0 });
        if number / 64 == self.open.len() {
            self.open.push(0);
        }
        self.open[number / 64] |= 1 << (number % 64);
        number
    }

    /// Adds an item, and returns its place.
    pub(crate) fn add(&mut self, item: T, saver: &mut Saver) -> Result<u32, Fault> {
        let number = self.first_open();
        let block = &mut self.blocks[number];
        let slot = match block.free {
            NONE => {
                block.slots.reserve(1)?;
                block.slots.len() as u32
            }
            free => free,
        };
        assert!(number < (NONE >> Self::SHIFT) as usize, "2^32 items that wait");
        let place = (number as u32) << Self::SHIFT | slot;
        self.touch(place, saver)?;
        let block = &mut self.blocks[number];
        match block.slots.get_mut(slot as usize) {
            None => block.slots.push(Slot::Taken(item)),
            Some(slot) => {
                let Slot::Free { next } = *slot else { unreachable!("the list holds free places only") };
                block.free = next;
                *slot = Slot::Taken(item);
            }
        }
        block.taken += 1;
        self.taken += 1;
        if block.free == NONE && block.slots.len() > Self::MASK as usize {
            self.open[number / 64] &= !(1 << (number % 64));
        }
        Ok(place)
    }

    /// Takes the item at `place` away.
    pub(crate) fn take(&mut self, place: u32, saver: &mut Saver) -> Result<T, Fault> {
        self.touch(place, saver)?;
        let (number, slot) = ((place >> Self::SHIFT) as usize, place & Self::MASK);
        let block = &mut self.blocks[number];
        let taken = core::mem::replace(&mut block.slots[slot as usize], Slot::Free { next: block.free });
        let Slot::Taken(item) = taken else { unreachable!("only what is here is taken") };
        block.free = slot;
        block.taken -= 1;
        self.taken -= 1;
        self.open[number / 64] |= 1 << (number % 64);
        if block.taken == 0 {
            // Every chunk was touched when its last item left, so that none passes for what it was.
            block.free = NONE;
            block.slots.clear();
            // The first stays, so that what comes and goes in turn asks for nothing.
            if number > 0 {
                block.slots.release();
            }
        }
        Ok(item)
    }

    #[inline(always)]
    fn touch(&mut self, place: u32, saver: &mut Saver) -> Result<(), Fault> {
        if !self.watch.is_on() {
            return Ok(());
        }
        let blocks = &self.blocks;
        self.watch.touch(place as usize, saver, |range, into| Self::encode(blocks, range, into))
    }

    /// Writes what is at some places, which lie in one block. There may be fewer by now than there were at the freeze, when nothing was there.
    fn encode(blocks: &[Block<T>], range: Range<usize>, into: &mut Vec<u8>) -> Result<(), Fault> {
        let (number, first) = (range.start >> Self::SHIFT, range.start & Self::MASK as usize);
        let slots = &blocks[number].slots;
        let last = slots.len().min(first + range.len());
        let taken = slots[first.min(last)..last].iter().filter_map(|slot| match slot {
            Slot::Taken(item) => Some(item),
            Slot::Free { .. } => None,
        });
        rows::encode(into, taken)
    }

    /// See [`Watch::freeze`].
    pub(crate) fn freeze(&mut self, saver: &mut Saver) {
        self.watch.freeze(self.places(), saver);
    }

    /// See [`Watch::sweep`].
    pub(crate) fn sweep(&mut self, step: &mut Step<'_>) -> Result<bool, Fault> {
        let blocks = &self.blocks;
        self.watch.sweep(step, |range, into| Self::encode(blocks, range, into))
    }
}

impl<T: Record> Index<u32> for Slots<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, place: u32) -> &T {
        match &self.blocks[(place >> Self::SHIFT) as usize].slots[(place & Self::MASK) as usize] {
            Slot::Taken(item) => item,
            Slot::Free { .. } => unreachable!("only what is here is looked at"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::join;
    use crate::state::memory::limited::Limited;
    use alloc::collections::BTreeMap;

    /// Items keep their places; what is left after many have gone lies together, and the storage of the others goes back.
    #[test]
    fn places_stay_and_storage_goes_back() {
        let limited = Limited::new(usize::MAX);
        let memory: Arc<dyn Memory> = limited.clone();
        let (mut slots, mut saver) = (Slots::<u64>::new(memory.clone(), 1), Saver::new(&memory));
        let mut twin = BTreeMap::new();
        for phase in 0..6u64 {
            for draw in 0..20_000 {
                let chance = join(phase, draw);
                // Mostly more, or mostly fewer.
                if chance % 8 < if phase % 2 == 0 { 7 } else { 1 } {
                    let place = slots.add(draw, &mut saver).unwrap();
                    assert!(twin.insert(place, draw).is_none(), "a place that is taken");
                } else if let Some((place, item)) =
                    twin.range(chance as u32 % 40_000..).next().or(twin.first_key_value())
                {
                    let (place, item) = (*place, *item);
                    assert_eq!((slots[place], slots.take(place, &mut saver).unwrap()), (item, item));
                    twin.remove(&place);
                }
            }
            assert_eq!(slots.iter().count(), twin.len());
            assert!(slots.iter().map(|(place, item)| (place, *item)).eq(twin.iter().map(|(p, i)| (*p, *i))));
        }
        for (place, item) in twin {
            assert_eq!(slots.take(place, &mut saver).unwrap(), item);
        }
        assert!(limited.in_use() <= BLOCK_BYTES, "{}", limited.in_use());
        assert_eq!(slots.add(7, &mut saver).unwrap(), 0, "the first place is the first again");
    }
}
