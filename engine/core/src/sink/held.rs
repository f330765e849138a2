//! Rows that wait for their tick to be released, counted against the memory limit.
//!
//! Whoever holds a row does so in code that a job without durability never reaches, and what is done with the row there decides how the loop around it is
//! compiled: so it is put away as it is, and looked at afterwards.

use crate::fault::OutOfMemory;
use crate::ids::{EventTime, Tick};
use crate::state::heap_bytes::{HeapBytes, HeapShare};
use crate::state::memory::Memory;
use alloc::collections::VecDeque;
use alloc::sync::Arc;

/// Rows that room is kept for when none waits.
const SPARE_ROWS_MAX: usize = 4 * 1024;

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
        Held { rows: VecDeque::new(), share: self.heap.share(), heap: self.heap.clone(), is_refused: false }
    }
}

/// Rows of one sink that wait, in their order.
pub(super) struct Held<T> {
    pub(super) rows: VecDeque<(Tick, EventTime, T)>,
    /// What they take, and what they own, as far as the sink says.
    share: HeapShare,
    heap: HeapBytes,
    /// There was no room for a row, and what comes is dropped: the job stops.
    is_refused: bool,
}

impl<T> Held<T> {
    /// A row's place: a list has room for half as many again as there are in it, taken over time.
    const ROW: usize = size_of::<(Tick, EventTime, T)>() * 3 / 2;

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
        self.share.add(self.rows.back().map_or(0, |(_, _, row)| Self::ROW + bytes(row)));
        let settled = self.heap.settle();
        self.is_refused = settled.is_err();
        settled
    }

    /// Takes the first row, if it is of `tick`; `bytes` says what it owns.
    pub(super) fn pop_of(&mut self, tick: Tick, bytes: impl Fn(&T) -> usize) -> Option<(EventTime, T)> {
        let (_, at, row) = self.rows.pop_front_if(|(first, _, _)| *first == tick)?;
        self.share.sub(Self::ROW + bytes(&row));
        Some((at, row))
    }

    /// No more leave for now: what is left has been counted.
    pub(super) fn settle(&mut self) -> Result<(), OutOfMemory> {
        if self.rows.len() < self.rows.capacity() / 4 && self.rows.capacity() > SPARE_ROWS_MAX {
            self.rows.shrink_to(2 * self.rows.len());
        }
        self.heap.settle()
    }
}
