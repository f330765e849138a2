//! Which jobs can be durable. What makes them so is in `pelton_runtime::durability`.

#[cfg(test)]
mod tests;

use crate::JobError;
use crate::job::JobPlan;

/// Refuses what cannot be durable.
pub(crate) fn check(plan: &JobPlan) -> Result<(), JobError> {
    let refuse = |problem: String| Err(JobError::NotDurable { job: plan.name.clone(), problem });
    if let Some(number) = plan.sources.iter().position(|source| !source.is_replayable) {
        return refuse(format!(
            "what source {number} yields is gone with the process; use a source that can be read again, or an `inlet`, whose records \
             are logged"
        ));
    }
    if let Some(stream) = &plan.non_transactional {
        return refuse(format!(
            "the stream `{stream}` is to be delivered exactly once, and its sink is not transactional: it forgets which rows it has; use a sink that remembers \
             (a file, a subscription), or `.deliver(Delivery::AtLeastOnce)`"
        ));
    }
    Ok(())
}
