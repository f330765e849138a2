//! How a watermark follows from the records that were seen.

use crate::bounds::EARLY_NANOS;
use pelton_core::operator::WatermarkKind;
use std::time::Duration;

/// A watermark strategy, made by [`out_of_order`], [`in_order`] or [`from_source`].
///
/// Which partitions count for the watermark, and when: see `docs/operating/time.md`.
///
/// # Early records
///
/// One record with a wrong time, of tomorrow say, would take the watermark along, and everything after it would be late. So a record that
/// is further ahead of the newest one of its partition than an hour is *early*: it goes on with the others, but moves no watermark.
/// [`Counts::early`](crate::stats::Counts::early) counts such records, and [`event_time_with_early`](crate::Stream::event_time_with_early) gives them
/// a stream of their own. The first record of a partition sets where that begins. Where time really jumps by more, because nothing came
/// for hours, 8 early records in a row are believed, and from then on jumps of that size at once. Until then windows close later than they
/// might: if records of a partition are usually hours apart, say so with [`early_after`](Self::early_after).
///
/// What is early depends on the sequence of the records of a partition, and on nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkStrategy(pub(crate) WatermarkKind);

/// Records may be up to `bound` older than the newest one of their partition. An older one may come too late for its windows.
///
/// ```
/// use pelton::prelude::*;
/// let strategy = out_of_order(millis(200)).idle_after(secs(5));
/// ```
pub fn out_of_order(bound: Duration) -> WatermarkStrategy {
    WatermarkStrategy(WatermarkKind::Bounded { nanos: nanos(bound), idle_nanos: 0, early_nanos: EARLY_NANOS })
}

/// Each partition's records come in the order of their times; equal times are fine.
pub fn in_order() -> WatermarkStrategy {
    out_of_order(Duration::ZERO)
}

/// The source itself says how far it is.
pub fn from_source() -> WatermarkStrategy {
    WatermarkStrategy(WatermarkKind::Source)
}

impl WatermarkStrategy {
    /// A partition that has been silent for `limit` no longer holds the watermark back, until its next record. Without this a
    /// silent partition holds it back for ever. Has no effect on [`from_source`].
    #[must_use]
    pub fn idle_after(self, limit: Duration) -> Self {
        let limit = nanos(limit).unsigned_abs().max(1);
        WatermarkStrategy(match self.0 {
            WatermarkKind::Bounded { nanos, early_nanos, .. } => {
                WatermarkKind::Bounded { nanos, idle_nanos: limit, early_nanos }
            }
            other => other,
        })
    }

    /// A record that is further ahead of the newest one of its partition than `limit` is [early](Self#early-records), instead of one that is
    /// an hour ahead. Has no effect on [`from_source`], where the source says how far it is.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let (rows, early) = (collect(), collect());
    /// // The fourth is of some other year.
    /// let job = Job::new("clocks").source(from_iter(|| [1u64, 2, 3, 90_000_000, 4, 5, 6]));
    /// let seconds = out_of_order(secs(1)).early_after(secs(60));
    /// let (times, odd) = job.event_time_with_early(|s| EventTime::from_millis(*s as i64 * 1_000), seconds);
    /// let _ = times.key_by(|_| ()).window(tumbling(secs(2))).count().map(|row| row.value).sink(rows.clone());
    /// let progress = odd.sink(early.clone()).run_with(&Config::default())?;
    /// assert_eq!(rows.take(), [1, 2, 2, 1]);
    /// assert_eq!((early.take(), progress.total.early, progress.total.late), (vec![90_000_000], 1, 0));
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    #[must_use]
    pub fn early_after(self, limit: Duration) -> Self {
        // The largest of all stands for none.
        self.early(nanos(limit).min(i64::MAX - 1))
    }

    /// No record is ever [early](Self#early-records): each one takes the watermark along, however far.
    #[must_use]
    pub fn never_early(self) -> Self {
        self.early(i64::MAX)
    }

    fn early(self, limit: i64) -> Self {
        WatermarkStrategy(match self.0 {
            WatermarkKind::Bounded { nanos, idle_nanos, .. } => {
                WatermarkKind::Bounded { nanos, idle_nanos, early_nanos: limit }
            }
            other => other,
        })
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
