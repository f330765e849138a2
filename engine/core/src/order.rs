//! Slots of a table in the order of their keys, a bounded step at a time.
//!
//! A closing window sorts its keys once. The order-preserving prefix of each key is sorted by a least-significant-digit radix
//! sort that skips the digits in which all prefixes agree (three passes for 100,000 dense keys); keys whose prefixes are equal
//! are then put right by comparison. Every phase can stop after any number of rows and go on later.

use crate::fault::OutOfMemory;
use crate::key::Key;
use crate::memory::{Buf, Memory};
use crate::table::Table;
use alloc::boxed::Box;
use alloc::sync::Arc;

const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 6;
const BUCKETS: usize = 1 << DIGIT_BITS;
/// At or below this many rows one comparison sort is cheaper than counting digits.
const SMALL: usize = 256;

/// A prefix and the slot that it came from.
type Row = (u64, u32);

enum Phase {
    Collect { slot: usize },
    Radix { digit: usize, at: usize },
    Ties { at: usize },
    Sorted,
}

/// The sorter of one operator; its buffers are reused from window to window.
pub(crate) struct Order {
    rows: Buf<Row>,
    spare: Buf<Row>,
    counts: Box<[[u32; BUCKETS]; DIGITS]>,
    differing: u64,
    phase: Phase,
}

impl Order {
    pub(crate) fn new(memory: &Arc<dyn Memory>) -> Self {
        Order {
            rows: Buf::new(memory.clone()),
            spare: Buf::new(memory.clone()),
            counts: Box::new([[0; BUCKETS]; DIGITS]),
            differing: 0,
            phase: Phase::Sorted,
        }
    }

    /// Begins to sort what is in `table`, which must not change until the result has been read.
    pub(crate) fn begin<K, V>(&mut self, table: &Table<K, V>) -> Result<(), OutOfMemory> {
        assert!(u32::try_from(table.capacity()).is_ok(), "a table of more than 2^32 slots");
        self.rows.clear();
        self.rows.reserve(table.len())?;
        self.differing = 0;
        self.phase = Phase::Collect { slot: 0 };
        Ok(())
    }

    /// Goes on for about `budget` rows, which is reduced by what was used; true when sorted.
    pub(crate) fn step<K: Key, V>(
        &mut self,
        table: &Table<K, V>,
        budget: &mut usize,
    ) -> Result<bool, OutOfMemory> {
        while *budget > 0 {
            match self.phase {
                Phase::Collect { slot } => self.collect(table, slot, budget)?,
                Phase::Radix { digit, at } => self.scatter(digit, at, budget),
                Phase::Ties { at } => self.ties(table, at, budget),
                Phase::Sorted => return Ok(true),
            }
        }
        Ok(matches!(self.phase, Phase::Sorted))
    }

    /// The sorted slots.
    pub(crate) fn rows(&self) -> &[Row] {
        debug_assert!(matches!(self.phase, Phase::Sorted));
        &self.rows
    }

    fn collect<K: Key, V>(
        &mut self,
        table: &Table<K, V>,
        from: usize,
        budget: &mut usize,
    ) -> Result<(), OutOfMemory> {
        // An empty slot costs a fraction of a row.
        let to = table.capacity().min(from + *budget * 4);
        for at in from..to {
            if let Some((key, _)) = table.slot(at) {
                let prefix = key.prefix();
                self.rows.push((prefix, at as u32));
                self.differing |= prefix ^ self.rows[0].0;
            }
        }
        *budget = budget.saturating_sub((to - from).div_ceil(4));
        if to < table.capacity() {
            self.phase = Phase::Collect { slot: to };
        } else if self.rows.len() <= SMALL {
            self.rows.sort_unstable_by_key(|row| row.0);
            self.phase = Phase::Ties { at: 0 };
        } else {
            self.spare.clear();
            self.spare.zero(self.rows.len())?;
            self.phase = Phase::Radix { digit: 0, at: 0 };
        }
        Ok(())
    }

    fn digit(prefix: u64, digit: usize) -> usize {
        (prefix >> (digit as u32 * DIGIT_BITS)) as usize & (BUCKETS - 1)
    }

    fn scatter(&mut self, digit: usize, from: usize, budget: &mut usize) {
        if digit == DIGITS {
            self.phase = Phase::Ties { at: 0 };
            return;
        }
        if Self::digit(self.differing, digit) == 0 {
            self.phase = Phase::Radix { digit: digit + 1, at: 0 };
            return;
        }
        let counts = &mut self.counts[digit];
        if from == 0 {
            // Counting is one pass over 16-byte rows, a fifth of the cost of moving them; it is not divided.
            counts.fill(0);
            self.rows.iter().for_each(|row| counts[Self::digit(row.0, digit)] += 1);
            let mut start = 0;
            counts.iter_mut().for_each(|count| start += core::mem::replace(count, start));
        }
        let to = self.rows.len().min(from + *budget);
        for row in &self.rows[from..to] {
            let at = &mut counts[Self::digit(row.0, digit)];
            self.spare[*at as usize] = *row;
            *at += 1;
        }
        *budget = budget.saturating_sub(to - from);
        self.phase = if to < self.rows.len() {
            Phase::Radix { digit, at: to }
        } else {
            core::mem::swap(&mut self.rows, &mut self.spare);
            Phase::Radix { digit: digit + 1, at: 0 }
        };
    }

    /// Puts keys with equal prefixes in order, by comparing them.
    fn ties<K: Key, V>(&mut self, table: &Table<K, V>, from: usize, budget: &mut usize) {
        let key = |row: &Row| match table.slot(row.1 as usize) {
            Some((key, _)) => key,
            None => unreachable!("a collected slot is live"),
        };
        let mut at = from;
        while at < self.rows.len() && at - from < *budget * 8 {
            let prefix = self.rows[at].0;
            let run = self.rows[at..].iter().take_while(|row| row.0 == prefix).count();
            if run > 1 {
                self.rows[at..at + run].sort_unstable_by(|a, b| key(a).cmp(key(b)));
            }
            at += run;
        }
        *budget = budget.saturating_sub((at - from).div_ceil(8));
        self.phase = if at < self.rows.len() { Phase::Ties { at } } else { Phase::Sorted };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::HeapMemory;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn check<K: Key + core::fmt::Debug>(keys: Vec<K>, step: usize) {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let (mut table, mut order) = (Table::new(memory.clone()), Order::new(&memory));
        for key in &keys {
            table.reserve(1).unwrap();
            table.upsert(key.hash(), |k| k == key, || key.clone(), || ());
        }
        order.begin(&table).unwrap();
        while !order.step(&table, &mut step.clone()).unwrap() {}
        let sorted: Vec<_> =
            order.rows().iter().map(|row| table.slot(row.1 as usize).unwrap().0.clone()).collect();
        let mut twin = keys;
        twin.sort();
        twin.dedup();
        assert_eq!(sorted, twin);
    }

    #[test]
    fn sorts_as_a_comparison_sort_does_in_any_steps() {
        for step in [1, 7, 1_000, usize::MAX / 16] {
            for count in [0u64, 1, 2, 255, 257, 3_000] {
                check((0..count).map(crate::hash::fold).collect(), step);
                check((0..count).map(|i| crate::hash::fold(i) as i32).collect(), step);
                check((0..count).rev().collect(), step);
                check(
                    (0..count).map(|i| alloc::format!("the same long prefix {i}")).collect::<Vec<String>>(),
                    step,
                );
                check((0..count).map(|i| (i % 3, crate::hash::fold(i))).collect(), step);
            }
        }
    }
}
