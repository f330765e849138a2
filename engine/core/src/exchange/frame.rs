//! Frames: what travels in rings. One frame holds records of one tick from one shard to another.
//!
//! ```text
//!  0        4        8                16               24               32       36       40       48
//!  +--------+--------+----------------+----------------+----------------+--------+--------+--------+-------- ... -+
//!  |  len   |  kind  |      tick      |   watermark    |      time      | count  | stride |overdue | payload      |
//!  +--------+--------+----------------+----------------+----------------+--------+--------+--------+-------- ... -+
//!  stride > 0   fixed:     count archived records of `stride` bytes each
//!  stride = 0   variable:  count entries:  | len u32 | 0 u32 | hash u64 | archived bytes, padded to 16 |
//!  kind 0 Records   1 Mark: no records, only the watermark   2 Large: payload is the address of a boxed `LargeFrames`
//!  kind 3 Wrap: skip to the beginning of the ring (written by the ring itself; it has the first eight bytes only)
//! ```
//!
//! Integers are in the machine's order: a frame in a ring never leaves the process. `watermark` is the sender's as of the
//! end of the frame's tick when this is the tick's last frame, and an older one otherwise, so it never runs ahead of a record. `time` is the
//! processing time of the tick, as the sender knew it at its first frame; in a mark, as it knows it at the end.
//! An idle sender says [`IDLE`](crate::stage::context::IDLE), and takes it back with its next record. `overdue` is the watermark of their own
//! partition that the records are behind, if they are: see [`Link::overdue`](crate::operator::push::Link::overdue); the beginning of time, which nothing is
//! behind, says that they are not.
//!
//! This file and `channel.rs` hold the unsafe code that interprets frame bytes. Operators see a [`Batch`]: rows of a type that the frame is
//! known to have, since the exchange was built for it.

use crate::bounds::{FRAME_ALIGN, FRAME_HEADER};
use crate::exchange::partition::{ArchivedKeyed, Keyed};
use crate::exchange::ring::{Consumer, KIND_WRAP};
use crate::fault::Fault;
use crate::ids::{EventTime, Tick};
use crate::record::key::Key;
use crate::record::{Record, is_fixed, read};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::{TypeId, type_name};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Records follow.
pub(crate) const KIND_RECORDS: u32 = 0;
/// Only a watermark.
pub(crate) const KIND_MARK: u32 = 1;
/// The payload is the address of boxed [`LargeFrames`].
pub(crate) const KIND_LARGE: u32 = 2;
const _: () = assert!(KIND_WRAP == 3);

/// The header of every frame.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) len: u32,
    pub(crate) kind: u32,
    pub(crate) tick: u64,
    pub(crate) watermark: i64,
    pub(crate) time: i64,
    pub(crate) count: u32,
    pub(crate) stride: u32,
    pub(crate) overdue: i64,
}
const _: () = assert!(size_of::<Header>() == FRAME_HEADER && align_of::<Header>() <= FRAME_ALIGN);

/// What every frame says of its tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickTime {
    pub(crate) tick: Tick,
    /// The processing time.
    pub(crate) time: EventTime,
}

/// The header of one entry of a variable frame.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct EntryHeader {
    pub(crate) len: u32,
    pub(crate) zero: u32,
    pub(crate) hash: u64,
}
/// Bytes of an entry's header.
pub(crate) const ENTRY_HEADER: usize = size_of::<EntryHeader>();

/// A frame that did not fit into the ring, owned by the message that points to it.
pub(crate) struct LargeFrame {
    pub(crate) words: crate::state::memory::Buf<u128>,
    /// Of its records.
    pub(crate) count: usize,
    pub(crate) overdue: EventTime,
}

/// One after the other, each as long as what is overdue does not change.
pub(crate) type LargeFrames = Vec<LargeFrame>;

/// What the rows of an exchange are: the type that its sender writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowFormat {
    id: TypeId,
    name: fn() -> &'static str,
}

