//! The numbers that the engine counts in, each as a type of its own, so that a tick is never taken for a shard.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;
use rkyv::{Archive, Deserialize, Serialize};

/// A logical worker: it owns a share of the key groups, its own source partitions and its own row of rings.
///
/// Shards are virtual. Any number of them runs on any number of cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// An exchange between two stages: a mesh of rings, one for each pair of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub u16);

/// A stage of the job's graph: what a shard does between two exchanges. Stage 0 holds the sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub u16);

/// A logical time, given to a group of records when it enters. Ticks are Lamport clocks, not wall-clock intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// The clock of a stage that will never send again.
    pub const END: Tick = Tick(u64::MAX);
}

/// As people read it: the ticks that stand for the end of the input are called so.
///
/// ```
/// use pelton::Tick;
/// assert_eq!(format!("{}, {}", Tick(7), Tick::END), "tick 7, the end of the input");
/// ```
impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What closes at the end belongs to the last tick before it.
        if self.0 >= Tick::END.0 - 1 {
            f.write_str("the end of the input")
        } else {
            write!(f, "tick {}", self.0)
        }
    }
}

/// A reading of the driver's monotonic clock in nanoseconds. The core never reads a clock: it is handed this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

/// When an event happened, in nanoseconds since the epoch that the job's data uses.
///
/// Printed, and in JSON, it is text in RFC 3339, which counts from the Unix epoch: see [`time`](crate::time).
///
/// A watermark has this type too: a watermark `w` says that no later record has a time below `w`.
///
/// ```
/// use pelton::EventTime;
/// let end = EventTime::from_millis(1_500);
/// assert_eq!(end.as_millis(), 1_500);
/// assert_eq!(end.as_nanos(), 1_500_000_000);
/// ```
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[rkyv(compare(PartialEq))]
pub struct EventTime(pub i64);

/// The time so much later; saturates at the end of the range.
///
/// ```
/// use pelton::EventTime;
/// use std::time::Duration;
/// let (at, minute) = (EventTime::from_secs(90), Duration::from_secs(60));
/// assert_eq!((at + minute, at - minute), (EventTime::from_secs(150), EventTime::from_secs(30)));
/// assert_eq!(EventTime::MAX + minute, EventTime::MAX);
/// ```
impl Add<Duration> for EventTime {
    type Output = EventTime;

    fn add(self, later: Duration) -> EventTime {
        self.plus(i64::try_from(later.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// The time so much earlier; saturates at the beginning of the range.
impl Sub<Duration> for EventTime {
    type Output = EventTime;

    fn sub(self, earlier: Duration) -> EventTime {
        self.minus(i64::try_from(earlier.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl EventTime {
    /// Before every event: the watermark of an input that has shown nothing yet.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// After every event: the watermark of an input that has ended.
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// A time given in nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        EventTime(nanos)
    }

    /// A time given in microseconds; saturates at the ends of the range (about 292 years each way).
    pub const fn from_micros(micros: i64) -> Self {
        EventTime(micros.saturating_mul(1_000))
    }

    /// A time given in milliseconds; saturates at the ends of the range (about 292 years each way).
    pub const fn from_millis(millis: i64) -> Self {
        EventTime(millis.saturating_mul(1_000_000))
    }

    /// A time given in seconds; saturates at the ends of the range (about 292 years each way).
    pub const fn from_secs(secs: i64) -> Self {
        EventTime(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds, rounded towards the past.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds, rounded towards the past.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The time `nanos` later; saturates.
    #[must_use]
    pub const fn plus(self, nanos: i64) -> Self {
        EventTime(self.0.saturating_add(nanos))
    }

    /// The last whole millisecond up to this time.
    #[must_use]
    pub const fn whole_millis(self) -> Self {
        EventTime(self.0.saturating_sub(self.0.rem_euclid(1_000_000)))
    }

    /// The time `nanos` earlier; saturates.
    #[must_use]
    pub const fn minus(self, nanos: i64) -> Self {
        EventTime(self.0.saturating_sub(nanos))
    }
}
