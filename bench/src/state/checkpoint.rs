//! `pelton bench checkpoint`: what checkpoints of much state do to latency, and what they cost.
//!
//! One run, in turns: for a while no checkpoint is made, then one, and so on. A turn with one lasts until what it made superfluous has been
//! deleted. A row's latency counts for the turn in which it was released.
//! Both histograms so see the same job, the same load and the same mood of the machine.

use super::job::{WINDOW_MS, job};
use super::recorder::Recorder;
use super::source::Touches;
use super::{StateOptions, engine_error, pause, wait_for};
use crate::error::BenchError;
use crate::hist::Percentiles;
use crate::machine::Machine;
use crate::run::print;
use crate::scratch::Scratch;
use crate::table::{self, thousands};
use pelton::{Config, Running, Stop};
use pelton_cli::{Column, Interrupt, Progress, Table};
use pelton_storage::Manifest;
use pelton_storage::disk::{Blocking, Disk};
use serde::Serialize;
use std::fmt;
use std::fs::DirEntry;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The shortest turn without a checkpoint.
const TURN: Duration = Duration::from_secs(2);
/// The load before anything is recorded.
const WARM_UP: Duration = Duration::from_secs(3);

/// The result of a run; serialised as one line of JSON.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointResult {
    /// Always `checkpoint`.
    pub bench: &'static str,
    /// Keys in the state.
    pub keys: u64,
    /// Keys that the load touches.
    pub hot: u64,
    /// Records for a second.
    pub rate: u64,
    /// What the job is safe from.
    pub durability: String,
    /// How many shards it had.
    pub shards: usize,
    /// How many cores.
    pub cores: usize,
    /// Latency of rows released while no checkpoint was made.
    pub without_us: Percentiles,
    /// Latency of rows released while one was made.
    pub with_us: Percentiles,
    /// The p99.9 with checkpoints over that without.
    pub p999_ratio: f64,
    /// The checkpoints.
    pub checkpoints: Vec<Made>,
    /// Seconds in which checkpoints were made, and in which none were.
    pub seconds_with: f64,
    /// The other seconds.
    pub seconds_without: f64,
    /// Whether every record that was due was counted once in the small windows.
    pub correct: bool,
    /// What it ran on.
    pub machine: Machine,
}

/// A checkpoint.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Made {
    /// Its number.
    pub number: u64,
    /// Whether it needs no other.
    pub full: bool,
    /// From the command until it was complete, in seconds.
    pub seconds: f64,
    /// What was written for it.
    pub bytes: u64,
}

/// The turns of a run.
struct Turns {
    checkpoints: Vec<Made>,
    seconds_with: f64,
    seconds_without: f64,
    /// The ends of the first and the last recorded window.
    from_ms: u64,
    to_ms: u64,
}

/// Fills the state, and makes checkpoints under load.
pub fn checkpoint(
    options: &StateOptions,
    out: &mut impl Write,
    interrupt: &Interrupt,
) -> Result<(), BenchError> {
    options.check()?;
    let result = measure(options, interrupt)?;
    let text = if options.json {
        serde_json::to_string(&result).expect("a result has only string keys")
    } else {
        result.to_string()
    };
    print(out, &text)?;
    if result.correct { Ok(()) } else { Err(BenchError::Wrong { workloads: vec!["checkpoint"] }) }
}

fn measure(options: &StateOptions, interrupt: &Interrupt) -> Result<CheckpointResult, BenchError> {
    let scratch = Scratch::new(options.config.data.as_deref(), "checkpoint")?;
    let data = scratch.path().join("data");
    let mut config = Config { data: Some(data.clone()), ..options.config.clone() };
    config.checkpoint.interval_s = 0;
    let keys = options.keys(options.keys[0], config.shards);
    let source = Touches::new(keys);
    let recorder = Recorder::new(source.clone());
    let running = job(source.clone(), recorder.clone()).start_with(&config).map_err(engine_error)?;
    let turns = run(&running, &source, &recorder, &data, options.seconds, interrupt);
    running.stop(Stop::Now);
    running.wait().map_err(engine_error)?;
    let Turns { checkpoints, seconds_with, seconds_without, from_ms, to_ms } = turns?;
    let recorded = recorder.take();
    let (with, without) = (recorded.with.percentiles(), recorded.without.percentiles());
    Ok(CheckpointResult {
        bench: "checkpoint",
        keys: keys.keys,
        hot: keys.hot,
        rate: keys.rate,
        durability: format!("{:?}", config.durability).to_lowercase(),
        shards: config.shards,
        cores: config.cores.len().min(config.shards),
        with_us: with,
        without_us: without,
        p999_ratio: hundredths(with.p999 / without.p999.max(0.1)),
        checkpoints,
        seconds_with: hundredths(seconds_with),
        seconds_without: hundredths(seconds_without),
        correct: recorded.records == keys.paced_between(from_ms - WINDOW_MS, to_ms),
        machine: Machine::describe(),
    })
}

