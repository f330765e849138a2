//! Deadlines: up to which event time somebody waits.
//!
//! In a stream whose time is the clock's, time passes without any record. Were each millisecond a tick, a job with nothing to do would
//! write a log of nothing. So each shard says, for each stage that the clock drives, the least watermark at which something that it
//! holds would leave; and stage 0 makes a tick without records only when the clock has come there. Nobody waits: no ticks.
//!
//! The same holds for timers in processing time: a stage says for which time the next one is set.
//!
//! A line is a hint about when to make ticks, and ticks are input that is written down, so what comes out does not depend on how soon
//! it is seen.

use crate::ids::{EventTime, ShardId};
use crate::operator::Due;
use crate::sync::{Arc, AtomicI64, Ordering, Padded};
use alloc::vec::Vec;

/// The deadlines of one stage, one for each shard.
#[derive(Clone)]
pub(crate) struct Deadlines {
    lines: Arc<Vec<Padded<AtomicI64>>>,
}

impl Deadlines {
    /// Lines for `shards` shards, none of which waits.
    pub(crate) fn new(shards: usize) -> Self {
        let line = |_| Padded::new(AtomicI64::new(EventTime::MAX.0));
        Deadlines { lines: Arc::new((0..shards).map(line).collect()) }
    }

    /// Says that `shard` waits for the watermark to reach `due`. Only the shard itself may call this.
    pub(crate) fn publish(&self, shard: ShardId, due: EventTime) {
        self.lines[usize::from(shard.0)].store(due.0, Ordering::Release);
    }

    /// Whether anybody waits for a watermark after `from` and up to `to`.
    pub(crate) fn any_within(&self, from: EventTime, to: EventTime) -> bool {
        self.lines.iter().map(|line| line.load(Ordering::Acquire)).any(|due| from.0 < due && due <= to.0)
    }
}

/// Where a stage says until when it waits, if anybody listens.
#[derive(Clone, Default)]
pub(crate) struct StageDeadlines {
    /// Until which watermark, where a clock has a part in it.
    pub(crate) watermark: Option<Deadlines>,
    /// Until which processing time, where there are timers for that.
    pub(crate) time: Option<Deadlines>,
}

impl StageDeadlines {
    /// Whether anybody listens.
    pub(crate) fn any(&self) -> bool {
        self.watermark.is_some() || self.time.is_some()
    }

    /// As [`Deadlines::publish`].
    pub(crate) fn publish(&self, shard: ShardId, due: Due) {
        if let Some(deadlines) = &self.watermark {
            deadlines.publish(shard, due.watermark);
        }
        if let Some(deadlines) = &self.time {
            deadlines.publish(shard, due.time);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_counts_once_the_time_has_come_and_not_again() {
        let deadlines = Deadlines::new(2);
        let any = |from, to| deadlines.any_within(EventTime(from), EventTime(to));
        assert!(!any(i64::MIN, i64::MAX - 1), "nobody waits");
        deadlines.publish(ShardId(1), EventTime(50));
        assert!(!any(10, 49));
        assert!(any(10, 50) && any(49, 90));
        assert!(!any(50, 90), "they were told");
        deadlines.publish(ShardId(0), EventTime(70));
        assert!(any(50, 70), "a stage that waits for something else hides nobody");
    }
}
