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

use crate::durability;
use crate::job::Job;
use crate::running::Endings;
use crate::{JobError, Recording};
use pelton_runtime::sim;
pub use pelton_runtime::sim::{
    Chance, CrashReport, Environment, Failure, Faults, Moment, Problem, RunEnd, Scenario, Simulation,
};
#[doc(hidden)]
pub use pelton_runtime::sim::{Mistake, OUTPUT, Simulated};

/// Runs the job to its end, and returns its ingress logs and the digests of its state.
///
/// # Errors
/// When the job is not complete, or a shard fails.
///
/// # Panics
/// When user code panics, or when nothing moves any more though the job has not ended.
pub fn simulate(job: &Job, simulation: &Simulation) -> Result<Recording, JobError> {
    let plan = job.plan();
    plan.check()?;
    Endings::attach_unwatched(&plan);
    sim::simulate(&plan.blueprint(), simulation)
}

/// Runs the job again on the input of a recorded run: the same records in the same ticks, with everything else (`simulation`'s
/// seed, ring size, order of steps) as you like. Output and state come out byte for byte as they were.
///
/// # Errors
/// When the job is not complete, or a shard fails.
///
/// # Panics
/// When the sources do not yield what they yielded, or as for [`simulate`].
pub fn replay(job: &Job, recording: &Recording, simulation: &Simulation) -> Result<Recording, JobError> {
    let plan = job.plan();
    plan.check()?;
    Endings::attach_unwatched(&plan);
    sim::replay(&plan.blueprint(), recording, simulation)
}

/// Runs the job through the runs of a scenario, until it has come to the end of its input.
///
/// A row of an at-least-once sink may be shown in several runs, always under the same name; of the rows by name there must be exactly those
/// of a job that nothing happened to.
///
/// ```
/// use pelton::prelude::*;
/// use pelton::sim::{Scenario, crash_test};
/// use std::collections::BTreeMap;
///
/// let rows = collect();
/// let job = Job::new("count")
///     .source(generate(|w, of| (w as u64..2_000).step_by(of)).partitions(3))
///     .event_time(|n| EventTime::from_millis(*n as i64), in_order())
///     .key_by(|n| n % 10)
///     .window(tumbling(secs(1)))
///     .count()
///     .sink(rows.clone());
/// for seed in 0..3 {
///     crash_test(&job, &Scenario { seed, ..Scenario::default() })?;
///     let named: BTreeMap<_, _> =
///         rows.take_named().into_iter().map(|row| ((row.tick, row.shard, row.seq), row.row)).collect();
///     assert_eq!(named.len(), 20);
///     assert!(named.values().all(|row| row.value == 100));
/// }
/// # Ok::<(), pelton::sim::Failure>(())
/// ```
///
/// # Errors
/// When a promise was broken, with the place where that was seen.
///
/// # Panics
/// When the job, or the engine, panics.
pub fn crash_test(job: &Job, scenario: &Scenario) -> Result<CrashReport, Failure> {
    crash_test_in(job, scenario, &mut Nobody)
}

/// As [`crash_test`], with an environment around the job that sends, receives and looks on.
///
/// # Errors
/// As for [`crash_test`], and when the environment says so.
///
/// # Panics
/// As for [`crash_test`].
pub fn crash_test_in(
    job: &Job,
    scenario: &Scenario,
    environment: &mut dyn Environment,
) -> Result<CrashReport, Failure> {
    crash_test_on(job, scenario, environment, Simulated::new(scenario.seed, Faults::default()))
}

/// As [`crash_test_in`], on a disk that sinks of the job know as well, and of which nobody has made use yet.
///
/// # Errors
/// As for [`crash_test_in`].
///
/// # Panics
/// As for [`crash_test`].
#[doc(hidden)]
pub fn crash_test_on(
    job: &Job,
    scenario: &Scenario,
    environment: &mut dyn Environment,
    disk: Simulated,
) -> Result<CrashReport, Failure> {
    crash_test_changed(std::slice::from_ref(job), &[], scenario, environment, disk)
}

/// As [`crash_test_on`], with several programs of one job: the first one begins, and where a changed job may, another one goes on. Operators in
/// `drop_state` may be missing in some, or have fewer fields.
///
/// # Errors
/// As for [`crash_test_in`].
///
/// # Panics
/// As for [`crash_test`], and without a program.
#[doc(hidden)]
pub fn crash_test_changed(
    programs: &[Job],
    drop_state: &[String],
    scenario: &Scenario,
    environment: &mut dyn Environment,
    disk: Simulated,
) -> Result<CrashReport, Failure> {
    let plans: Vec<_> = programs.iter().map(Job::plan).collect();
    for plan in &plans {
        plan.check().and_then(|()| durability::check(plan)).map_err(|error| Failure {
            seed: scenario.seed,
            run: 0,
            step: 0,
            problem: Problem::Job(Box::new(error)),
            story: Vec::new(),
        })?;
    }
    let blueprints = plans.iter().map(|plan| plan.blueprint()).collect();
    sim::crash_test_changed(blueprints, drop_state, scenario, environment, disk)
}

/// Nobody is there.
struct Nobody;

impl Environment for Nobody {}
