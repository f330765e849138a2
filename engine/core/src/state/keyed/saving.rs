//! A keyed table in a checkpoint, and its rows on their way to another shard.
//!
//! A leaf is saved in *pieces* of about a page. At a *freeze* nothing is copied: the table notes its number, and each leaf notices when it is
//! next touched or swept. From then on the leaves are [swept](KeyedTable::sweep) one after the other; a piece that is about to change before
//! its turn is copied aside first. A freeze costs the same for any number of rows, a touch of a piece that was touched since one comparison.
//!
//! ```text
//!  chunk of a block   | 0 | 1 and the first bits of the stretch | piece, 4 bits |      32 bits
//! ```
//!
//! So a block says by its name alone which key groups its rows are of.

use super::{DEPTH_MAX, KeyedTable, Node, owned_by};
use crate::checkpoint::owned::Owned;
use crate::checkpoint::saver::{Saver, Step};
use crate::fault::Fault;
use crate::record::Record;
use crate::record::heap::owned;
use crate::record::key::Key;
use crate::record::rows::{Rows, encode};
use crate::state::leaf::{Leaf, PIECES};
use alloc::vec::Vec;
use core::ops::Range;

const PIECE_BITS: u32 = 4;
const _: () =
    assert!(PIECES <= 1 << PIECE_BITS && PIECES <= u16::BITS as usize && DEPTH_MAX + PIECE_BITS < 32);

/// A stretch of the hash space: the positions that begin with the first `depth` bits of `prefix`, whose others are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) prefix: u64,
    pub(crate) depth: u32,
}

impl Stretch {
    /// All positions.
    pub(crate) const ALL: Stretch = Stretch { prefix: 0, depth: 0 };

    pub(super) fn halves(self) -> (Self, Self) {
        let Stretch { prefix, depth } = self;
        let half = |prefix| Stretch { prefix, depth: depth + 1 };
        (half(prefix), half(prefix | 1 << (63 - depth)))
    }

    /// The last position of the stretch.
    pub(crate) fn last(self) -> u64 {
        self.prefix | u64::MAX.checked_shr(self.depth).unwrap_or(0)
    }

    pub(super) fn has(self, position: u64) -> bool {
        self.prefix <= position && position <= self.last()
    }

    /// The chunk of a piece of the stretch.
    fn chunk(self, piece: usize) -> u32 {
        let bits = self.prefix.checked_shr(64 - self.depth).unwrap_or(0) as u32;
        (1 << self.depth | bits) << PIECE_BITS | piece as u32
    }

    /// The stretch of a chunk, if there is one.
    pub(crate) fn of_chunk(chunk: u32) -> Option<Self> {
        let name = chunk >> PIECE_BITS;
        let depth = name.checked_ilog2().filter(|depth| *depth <= DEPTH_MAX)?;
        let bits = u64::from(name - (1 << depth));
        Some(Stretch { prefix: bits.checked_shl(64 - depth).unwrap_or(0), depth })
    }
}

impl<K, V> Node<K, V> {
    /// Comes to the table's last freeze, if there was one since.
    #[inline]
    pub(super) fn catch_up(&mut self, epoch: u32, since: u32) {
        if self.epoch == epoch {
            return;
        }
        self.changed = match self.epoch.cmp(&since) {
            // Nothing that was saved counts, or nobody was watching.
            _ if since == 0 || self.epoch == 0 => u16::MAX,
            // What changed was saved by a checkpoint since then.
            core::cmp::Ordering::Less => 0,
            core::cmp::Ordering::Equal => self.fresh,
            // The checkpoints since then were given up.
            core::cmp::Ordering::Greater => self.changed | self.fresh,
        };
        self.fresh = 0;
        self.frozen = self.leaf.len() as u32;
        self.epoch = epoch;
    }

    /// The frozen entries of a piece.
    fn piece(&self, piece: usize) -> Range<usize> {
        let (from, frozen) = (piece * Leaf::<K, V>::PIECE, self.frozen as usize);
        from..frozen.min(from + Leaf::<K, V>::PIECE).max(from)
    }

    /// Pieces with frozen entries.
    fn pieces(&self) -> usize {
        (self.frozen as usize).div_ceil(Leaf::<K, V>::PIECE)
    }
}

