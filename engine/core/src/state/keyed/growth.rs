//! A keyed table that grows: leaves get more room, and full ones are divided.

use super::{DEPTH_MAX, KeyedTable, LEAVES_MAX, Node, position};
use crate::checkpoint::saver::Saver;
use crate::fault::Fault;
use crate::record::Record;
use crate::record::key::Key;
use crate::state::leaf::Leaf;

impl<K: Key, V: Record> KeyedTable<K, V> {
    /// Makes room for one more key in a full leaf, or divides it.
    #[cold]
    #[inline(never)]
    pub(super) fn grow(&mut self, number: usize, saver: &mut Saver) -> Result<(), Fault> {
        let leaf = &mut self.nodes[number].leaf;
        if leaf.len() == Leaf::<K, V>::ENTRIES_MAX {
            return self.divide(number, saver);
        }
        let indexed = leaf.indexed;
        leaf.reserve(leaf.len() + 1, &self.slabs)?;
        if indexed {
            leaf.index(K::hash);
        }
        self.show(number);
        Ok(())
    }

    /// Divides a leaf by the next bit of the position.
    pub(super) fn divide(&mut self, number: usize, saver: &mut Saver) -> Result<(), Fault> {
        self.set_apart(number, saver)?;
        let (stretch, indexed) = (self.nodes[number].stretch, self.nodes[number].leaf.indexed);
        if stretch.depth == DEPTH_MAX || self.nodes.len() == LEAVES_MAX {
            return Err(Fault::TableFull { keys: self.len });
        }
        let mut other = Leaf::new();
        if self.nodes[number].leaf.len() > 0 {
            other.reserve(self.nodes[number].leaf.capacity(), &self.slabs)?;
        }
        if 64 - self.shift == stretch.depth {
            // Each place twice.
            self.directory = self.directory.iter().flat_map(|probe| [*probe; 2]).collect();
            self.shift -= 1;
            self.swept *= 2;
        }
        let (left, right) = stretch.halves();
        let node = &mut self.nodes[number];
        node.leaf.divide(&mut other, |key| right.has(position(key.hash())));
        if indexed {
            node.leaf.index(K::hash);
            other.index(K::hash);
        }
        node.stretch = left;
        let epoch = self.epoch;
        self.nodes.push(Node {
            leaf: other,
            stretch: right,
            epoch,
            frozen: 0,
            fresh: u16::MAX,
            changed: u16::MAX,
        });
        self.show(number);
        self.show(self.nodes.len() - 1);
        self.count_frame();
        Ok(())
    }
}
