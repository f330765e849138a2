//! A keyed table: a directory over leaves (`leaf`), each of which holds the keys of one stretch of the hash space.
//!
//! ```text
//!  directory   | leaf 0 | leaf 0 | leaf 3 | leaf 1 | leaf 2 | ...     by the first bits of the position, as many as the deepest leaf needs
//!  position    | the first bits of the hash, as they are: the key group | the others, mixed |
//! ```
//!
//! A leaf that is full is divided by the next bit of the position, and nothing else is touched; a directory twice as large is a copy of some
//! thousand words for ten million keys. So growing is a bounded step, and so is everything that is done leaf by leaf. Leaves follow each other
//! in the order of the hash: the keys of a range of key groups are whole leaves, but for the first and the last.
//!
//! This is extendible hashing (Fagin, Nievergelt, Pippenger, Strong 1979), with leaves as large as a step may be. What a table does for
//! checkpoints is in `saving`, how leaves grow and are divided in `growth`, looking many keys up at once in `batch`.

mod batch;
mod counting;
#[cfg(test)]
pub(crate) mod flood;
mod growth;
mod saving;

use crate::fault::Fault;
use crate::record::Record;
use crate::record::key::Key;
use crate::state::heap_bytes::HeapShare;
use crate::state::leaf::{ENTRY_BITS, Leaf, Probe};
use crate::state::line::Mixed;
use crate::state::prefetch::prefetch;
use crate::state::slab::Slabs;
use alloc::vec::Vec;

use self::counting::owned_by;
pub(crate) use self::saving::Stretch;
use crate::checkpoint::saver::Saver;

/// Bits of the hash that are the first of its position as they are.
pub(crate) const GROUP_BITS: u32 = 10;
/// Room for so many keys is kept whether it was needed or not.
const FEW_KEYS: usize = 64;
/// Bits of a position that choose a leaf, at most.
pub(crate) const DEPTH_MAX: u32 = 22;

/// Where a hash lies among all: ordered as the key groups are.
#[inline(always)]
fn position(hash: u64) -> u64 {
    hash ^ Mixed::product(hash) >> GROUP_BITS
}

/// A leaf, its stretch, and what a checkpoint knows of it.
struct Node<K, V> {
    leaf: Leaf<K, V>,
    stretch: Stretch,
    /// The freeze that this is of: 0 while nobody watches.
    epoch: u32,
    /// Entries at that freeze.
    frozen: u32,
    /// Pieces that have changed since then, or are not part of it; and those that had changed before it since the last that was saved.
    fresh: u16,
    changed: u16,
}

/// Leaves of a table: as many as a place can name.
const LEAVES_MAX: usize = 1 << (Place::BITS - ENTRY_BITS);

/// An entry of a table: a leaf, and an entry of it.
pub(crate) type Place = u32;

#[inline(always)]
fn parts(place: Place) -> (usize, usize) {
    ((place >> ENTRY_BITS) as usize, (place & ((1 << ENTRY_BITS) - 1)) as usize)
}

/// Keys of type `K`, each with a `V`.
pub struct KeyedTable<K, V> {
    /// What a lookup needs of the leaf for each beginning of a position.
    directory: Vec<Probe>,
    /// `64 -` the bits that the directory looks at, of which there is at least one.
    shift: u32,
    nodes: Vec<Node<K, V>>,
    len: usize,
    slabs: Slabs,
    /// What rows own, and the table itself beside its slabs, which is `frame`.
    heap: HeapShare,
    frame: usize,
    /// The number of the table in checkpoints; 0 while it has none.
    number: u32,
    /// The last freeze; 0 while nobody watches.
    epoch: u32,
    /// What was not changed since this freeze is the same as in the checkpoint before.
    since: u32,
    /// The leaf whose rows are coming back: it has no index yet, and more room than it may need.
    coming: Option<usize>,
    /// Leaves that have been cleared, while that is under way.
    cleared: usize,
    /// Whether entries of the last freeze are still to be saved; the place of the directory that is next, and the pieces of its leaf that have
    /// been.
    awaited: bool,
    swept: usize,
    swept_pieces: usize,
}

impl<K, V> KeyedTable<K, V> {
    /// An empty table without storage.
    pub fn new(slabs: Slabs) -> Self {
        KeyedTable {
            directory: Vec::new(),
            shift: 63,
            nodes: Vec::new(),
            len: 0,
            heap: slabs.heap().share(),
            frame: 0,
            slabs,
            number: 0,
            epoch: 0,
            since: 0,
            coming: None,
            cleared: 0,
            awaited: false,
            swept: 0,
            swept_pieces: 0,
        }
    }

