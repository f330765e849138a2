//! A binary heap whose storage is counted: the least item first.
//!
//! Made for an operator that holds items back and lets them go in order, a few at a time: adding and taking
//! cost O(log n) swaps each, and there is never a larger piece of work. The order is an argument, as it may
//! need what the items do not hold.

use crate::fault::OutOfMemory;
use crate::memory::{Buf, Memory};
use alloc::sync::Arc;

/// Items, the least of them at hand. Every call must be given the same order.
pub(crate) struct Heap<T> {
    items: Buf<T>,
}

impl<T> Heap<T> {
    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        Heap { items: Buf::new(memory) }
    }

    /// All items, in no order that means anything.
    pub(crate) fn items(&self) -> &[T] {
        &self.items
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
        let items = &mut *self.items;
        let mut at = 0;
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
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::join;
    use crate::memory::HeapMemory;
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
                assert_eq!(heap.items().len(), twin.len());
            }
        }
    }
}
