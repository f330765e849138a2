//! How a job has ended, told to those who wait for its rows.

use super::{Run, failure};
use crate::job::JobPlan;
use pelton_core::sink::{Ending, Outcome};
use pelton_runtime::Watch;
use pelton_runtime::durability::Mailbox;
use std::sync::{Arc, OnceLock};

/// Says to the sinks how the run has ended, once it has. They are told before the run begins, and have to ask.
pub(crate) struct Endings {
    run: Arc<OnceLock<Option<Run>>>,
}

impl Endings {
    /// Tells the sinks of `plan` whom to ask.
    pub(crate) fn attach(plan: &JobPlan) -> Self {
        let run = Arc::<OnceLock<Option<Run>>>::default();
        let asked = run.clone();
        let ending: Ending = Arc::new(move || match asked.get()? {
            Some((watch, mailbox)) => outcome(watch, mailbox.as_deref()),
            None => Some(Outcome::Stopped),
        });
        plan.sinks.iter().for_each(|attach| attach(ending.clone()));
        Endings { run }
    }

    /// Tells the sinks of `plan` that a run begins that nobody can ask about.
    pub(crate) fn attach_unwatched(plan: &JobPlan) {
        let ending: Ending = Arc::new(|| None);
        plan.sinks.iter().for_each(|attach| attach(ending.clone()));
    }

    /// The run has begun.
    pub(crate) fn begun(&self, watch: Watch, mailbox: Option<Arc<Mailbox>>) {
        let _ = self.run.set(Some((watch, mailbox)));
    }
}

impl Drop for Endings {
    fn drop(&mut self) {
        // A run that never began: whoever waits for its rows is told.
        let _ = self.run.set(None);
    }
}

/// How a run has ended, if it has.
pub(super) fn outcome(watch: &Watch, mailbox: Option<&Mailbox>) -> Option<Outcome> {
    if let Some(error) = failure(watch, mailbox) {
        return Some(Outcome::Failed(Arc::new(error)));
    }
    if !watch.is_over() {
        return None;
    }
    Some(match mailbox {
        Some(mailbox) if mailbox.is_suspended() && mailbox.all_closed() => Outcome::Suspended,
        _ if watch.is_undone() => Outcome::Stopped,
        _ => Outcome::Complete,
    })
}
