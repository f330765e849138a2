//! A byte ring from one shard to another: single producer, single consumer, lock-free.
//!
//! The producer claims a contiguous span, frames are written into it in place, commits what it used, and publishes
//! all that it committed with one store. The consumer reads frames in place and releases them with one store.
//! Both ends cache the other's position, so an end touches the shared line only when its own view runs out.
//!
//! ```text
//!  0                                                        capacity (a power of two)
//!  | free | released by the consumer .. published .. committed | claimed | free |
//!         ^ head                        ^ tail (shared)        ^ write (producer's own)
//! ```
//!
//! Positions only grow; the offset is the position modulo the capacity. A span that would cross the end is preceded by a
//! wrap marker, so what is read is always contiguous. The ring knows the first eight bytes of a frame (length, kind)
//! and nothing else about it. This file holds the unsafe code of shared ring memory.

use crate::bounds::{FRAME_ALIGN, RING_BYTES_MIN};
use crate::fault::OutOfMemory;
use crate::state::memory::{Memory, Region};
use crate::sync::{Arc, AtomicUsize, Granules, Ordering, Padded};
use core::ptr::NonNull;

/// The kind of frame that fills the end of the ring and is skipped.
pub const KIND_WRAP: u32 = 3;

/// The first bytes of everything in a ring.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    /// Bytes with the header and the padding: a multiple of [`FRAME_ALIGN`].
    pub len: u32,
    /// What follows.
    pub kind: u32,
}

struct RingState {
    region: Region,
    capacity: usize,
    granules: Granules,
    /// Released by the consumer.
    head: Padded<AtomicUsize>,
    /// Published by the producer.
    tail: Padded<AtomicUsize>,
}

impl RingState {
    fn at(&self, position: usize) -> *mut u8 {
        // SAFETY: the mask keeps the offset inside of the region.
        unsafe { self.region.as_ptr().as_ptr().add(position & (self.capacity - 1)) }
    }
}

/// The writing end. There is exactly one.
pub struct Producer {
    shared: Arc<RingState>,
    write: usize,
    /// Bytes of the span that was claimed last, until it is committed.
    claimed: usize,
    published: usize,
    head: usize,
}

/// The reading end. There is exactly one.
pub struct Consumer {
    shared: Arc<RingState>,
    head: usize,
    tail: usize,
    /// Bytes of the frame that was shown last, until it is consumed.
    shown: usize,
}

// SAFETY: each end is the only one of its kind; what they share is the atomics and bytes that the positions hand over.
unsafe impl Send for Producer {}
// SAFETY: as above.
unsafe impl Send for Consumer {}

/// A ring of `capacity` bytes.
///
/// # Errors
/// When the memory limit does not allow it.
///
/// # Panics
/// When the capacity is not a power of two of at least [`RING_BYTES_MIN`], or the memory hands out less than was asked for.
pub fn ring(memory: &dyn Memory, capacity: usize) -> Result<(Producer, Consumer), OutOfMemory> {
    assert!(capacity.is_power_of_two() && capacity >= RING_BYTES_MIN, "ring of {capacity} bytes");
    let region = memory.map(capacity)?;
    // A `Memory` is anybody's, and frames are written as far as the capacity says.
    assert!(
        region.len() >= capacity,
        "{capacity} bytes were asked for, and a block of {} came",
        region.len()
    );
    let shared = Arc::new(RingState {
        region,
        capacity,
        granules: Granules::new(capacity),
        head: Padded::new(AtomicUsize::new(0)),
        tail: Padded::new(AtomicUsize::new(0)),
    });
    let consumer = Consumer { shared: shared.clone(), head: 0, tail: 0, shown: 0 };
    Ok((Producer { shared, write: 0, claimed: 0, published: 0, head: 0 }, consumer))
}

impl Producer {
    /// Bytes of the whole ring.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Bytes that are free, as far as this end knows; looks again when it knows of fewer than `wanted`.
    pub fn free(&mut self, wanted: usize) -> usize {
        let free = self.shared.capacity - (self.write - self.head);
        if free >= wanted {
            return free;
        }
        self.head = self.shared.head.load(Ordering::Acquire);
        self.shared.capacity - (self.write - self.head)
    }

