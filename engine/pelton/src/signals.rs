//! Signals that end a process suspend its jobs first.
//!
//! One listener for the process, there when the first job asks for it. SIGTERM, SIGINT (Ctrl-C) and SIGHUP are treated alike: the first
//! suspends every job that asked, the second stops them at once. The process goes on: `wait` returns, and what the program does then is its own
//! business. A job that asks when a signal has come already is suspended at once.

use crate::JobError;
use pelton_runtime::{Stop, Stopper, Watch};
use std::sync::{Mutex, OnceLock, PoisonError};

#[derive(Default)]
struct Jobs {
    signals: u32,
    running: Vec<(Watch, Stopper)>,
}

static JOBS: Mutex<Jobs> = Mutex::new(Jobs { signals: 0, running: Vec::new() });

/// How a job is stopped after so many signals.
fn how(signals: u32) -> Option<Stop> {
    match signals {
        0 => None,
        1 => Some(Stop::Suspend),
        _ => Some(Stop::Now),
    }
}

fn on_signal() {
    let mut jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
    jobs.signals = jobs.signals.saturating_add(1);
    let how = how(jobs.signals);
    jobs.running.retain(|(watch, _)| !watch.is_over());
    jobs.running.iter().for_each(|(_, stopper)| how.into_iter().for_each(|how| stopper.stop(how)));
}

/// Has signals suspend the job that `stopper` stops.
pub(crate) fn suspend(watch: Watch, stopper: Stopper) -> Result<(), JobError> {
    static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
    let installed = INSTALLED
        .get_or_init(|| pelton_runtime::signals::listen(on_signal).map_err(|error| error.to_string()));
    if let Err(error) = installed {
        let problem = format!("signals cannot be handled here: {error}");
        return Err(JobError::Signals { problem });
    }
    let mut jobs = JOBS.lock().unwrap_or_else(PoisonError::into_inner);
    how(jobs.signals).into_iter().for_each(|how| stopper.stop(how));
    jobs.running.retain(|(watch, _)| !watch.is_over());
    jobs.running.push((watch, stopper));
    Ok(())
}
