//! Entries of a table in the order of their keys, a bounded step at a time.
//!
//! A closing window sorts its keys once. The order-preserving prefix of each key is sorted by a least-significant-digit radix
//! sort that skips the digits in which all prefixes agree (three passes for 100,000 dense keys); keys whose prefixes are equal
//! are then put right by comparison: few of them at once, many in small blocks that are then merged. Every phase can stop
//! after any number of rows and go on later.

use crate::bounds::{ORDER_CHEAP_ROWS, ORDER_SMALL_ROWS};
use crate::fault::OutOfMemory;
use crate::record::key::Key;
use crate::state::keyed::{KeyedTable, Place};
use crate::state::memory::{Buf, Memory};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cmp::Ordering;

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 6;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// A prefix and the entry that it came from.
type Row = (u64, Place);

enum Phase {
    Collect {
        leaf: usize,
        entry: usize,
    },
    Extend,
    Count {
        digit: usize,
        at: usize,
    },
    Radix {
        digit: usize,
        at: usize,
    },
    Ties {
        at: usize,
    },
    /// Rows `from` to `to` have equal prefixes; blocks of [`ORDER_SMALL_ROWS`] of them are sorted before `at`.
    Blocks {
        from: usize,
        to: usize,
        at: usize,
    },
    /// Blocks of `width` are sorted, and being merged in pairs into the spare rows.
    Merge(Merge),
    /// All pairs have been merged, and the rows before `at` are back.
    Back {
        from: usize,
        to: usize,
        width: usize,
        at: usize,
    },
    Sorted,
}

/// Where a merge is: in the pair that begins at `pair`, with rows from `left` and `right` on still to come.
#[derive(Clone, Copy)]
struct Merge {
    from: usize,
    to: usize,
    width: usize,
    pair: usize,
    left: usize,
    right: usize,
}

impl Merge {
    fn begin(from: usize, to: usize, width: usize) -> Self {
        Merge { from, to, width, pair: from, left: from, right: to.min(from + width) }
    }
}

/// Compares the keys of two rows. A call through a pointer, so that what sorts is compiled once and not for each type of key: only rows whose
/// prefixes are equal are compared.
type Compare<'a> = &'a dyn Fn(&Row, &Row) -> Ordering;

/// The sorter of one operator; its buffers are reused from window to window.
pub(crate) struct Order {
    rows: Buf<Row>,
    spare: Buf<Row>,
    counts: Box<[u32; BUCKETS]>,
    differing: u64,
    phase: Phase,
    /// The most rows since it was last [looked](Self::tidy).
    most: usize,
}

impl Order {
    pub(crate) fn new(memory: &Arc<dyn Memory>) -> Self {
        Order {
            rows: Buf::new(memory.clone()),
            spare: Buf::new(memory.clone()),
            counts: Box::new([0; BUCKETS]),
            differing: 0,
            phase: Phase::Sorted,
            most: 0,
        }
    }

    /// A while ends: gives the buffers back if they were hardly used in it. Nobody may need what was sorted any more.
    pub(crate) fn tidy(&mut self) {
        if core::mem::take(&mut self.most) < self.rows.capacity().max(self.spare.capacity()) / 4 {
            self.rows.release();
            self.spare.release();
        }
    }

    /// Begins to sort what is in the table of the following [steps](Self::step), which must not change until the result has been read.
    pub(crate) fn begin(&mut self) {
        self.rows.clear();
        self.differing = 0;
        self.phase = Phase::Collect { leaf: 0, entry: 0 };
    }

    /// Goes on for about `budget` rows, which is reduced by what was used; true when sorted.
    pub(crate) fn step<K: Key, V>(
        &mut self,
        table: &KeyedTable<K, V>,
        budget: &mut usize,
    ) -> Result<bool, OutOfMemory> {
        let key = |row: &Row| table.entry(row.1).0;
        let compare: Compare<'_> = &|a, b| key(a).cmp(key(b));
        while *budget > 0 {
            match self.phase {
                Phase::Collect { leaf, entry } => self.collect(table, leaf, entry, budget)?,
                Phase::Extend => self.extend(budget)?,
                Phase::Count { digit, at } => self.count(digit, at, budget),
                Phase::Radix { digit, at } => self.scatter(digit, at, budget),
                Phase::Ties { at } => self.ties(compare, at, budget),
                Phase::Blocks { from, to, at } => self.blocks(compare, from, to, at, budget),
                Phase::Merge(merge) => self.merge(compare, merge, budget),
                Phase::Back { from, to, width, at } => self.back(from, to, width, at, budget),
                Phase::Sorted => return Ok(true),
            }
        }
        Ok(matches!(self.phase, Phase::Sorted))
    }

