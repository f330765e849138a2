//! Sorting an index in steps that are too short to be noticed.
//!
//! Blocks come in nearly any order: a sweep, with those in between that a record was about to change. A hundred thousand entries take
//! milliseconds to sort, which is more than a shard may be away. So it is a merge sort that stops after each [`SORT_ENTRIES`] entries: runs of that
//! length first, then passes of merges of twice the length each.
//!
//! A step costs some twenty microseconds; all of it n log(n / SORT_ENTRIES) of them, and a second vector.

use super::BlockEntry;
use crate::bounds::SORT_ENTRIES;

pub(super) struct Sort {
    from: Vec<BlockEntry>,
    to: Vec<BlockEntry>,
    /// Length of the sorted runs in `from`; 0 while they are being made.
    width: usize,
    /// Where the pair of runs that is merged begins; while runs are made, the next one.
    low: usize,
    left: usize,
    right: usize,
}

impl Sort {
    pub(super) fn new(entries: Vec<BlockEntry>) -> Self {
        let to = Vec::with_capacity(entries.len());
        Sort { from: entries, to, width: 0, low: 0, left: 0, right: 0 }
    }

    /// Goes on for one step; the sorted entries when all are.
    pub(super) fn step(&mut self) -> Option<Vec<BlockEntry>> {
        let len = self.from.len();
        if self.width == 0 {
            let end = (self.low + SORT_ENTRIES).min(len);
            self.from[self.low..end].sort_unstable_by_key(BlockEntry::key);
            self.low = end;
            if end == len {
                self.begin_pass(SORT_ENTRIES);
            }
        } else {
            self.merge();
            if self.to.len() == len {
                std::mem::swap(&mut self.from, &mut self.to);
                self.to.clear();
                self.begin_pass(2 * self.width);
            }
        }
        (self.width >= len && self.width > 0).then(|| std::mem::take(&mut self.from))
    }

    fn begin_pass(&mut self, width: usize) {
        self.width = width;
        self.begin_pair(0);
    }

    fn begin_pair(&mut self, low: usize) {
        self.low = low;
        self.left = low;
        self.right = (low + self.width).min(self.from.len());
    }

    fn merge(&mut self) {
        let end = (self.to.len() + SORT_ENTRIES).min(self.from.len());
        while self.to.len() < end {
            let middle = (self.low + self.width).min(self.from.len());
            let high = (self.low + 2 * self.width).min(self.from.len());
            let (left, right) = (self.left < middle, self.right < high);
            if left && (!right || self.from[self.left].key() <= self.from[self.right].key()) {
                self.to.push(self.from[self.left]);
                self.left += 1;
            } else if right {
                self.to.push(self.from[self.right]);
                self.right += 1;
            } else {
                self.begin_pair(high);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_sort_as_one_go_does() {
        for len in [
            0,
            1,
            2,
            SORT_ENTRIES - 1,
            SORT_ENTRIES,
            SORT_ENTRIES + 1,
            3 * SORT_ENTRIES,
            7 * SORT_ENTRIES + 13,
            20_000,
        ] {
            let mut random = 0x9E37_79B9_u64;
            let entries: Vec<BlockEntry> = (0..len)
                .map(|at| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let (section, table, chunk) =
                        ((random >> 60) as u32, (random >> 58) as u32 & 3, at as u32);
                    BlockEntry { section, table, chunk, len: 0, number: 1, at: at as u64, crc: 0 }
                })
                .collect();
            let mut expected = entries.clone();
            expected.sort_by_key(BlockEntry::key);
            let mut sort = Sort::new(entries);
            let mut steps = 0;
            let sorted = loop {
                steps += 1;
                if let Some(sorted) = sort.step() {
                    break sorted;
                }
            };
            assert_eq!(sorted, expected, "{len} entries");
            assert!(
                steps <= 2 + (len / SORT_ENTRIES + 1) * (len / SORT_ENTRIES + 2).ilog2() as usize * 2,
                "{len}: {steps} steps"
            );
        }
    }
}
