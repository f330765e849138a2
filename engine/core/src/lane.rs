//! The sending side of one ring: records are archived straight into claimed ring space.
//!
//! A lane opens a frame when its first record of a tick arrives, rolls to a new one when the frame is full, and seals the
//! last one when the tick ends. The common case of a record is a bounds check and the record's own stores.
//!
//! Credits make overflow the exception: a stage looks at [`Lane::room`] before it takes in more. An operator that turns one
//! record into very many can still exceed them within a tick; the rest of that tick then goes into an owned buffer, counted
//! against the memory limit, and a small message in the ring hands it over in order. So a reserve never fails and never waits.

use crate::bounds::{FRAME_ALIGN, FRAME_BYTES_MAX, FRAME_HEADER, RING_RESERVE};
use crate::fault::Fault;
use crate::frame::{ENTRY_HEADER, EntryHeader, Header, KIND_LARGE, KIND_MARK, KIND_RECORDS, LargeFrame};
use crate::ids::{EventTime, Tick};
use crate::memory::{Buf, Memory};
use crate::record::{Record, is_fixed, write_entry, write_fixed};
use crate::ring::Producer;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::{NonNull, null_mut};

/// The writing end of a ring, as a sequence of frames.
pub(crate) struct Lane {
    cursor: *mut u8,
    limit: *mut u8,
    frame: *mut u8,
    /// Records in the open frame when they are variable; fixed ones are counted by the cursor.
    entries: u32,
    /// The bytes of one record, 0 when they vary.
    stride: u32,
    large: Option<Box<LargeFrame>>,
    ring: Producer,
    sent: EventTime,
    memory: Arc<dyn Memory>,
    /// The largest entry seen, from which the room of a variable lane is estimated.
    entry_max: usize,
}

impl Lane {
    pub(crate) fn new<T: Record>(ring: Producer, memory: Arc<dyn Memory>) -> Self {
        const { assert!(align_of::<T::Archived>() <= FRAME_ALIGN) };
        let stride = if is_fixed::<T>() { size_of::<T::Archived>() as u32 } else { 0 };
        Lane {
            cursor: null_mut(),
            limit: null_mut(),
            frame: null_mut(),
            entries: 0,
            stride,
            large: None,
            ring,
            sent: EventTime::MIN,
            memory,
            entry_max: 64,
        }
    }

    /// How many more records are welcome: about as many as fit into the ring, at least one while a quarter of it is free.
    ///
    /// Records of varying size may turn out larger than those before them; what does not fit then goes as an oversized frame.
    pub(crate) fn room(&mut self) -> usize {
        let capacity = self.ring.capacity();
        let free = self.ring.free(capacity / 2);
        if free < capacity / 4 || self.large.is_some() {
            return 0;
        }
        let each = if self.stride > 0 { self.stride as usize } else { self.entry_max + ENTRY_HEADER };
        // At the ring's end a frame may be cut short by less than one record, and a header opens the next.
        let headers = (capacity / FRAME_BYTES_MAX + 3) * FRAME_HEADER;
        (free.saturating_sub(RING_RESERVE + headers + 2 * each) / each.max(1)).max(1)
    }

    /// Appends a record; `hash` is carried only with variable records.
    #[inline(always)]
    pub(crate) fn push<T: Record>(&mut self, record: &T, hash: u64, tick: Tick) -> Result<(), Fault> {
        if is_fixed::<T>() {
            let size = size_of::<T::Archived>();
            if (self.limit as usize) - (self.cursor as usize) < size || size == 0 {
                self.make_room(size, tick)?;
            }
            // SAFETY: the span from the cursor to the limit is claimed and holds at least `size` bytes; records follow each
            // other from a 16-aligned start, so each is aligned for its own type.
            unsafe { write_fixed(record, self.cursor) };
            // SAFETY: stays within the claimed span.
            self.cursor = unsafe { self.cursor.add(size) };
            self.entries += u32::from(size == 0);
            Ok(())
        } else {
            self.push_entry(record, hash, tick)
        }
    }

