//! How far a job is: what it has counted, what it waits for, and what is worth a remark.

use crate::bounds::LATE_ONE_IN;
use crate::waiting::Waiting;
use pelton_core::stats::Counts;
use pelton_runtime::CoreStats;
use pelton_runtime::durability::LateCheckpoint;

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The sum over the shards.
    pub total: Counts,
    /// Each shard.
    pub shards: Vec<Counts>,
    /// Each core.
    pub cores: Vec<CoreStats>,
    /// The checkpoint, or move of key groups, that takes too long, if one does: longer than ten intervals of checkpoints, or a minute if that is
    /// less or there is no interval. It is not given up for that.
    pub late_checkpoint: Option<LateCheckpoint>,
    /// Each operator that waits for a watermark: how far it is, and who holds it back since when. Why has no row come? See
    /// `docs/operating/time.md`.
    pub waiting: Vec<Waiting>,
    /// [`Running::notes`](crate::Running::notes), for who called [`run`](crate::Job::run) and never had a `Running`.
    pub notes: Vec<String>,
}

impl Progress {
    /// What is odd about what was counted so far, one sentence each; for the end of a job. Nothing, as a rule.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let job = Job::new("odd").source(from_iter(|| [100u64, 15, 16, 130]));
    /// let counts = job.event_time(|ms| EventTime::from_millis(*ms as i64), in_order()).key_by(|_| ());
    /// let mut config = Config::default();
    /// config.tick.records_max = 1;
    /// let progress = counts.window(tumbling(millis(10))).count().sink(for_each(|_| ())).run_with(&config)?;
    /// assert!(progress.remarks()[0].starts_with("2 of 4 records were late"));
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    pub fn remarks(&self) -> Vec<String> {
        let Counts { records_in, late, early, .. } = self.total;
        let mut remarks = Vec::new();
        if late > 0 && late.saturating_mul(LATE_ONE_IN) >= records_in {
            remarks.push(format!(
                "{late} of {records_in} records were late: they came after their windows had closed, and are missing from them; a larger \
                 bound in `out_of_order(..)` waits longer"
            ));
        }
        if early > 0 {
            remarks.push(format!(
                "{early} of {records_in} records were early: their times are further ahead of their partition than `early_after(..)` allows, \
                 so they moved no watermark"
            ));
        }
        remarks
    }
}
