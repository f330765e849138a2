//! A flat hash table: an index of cache lines over entries that lie one after the other.
//!
//! Made for one pattern: look up many keys at once, add to what is found, empty everything at once. A lookup is split
//! into three passes over a batch, so that its cache misses overlap: [`prefetch`](Lookups::prefetch) the line of the
//! index, [`locate`](Lookups::locate) the entry there, and [`visit`](Lookups::visit) them.
//!
//! ```text
//!  index     | 8 tags of 4 bytes | 8 entry numbers of 4 bytes |   one cache line; home = the hash, further lines if
//! it is full
//!  entries   | key, value | key, value | ...                      in the order in which the keys came
//! ```
//!
//! All tags of a line are compared at once: where in its line a key landed is a coin toss that no branch predictor
//! wins. Entries are dense, so the memory of a table is that of its keys and values and 10 to 18 bytes for each, and
//! going through them is sequential. The index is at most 7/8 full; there is no removing of single keys.
//!
//! A table can be saved while it goes on changing: see `watch.rs`. Entries never move, so that a part of
//! them is the same part from one checkpoint to the next. Once it is watched, whoever changes an entry says so; until
//! then nothing is asked of anybody. This file holds the unsafe code that indexes lines and entries.

mod building;
mod spares;

use self::building::{Built, Deal, SHARE_LINES, STEP_KEYS};
pub(crate) use self::spares::Spares;
use crate::bounds::BATCH;
use crate::checkpoint::owns::Owns;
use crate::checkpoint::saver::{Saver, Step};
use crate::checkpoint::watch::Watch;
use crate::fault::{Fault, OutOfMemory};
use crate::record::Record;
use crate::record::key::Key;
use crate::record::rows;
use crate::state::memory::{Buf, Memory, Zeroable};
use crate::state::prefetch::prefetch;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Keys in one line of the index.
const WAYS: usize = 8;
const LINES_MIN: usize = 8;

/// One cache line of the index.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line {
    /// Parts of hashes, never 0; 0 is free. The used ones come first.
    tags: [u32; WAYS],
    entries: [u32; WAYS],
}

/// A line without keys.
const FREE: Line = Line { tags: [0; WAYS], entries: [0; WAYS] };

// SAFETY: integers.
unsafe impl Zeroable for Line {}

/// The part of a hash that the index keeps: bit 0 says that there is one, the others choose the line and tell keys
/// apart.
#[inline(always)]
const fn tag(hash: u64) -> u32 {
    hash as u32 | 1
}

#[inline(always)]
const fn home(tag: u32, mask: usize) -> usize {
    (tag >> 1) as usize & mask
}

/// A bit for each way whose tag is `tag`.
#[inline(always)]
fn matching(tags: &[u32; WAYS], tag: u32) -> u32 {
    tags.iter().enumerate().fold(0, |found, (way, &t)| found | u32::from(t == tag) << way)
}

/// Entries of a table, and a table of its others.
pub(crate) type Parted<'a, K, V> = (Vec<&'a (K, V)>, Table<K, V>);

/// How entries that are missing in the index are being put there.
enum Building {
    /// Not yet.
    No,
    /// All entries at once.
    Dealing(Box<Deal>),
    /// One by one: few keys, or hashes that are hardly any.
    Singly,
}

/// Keys of type `K`, each with a `V`.
pub struct Table<K, V> {
    lines: Buf<Line>,
    entries: Buf<(K, V)>,
    /// Lines, from the first on, that still have to be emptied.
    stale: usize,
    /// The last entries, which were restored and are not in the index yet.
    missing: usize,
    building: Building,
    watch: Watch<(K, V)>,
    memory: Arc<dyn Memory>,
}

impl<K, V> Table<K, V> {
    /// An empty table without storage.
    pub fn new(memory: Arc<dyn Memory>) -> Self {
        let (lines, entries) = (Buf::new(memory.clone()), Buf::new(memory.clone()));
        Table {
            lines,
            entries,
            stale: 0,
            missing: 0,
            building: Building::No,
            watch: Watch::new(memory.clone()),
            memory,
        }
    }

