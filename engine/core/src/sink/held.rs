//! Rows that wait for their tick to be released, counted against the memory limit.
//!
//! They lie in a [queue of blocks](BlockQueue), which are what counts, with what the rows own on the heap. Whoever holds a row does so in code that a job
//! without durability never reaches, and what is done with the row there decides how the loop around it is compiled: so it is put away as it is,
//! and looked at afterwards.

use crate::bounds::QUEUE_SPARE_MAX;
use crate::fault::OutOfMemory;
use crate::ids::{EventTime, Tick};
use crate::state::blocks::BlockQueue;
use crate::state::heap_bytes::{HeapBytes, HeapShare};
use crate::state::memory::Memory;
use alloc::sync::Arc;

/// Where the rows of a shard are counted that wait for a sink.
pub struct HeldRows {
    pub(super) memory: Arc<dyn Memory>,
    heap: HeapBytes,
}

impl HeldRows {
    pub(crate) fn new(memory: Arc<dyn Memory>, heap: HeapBytes) -> Self {
        HeldRows { memory, heap }
    }

    pub(super) fn rows<T>(&self) -> Held<T> {
        let rows = BlockQueue::with_spare(QUEUE_SPARE_MAX);
        let (blocks, owned) = (self.heap.share(), self.heap.share());
        Held { rows, blocks, owned, heap: self.heap.clone(), is_refused: false }
    }
}

/// Rows of one sink that wait, in their order.
pub(super) struct Held<T> {
    rows: BlockQueue<(Tick, EventTime, T)>,
    /// What their blocks take.
    blocks: HeapShare,
    /// What they own, as far as the sink says.
    owned: HeapShare,
    heap: HeapBytes,
    /// There was no room for a row, and what comes is dropped: the job stops.
    is_refused: bool,
}

impl<T> Held<T> {
    /// Whether rows are missing.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The tick of the first.
    pub(super) fn first(&self) -> Option<Tick> {
        self.rows.front().map(|(tick, _, _)| *tick)
    }

    /// Adds a row; it is [counted](Self::count_last) afterwards.
    #[inline(always)]
    pub(super) fn push(&mut self, tick: Tick, at: EventTime, row: T) {
        self.rows.push_back((tick, at, row));
    }

    /// Counts the row that was added last; `bytes` says what it owns.
    ///
    /// # Errors
    /// When there is no room for it: those that come after it are dropped.
    #[cold]
    #[inline(never)]
    pub(super) fn count_last(&mut self, bytes: impl Fn(&T) -> usize) -> Result<(), OutOfMemory> {
        if self.is_refused {
            self.rows.pop_back();
            return Ok(());
        }
        self.owned.add(self.rows.back().map_or(0, |(_, _, row)| bytes(row)));
        let settled = self.settle();
        self.is_refused = settled.is_err();
        settled
    }

    /// Takes the first row, if it is of `tick`; `bytes` says what it owns.
    pub(super) fn pop_of(&mut self, tick: Tick, bytes: impl Fn(&T) -> usize) -> Option<(EventTime, T)> {
        let (_, at, row) = self.rows.pop_front_if(|(first, _, _)| *first == tick)?;
        self.owned.sub(bytes(&row));
        Some((at, row))
    }

    /// Counts what is left, when rows have been taken.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(super) fn settle(&mut self) -> Result<(), OutOfMemory> {
        self.blocks.set(self.rows.bytes());
        self.heap.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::HEAP_STEP_BYTES;
    use crate::state::memory::limited::Limited;

    /// What is charged is the blocks and what the rows own, through bursts and while nothing waits.
    #[test]
    fn blocks_of_rows_count_while_they_wait_and_go_back() {
        let limited = Limited::new(usize::MAX);
        let heap = HeapBytes::new(limited.clone());
        let mut held = HeldRows::new(limited.clone(), heap).rows::<[u64; 6]>();
        let row = size_of::<(Tick, EventTime, [u64; 6])>();
        for (tick, rows) in [(1, 10), (2, 100_000), (3, 10)] {
            let tick = Tick(tick);
            for n in 0..rows {
                held.push(tick, EventTime(0), [n; 6]);
                held.count_last(|_| 100).unwrap();
            }
            assert_eq!(held.first(), Some(tick));
            let most = limited.in_use();
            assert!(most >= rows as usize * (row + 100), "{most}");
            assert!(most <= rows as usize * (row + 100) + (QUEUE_SPARE_MAX + 4) * HEAP_STEP_BYTES, "{most}");
            for n in 0..rows {
                assert_eq!(held.pop_of(tick, |_| 100), Some((EventTime(0), [n; 6])));
            }
            assert!(held.pop_of(tick, |_| 100).is_none() && held.is_empty());
            held.settle().unwrap();
            assert!(limited.in_use() <= (QUEUE_SPARE_MAX + 4) * HEAP_STEP_BYTES, "{}", limited.in_use());
        }
        drop(held);
        assert_eq!(limited.in_use(), 0);
    }
}