    /// Bytes from the write position to the end of the ring, where a frame has to stop.
    pub fn to_end(&self) -> usize {
        self.shared.capacity - (self.write & (self.shared.capacity - 1))
    }

    /// A contiguous span of at least `min` and at most `max` bytes to write the next frame in.
    ///
    /// `None` leaves everything as it was. A frame of more than half the ring may find no place even in an empty one, since what is
    /// left before the end cannot be a part of it. A claim that is not [committed](Self::commit) never happened.
    ///
    /// # Panics
    /// When the bounds are no multiples of [`FRAME_ALIGN`], or `min` is 0, above `max`, or more than the ring has.
    pub fn claim(&mut self, min: usize, max: usize) -> Option<(NonNull<u8>, usize)> {
        assert!(min.is_multiple_of(FRAME_ALIGN) && max.is_multiple_of(FRAME_ALIGN) && min <= max && min > 0);
        assert!(min <= self.shared.capacity, "a frame of {min} bytes in a ring of {}", self.shared.capacity);
        self.claimed = 0;
        let to_end = self.to_end();
        if to_end < min {
            if self.free(to_end + min) < to_end + min {
                return None;
            }
            let marker = Prefix { len: to_end as u32, kind: KIND_WRAP };
            self.shared.granules.write(&self.shared.region, self.shared.at(self.write), FRAME_ALIGN);
            // SAFETY: the bytes up to the end are free, at least one granule, and aligned to 16.
            unsafe { self.shared.at(self.write).cast::<Prefix>().write(marker) };
            self.write += to_end;
            return self.claim(min, max);
        }
        let len = self.free(max).min(to_end).min(max) & !(FRAME_ALIGN - 1);
        (len >= min).then(|| {
            self.claimed = len;
            let at = self.shared.at(self.write);
            self.shared.granules.write(&self.shared.region, at, len);
            // SAFETY: a position inside of the region is not null.
            (unsafe { NonNull::new_unchecked(at) }, len)
        })
    }

    /// Ends the frame in the span that was claimed last, which must begin with its [`Prefix`].
    ///
    /// # Panics
    /// When the frame is longer than the claim, or its prefix says another length: what the other end reads depends on it.
    pub fn commit(&mut self, len: usize) {
        let claimed = core::mem::take(&mut self.claimed);
        assert!(
            len.is_multiple_of(FRAME_ALIGN) && (1..=claimed).contains(&len),
            "a frame of {len} bytes, and {claimed} were claimed"
        );
        // SAFETY: the claimed span is aligned to 16, longer than a prefix, and initialised: the region was zeroed.
        let prefix = unsafe { self.shared.at(self.write).cast::<Prefix>().read() };
        assert!(prefix.len as usize == len, "a frame of {len} bytes that says it has {}", prefix.len);
        self.write += len;
    }

    /// Shows everything committed so far to the consumer. Costs one store, and nothing if there is nothing new.
    pub fn publish(&mut self) -> bool {
        let news = self.published != self.write;
        if news {
            self.published = self.write;
            self.shared.tail.store(self.write, Ordering::Release);
        }
        news
    }
}

impl Consumer {
    /// The next frame, if there is one: its prefix, from which the rest follows in memory.
    ///
    /// The pointer is valid for `len` bytes until [`consume`](Self::consume).
    pub fn peek(&mut self) -> Option<NonNull<Prefix>> {
        loop {
            if self.head == self.tail {
                self.tail = self.shared.tail.load(Ordering::Acquire);
                if self.head == self.tail {
                    return None;
                }
            }
            let at = self.shared.at(self.head).cast::<Prefix>();
            self.shared.granules.read(&self.shared.region, at.cast(), FRAME_ALIGN);
            // SAFETY: a published frame begins here, aligned to 16.
            let prefix = unsafe { at.read() };
            self.shown = prefix.len as usize;
            if prefix.kind == KIND_WRAP {
                self.consume(self.shown);
                continue;
            }
            self.shared.granules.read(&self.shared.region, at.cast(), prefix.len as usize);
            return NonNull::new(at);
        }
    }

