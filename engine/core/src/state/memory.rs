//! Memory that the engine asks for in blocks, so that all of it is counted against one limit.
//!
//! The core owns no allocator policy: the driver hands it a [`Memory`] that maps blocks (huge pages, budget) and
//! refuses what exceeds the configuration. [`Buf`] is the growable array on top of it that tables, runs and sort
//! buffers use. Blocks arrive zeroed and aligned to at least 64 bytes.
//!
//! This file holds the unsafe code of owned raw blocks, and nothing else does.

use crate::fault::OutOfMemory;
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Alignment that every block has at least: one cache line.
pub const BLOCK_ALIGN: usize = 64;

/// Where blocks come from.
pub trait Memory: Send + Sync {
    /// A zeroed block of at least `bytes`, aligned to [`BLOCK_ALIGN`].
    ///
    /// # Errors
    /// When the block would exceed the configured limit.
    fn map(&self, bytes: usize) -> Result<Region, OutOfMemory>;

    /// Counts `bytes` that come from elsewhere: what keys and values own on the heap, and rows in the queues of sources and sinks. Whoever charges
    /// them [refunds](Self::refund) them. Memory without a limit need not count.
    ///
    /// # Errors
    /// When they would exceed the configured limit.
    fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        let _ = bytes;
        Ok(())
    }

    /// `bytes` that were [charged](Self::charge) are gone.
    fn refund(&self, bytes: usize) {
        let _ = bytes;
    }

    /// The configured limit in bytes.
    fn limit(&self) -> usize {
        usize::MAX
    }
}

/// A block of memory. Dropping it gives the block back to where it came from.
pub struct Region {
    ptr: NonNull<u8>,
    len: usize,
    _owner: Box<dyn Send + Sync>,
}

// SAFETY: a region is the only handle to its block, so it may move to, or be looked at from, another thread.
unsafe impl Send for Region {}
// SAFETY: as above; shared access hands out only the address.
unsafe impl Sync for Region {}

impl Region {
    /// Wraps a block that `owner` keeps alive.
    ///
    /// # Safety
    /// `ptr` must be valid for reads and writes of `len` zeroed bytes, aligned to [`BLOCK_ALIGN`], used through
    /// nothing else, and must stay so until `owner` is dropped.
    pub unsafe fn new(ptr: NonNull<u8>, len: usize, owner: Box<dyn Send + Sync>) -> Self {
        Region { ptr, len, _owner: owner }
    }

    /// The first byte.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// Bytes in the block.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the block has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Blocks from the global allocator, without a limit: for tests and tools.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeapMemory;

struct HeapBlock(NonNull<u8>, Layout);

// SAFETY: the block has no thread affinity.
unsafe impl Send for HeapBlock {}
// SAFETY: it is never read through this handle.
unsafe impl Sync for HeapBlock {}

impl Drop for HeapBlock {
    fn drop(&mut self) {
        // SAFETY: the pointer and the layout are those of the allocation in `map`.
        unsafe { dealloc(self.0.as_ptr(), self.1) }
    }
}

impl Memory for HeapMemory {
    fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
        let layout = Layout::from_size_align(bytes.max(BLOCK_ALIGN), BLOCK_ALIGN)
            .map_err(|_| OutOfMemory { asked: bytes, in_use: 0, limit: isize::MAX as usize })?;
        // SAFETY: the layout has a non-zero size.
        let ptr = unsafe { alloc_zeroed(layout) };
        // What the allocator refuses is an error like a limit's: no size that a caller asks for may end the process.
        let limit = isize::MAX as usize;
        let ptr = NonNull::new(ptr).ok_or(OutOfMemory { asked: bytes, in_use: 0, limit })?;
        // SAFETY: freshly allocated, zeroed, aligned, and freed only by the owner.
        Ok(unsafe { Region::new(ptr, layout.size(), Box::new(HeapBlock(ptr, layout))) })
    }
}