impl<K, V> KeyedTable<K, V> {
    /// The table is empty, and begins to be used.
    pub(crate) fn begin(&mut self, saver: &Saver) {
        assert!(!self.awaited && self.len == 0, "a table that a checkpoint still needs");
        (self.number, self.epoch, self.since) = (0, saver.epoch(), saver.since());
    }

    /// Whether a checkpoint still needs the entries: the table must not be cleared.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// The checkpoint was given up.
    pub(crate) fn forget(&mut self) {
        self.awaited = false;
    }

    /// The entries as they are belong to the checkpoint that begins. Returns the number of the table in it, or 0 if there are none.
    pub(crate) fn freeze(&mut self, saver: &mut Saver) -> u32 {
        if self.number == 0 && self.len > 0 {
            self.number = saver.number();
        }
        (self.epoch, self.since) = (saver.epoch(), saver.since());
        (self.awaited, self.swept, self.swept_pieces) = (self.len > 0, 0, 0);
        if self.awaited { self.number } else { 0 }
    }

    /// Whether the sweep has still to come to a piece of a leaf.
    fn is_ahead(&self, stretch: Stretch, piece: usize) -> bool {
        self.awaited && ((stretch.prefix >> self.shift) as usize, piece) >= (self.swept, self.swept_pieces)
    }
}

impl<K: Record, V: Record> KeyedTable<K, V> {
    /// Entry number `entry` of a leaf is about to change, or to be there.
    #[inline(always)]
    pub(super) fn touch(&mut self, leaf: usize, entry: usize, saver: &mut Saver) -> Result<(), Fault> {
        let (node, piece) = (&self.nodes[leaf], entry / Leaf::<K, V>::PIECE);
        if node.epoch == self.epoch && node.fresh & 1 << piece != 0 {
            return Ok(());
        }
        self.touch_first(leaf, piece, saver)
    }

    #[cold]
    #[inline(never)]
    fn touch_first(&mut self, leaf: usize, piece: usize, saver: &mut Saver) -> Result<(), Fault> {
        let (epoch, since) = (self.epoch, self.since);
        self.nodes[leaf].catch_up(epoch, since);
        let node = &self.nodes[leaf];
        let rows = node.piece(piece);
        if node.fresh & 1 << piece == 0 && !rows.is_empty() && self.is_ahead(node.stretch, piece) {
            let chunk = node.stretch.chunk(piece);
            if node.changed & 1 << piece == 0 {
                saver.same_aside(self.number, chunk)?;
            } else {
                let rows = &node.leaf.entries()[rows];
                saver.put_aside(self.number, chunk, |into| encode(into, rows))?;
            }
        }
        self.nodes[leaf].fresh |= 1 << piece;
        Ok(())
    }

    /// A leaf is about to be divided or emptied: no piece of it stays what it is.
    pub(super) fn touch_leaf(&mut self, leaf: usize, saver: &mut Saver) -> Result<(), Fault> {
        if self.epoch != 0 {
            let (epoch, since) = (self.epoch, self.since);
            self.nodes[leaf].catch_up(epoch, since);
            (0..self.nodes[leaf].pieces())
                .try_for_each(|piece| self.touch(leaf, piece * Leaf::<K, V>::PIECE, saver))?;
        }
        Ok(())
    }

    /// Nothing of a leaf belongs to the last freeze any more: what was part of it is aside.
    pub(super) fn set_apart(&mut self, leaf: usize, saver: &mut Saver) -> Result<(), Fault> {
        self.touch_leaf(leaf, saver)?;
        let node = &mut self.nodes[leaf];
        (node.frozen, node.fresh) = (0, u16::MAX);
        Ok(())
    }

