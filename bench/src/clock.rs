//! The clock that the harness measures with: the engine's own, so that a source's idea of "now" and the sink's compare.

/// Monotonic nanoseconds, the same for every thread. A read costs about 20 ns.
#[inline]
pub fn now_ns() -> u64 {
    pelton_runtime::clock::now().0
}
