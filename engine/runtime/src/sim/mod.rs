//! The simulator: the shards of a job on one thread, in virtual time, in an order drawn from a seed.
//!
//! [`simulate`] runs a job without storage. [`crash_test`] gives it a data directory on a disk in memory, on which it is killed, loses power, is
//! stopped, and comes back with another number of shards, until it has come to its end. Both run the very code that runs on pinned cores, and what
//! they do follows from the seed alone. Nothing here reads a clock or touches a real disk.
//!
//! Users find this in `pelton::sim`.

mod cause;
mod chance;
mod environment;
mod mistake;
mod outcome;
mod programs;
mod runs;
mod savepoints;
mod scenario;
mod seeded;
mod wall;

#[doc(hidden)]
pub use cause::OUTPUT;
pub use chance::Chance;
pub use environment::{Environment, Moment, RunEnd};
#[doc(hidden)]
pub use mistake::Mistake;
pub use outcome::{CrashReport, Failure, Problem};
pub use pelton_storage::disk::Faults;
#[doc(hidden)]
pub use pelton_storage::disk::Simulated;
pub use runs::{crash_test, crash_test_changed, crash_test_on};
pub use scenario::Scenario;
pub use seeded::{Recording, Simulation, replay, simulate};
