//! The kinds of watermark, and how far each lets a record be from the newest time.

use crate::ids::EventTime;

/// How a watermark follows from the times that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatermarkKind {
    /// No record is older than the newest by more than this many nanoseconds.
    Bounded {
        /// The bound, 0 for a stream in order.
        nanos: i64,
        /// A partition without records for this long on the driver's clock is idle; 0 means never.
        idle_nanos: u64,
        /// A record that is further ahead of the newest one of its partition is early; `i64::MAX` means never.
        early_nanos: i64,
    },
    /// The source itself says how far it is.
    Source,
    /// Event time is the wall clock; the watermark follows it in whole milliseconds, from one tick to the next.
    Clock,
}

impl WatermarkKind {
    /// Whether a clock or the source itself has a part in it. Only stage 0 has those: what they say is in the ingress log.
    pub fn belongs_to_sources(&self) -> bool {
        matches!(
            self,
            WatermarkKind::Clock | WatermarkKind::Source | WatermarkKind::Bounded { idle_nanos: 1.., .. }
        )
    }

    /// How far the watermark is behind the newest time.
    fn lag(&self) -> i64 {
        match *self {
            WatermarkKind::Bounded { nanos, .. } => nanos,
            WatermarkKind::Source | WatermarkKind::Clock => 0,
        }
    }

    /// The watermark when that is the newest time. The largest bound is none: no two times are further from each other than a user can say.
    pub(super) fn behind(&self, newest: EventTime) -> EventTime {
        match self.lag() {
            i64::MAX => EventTime::MIN,
            nanos => newest.minus(nanos),
        }
    }

    /// How far behind the newest time a record is that is overdue.
    pub(super) fn within(&self) -> u64 {
        self.lag().unsigned_abs() + 1
    }

    /// How far ahead a record may be, if there is a bound.
    pub(super) fn early_nanos(&self) -> Option<i64> {
        match *self {
            WatermarkKind::Bounded { early_nanos, .. } if early_nanos < i64::MAX => Some(early_nanos),
            _ => None,
        }
    }
}