    /// Keys in the table.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entry at a place.
    #[inline(always)]
    pub(crate) fn entry(&self, place: Place) -> (&K, &V) {
        let (leaf, entry) = parts(place);
        let (key, value) = &self.nodes[leaf].leaf.entries()[entry];
        (key, value)
    }

    /// Asks the processor to have the entry at a place at hand soon.
    #[inline(always)]
    pub(crate) fn prefetch_entry(&self, place: Place) {
        let (leaf, entry) = parts(place);
        prefetch(self.nodes[leaf].leaf.entries().as_ptr().wrapping_add(entry));
    }

    /// Leaves, by their numbers: any number below this may be [asked for](Self::leaf).
    pub(crate) fn leaves(&self) -> usize {
        self.nodes.len()
    }

    /// The entries of leaf number `leaf`, with the place of the first; the others follow.
    pub(crate) fn leaf(&self, leaf: usize) -> (Place, &[(K, V)]) {
        ((leaf << ENTRY_BITS) as Place, self.nodes[leaf].leaf.entries())
    }

    /// What is counted besides what rows own.
    #[cfg(test)]
    pub(crate) fn frame(&self) -> usize {
        self.frame
    }

    /// Every leaf's stretch and entries.
    #[cfg(test)]
    pub(crate) fn stretches(&self) -> impl Iterator<Item = (Stretch, &[(K, V)])> {
        self.nodes.iter().map(|node| (node.stretch, node.leaf.entries()))
    }

    /// Every key with its value, in an order that depends on how they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.nodes.iter().flat_map(|node| node.leaf.entries())
    }
}

impl<K: Key, V> KeyedTable<K, V> {
    #[inline(always)]
    fn slot(&self, hash: u64) -> usize {
        (position(hash) >> self.shift) as usize
    }

    /// Asks the processor to have what a lookup of `hash` begins with at hand soon.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(probe) = self.directory.get(self.slot(hash)) {
            prefetch(probe.line(Mixed::new(hash)));
        }
    }

    /// The value of the key with `hash` for which `same` is true, if there is one.
    pub(crate) fn find(&mut self, hash: u64, same: impl Fn(&K) -> bool) -> Option<&V> {
        let number = self.directory.get(self.slot(hash))?.leaf as usize;
        self.index(number);
        let leaf = &self.nodes[number].leaf;
        leaf.find(Mixed::new(hash), same).map(|entry| &leaf.entries()[entry].1)
    }

    /// Makes a leaf's index if there is none: rows came one by one or went away, and nobody has asked for any since.
    #[inline(always)]
    fn index(&mut self, number: usize) {
        if !self.nodes[number].leaf.indexed {
            self.index_first(number);
        }
    }

    #[cold]
    #[inline(never)]
    fn index_first(&mut self, number: usize) {
        self.nodes[number].leaf.index(K::hash);
        self.show(number);
    }

    /// Begins with one leaf for all.
    #[cold]
    fn begin_directory(&mut self) {
        let (epoch, fresh) = (self.epoch, u16::MAX);
        let (leaf, stretch) = (Leaf::new(), Stretch::ALL);
        self.nodes.push(Node { leaf, stretch, epoch, frozen: 0, fresh, changed: u16::MAX });
        self.shift = 63;
        self.directory.resize(2, Probe { base: core::ptr::null_mut(), mask: 0, leaf: 0 });
        self.count_frame();
    }

    /// Tells the directory what lookups need to know of a leaf.
    fn show(&mut self, number: usize) {
        let Node { leaf, stretch, .. } = &self.nodes[number];
        let (base, mask) = leaf.base();
        // What is not indexed cannot be looked up at once.
        let base = if leaf.indexed { base } else { core::ptr::null_mut() };
        let first = (stretch.prefix >> self.shift) as usize;
        let slots = 1usize << (64 - self.shift - stretch.depth);
        self.directory[first..first + slots].fill(Probe { base, mask, leaf: number as u32 });
    }
}

