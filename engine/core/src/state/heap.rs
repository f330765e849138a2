//! A binary heap whose storage is counted: the least item first.
//!
//! Made for an operator that holds items back and lets them go in order, a few at a time: adding and taking
//! cost O(log n) swaps each, and there is never a larger piece of work. The order is an argument, as it may
//! need what the items do not hold. Items lie in blocks, so that growing copies no more than a block, and blocks that are not needed go back.

use crate::fault::OutOfMemory;
use crate::state::memory::{Buf, Memory};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes of a block.
const BLOCK_BYTES: usize = 64 * 1024;

/// Items, the least of them at hand. Every call must be given the same order.
pub(crate) struct Heap<T> {
    /// All full but the last, behind which one may be empty.
    blocks: Vec<Buf<T>>,
    len: usize,
    memory: Arc<dyn Memory>,
}

impl<T: Copy> Heap<T> {
    /// A block has two to this power items.
    const SHIFT: u32 = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        let fit = BLOCK_BYTES / size;
        if fit < 16 { 4 } else { fit.ilog2() }
    };

    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        Heap { blocks: Vec::new(), len: 0, memory }
    }

    fn at(&self, number: usize) -> &T {
        &self.blocks[number >> Self::SHIFT][number & ((1 << Self::SHIFT) - 1)]
    }

    fn get(&self, number: usize) -> Option<&T> {
        (number < self.len).then(|| self.at(number))
    }

    fn set(&mut self, number: usize, item: T) {
        self.blocks[number >> Self::SHIFT][number & ((1 << Self::SHIFT) - 1)] = item;
    }

    fn swap(&mut self, one: usize, other: usize) {
        let (first, second) = (*self.at(one), *self.at(other));
        self.set(one, second);
        self.set(other, first);
    }

    /// Puts an item behind all others, in no order.
    fn append(&mut self, item: T) -> Result<(), OutOfMemory> {
        let block = self.len >> Self::SHIFT;
        if block == self.blocks.len() {
            self.blocks.push(Buf::new(self.memory.clone()));
        }
        self.blocks[block].reserve(1)?;
        self.blocks[block].push(item);
        self.len += 1;
        Ok(())
    }

    /// Takes the item away that is behind all others.
    fn take_last(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        let block = self.len >> Self::SHIFT;
        // One that is empty stays behind the last, so that what comes and goes in turn asks for nothing.
        self.blocks.truncate(block + 2);
        self.blocks[block].pop()
    }

    /// The least item.
    pub(crate) fn peek(&self) -> Option<&T> {
        self.get(0)
    }

    /// Adds an item; `before` says whether its first argument comes before its second.
    pub(crate) fn push(&mut self, item: T, before: impl Fn(&T, &T) -> bool) -> Result<(), OutOfMemory> {
        self.append(item)?;
        let mut at = self.len - 1;
        while at > 0 && before(self.at(at), self.at((at - 1) / 2)) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        Ok(())
    }

    /// Takes the least item.
    pub(crate) fn pop(&mut self, before: impl Fn(&T, &T) -> bool) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        self.swap(0, last);
        let least = self.take_last();
        self.sink(0, &before);
        least
    }

    /// Adds items in whatever order, a bounded number of them. None may be taken until they have been [put in order](Self::order).
    pub(crate) fn fill(&mut self, mut items: impl Iterator<Item = T>) -> Result<(), OutOfMemory> {
        items.try_for_each(|item| self.append(item))?;
        Ok(())
    }

    /// Items that have others below them: the last of these are put in order first.
    pub(crate) fn unordered(&self) -> usize {
        self.len / 2
    }

    /// Puts the last of the first `unordered` items in order, `some` of them, and returns how many are left: O(n) for all together.
    pub(crate) fn order(&mut self, unordered: usize, some: usize, before: impl Fn(&T, &T) -> bool) -> usize {
        let left = unordered.saturating_sub(some);
        (left..unordered).rev().for_each(|at| self.sink(at, &before));
        left
    }

    /// Takes all items away.
    pub(crate) fn clear(&mut self) {
        self.blocks.truncate(1);
        self.blocks.iter_mut().for_each(Buf::clear);
        self.len = 0;
    }

    /// Moves item number `at` down to where it belongs.
    fn sink(&mut self, mut at: usize, before: &impl Fn(&T, &T) -> bool) {
        while let Some(left) = self.get(2 * at + 1) {
            let child = match self.get(2 * at + 2) {
                Some(right) if before(right, left) => 2 * at + 2,
                _ => 2 * at + 1,
            };
            if !before(self.at(child), self.at(at)) {
                break;
            }
            self.swap(at, child);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::join;
    use crate::state::memory::HeapMemory;
    use crate::state::memory::limited::Limited;
    use alloc::collections::BTreeSet;

    #[test]
    fn gives_the_least_as_a_sorted_set_does() {
        for seed in 0..20 {
            let (mut heap, mut twin) = (Heap::new(Arc::new(HeapMemory)), BTreeSet::new());
            for draw in 0..3_000u64 {
                let chance = join(seed, draw);
                // Phases in which it grows, and phases in which it shrinks to nothing.
                if chance % 16 < 4 + 8 * (draw / 500 % 2) {
                    let item = (chance >> 32 & 0xff, draw);
                    heap.push(item, |a, b| a < b).unwrap();
                    twin.insert(item);
                } else {
                    assert_eq!(heap.peek(), twin.first(), "seed {seed}");
                    assert_eq!(heap.pop(|a, b| a < b), twin.pop_first(), "seed {seed}");
                }
                assert_eq!(heap.len, twin.len());
            }
        }
    }

    #[test]
    fn blocks_go_back_that_are_not_needed() {
        let limited = Limited::new(usize::MAX);
        let mut heap = Heap::new(limited.clone());
        (0..100_000u64).for_each(|item| heap.push(item, |a, b| a < b).unwrap());
        let most = limited.in_use();
        assert!((800_000..1_000_000).contains(&most), "{most}");
        for _ in 0..95_000 {
            heap.pop(|a, b| a < b);
        }
        assert!(limited.in_use() <= 2 * BLOCK_BYTES, "{}", limited.in_use());
        heap.clear();
        assert!(limited.in_use() <= BLOCK_BYTES && heap.peek().is_none());
    }

    #[test]
    fn many_at_once_come_out_as_one_by_one() {
        for count in [0, 1, 2, 3, 100, 1_000, 20_000u64] {
            let mut heap = Heap::new(Arc::new(HeapMemory));
            let mut items: alloc::vec::Vec<u64> = (0..count).map(|draw| join(count, draw) % 500).collect();
            let (first, rest) = items.split_at(items.len() / 3);
            first.iter().for_each(|item| heap.push(*item, |a, b| a < b).unwrap());
            for some in rest.chunks(7) {
                heap.fill(some.iter().copied()).unwrap();
            }
            let mut unordered = heap.unordered();
            while unordered > 0 {
                unordered = heap.order(unordered, 5, |a, b| a < b);
            }
            items.sort_unstable();
            let sorted: alloc::vec::Vec<u64> = core::iter::from_fn(|| heap.pop(|a, b| a < b)).collect();
            assert_eq!(sorted, items);
        }
    }
}
