//! What the rows of a keyed table own on the heap, counted as they change and as they are forgotten.

use super::{FEW_KEYS, KeyedTable, Node, Place, parts};
use crate::bounds::LEAF_ROWS;
use crate::record::Record;
use crate::record::heap::{allocated, owned, owns};
use crate::state::leaf::{Leaf, Probe};
use alloc::vec::Vec;

impl<K, V> KeyedTable<K, V> {
    /// Counts the directory and the list of leaves, which may have grown or gone.
    pub(super) fn count_frame(&mut self) {
        let lists = [
            (self.directory.capacity(), size_of::<Probe>()),
            (self.nodes.capacity(), size_of::<Node<K, V>>()),
        ];
        let own = if self.directory.capacity() == 0 { 0 } else { size_of::<Self>() };
        let frame = lists.iter().map(|(items, size)| allocated(items * size)).sum::<usize>() + own;
        self.heap.change(self.frame, frame);
        self.frame = frame;
    }

    /// Whether the leaves were at least an eighth full, or there is hardly anything to give back.
    fn is_worth_keeping(&self) -> bool {
        let room: usize = match &self.nodes[..] {
            [only] => only.leaf.capacity(),
            nodes => nodes.len() * Leaf::<K, V>::ENTRIES_MAX,
        };
        self.len * 8 >= room || room <= FEW_KEYS
    }
}

/// What a row owns on the heap; nothing, known to the compiler, if it can own nothing.
#[inline(always)]
pub(super) fn owned_by<K: Record, V: Record>((key, value): &(K, V)) -> usize {
    owned(key) + owned(value)
}

impl<K: Record, V: Record> KeyedTable<K, V> {
    /// Has the value at a place changed by `change`, and counts what that comes to.
    #[inline(always)]
    pub(crate) fn change<R>(&mut self, place: Place, change: impl FnOnce(&mut V) -> R) -> R {
        let (leaf, entry) = parts(place);
        let value = &mut self.nodes[leaf].leaf.entries_mut()[entry].1;
        if const { !owns::<V>() } {
            return change(value);
        }
        let before = value.heap_bytes();
        let result = change(value);
        self.heap.change(before, value.heap_bytes());
        result
    }

    /// What all rows of a leaf own.
    fn owned_in(&self, leaf: usize) -> usize {
        if const { owns::<(K, V)>() } {
            self.nodes[leaf].leaf.entries().iter().map(owned_by).sum()
        } else {
            0
        }
    }

    /// Forgets every key, within `budget` rows' worth of time; true when no key is left. Between the first call and that the table must not be
    /// used. The leaves stay, for keys that come next, if it should `keep` them and they were not too many for those that came; otherwise
    /// their storage goes back.
    pub(crate) fn clear_some(&mut self, budget: &mut usize, keep: bool) -> bool {
        assert!(!self.awaited, "a table that a checkpoint still needs");
        self.coming = None;
        if self.cleared == 0 && !(keep && self.is_worth_keeping()) {
            // What has no places in the directory is on its way back.
            self.directory.clear();
        }
        let kept = !self.directory.is_empty();
        while *budget > 0 {
            let number = if kept { self.cleared } else { self.nodes.len().wrapping_sub(1) };
            if number >= self.nodes.len() {
                break;
            }
            self.heap.sub(self.owned_in(number));
            let node = &mut self.nodes[number];
            // Rows that own something are dropped one by one.
            let owned = if const { owns::<(K, V)>() } { node.leaf.len() } else { 0 };
            *budget = budget.saturating_sub(owned.max(LEAF_ROWS));
            self.len -= node.leaf.len();
            if kept {
                node.leaf.clear();
                (node.epoch, node.fresh) = (0, 0);
                self.cleared += 1;
            } else {
                node.leaf.release(&self.slabs);
                self.nodes.pop();
            }
        }
        let clean = if kept { self.cleared == self.nodes.len() } else { self.nodes.is_empty() };
        if clean {
            self.cleared = 0;
            if !kept {
                (self.directory, self.nodes) = (Vec::new(), Vec::new());
            }
            self.count_frame();
            // What a type of somebody's own said in two ways goes with the last row.
            self.heap.set(self.frame);
        }
        clean
    }
}