impl<K: Key, V: Record> KeyedTable<K, V> {
    /// The place of the key with `hash` for which `same` is true, about to be changed; if there is none, the entry is made by `make`.
    ///
    /// # Errors
    /// As for [`upsert_batch`](Self::upsert_batch).
    #[inline(never)]
    pub(crate) fn place(
        &mut self,
        hash: u64,
        saver: &mut Saver,
        same: impl Fn(&K) -> bool,
        make: impl FnOnce() -> (K, V),
    ) -> Result<Place, Fault> {
        if self.directory.is_empty() {
            self.begin_directory();
        }
        let mixed = Mixed::new(hash);
        loop {
            let number = self.directory[self.slot(hash)].leaf as usize;
            self.index(number);
            let leaf = &mut self.nodes[number].leaf;
            if let Some(entry) = leaf.find(mixed, &same) {
                if self.epoch != 0 {
                    self.touch(number, entry, saver)?;
                }
                return Ok((number << ENTRY_BITS | entry) as Place);
            }
            if !leaf.is_full() {
                let entry = leaf.len();
                if self.epoch != 0 {
                    self.touch(number, entry, saver)?;
                }
                let row = make();
                self.heap.add(owned_by(&row));
                self.nodes[number].leaf.push(mixed, row.0, row.1);
                self.len += 1;
                return Ok((number << ENTRY_BITS | entry) as Place);
            }
            self.grow(number, saver)?;
        }
    }

    /// Takes away the key with `hash` for which `same` is true; none if there is no such key. Places change.
    ///
    /// # Errors
    /// When a row refuses to be archived that a checkpoint needs as it was.
    pub(crate) fn remove(
        &mut self,
        hash: u64,
        saver: &mut Saver,
        same: impl Fn(&K) -> bool,
    ) -> Result<Option<(K, V)>, Fault> {
        let Some(probe) = self.directory.get(self.slot(hash)) else { return Ok(None) };
        let number = probe.leaf as usize;
        self.index(number);
        let leaf = &self.nodes[number].leaf;
        let Some(entry) = leaf.find(Mixed::new(hash), same) else { return Ok(None) };
        if self.epoch != 0 {
            let last = leaf.len() - 1;
            self.touch(number, entry, saver)?;
            self.touch(number, last, saver)?;
        }
        let leaf = &mut self.nodes[number].leaf;
        let (row, slow) = leaf.remove(entry, K::hash);
        self.len -= 1;
        self.heap.sub(owned_by(&row));
        if slow {
            leaf.index(K::hash);
        }
        if leaf.capacity() > FEW_KEYS && leaf.len() * 8 <= leaf.capacity() {
            if leaf.len() == 0 {
                leaf.release(&self.slabs);
            } else if leaf.shrink(&self.slabs).is_ok() {
                leaf.index(K::hash);
            }
            self.show(number);
        }
        Ok(Some(row))
    }
}