impl RowFormat {
    /// Rows that are `R`s.
    pub(crate) const fn of<R: Record>() -> Self {
        RowFormat { id: TypeId::of::<R>(), name: type_name::<R> }
    }

    /// What the rows are called.
    pub(crate) fn name(&self) -> &'static str {
        (self.name)()
    }
}

impl PartialEq for RowFormat {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// The records of one frame, read in place.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    payload: NonNull<u8>,
    len: usize,
    count: usize,
    format: RowFormat,
    overdue: EventTime,
    _ring: PhantomData<&'a u8>,
}

impl<'a> Frame<'a> {
    /// `count` records of `format` that were written over `words`, and are as far overdue.
    ///
    /// # Safety
    /// They were, as in a ring.
    pub(crate) unsafe fn of_rows(
        format: RowFormat,
        words: &'a [u128],
        count: usize,
        overdue: EventTime,
    ) -> Self {
        let payload = NonNull::from(words).cast();
        Frame { payload, len: size_of_val(words), count, format, overdue, _ring: PhantomData }
    }

    /// As [`of_rows`](Self::of_rows), for tests, which write what they say.
    #[cfg(test)]
    pub(crate) fn over(format: RowFormat, words: &'a [u128], count: usize) -> Self {
        // SAFETY: by whoever writes the test.
        unsafe { Self::of_rows(format, words, count, EventTime::MIN) }
    }

    /// The same records, which are overdue by so much.
    #[cfg(test)]
    pub(crate) fn behind(self, overdue: EventTime) -> Self {
        Frame { overdue, ..self }
    }
}

/// The rows of one frame, of their type.
#[derive(Clone, Copy)]
pub struct Batch<'a, R> {
    frame: Frame<'a>,
    _rows: PhantomData<fn() -> R>,
}

impl<'a, R: Record> Batch<'a, R> {
    /// See [`Frame::overdue`].
    #[inline(always)]
    pub fn overdue(&self) -> Option<EventTime> {
        self.frame.overdue()
    }

    /// The rows, where all have one size: they lie side by side.
    #[inline(always)]
    pub fn fixed(&self) -> Option<&'a [R::Archived]> {
        // SAFETY: the frame has rows of this type, as `Frame::batch` has seen.
        is_fixed::<R>().then(|| unsafe { self.frame.fixed() })
    }

    /// The rows, where they differ in size, each with the hash that it was sent with.
    ///
    /// # Panics
    /// When they do not.
    #[inline]
    pub fn entries(&self) -> impl Iterator<Item = (u64, &'a R::Archived)> + use<'a, R> {
        assert!(!is_fixed::<R>(), "rows of one size have no entries");
        // SAFETY: as above.
        unsafe { self.frame.entries::<R::Archived>() }
    }
}

impl<'a, K: Key, I: Record> Batch<'a, Keyed<K, I>> {
    /// Calls `take` for each row, with the hash of its key, up to the first error, which is returned.
    ///
    /// # Errors
    /// Those of `take`.
    #[inline]
    pub fn each(
        &self,
        mut take: impl FnMut(u64, &'a ArchivedKeyed<K, I>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self.fixed() {
            Some(rows) => rows.iter().try_for_each(|keyed| take(read::<K>(&keyed.key).hash(), keyed)),
            None => self.entries().try_for_each(|(hash, keyed)| take(hash, keyed)),
        }
    }
}

impl<'a> Frame<'a> {
    /// Number of records.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The watermark that their own partition had reached before the records came, if they are overdue.
    #[inline(always)]
    pub fn overdue(&self) -> Option<EventTime> {
        (self.overdue > EventTime::MIN).then_some(self.overdue)
    }