    /// Keys in the table.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the table has asked for memory yet.
    pub fn has_storage(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Makes room for `additional` keys.
    ///
    /// # Errors
    /// When the memory limit refuses it; the content stays as it was.
    #[inline]
    pub fn reserve(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        debug_assert_eq!(self.stale, 0, "a table that is being cleared");
        self.entries.reserve(additional)?;
        // No more than the entries that there is room for, so neither the sum nor the product wraps.
        let keys = self.entries.len() + additional;
        if keys * 8 > self.lines.len() * WAYS * 7 { self.grow(lines_for(keys)) } else { Ok(()) }
    }

    #[cold]
    fn grow(&mut self, lines: usize) -> Result<(), OutOfMemory> {
        let mut grown: Buf<Line> = Buf::new(self.memory.clone());
        grown.zero(lines)?;
        each_pair(&self.lines, |tag, entry| insert(&mut grown, tag, entry));
        self.lines = grown;
        Ok(())
    }

    /// A view for a number of lookups, with everything that does not change between them at hand.
    #[inline(always)]
    pub fn lookups(&mut self) -> Lookups<'_, K, V> {
        let mask = self.lines.len().wrapping_sub(1);
        assert!(mask != usize::MAX, "lookups without reserve");
        assert_eq!(self.stale | self.missing, 0, "a table that is being cleared or restored");
        Lookups { lines: &mut self.lines, mask, entries: &mut self.entries, watch: &mut self.watch }
    }

    /// The value of the key with `hash` for which `same` is true; if there is none, the key is made by `key` and the
    /// value by `value`.
    ///
    /// # Panics
    /// When no room was [reserved](Self::reserve).
    pub fn upsert(
        &mut self,
        hash: u64,
        same: impl Fn(&K) -> bool,
        key: impl FnOnce() -> K,
        value: impl FnOnce() -> V,
    ) -> &mut V {
        let entry = self.place(hash, same, key, value);
        &mut self.entries[entry].1
    }

    /// As [`upsert`](Self::upsert), and returns the number of the entry.
    #[inline]
    pub(crate) fn place(
        &mut self,
        hash: u64,
        same: impl Fn(&K) -> bool,
        key: impl FnOnce() -> K,
        value: impl FnOnce() -> V,
    ) -> usize {
        self.number(hash, same).unwrap_or_else(|| {
            let entry = self.entries.len();
            assert_room(&self.lines, entry);
            self.entries.push((key(), value()));
            insert(&mut self.lines, tag(hash), entry as u32);
            entry
        })
    }

    /// The value of entry number `at`, in order to change it.
    pub(crate) fn value_mut(&mut self, at: usize) -> &mut V {
        &mut self.entries[at].1
    }

    /// The value of the key with `hash` for which `same` is true, if there is one.
    pub fn find(&self, hash: u64, same: impl Fn(&K) -> bool) -> Option<&V> {
        self.number(hash, same).map(|entry| &self.entries[entry].1)
    }

    fn number(&self, hash: u64, same: impl Fn(&K) -> bool) -> Option<usize> {
        debug_assert_eq!(self.missing, 0, "a table that is being restored");
        let (tag, mask) = (tag(hash), self.lines.len().checked_sub(1)?);
        let mut at = home(tag, mask);
        loop {
            let line = &self.lines[at];
            let mut found = matching(&line.tags, tag);
            while found != 0 {
                let entry = line.entries[found.trailing_zeros() as usize] as usize;
                if same(&self.entries[entry].0) {
                    return Some(entry);
                }
                found &= found - 1;
            }
            if line.tags[WAYS - 1] == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// Asks the processor to have the index line of `hash` at hand soon.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        prefetch(self.lines.as_ptr().wrapping_add(home(tag(hash), self.lines.len().wrapping_sub(1))));
    }

    /// Entry number `at`.
    #[inline(always)]
    pub fn entry(&self, at: usize) -> (&K, &V) {
        let (key, value) = &self.entries[at];
        (key, value)
    }

    /// Asks the processor to have entry number `at` at hand soon.
    #[inline(always)]
    pub fn prefetch_entry(&self, at: usize) {
        prefetch(self.entries.as_ptr().wrapping_add(at));
    }

    /// Every key with its value, in the order in which the keys came.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// Forgets every key and keeps the storage. Costs a pass over the index: see [`clear_some`](Self::clear_some).
    pub fn clear(&mut self) {
        while !self.clear_some(usize::MAX) {}
    }

    /// Forgets every key, and empties up to `lines` lines of the index; true when all are. Keys or values that own
    /// something are dropped first, as many of them in a call. Between the first call and that the table must not be
    /// used.
    pub fn clear_some(&mut self, lines: usize) -> bool {
        assert!(!self.is_awaited(), "a table that a checkpoint still needs");
        if !self.entries.is_empty() {
            self.stale = self.lines.len();
            self.missing = 0;
            self.building = Building::No;
            let owns = core::mem::needs_drop::<(K, V)>();
            self.entries.truncate(if owns { self.entries.len().saturating_sub(lines) } else { 0 });
            if !self.entries.is_empty() {
                return false;
            }
        }
        let from = self.stale.saturating_sub(lines);
        self.lines.refill_with_zeros(from..self.stale);
        self.stale = from;
        from == 0
    }
}

impl<K, V> Table<K, V> {
    /// The table is empty, and begins to be used.
    pub(crate) fn begin(&mut self, saver: &Saver) {
        self.watch.begin(saver);
    }