    fn push_entry<T: Record>(&mut self, record: &T, hash: u64, tick: Tick) -> Result<(), Fault> {
        let mut wanted = ENTRY_HEADER + self.entry_max.next_multiple_of(FRAME_ALIGN);
        loop {
            if (self.limit as usize) - (self.cursor as usize) < wanted {
                self.make_room(wanted, tick)?;
            }
            let space = (self.limit as usize) - (self.cursor as usize) - ENTRY_HEADER;
            // SAFETY: `space` bytes after the entry's header are claimed, and 16-aligned as every entry is.
            let written = unsafe { write_entry(record, self.cursor.add(ENTRY_HEADER), space) };
            if let Some(len) = written {
                let header = EntryHeader { len: len as u32, zero: 0, hash };
                // SAFETY: as above; the entry's padded end is within the span, whose length is a multiple of 16.
                unsafe {
                    self.cursor.cast::<EntryHeader>().write(header);
                    self.cursor = self.cursor.add(ENTRY_HEADER + len.next_multiple_of(FRAME_ALIGN));
                }
                self.entries += 1;
                self.entry_max = self.entry_max.max(len);
                return Ok(());
            }
            wanted = (space + ENTRY_HEADER).next_multiple_of(FRAME_ALIGN) * 2;
            if wanted > u32::MAX as usize / 4 {
                return Err(Fault::RecordTooLarge { limit: u32::MAX as usize / 4 });
            }
        }
    }

