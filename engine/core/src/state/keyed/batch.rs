//! Many keys looked up at once, so that their cache misses overlap.
//!
//! 1. *probe*: what the directory says of each key's leaf, and the line of its index that is asked for;
//! 2. *locate*: the entry in that line, which is asked for, or a new one where there is none;
//! 3. *visit*: the keys are compared, and the values handed over.
//!
//! What is in its way (a full leaf, one without an index, a key whose tag another key has) is done at the end, one by one. This file holds
//! the unsafe code that goes from a probe to an entry.

use super::{KeyedTable, owned_by};
use crate::bounds::BATCH;
use crate::checkpoint::saver::Saver;
use crate::fault::Fault;
use crate::record::Record;
use crate::record::heap::{owned, owns};
use crate::record::key::Key;
use crate::state::leaf::Probe;
use crate::state::line::Mixed;
use crate::state::prefetch::prefetch;

impl<K: Key, V: Record> KeyedTable<K, V> {
    /// Looks a batch of keys up, at most [`BATCH`] of them, and calls `visit` with the value of each, and with true if it has just been made, by
    /// `make`. Their cache misses overlap; records of one key are visited in their order.
    ///
    /// # Errors
    /// When the memory limit refuses what new keys need, or a row refuses to be archived that a checkpoint needs as it was; some of the others
    /// may have been visited.
    #[inline(always)]
    pub(crate) fn upsert_batch(
        &mut self,
        hashes: &[u64],
        saver: &mut Saver,
        is: impl Fn(usize, &K) -> bool,
        make: impl Fn(usize) -> (K, V),
        mut visit: impl FnMut(usize, &mut V, bool),
    ) -> Result<(), Fault> {
        assert!(hashes.len() <= BATCH, "a batch of {} keys", hashes.len());
        if self.directory.is_empty() {
            self.begin_directory();
        }
        let mut probes = [Probe { base: core::ptr::null_mut(), mask: 0, leaf: 0 }; BATCH];
        let mut rows = [core::ptr::null_mut::<(K, V)>(); BATCH];
        for (probe, hash) in probes.iter_mut().zip(hashes) {
            // SAFETY: a position has so many first bits as the directory has places for.
            *probe = unsafe { *self.directory.get_unchecked(self.slot(*hash)) };
            prefetch(probe.line(Mixed::new(*hash)));
        }
        let (mut missing, mut made, mut came) = (0u64, 0u64, 0);
        for (number, ((row, probe), hash)) in rows.iter_mut().zip(&probes).zip(hashes).enumerate() {
            if probe.base.is_null() {
                missing |= 1 << number;
                continue;
            }
            // SAFETY: the directory shows leaves that have storage and are indexed, and none has got other storage since.
            match unsafe { probe.locate::<K, V>(Mixed::new(*hash)) } {
                Ok(found) => {
                    prefetch(found);
                    *row = found;
                }
                Err(free) => {
                    let node = &mut self.nodes[probe.leaf as usize];
                    if node.leaf.is_full() {
                        missing |= 1 << number;
                        continue;
                    }
                    let new = make(number);
                    came += owned_by(&new);
                    // What is frozen are the entries before this one.
                    node.catch_up(self.epoch, self.since);
                    *row = node.leaf.push_at(Mixed::new(*hash), &free, new.0, new.1);
                    self.len += 1;
                    made |= 1 << number;
                }
            }
        }
        if const { owns::<(K, V)>() } {
            self.heap.add(came);
        }
        if self.epoch != 0 {
            self.touch_batch(&rows[..hashes.len()], &probes, saver)?;
        }
        let (mut before, mut after) = (0, 0);
        for (number, row) in rows[..hashes.len()].iter().enumerate() {
            if missing & 1 << number == 0 {
                // SAFETY: the entry is one of its leaf's, which has got no other storage since, and no two are borrowed at a time.
                let (found, value) = unsafe { &mut **row };
                if is(number, found) {
                    before += owned(value);
                    visit(number, value, made & 1 << number != 0);
                    after += owned(value);
                } else {
                    missing |= 1 << number;
                }
            }
        }
        if const { owns::<V>() } {
            self.heap.change(before, after);
        }
        while missing != 0 {
            let number = missing.trailing_zeros() as usize;
            missing &= missing - 1;
            let before = self.len;
            let place = self.place(hashes[number], saver, |k| is(number, k), || make(number))?;
            let made = self.len > before;
            self.change(place, |value| visit(number, value, made));
        }
        Ok(())
    }

    /// The rows of a batch are about to change, or have just been added.
    #[inline(never)]
    fn touch_batch(
        &mut self,
        rows: &[*mut (K, V)],
        probes: &[Probe],
        saver: &mut Saver,
    ) -> Result<(), Fault> {
        for (row, probe) in rows.iter().zip(probes).filter(|(row, _)| !row.is_null()) {
            let leaf = probe.leaf as usize;
            let entry = self.nodes[leaf].leaf.number_of(*row);
            self.touch(leaf, entry, saver)?;
        }
        Ok(())
    }
}
