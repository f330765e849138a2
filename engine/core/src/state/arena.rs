//! Keyed tables side by side, each under a number of the operator's own: the panes of a window, the generations of a deduplication.
//!
//! An arena is for state to which much is added and which is then let go of at once. A table that was let go of is emptied in bounded steps,
//! leaf by leaf, keeps its leaves, and serves again: where one window is like the next nothing is asked for and nothing is divided.
//!
//! 1. *open*: under a number, for lookups;
//! 2. *kept*: let go of, but a checkpoint that is under way still needs the rows;
//! 3. *stale*: nobody needs the rows, and they are not cleared yet;
//! 4. *spare*: empty, for whoever opens the next; given back when nobody has for a while.
//!
//! ```text
//!  header   | tables | number | table | ... | blocks |     for each open table with rows; all numbers are those of Notes
//!  table    rows (key, value), in blocks whose chunks say their stretch of the hash space
//! ```

use crate::bounds::{FIRE_ROWS_MAX, MOVE_ROWS_MAX, PANE_ROWS, SKIP_ROWS};
use crate::checkpoint::notes::{Noted, Notes};
use crate::checkpoint::owned::Owned;
use crate::checkpoint::saver::Saver;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::exchange::hash::fold;
use crate::fault::Fault;
use crate::record::key::Key;
use crate::record::rows::decode;
use crate::record::{self, Record, struct_record};
use crate::state::keyed::{KeyedTable, Stretch};
use crate::state::memory::Memory;
use crate::state::slab::Slabs;
use crate::state::store::{Extraction, State};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rkyv::{Archive, Deserialize, Serialize};

/// Leaves that are given an index in a step, if nothing needs it.
const INDEX_LEAVES: usize = 8;

/// Tables that are let go of before it is counted anew how many were open at a time.
const COUNTED: usize = 256;

/// What a digest is taken of.
#[derive(Archive, Serialize, Deserialize)]
struct Row<K, V> {
    number: i64,
    key: K,
    value: V,
}
struct_record!(Row<K, V> { number: i64, key: K, value: V });

/// A table, and what it needs to be changed.
pub(crate) type ToChange<'a, K, V> = (&'a mut KeyedTable<K, V>, &'a mut Saver);

/// The first table, to be changed, and the second one.
pub(crate) type FirstTwo<'a, K, V> = (ToChange<'a, K, V>, &'a KeyedTable<K, V>);

/// See the [module](self).
pub struct Arena<K, V> {
    /// In the order of their numbers.
    open: VecDeque<(i64, KeyedTable<K, V>)>,
    kept: Vec<KeyedTable<K, V>>,
    stale: Vec<KeyedTable<K, V>>,
    spare: Vec<KeyedTable<K, V>>,
    /// The fewest that were spare at any time since it was last [looked](State::tidy), how many of them are to go back, and the one that does.
    unused: usize,
    leaving: usize,
    going: Option<KeyedTable<K, V>>,
    /// As many tables are kept in all as were open at a time of late: the most since the last count but one of [`COUNTED`] that were let go of,
    /// and since the last.
    most: (usize, usize),
    counted: usize,
    saver: Saver,
    slabs: Slabs,
    /// The tables of the earlier shard whose blocks are coming, each with its number.
    announced: Vec<(u32, i64)>,
    /// Where giving leaves an index goes on: a table and a leaf of it.
    unindexed: Option<(usize, usize)>,
    /// Tables that may be without rows since some came or left: so many of the first are still to be looked at.
    untidy: Option<usize>,
}

impl<K: Key, V: Record + Clone> Arena<K, V> {
    /// An arena without tables.
    pub(crate) fn new(memory: &Arc<dyn Memory>, slabs: Slabs) -> Self {
        Arena {
            open: VecDeque::new(),
            kept: Vec::new(),
            stale: Vec::new(),
            spare: Vec::new(),
            unused: 0,
            leaving: 0,
            going: None,
            most: (0, 0),
            counted: 0,
            saver: Saver::new(memory),
            slabs,
            announced: Vec::new(),
            unindexed: None,
            untidy: None,
        }
    }

    /// Open tables.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// The number of the table at place `at` among the open ones.
    #[inline]
    pub(crate) fn number(&self, at: usize) -> Option<i64> {
        self.open.get(at).map(|(number, _)| *number)
    }

    /// The place of table `number`, or where it would be.
    #[inline]
    pub(crate) fn find(&self, number: i64) -> Result<usize, usize> {
        self.open.binary_search_by_key(&number, |(number, _)| *number)
    }

    /// How many open tables come first for which `before` is true; it must be true for those alone.
    pub(crate) fn partition_point(&self, before: impl Fn(i64) -> bool) -> usize {
        self.open.partition_point(|(number, _)| before(*number))
    }

