//! The one place of the engine that reads a clock.
//!
//! Monotonic nanoseconds since the machine started, so readings of different threads compare. About 20 ns a reading:
//! a duty cycle takes one and hands it to every shard.

use pelton_core::Nanos;

/// The time now.
///
/// ```
/// use pelton_runtime::clock;
/// let before = clock::now();
/// assert!(clock::now() >= before);
/// ```
#[inline]
pub fn now() -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours, and the clock exists on every Linux.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    assert_eq!(status, 0, "CLOCK_MONOTONIC is always readable");
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
