//! What a log has done, in numbers.

use std::time::Duration;

/// Number of buckets of [`LogStats::commits_by_time`].
pub const COMMIT_BUCKETS: usize = 24;

/// Counters since the log was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Entries appended.
    pub entries: u64,
    /// Bytes appended, with headers and padding of entries.
    pub bytes: u64,
    /// Groups that were written.
    pub groups: u64,
    /// Bytes of groups that were written.
    pub group_bytes: u64,
    /// Segments begun.
    pub segments: u64,
    /// Of these, recycled ones.
    pub recycled: u64,
    /// Time from submitting a group to seeing its completion, all groups together.
    pub commit_total: Duration,
    /// The longest of these times.
    pub commit_max: Duration,
    /// How many took how long: bucket `i` counts those below 2^i microseconds, and the last one all others.
    pub commits_by_time: [u64; COMMIT_BUCKETS],
}

impl LogStats {
    pub(crate) fn commit(&mut self, took: Duration, bytes: u64) {
        self.groups += 1;
        self.group_bytes += bytes;
        self.commit_total += took;
        self.commit_max = self.commit_max.max(took);
        let bucket = (u64::BITS - (took.as_micros() as u64).leading_zeros()) as usize;
        self.commits_by_time[bucket.min(COMMIT_BUCKETS - 1)] += 1;
    }

    /// An upper bound of the time that a `share` (0 to 1) of the commits took, or `None` before the first.
    pub fn commit_within(&self, share: f64) -> Option<Duration> {
        let wanted = (self.groups as f64 * share).ceil() as u64;
        let mut seen = 0;
        self.commits_by_time.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            (*count > 0 && seen >= wanted).then(|| Duration::from_micros(1 << bucket).min(self.commit_max))
        })
    }
}
