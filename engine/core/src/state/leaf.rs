//! A leaf of a keyed table: the keys of one stretch of the hash space, in one slab.
//!
//! ```text
//!  slab      | line | line | ... | entry | entry | ...          one allocation
//!  line      | 16 tags of 2 bytes | 16 entry numbers of 2 bytes |    a cache line; home by some bits of the hash, further lines if it is full
//!  entry     | key, value |                                     in the order in which the keys came
//! ```
//!
//! Entries are dense. A leaf is small enough that whatever is done to all of it is a bounded step: it is indexed again, divided, copied or
//! dropped at once. This file holds the unsafe code that indexes lines and entries; who may call what when is said at each function.

use crate::bounds::LEAF_BYTES_MAX;
use crate::fault::OutOfMemory;
#[cfg(test)]
use crate::state::line::way_of;
use crate::state::line::{FREE, Line, Mixed, WAYS, insert, matching, renumber, take_out};
use crate::state::slab::{Slab, Slabs};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// Keys of a leaf for each of its lines: beyond it, too many lines are full.
const KEYS_PER_LINE: usize = 14;
/// Lines of a leaf at most.
const LINES_MAX: usize = (1 << ENTRY_BITS) / WAYS;
/// Pieces of a leaf.
pub(super) const PIECES: usize = KEYS_PER_LINE;
/// A place in a table is a leaf and an entry; the entry has this many bits.
pub(super) const ENTRY_BITS: u32 = 12;

/// A leaf. It does not own its slab: the table [gives it back](Leaf::release).
pub(super) struct Leaf<K, V> {
    slab: Option<Slab>,
    /// Lines, a power of two; 0 without storage.
    lines: u32,
    len: u32,
    capacity: u32,
    /// Ways of the index that can only be used again when it is made anew.
    gone: u32,
    /// Whether the index holds all entries: it need not while rows come back or go, until somebody looks something up.
    pub(super) indexed: bool,
    _entries: PhantomData<(K, V)>,
}

impl<K, V> Leaf<K, V> {
    /// Entries of a leaf at most.
    pub(super) const ENTRIES_MAX: usize = {
        let size = if size_of::<(K, V)>() == 0 { 1 } else { size_of::<(K, V)>() };
        let fit = LEAF_BYTES_MAX / size;
        let most = LINES_MAX * KEYS_PER_LINE;
        let fit = if fit > most { most } else { fit };
        // Whole lines.
        let lines = fit / KEYS_PER_LINE;
        let lines = if lines == 0 { 1 } else { 1 << lines.ilog2() };
        lines * KEYS_PER_LINE
    };

    /// A leaf is saved in pieces of so many entries, a power of two; there are [`PIECES`] of them.
    pub(super) const PIECE: usize = Self::ENTRIES_MAX / PIECES;