/// Waits until the state is there, and then takes turns.
fn run(
    running: &Running,
    source: &Touches,
    recorder: &Recorder,
    data: &Path,
    seconds: u64,
    interrupt: &Interrupt,
) -> Result<Turns, BenchError> {
    let progress = Progress::quiet("checkpoint");
    progress.phase("filling the state", seconds);
    wait_for(running, interrupt, || {
        progress.done(0);
        source.start_ns().is_some()
    })?;
    progress.at(0, "warming up");
    pause(running, interrupt, WARM_UP)?;
    let (began, from_ms) = (Instant::now(), recorder.begin());
    let (mut checkpoints, mut seconds_with, mut seconds_without) = (Vec::new(), 0.0, 0.0);
    let mut turn = TURN;
    loop {
        pause(running, interrupt, turn)?;
        seconds_without += turn.as_secs_f64();
        progress.at(began.elapsed().as_secs(), format!("{} checkpoints", checkpoints.len()));
        if began.elapsed().as_secs() >= seconds {
            break;
        }
        let start = Instant::now();
        recorder.set_making(true);
        let done = running.checkpoint(None).map_err(engine_error)?;
        let seconds = hundredths(start.elapsed().as_secs_f64());
        let manifest = manifest(data)?;
        wait_for(running, interrupt, || is_cleared(data, &manifest))?;
        recorder.set_making(false);
        // The next turn without is as long as this one with.
        turn = start.elapsed().max(TURN);
        seconds_with += start.elapsed().as_secs_f64();
        checkpoints.push(Made { number: done.number, full: is_full(&manifest), seconds, bytes: done.bytes });
    }
    let to_ms = recorder.end();
    wait_for(running, interrupt, || recorder.is_complete())?;
    Ok(Turns { checkpoints, seconds_with, seconds_without, from_ms, to_ms })
}

fn manifest(data: &Path) -> Result<Manifest, BenchError> {
    let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
    let manifest = Manifest::load(&disk, data).map_err(engine_error)?;
    manifest.ok_or_else(|| BenchError::Options("the job keeps no manifest".to_owned()))
}

/// Whether the newest checkpoint needs no other.
fn is_full(manifest: &Manifest) -> bool {
    let newest = manifest.checkpoints.iter().max_by_key(|one| one.number);
    newest.is_some_and(|checkpoint| checkpoint.needs.is_empty())
}

/// Whether what the newest checkpoint made superfluous has been deleted: that is a part of its cost.
fn is_cleared(data: &Path, manifest: &Manifest) -> bool {
    let needed = manifest.referenced();
    let is_needed = |entry: DirEntry| {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        number.is_none_or(|number| needed.binary_search(&number).is_ok())
    };
    data.join("checkpoint").read_dir().is_ok_and(|there| there.flatten().all(is_needed))
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

impl fmt::Display for CheckpointResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CheckpointResult { keys, hot, rate, durability, shards, cores, .. } = self;
        writeln!(
            f,
            "{} keys, {} of them touched at {}/s; durability {durability}, {shards} shards on {cores} cores",
            thousands(*keys),
            thousands(*hot),
            thousands(*rate)
        )?;
        writeln!(f, "\n{}", table::latencies([("without", &self.without_us), ("with", &self.with_us)]))?;
        writeln!(
            f,
            "\np99.9 with checkpoints is {} times that without; {} s with, {} s without; every record {}",
            self.p999_ratio,
            self.seconds_with,
            self.seconds_without,
            if self.correct { "counted once" } else { "should count once, and does NOT" }
        )?;
        if self.checkpoints.is_empty() {
            return Ok(());
        }
        let columns = [Column::number("checkpoint"), Column::text("kind"), Column::number("seconds")];
        let mut table = Table::new(columns.into_iter().chain([Column::number("bytes")]));
        for Made { number, full, seconds, bytes } in &self.checkpoints {
            let kind = if *full { "full" } else { "incremental" };
            table.row([number.to_string(), kind.to_owned(), format!("{seconds:.2}"), thousands(*bytes)]);
        }
        write!(f, "\n\n{}", table.fitted(None).trim_end())
    }
}