    /// Whether whoever changes an entry has to say so.
    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.is_on()
    }

    /// Whether a checkpoint still needs the entries: the table must not be cleared.
    pub(crate) fn is_awaited(&self) -> bool {
        self.watch.is_awaited()
    }

    /// The checkpoint was given up.
    pub(crate) fn forget(&mut self) {
        self.watch.forget();
    }

    /// See [`Watch::freeze`].
    pub(crate) fn freeze(&mut self, saver: &mut Saver) -> u32 {
        self.watch.freeze(self.entries.len(), saver)
    }
}

impl<K: Key, V> Table<K, V> {
    /// Makes room for `additional` keys that are to be restored.
    pub(crate) fn expect(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        self.entries.reserve(additional)
    }

    /// Keys that were restored and cannot be looked up yet. As long as there are any, none can, and none may be added.
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }

    /// All rows have been restored: those that are not in the index yet are put there.
    pub(crate) fn index(&mut self) -> Result<(), OutOfMemory> {
        while !self.index_some()? {}
        Ok(())
    }

    /// As [`index`](Self::index), a bounded part of it; true when nothing is missing any more.
    pub(crate) fn index_some(&mut self) -> Result<bool, OutOfMemory> {
        debug_assert_eq!(self.stale, 0, "a table that is being cleared");
        if self.missing == 0 {
            return Ok(true);
        }
        match &mut self.building {
            Building::No => {
                let keys = self.entries.len();
                // A table goes on growing, as far as there is room for its entries.
                let lines = lines_for(self.entries.capacity().min(keys + keys / 8)).max(self.lines.len());
                if self.missing > keys - self.missing && lines > SHARE_LINES {
                    self.missing = keys;
                    if self.lines.len() < lines {
                        self.lines = Buf::new(self.memory.clone());
                    }
                    self.lines.zero(lines)?;
                    self.building = Building::Dealing(Box::new(Deal::new(lines)));
                } else {
                    if self.lines.len() < lines {
                        self.grow(lines)?;
                    }
                    self.building = Building::Singly;
                }
            }
            Building::Dealing(deal) => match deal.step(&mut self.lines, &self.entries, &self.memory)? {
                Built::Partly => {}
                Built::Wholly => self.missing = 0,
                Built::Crowded => {
                    self.lines.zero(self.lines.len())?;
                    self.building = Building::Singly;
                }
            },
            Building::Singly => self.insert_some(),
        }
        if self.missing == 0 {
            self.building = Building::No;
        }
        Ok(self.missing == 0)
    }

    /// Puts some of the missing entries into the index one by one.
    fn insert_some(&mut self) {
        let mut tags = [0; BATCH];
        let first = self.entries.len() - self.missing;
        let behind = self.entries.len().min(first + STEP_KEYS);
        for from in (first..behind).step_by(BATCH) {
            let batch = &self.entries[from..behind.min(from + BATCH)];
            for ((key, _), tag) in batch.iter().zip(&mut tags) {
                let hash = key.hash();
                self.prefetch(hash);
                *tag = self::tag(hash);
            }
            for (number, tag) in tags[..batch.len()].iter().enumerate() {
                insert(&mut self.lines, *tag, (from + number) as u32);
            }
        }
        self.missing -= behind - first;
    }
}

