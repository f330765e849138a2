//! The sending side of one ring: records are archived straight into claimed ring space.
//!
//! A channel opens a frame when its first record of a tick arrives, rolls to a new one when the frame is full, and seals the
//! last one when the tick ends. The common case of a record is a bounds check and the record's own stores.
//!
//! Credits make overflow the exception: a stage looks at [`Channel::room`] before it takes in more. An operator that turns one
//! record into very many can still exceed them within a tick; the rest of that tick then goes into an owned buffer, counted
//! against the memory limit, and a small message in the ring hands it over in order. So a reserve never fails and never waits.

use crate::bounds::WRITE_AHEAD_BYTES;
use crate::bounds::{FRAME_ALIGN, FRAME_BYTES_MAX, FRAME_HEADER, RING_RESERVE};
use crate::exchange::frame::TickTime;
use crate::exchange::frame::{
    ENTRY_HEADER, EntryHeader, Header, KIND_LARGE, KIND_MARK, KIND_RECORDS, LargeFrame, LargeFrames,
};
use crate::exchange::ring::Producer;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::record::{NotWritten, Record, is_fixed, write_entry, write_fixed};
use crate::state::memory::{Buf, Memory};
use crate::state::prefetch::prefetch_to_write;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::{NonNull, null_mut};

/// The writing end of a ring, as a sequence of frames.
pub(crate) struct Channel {
    cursor: *mut u8,
    limit: *mut u8,
    frame: *mut u8,
    /// Records in the open frame when they are variable; fixed ones are counted by the cursor.
    entries: u32,
    /// The bytes of one record, 0 when they vary.
    stride: u32,
    /// The last is open.
    large: Option<Box<LargeFrames>>,
    /// How far what comes is overdue, and how far the records of the open frame are; the beginning of time where they are not.
    overdue: EventTime,
    frame_overdue: EventTime,
    /// Where the open frame ends. While it does not take what comes, the limit is where the cursor is.
    end: *mut u8,
    ring: Producer,
    sent: EventTime,
    /// Whether the receiver waits for the time, be there anything else to say or not.
    is_timed: bool,
    memory: Arc<dyn Memory>,
    /// About what an entry takes, from which the room of a variable channel is estimated: rises at once, and falls slowly.
    entry_bytes: usize,
}

impl Channel {
    pub(crate) fn new<T: Record>(ring: Producer, memory: Arc<dyn Memory>) -> Self {
        const { assert!(align_of::<T::Archived>() <= FRAME_ALIGN) };
        let stride = if is_fixed::<T>() { size_of::<T::Archived>() as u32 } else { 0 };
        Channel {
            cursor: null_mut(),
            limit: null_mut(),
            frame: null_mut(),
            entries: 0,
            stride,
            large: None,
            overdue: EventTime::MIN,
            frame_overdue: EventTime::MIN,
            end: null_mut(),
            ring,
            sent: EventTime::MIN,
            is_timed: false,
            memory,
            entry_bytes: 64,
        }
    }

    /// Has the receiver told the time of every tick.
    pub(crate) fn tell_time(&mut self) {
        self.is_timed = true;
    }

    /// What comes is behind this watermark of its own partition, or is not overdue any more: it goes into a frame with its like.
    pub(crate) fn set_overdue(&mut self, watermark: Option<EventTime>) {
        self.overdue = watermark.unwrap_or(EventTime::MIN);
        // The next record has to ask for room, or need not any more. Nothing has been claimed for it until then.
        self.limit = if self.overdue == self.frame_overdue { self.end } else { self.cursor };
    }

    /// The last watermark that the receiver was told.
    pub(crate) fn sent(&self) -> EventTime {
        self.sent
    }

    /// The receiver knows this by itself: from how the job is built, or from the checkpoint that it goes on from.
    pub(crate) fn recall_sent(&mut self, sent: EventTime) {
        self.sent = sent;
    }

