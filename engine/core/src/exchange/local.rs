//! A frame that stays on its shard: rows for an operator within a chain, in the form in which an exchange would have brought them.
//!
//! This file has the unsafe code that writes such a frame.

use crate::bounds::{FRAME_ALIGN, LOCAL_FRAME_BYTES};
use crate::exchange::frame::{ENTRY_HEADER, EntryHeader, Frame, RowFormat};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::record::{NotWritten, Record, is_fixed, write_entry, write_fixed};
use crate::state::memory::{Buf, Memory};
use alloc::sync::Arc;

/// Rows of one type, which is said when it is made.
pub(crate) struct LocalFrame {
    words: Buf<u128>,
    /// Bytes that are written.
    used: usize,
    rows: usize,
    format: RowFormat,
    /// As of a frame in a ring: what is written to it is so far overdue.
    overdue: EventTime,
}

impl LocalFrame {
    /// A frame for rows that are `R`s.
    pub(crate) fn new<R: Record>(memory: &Arc<dyn Memory>) -> Self {
        const { assert!(align_of::<R::Archived>() <= FRAME_ALIGN) };
        LocalFrame {
            words: Buf::new(memory.clone()),
            used: 0,
            rows: 0,
            format: RowFormat::of::<R>(),
            overdue: EventTime::MIN,
        }
    }

    /// What is pushed from now on is overdue, or is not any more. There are no rows in it.
    pub(crate) fn set_overdue(&mut self, watermark: Option<EventTime>) {
        debug_assert_eq!(self.rows, 0, "rows are taken before those that are not like them come");
        self.overdue = watermark.unwrap_or(EventTime::MIN);
    }

    /// Rows that wait.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Whether it is time to [take](Self::take) them.
    pub(crate) fn is_full(&self) -> bool {
        self.used >= LOCAL_FRAME_BYTES
    }

    /// Adds a row; `hash` is carried only with rows that differ in size.
    ///
    /// # Errors
    /// When the memory limit refuses the room for it, or a part of it refuses to be archived.
    ///
    /// # Panics
    /// When the frame is for other rows.
    #[inline]
    pub(crate) fn push<R: Record>(&mut self, row: &R, hash: u64) -> Result<(), Fault> {
        assert!(self.format == RowFormat::of::<R>(), "a frame of {}", self.format.name());
        if !is_fixed::<R>() {
            return self.push_entry(row, hash);
        }
        let size = size_of::<R::Archived>();
        if size_of_val(&*self.words) - self.used < size {
            self.grow(size)?;
        }
        // SAFETY: there are `size` bytes behind the used ones, and rows follow each other from a 16-aligned start.
        unsafe { write_fixed(row, self.words.as_mut_ptr().cast::<u8>().add(self.used)) };
        self.used += size;
        self.rows += 1;
        Ok(())
    }

    fn push_entry<R: Record>(&mut self, row: &R, hash: u64) -> Result<(), Fault> {
        let mut wanted = ENTRY_HEADER + FRAME_ALIGN;
        loop {
            if size_of_val(&*self.words) - self.used < wanted {
                self.grow(wanted)?;
            }
            let space = size_of_val(&*self.words) - self.used - ENTRY_HEADER;
            // SAFETY: what is used is a multiple of 16 bytes, and there are a header and `space` bytes behind it.
            let (header, place) = unsafe {
                let start = self.words.as_mut_ptr().cast::<u8>().add(self.used);
                (start.cast::<EntryHeader>(), start.add(ENTRY_HEADER))
            };
            // SAFETY: as above.
            match unsafe { write_entry(row, place, space) } {
                Ok(len) => {
                    // SAFETY: as above.
                    unsafe { header.write(EntryHeader { len: len as u32, zero: 0, hash }) };
                    self.used += ENTRY_HEADER + len.next_multiple_of(FRAME_ALIGN);
                    self.rows += 1;
                    return Ok(());
                }
                Err(NotWritten::Refused) => {
                    return Err(Fault::Unarchivable { record: core::any::type_name::<R>() });
                }
                Err(NotWritten::Full) => wanted = (space + ENTRY_HEADER).next_multiple_of(FRAME_ALIGN) * 2,
            }
            if wanted > u32::MAX as usize / 4 {
                return Err(Fault::RecordTooLarge { limit: u32::MAX as usize / 4 });
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, wanted: usize) -> Result<(), Fault> {
        let words = (self.used + wanted).max(2 * LOCAL_FRAME_BYTES).div_ceil(size_of::<u128>());
        let mut fresh: Buf<u128> = Buf::new(self.words.memory());
        fresh.zero(words)?;
        let used = self.used.div_ceil(size_of::<u128>());
        fresh[..used].copy_from_slice(&self.words[..used]);
        self.words = fresh;
        Ok(())
    }

    /// Hands the rows to `read`, and has none any more.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn take(&mut self, read: impl FnOnce(Frame<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        let rows = core::mem::take(&mut self.rows);
        self.used = 0;
        if rows == 0 {
            return Ok(());
        }
        // SAFETY: so many rows of the format were written, one after the other from the start.
        let outcome = read(unsafe { Frame::of_rows(self.format, &self.words, rows, self.overdue) });
        if size_of_val(&*self.words) > 4 * LOCAL_FRAME_BYTES {
            // One row was large.
            self.words = Buf::new(self.words.memory());
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::partition::Keyed;
    use crate::record::read;
    use crate::state::memory::HeapMemory;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn frame<R: Record>() -> LocalFrame {
        LocalFrame::new::<R>(&(Arc::new(HeapMemory) as Arc<dyn Memory>))
    }

    #[test]
    fn rows_come_out_as_they_went_in() {
        let (mut fixed, mut varying) = (frame::<Keyed<u64, u8>>(), frame::<Keyed<String, Vec<u32>>>());
        for count in [1u64, 2, 63, 1_000, 5] {
            let text = |n: u64| "x".repeat((n * n % 3_000) as usize);
            for n in 0..count {
                fixed.push(&Keyed { at: n as i64, key: n, item: n as u8 }, n).unwrap();
                let item = alloc::vec![n as u32; n as usize % 7];
                varying.push(&Keyed { at: n as i64, key: text(n), item }, n).unwrap();
            }
            let mut found = 0;
            fixed
                .take(|rows| {
                    rows.batch::<Keyed<u64, u8>>().each(|_, row| {
                        let keyed = (i64::from(row.at), read::<u64>(&row.key), row.item);
                        assert_eq!(keyed, (found as i64, found, found as u8));
                        found += 1;
                        Ok(())
                    })
                })
                .unwrap();
            let mut texts = 0;
            varying
                .take(|rows| {
                    rows.batch::<Keyed<String, Vec<u32>>>().each(|hash, row| {
                        assert_eq!((hash, i64::from(row.at)), (texts, texts as i64));
                        assert_eq!(read::<String>(&row.key), text(texts));
                        assert_eq!(
                            read::<Vec<u32>>(&row.item),
                            alloc::vec![texts as u32; texts as usize % 7]
                        );
                        texts += 1;
                        Ok(())
                    })
                })
                .unwrap();
            assert_eq!((found, texts, fixed.len(), varying.len()), (count, count, 0, 0));
        }
        // What one large row had is given back.
        varying.push(&Keyed { at: 0, key: "y".repeat(1 << 20), item: Vec::<u32>::new() }, 0).unwrap();
        assert!(varying.is_full());
        varying
            .take(|rows| {
                assert_eq!(rows.count(), 1);
                Ok(())
            })
            .unwrap();
        assert!(varying.words.is_empty());
    }
}
