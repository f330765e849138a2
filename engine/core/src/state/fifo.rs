//! A queue in blocks whose memory is counted: what waits between two chains.
//!
//! It grows and shrinks by a block, so that no step copies what is there; some blocks that are empty stay for what comes next, about as much as a
//! poll brings, and the others go back. The block in front is turned round when its first item is taken: then items are taken from its end.
//!
//! ```text
//!  blocks    | 5 4 3 . . |  | 6 7 8 9 |  | 10 11 . . |         the first is turned: 1 and 2 have been taken
//! ```

use crate::fault::OutOfMemory;
use crate::state::memory::{Buf, Memory};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of a block, unless that is less than a few items.
const BLOCK_BYTES: usize = 16 * 1024;
const ITEMS_MIN: usize = 16;
/// Blocks that stay when they are empty: to have them mapped anew for each poll costs more than all else that is done with a record here.
const SPARE_MAX: usize = 16;

/// See the [module](self).
pub(crate) struct Fifo<T> {
    blocks: VecDeque<Buf<T>>,
    /// Whether the first block is turned round.
    is_turned: bool,
    /// Items that the last block has room for: none if it is the first, and turned.
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
        Fifo { blocks: VecDeque::new(), is_turned: false, room: 0, spare: Vec::new(), memory }
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
        self.blocks.push_back(block);
        Ok(())
    }

    /// Takes the first item.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if !self.is_turned {
            self.turn();
        }
        let block = self.blocks.front_mut()?;
        let item = block.pop();
        if block.is_empty() {
            self.let_go();
        }
        item
    }

    /// Turns the first block round, if there is one: nothing more is added to it.
    #[cold]
    #[inline(never)]
    fn turn(&mut self) {
        if let Some(block) = self.blocks.front_mut() {
            block.reverse();
            self.is_turned = true;
            if self.blocks.len() == 1 {
                self.room = 0;
            }
        }
    }

    /// Lets go of the first block, which is empty.
    #[cold]
    #[inline(never)]
    fn let_go(&mut self) {
        self.is_turned = false;
        let block = self.blocks.pop_front();
        if self.spare.len() < SPARE_MAX {
            self.spare.extend(block);
        }
        // What was the last block is gone with its room.
        if self.blocks.is_empty() {
            self.room = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::join;
    use crate::state::memory::limited::Limited;

    /// As a queue of the standard library, and all blocks but a few go back that are not needed.
    #[test]
    fn items_come_out_as_they_went_in_and_blocks_go_back() {
        for seed in 0..6 {
            let limited = Limited::new(usize::MAX);
            let (mut queue, mut twin) = (Fifo::new(limited.clone()), VecDeque::new());
            for draw in 0..60_000u64 {
                let chance = join(seed, draw);
                // Phases in which it grows, and phases in which it shrinks to nothing.
                if chance % 16 < 4 + 8 * (draw / 9_000 % 2) {
                    queue.push((draw, [seed; 15])).unwrap();
                    twin.push_back((draw, [seed; 15]));
                } else {
                    assert_eq!(queue.pop(), twin.pop_front());
                }
            }
            while let Some(item) = queue.pop() {
                assert_eq!(Some(item), twin.pop_front());
            }
            assert_eq!((twin.len(), limited.in_use()), (0, SPARE_MAX * BLOCK_BYTES));
            drop(queue);
            assert_eq!(limited.in_use(), 0);
        }
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
        assert!((0..fit).all(|item| queue.pop() == Some(item)));
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.push(1), Ok(()));
    }
}