/// A growable array whose storage is a [`Region`].
///
/// Growing copies, like a `Vec`; the difference is that growth is counted and may be refused.
pub struct Buf<T> {
    /// The first item; dangling while there is no region.
    base: NonNull<T>,
    region: Option<Region>,
    len: usize,
    capacity: usize,
    memory: Arc<dyn Memory>,
    _items: PhantomData<T>,
}

// SAFETY: the items are owned, as a `Vec`'s are, and the region may move.
unsafe impl<T: Send> Send for Buf<T> {}
// SAFETY: shared access hands out shared items only.
unsafe impl<T: Sync> Sync for Buf<T> {}

impl<T> Buf<T> {
    /// An empty array that will ask `memory` when it grows.
    pub fn new(memory: Arc<dyn Memory>) -> Self {
        const { assert!(align_of::<T>() <= BLOCK_ALIGN, "items must not be aligned beyond a cache line") };
        Buf { base: NonNull::dangling(), region: None, len: 0, capacity: 0, memory, _items: PhantomData }
    }

    /// What it asks when it grows.
    pub(crate) fn memory(&self) -> Arc<dyn Memory> {
        self.memory.clone()
    }

    #[inline(always)]
    fn base(&self) -> *mut T {
        self.base.as_ptr()
    }

    /// Makes room for `additional` more items.
    ///
    /// # Errors
    /// When the memory limit refuses the larger block, or so many items have no size in bytes; the content stays as it was.
    ///
    /// # Panics
    /// When the memory hands out less than was asked for.
    pub fn reserve(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        if additional <= self.capacity - self.len {
            return Ok(());
        }
        self.grow(additional)
    }

    #[cold]
    fn grow(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        let size = size_of::<T>().max(1);
        let capacity = self
            .len
            .checked_add(additional)
            .map(|wanted| wanted.max(self.capacity.saturating_mul(2)).max(16));
        let Some(bytes) = capacity.and_then(|items| items.checked_mul(size)) else {
            return Err(OutOfMemory { asked: usize::MAX, in_use: 0, limit: isize::MAX as usize });
        };
        let capacity = bytes / size;
        let region = self.memory.map(bytes)?;
        // A `Memory` is anybody's, and what follows writes as far as the capacity says.
        assert!(region.len() >= bytes, "{bytes} bytes were asked for, and a block of {} came", region.len());
        // SAFETY: both blocks hold at least `len` items of `T`, and the new one overlaps nothing.
        unsafe { core::ptr::copy_nonoverlapping(self.base(), region.as_ptr().cast().as_ptr(), self.len) };
        self.capacity = capacity;
        self.base = region.as_ptr().cast();
        self.region = Some(region);
        Ok(())
    }

    /// Items that there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Appends an item.
    ///
    /// # Panics
    /// When no room was [reserved](Self::reserve) for it.
    #[inline]
    pub fn push(&mut self, item: T) {
        assert!(self.len < self.capacity, "push without reserve");
        // SAFETY: the index is below the capacity.
        unsafe { self.base().add(self.len).write(item) };
        self.len += 1;
    }

    /// Appends copies of `items`.
    ///
    /// # Panics
    /// When no room was [reserved](Self::reserve) for them.
    pub fn extend_from_slice(&mut self, items: &[T])
    where
        T: Copy,
    {
        assert!(items.len() <= self.capacity - self.len, "extend without reserve");
        // SAFETY: there is room for the items, and what is borrowed mutably does not overlap them.
        unsafe { core::ptr::copy_nonoverlapping(items.as_ptr(), self.base().add(self.len), items.len()) };
        self.len += items.len();
    }

