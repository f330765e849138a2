//! How a watermark follows from the records that were seen.

use pelton_core::operator::Timing;
use std::time::Duration;

/// A watermark strategy, made by [`out_of_order`], [`in_order`] or [`from_source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkStrategy(pub(crate) Timing);

/// Records may be up to `bound` older than the newest one of their partition. An older one may come too late for its windows.
///
/// ```
/// use pelton::prelude::*;
/// let strategy = out_of_order(millis(200)).idle_after(secs(5));
/// ```
pub fn out_of_order(bound: Duration) -> WatermarkStrategy {
    WatermarkStrategy(Timing::Bounded { nanos: nanos(bound), idle_nanos: 0 })
}

/// Each partition's records come in the order of their times; equal times are fine.
pub fn in_order() -> WatermarkStrategy {
    out_of_order(Duration::ZERO)
}

/// The source itself says how far it is.
pub fn from_source() -> WatermarkStrategy {
    WatermarkStrategy(Timing::Source)
}

impl WatermarkStrategy {
    /// A partition that has been silent for `limit` no longer holds the watermark back, until its next record. Without this a
    /// silent partition holds it back for ever. Has no effect on [`from_source`].
    #[must_use]
    pub fn idle_after(self, limit: Duration) -> Self {
        WatermarkStrategy(match self.0 {
            Timing::Bounded { nanos: bound, .. } => {
                Timing::Bounded { nanos: bound, idle_nanos: nanos(limit).unsigned_abs().max(1) }
            }
            other => other,
        })
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
