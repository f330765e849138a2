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
        Held { rows: Fifo::new(self.memory.clone()), own: self.heap.share(), heap: self.heap.clone() }
    }
}

/// Rows of one sink that wait, in their order.
pub(super) struct Held<T> {
    rows: Fifo<(Tick, EventTime, T)>,
    /// What they own, as far as the sink says.
    own: HeapShare,
    heap: HeapBytes,
}

impl<T> Held<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The tick of the first.
    pub(super) fn first(&self) -> Option<Tick> {
        self.rows.first().map(|(tick, _, _)| *tick)
    }

    /// Adds a row, which owns `bytes` on the heap.
    pub(super) fn push(
        &mut self,
        tick: Tick,
        at: EventTime,
        row: T,
        bytes: usize,
    ) -> Result<(), OutOfMemory> {
        self.rows.push((tick, at, row))?;
        self.own.add(bytes);
        self.heap.settle()
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