    /// Takes the last item.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the item was initialised, and `len` no longer counts it.
        Some(unsafe { self.base().add(self.len).read() })
    }

    /// Hands all items to `take`, the first first, and keeps the storage. If `take` panics, those that it has not been handed are leaked.
    #[inline]
    pub fn take_all(&mut self, mut take: impl FnMut(T)) {
        let (base, len) = (self.base(), core::mem::take(&mut self.len));
        for number in 0..len {
            // SAFETY: the item was initialised, `len` no longer counts it, and each is read once.
            take(unsafe { base.add(number).read() });
        }
    }

    /// Drops all items and keeps the storage.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Drops the items from number `len` on, if there are any, and keeps the storage.
    pub fn truncate(&mut self, len: usize) {
        let kept = self.len.min(len);
        let items: *mut [T] = &mut self[kept..];
        self.len = kept;
        // SAFETY: exactly these items were initialised, and `len` no longer counts them.
        unsafe { items.drop_in_place() };
    }

    /// Drops all items and gives the storage back.
    pub fn release(&mut self) {
        self.clear();
        (self.base, self.capacity) = (NonNull::dangling(), 0);
        self.region = None;
    }

    /// Makes some of the items zero again.
    pub fn refill_with_zeros(&mut self, items: core::ops::Range<usize>)
    where
        T: Zeroable,
    {
        let items: &mut [T] = &mut self[items];
        // SAFETY: the items are initialised, all-zero bytes are a valid `T`, and such types own nothing.
        unsafe { core::ptr::write_bytes(items.as_mut_ptr(), 0, items.len()) };
    }

    /// Sets the length to `len` zero items, keeping the storage where it suffices.
    ///
    /// # Errors
    /// When the memory limit refuses the block.
    pub fn zero(&mut self, len: usize) -> Result<(), OutOfMemory>
    where
        T: Zeroable,
    {
        self.clear();
        let arrives_zeroed = len > self.capacity;
        self.reserve(len)?;
        if !arrives_zeroed {
            // SAFETY: there is room for `len` items and all-zero bytes are a valid `T`.
            unsafe { core::ptr::write_bytes(self.base(), 0, len) };
        }
        self.len = len;
        Ok(())
    }
}