    /// Saves what is still to be saved, as far as the step goes; true when that is all.
    pub(crate) fn sweep(&mut self, step: &mut Step<'_>) -> Result<bool, Fault> {
        while self.awaited {
            let Some(probe) = self.directory.get(self.swept) else {
                self.awaited = false;
                break;
            };
            let node = &mut self.nodes[probe.leaf as usize];
            node.catch_up(self.epoch, self.since);
            while self.swept_pieces < node.pieces() {
                if !step.goes_on() {
                    return Ok(false);
                }
                let piece = self.swept_pieces;
                self.swept_pieces += 1;
                let chunk = node.stretch.chunk(piece);
                if node.fresh & 1 << piece != 0 {
                    step.skip();
                } else if node.changed & 1 << piece == 0 {
                    step.same(self.number, chunk);
                } else {
                    let rows = &node.leaf.entries()[node.piece(piece)];
                    step.block(self.number, chunk, rows.len(), |into| encode(into, rows))?;
                }
            }
            step.skip();
            self.swept += 1usize << (64 - self.shift - node.stretch.depth);
            self.swept_pieces = 0;
            if !step.has_time() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<K: Key, V: Record> KeyedTable<K, V> {
    /// Takes rows back that were saved of a stretch, as far as they are `owned`, and returns how many those are. None of the keys may be in
    /// the table.
    pub(crate) fn restore(
        &mut self,
        stretch: Stretch,
        rows: Rows<'_, (K, V)>,
        owned: &Owned<'_>,
        saver: &mut Saver,
    ) -> Result<usize, Fault> {
        if self.directory.is_empty() {
            self.begin_directory();
        }
        let (before, whole) = (self.len, rows.left() == Leaf::<K, V>::PIECE);
        // The leaves that they were in are made again, so that hardly a key has to be hashed.
        let covering = loop {
            let slot = (stretch.prefix >> self.shift) as usize;
            let number = self.directory[slot].leaf as usize;
            if self.nodes[number].stretch.depth >= stretch.depth {
                break number;
            }
            self.divide(number, saver)?;
        };
        self.set_apart(covering, saver)?;
        if self.coming != Some(covering) {
            self.settle();
        }
        let all = owned.has_all(stretch);
        let mut rows = rows;
        let lives_here =
            |row: &Result<(K, V), Fault>| all || row.as_ref().map_or(true, |row| owned.has(row.0.hash()));
        if self.nodes[covering].stretch == stretch && rows.left() > 0 {
            // A whole piece is hardly ever the only one. All leaves come in the same slab, which so is in the cache, and leave it for one that fits.
            let leaf = &mut self.nodes[covering].leaf;
            let more = if whole { Leaf::<K, V>::ENTRIES_MAX } else { leaf.len() + rows.left() };
            leaf.reserve(more, &self.slabs)?;
            let there = leaf.len();
            let outcome = match all {
                true => leaf.extend(&mut rows),
                false => leaf.extend(&mut rows.by_ref().filter(lives_here)),
            };
            self.len += leaf.len() - there;
            let came = leaf.entries()[there..].iter().map(owned_by).sum();
            self.heap.add(came);
            self.coming = Some(covering);
            // Before anything can fail: it has other storage.
            self.show(covering);
            outcome?;
        }
        // What has no room there, or belongs to several leaves here.
        for row in rows.filter(lives_here) {
            let (key, value) = row?;
            self.append(key, value, saver)?;
        }
        Ok(self.len - before)
    }

    /// All rows of a leaf have come back: gives it a slab that fits, and its index, while they are in the cache.
    pub(crate) fn settle(&mut self) {
        let Some(number) = self.coming.take() else { return };
        let leaf = &mut self.nodes[number].leaf;
        // Where there is no memory for that, it keeps what it has.
        let _ = leaf.fit(&self.slabs);
        leaf.index(K::hash);
        self.show(number);
    }

    /// Adds a restored row to the leaf that it belongs to, which may need more room or have to be divided.
    fn append(&mut self, key: K, value: V, saver: &mut Saver) -> Result<(), Fault> {
        loop {
            let leaf = self.directory[self.slot(key.hash())].leaf as usize;
            if !self.nodes[leaf].leaf.is_full() {
                self.set_apart(leaf, saver)?;
                self.heap.add(owned(&key) + owned(&value));
                self.nodes[leaf].leaf.append(key, value);
                self.len += 1;
                self.show(leaf);
                return Ok(());
            }
            self.grow(leaf, saver)?;
        }
    }

    /// Takes the rows of keys out that are `moving`, as blocks for [`restore`](Self::restore), a leaf at a time, from leaf number `next` on;
    /// the number to go on with, none when that was all.
    pub(crate) fn extract(
        &mut self,
        next: usize,
        moving: &Owned<'_>,
        saver: &mut Saver,
        take: &mut dyn FnMut(u32, usize, Vec<u8>),
    ) -> Result<Option<usize>, Fault> {
        let Some(node) = self.nodes.get(next) else { return Ok(None) };
        if moving.has_none(node.stretch) || node.leaf.len() == 0 {
            return Ok(Some(next + 1));
        }
        self.set_apart(next, saver)?;
        let node = &mut self.nodes[next];
        let mut going = Leaf::new();
        let stretch = node.stretch;
        if moving.has_all(stretch) {
            core::mem::swap(&mut going, &mut node.leaf);
        } else {
            going.reserve(node.leaf.capacity(), &self.slabs)?;
            node.leaf.divide(&mut going, |key| moving.has(key.hash()));
        }
        self.len -= going.len();
        self.heap.sub(going.entries().iter().map(owned_by).sum());
        let mut outcome = Ok(());
        for (piece, rows) in going.entries().chunks(Leaf::<K, V>::PIECE).enumerate() {
            let mut bytes = Vec::new();
            outcome = outcome.and_then(|()| encode(&mut bytes, rows));
            take(stretch.chunk(piece), rows.len(), bytes);
        }
        going.release(&self.slabs);
        self.show(next);
        outcome?;
        Ok(Some(next + 1))
    }

    /// Makes the index of some leaves that have none, from leaf number `next` on; the number to go on with, none when that was all.
    pub(crate) fn index_some(&mut self, next: usize, leaves: usize) -> Option<usize> {
        let to = self.nodes.len().min(next + leaves);
        (next..to).for_each(|number| self.index(number));
        (to < self.nodes.len()).then_some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::super::position;
    use super::*;
    use crate::checkpoint::notes::Notes;
    use crate::checkpoint::snapshot::Section;
    use crate::checkpoint::snapshot::held::{Blocks, Held};
    use crate::exchange::hash::{fold, join};
    use crate::exchange::router::Router;
    use crate::ids::ShardId;
    use crate::record::rows::decode;
    use crate::state::memory::{HeapMemory, Memory};
    use crate::state::slab::Slabs;
    use alloc::collections::BTreeMap;
    use alloc::sync::Arc;

    fn table() -> (KeyedTable<u64, u64>, Saver) {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let saver = Saver::new(&memory);
        (KeyedTable::new(Slabs::new(memory)), saver)
    }

    fn add(table: &mut KeyedTable<u64, u64>, key: u64, saver: &mut Saver) {
        let place = table.place(fold(key), saver, |k| *k == key, || (key, 0)).unwrap();
        table.change(place, |count| *count += 1);
    }

    fn rows_of(blocks: &Blocks) -> BTreeMap<u64, u64> {
        let mut rows = BTreeMap::new();
        for (id, bytes) in blocks.iter().filter(|(id, _)| id.table > 0) {
            let stretch = Stretch::of_chunk(id.chunk).unwrap();
            for row in decode::<(u64, u64)>(bytes).unwrap() {
                let (key, value) = row.unwrap();
                assert!(stretch.has(position(fold(key))), "a row of another stretch");
                assert!(rows.insert(key, value).is_none(), "key {key} twice");
            }
        }
        rows
    }

    /// One table against a map that is copied whole at each freeze, in chains of checkpoints, some of them given up.
    #[test]
    fn what_is_saved_is_what_was_frozen() {
        for seed in 0..20 {
            let (mut table, mut saver) = table();
            let (mut twin, mut frozen) = (BTreeMap::<u64, u64>::new(), BTreeMap::new());
            let (mut held, mut saving, mut completed, mut same) = (Held::default(), false, 0, 0);
            let mut counts = false;
            for draw in 0..60_000u64 {
                let chance = join(seed, draw);
                // Few keys are hot, and there are ever more of them: leaves grow and are divided in the middle of it all.
                let key = if chance.is_multiple_of(8) { chance >> 32 & 0x3fff } else { chance >> 32 & 0xf };
                if seed % 2 == 1 && chance >> 60 < 7 {
                    let removed = table.remove(fold(key), &mut saver, |k| *k == key).unwrap();
                    assert_eq!(removed, twin.remove_entry(&key));
                } else {
                    add(&mut table, key, &mut saver);
                    *twin.entry(key).or_insert(0) += 1;
                }
                if saving && chance >> 8 & 0x1f == 0 {
                    held.room = (chance >> 16) as usize % 16;
                    let mut step = saver.step(Section(0), &mut held).unwrap();
                    if step.begin() && table.sweep(&mut step).unwrap() && step.end() {
                        saving = false;
                        completed += 1;
                        counts = true;
                        same += core::mem::take(&mut held.same);
                        assert_eq!(rows_of(&held.blocks), frozen, "seed {seed}, draw {draw}");
                        held.before = core::mem::take(&mut held.blocks);
                    }
                }
                let give_up = saving && chance >> 24 & 0xfff == 0;
                if (!saving && chance >> 40 & 0x7f == 0) || give_up {
                    saver.freeze(completed == 0 || chance >> 50 & 7 == 0, core::mem::take(&mut counts));
                    table.freeze(&mut saver);
                    saver.set_header(Notes::default());
                    held.blocks.clear();
                    held.same = 0;
                    frozen.clone_from(&twin);
                    saving = true;
                }
            }
            assert!(
                completed > 20 && same > 20,
                "seed {seed}: {completed} checkpoints, {same} pieces the same"
            );
        }
    }

    /// Rows of tables on some shards, saved, come back on others, each once; and move from one to another and back.
    #[test]
    fn rows_come_back_on_any_shards_and_move_among_them() {
        for (keys, before, after, groups) in [
            (0, 1, 2, 64),
            (50, 3, 2, 64),
            (9_000, 2, 3, 1_000),
            (100_000, 2, 3, 1_024),
            (60_000, 8, 1, 8),
            (60_000, 1, 5, 5_000),
        ] {
            let (old, new) = (Router::new(groups, before), Router::new(groups, after));
            let mut saved = Vec::new();
            for shard in 0..before {
                let (mut table, mut saver) = table();
                for key in (0..keys).filter(|key| old.shard(fold(*key)) == ShardId(shard)) {
                    add(&mut table, key, &mut saver);
                }
                saver.freeze(true, false);
                table.freeze(&mut saver);
                saver.set_header(Notes::default());
                let mut held = Held { room: usize::MAX, ..Held::default() };
                loop {
                    let mut step = saver.step(Section(0), &mut held).unwrap();
                    if step.begin() && table.sweep(&mut step).unwrap() && step.end() {
                        break;
                    }
                }
                saved.push(held.blocks);
            }
            let mut all = BTreeMap::new();
            let mut tables = Vec::new();
            for shard in 0..after {
                let (mut table, mut saver) = table();
                let owned = Owned::new(&new, ShardId(shard));
                for (id, bytes) in saved.iter().flatten().filter(|(id, _)| id.table > 0) {
                    let stretch = Stretch::of_chunk(id.chunk).unwrap();
                    if !owned.has_none(stretch) {
                        table.restore(stretch, decode(bytes).unwrap(), &owned, &mut saver).unwrap();
                    }
                }
                table.iter().for_each(|(key, value)| {
                    assert_eq!((new.shard(fold(*key)), *value), (ShardId(shard), 1));
                    assert!(all.insert(*key, ()).is_none());
                });
                // Some are looked up, so that some leaves have an index and others have none.
                for key in (0..keys / 7).filter(|key| new.shard(fold(*key)) == ShardId(shard)) {
                    add(&mut table, key, &mut saver);
                }
                tables.push((table, saver));
            }
            assert_eq!(all.len() as u64, keys);
            if after == 1 {
                continue;
            }
            // All key groups go one shard on.
            let moved: Vec<u16> = new.owners().iter().map(|owner| (owner + 1) % after).collect();
            let moved = Router::with_owners(moved);
            let mut under_way: Vec<Vec<(u32, Vec<u8>)>> = (0..after).map(|_| Vec::new()).collect();
            for (from, (table, saver)) in tables.iter_mut().enumerate() {
                for to in (0..after).filter(|to| usize::from(*to) != from) {
                    let going = Owned::new(&moved, ShardId(to));
                    let mut next = Some(0);
                    while let Some(leaf) = next {
                        let blocks = &mut under_way[usize::from(to)];
                        next = table
                            .extract(leaf, &going, saver, &mut |chunk, _, bytes| blocks.push((chunk, bytes)))
                            .unwrap();
                    }
                }
                assert!(table.is_empty());
            }
            for (to, blocks) in under_way.into_iter().enumerate() {
                let (table, saver) = &mut tables[to];
                let owned = Owned::new(&moved, ShardId(to as u16));
                for (chunk, bytes) in blocks {
                    let stretch = Stretch::of_chunk(chunk).unwrap();
                    table.restore(stretch, decode(&bytes).unwrap(), &owned, saver).unwrap();
                }
            }
            for key in 0..keys {
                let (table, _) = &mut tables[usize::from(moved.shard(fold(key)).0)];
                let value = if key < keys / 7 { 2 } else { 1 };
                assert_eq!(table.find(fold(key), |k| *k == key), Some(&value), "key {key} of {keys}");
            }
        }
    }
}
