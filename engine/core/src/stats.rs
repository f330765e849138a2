//! Counters of one shard, readable by anyone while it runs. The shard is their only writer.

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
        }

        /// The counters of one or more shards at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl ShardStats {
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
    /// Steps in which a source was not read because a ring had no room.
    stalls,
    /// Rows that a replay brought again and that the sink has already.
    rows_known,
    /// Ticks taken in again from the journal of an earlier run.
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
