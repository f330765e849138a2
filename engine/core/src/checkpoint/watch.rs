//! Which parts of a growing array a checkpoint still needs, and which have changed since the one before.
//!
//! An array is saved in chunks of about a page. At a *freeze* nothing is copied: the watch notes how many items there
//! are. From then on the chunks are [swept](Watch::sweep) one after the other; a chunk that is about to change before
//! its turn is copied aside first ([`touch`](Watch::touch)). A freeze costs the same for any number of items, a touch
//! of a chunk that was touched since the freeze one comparison.
//!
//! ```text
//!  items    | chunk 0 | chunk 1 | chunk 2 | chunk 3 | ch     frozen: the items at the freeze; what came later is not
//! part of it
//!  stamps   |    3    |    7    |    5    |    7    |        the freeze after which each was last changed; 7 is the
//! current one
//!    swept ->           sweeping goes on here: chunk 3 is aside already, chunk 2 is written, or is the same as
//!    before
//! ```
//!
//! Every freeze has a number, the *epoch*. Until the first there are no stamps, and nothing is asked of those who
//! write.

use crate::bounds::CHUNK_BYTES;
use crate::checkpoint::saver::{Saver, Step};
use crate::fault::Fault;
use crate::state::memory::{Buf, Memory};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

/// What is known of an array of `R`.
pub(crate) struct Watch<R> {
    /// The number of the array in checkpoints.
    table: u32,
    /// The last freeze; 0 while nobody watches.
    epoch: u32,
    /// The stamp of chunks that have none.
    born: u32,
    /// Chunks with a stamp below this are what they were in the checkpoint before.
    since: u32,
    /// Items that the freeze found; 0 when all of them are saved.
    frozen: usize,
    /// Chunks that have had their turn.
    swept: usize,
    stamps: Buf<u32>,
    _items: PhantomData<fn() -> R>,
}

impl<R> Watch<R> {
    /// The items of a chunk are two to this power: as many as fill [`CHUNK_BYTES`], within reason.
    const SHIFT: u32 = {
        let size = if size_of::<R>() == 0 { 1 } else { size_of::<R>() };
        let items = if size > CHUNK_BYTES { 1 } else { CHUNK_BYTES / size };
        let shift = items.ilog2();
        if shift > 10 { 10 } else { shift }
    };

    pub(crate) fn new(memory: Arc<dyn Memory>, table: u32) -> Self {
        let (epoch, born, since, frozen, swept) = (0, 0, 0, 0, 0);
        Watch { table, epoch, born, since, frozen, swept, stamps: Buf::new(memory), _items: PhantomData }
    }

    /// Whether whoever changes an item has to say so.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.epoch != 0
    }

    /// The `items` items that there are, as they are, belong to the checkpoint that begins.
    pub(crate) fn freeze(&mut self, items: usize, saver: &Saver) {
        (self.epoch, self.since) = (saver.epoch(), saver.since());
        (self.frozen, self.swept) = (items, 0);
    }

    /// Item `item` is about to change, or to be there. `encode` writes a range of items as they are.
    #[inline(always)]
    pub(crate) fn touch(
        &mut self,
        item: usize,
        saver: &mut Saver,
        encode: impl FnOnce(Range<usize>, &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let chunk = item >> Self::SHIFT;
        if self.stamps.get(chunk) == Some(&self.epoch) {
            return Ok(());
        }
        self.touch_first(chunk, saver, encode)
    }

    #[cold]
    #[inline(never)]
    fn touch_first(
        &mut self,
        chunk: usize,
        saver: &mut Saver,
        encode: impl FnOnce(Range<usize>, &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if chunk >= self.stamps.len() {
            let missing = chunk + 1 - self.stamps.len();
            self.stamps.reserve(missing)?;
            (0..missing).for_each(|_| self.stamps.push(self.born));
        }
        let items = self.items(chunk);
        if chunk >= self.swept && !items.is_empty() {
            match self.is_same(chunk) {
                true => saver.same_aside(self.table, chunk as u32)?,
                false => saver.put_aside(self.table, chunk as u32, |into| encode(items, into))?,
            }
        }
        self.stamps[chunk] = self.epoch;
        Ok(())
    }

    /// The frozen items of a chunk.
    fn items(&self, chunk: usize) -> Range<usize> {
        let from = chunk << Self::SHIFT;
        from..self.frozen.min((chunk + 1) << Self::SHIFT).max(from)
    }

    fn stamp(&self, chunk: usize) -> u32 {
        self.stamps.get(chunk).copied().unwrap_or(self.born)
    }

    fn is_same(&self, chunk: usize) -> bool {
        self.stamp(chunk) < self.since
    }

    /// Saves what is still to be saved, as far as the step goes; true when that is all. `encode` writes a range of
    /// items as they are.
    pub(crate) fn sweep(
        &mut self,
        step: &mut Step<'_>,
        encode: impl Fn(Range<usize>, &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        while self.swept << Self::SHIFT < self.frozen {
            if !step.goes_on() {
                return Ok(false);
            }
            let (chunk, items) = (self.swept, self.items(self.swept));
            self.swept += 1;
            if self.stamps.get(chunk) == Some(&self.epoch) {
                step.skip();
            } else if self.is_same(chunk) {
                step.same(self.table, chunk as u32);
            } else {
                step.block(self.table, chunk as u32, items.len(), |into| encode(items, into))?;
            }
        }
        self.frozen = 0;
        Ok(true)
    }
}
