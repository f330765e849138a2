//! A queue in blocks: rows that wait for somebody, however many they are.
//!
//! It grows and shrinks by a block, so no step copies more than a block of what is there, whatever its length. A queue that is short lies in one block,
//! which begins small, and what comes and goes in turn stays there; a few more blocks are kept that are empty, so that a steady state asks for
//! nothing. The rest go back as they become empty.
//!
//! ```text
//!  | taken | 17 18 19 |   | 20 ... 531 |   | 532 533 |  room  |       | spare |
//!            front          full             back
//! ```
//!
//! Whose the memory is the queue does not know. Those who use it count their rows, or the blocks: [`try_push_back`](BlockQueue::try_push_back)
//! asks before it takes another.

use crate::bounds::{QUEUE_BLOCK_BYTES, QUEUE_BLOCK_ITEMS_MIN};
use alloc::collections::{LinkedList, VecDeque};
use core::convert::Infallible;
use core::fmt;

/// The blocks are a list: one that is found by its number would be copied as it grows.
type Blocks<T> = LinkedList<VecDeque<T>>;

/// See the [module](self).
pub struct BlockQueue<T> {
    /// All between the first and the last are full, and none is empty unless it is the only one.
    blocks: Blocks<T>,
    spare: Blocks<T>,
    spare_max: usize,
}

impl<T> BlockQueue<T> {
    /// A power of two, as the room of a block is that doubles until it is as large.
    const BLOCK_ITEMS: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        let fit = QUEUE_BLOCK_BYTES / size;
        if fit < QUEUE_BLOCK_ITEMS_MIN { QUEUE_BLOCK_ITEMS_MIN } else { 1 << fit.ilog2() }
    };

    /// Bytes of a block.
    pub const BLOCK_BYTES: usize = Self::BLOCK_ITEMS * size_of::<T>();

    /// An empty queue that keeps one empty block.
    pub const fn new() -> Self {
        Self::with_spare(1)
    }

    /// An empty queue that keeps so many empty blocks.
    pub const fn with_spare(spare_max: usize) -> Self {
        BlockQueue { blocks: LinkedList::new(), spare: LinkedList::new(), spare_max }
    }

    /// Items in the queue.
    pub fn len(&self) -> usize {
        let of = |block: Option<&VecDeque<T>>| block.map_or(0, VecDeque::len);
        match self.blocks.len() {
            0 | 1 => of(self.blocks.front()),
            blocks => of(self.blocks.front()) + (blocks - 2) * Self::BLOCK_ITEMS + of(self.blocks.back()),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.front().is_none_or(VecDeque::is_empty)
    }

    /// Bytes of its blocks, be they full or spare. One that is alone may be smaller yet than is counted.
    pub fn bytes(&self) -> usize {
        (self.blocks.len() + self.spare.len()) * Self::BLOCK_BYTES
    }

    /// The first item.
    pub fn front(&self) -> Option<&T> {
        self.blocks.front()?.front()
    }

    /// The last item.
    pub fn back(&self) -> Option<&T> {
        self.blocks.back()?.back()
    }

    /// The last item.
    pub fn back_mut(&mut self) -> Option<&mut T> {
        self.blocks.back_mut()?.back_mut()
    }

    /// All items in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flatten()
    }

    /// All items in their order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.blocks.iter_mut().flatten()
    }

    /// Adds an item at the end.
    #[inline(always)]
    pub fn push_back(&mut self, item: T) {
        let Ok(()) = self.try_push_back(item, |_| Ok::<(), Infallible>(()));
    }

    /// Adds an item at the end. Where that takes another block, `room` is asked for its bytes first.
    ///
    /// # Errors
    /// What `room` says; the item is dropped.
    #[inline(always)]
    pub fn try_push_back<E>(&mut self, item: T, room: impl FnOnce(usize) -> Result<(), E>) -> Result<(), E> {
        if self.is_full() {
            self.open(room)?;
        }
        // In one place, and as it comes: whoever pushes need not take the item to pieces.
        if let Some(block) = self.blocks.back_mut() {
            block.push_back(item);
        }
        Ok(())
    }

    /// Whether another item takes another block.
    #[inline(always)]
    fn is_full(&self) -> bool {
        self.blocks.back().is_none_or(|block| block.len() == Self::BLOCK_ITEMS)
    }

    /// Another block at the end.
    #[cold]
    #[inline(never)]
    fn open<E>(&mut self, room: impl FnOnce(usize) -> Result<(), E>) -> Result<(), E> {
        if self.spare.is_empty() {
            room(Self::BLOCK_BYTES)?;
            // The first grows as it is filled: many queues stay short.
            let items = if self.blocks.is_empty() { 0 } else { Self::BLOCK_ITEMS };
            self.blocks.push_back(VecDeque::with_capacity(items));
        } else {
            let mut block = first_of(&mut self.spare);
            self.blocks.append(&mut block);
        }
        Ok(())
    }

    /// Takes the first item.
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        self.pop_front_if(|_| true)
    }

    /// Takes the first item, if `is_due`.
    #[inline]
    pub fn pop_front_if(&mut self, is_due: impl FnOnce(&T) -> bool) -> Option<T> {
        let block = self.blocks.front_mut()?;
        let item = block.pop_front_if(|item| is_due(item))?;
        if block.is_empty() {
            self.leave_front();
        }
        Some(item)
    }

    /// Takes the last item.
    pub fn pop_back(&mut self) -> Option<T> {
        let block = self.blocks.back_mut()?;
        let item = block.pop_back()?;
        if block.is_empty() && self.blocks.len() > 1 {
            let block = self.blocks.split_off(self.blocks.len() - 1);
            self.keep(block);
        }
        Some(item)
    }

    /// Hands all items to `take`, in the order in which they came.
    #[inline]
    pub fn take_all(&mut self, mut take: impl FnMut(T)) {
        while let Some(block) = self.blocks.front_mut().filter(|block| !block.is_empty()) {
            block.drain(..).for_each(&mut take);
            self.leave_front();
        }
    }

    /// Drops all items. What is kept is what is kept of a queue that has become empty.
    pub fn clear(&mut self) {
        while let Some(block) = self.blocks.front_mut().filter(|block| !block.is_empty()) {
            block.clear();
            self.leave_front();
        }
    }

    /// The first block is empty: it goes, unless it is the only one.
    #[cold]
    #[inline(never)]
    fn leave_front(&mut self) {
        if self.blocks.len() > 1 {
            let block = first_of(&mut self.blocks);
            self.keep(block);
        }
    }

    /// Keeps an empty block, if there is none too many.
    fn keep(&mut self, mut block: Blocks<T>) {
        if self.spare.len() < self.spare_max {
            self.spare.append(&mut block);
        }
    }
}