impl<K: Record, V: Record> Table<K, V> {
    /// The value of entry number `at` is about to change, or the entry is new.
    pub(crate) fn touch(&mut self, at: usize, saver: &mut Saver) -> Result<(), Fault> {
        let entries = &self.entries;
        self.watch.touch(at, saver, |range, into| rows::encode(into, &entries[range]))
    }

    /// See [`Watch::sweep`].
    pub(crate) fn sweep(&mut self, step: &mut Step<'_>) -> Result<bool, Fault> {
        let entries = &self.entries;
        self.watch.sweep(step, |range, into| rows::encode(into, &entries[range]))
    }

    /// Adds those of `count` rows at most whose key's hash is owned, and returns how many. None of the keys may be in
    /// the table: a key has one entry, and lives on one shard. They can be looked up once the table is
    /// [indexed](Self::index).
    pub(crate) fn restore(
        &mut self,
        rows: impl Iterator<Item = Result<(K, V), Fault>>,
        count: usize,
        owns: Owns<'_>,
        saver: &mut Saver,
    ) -> Result<usize, Fault>
    where
        K: Key,
    {
        if let Building::Dealing(_) = core::mem::replace(&mut self.building, Building::No) {
            // Of an index that was begun without these rows nothing can be used.
            self.lines.zero(self.lines.len())?;
        }
        let before = self.entries.len();
        self.entries.reserve(count)?;
        let outcome: Result<(), Fault> = rows.take(count).try_for_each(|row| {
            let (key, value) = row?;
            if owns.key(|| key.hash()) {
                self.entries.push((key, value));
            }
            Ok(())
        });
        self.missing += self.entries.len() - before;
        outcome?;
        if self.is_watched() {
            (before..self.entries.len()).try_for_each(|at| self.touch(at, saver))?;
        }
        Ok(self.entries.len() - before)
    }

    /// The entries whose key's hash moves, and a table of the others in the same order.
    pub(crate) fn part(
        &self,
        moves: &dyn Fn(u64) -> bool,
        saver: &mut Saver,
    ) -> Result<Parted<'_, K, V>, Fault>
    where
        K: Key,
        V: Clone,
    {
        let stays = self.entries.iter().filter(|(key, _)| !moves(key.hash())).cloned().map(Ok);
        let mut table = Table::new(self.memory.clone());
        table.begin(saver);
        table.restore(stays, self.len(), Owns::All, saver)?;
        table.index()?;
        Ok((self.entries.iter().filter(|(key, _)| moves(key.hash())).collect(), table))
    }
}

/// Lines of an index that `keys` keys fill to 7/8 at most.
fn lines_for(keys: usize) -> usize {
    assert!(u32::try_from(keys).is_ok(), "a table of more than 2^32 keys");
    (keys * 8).div_ceil(7 * WAYS).next_power_of_two().max(LINES_MIN)
}

/// Hands over the pairs of tag and entry number of all lines.
#[inline(always)]
fn each_pair(lines: &[Line], mut take: impl FnMut(u32, u32)) {
    for line in lines {
        for (&tag, &entry) in line.tags.iter().zip(&line.entries).filter(|(tag, _)| **tag != 0) {
            take(tag, entry);
        }
    }
}

/// A key more than was reserved for would fill the index, in which the next search then never ends: there may be room for its entry, since
/// entries are reserved ahead.
#[inline(always)]
fn assert_room(lines: &[Line], entries: usize) {
    assert!(entries < lines.len() * (WAYS - 1), "a key without reserve");
}

/// Puts an entry that is not in the index yet into the first free way from its home on.
fn insert(lines: &mut [Line], tag: u32, entry: u32) {
    let mask = lines.len() - 1;
    let mut at = home(tag, mask);
    loop {
        let line = &mut lines[at];
        let free = matching(&line.tags, 0);
        if free != 0 {
            let way = free.trailing_zeros() as usize & (WAYS - 1);
            line.tags[way] = tag;
            line.entries[way] = entry;
            return;
        }
        at = (at + 1) & mask;
    }
}