    /// The sorted entries.
    pub(crate) fn rows(&self) -> &[Row] {
        debug_assert!(matches!(self.phase, Phase::Sorted));
        &self.rows
    }

    fn collect<K: Key, V>(
        &mut self,
        table: &KeyedTable<K, V>,
        leaf: usize,
        from: usize,
        budget: &mut usize,
    ) -> Result<(), OutOfMemory> {
        if leaf < table.leaves() {
            self.most = self.most.max(table.len());
            let missing = table.len() - self.rows.len();
            self.rows.reserve(missing)?;
            let (first, entries) = table.leaf(leaf);
            let to = entries.len().min(from + *budget);
            for (at, (key, _)) in entries[from..to].iter().enumerate() {
                let prefix = key.prefix();
                self.rows.push((prefix, first + (from + at) as Place));
                self.differing |= prefix ^ self.rows[0].0;
            }
            // A leaf without entries takes time as well.
            *budget = budget.saturating_sub((to - from).max(1));
            self.phase = if to < entries.len() {
                Phase::Collect { leaf, entry: to }
            } else {
                Phase::Collect { leaf: leaf + 1, entry: 0 }
            };
        } else if self.rows.len() <= ORDER_SMALL_ROWS {
            self.rows.sort_unstable_by_key(|row| row.0);
            self.phase = Phase::Ties { at: 0 };
        } else {
            self.phase = Phase::Extend;
        }
        Ok(())
    }

    /// Makes the spare rows as many as the rows: the window before may have had fewer, or more.
    fn extend(&mut self, budget: &mut usize) -> Result<(), OutOfMemory> {
        self.spare.truncate(self.rows.len());
        let missing = self.rows.len() - self.spare.len();
        self.spare.reserve(missing)?;
        let now = missing.min(*budget * ORDER_CHEAP_ROWS);
        (0..now).for_each(|_| self.spare.push((0, 0)));
        *budget = budget.saturating_sub(now.div_ceil(ORDER_CHEAP_ROWS));
        if now == missing {
            self.phase = Phase::Count { digit: 0, at: 0 };
        }
        Ok(())
    }

    fn digit(prefix: u64, digit: usize) -> usize {
        (prefix >> (digit as u32 * DIGIT_BITS)) as usize & (BUCKETS - 1)
    }

    /// Counts how many rows go into each bucket, if the digit differs at all, and turns the counts into places.
    fn count(&mut self, digit: usize, from: usize, budget: &mut usize) {
        if digit == DIGITS {
            self.phase = Phase::Ties { at: 0 };
            return;
        }
        if Self::digit(self.differing, digit) == 0 {
            self.phase = Phase::Count { digit: digit + 1, at: 0 };
            return;
        }
        if from == 0 {
            self.counts.fill(0);
        }
        let to = self.rows.len().min(from + *budget * ORDER_CHEAP_ROWS);
        self.rows[from..to].iter().for_each(|row| self.counts[Self::digit(row.0, digit)] += 1);
        *budget = budget.saturating_sub((to - from).div_ceil(ORDER_CHEAP_ROWS));
        self.phase = if to < self.rows.len() {
            Phase::Count { digit, at: to }
        } else {
            let mut start = 0;
            self.counts.iter_mut().for_each(|count| start += core::mem::replace(count, start));
            Phase::Radix { digit, at: 0 }
        };
    }

    fn scatter(&mut self, digit: usize, from: usize, budget: &mut usize) {
        let to = self.rows.len().min(from + *budget);
        for row in &self.rows[from..to] {
            let at = &mut self.counts[Self::digit(row.0, digit)];
            self.spare[*at as usize] = *row;
            *at += 1;
        }
        *budget = budget.saturating_sub(to - from);
        self.phase = if to < self.rows.len() {
            Phase::Radix { digit, at: to }
        } else {
            core::mem::swap(&mut self.rows, &mut self.spare);
            Phase::Count { digit: digit + 1, at: 0 }
        };
    }

    /// Puts keys with equal prefixes in order, by comparing them.
    fn ties(&mut self, compare: Compare<'_>, from: usize, budget: &mut usize) {
        let mut at = from;
        while at < self.rows.len() && at - from < *budget * ORDER_CHEAP_ROWS {
            let prefix = self.rows[at].0;
            let run = self.rows[at..].iter().take_while(|row| row.0 == prefix).count();
            if run > ORDER_SMALL_ROWS {
                *budget = budget.saturating_sub((at - from).div_ceil(ORDER_CHEAP_ROWS));
                self.phase = Phase::Blocks { from: at, to: at + run, at };
                return;
            }
            if run > 1 {
                self.rows[at..at + run].sort_unstable_by(compare);
            }
            at += run;
        }
        *budget = budget.saturating_sub((at - from).div_ceil(ORDER_CHEAP_ROWS));
        self.phase = if at < self.rows.len() { Phase::Ties { at } } else { Phase::Sorted };
    }
}