/// Takes the first block off a list that has one, with its place in it.
pub(crate) fn first_of<B>(blocks: &mut LinkedList<B>) -> LinkedList<B> {
    let rest = blocks.split_off(1);
    core::mem::replace(blocks, rest)
}

impl<T: Copy> BlockQueue<T> {
    /// Adds copies of `items` at the end.
    pub fn extend_from_slice(&mut self, mut items: &[T]) {
        while !items.is_empty() {
            if self.is_full() {
                let Ok(()) = self.open(|_| Ok::<(), Infallible>(()));
            }
            let Some(block) = self.blocks.back_mut() else { unreachable!("a block was opened") };
            let (some, rest) = items.split_at(items.len().min(Self::BLOCK_ITEMS - block.len()));
            if block.len() + some.len() > block.capacity() {
                // No more than a block, or it would double beyond one.
                let room = (block.len() + some.len()).next_power_of_two().max(QUEUE_BLOCK_ITEMS_MIN);
                block.reserve_exact(room - block.len());
            }
            block.extend(some);
            items = rest;
        }
    }

    /// Hands the first `count` items to `take`, some at a time, and takes them away.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn take_slices(&mut self, mut count: usize, mut take: impl FnMut(&[T])) {
        while count > 0 {
            let Some(block) = self.blocks.front_mut().filter(|block| !block.is_empty()) else {
                panic!("{count} items were to be taken that are not there");
            };
            let some = count.min(block.len());
            let (one, other) = block.as_slices();
            take(&one[..some.min(one.len())]);
            take(&other[..some.saturating_sub(one.len())]);
            block.drain(..some);
            count -= some;
            if block.is_empty() {
                self.leave_front();
            }
        }
    }
}

impl<T> Default for BlockQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for BlockQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockQueue").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