    pub(super) const fn new() -> Self {
        const { assert!(align_of::<(K, V)>() <= 64, "entries must not be aligned beyond a cache line") };
        Leaf { slab: None, lines: 0, len: 0, capacity: 0, gone: 0, indexed: true, _entries: PhantomData }
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// The number of an entry, from where it is.
    #[inline(always)]
    pub(super) fn number_of(&self, entry: *const (K, V)) -> usize {
        (entry as usize - self.first_entry() as usize)
            / if size_of::<(K, V)>() == 0 { 1 } else { size_of::<(K, V)>() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    /// The first line, and the number of lines less one. Dangling without storage.
    pub(super) fn base(&self) -> (*mut u8, u32) {
        match &self.slab {
            Some(slab) => (slab.as_ptr(), self.lines - 1),
            None => (core::ptr::null_mut(), 0),
        }
    }

    fn lines(&mut self) -> &mut [Line] {
        match &self.slab {
            // SAFETY: the slab begins with so many lines. Its memory came zeroed, and any bytes are a line.
            Some(slab) => unsafe {
                core::slice::from_raw_parts_mut(slab.as_ptr().cast(), self.lines as usize)
            },
            None => &mut [],
        }
    }

    fn first_entry(&self) -> *mut (K, V) {
        match &self.slab {
            // SAFETY: the entries follow the lines in the same slab.
            Some(slab) => unsafe { slab.as_ptr().add(self.lines as usize * size_of::<Line>()).cast() },
            None => core::ptr::NonNull::dangling().as_ptr(),
        }
    }

    #[inline(always)]
    pub(super) fn entries(&self) -> &[(K, V)] {
        // SAFETY: the first `len` entries are initialised.
        unsafe { core::slice::from_raw_parts(self.first_entry(), self.len as usize) }
    }

    #[inline(always)]
    pub(super) fn entries_mut(&mut self) -> &mut [(K, V)] {
        // SAFETY: as above, and borrowed mutably through `self`.
        unsafe { core::slice::from_raw_parts_mut(self.first_entry(), self.len as usize) }
    }

    /// Storage for at least `keys` keys, as much as a leaf may have at most. The entries stay, the index has to be made anew.
    pub(super) fn reserve(&mut self, keys: usize, slabs: &Slabs) -> Result<(), OutOfMemory> {
        let keys = keys.min(Self::ENTRIES_MAX);
        if keys <= self.capacity() {
            return Ok(());
        }
        let lines = keys.div_ceil(KEYS_PER_LINE).next_power_of_two();
        self.move_to(lines, lines * KEYS_PER_LINE, slabs)
    }

    /// Gives back what the entries do not need, if that is a smaller slab; if the slab is another, the index has to be made anew.
    pub(super) fn fit(&mut self, slabs: &Slabs) -> Result<(), OutOfMemory> {
        if self.len == 0 {
            self.release(slabs);
            return Ok(());
        }
        let lines = self.len().div_ceil(KEYS_PER_LINE).next_power_of_two();
        let needed = Slabs::bytes_for(Self::bytes(lines, self.len()));
        if self.slab.as_ref().is_some_and(|slab| needed < slab.len()) {
            self.move_to(lines, self.len(), slabs)?;
        }
        Ok(())
    }

    /// Storage for half as many keys as are there again, if that is less than there is. As for [`reserve`](Self::reserve).
    pub(super) fn shrink(&mut self, slabs: &Slabs) -> Result<(), OutOfMemory> {
        let keys = (self.len() + self.len() / 2).min(Self::ENTRIES_MAX);
        let lines = keys.div_ceil(KEYS_PER_LINE).next_power_of_two();
        if lines >= self.lines as usize { Ok(()) } else { self.move_to(lines, lines * KEYS_PER_LINE, slabs) }
    }

    const fn bytes(lines: usize, keys: usize) -> usize {
        lines * size_of::<Line>() + keys * size_of::<(K, V)>()
    }

    /// Moves the entries into a slab for so many lines and at least so many keys.
    fn move_to(&mut self, lines: usize, keys: usize, slabs: &Slabs) -> Result<(), OutOfMemory> {
        let slab = slabs.take(Self::bytes(lines, keys))?;
        // A slab may be somewhat larger than what was asked for.
        let size = if size_of::<(K, V)>() == 0 { 1 } else { size_of::<(K, V)>() };
        let capacity = ((slab.len() - lines * size_of::<Line>()) / size).clamp(keys, lines * KEYS_PER_LINE);
        let entries: *mut (K, V) = slab.as_ptr().wrapping_add(lines * size_of::<Line>()).cast();
        // SAFETY: both slabs have room for `len` entries, and they are two.
        unsafe { core::ptr::copy_nonoverlapping(self.first_entry(), entries, self.len as usize) };
        let old = self.slab.replace(slab);
        (self.lines, self.capacity, self.indexed) = (lines as u32, capacity as u32, false);
        if let Some(old) = old {
            slabs.free(old);
        }
        Ok(())
    }

    /// Makes the index of all entries.
    pub(super) fn index(&mut self, hash: impl Fn(&K) -> u64) {
        (self.indexed, self.gone) = (true, 0);
        self.lines().fill(FREE);
        let (first, len) = (self.first_entry(), self.len as usize);
        // SAFETY: the first `len` entries are initialised, and lie behind the lines.
        let entries = unsafe { core::slice::from_raw_parts(first, len) };
        let lines = self.lines();
        let mask = lines.len().wrapping_sub(1);
        // How many ways of a line are used is counted beside the lines: an entry is put there without reading its line.
        let mut used = [0u8; LINES_MAX];
        let mut full = Vec::new();
        for (entry, (key, _)) in entries.iter().enumerate() {
            let mixed = Mixed::new(hash(key));
            let at = mixed.home() & mask;
            match lines[at].tags.get_mut(usize::from(used[at])) {
                Some(tag) => {
                    *tag = mixed.tag();
                    lines[at].entries[usize::from(used[at])] = entry as u16;
                    used[at] += 1;
                }
                None => full.push((mixed, entry as u16)),
            }
        }
        full.into_iter().for_each(|(mixed, entry)| insert(lines, mixed, entry));
    }

    /// The entry whose key is `same`, if there is one.
    #[inline]
    pub(super) fn find(&self, mixed: Mixed, same: impl Fn(&K) -> bool) -> Option<usize> {
        debug_assert!(self.indexed, "a leaf that is not indexed");
        let (base, mask) = self.base();
        if base.is_null() {
            return None;
        }
        let mut at = mixed.home() & mask as usize;
        loop {
            // SAFETY: the mask keeps the number below that of the lines.
            let line = unsafe { &*base.cast::<Line>().add(at) };
            let mut found = matching(&line.tags, mixed.tag());
            while found != 0 {
                let entry = usize::from(line.entries[found.trailing_zeros() as usize & (WAYS - 1)]);
                if same(&self.entries()[entry].0) {
                    return Some(entry);
                }
                found &= found - 1;
            }
            if line.tags[WAYS - 1] == 0 {
                return None;
            }
            at = (at + 1) & mask as usize;
        }
    }

    /// What finding an entry costs: lines that are looked at, and entries before it whose tag is the same.
    #[cfg(test)]
    pub(super) fn looks(&self, mixed: Mixed, same: impl Fn(&K) -> bool) -> usize {
        let (_, mask) = self.base();
        let compared = core::cell::Cell::new(0);
        let found = self.find(mixed, |key| {
            compared.set(compared.get() + 1);
            same(key)
        });
        let Some(entry) = found else { unreachable!("the key is there") };
        let home = mixed.home() & mask as usize;
        let line = way_of(self.all_lines(), mixed, entry as u16).0;
        (line.wrapping_sub(home) & mask as usize) + compared.get()
    }

    #[cfg(test)]
    fn all_lines(&self) -> &[Line] {
        let (base, _) = self.base();
        // SAFETY: the slab begins with so many lines.
        unsafe { core::slice::from_raw_parts(base.cast(), self.lines as usize) }
    }

    /// Bytes of its slab.
    #[cfg(test)]
    pub(super) fn slab_bytes(&self) -> usize {
        self.slab.as_ref().map_or(0, Slab::len)
    }

    /// Adds an entry that is not there yet, for which there is room, and returns its number.
    pub(super) fn push(&mut self, mixed: Mixed, key: K, value: V) -> usize {
        debug_assert!(self.indexed, "a leaf that is not indexed");
        let entry = self.write(key, value);
        insert(self.lines(), mixed, entry as u16);
        entry
    }

    /// As [`push`](Self::push), where a lookup that has just been made has found a free way. Returns where the entry is.
    #[inline(always)]
    pub(super) fn push_at(&mut self, mixed: Mixed, free: &Free, key: K, value: V) -> *mut (K, V) {
        let entry = self.write(key, value);
        let line = &mut self.lines()[free.0];
        let way = matching(&line.tags, 0).trailing_zeros() as usize;
        line.tags[way] = mixed.tag();
        line.entries[way] = entry as u16;
        // SAFETY: the entry has just been written.
        unsafe { self.first_entry().add(entry) }
    }

    /// Takes an entry away; the last one takes its number. The index must be there, and is, but may have become slow: then it has to be made
    /// anew, and true is returned.
    pub(super) fn remove(&mut self, entry: usize, hash: impl Fn(&K) -> u64) -> ((K, V), bool) {
        debug_assert!(self.indexed, "a leaf that is not indexed");
        let last = self.len() - 1;
        let mixed = |leaf: &Self, entry: usize| Mixed::new(hash(&leaf.entries()[entry].0));
        let (gone, moved) = (mixed(self, entry), mixed(self, last));
        let left = take_out(self.lines(), gone, entry as u16);
        if entry != last {
            renumber(self.lines(), moved, last as u16, entry as u16);
        }
        self.gone += u32::from(left);
        self.entries_mut().swap(entry, last);
        self.len -= 1;
        // SAFETY: the entry is initialised, and `len` no longer counts it.
        let row = unsafe { self.first_entry().add(last).read() };
        // As many as there are lines leave a free way for each key that there is room for.
        (row, self.gone >= self.lines)
    }

    /// Adds an entry that is not there yet, for which there is room; the index has to be made anew.
    pub(super) fn append(&mut self, key: K, value: V) {
        self.write(key, value);
        self.indexed = false;
    }

    /// Adds entries that are not there yet, as many as there is room for; the index has to be made anew.
    pub(super) fn extend<E>(&mut self, rows: &mut impl Iterator<Item = Result<(K, V), E>>) -> Result<(), E> {
        let (first, mut len) = (self.first_entry(), self.len);
        self.indexed = false;
        let outcome = loop {
            if len == self.capacity {
                break Ok(());
            }
            match rows.next() {
                // SAFETY: the number is below the capacity.
                Some(Ok(row)) => unsafe { first.add(len as usize).write(row) },
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
            len += 1;
        };
        self.len = len;
        outcome
    }

    fn write(&mut self, key: K, value: V) -> usize {
        assert!(self.len < self.capacity, "a key without room");
        let entry = self.len as usize;
        // SAFETY: the number is below the capacity.
        unsafe { self.first_entry().add(entry).write((key, value)) };
        self.len += 1;
        entry
    }

    /// Moves the entries for which `goes` is true to the end of `to`, which must have room for them; both keep their order, and have to be
    /// indexed again.
    pub(super) fn divide(&mut self, to: &mut Self, goes: impl Fn(&K) -> bool) {
        let (from, len) = (self.first_entry(), self.len as usize);
        let mut stays = 0;
        // A panic of user code (a hash) may leak entries and nothing else: the length counts none of them meanwhile.
        self.len = 0;
        for entry in 0..len {
            // SAFETY: every entry is read once, and written at most once to a place that was read before, or to one behind all of `to`'s.
            unsafe {
                let row = from.add(entry);
                if goes(&(*row).0) {
                    assert!(to.len < to.capacity, "a leaf that is divided into one without room");
                    to.first_entry().add(to.len as usize).write(row.read());
                    to.len += 1;
                } else {
                    core::ptr::copy(row, from.add(stays), 1);
                    stays += 1;
                }
            }
        }
        self.len = stays as u32;
        (self.indexed, to.indexed) = (false, false);
    }

    /// Drops the entries and keeps the storage.
    pub(super) fn clear(&mut self) {
        let entries: *mut [(K, V)] = self.entries_mut();
        self.len = 0;
        // SAFETY: exactly these entries were initialised, and `len` no longer counts them.
        unsafe { entries.drop_in_place() };
        self.lines().fill(FREE);
        (self.indexed, self.gone) = (true, 0);
    }

    /// Drops the entries and gives the slab back.
    pub(super) fn release(&mut self, slabs: &Slabs) {
        let entries: *mut [(K, V)] = self.entries_mut();
        (self.len, self.lines, self.capacity, self.gone, self.indexed) = (0, 0, 0, 0, true);
        // SAFETY: exactly these entries were initialised, and `len` no longer counts them.
        unsafe { entries.drop_in_place() };
        if let Some(slab) = self.slab.take() {
            slabs.free(slab);
        }
    }
}

/// What the first of three passes over a batch has found: a line that was asked for.
#[derive(Clone, Copy)]
pub(super) struct Probe {
    pub(super) base: *mut u8,
    pub(super) mask: u32,
    pub(super) leaf: u32,
}

impl Probe {
    /// The line that a hash begins at.
    #[inline(always)]
    pub(super) fn line(self, mixed: Mixed) -> *const u8 {
        self.base.wrapping_add((mixed.home() & self.mask as usize) * size_of::<Line>())
    }

    /// The first entry whose tag is that of the hash; it is very likely the right one, and its key decides. If there is none, where the key can
    /// be put.
    ///
    /// # Safety
    /// The probe must be of a leaf that has storage, is indexed, and has not got other storage since.
    #[inline(always)]
    pub(super) unsafe fn locate<K, V>(self, mixed: Mixed) -> Result<*mut (K, V), Free> {
        let mask = self.mask as usize;
        let mut at = mixed.home() & mask;
        loop {
            // SAFETY: the caller's word; the mask keeps the number below that of the lines.
            let line = unsafe { &*self.base.cast::<Line>().add(at) };
            let found = matching(&line.tags, mixed.tag());
            if found != 0 {
                let entry = line.entries[found.trailing_zeros() as usize & (WAYS - 1)];
                let first = self.base.wrapping_add((mask + 1) * size_of::<Line>()).cast::<(K, V)>();
                return Ok(first.wrapping_add(usize::from(entry)));
            }
            if line.tags[WAYS - 1] == 0 {
                return Err(Free(at));
            }
            at = (at + 1) & mask;
        }
    }
}

/// The line of a leaf in which there is a free way for a key that a lookup has not found.
pub(super) struct Free(usize);