    /// The place of table `number`, opened if need be.
    pub(crate) fn open(&mut self, number: i64) -> usize {
        self.find(number).unwrap_or_else(|at| {
            let mut table = self.spare.pop().unwrap_or_else(|| KeyedTable::new(self.slabs.clone()));
            self.unused = self.unused.min(self.spare.len());
            self.leaving = self.leaving.min(self.unused);
            table.begin(&self.saver);
            self.open.insert(at, (number, table));
            self.most.1 = self.most.1.max(self.open.len());
            at
        })
    }

    /// The table at a place.
    #[inline]
    pub(crate) fn table(&self, at: usize) -> &KeyedTable<K, V> {
        &self.open[at].1
    }

    /// The table at a place, and what it needs to be changed.
    #[inline]
    pub(crate) fn table_mut(&mut self, at: usize) -> ToChange<'_, K, V> {
        (&mut self.open[at].1, &mut self.saver)
    }

    /// The first table and the second one, if there are two.
    pub(crate) fn first_two(&mut self) -> Option<FirstTwo<'_, K, V>> {
        let mut tables = self.open.iter_mut();
        let ((_, first), (_, second)) = (tables.next()?, tables.next()?);
        Some(((first, &mut self.saver), second))
    }

    /// Lets go of the first table.
    pub(crate) fn retire_first(&mut self) {
        if let Some((_, table)) = self.open.pop_front() {
            self.retire(table);
        }
    }

    /// Lets go of all tables.
    pub(crate) fn retire_all(&mut self) {
        while !self.open.is_empty() {
            self.retire_first();
        }
    }

    /// Has the memory of all tables given back that are not open, spare ones included, as they are cleared.
    pub(crate) fn give_back(&mut self) {
        self.stale.append(&mut self.spare);
        (self.unused, self.leaving) = (0, 0);
        self.most = (0, self.open.len());
    }

    /// Gives some of the storage back of spare tables that nobody has needed for a while, as much as is a bounded step; true when nothing is left of
    /// it. A while `ends`, and another begins.
    pub(crate) fn give_back_unused(&mut self, ends: bool) -> bool {
        if ends {
            (self.leaving, self.unused) = (self.unused, self.spare.len());
        }
        let mut budget = FIRE_ROWS_MAX;
        while budget > 0 {
            match &mut self.going {
                Some(table) => {
                    if table.clear_some(&mut budget, false) {
                        self.going = None;
                    }
                }
                None if self.leaving > 0 => {
                    budget = budget.saturating_sub(PANE_ROWS);
                    self.leaving -= 1;
                    // The last one is the next that is opened: it is at hand.
                    self.going = Some(self.spare.swap_remove(0));
                    self.unused = self.unused.min(self.spare.len());
                }
                None => break,
            }
        }
        self.leaving == 0 && self.going.is_none()
    }

    fn retire(&mut self, table: KeyedTable<K, V>) {
        self.counted += 1;
        if self.counted == COUNTED {
            self.counted = 0;
            self.most = (self.most.1, self.open.len());
        }
        if table.is_awaited() {
            self.kept.push(table);
        } else {
            self.stale.push(table);
        }
    }

    /// Whether no table is left to be cleared.
    pub(crate) fn is_clean(&self) -> bool {
        self.stale.is_empty()
    }

    /// Clears tables that were let go of, within `budget` rows' worth of time.
    pub(crate) fn clear_some(&mut self, budget: &mut usize) {
        while let Some(table) = self.stale.last_mut().filter(|_| *budget > 0) {
            let keep = self.open.len() + self.spare.len() < self.most.0.max(self.most.1);
            if !table.clear_some(budget, keep) {
                return;
            }
            self.spare.extend(self.stale.pop().filter(|_| keep));
        }
    }

    fn header<'a>(tables: impl ExactSizeIterator<Item = &'a (i64, u32)>) -> Notes {
        let mut header = Notes::default();
        header.number(tables.len() as u64);
        for (number, table) in tables {
            header.number(*number as u64);
            header.number((*table).into());
        }
        header
    }
}

impl<K: Key, V: Record + Clone> State for Arena<K, V> {
    fn freeze(&mut self, full: bool, last_counts: bool) {
        self.saver.freeze(full, last_counts);
        // What the checkpoint before did not come to.
        self.kept.iter_mut().for_each(KeyedTable::forget);
        self.stale.append(&mut self.kept);
        let mut tables = Vec::new();
        for (number, table) in &mut self.open {
            match table.freeze(&mut self.saver) {
                0 => {}
                frozen => tables.push((*number, frozen)),
            }
        }
        self.saver.set_header(Self::header(tables.iter()));
    }