    /// The records, as what they are.
    ///
    /// # Panics
    /// When they are of another type.
    #[inline(always)]
    pub fn batch<R: Record>(&self) -> Batch<'a, R> {
        assert!(
            self.format == RowFormat::of::<R>(),
            "a frame of {} for {}",
            self.format.name(),
            type_name::<R>()
        );
        Batch { frame: *self, _rows: PhantomData }
    }

    /// The records of a fixed frame, archived.
    ///
    /// # Safety
    /// The frame must have been written with [`crate::record::write_fixed`] for a record that archives as `A`.
    pub(crate) unsafe fn fixed<A>(&self) -> &'a [A] {
        debug_assert!(self.count * size_of::<A>() <= self.len);
        // SAFETY: the writer put `count` archived records here, one after the other, from an aligned start.
        unsafe { core::slice::from_raw_parts(self.payload.cast().as_ptr(), self.count) }
    }

    /// The entries of a variable frame: each record's hash and its archived root.
    ///
    /// # Safety
    /// The frame must have been written with [`crate::record::write_entry`] for a record that archives as `A`.
    pub(crate) unsafe fn entries<A: 'a>(&self) -> impl Iterator<Item = (u64, &'a A)> + use<'a, A> {
        let (payload, mut at) = (self.payload, 0);
        (0..self.count).map(move |_| {
            // SAFETY: `count` entries follow each other from the aligned start; each root ends its entry's bytes.
            unsafe {
                let start = payload.as_ptr().add(at);
                let header = start.cast::<EntryHeader>().read();
                let root = start.add(ENTRY_HEADER + header.len as usize - size_of::<A>()).cast::<A>();
                at += ENTRY_HEADER + (header.len as usize).next_multiple_of(FRAME_ALIGN);
                (header.hash, &*root)
            }
        })
    }
}

/// What stands at the head of a ring.
pub(crate) struct Head {
    pub(crate) tick: Tick,
    /// The processing time of the tick, as the sender knows it.
    pub(crate) time: EventTime,
    at: NonNull<Header>,
}

/// Looks at the next frame of `ring` without taking it.
#[inline]
pub(crate) fn peek(ring: &mut Consumer) -> Option<Head> {
    let at = ring.peek()?.cast::<Header>();
    // SAFETY: a published frame begins with a header, and wrap markers are never returned.
    let header = unsafe { at.as_ref() };
    Some(Head { tick: Tick(header.tick), time: EventTime(header.time), at })
}

/// Takes the frame that [`peek`] showed: hands its records, if any, to `read`, and returns the sender's watermark. `format` is what the sender
/// writes into this ring: whoever built the two ends has seen to that. What did not fit into the ring may be several frames.
pub(crate) fn take<E>(
    ring: &mut Consumer,
    head: Head,
    format: RowFormat,
    mut read: impl FnMut(Frame<'_>) -> Result<(), E>,
) -> Result<EventTime, E> {
    // SAFETY: the frame stays in place until it is consumed below.
    let header = unsafe { head.at.read() };
    // SAFETY: the payload follows the header.
    let payload = unsafe { head.at.add(1) }.cast::<u8>();
    let outcome = match header.kind {
        KIND_RECORDS => {
            let (len, count) = (header.len as usize - FRAME_HEADER, header.count as usize);
            let overdue = EventTime(header.overdue);
            read(Frame { payload, len, count, format, overdue, _ring: PhantomData })
        }
        KIND_MARK => Ok(()),
        KIND_LARGE => {
            // SAFETY: the sender boxed the frames and gave them away with this message, which is read once.
            let large = unsafe { Box::from_raw(payload.cast::<*mut LargeFrames>().read()) };
            // The message goes first: were it still there after a panic in `read`, the frames would be freed twice.
            ring.consume(header.len as usize);
            let frames = large.iter().try_for_each(|frame| {
                // SAFETY: so many records of the format were written over the words.
                read(unsafe { Frame::of_rows(format, &frame.words, frame.count, frame.overdue) })
            });
            return frames.map(|()| EventTime(header.watermark));
        }
        kind => unreachable!("frame of kind {kind}"),
    };
    ring.consume(header.len as usize);
    outcome.map(|()| EventTime(header.watermark))
}

/// Frees the oversized frames that nobody will read any more.
pub(crate) fn discard(ring: &mut Consumer) {
    while let Some(head) = peek(ring) {
        let Ok(_) = take::<core::convert::Infallible>(ring, head, RowFormat::of::<()>(), |_| Ok(()));
    }
}
