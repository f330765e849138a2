//! The one place of the engine that reads clocks.
//!
//! [`now`]: monotonic nanoseconds since the machine started, so readings of different threads compare. About 20 ns a reading:
//! a duty cycle takes one and hands it to every shard. [`wall`]: the time of day, which people and machines put forward and back; read
//! every millisecond, and used for nothing but naming times.

use pelton_core::{EventTime, Nanos};

/// The driver's clock, now.
///
/// ```
/// use pelton_runtime::clock;
/// let before = clock::now();
/// assert!(clock::now() >= before);
/// ```
#[inline]
pub fn now() -> Nanos {
    let time = read(libc::CLOCK_MONOTONIC);
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// The wall clock, now, as time since 1970.
///
/// ```
/// use pelton_runtime::clock;
/// assert!(clock::wall().as_millis() > 1_700_000_000_000, "the clock of this machine was never set");
/// ```
#[inline]
pub fn wall() -> EventTime {
    let time = read(libc::CLOCK_REALTIME);
    EventTime(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
}

#[inline]
fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours, and both clocks exist on every Linux.
    let status = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(status, 0, "the clocks are always readable");
    time
}
