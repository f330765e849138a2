//! The seeded driver: a whole job on one thread, in virtual time, in an order drawn from a seed.
//!
//! No cores and no clock are needed, and the same seed gives the same run, so this is how to test a job of your own. The core under it
//! is the very one that runs on pinned cores.
//!
//! ```
//! use pelton::prelude::*;
//! use pelton::sim::{Simulation, simulate};
//!
//! let rows = collect();
//! let job = Job::new("count")
//!     .source(from_iter(|| 0..1_000u64))
//!     .event_time(|n| EventTime::from_millis(*n as i64), in_order())
//!     .key_by(|n| n % 10)
//!     .window(tumbling(secs(1)))
//!     .count()
//!     .sink(rows.clone());
//! for seed in 0..20 {
//!     simulate(&job, &Simulation { seed, shards: 4, ..Simulation::default() })?;
//!     assert!(rows.take().iter().all(|row| row.value == 100));
//! }
//! # Ok::<(), pelton::JobError>(())
//! ```
//!
//! [`crash_test`] goes further: the job has a data directory, on a disk in memory, and is killed, loses power, is stopped, and comes back with
//! another number of shards, until it has come to its end.

mod chance;
mod environment;
mod outcome;
mod runs;
mod scenario;
mod seeded;
mod skipping;
mod wall;

pub use chance::Chance;
pub use environment::{Environment, Moment, RunEnd};
pub use outcome::{CrashReport, Failure, Problem};
pub use pelton_storage::disk::Faults;
pub use runs::{crash_test, crash_test_in};
pub use scenario::Scenario;
pub use seeded::{Simulation, replay, simulate};
