//! The simulator: jobs of all kinds through crashes, power losses and failing disks, each run drawn from one seed.
//!
//! The engine, the log and the checkpoints are the very ones that run on real cores and disks. What a run is like, and everything that happens
//! in it, follows from its seed, so a seed that fails fails again:
//!
//! ```text
//! cargo run --release -p pelton-sim -- --seed 4711        # that one, and what came of it
//! cargo run --release -p pelton-sim -- --minutes 10       # as many as can be had
//! ```
//!
//! Exit codes: 0 when nothing was found, 1 when something was (with `--canary`: when nothing was).

mod changed;
mod data;
mod database;
mod functions;
mod ingested;
mod jobs;
mod late;
mod names;
mod output;
mod parts;
mod producers;
mod report;
mod run;
mod scripted;

use clap::Parser;
use pelton::config::parse_count;
use report::{Found, Summary};
use run::{Canary, Configuration};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Jobs through crashes, from one seed each.
#[derive(Parser)]
#[command(name = "pelton-sim", version)]
struct Cli {
    /// One seed, with all that there is to say about it.
    #[arg(long, conflicts_with_all = ["seeds", "from", "minutes"], value_parser = parse_count)]
    seed: Option<u64>,
    /// How many seeds; 1,000, unless a time is given.
    #[arg(long, value_parser = parse_count)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0, value_parser = parse_count)]
    from: u64,
    /// Stop after this many minutes.
    #[arg(long)]
    minutes: Option<f64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Makes a mistake in what is around the engine, which must be found.
    #[arg(long)]
    canary: Option<Canary>,
    /// Go on after the first failure, up to this many.
    #[arg(long, default_value_t = 1)]
    failures: usize,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    report::keep_panics();
    let found = match cli.seed {
        Some(seed) => alone(seed, cli.canary),
        None => many(&cli),
    };
    if found == cli.canary.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One seed; whether it fails.
fn alone(seed: u64, canary: Option<Canary>) -> bool {
    let configuration = Configuration::draw(seed, canary);
    report::say(format!("{configuration:#?}"));
    let result = one(&configuration);
    match &result {
        Ok(outcomes) => report::say(format!("{outcomes:#?}")),
        Err(what) => report::say(Found { configuration, what: what.clone() }),
    }
    result.is_err()
}

fn one(configuration: &Configuration) -> Result<Vec<pelton::sim::CrashReport>, String> {
    let seed = configuration.scenario.seed;
    let all = || {
        late::Lateness::draw(seed).run()?;
        // Once more a job takes its time: one seed in four has it.
        if seed.is_multiple_of(4) {
            ingested::Ingestion::draw(seed).run()?;
        }
        let mut outcomes = vec![run::run(configuration)?];
        // And the job once more, with its rows in files.
        if !seed.is_multiple_of(2) {
            let filed = configuration.filed();
            outcomes.push(run::run(&filed).map_err(|what| format!("with files: {what}"))?);
        }
        // Another one, whose program changes.
        if seed % 4 == 2 {
            let changed = configuration.changed();
            outcomes.push(run::run(&changed).map_err(|what| format!("with other programs: {what}"))?);
        }
        Ok(outcomes)
    };
    catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|_| Err(report::last_panic()))
}

/// Seeds, on a number of threads; whether any fails.
fn many(cli: &Cli) -> bool {
    let (next, begun) = (AtomicU64::new(cli.from), Instant::now());
    let end = cli.minutes.map(|minutes| begun + Duration::from_secs_f64(minutes * 60.0));
    let seeds = cli.seeds.unwrap_or(if end.is_some() { u64::MAX } else { 1_000 });
    let last = cli.from.saturating_add(seeds);
    let summary = Mutex::new(Summary::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let enough = |summary: &Summary| summary.failed.len() >= cli.failures.max(1);
            if seed >= last || end.is_some_and(|end| Instant::now() >= end) || enough(&report::lock(&summary))
            {
                return;
            }
            let configuration = Configuration::draw(seed, cli.canary);
            let result = one(&configuration);
            let mut summary = report::lock(&summary);
            match result {
                Ok(outcomes) => summary.add(&outcomes),
                Err(what) => {
                    summary.failed.push(seed);
                    report::say(Found { configuration, what });
                }
            }
        }
    };
    thread::scope(|scope| (0..cli.jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    let summary = report::lock(&summary);
    report::say(summary.told(begun.elapsed()));
    !summary.failed.is_empty()
}
