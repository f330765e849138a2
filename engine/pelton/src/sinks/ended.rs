//! How the run of a job has ended, for those who hold one of its sinks.

use pelton_core::sink::{Ending, Outcome};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Knows whom to ask; clones are the same.
#[derive(Clone, Default)]
pub(super) struct Ended {
    ending: Arc<Mutex<Option<Ending>>>,
}

impl Ended {
    /// A run is about to begin; whether that is news: a sink that stands at several places of a job is told once for each.
    pub(super) fn attach(&self, ending: Ending) -> bool {
        let before = self.ending.lock().unwrap_or_else(PoisonError::into_inner).replace(ending.clone());
        before.is_none_or(|before| !Arc::ptr_eq(&before, &ending))
    }

    /// How the last run that was begun has ended, if it has.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ending.and_then(|ending| ending())
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended").field("outcome", &self.outcome()).finish()
    }
}
