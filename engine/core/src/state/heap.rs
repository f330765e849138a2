//! A binary heap whose storage is counted: the least item first.
//!
//! Made for an operator that holds items back and lets them go in order, a few at a time: adding and taking
//! cost O(log n) swaps each, and there is never a larger piece of work. The order is an argument, as it may
//! need what the items do not hold.

use crate::fault::OutOfMemory;
use crate::state::memory::{Buf, Memory};
use alloc::sync::Arc;

/// Items, the least of them at hand. Every call must be given the same order.
pub(crate) struct Heap<T> {
    items: Buf<T>,
}

impl<T> Heap<T> {
    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        Heap { items: Buf::new(memory) }
    }

    /// The least item.
    pub(crate) fn peek(&self) -> Option<&T> {
        self.items.first()
    }

    /// Adds an item; `before` says whether its first argument comes before its second.
    pub(crate) fn push(&mut self, item: T, before: impl Fn(&T, &T) -> bool) -> Result<(), OutOfMemory> {
        self.items.reserve(1)?;
        self.items.push(item);
        let items = &mut *self.items;
        let mut at = items.len() - 1;
        while at > 0 && before(&items[at], &items[(at - 1) / 2]) {
            items.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        Ok(())
    }

    /// Takes the least item.
    pub(crate) fn pop(&mut self, before: impl Fn(&T, &T) -> bool) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        self.items.swap(0, last);
        let least = self.items.pop();
        self.sink(0, &before);
        least
    }

    /// Adds items in whatever order, until there are as many as `count`; a bounded number of them. None may be taken until they have been
    /// [put in order](Self::order).
    pub(crate) fn fill(&mut self, count: usize, items: impl Iterator<Item = T>) -> Result<(), OutOfMemory> {
        self.items.reserve(count.saturating_sub(self.items.len()))?;
        items.for_each(|item| self.items.push(item));
        Ok(())
    }

    /// Items that have others below them: the last of these are put in order first.
    pub(crate) fn unordered(&self) -> usize {
        self.items.len() / 2
    }

    /// Puts the last of the first `unordered` items in order, `some` of them, and returns how many are left: O(n) for all together.
    pub(crate) fn order(&mut self, unordered: usize, some: usize, before: impl Fn(&T, &T) -> bool) -> usize {
        let left = unordered.saturating_sub(some);
        (left..unordered).rev().for_each(|at| self.sink(at, &before));
        left
    }

    /// Takes all items away.
    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }

    /// Moves item number `at` down to where it belongs.
    fn sink(&mut self, mut at: usize, before: &impl Fn(&T, &T) -> bool) {
        let items = &mut *self.items;
        while let Some(left) = items.get(2 * at + 1) {
            let child = match items.get(2 * at + 2) {
                Some(right) if before(right, left) => 2 * at + 2,
                _ => 2 * at + 1,
            };
            if !before(&items[child], &items[at]) {
                break;
            }
            items.swap(at, child);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::join;
    use crate::state::memory::HeapMemory;
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
                assert_eq!(heap.items.len(), twin.len());
            }
        }
    }

    #[test]
    fn many_at_once_come_out_as_one_by_one() {
        for count in [0, 1, 2, 3, 100, 1_000u64] {
            let mut heap = Heap::new(Arc::new(HeapMemory));
            let mut items: alloc::vec::Vec<u64> = (0..count).map(|draw| join(count, draw) % 500).collect();
            let (first, rest) = items.split_at(items.len() / 3);
            first.iter().for_each(|item| heap.push(*item, |a, b| a < b).unwrap());
            for some in rest.chunks(7) {
                heap.fill(items.len(), some.iter().copied()).unwrap();
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
