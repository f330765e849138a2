//! What is said of runs.

use crate::run::{Canary, Configuration};
use clap::ValueEnum;
use pelton::sim::CrashReport;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps what panics say for the report.
pub fn keep_panics() {
    panic::set_hook(Box::new(|info| PANIC.set(info.to_string())));
}

/// What the last panic of this thread said.
pub fn last_panic() -> String {
    PANIC.take()
}

/// The guard, whoever has panicked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says it. Where standard output cannot be written there is nobody left to tell.
pub fn say(what: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// A seed that fails.
pub struct Found {
    /// What was drawn from it.
    pub configuration: Configuration,
    /// What was expected and found.
    pub what: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Configuration { canary, scenario, data, shape, partitions, sending, deliveries, .. } =
            &self.configuration;
        let name = canary.as_ref().and_then(Canary::to_possible_value);
        let canary = name.map_or_else(String::new, |name| format!(" --canary {}", name.get_name()));
        writeln!(f, "FAILED seed {}: {}", scenario.seed, self.what)?;
        writeln!(f, "    {scenario:?}")?;
        writeln!(f, "    {data:?}")?;
        match sending {
            Some(sending) => writeln!(f, "    {shape:?}, {sending:?}, {deliveries:?}")?,
            None => writeln!(f, "    {shape:?}, from {partitions} partitions, {deliveries:?}")?,
        }
        write!(f, "    again: cargo run --release -p pelton-sim -- --seed {}{canary}", scenario.seed)
    }
}

/// What came of many runs.
#[derive(Default)]
pub struct Summary {
    /// Seeds that fail.
    pub failed: Vec<u64>,
    seeds: u64,
    refused: u64,
    total: CrashReport,
}

impl Summary {
    /// Counts the jobs of a seed that were as they should be.
    pub fn add(&mut self, outcomes: &[CrashReport]) {
        self.seeds += 1;
        outcomes.iter().for_each(|outcome| self.add_one(outcome));
    }

    fn add_one(&mut self, outcome: &CrashReport) {
        let CrashReport {
            runs,
            steps,
            killed,
            power_lost,
            stopped,
            cut_moves,
            suspended,
            errors,
            unreadable,
            failed_reads,
            failed_changes,
            flips,
            checkpoints,
            rescaled,
            went_back,
            changed,
            refused_changes,
            ..
        } = *outcome;
        let total = &mut self.total;
        self.refused += u64::from(outcome.refused.is_some());
        total.runs += runs;
        total.steps += steps;
        total.killed += killed;
        total.power_lost += power_lost;
        total.stopped += stopped;
        total.cut_moves += cut_moves;
        total.suspended += suspended;
        total.errors += errors;
        total.unreadable += unreadable;
        total.failed_reads += failed_reads;
        total.failed_changes += failed_changes;
        total.flips += flips;
        total.checkpoints += checkpoints;
        total.rescaled += rescaled;
        total.went_back += went_back;
        total.changed += changed;
        total.refused_changes += refused_changes;
        total.trace ^= outcome.trace;
    }

    /// The sums.
    pub fn told(&self, took: Duration) -> String {
        let CrashReport {
            runs,
            steps,
            killed,
            power_lost,
            stopped,
            cut_moves,
            suspended,
            errors,
            unreadable,
            failed_reads,
            failed_changes,
            flips,
            checkpoints,
            rescaled,
            went_back,
            changed,
            refused_changes,
            trace,
            ..
        } = self.total;
        let seeds = self.seeds + self.failed.len() as u64;
        let hourly = seeds as f64 / took.as_secs_f64() * 3_600.0;
        format!(
            "{seeds} seeds in {:.1} s ({hourly:.0} an hour), {} failed; {runs} runs, {steps} steps, {checkpoints} checkpoints; \
             killed {killed}, power lost {power_lost}, stopped {stopped}, {cut_moves} of these in the middle of a move of key groups, suspended {suspended}, disk errors {errors} ({failed_changes} writes that block and changes of names), reads failed {failed_reads} \
             times, which stopped {unreadable} runs, bits turned over {flips} times, of which \
             {} were refused; {rescaled} changes of shards, {went_back} starts from savepoints, {changed} changes of programs ({refused_changes} refused); trace {trace:016x}",
            took.as_secs_f64(),
            self.failed.len(),
            self.refused,
        )
    }
}
