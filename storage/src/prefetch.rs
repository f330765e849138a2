//! Asking the processor for memory before it is needed.

const LINE_BYTES: usize = 64;

/// Asks for all cache lines of `bytes`, for soon but not at once. Never faults: of pages that are not mapped yet nothing comes. Does nothing
/// where there is no such instruction.
#[inline]
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..bytes.len()).step_by(LINE_BYTES) {
        // SAFETY: a prefetch is a hint; it reads nothing and never faults.
        unsafe {
            core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T1 }>(
                bytes.as_ptr().wrapping_add(at).cast(),
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