    /// How many more records are welcome: about as many as fit into the ring, at least one while a quarter of it is free.
    ///
    /// Records of varying size may turn out larger than those before them; what does not fit then goes as an oversized frame.
    pub(crate) fn room(&mut self) -> usize {
        let capacity = self.ring.capacity();
        // What the open frame holds is not committed yet, so the ring does not know of it.
        let open = if self.frame.is_null() { 0 } else { self.cursor as usize - self.frame as usize };
        let free = self.ring.free((capacity / 2 + open).min(capacity)).saturating_sub(open);
        if free < capacity / 4 || self.large.is_some() {
            return 0;
        }
        let each = if self.stride > 0 { self.stride as usize } else { self.entry_bytes + ENTRY_HEADER };
        // At the ring's end a frame may be cut short by less than one record, and a header opens the next.
        let headers = (capacity / FRAME_BYTES_MAX + 3) * FRAME_HEADER;
        (free.saturating_sub(RING_RESERVE + headers + 2 * each) / each.max(1)).max(1)
    }

    /// Appends a record; `hash` is carried only with variable records.
    #[inline(always)]
    pub(crate) fn push<T: Record>(&mut self, record: &T, hash: u64, now: TickTime) -> Result<(), Fault> {
        if is_fixed::<T>() {
            let size = size_of::<T::Archived>();
            if (self.limit as usize) - (self.cursor as usize) < size || size == 0 {
                self.make_room(size, now)?;
            }
            // SAFETY: the span from the cursor to the limit is claimed and holds at least `size` bytes; records follow each
            // other from a 16-aligned start, so each is aligned for its own type.
            unsafe { write_fixed(record, self.cursor) };
            // The consumer read these lines a round ago, so another core has them.
            prefetch_to_write(self.cursor.wrapping_add(WRITE_AHEAD_BYTES));
            // SAFETY: stays within the claimed span.
            self.cursor = unsafe { self.cursor.add(size) };
            self.entries += u32::from(size == 0);
            Ok(())
        } else {
            self.push_entry(record, hash, now)
        }
    }

