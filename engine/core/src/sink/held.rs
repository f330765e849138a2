//! Rows that wait for their tick to be released, counted against the memory limit.

use crate::fault::OutOfMemory;
use crate::ids::{EventTime, Tick};
use crate::state::fifo::Fifo;
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
        let (rows, own) = (Fifo::new(self.memory.clone()), self.heap.share());
        Held { rows, own, heap: self.heap.clone(), refused: None }
    }
}

/// Rows of one sink that wait, in their order.
pub(super) struct Held<T> {
    rows: Fifo<(Tick, EventTime, T)>,
    /// What they own, as far as the sink says.
    own: HeapShare,
    heap: HeapBytes,
    /// There was no room for a row, and what comes is dropped: the job stops.
    refused: Option<OutOfMemory>,
}

impl<T> Held<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The tick of the first.
    pub(super) fn first(&self) -> Option<Tick> {
        self.rows.first().map(|(tick, _, _)| *tick)
    }

    /// Adds a row.
    #[inline]
    pub(super) fn push(&mut self, tick: Tick, at: EventTime, row: T) {
        if self.refused.is_none() {
            self.refused = self.rows.push((tick, at, row)).err();
        }
    }

    /// What the row owns that was added last.
    ///
    /// # Errors
    /// When there was no room for it, or for what it owns: what comes is dropped then, and the job stops.
    #[cold]
    #[inline(never)]
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        self.own.add(bytes);
        match &self.refused {
            Some(refused) => Err(refused.clone()),
            None => self.heap.settle().inspect_err(|refused| self.refused = Some(refused.clone())),
        }
    }

    /// Takes the first row, if it is of `tick`; `bytes` says what it owns.
    pub(super) fn pop_of(&mut self, tick: Tick, bytes: impl Fn(&T) -> usize) -> Option<(EventTime, T)> {
        if self.first() != Some(tick) {
            return None;
        }
        let (_, at, row) = self.rows.pop()?;
        self.own.sub(bytes(&row));
        Some((at, row))
    }

    /// No more leave for now: what is left has been counted.
    pub(super) fn settle(&mut self) -> Result<(), OutOfMemory> {
        self.heap.settle()
    }
}