/// A table during a number of lookups; made by [`Table::lookups`].
pub struct Lookups<'a, K, V> {
    lines: &'a mut [Line],
    mask: usize,
    entries: &'a mut Buf<(K, V)>,
    watch: &'a mut Watch<(K, V)>,
}

impl<K, V> Lookups<'_, K, V> {
    /// Asks the processor to have the index line of `hash` at hand soon.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        prefetch(self.lines.as_ptr().wrapping_add(home(tag(hash), self.mask)));
    }

    /// The number of the first entry whose tag is that of `hash`, asked for in memory; it is very likely the right
    /// one, and its key decides. If no entry has the tag, a new one is made.
    ///
    /// # Panics
    /// When no room was [reserved](Table::reserve).
    #[inline(always)]
    pub fn locate(&mut self, hash: u64, key: impl FnOnce() -> K, value: impl FnOnce() -> V) -> u32 {
        let tag = tag(hash);
        let mut at = home(tag, self.mask);
        loop {
            // SAFETY: the mask keeps the number below that of lines, of which there is at least one.
            let line = unsafe { self.lines.get_unchecked(at) };
            let found = matching(&line.tags, tag);
            if found != 0 {
                let entry = line.entries[found.trailing_zeros() as usize & (WAYS - 1)];
                prefetch(self.entries.as_ptr().wrapping_add(entry as usize));
                return entry;
            }
            if line.tags[WAYS - 1] == 0 {
                break;
            }
            at = (at + 1) & self.mask;
        }
        let entry = self.entries.len();
        assert_room(self.lines, entry);
        self.entries.push((key(), value()));
        insert(&mut self.lines[..=self.mask], tag, entry as u32);
        entry as u32
    }

    /// Calls `visit` with each of the entries that [`locate`](Self::locate) numbered, and with its place among `numbers`.
    ///
    /// # Panics
    /// When there is no entry of one of these numbers.
    #[inline(always)]
    pub fn visit(&mut self, numbers: &[u32], mut visit: impl FnMut(usize, &mut (K, V))) {
        let most = numbers.iter().fold(0, |most, number| most.max(*number));
        let len = self.entries.len();
        assert!(numbers.is_empty() || (most as usize) < len, "entry {most} of {len}");
        for (place, number) in numbers.iter().enumerate() {
            // SAFETY: the largest number is below that of the entries, as has just been seen, and nothing here takes any away.
            visit(place, unsafe { self.entries.get_unchecked_mut(*number as usize) });
        }
    }
}

