//! A queue in blocks whose memory is counted: what waits between two chains.
//!
//! It grows by a block, so that no step copies what is there, and is emptied as a whole: a `BlockQueue` can be emptied from its front, and takes longer for
//! each item, which shows in a join of two streams (0.76 times as fast). Some of the blocks stay for what comes next, about as much as
//! a poll brings, and the others go back.

use crate::bounds::{QUEUE_BLOCK_BYTES, QUEUE_BLOCK_ITEMS_MIN, QUEUE_SPARE_MAX};
use crate::fault::OutOfMemory;
use crate::state::blocks::first_of;
use crate::state::memory::{Buf, Memory};
use alloc::collections::LinkedList;
use alloc::sync::Arc;

/// See the [module](self).
pub(crate) struct Fifo<T> {
    /// Blocks before the last. A list: a table of them would be copied as it grows.
    full: LinkedList<Buf<T>>,
    last: Buf<T>,
    /// Items that it has room for.
    room: usize,
    spare: LinkedList<Buf<T>>,
    memory: Arc<dyn Memory>,
}

impl<T> Fifo<T> {
    const BLOCK_ITEMS: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        let fit = QUEUE_BLOCK_BYTES / size;
        if fit < QUEUE_BLOCK_ITEMS_MIN { QUEUE_BLOCK_ITEMS_MIN } else { fit }
    };

    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        let last = Buf::new(memory.clone());
        Fifo { full: LinkedList::new(), last, room: 0, spare: LinkedList::new(), memory }
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// When the memory limit refuses a further block; the item is dropped.
    #[inline(always)]
    pub(crate) fn push(&mut self, item: T) -> Result<(), OutOfMemory> {
        if self.room == 0 {
            self.open()?;
        }
        self.room -= 1;
        // In one place, and as it comes: whoever pushes need not take the item to pieces.
        self.last.push(item);
        Ok(())
    }

    /// Another block at the end.
    #[cold]
    #[inline(never)]
    fn open(&mut self) -> Result<(), OutOfMemory> {
        if !self.spare.is_empty() {
            // The place in the list comes with the spare block, so that nothing is asked for.
            let mut place = first_of(&mut self.spare);
            place.iter_mut().for_each(|block| core::mem::swap(block, &mut self.last));
            if place.iter().any(|block| !block.is_empty()) {
                self.full.append(&mut place);
            }
        } else if !self.last.is_empty() {
            let before = core::mem::replace(&mut self.last, Buf::new(self.memory.clone()));
            self.full.push_back(before);
        }
        self.last.reserve(Self::BLOCK_ITEMS)?;
        self.room = self.last.capacity();
        Ok(())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_empty() && self.full.is_empty()
    }

    /// The items, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.full.iter().chain([&self.last]).flat_map(|block| block.iter())
    }

    /// Hands all items to `take`, in the order in which they came.
    #[inline]
    pub(crate) fn take_all(&mut self, mut take: impl FnMut(T)) {
        while let Some(block) = self.full.front_mut() {
            block.take_all(&mut take);
            self.leave_front();
        }
        self.last.take_all(&mut take);
        self.room = self.last.capacity();
    }

    /// The first block is empty.
    #[cold]
    #[inline(never)]
    fn leave_front(&mut self) {
        let mut block = first_of(&mut self.full);
        // With the last one, which stays.
        if self.spare.len() + 1 < QUEUE_SPARE_MAX {
            self.spare.append(&mut block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::QUEUE_BLOCK_BYTES as BLOCK_BYTES;
    use crate::exchange::hash::join;
    use crate::state::memory::limited::Limited;

    /// In their order, however many; and all blocks but a few go back that are not needed.
    #[test]
    fn items_come_out_as_they_went_in_and_blocks_go_back() {
        let limited = Limited::new(usize::MAX);
        let mut queue = Fifo::new(limited.clone());
        for round in 0..200u64 {
            let count = if round == 150 { 20_000 } else { join(7, round) % 700 };
            (0..count).for_each(|item| queue.push((item, [round; 15])).unwrap());
            let mut next = 0;
            queue.take_all(|(item, rest)| {
                assert_eq!((item, rest), (next, [round; 15]));
                next += 1;
            });
            assert_eq!(next, count);
            queue.take_all(|_| panic!("it is empty"));
            assert!(limited.in_use() <= QUEUE_SPARE_MAX * BLOCK_BYTES);
        }
        assert_eq!(limited.in_use(), QUEUE_SPARE_MAX * BLOCK_BYTES, "as many as there may be have stayed");
        drop(queue);
        assert_eq!(limited.in_use(), 0);
    }

    #[test]
    fn a_block_too_much_is_refused_and_what_is_there_stays() {
        let limited = Limited::new(4 * BLOCK_BYTES);
        let mut queue = Fifo::new(limited.clone());
        let fit = 4 * BLOCK_BYTES as u64 / 8;
        (0..fit).for_each(|item| queue.push(item).unwrap());
        let refused = queue.push(fit).unwrap_err();
        assert_eq!(
            (refused.asked, refused.in_use, refused.limit),
            (BLOCK_BYTES, 4 * BLOCK_BYTES, 4 * BLOCK_BYTES)
        );
        let mut next = 0;
        queue.take_all(|item| {
            assert_eq!(item, next);
            next += 1;
        });
        assert_eq!(next, fit);
        assert_eq!(queue.push(1), Ok(()));
    }
}
