//! The atomics that shards share, and their stand-ins when loom checks every interleaving.

use crate::state::memory::Region;

#[cfg(not(loom))]
pub(crate) use alloc::sync::Arc;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::Arc;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// A value alone on its pair of cache lines, so that writing it disturbs no other (Intel prefetches lines in pairs).
#[repr(align(128))]
pub(crate) struct Padded<T>(T);

impl<T> Padded<T> {
    pub(crate) fn new(value: T) -> Self {
        Padded(value)
    }
}

impl<T> core::ops::Deref for Padded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Under loom: one checked cell for each 16 bytes of a ring, touched wherever the ring's bytes are, so that a
/// missing ordering shows as a data race. Otherwise nothing.
#[cfg(loom)]
pub(crate) struct Granules(alloc::vec::Vec<loom::cell::UnsafeCell<()>>);
#[cfg(not(loom))]
pub(crate) struct Granules;

#[cfg(loom)]
impl Granules {
    pub(crate) fn new(bytes: usize) -> Self {
        Granules((0..bytes / 16).map(|_| loom::cell::UnsafeCell::new(())).collect())
    }

    fn cells(&self, region: &Region, at: *mut u8, len: usize) -> &[loom::cell::UnsafeCell<()>] {
        let first = (at as usize - region.as_ptr().as_ptr() as usize) / 16;
        &self.0[first..first + len.div_ceil(16)]
    }

    pub(crate) fn write(&self, region: &Region, at: *mut u8, len: usize) {
        self.cells(region, at, len).iter().for_each(|cell| cell.with_mut(|_| ()));
    }

    pub(crate) fn read(&self, region: &Region, at: *mut u8, len: usize) {
        self.cells(region, at, len).iter().for_each(|cell| cell.with(|_| ()));
    }
}

#[cfg(not(loom))]
impl Granules {
    pub(crate) fn new(_: usize) -> Self {
        Granules
    }
    #[inline(always)]
    pub(crate) fn write(&self, _: &Region, _: *mut u8, _: usize) {}
    #[inline(always)]
    pub(crate) fn read(&self, _: &Region, _: *mut u8, _: usize) {}
}