    /// Opens a frame, or closes the full one and opens the next, with space for `wanted` bytes of records.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, wanted: usize, tick: Tick) -> Result<(), Fault> {
        if wanted == 0 && !self.frame.is_null() {
            return Ok(());
        }
        if self.large.is_none() {
            self.close(tick);
            let wanted = (FRAME_HEADER + wanted).next_multiple_of(FRAME_ALIGN);
            let to_end = self.ring.to_end();
            let unusable = if to_end < wanted { to_end } else { 0 } + RING_RESERVE;
            let spare = self.ring.free(unusable + FRAME_BYTES_MAX).saturating_sub(unusable);
            let most = FRAME_BYTES_MAX.min(spare) & !(FRAME_ALIGN - 1);
            if wanted <= most
                && let Some((span, len)) = self.ring.claim(wanted, most)
            {
                self.frame = span.as_ptr();
                // SAFETY: the span is longer than a header.
                self.cursor = unsafe { self.frame.add(FRAME_HEADER) };
                // SAFETY: the end of the span.
                self.limit = unsafe { self.frame.add(len) };
                return Ok(());
            }
        }
        self.grow_large(wanted)
    }

    /// Opens or grows the owned frame of this tick.
    fn grow_large(&mut self, wanted: usize) -> Result<(), Fault> {
        let used = match &self.large {
            None => 0,
            Some(large) => self.cursor as usize - large.words.as_ptr() as usize,
        };
        let words = ((used + wanted).max(used * 2).max(FRAME_BYTES_MAX)).div_ceil(size_of::<u128>());
        let mut fresh: Buf<u128> = Buf::new(self.memory.clone());
        fresh.zero(words)?;
        let empty = || Box::new(LargeFrame { words: Buf::new(self.memory.clone()), len: 0 });
        let large = self.large.get_or_insert_with(empty);
        let kept = used.div_ceil(size_of::<u128>());
        fresh[..kept].copy_from_slice(&large.words[..kept]);
        large.words = fresh;
        let start = large.words.as_mut_ptr().cast::<u8>();
        // SAFETY: `used` bytes were copied, and the buffer is longer.
        self.cursor = unsafe { start.add(used) };
        // SAFETY: the end of the buffer.
        self.limit = unsafe { start.add(words * size_of::<u128>()) };
        Ok(())
    }

    /// Records in the open frame, whose first byte of payload is at `start`.
    fn count(&self, start: *mut u8) -> u32 {
        match self.stride {
            0 => self.entries,
            stride => ((self.cursor as usize - start as usize) / stride as usize) as u32,
        }
    }

    /// Commits the open frame, if it holds any record.
    fn close(&mut self, tick: Tick) {
        if !self.frame.is_null() {
            // SAFETY: the frame's payload follows its header.
            let count = self.count(unsafe { self.frame.add(FRAME_HEADER) });
            if count > 0 {
                let len = (self.cursor as usize - self.frame as usize).next_multiple_of(FRAME_ALIGN);
                self.commit(NonNull::new(self.frame), len, KIND_RECORDS, tick, count);
            }
        }
        self.frame = null_mut();
        self.cursor = null_mut();
        self.limit = null_mut();
        self.entries = 0;
    }

    fn commit(&mut self, at: Option<NonNull<u8>>, len: usize, kind: u32, tick: Tick, count: u32) {
        let at = at.unwrap_or_else(|| unreachable!("a frame has an address"));
        let header = Header {
            len: len as u32,
            kind,
            tick: tick.0,
            watermark: self.sent.0,
            count,
            stride: self.stride,
        };
        // SAFETY: the span was claimed for this frame.
        unsafe { at.cast::<Header>().write(header) };
        self.ring.commit(len);
    }

    /// Ends `tick`: what it sent becomes visible, with the sender's `watermark` as of the tick's end. Returns whether
    /// anything was sent.
    pub(crate) fn seal(&mut self, tick: Tick, watermark: EventTime) -> bool {
        let news = watermark > self.sent;
        if self.large.is_some() {
            self.sent = self.sent.max(watermark);
            self.send_large(tick);
        } else if !self.frame.is_null() {
            self.sent = self.sent.max(watermark);
            self.close(tick);
        } else if news {
            let (span, _) = self.claim_reserved(FRAME_HEADER);
            self.sent = watermark;
            self.commit(Some(span), FRAME_HEADER, KIND_MARK, tick, 0);
        }
        self.ring.publish()
    }

    /// Claims a part of the reserve, which [`can_seal`](Self::can_seal) has seen to be there before the tick began.
    fn claim_reserved(&mut self, len: usize) -> (NonNull<u8>, usize) {
        self.ring
            .claim(len, len)
            .unwrap_or_else(|| unreachable!("the reserve was checked before the tick began"))
    }

    /// Hands the owned frame over.
    fn send_large(&mut self, tick: Tick) {
        let Some(mut large) = self.large.take() else { return };
        let start = large.words.as_mut_ptr().cast::<u8>();
        let count = self.count(start);
        large.len = self.cursor as usize - start as usize;
        self.cursor = null_mut();
        self.limit = null_mut();
        self.entries = 0;
        let len = FRAME_HEADER + FRAME_ALIGN;
        let (span, _) = self.claim_reserved(len);
        // SAFETY: the claimed span holds a header and an address; the box is given away with it.
        unsafe { span.add(FRAME_HEADER).cast::<*mut LargeFrame>().write(Box::into_raw(large)) };
        self.commit(Some(span), len, KIND_LARGE, tick, count);
    }

    /// Shows what the tick sent so far, without ending it.
    pub(crate) fn flush(&mut self, tick: Tick) {
        if self.large.is_none() {
            self.close(tick);
        } else if self.ring.free(2 * RING_RESERVE) >= 2 * RING_RESERVE {
            // The tick still has to be sealed out of the reserve.
            self.send_large(tick);
        }
        self.ring.publish();
    }

    /// Whether one more tick can end here whatever it holds: the reserve is untouched.
    pub(crate) fn can_seal(&mut self) -> bool {
        self.ring.free(RING_RESERVE) >= RING_RESERVE
    }
}