    /// Gives the frame that [`peek`](Self::peek) showed, of `len` bytes, back to the producer.
    ///
    /// # Panics
    /// When no frame of that length was shown: the next one would be looked for where none begins.
    pub fn consume(&mut self, len: usize) {
        let shown = core::mem::take(&mut self.shown);
        assert!(len == shown && len > 0, "{len} bytes are given back, and {shown} were shown");
        self.head += len;
        self.shared.head.store(self.head, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::state::memory::HeapMemory;
    use alloc::collections::VecDeque;

    fn send(producer: &mut Producer, len: usize, mark: u32) -> bool {
        let Some((at, _)) = producer.claim(len, len) else { return false };
        // SAFETY: the claimed span holds a prefix.
        unsafe { at.cast::<Prefix>().write(Prefix { len: len as u32, kind: mark << 8 }) };
        producer.commit(len);
        producer.publish()
    }

    /// Frames of all sizes through many rounds of the ring, against a queue of what was sent.
    #[test]
    fn frames_arrive_whole_and_in_order_around_the_end() {
        for seed in 0..50 {
            let (mut producer, mut consumer) = ring(&HeapMemory, RING_BYTES_MIN).unwrap();
            let (mut sent, mut refused) = (VecDeque::new(), 0);
            for mark in 0..3_000 {
                let chance = crate::exchange::hash::join(seed, u64::from(mark));
                let len = (1 + chance as usize % 80) * FRAME_ALIGN;
                match send(&mut producer, len, mark) {
                    true => sent.push_back((len, mark)),
                    false => refused += 1,
                }
                for _ in 0..(chance >> 62).min(1) {
                    let head = consumer.peek().map(|at| {
                        // SAFETY: a frame is here until it is consumed.
                        let prefix = unsafe { at.read() };
                        consumer.consume(prefix.len as usize);
                        (prefix.len as usize, prefix.kind >> 8)
                    });
                    assert_eq!(head, sent.pop_front(), "seed {seed}");
                }
            }
            assert!(refused > 100, "the ring was full at times");
        }
    }

    #[test]
    fn the_whole_ring_can_be_one_frame_and_no_more() {
        let (mut producer, mut consumer) = ring(&HeapMemory, RING_BYTES_MIN).unwrap();
        for round in 0..3 {
            assert!(send(&mut producer, RING_BYTES_MIN, round));
            assert!(producer.claim(FRAME_ALIGN, FRAME_ALIGN).is_none() && !producer.publish());
            assert!(consumer.peek().is_some());
            consumer.consume(RING_BYTES_MIN);
            assert!(consumer.peek().is_none());
        }
    }

    /// What a caller may get wrong without `unsafe`, each in a ring in which a frame of 64 bytes is claimed and another was published.
    #[test]
    fn lengths_that_are_not_those_of_a_frame_panic() {
        extern crate std;
        use std::panic::{AssertUnwindSafe, catch_unwind};
        type Call = fn(&mut Producer, &mut Consumer);
        let calls: [(&str, Call); 11] = [
            ("more than the ring", |p, _| _ = p.claim(2 * RING_BYTES_MIN, 2 * RING_BYTES_MIN)),
            ("more than there is", |p, _| _ = p.claim(usize::MAX & !15, usize::MAX & !15)),
            ("nothing", |p, _| _ = p.claim(0, 16)),
            ("odd", |p, _| _ = p.claim(17, 32)),
            ("committed beyond the claim", |p, _| p.commit(80)),
            ("committed far beyond", |p, _| p.commit(usize::MAX & !15)),
            ("committed without its prefix", |p, _| p.commit(48)),
            ("committed twice", |p, _| {
                p.commit(64);
                p.commit(64);
            }),
            ("consumed unseen", |_, c| c.consume(64)),
            ("consumed in part", |_, c| {
                c.peek();
                c.consume(32);
            }),
            ("consumed beyond", |_, c| {
                c.peek();
                c.consume(usize::MAX);
            }),
        ];
        for (name, call) in calls {
            let (mut producer, mut consumer) = ring(&HeapMemory, RING_BYTES_MIN).unwrap();
            assert!(send(&mut producer, 64, 1));
            let (at, _) = producer.claim(64, 64).unwrap();
            // SAFETY: the claimed span holds a prefix.
            unsafe { at.cast::<Prefix>().write(Prefix { len: 64, kind: 0 }) };
            let outcome = catch_unwind(AssertUnwindSafe(|| call(&mut producer, &mut consumer)));
            assert!(outcome.is_err(), "{name}");
        }
    }

    #[test]
    fn a_claim_that_is_not_committed_never_happened() {
        let (mut producer, mut consumer) = ring(&HeapMemory, RING_BYTES_MIN).unwrap();
        assert!(producer.claim(64, 1024).is_some());
        assert!(!producer.publish() && consumer.peek().is_none());
        assert!(send(&mut producer, 64, 1));
        // Committed without being published is invisible too.
        let (at, _) = producer.claim(64, 64).unwrap();
        // SAFETY: the claimed span holds a prefix.
        unsafe { at.cast::<Prefix>().write(Prefix { len: 64, kind: 0 }) };
        producer.commit(64);
        assert!(consumer.peek().is_some());
        consumer.consume(64);
        assert!(consumer.peek().is_none());
        assert!(producer.publish() && consumer.peek().is_some());
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use crate::state::memory::HeapMemory;
    use loom::thread;

    /// Sends one frame if there is room, the rest of which it fills with `mark`.
    fn send(producer: &mut Producer, len: usize, mark: u32) -> bool {
        let Some((at, _)) = producer.claim(len, len) else { return false };
        // SAFETY: the claimed span holds a prefix.
        unsafe { at.cast::<Prefix>().write(Prefix { len: len as u32, kind: mark << 8 }) };
        producer.commit(len);
        producer.publish()
    }

    fn receive(consumer: &mut Consumer) -> Option<u32> {
        let at = consumer.peek()?;
        // SAFETY: a frame is here until it is consumed.
        let prefix = unsafe { at.read() };
        consumer.consume(prefix.len as usize);
        Some(prefix.kind >> 8)
    }

    /// `lens` go through a ring of 64 bytes, each as soon as it fits; they arrive in order, and no byte is read while it is written.
    fn check(lens: &'static [usize]) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let (mut producer, mut consumer) = ring(&HeapMemory, 64).unwrap();
            let sender = thread::spawn(move || {
                for (mark, &len) in lens.iter().enumerate() {
                    while !send(&mut producer, len, mark as u32) {
                        thread::yield_now();
                    }
                }
            });
            for mark in 0..lens.len() {
                let found = loop {
                    match receive(&mut consumer) {
                        Some(found) => break found,
                        None => thread::yield_now(),
                    }
                };
                assert_eq!(found, mark as u32);
            }
            assert!(receive(&mut consumer).is_none());
            sender.join().unwrap();
        });
    }

    #[test]
    fn frames_that_fill_the_ring_wait_for_the_consumer() {
        check(&[32, 32, 32]);
    }

    #[test]
    fn a_frame_that_does_not_fit_before_the_end_goes_around_it() {
        check(&[48, 32, 32]);
    }

    #[test]
    fn several_frames_are_published_at_once() {
        loom::model(|| {
            let (mut producer, mut consumer) = ring(&HeapMemory, 64).unwrap();
            let sender = thread::spawn(move || {
                for mark in 0..2 {
                    let (at, _) = producer.claim(16, 16).unwrap();
                    // SAFETY: the claimed span holds a prefix.
                    unsafe { at.cast::<Prefix>().write(Prefix { len: 16, kind: mark << 8 }) };
                    producer.commit(16);
                }
                producer.publish();
            });
            if let Some(first) = receive(&mut consumer) {
                assert_eq!((first, receive(&mut consumer)), (0, Some(1)));
            }
            sender.join().unwrap();
        });
    }
}
