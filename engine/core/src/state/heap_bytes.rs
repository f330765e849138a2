//! What keys and values of a shard's state own on the heap, counted against the memory limit.
//!
//! Text and lists of a row come from the allocator, one by one, and not from the blocks that a [`Memory`] gives. So they are counted: each table,
//! bag and list says what comes and goes in a [`HeapShare`], which costs an addition, and at the end of a frame or a step the shard
//! [settles](HeapBytes::settle) with its memory, in pieces large enough that this is rare. That is where too much is refused.
//!
//! What is charged is never less than what is counted, as of the last time, and not much more. Nothing of it shows in what a job computes.

use crate::bounds::HEAP_STEP_BYTES;
use crate::fault::OutOfMemory;
use crate::state::memory::Memory;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::Cell;

struct Inner {
    memory: Arc<dyn Memory>,
    /// What shares have, and what the memory knows of.
    counted: Cell<usize>,
    charged: Cell<usize>,
}

/// What a shard's state owns on the heap. A handle: a clone is the same.
#[derive(Clone)]
pub(crate) struct HeapBytes(Rc<Inner>);

impl HeapBytes {
    /// Nothing yet, charged to `memory`.
    pub(crate) fn new(memory: Arc<dyn Memory>) -> Self {
        HeapBytes(Rc::new(Inner { memory, counted: Cell::new(0), charged: Cell::new(0) }))
    }

    /// A share of some state, with nothing in it.
    pub(crate) fn share(&self) -> HeapShare {
        HeapShare { of: self.clone(), bytes: 0 }
    }

    /// What they are charged to.
    pub(crate) fn memory(&self) -> Arc<dyn Memory> {
        self.0.memory.clone()
    }

    /// Bytes of all shares.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> usize {
        self.0.counted.get()
    }

    /// Charges what has come, and gives back what has gone.
    ///
    /// # Errors
    /// When the memory limit refuses what has come.
    #[inline]
    pub(crate) fn settle(&self) -> Result<(), OutOfMemory> {
        let (counted, charged) = (self.0.counted.get(), self.0.charged.get());
        // Two pieces of play, so that what comes and goes in turn costs nothing.
        if counted <= charged && charged - counted < 3 * HEAP_STEP_BYTES {
            return Ok(());
        }
        self.settle_now(counted, charged)
    }

    #[cold]
    fn settle_now(&self, counted: usize, charged: usize) -> Result<(), OutOfMemory> {
        let Inner { memory, charged: known, .. } = &*self.0;
        let fits = counted.next_multiple_of(HEAP_STEP_BYTES);
        if fits > charged {
            memory.charge(fits - charged)?;
        } else {
            memory.refund(charged - fits);
        }
        known.set(fits);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.memory.refund(self.charged.get());
    }
}

/// What one table, bag or list owns on the heap; nothing any more when it is dropped.
pub(crate) struct HeapShare {
    of: HeapBytes,
    bytes: usize,
}

impl HeapShare {
    /// So much has come.
    #[inline]
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.of.0.counted.set(self.of.0.counted.get() + bytes);
    }

    /// So much has gone.
    #[inline]
    pub(crate) fn sub(&mut self, bytes: usize) {
        // A type of somebody's own may say something else than it said before: then the rest is forgotten with the last row or the table.
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.of.0.counted.set(self.of.0.counted.get() - bytes);
    }

    /// It was `before`, and is `after` now.
    #[inline]
    pub(crate) fn change(&mut self, before: usize, after: usize) {
        self.add(after);
        self.sub(before);
    }

    /// It is `bytes` in all.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.change(self.bytes, bytes);
    }

    /// All of it.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for HeapShare {
    fn drop(&mut self) {
        self.sub(self.bytes);
    }
}

#[cfg(test)]
mod tests;