impl Order {
    /// Sorts blocks of rows with equal prefixes, each by itself.
    fn blocks(&mut self, compare: Compare<'_>, from: usize, to: usize, mut at: usize, budget: &mut usize) {
        while at < to && *budget > 0 {
            let end = to.min(at + ORDER_SMALL_ROWS);
            self.rows[at..end].sort_unstable_by(compare);
            // A row is compared some eight times.
            *budget = budget.saturating_sub((end - at) * 8);
            at = end;
        }
        self.phase = if at < to {
            Phase::Blocks { from, to, at }
        } else {
            Phase::Merge(Merge::begin(from, to, ORDER_SMALL_ROWS))
        };
    }

    /// Merges pairs of sorted blocks.
    fn merge(&mut self, compare: Compare<'_>, mut merge: Merge, budget: &mut usize) {
        while merge.pair < merge.to {
            let middle = merge.to.min(merge.pair + merge.width);
            let end = merge.to.min(middle + merge.width);
            while merge.left < middle || merge.right < end {
                if *budget == 0 {
                    self.phase = Phase::Merge(merge);
                    return;
                }
                *budget -= 1;
                let out = merge.left + merge.right - middle;
                let left = merge.right >= end
                    || merge.left < middle
                        && compare(&self.rows[merge.left], &self.rows[merge.right]).is_le();
                let next = if left { &mut merge.left } else { &mut merge.right };
                self.spare[out] = self.rows[*next];
                *next += 1;
            }
            (merge.pair, merge.left, merge.right) = (end, end, merge.to.min(end + merge.width));
        }
        let Merge { from, to, width, .. } = merge;
        self.phase = Phase::Back { from, to, width, at: from };
    }

    /// Takes merged rows back from the spare ones.
    fn back(&mut self, from: usize, to: usize, width: usize, at: usize, budget: &mut usize) {
        let end = to.min(at + *budget * ORDER_CHEAP_ROWS);
        self.rows[at..end].copy_from_slice(&self.spare[at..end]);
        *budget = budget.saturating_sub((end - at).div_ceil(ORDER_CHEAP_ROWS));
        self.phase = match 2 * width {
            _ if end < to => Phase::Back { from, to, width, at: end },
            width if width < to - from => Phase::Merge(Merge::begin(from, to, width)),
            _ => Phase::Ties { at: to },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::saver::Saver;
    use crate::state::memory::HeapMemory;
    use crate::state::slab::Slabs;
    use alloc::string::String;
    use alloc::vec::Vec;

    /// Sorts the keys, then half of them, then all again, as the windows of one operator do.
    fn check<K: Key + core::fmt::Debug>(keys: Vec<K>, step: usize) {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let (mut table, mut order) = (KeyedTable::new(Slabs::new(memory.clone())), Order::new(&memory));
        let mut saver = Saver::new(&memory);
        for keys in [&keys[..], &keys[..keys.len() / 2], &keys[..]] {
            while !table.clear_some(&mut 1, true) {}
            for key in keys {
                table.place(key.hash(), &mut saver, |k| k == key, || (key.clone(), ())).unwrap();
            }
            order.begin();
            while !order.step(&table, &mut step.clone()).unwrap() {}
            let sorted: Vec<_> = order.rows().iter().map(|row| table.entry(row.1).0.clone()).collect();
            let mut twin = keys.to_vec();
            twin.sort();
            twin.dedup();
            assert!(sorted == twin, "{} keys in steps of {step}", keys.len());
        }
    }

    #[test]
    fn sorts_as_a_comparison_sort_does_in_any_steps() {
        for step in [1, 7, 1_000, usize::MAX / 16] {
            for count in [0u64, 1, 2, 255, 257, 3_000] {
                check((0..count).map(crate::exchange::hash::fold).collect(), step);
                check((0..count).map(|i| crate::exchange::hash::fold(i) as i32).collect(), step);
                check((0..count).rev().collect(), step);
                check(
                    (0..count).map(|i| alloc::format!("the same long prefix {i}")).collect::<Vec<String>>(),
                    step,
                );
                check((0..count).map(|i| (i % 3, crate::exchange::hash::fold(i))).collect(), step);
            }
        }
    }
}
