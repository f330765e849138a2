//! A queue in blocks whose memory is counted: what waits between two chains.
//!
//! It grows by a block, so that no step copies what is there, and is emptied as a whole. Some of the blocks stay for what comes next, about as much as
//! a poll brings, and the others go back.

use crate::fault::OutOfMemory;
use crate::state::memory::{Buf, Memory};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of a block, unless that is less than a few items.
const BLOCK_BYTES: usize = 16 * 1024;
const ITEMS_MIN: usize = 16;
/// Blocks that stay when they are empty, so that they need not be mapped anew for each poll.
const SPARE_MAX: usize = 16;

/// See the [module](self).
pub(crate) struct Fifo<T> {
    blocks: Vec<Buf<T>>,
    /// Items that the last block has room for.
    room: usize,
    spare: Vec<Buf<T>>,
    memory: Arc<dyn Memory>,
}

impl<T> Fifo<T> {
    const BLOCK_ITEMS: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        let fit = BLOCK_BYTES / size;
        if fit < ITEMS_MIN { ITEMS_MIN } else { fit }
    };

    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        Fifo { blocks: Vec::new(), room: 0, spare: Vec::new(), memory }
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
        let last = self.blocks.len() - 1;
        self.blocks[last].push(item);
        Ok(())
    }

    /// Another block at the end.
    #[cold]
    #[inline(never)]
    fn open(&mut self) -> Result<(), OutOfMemory> {
        let mut block = self.spare.pop().unwrap_or_else(|| Buf::new(self.memory.clone()));
        block.reserve(Self::BLOCK_ITEMS)?;
        self.room = block.capacity();
        self.blocks.push(block);
        Ok(())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The items, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flat_map(|block| block.iter())
    }

    /// Hands all items to `take`, in the order in which they came.
    #[inline]
    pub(crate) fn take_all(&mut self, mut take: impl FnMut(T)) {
        self.room = 0;
        for mut block in self.blocks.drain(..) {
            block.take_all(&mut take);
            if self.spare.len() < SPARE_MAX {
                self.spare.push(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            assert!(limited.in_use() <= SPARE_MAX * BLOCK_BYTES);
        }
        assert_eq!(limited.in_use(), SPARE_MAX * BLOCK_BYTES, "as many as there may be have stayed");
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
