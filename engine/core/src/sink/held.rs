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
        Held { rows, own, heap: self.heap.clone(), is_refused: false }
    }
}

/// Rows of one sink that wait, in their order.
pub(super) struct Held<T> {
    rows: Fifo<(Tick, EventTime, T)>,
    /// What they own, as far as the sink says.
    own: HeapShare,
    heap: HeapBytes,
    /// There was no room for a row, and what comes is dropped: the job stops.
    is_refused: bool,
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
        if self.is_refused {
            return Ok(());
        }
        self.own.add(bytes);
        let pushed = self.rows.push((tick, at, row)).and_then(|()| self.heap.settle());
        self.is_refused = pushed.is_err();
        pushed
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