    fn push_entry<T: Record>(&mut self, record: &T, hash: u64, now: TickTime) -> Result<(), Fault> {
        // Tried in whatever space is left, and again in more if that fails: once at the end of most frames.
        let mut wanted = ENTRY_HEADER + FRAME_ALIGN;
        loop {
            if (self.limit as usize) - (self.cursor as usize) < wanted {
                self.make_room(wanted, now)?;
            }
            let space = (self.limit as usize) - (self.cursor as usize) - ENTRY_HEADER;
            // SAFETY: `space` bytes after the entry's header are claimed, and 16-aligned as every entry is.
            let written = unsafe { write_entry(record, self.cursor.add(ENTRY_HEADER), space) };
            if written == Err(NotWritten::Refused) {
                return Err(Fault::Unarchivable { record: core::any::type_name::<T>() });
            }
            if let Ok(len) = written {
                let header = EntryHeader { len: len as u32, zero: 0, hash };
                // SAFETY: as above; the entry's padded end is within the span, whose length is a multiple of 16.
                unsafe {
                    self.cursor.cast::<EntryHeader>().write(header);
                    self.cursor = self.cursor.add(ENTRY_HEADER + len.next_multiple_of(FRAME_ALIGN));
                }
                self.entries += 1;
                self.entry_bytes -= self.entry_bytes.saturating_sub(len) / 16;
                self.entry_bytes = self.entry_bytes.max(len);
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
    fn make_room(&mut self, wanted: usize, now: TickTime) -> Result<(), Fault> {
        let is_like = self.overdue == self.frame_overdue;
        if wanted == 0 && !self.frame.is_null() && is_like {
            return Ok(());
        }
        if self.large.is_none() {
            self.close(now);
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
                (self.end, self.frame_overdue) = (self.limit, self.overdue);
                return Ok(());
            }
        } else if !is_like {
            self.close_large();
        }
        self.grow_large(wanted)
    }

    /// Opens or grows the owned frame of this tick: the last of its frames.
    fn grow_large(&mut self, wanted: usize) -> Result<(), Fault> {
        let used = match self.large.as_ref().and_then(|large| large.last()) {
            Some(last) if !self.cursor.is_null() => self.cursor as usize - last.words.as_ptr() as usize,
            _ => 0,
        };
        let words = ((used + wanted).max(used * 2).max(FRAME_BYTES_MAX)).div_ceil(size_of::<u128>());
        let mut fresh: Buf<u128> = Buf::new(self.memory.clone());
        fresh.zero(words)?;
        if self.cursor.is_null() {
            let words = Buf::new(self.memory.clone());
            let frame = LargeFrame { words, count: 0, overdue: self.overdue };
            self.large.get_or_insert_default().push(frame);
            self.frame_overdue = self.overdue;
        }
        let Some(last) = self.large.as_mut().and_then(|large| large.last_mut()) else {
            unreachable!("a frame is open")
        };
        let kept = used.div_ceil(size_of::<u128>());
        fresh[..kept].copy_from_slice(&last.words[..kept]);
        last.words = fresh;
        let start = last.words.as_mut_ptr().cast::<u8>();
        // SAFETY: `used` bytes were copied, and the buffer is longer.
        self.cursor = unsafe { start.add(used) };
        // SAFETY: the end of the buffer.
        self.limit = unsafe { start.add(words * size_of::<u128>()) };
        self.end = self.limit;
        Ok(())
    }

    /// Ends the open one of the owned frames, if one is.
    fn close_large(&mut self) {
        let Some(mut last) = self.large.as_mut().and_then(|large| large.pop()) else { return };
        if !self.cursor.is_null() {
            last.count = self.count(last.words.as_mut_ptr().cast()) as usize;
            self.is_closed();
        }
        self.large.get_or_insert_default().push(last);
    }

    /// No frame is open.
    fn is_closed(&mut self) {
        self.frame = null_mut();
        (self.cursor, self.limit, self.end) = (null_mut(), null_mut(), null_mut());
        self.entries = 0;
    }

    /// Records in the open frame, whose first byte of payload is at `start`.
    fn count(&self, start: *mut u8) -> u32 {
        match self.stride {
            0 => self.entries,
            stride => ((self.cursor as usize - start as usize) / stride as usize) as u32,
        }
    }

    /// Commits the open frame, if it holds any record.
    fn close(&mut self, now: TickTime) {
        if !self.frame.is_null() {
            // SAFETY: the frame's payload follows its header.
            let count = self.count(unsafe { self.frame.add(FRAME_HEADER) });
            if count > 0 {
                let len = (self.cursor as usize - self.frame as usize).next_multiple_of(FRAME_ALIGN);
                self.commit(NonNull::new(self.frame), len, KIND_RECORDS, now, count);
            }
        }
        self.is_closed();
    }

    fn commit(&mut self, at: Option<NonNull<u8>>, len: usize, kind: u32, now: TickTime, count: u32) {
        let at = at.unwrap_or_else(|| unreachable!("a frame has an address"));
        let header = Header {
            len: len as u32,
            kind,
            tick: now.tick.0,
            watermark: self.sent.0,
            time: now.time.0,
            count,
            stride: self.stride,
            overdue: if kind == KIND_RECORDS { self.frame_overdue.0 } else { EventTime::MIN.0 },
        };
        // SAFETY: the span was claimed for this frame.
        unsafe { at.cast::<Header>().write(header) };
        self.ring.commit(len);
    }

    /// Ends a tick: what it sent becomes visible, with the sender's `watermark` as of the tick's end, and the `latest` time that the sender has
    /// heard of in the tick, if the receiver waits for that. Returns whether anything was sent.
    pub(crate) fn seal(&mut self, now: TickTime, latest: EventTime, watermark: EventTime) -> bool {
        // An idle shard says so by a watermark beyond all others, and takes that back when it speaks again.
        if self.large.is_some() {
            self.sent = watermark;
            self.send_large(now);
        } else if !self.frame.is_null() {
            self.sent = watermark;
            self.close(now);
        } else if watermark != self.sent && !self.is_timed {
            self.mark(now, watermark);
        }
        if self.is_timed {
            // Of its own, whatever came before: how records lie in frames depends on the room for them.
            self.mark(TickTime { time: latest, ..now }, watermark);
        }
        self.ring.publish()
    }

    fn mark(&mut self, now: TickTime, watermark: EventTime) {
        let (span, _) = self.claim_reserved(FRAME_HEADER);
        self.sent = watermark;
        self.commit(Some(span), FRAME_HEADER, KIND_MARK, now, 0);
    }

    /// Claims a part of the reserve, which [`can_seal`](Self::can_seal) has seen to be there before the tick began.
    fn claim_reserved(&mut self, len: usize) -> (NonNull<u8>, usize) {
        self.ring
            .claim(len, len)
            .unwrap_or_else(|| unreachable!("the reserve was checked before the tick began"))
    }

    /// Hands the owned frames over.
    fn send_large(&mut self, now: TickTime) {
        self.close_large();
        let Some(large) = self.large.take() else { return };
        let count = large.iter().map(|frame| frame.count).sum::<usize>() as u32;
        let len = FRAME_HEADER + FRAME_ALIGN;
        let (span, _) = self.claim_reserved(len);
        // SAFETY: the claimed span holds a header and an address; the box is given away with it.
        unsafe { span.add(FRAME_HEADER).cast::<*mut LargeFrames>().write(Box::into_raw(large)) };
        self.commit(Some(span), len, KIND_LARGE, now, count);
    }

    /// Shows what the tick sent so far, without ending it.
    pub(crate) fn flush(&mut self, now: TickTime) {
        if self.large.is_none() {
            self.close(now);
        } else if self.ring.free(2 * RING_RESERVE) >= 2 * RING_RESERVE {
            // The tick still has to be sealed out of the reserve.
            self.send_large(now);
        }
        self.ring.publish();
    }

    /// Whether one more tick may begin, whatever it will hold: a quarter of the ring is free, which is more than the reserve.
    ///
    /// The reserve alone would do to end the tick, but a receiver that is behind would then be sent oversized frames
    /// without an end.
    pub(crate) fn can_seal(&mut self) -> bool {
        let quarter = self.ring.capacity() / 4;
        self.ring.free(quarter) >= quarter
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::bounds::RING_BYTES_MIN;
    use crate::exchange::frame::{RowFormat, discard, peek, take};
    use crate::exchange::hash;
    use crate::exchange::ring::{Consumer, ring};
    use crate::fault::OutOfMemory;
    use crate::ids::Tick;
    use crate::record::read;
    use crate::state::memory::{HeapMemory, Region};
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;
    use core::fmt::Debug;

    /// What came out of a ring in one tick, with the watermark of its last frame, and how far each record is overdue.
    type Step<T> = (Tick, Vec<T>, EventTime, Vec<EventTime>);

    fn channel<T: Record>(memory: Arc<dyn Memory>) -> (Channel, Consumer) {
        let (producer, consumer) = ring(&HeapMemory, RING_BYTES_MIN).unwrap();
        (Channel::new::<T>(producer, memory), consumer)
    }

    fn now(tick: u64) -> TickTime {
        TickTime { tick: Tick(tick), time: EventTime(tick as i64 * 10) }
    }

    fn heap() -> Arc<dyn Memory> {
        Arc::new(HeapMemory)
    }

    /// Takes up to `frames` frames; returns how many of them were oversized.
    fn receive<T: Record>(ring: &mut Consumer, frames: usize, into: &mut Vec<Step<T>>) -> usize {
        let mut large = 0;
        for _ in 0..frames {
            // SAFETY: a frame is here until it is taken.
            let Some(kind) = ring.peek().map(|at| unsafe { at.read() }.kind) else { break };
            let head = peek(ring).unwrap();
            large += usize::from(kind == KIND_LARGE);
            if into.last().is_none_or(|tock| tock.0 != head.tick) {
                into.push((head.tick, Vec::new(), EventTime::MIN, Vec::new()));
            }
            assert_eq!(head.time.0, head.tick.0 as i64 * 10);
            let tock = into.last_mut().unwrap();
            let watermark = take(ring, head, RowFormat::of::<T>(), |frame| {
                let batch = frame.batch::<T>();
                let overdue = batch.overdue().unwrap_or(EventTime::MIN);
                tock.3.extend(core::iter::repeat_n(overdue, frame.count()));
                match batch.fixed() {
                    Some(rows) => tock.1.extend(rows.iter().map(read::<T>)),
                    None => tock.1.extend(batch.entries().map(|(_, archived)| read::<T>(archived))),
                }
                Ok::<(), core::convert::Infallible>(())
            });
            tock.2 = watermark.unwrap();
        }
        large
    }

    /// Ticks of `make(n)` records through the smallest ring, read a few frames at a time or far behind.
    fn check<T: Record + Clone + PartialEq + Debug>(make: impl Fn(u64) -> T) {
        for seed in 0..6 {
            let (mut channel, mut consumer) = channel::<T>(heap());
            let (mut sent, mut seen) = (Vec::<Step<T>>::new(), Vec::new());
            for tick in 1..200u64 {
                let chance = hash::join(seed, tick);
                while !channel.can_seal() {
                    receive(&mut consumer, 1, &mut seen);
                }
                let records: Vec<T> = (0..chance % 40).map(|n| make(chance.wrapping_add(n * n))).collect();
                let (mut overdue, mut each) = (EventTime::MIN, Vec::new());
                for (n, record) in records.iter().enumerate() {
                    // One tick in three has some that are overdue, alone or several in a row, and what was said may be said again, or taken back.
                    let draw = hash::join(chance, n as u64);
                    if chance.is_multiple_of(3) && draw.is_multiple_of(4) {
                        overdue = EventTime([i64::MIN, 7, 8][(draw >> 8) as usize % 3]);
                        channel.set_overdue((overdue > EventTime::MIN).then_some(overdue));
                    }
                    each.push(overdue);
                    channel.push(record, 0, now(tick)).unwrap();
                    if n % 16 == 15 && chance >> 62 == 0 {
                        channel.flush(now(tick));
                    }
                }
                // It rises, rests, and now and then falls back, as that of a shard which was idle does.
                let watermark = EventTime((chance >> 8) as i64 % 3 + tick as i64 / 5);
                channel.set_overdue(None);
                let quiet = records.is_empty() && sent.last().is_some_and(|last| last.2 == watermark);
                let news = channel.seal(now(tick), EventTime::MIN, watermark);
                assert!(!(news && quiet), "a tick without news costs nothing");
                if !quiet {
                    sent.push((Tick(tick), records, watermark, each));
                }
                receive(&mut consumer, (chance >> 40) as usize % 4, &mut seen);
            }
            receive(&mut consumer, usize::MAX, &mut seen);
            assert!(seen == sent, "seed {seed}");
        }
    }

    #[test]
    fn fixed_records_of_all_sizes() {
        check(|n| n as u8);
        check(|n| (n, n as u8));
        check(|n| (n as u8, u128::from(n)));
        check(|n| [n; 50]);
        check(|n| [n; 511]);
        check(|n| [n; 3_000]);
        check(|_| ());
    }

    #[test]
    fn varying_records_of_all_sizes() {
        check(|n| "x".repeat(n as usize % 50));
        check(|n| "x".repeat(if n % 50 == 0 { 9_000 } else { n as usize % 20 }));
        check(|n| (n, alloc::vec![n; n as usize % 7], Some(String::from("é"))));
        check(|n| Vec::<u64>::with_capacity(n as usize % 2));
    }

    #[test]
    fn what_the_ring_cannot_hold_goes_beside_it_in_order() {
        let (mut channel, mut consumer) = channel::<u64>(heap());
        (0..100_000).for_each(|n: u64| channel.push(&n, 0, now(1)).unwrap());
        channel.seal(now(1), EventTime::MIN, EventTime(5));
        let mut seen: Vec<Step<u64>> = Vec::new();
        assert_eq!(receive(&mut consumer, usize::MAX, &mut seen), 1);
        let none = vec![EventTime::MIN; 100_000];
        assert!(seen == [(Tick(1), (0..100_000).collect(), EventTime(5), none)]);
    }

    #[test]
    fn as_many_as_there_is_room_for_go_through_the_ring() {
        let (mut channel, mut consumer) = channel::<(u64, u64, u64)>(heap());
        let mut seen = Vec::new();
        for tick in 1..500 {
            // In two goes: the second asks while a frame is open.
            for part in [2, 1] {
                let room = channel.room() / part;
                (0..room as u64).for_each(|n| channel.push(&(n, n, n), 0, now(tick)).unwrap());
            }
            channel.seal(now(tick), EventTime::MIN, EventTime::MIN);
            assert_eq!(receive::<(u64, u64, u64)>(&mut consumer, tick as usize % 3, &mut seen), 0);
        }
        assert!(seen.len() > 100);
    }

    #[test]
    fn one_long_record_does_not_change_the_lane_for_good() {
        let (mut channel, mut consumer) = channel::<String>(heap());
        let mut seen: Vec<Step<String>> = Vec::new();
        let room = channel.room();
        channel.push(&"x".repeat(100_000), 0, now(1)).unwrap();
        channel.seal(now(1), EventTime::MIN, EventTime::MIN);
        assert_eq!(receive(&mut consumer, usize::MAX, &mut seen), 1);
        for tick in 2..400 {
            assert!(channel.room() > 0, "an empty ring has room for one");
            channel.push(&String::from("short"), 0, now(tick)).unwrap();
            channel.seal(now(tick), EventTime::MIN, EventTime::MIN);
            assert_eq!(receive(&mut consumer, usize::MAX, &mut seen), 0, "tick {tick}");
        }
        assert!(channel.room() >= room / 2, "{} of {room}", channel.room());
    }

    #[test]
    fn no_tick_begins_while_the_receiver_is_far_behind() {
        let (mut channel, mut consumer) = channel::<u64>(heap());
        let mut ticks = 0;
        while channel.can_seal() {
            ticks += 1;
            (0..1_000).for_each(|n: u64| channel.push(&n, 0, now(ticks)).unwrap());
            channel.seal(now(ticks), EventTime::MIN, EventTime::MIN);
        }
        // Frames beside the ring are limited by what the ring says of them.
        assert!(ticks < 80, "{ticks} ticks of 8,000 bytes each");
        assert_eq!(channel.room(), 0);
        receive::<u64>(&mut consumer, usize::MAX, &mut Vec::new());
        assert!(channel.can_seal() && channel.room() > 0);
    }

    /// Blocks up to a limit, counted.
    struct Limited(Arc<core::sync::atomic::AtomicUsize>, usize);

    struct Counted(
        #[expect(dead_code, reason = "kept for its drop")] Region,
        usize,
        Arc<core::sync::atomic::AtomicUsize>,
    );

    impl Drop for Counted {
        fn drop(&mut self) {
            self.2.fetch_sub(self.1, core::sync::atomic::Ordering::Relaxed);
        }
    }

    impl Memory for Limited {
        fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
            let in_use = self.0.load(core::sync::atomic::Ordering::Relaxed);
            if in_use + bytes > self.1 {
                return Err(OutOfMemory { asked: bytes, in_use, limit: self.1 });
            }
            self.0.fetch_add(bytes, core::sync::atomic::Ordering::Relaxed);
            let region = HeapMemory.map(bytes)?;
            let (ptr, len) = (region.as_ptr(), region.len());
            // SAFETY: the region given away keeps the block alive.
            Ok(unsafe { Region::new(ptr, len, Box::new(Counted(region, bytes, self.0.clone()))) })
        }
    }

    #[test]
    fn refused_memory_is_a_fault_and_nothing_leaks() {
        let in_use = Arc::new(core::sync::atomic::AtomicUsize::new(0));
        let memory = Arc::new(Limited(in_use.clone(), 300_000));
        let (mut channel, mut consumer) = channel::<u64>(memory);
        let fault = (0..100_000).find_map(|n: u64| channel.push(&n, 0, now(1)).err());
        assert!(matches!(fault, Some(Fault::OutOfMemory(_))));
        // Whoever goes on all the same is refused again, and may still end the tick.
        assert!((0..100_000).any(|n: u64| channel.push(&n, 0, now(1)).is_err()));
        channel.seal(now(1), EventTime::MIN, EventTime::MIN);
        assert!(in_use.load(core::sync::atomic::Ordering::Relaxed) > 0);
        drop(channel);
        discard(&mut consumer);
        assert_eq!(in_use.load(core::sync::atomic::Ordering::Relaxed), 0);
    }

    #[test]
    fn a_panic_while_an_oversized_frame_is_read_frees_it_once() {
        extern crate std;
        let in_use = Arc::new(core::sync::atomic::AtomicUsize::new(0));
        let (mut channel, mut consumer) = channel::<u64>(Arc::new(Limited(in_use.clone(), usize::MAX)));
        (0..10_000).for_each(|n: u64| channel.push(&n, 0, now(1)).unwrap());
        channel.seal(now(1), EventTime::MIN, EventTime::MIN);
        let panics = std::panic::AssertUnwindSafe(|| {
            while let Some(head) = peek(&mut consumer) {
                let _ = take::<()>(&mut consumer, head, RowFormat::of::<u64>(), |frame| {
                    if frame.count() > 5_000 { panic!("user code") } else { Ok(()) }
                });
            }
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(in_use.load(core::sync::atomic::Ordering::Relaxed), 0);
        discard(&mut consumer);
        assert!(peek(&mut consumer).is_none());
    }
}
