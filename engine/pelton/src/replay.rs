//! Replays: what a job did, tick by tick, from what it left in its data directory.
//!
//! State is rebuilt from the newest checkpoint before the first tick wanted, and everything that the log holds is taken in again, on one
//! thread. Nothing reaches a sink, and nothing in the directory changes. After each tick the state of each stage is hashed; where the run
//! itself [logged such hashes](crate::config::LogConfig::hash_ticks), the two are compared.
//!
//! Costs a pass over the whole state for each tick, so ask for the ticks around the incident.

use crate::JobError;
use crate::durability;
use crate::job::Job;
use pelton_core::Tick;
use pelton_runtime::config::Config;
use pelton_runtime::durability::replay;
pub use pelton_runtime::durability::replay::manifest;
pub use pelton_runtime::durability::{Replayed, StateHash};
use std::path::Path;

/// Replays `job` from the data directory `data`, and shows `each` the state after every tick from `from` to `to`, in the order (tick,
/// shard, stage). The job must be the one whose data it is; of `config` only sizes count.
///
/// ```
/// use pelton::prelude::*;
/// use pelton::{Tick, replay};
///
/// let data = std::env::temp_dir().join(format!("pelton-doc-replay-{}", std::process::id()));
/// let job = Job::new("digits")
///     .source(from_iter(|| 0..500_000u64))
///     .event_time(|n| EventTime::from_millis(*n as i64), in_order())
///     .key_by(|n| n % 10)
///     .window(tumbling(secs(1)))
///     .count()
///     .sink(collect());
/// let mut config = Config { durability: Durability::Process, data: Some(data.clone()), ..Config::default() };
/// config.log.hash_ticks = 1;
/// // Once the input has ended nothing is logged any more: of the last ticks there is no hash.
/// config.tick.records_max = 1_000;
/// job.run_with(&config)?;
///
/// let replayed = replay::replay(&job, &config, &data, Tick(0), Tick::END, |state| assert!(!state.differs()))?;
/// assert!(replayed.compared > 0);
/// # std::fs::remove_dir_all(&data).unwrap();
/// # Ok::<(), pelton::JobError>(())
/// ```
///
/// # Errors
/// When the data is another job's, damaged, or no longer reaches back to `from`.
pub fn replay(
    job: &Job,
    config: &Config,
    data: &Path,
    from: Tick,
    to: Tick,
    each: impl FnMut(&StateHash),
) -> Result<Replayed, JobError> {
    let plan = job.plan();
    plan.check()?;
    durability::check(&plan)?;
    replay::replay(&plan.blueprint(), config, data, from, to, each)
}