    fn save(&mut self, section: Section, out: &mut dyn SnapshotOut) -> Result<bool, Fault> {
        let Some(mut step) = self.saver.step(section, out) else { return Ok(true) };
        if !step.begin() {
            return Ok(false);
        }
        // What nobody else needs goes first: its memory is wanted.
        while let Some(table) = self.kept.last_mut() {
            if !table.sweep(&mut step)? {
                return Ok(false);
            }
            self.stale.extend(self.kept.pop());
        }
        for (_, table) in &mut self.open {
            if !table.sweep(&mut step)? {
                return Ok(false);
            }
        }
        Ok(step.end())
    }

    fn wants(&self, block: BlockId, owned: &Owned<'_>) -> bool {
        block.table == 0 || Stretch::of_chunk(block.chunk).is_none_or(|stretch| !owned.has_none(stretch))
    }

    fn restore(&mut self, block: BlockId, bytes: &[u8], owned: &Owned<'_>) -> Result<(), Fault> {
        if block.table == 0 {
            let mut header = Noted::new(bytes);
            self.announced.clear();
            for _ in 0..header.number()? {
                let number = header.number()? as i64;
                self.announced.push((header.number()? as u32, number));
            }
            self.announced.sort_unstable();
            return Ok(());
        }
        let announced = self.announced.binary_search_by_key(&block.table, |(table, _)| *table);
        let (Ok(announced), Some(stretch)) = (announced, Stretch::of_chunk(block.chunk)) else {
            return Err(Fault::Restore { message: format!("{block:?} was not announced") });
        };
        let at = self.open(self.announced[announced].1);
        self.untidy = Some(self.open.len());
        let (table, saver) = self.table_mut(at);
        table.restore(stretch, decode::<(K, V)>(bytes)?, owned, saver)?;
        Ok(())
    }

    fn restored(&mut self) -> Result<bool, Fault> {
        let Some(left) = &mut self.untidy else { return Ok(true) };
        // All of them once around, so that they come to be in their order again. Those without rows are let go of: they live on other shards.
        let tables = (*left).min(MOVE_ROWS_MAX);
        *left -= tables;
        for _ in 0..tables {
            match self.open.pop_front() {
                Some((_, table)) if table.is_empty() => self.retire(table),
                Some((number, mut table)) => {
                    table.settle();
                    self.open.push_back((number, table));
                }
                None => {}
            }
        }
        if self.untidy.is_some_and(|left| left > 0) {
            return Ok(false);
        }
        self.announced.clear();
        (self.untidy, self.unindexed) = (None, Some((0, 0)));
        Ok(true)
    }

    fn extract(&mut self, moving: &Owned<'_>, step: &mut Extraction) -> Result<bool, Fault> {
        while let Some((number, table)) = self.open.get_mut(step.at.0) {
            let named = step.at.0 as u32 + 1;
            let (before, mut next) = (table.len(), Some(step.at.1));
            while let Some(leaf) = next {
                if !step.has_time() {
                    step.at.1 = leaf;
                    return Ok(false);
                }
                // A block is announced in the step in which it leaves, if it is the first of its table there.
                let mut is_announced = table.len() < before;
                next = table.extract(leaf, moving, &mut self.saver, &mut |chunk, rows, bytes| {
                    if !core::mem::replace(&mut is_announced, true) {
                        step.header(&Self::header([(*number, named)].iter()));
                    }
                    step.block(named, chunk, rows, bytes);
                })?;
                step.count(SKIP_ROWS);
            }
            step.at = (step.at.0 + 1, 0);
        }
        self.untidy = Some(self.open.len());
        Ok(true)
    }

    fn catch_up(&mut self) -> bool {
        let Some((at, leaf)) = self.unindexed else { return true };
        self.unindexed = match self.open.get_mut(at) {
            None => None,
            Some((_, table)) => match table.index_some(leaf, INDEX_LEAVES) {
                Some(leaf) => Some((at, leaf)),
                None => Some((at + 1, 0)),
            },
        };
        self.unindexed.is_none()
    }

    fn tidy(&mut self, ends: bool) -> bool {
        self.give_back_unused(ends)
    }

    fn digest(&self) -> u64 {
        let rows = self.open.iter().flat_map(|(number, table)| table.iter().map(|row| (*number, row)));
        // A sum, so that hash order does not show.
        rows.fold(fold(0), |sum, (number, (key, value))| {
            let row = Row { number, key: key.clone(), value: value.clone() };
            sum.wrapping_add(record::digest(&row))
        })
    }
}

#[cfg(test)]
mod tests;