impl<T> core::ops::Deref for Buf<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` items are initialised.
        unsafe { core::slice::from_raw_parts(self.base(), self.len) }
    }
}

impl<T> core::ops::DerefMut for Buf<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the first `len` items are initialised and borrowed mutably through `self`.
        unsafe { core::slice::from_raw_parts_mut(self.base(), self.len) }
    }
}

impl<T> Drop for Buf<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Types for which all-zero bytes are a value.
///
/// # Safety
/// All-zero bytes must be a valid value of the type.
pub unsafe trait Zeroable {}

// SAFETY: zero is an integer.
unsafe impl Zeroable for u8 {}
// SAFETY: zero is an integer.
unsafe impl Zeroable for u32 {}
// SAFETY: zero is an integer.
unsafe impl Zeroable for u64 {}
// SAFETY: zero is an integer.
unsafe impl Zeroable for u128 {}
// SAFETY: two integers.
unsafe impl Zeroable for (u64, u32) {}
// SAFETY: no value is needed for items that are allowed to be uninitialised.
unsafe impl<T> Zeroable for core::mem::MaybeUninit<T> {}

/// Memory with a limit, for tests.
#[cfg(test)]
pub(crate) mod limited {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Counts what is charged and mapped, up to a limit.
    pub(crate) struct Limited {
        pub(crate) in_use: Arc<AtomicUsize>,
        pub(crate) limit: usize,
    }

    impl Limited {
        pub(crate) fn new(limit: usize) -> Arc<Self> {
            Arc::new(Limited { in_use: Arc::default(), limit })
        }
        pub(crate) fn in_use(&self) -> usize {
            self.in_use.load(Relaxed)
        }
    }

    impl Memory for Limited {
        fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
            struct Owner(Arc<AtomicUsize>, usize, #[expect(dead_code, reason = "held to be dropped")] Region);
            impl Drop for Owner {
                fn drop(&mut self) {
                    self.0.fetch_sub(self.1, Relaxed);
                }
            }
            let region = HeapMemory.map(bytes)?;
            self.charge(region.len())?;
            let (ptr, len) = (region.as_ptr(), region.len());
            let owner = alloc::boxed::Box::new(Owner(self.in_use.clone(), len, region));
            // SAFETY: the owner keeps the block, and nobody else has it.
            Ok(unsafe { Region::new(ptr, len, owner) })
        }
        fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
            let in_use = self.in_use();
            if in_use + bytes > self.limit {
                return Err(OutOfMemory { asked: bytes, in_use, limit: self.limit });
            }
            self.in_use.store(in_use + bytes, Relaxed);
            Ok(())
        }
        fn refund(&self, bytes: usize) {
            self.in_use.fetch_sub(bytes, Relaxed);
        }
        fn limit(&self) -> usize {
            self.limit
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_keeps_and_drops_its_items() {
        let token = Arc::new(());
        let mut buf = Buf::new(Arc::new(HeapMemory));
        for _ in 0..100 {
            buf.reserve(1).unwrap();
            buf.push(token.clone());
        }
        assert_eq!((buf.len(), Arc::strong_count(&token)), (100, 101));
        drop(buf.pop());
        assert_eq!((buf.len(), Arc::strong_count(&token)), (99, 100));
        let mut taken = 0;
        buf.take_all(|item| {
            taken += 1;
            assert_eq!(Arc::strong_count(&item), 101 - taken);
        });
        assert_eq!((buf.len(), taken, Arc::strong_count(&token)), (0, 99, 1));
        buf.reserve(2).unwrap();
        buf.push(token.clone());
        buf.clear();
        assert_eq!(Arc::strong_count(&token), 1);
        assert!(buf.pop().is_none());
    }

    /// Every size near a place where the arithmetic could wrap, at every length: an error or room, never a small block taken for a large one.
    #[test]
    fn no_size_wraps() {
        struct Limited;
        impl Memory for Limited {
            fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
                let limit = 1 << 20;
                if bytes > limit {
                    Err(OutOfMemory { asked: bytes, in_use: 0, limit })
                } else {
                    HeapMemory.map(bytes)
                }
            }
        }
        fn check<T: Copy>(item: T) {
            for len in [0, 1, 15, 16, 17, 100] {
                let mut buf = Buf::<T>::new(Arc::new(Limited));
                buf.reserve(len).unwrap();
                (0..len).for_each(|_| buf.push(item));
                for shift in 40..=64u32 {
                    let near = 1usize.checked_shl(shift).unwrap_or(0);
                    for off in -17isize..=17 {
                        let additional = near.wrapping_add_signed(off);
                        if additional < 1 << 39 {
                            continue;
                        }
                        let error = buf.reserve(additional).expect_err("more than there is");
                        assert!(error.asked >= additional, "{error:?}");
                    }
                }
                assert_eq!(buf.len(), len);
            }
        }
        check(7u64);
        check([7u8; 3]);
        check([7u128; 5]);
    }

    #[test]
    #[should_panic(expected = "push without reserve")]
    fn a_push_behind_a_refused_reserve_panics() {
        let mut buf = Buf::<u64>::new(Arc::new(HeapMemory));
        assert!(buf.reserve(1 << 61).is_err());
        buf.push(1);
    }

    #[test]
    #[should_panic(expected = "and a block of 64 came")]
    fn a_memory_that_gives_less_than_was_asked_for_is_not_believed() {
        struct Stingy;
        impl Memory for Stingy {
            fn map(&self, _: usize) -> Result<Region, OutOfMemory> {
                HeapMemory.map(64)
            }
        }
        let _ = Buf::<u64>::new(Arc::new(Stingy)).reserve(100);
    }

    #[test]
    fn a_refused_growth_keeps_the_content() {
        struct Once(core::sync::atomic::AtomicBool);
        impl Memory for Once {
            fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
                if self.0.swap(true, core::sync::atomic::Ordering::Relaxed) {
                    return Err(OutOfMemory { asked: bytes, in_use: 64, limit: 64 });
                }
                HeapMemory.map(bytes)
            }
        }
        let mut buf = Buf::new(Arc::new(Once(false.into())));
        buf.reserve(16).unwrap();
        (0..16u64).for_each(|i| buf.push(i));
        assert!(buf.reserve(1).is_err());
        assert_eq!(buf.iter().sum::<u64>(), 120);
    }
}
