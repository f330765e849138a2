//! Asking the processor for memory before it is needed: a hint, which reads nothing, never faults, whatever the address, and does nothing
//! where there is no such instruction. Nothing comes of pages that are not mapped yet.

/// Into all caches.
const NOW: i32 = 3;
/// Into all caches but the first: it would push out there what is needed now.
const SOON: i32 = 2;
/// Into all caches, to be written: it may be in another core's.
const TO_WRITE: i32 = 7;

const LINE_BYTES: usize = 64;

#[inline(always)]
fn ask<const HOW: i32>(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; it reads nothing and never faults.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<HOW>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[inline(always)]
fn ask_for_lines<const HOW: i32>(start: *const u8, bytes: usize) {
    for line in (0..bytes).step_by(LINE_BYTES) {
        ask::<HOW>(start.wrapping_add(line));
    }
}

/// Asks for the cache line at `at`.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    ask::<NOW>(at.cast());
}

/// Asks for the cache line at `at` in order to write it.
#[inline(always)]
pub(crate) fn prefetch_to_write(at: *const u8) {
    ask::<TO_WRITE>(at);
}

/// Asks for all lines of a slice.
#[inline(always)]
pub(crate) fn prefetch_slice<T>(slice: &[T]) {
    ask_for_lines::<NOW>(slice.as_ptr().cast(), size_of_val(slice));
}

/// Asks for all lines of a slice, for soon but not at once.
#[inline]
pub fn prefetch_soon(bytes: &[u8]) {
    ask_for_lines::<SOON>(bytes.as_ptr(), bytes.len());
}

#[cfg(target_arch = "x86_64")]
const _: () = {
    use core::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _MM_HINT_T1};
    assert!(NOW == _MM_HINT_T0 && SOON == _MM_HINT_T1 && TO_WRITE == _MM_HINT_ET0);
};