impl<K: Record, V: Record> Lookups<'_, K, V> {
    /// Whether these entries have to be [touched](Self::touch) before they are changed.
    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.is_on()
    }

    /// These entries are about to change, or are new.
    pub(crate) fn touch(&mut self, numbers: &[u32], saver: &mut Saver) -> Result<(), Fault> {
        let entries = &self.entries;
        numbers.iter().try_for_each(|&at| {
            self.watch.touch(at as usize, saver, |range, into| rows::encode(into, &entries[range]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::fold;
    use crate::state::memory::HeapMemory;
    use alloc::collections::BTreeMap;
    use alloc::string::{String, ToString};

    fn table<K, V>() -> Table<K, V> {
        Table::new(Arc::new(HeapMemory))
    }

    #[test]
    fn agrees_with_a_map_through_growth_and_clearing() {
        let mut table = table::<u64, u64>();
        for round in 0..3u64 {
            let mut twin = BTreeMap::new();
            for i in 0..20_000u64 {
                let key = fold(i * 7 + round) % 5_000;
                // Hashes that collide in half their bits.
                let hash = fold(key) & 0xffff_0000_0000_0fff;
                table.reserve(1).unwrap();
                *table.upsert(hash, |k| *k == key, || key, || 0) += i;
                *twin.entry(key).or_insert(0) += i;
            }
            let found: BTreeMap<_, _> = table.iter().map(|(k, v)| (*k, *v)).collect();
            assert_eq!(found, twin);
            assert_eq!(table.len(), twin.len());
            for key in 0..6_000 {
                let hash = fold(key) & 0xffff_0000_0000_0fff;
                assert_eq!(table.find(hash, |k| *k == key), twin.get(&key));
            }
            table.clear();
            assert_eq!(table.iter().count(), 0);
            assert!(table.find(fold(1) & 0xffff_0000_0000_0fff, |_| true).is_none());
        }
    }

    /// The table has just these keys, in this order, and finds them, one by one and in batches.
    fn check(table: &mut Table<u64, u64>, keys: &[u64], others: &[u64]) {
        assert!(table.iter().map(|(key, _)| key).eq(keys));
        let finds =
            |table: &Table<u64, u64>, key: u64| table.find(key.hash(), |other| *other == key) == Some(&!key);
        assert!(keys.iter().all(|&key| finds(table, key)));
        assert!(!others.iter().any(|&key| finds(table, key)));
        let mut lookups = table.lookups();
        for (number, &key) in keys.iter().enumerate() {
            let at = lookups.locate(key.hash(), || unreachable!("{key} is there"), || 0);
            // The first of those with its tag; its own unless they are several.
            lookups.visit(&[at], |_, (found, _)| {
                assert!(at as usize == number || tag(found.hash()) == tag(key.hash()));
            });
        }
    }

    #[test]
    fn an_index_that_is_built_at_once_finds_every_key() {
        let all = |_: u64| true;
        // Of a hash of these the home is in the last of two shares: some go on in the first, or there are too many.
        let last = |hash: u64| hash & 1 << 13 != 0;
        type Choice<'a> = &'a dyn Fn(u64) -> bool;
        let choices = [
            (30_000, &all as Choice<'_>),
            (150_000, &all),
            (31_000, &last),
            (33_500, &last),
            (70_000, &last),
        ];
        for (keys, choice) in choices {
            let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
            let mut others = (0u64..).filter(|key| choice(key.hash()));
            let mut chosen: alloc::vec::Vec<u64> = others.by_ref().take(keys).collect();
            let others: alloc::vec::Vec<u64> = others.take(100).collect();
            // Announced not at all; or after the first rows and, as if those of another shard began there, in the
            // middle: too few, just so many, too many.
            let some = [(keys / 100, 1), (keys / 3, keys), (keys, 5), (3 * keys, 20)].map(Some);
            for announced in core::iter::once(None).chain(some) {
                let (mut table, mut saver) = (table::<u64, u64>(), Saver::new(&memory));
                for (number, some) in chosen.chunks(1_000).enumerate() {
                    let rows = some.iter().map(|&key| Ok((key, !key)));
                    assert_eq!(table.restore(rows, some.len(), Owns::All, &mut saver).unwrap(), some.len());
                    match announced {
                        Some((rest, _)) if number == 0 => table.expect(rest).unwrap(),
                        Some((_, rest)) if number == keys / 2_000 => {
                            table.expect(rest).unwrap();
                            // Begun too early.
                            (0..rest).take_while(|_| !table.index_some().unwrap()).for_each(drop);
                        }
                        _ => {}
                    }
                }
                table.index().unwrap();
                check(&mut table, &chosen, &others);
                // A few more rows go into what is there, and far more begin it anew.
                let far: alloc::vec::Vec<u64> = (1..=2 * keys as u64).map(|key| key << 40).collect();
                for more in [&others, &far] {
                    let rows = more.iter().map(|&key| Ok((key, !key)));
                    table.restore(rows, more.len(), Owns::All, &mut saver).unwrap();
                    table.index().unwrap();
                    chosen.extend(more);
                    check(&mut table, &chosen, &[]);
                }
                chosen.truncate(keys);
            }
        }
    }

    #[test]
    fn rows_that_came_back_in_part_are_forgotten_whole() {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let (mut table, mut saver) = (table::<u64, u64>(), Saver::new(&memory));
        let rows = |from: u64| (from..from + 50_000).map(|key| Ok((key, !key)));
        table.restore(rows(0), 50_000, Owns::All, &mut saver).unwrap();
        table.expect(50_000).unwrap();
        table.restore(rows(50_000), 50_000, Owns::All, &mut saver).unwrap();
        assert!((0..9).all(|_| !table.index_some().unwrap()) && table.missing() > 0);
        table.clear();
        let even = |hash: u64| hash.is_multiple_of(2);
        table.restore(rows(1_000), 50_000, Owns::Some(&even), &mut saver).unwrap();
        table.index().unwrap();
        let (here, elsewhere): (alloc::vec::Vec<u64>, alloc::vec::Vec<u64>) =
            (1_000..51_000).partition(|key: &u64| even(key.hash()));
        check(&mut table, &here, &elsewhere);
    }

    #[test]
    fn owned_keys_and_values_are_dropped_once() {
        let token = Arc::new(());
        let mut table = table::<String, Arc<()>>();
        for i in 0..1_000u64 {
            let key = (i % 300).to_string();
            table.reserve(1).unwrap();
            table.upsert(fold(i % 300), |k| *k == key, || key.clone(), || token.clone());
        }
        assert_eq!(Arc::strong_count(&token), 301);
        table.clear();
        assert_eq!(Arc::strong_count(&token), 1);
        table.upsert(1, |_| false, || "x".into(), || token.clone());
        drop(table);
        assert_eq!(Arc::strong_count(&token), 1);
    }

    #[test]
    #[should_panic(expected = "entry 67108864 of 1")]
    fn an_entry_that_there_is_not_panics() {
        let mut table = table::<u64, u64>();
        table.reserve(1).unwrap();
        let mut lookups = table.lookups();
        let there = lookups.locate(fold(7), || 7, || 0);
        lookups.visit(&[], |_, _| unreachable!());
        lookups.visit(&[there, 1 << 26, there], |_, _| unreachable!());
    }

    /// Room for entries is made ahead, so there can be some where there is none in the index: keys beyond what was reserved are refused by
    /// name, one by one and in batches, before the index is full and no search in it ends.
    #[test]
    fn keys_beyond_what_was_reserved_panic_and_never_hang() {
        extern crate std;
        use std::panic::{AssertUnwindSafe, catch_unwind};
        for reserved in [1, 16, 55, 56, 57, 112, 1_000, 3_584] {
            for batched in [false, true] {
                let mut table = table::<u64, u64>();
                for more in [reserved, 1] {
                    table.reserve(more).unwrap();
                    (0..more).for_each(|_| {
                        let key = table.len() as u64;
                        table.upsert(fold(key), |k| *k == key, || key, || 0);
                    });
                }
                let mut keys = table.len() as u64..1 << 20;
                let beyond = catch_unwind(AssertUnwindSafe(|| {
                    for key in keys.by_ref() {
                        if batched {
                            table.lookups().locate(fold(key), || key, || 0);
                        } else {
                            table.upsert(fold(key), |k| *k == key, || key, || 0);
                        }
                    }
                }));
                assert!(beyond.is_err(), "{reserved} reserved");
                // What was there, and what found room, is there still.
                let len = table.len() as u64;
                assert!(len > reserved as u64);
                assert!(batched || (0..len).all(|key| table.find(fold(key), |k| *k == key).is_some()));
            }
        }
    }

    #[test]
    fn batched_lookups_agree_with_single_ones_even_where_tags_collide() {
        let (mut batched, mut single) = (table::<u64, u64>(), table::<u64, u64>());
        // Only 64 different tags for 300 keys.
        let hash = |key: u64| fold(key % 64);
        for round in 0..100u64 {
            let keys: alloc::vec::Vec<u64> = (0..64).map(|i| fold(round * 64 + i) % 300).collect();
            batched.reserve(keys.len()).unwrap();
            let mut wrong = alloc::vec::Vec::new();
            let mut lookups = batched.lookups();
            let located: alloc::vec::Vec<u32> =
                keys.iter().map(|&key| lookups.locate(hash(key), || key, || 0)).collect();
            lookups.visit(&located, |place, (key, value)| match keys[place] {
                wanted if wanted == *key => *value += 1,
                wanted => wrong.push(wanted),
            });
            for key in wrong {
                *batched.upsert(hash(key), |k| *k == key, || key, || 0) += 1;
            }
            for key in keys {
                single.reserve(1).unwrap();
                *single.upsert(hash(key), |k| *k == key, || key, || 0) += 1;
            }
        }
        let all = |table: &Table<u64, u64>| table.iter().map(|(k, v)| (*k, *v)).collect::<BTreeMap<_, _>>();
        assert_eq!(all(&batched), all(&single));
    }
}
