//! Pelton: a deterministic stream-processing engine for latency-critical services.
//!
//! A [`Job`] is a graph of typed streams. It runs on pinned cores, each of which owns a share of the keys; what comes out depends on
//! the input alone, never on threads or timing.
//!
//! ```
//! use pelton::prelude::*;
//!
//! #[pelton::record]
//! struct Bid {
//!     auction: u64,
//!     time: EventTime,
//! }
//!
//! // A thousand bids, one per millisecond, every tenth of them on auction 7.
//! let bids = from_iter(|| {
//!     (0..1_000).map(|i| Bid { auction: if i % 10 == 0 { 7 } else { i }, time: EventTime::from_millis(i as i64) })
//! });
//! let hottest = collect();
//!
//! let job = Job::new("hot-items")
//!     .source(bids)
//!     .event_time(|bid| bid.time, out_of_order(Duration::from_millis(100)))
//!     .key_by(|bid| bid.auction)
//!     .window(hopping(secs(1), millis(500)))
//!     .aggregate(count())
//!     .window_all()
//!     .max_by(|row| row.value)
//!     .sink(hottest.clone());
//! job.run()?;
//!
//! let rows = hottest.take();
//! assert_eq!(rows.len(), 3);
//! assert!(rows.iter().all(|row| row.value.key == 7));
//! # Ok::<(), pelton::JobError>(())
//! ```
//!
//! What is promised, and tested:
//!
//! * The same ingress logs (the same records in the same ticks) give byte-identical output and state, whatever the threads, their
//!   interleaving, the sizes of rings and the speeds.
//! * The same input with another number of shards or cores, or cut into other ticks, gives the same results, row for row once
//!   ordered by (window end, key), and the same late records, as long as the source has the same partitions and none of them is idle.

pub mod aggregate;
mod bounds;
#[cfg(feature = "cli")]
pub mod cli;
mod deduplicate;
mod durability;
pub mod flow;
mod grouping;
mod hints;
mod job;
mod join;
mod keyed;
pub mod prelude;
mod process;
pub mod replay;
mod running;
mod sessions;
mod settings;
mod signals;
pub mod sim;
pub mod sinks;
mod sort;
pub mod sources;
mod stream;
mod waiting;
mod watermarks;
mod window_aggregates;

#[doc(hidden)]
pub use pelton_core as core;
#[doc(hidden)]
pub use rkyv;

pub use grouping::{ByExchange, Grouping, OnShard};
pub use job::Job;
pub use join::{
    Inner, InnerRows, InnerRowsWithLate, InnerWindows, JoinRows, JoinRowsWithLate, JoinedWindows, Joining,
};
pub use keyed::{AllWindows, Keyed, WindowKind, WindowedStream};
pub use pelton_connect as connect;
pub use pelton_core::record::{Archived, read};
pub use pelton_core::sink::Delivery;
pub use pelton_core::{
    Aggregate, EventTime, Fault, Key, Nanos, Record, ShardId, Tick, Window, Windowed, stats, time, window,
};
pub use pelton_macros::record;
pub use pelton_runtime::config::{self, Config};
pub use pelton_runtime::durability::{CheckpointDone, LateCheckpoint};
pub use pelton_runtime::plan;
pub use pelton_runtime::sim::Recording;
pub use pelton_runtime::{CoreStats, JobError, JobFailure, RunError, StartError, Stop, Stopper};
pub use running::{Progress, Running};
pub use sinks::Outcome;
pub use sort::ByOrd;
pub use stream::{Branch, Stream, Timed, TimedBranch};
pub use waiting::{HeldBy, Origin, Waiting};
pub use watermarks::{WatermarkStrategy, from_source, in_order, out_of_order};

/// The examples of the guide are tests, too.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/getting-started.md")]
    struct GettingStarted;
    #[doc = include_str!("../../../docs/guide/operators.md")]
    struct Operators;
    #[doc = include_str!("../../../docs/guide/time.md")]
    struct Time;
    #[doc = include_str!("../../../docs/guide/changing-a-job.md")]
    struct ChangingAJob;
    #[doc = include_str!("../../../docs/guide/running.md")]
    struct Running;
    #[doc = include_str!("../../../docs/guide/testing.md")]
    struct Testing;
    #[doc = include_str!("../../../docs/guide/sources-and-sinks.md")]
    struct SourcesAndSinks;
    #[doc = include_str!("../../../docs/guide/coming-from.md")]
    struct ComingFrom;
    #[doc = include_str!("../../../docs/guide/when-not.md")]
    struct WhenNot;
}