impl<K, V> Drop for KeyedTable<K, V> {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.leaf.release(&self.slabs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::fold;
    use crate::record::struct_record;
    use crate::state::memory::{HeapMemory, Memory};
    use alloc::collections::BTreeMap;
    use alloc::sync::Arc;
    use rkyv::{Archive, Deserialize, Serialize};

    #[test]
    fn agrees_with_a_map_through_growth_and_clearing() {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let (mut saver, mut table) =
            (Saver::new(&memory), KeyedTable::<u64, u64>::new(Slabs::new(memory.clone())));
        for (round, keys) in [(0, 10), (1, 40_000), (2, 3_000)] {
            let mut twin = BTreeMap::new();
            for i in (0..keys * 4u64).step_by(64) {
                let batch: Vec<u64> = (i..i + 64).map(|i| fold(i * 7 + round) % keys).collect();
                let hashes: Vec<u64> = batch.iter().map(|key| key.hash()).collect();
                table
                    .upsert_batch(
                        &hashes,
                        &mut saver,
                        |n, k| *k == batch[n],
                        |n| (batch[n], 0),
                        |n, v, _| *v += i + n as u64,
                    )
                    .unwrap();
                batch.iter().enumerate().for_each(|(n, k)| *twin.entry(*k).or_insert(0) += i + n as u64);
            }
            assert_eq!(table.len(), twin.len());
            assert_eq!(table.iter().copied().collect::<BTreeMap<_, _>>(), twin);
            assert_eq!(table.iter().count(), twin.len());
            assert!(
                table
                    .stretches()
                    .all(|(stretch, rows)| rows.iter().all(|(key, _)| stretch.has(position(key.hash()))))
            );
            for key in 0..keys + 10 {
                assert_eq!(table.find(key.hash(), |k| *k == key), twin.get(&key));
            }
            while !table.clear_some(&mut 1, round != 1) {}
            assert!(table.is_empty());
        }
    }

    /// Keys come and go, all of them now and then; the index stays as good as new.
    #[test]
    fn keys_that_go_are_gone_and_leave_their_room() {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let (mut saver, mut table) =
            (Saver::new(&memory), KeyedTable::<u64, u64>::new(Slabs::new(memory.clone())));
        let mut twin = BTreeMap::new();
        let mut leaves = 0;
        for round in 0..40u64 {
            for draw in 0..20_000 {
                let key = fold(round * 20_000 + draw) % 9_000;
                // Mostly more, mostly fewer, or as many as before.
                if fold(key ^ round ^ draw) % 8 < [3, 5, 4][round as usize % 3] {
                    let place = table.place(key.hash(), &mut saver, |k| *k == key, || (key, 0)).unwrap();
                    table.change(place, |sum| *sum += draw);
                    *twin.entry(key).or_insert(0) += draw;
                } else {
                    let removed = table.remove(key.hash(), &mut saver, |k| *k == key).unwrap();
                    assert_eq!(removed, twin.remove_entry(&key));
                }
            }
            assert_eq!(table.iter().copied().collect::<BTreeMap<_, _>>(), twin);
            for key in 0..9_000 {
                assert_eq!(table.find(key.hash(), |k| *k == key), twin.get(&key));
            }
            if round == 19 {
                leaves = table.leaves();
            }
            if round % 10 == 9 {
                for key in core::mem::take(&mut twin).into_keys() {
                    assert!(table.remove(key.hash(), &mut saver, |k| *k == key).unwrap().is_some());
                }
                assert!(table.is_empty() && table.nodes.iter().all(|node| node.leaf.capacity() <= FEW_KEYS));
            }
        }
        assert_eq!(table.leaves(), leaves, "leaves are used again");
    }

    /// Of many keys a few are left: their leaves have not much more room than they need.
    #[test]
    fn what_is_left_of_many_keys_takes_little() {
        let limited = crate::state::memory::limited::Limited::new(usize::MAX);
        let memory: Arc<dyn Memory> = limited.clone();
        let (mut saver, mut table) =
            (Saver::new(&memory), KeyedTable::<u64, u64>::new(Slabs::new(memory.clone())));
        for key in 0..200_000u64 {
            table.place(key.hash(), &mut saver, |k| *k == key, || (key, key)).unwrap();
        }
        let most = limited.in_use();
        for key in (0..200_000u64).filter(|key| key % 100 != 0) {
            assert!(table.remove(key.hash(), &mut saver, |k| *k == key).unwrap().is_some());
        }
        // One empty block of each size stays for a while.
        (0..2).for_each(|_| while !table.slabs.tidy(true) {});
        assert!(limited.in_use() < most / 8, "{} of {most}", limited.in_use());
        for key in 0..200_000u64 {
            let found = table.find(key.hash(), |k| *k == key).copied();
            assert_eq!(found, (key % 100 == 0).then_some(key));
        }
    }

    /// A key that is its own hash.
    #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
    struct Raw {
        hash: u64,
    }
    struct_record!(Raw { hash: u64 });

    impl Key for Raw {
        fn hash(&self) -> u64 {
            self.hash
        }
        fn prefix(&self) -> u64 {
            self.hash
        }
        fn is(&self, archived: &ArchivedRaw) -> bool {
            archived.hash == self.hash
        }
    }

    /// Keys whose hashes agree in their low bits, in their high bits, and in both but for a few.
    #[test]
    fn hashes_that_agree_in_many_bits_are_told_apart() {
        for (shift, keys) in [(32, 50_000u64), (0, 50_000), (20, 50_000), (44, 50_000)] {
            let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
            let (mut saver, mut table) =
                (Saver::new(&memory), KeyedTable::<Raw, u64>::new(Slabs::new(memory.clone())));
            let raw = |key: u64| Raw { hash: key << shift };
            for key in 0..keys {
                table.place(key << shift, &mut saver, |k| *k == raw(key), || (raw(key), key)).unwrap();
            }
            for key in 0..keys {
                assert_eq!(table.find(key << shift, |k| *k == raw(key)), Some(&key));
            }
            // Not many more leaves than of hashes that are any: leaves are at least a quarter full.
            assert!(
                table.leaves() <= 4 * 50_000 / Leaf::<Raw, u64>::ENTRIES_MAX,
                "{shift}: {} leaves",
                table.leaves()
            );
            // One key group: the ten bits before are all the same.
            assert!(table.directory.len() <= 16 << 10, "{shift}: {} places", table.directory.len());
        }
    }
}
