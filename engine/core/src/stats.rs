//! Counters of one shard, readable by anyone while it runs. The shard is their only writer.

use crate::ids::{EventTime, Nanos};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Progress of one shard. Every counter only grows.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct ShardStats {
            $($(#[$doc])* pub $name: Counter,)*
            /// The watermark of the shard's sources, in nanoseconds of event time.
            pub watermark: AtomicI64,
            /// What each generator hears on this shard.
            pub heard: Vec<Heard>,
            /// The watermark of each stage behind exchanges as of its last tick; that of stage 0 stays at the beginning of time.
            pub stages: Vec<StageWatermark>,
            clock_offset: AtomicU64,
        }

        /// The counters of one or more shards at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl ShardStats {
            /// Counters at 0, with lines for these generators' partitions and so many stages.
            pub(crate) fn new(heard: Vec<Heard>, stages: usize) -> Self {
                let stages = (0..stages).map(|_| StageWatermark::default()).collect();
                ShardStats { heard, stages, ..ShardStats::default() }
            }

            /// What is added to the driver's clock for the times of ticks.
            pub fn clock_offset(&self) -> u64 {
                self.clock_offset.load(Relaxed)
            }

            pub(crate) fn set_clock_offset(&self, offset: u64) {
                self.clock_offset.store(offset, Relaxed);
            }

            /// Reads every counter; they may be a few records apart.
            pub fn read(&self) -> Counts {
                Counts { $($name: self.$name.get(),)* }
            }
        }

        impl core::ops::AddAssign for Counts {
            fn add_assign(&mut self, other: Counts) {
                $(self.$name += other.$name;)*
            }
        }
    };
}
counters! {
    /// Records that entered through sources.
    records_in,
    /// Rows handed to sinks.
    rows_out,
    /// Records that came after every one of their windows had closed, or after what they had to be sorted among or compared with
    /// was gone.
    late,
    /// Records whose time was so far ahead of their partition that they moved no watermark.
    early,
    /// Records that were dropped because one of their key had passed already.
    duplicates,
    /// Ticks that held records or moved a watermark.
    ticks,
    /// Ticks taken over from another shard with nothing to send.
    empty_ticks,
    /// Frames read from rings.
    frames,
    /// Times that a stage looked at one of its inputs for what comes next.
    looks,
    /// Steps in which a source was not read because a ring had no room.
    stalls,
    /// Rows that a replay brought again and that the sink has already.
    rows_known,
    /// Ticks taken in again from the input log of an earlier run.
    replayed_ticks,
    /// Windows closed, counted once per window and shard.
    windows,
}

/// A counter with one writer: adding is a load and a store, not a locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning shard may call this.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Whether what a generator hears counts for its watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeardState {
    /// It does.
    Counts,
    /// It was silent for too long.
    Idle,
    /// It has ended.
    Ended,
}

/// Where a generator is with one partition that it hears on this shard. Written when that changes; the parts may be of two moments.
#[derive(Debug)]
pub struct Heard {
    /// The generator, by its number in the job.
    pub generator: usize,
    /// The partition by its name in the job: the source's number in the upper half, the partition's in the lower one. 0 behind an exchange.
    pub name: u64,
    watermark: AtomicI64,
    since: AtomicU64,
    state: AtomicU64,
}

impl Heard {
    pub(crate) fn new(generator: usize, name: u64) -> Self {
        let watermark = AtomicI64::new(EventTime::MIN.0);
        Heard { generator, name, watermark, since: AtomicU64::new(0), state: AtomicU64::new(0) }
    }

    /// It is there now.
    pub(crate) fn set(&self, watermark: EventTime, state: HeardState, now: Nanos) {
        if watermark == self.watermark() && state == self.state() && self.since() > Nanos(0) {
            return;
        }
        self.watermark.store(watermark.0, Relaxed);
        self.state.store(state as u64, Relaxed);
        self.since.store(now.0, Relaxed);
    }

    /// How far it is.
    pub fn watermark(&self) -> EventTime {
        EventTime(self.watermark.load(Relaxed))
    }

    /// When it came there, on the driver's clock with [its offset](ShardStats::clock_offset).
    pub fn since(&self) -> Nanos {
        Nanos(self.since.load(Relaxed))
    }

    /// Whether it counts.
    pub fn state(&self) -> HeardState {
        match self.state.load(Relaxed) {
            0 => HeardState::Counts,
            1 => HeardState::Idle,
            _ => HeardState::Ended,
        }
    }
}

/// The watermark of a stage on this shard.
#[derive(Debug)]
pub struct StageWatermark(AtomicI64);

impl Default for StageWatermark {
    fn default() -> Self {
        StageWatermark(AtomicI64::new(EventTime::MIN.0))
    }
}

impl StageWatermark {
    pub(crate) fn set(&self, watermark: EventTime) {
        self.0.store(watermark.0, Relaxed);
    }

    /// How far it is.
    pub fn get(&self) -> EventTime {
        EventTime(self.0.load(Relaxed))
    }
}
