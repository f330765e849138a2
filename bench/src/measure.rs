//! One run of one workload: floor, run, floor, check.
//!
//! While the engine runs, this thread sleeps, and wakes from time to time to read a counter. A throughput run has
//! the clock from the job's start, threads included, until its last thread has left. With durability that includes making the data directory
//! and writing out the last of the log.

use crate::error::BenchError;
use crate::floor::Floor;
use crate::flush::{self, Flush};
use crate::machine::Machine;
use crate::result::{OpenLoop, RunResult, Sample};
use crate::scratch::Scratch;
use crate::workload::{Expected, Load, Produced, Workload};
use pelton::config::Durability;
use pelton::{Config, Running, Stop};
use pelton_cli::Interrupt;
use pelton_cli::Progress;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the counters of a throughput run are read.
const SAMPLE: Duration = Duration::from_millis(25);
/// How often those of a latency run are: each reading takes a core for a moment.
const SAMPLE_QUIET: Duration = Duration::from_secs(1);

/// How long a job that was interrupted is waited for.
const STOP_MAX: Duration = Duration::from_secs(2);

/// How often the twin is looked at.
const TWIN_LOOK: Duration = Duration::from_millis(5);

/// Where a run keeps what is durable, if it keeps anything: a directory of its own, that is gone afterwards unless
/// a place for it was named.
struct ScratchData {
    scratch: Option<Scratch>,
    config: Config,
}

impl ScratchData {
    fn new(config: &Config) -> Result<ScratchData, BenchError> {
        if config.durability == Durability::None {
            return Ok(ScratchData { scratch: None, config: config.clone() });
        }
        let scratch = Scratch::new(config.data.as_deref(), "bench")?;
        let config = Config { data: Some(scratch.path().join("data")), ..config.clone() };
        Ok(ScratchData { scratch: Some(scratch), config })
    }

    /// What was kept stays, if a place for it was named.
    fn leave(self, named: bool) {
        if let Some(scratch) = self.scratch.filter(|_| named) {
            eprintln!("note: what the run has kept is in {}", scratch.keep().join("data").display());
        }
    }

    fn path(&self) -> &Path {
        self.scratch.as_ref().map_or(Path::new("."), Scratch::path)
    }
}

/// What the engine's part of a run came to.
struct Ran {
    seconds: f64,
    throughput: Vec<Sample>,
    produced: Produced,
}

/// Runs `workload` with `load`, and checks its result.
pub fn measure(
    workload: &Workload,
    load: &Load,
    config: &Config,
    machine: &Machine,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<RunResult, BenchError> {
    let ends: Vec<u64> = match load {
        Load::Throughput { .. } => Vec::new(),
        Load::Latency { schedule, window_ms } => schedule.recorded_ends(*window_ms).collect(),
    };
    let (first_half, second_half) = ends.split_at(ends.len() / 2);
    let cores = &config.cores[..config.cores.len().min(config.shards)];
    let floor = |ends: &[u64]| {
        if !ends.is_empty() {
            progress.phase("measuring the machine's floor", 0);
        }
        Floor::measure(cores, config.pin, ends, interrupt)
    };
    let place = ScratchData::new(config)?;
    let flushes = || flush::measure(&place.config, place.path(), interrupt);
    let (before, flushes_before) = (floor(first_half)?, flushes()?);
    let ran = engine(workload, load, &place.config, progress, interrupt)?;
    let (flushes_after, after) = (flushes()?, floor(second_half)?);
    progress.phase("checking the result", 0);
    let expected = expected(workload, *load, interrupt)?;
    let open_loop = open_loop(load, &ran.produced, before.merge(after), &expected);
    let tally = ran.produced.tally;
    let flushes = flushes_before.merge(&flushes_after);
    place.leave(config.data.is_some());
    let flush = (flushes.samples() > 0).then(|| Flush::new(&flushes, ran.produced.latencies.as_ref()));
    Ok(RunResult {
        workload: workload.name,
        events: load.events(),
        seconds: (ran.seconds * 10_000.0).round() / 10_000.0,
        events_per_sec: (load.events() as f64 / ran.seconds) as u64,
        result_rows: tally.rows,
        checksum: tally.checksum,
        expected_rows: expected.tally.rows,
        expected_checksum: expected.tally.checksum,
        correct: tally == expected.tally,
        cores: cores.len(),
        core_ids: cores.to_vec(),
        shards: config.shards,
        driver: format!("{:?}", config.driver).to_lowercase(),
        durability: format!("{:?}", config.durability).to_lowercase(),
        input: workload.input.as_str(),
        version: env!("CARGO_PKG_VERSION"),
        open_loop,
        flush,
        machine: machine.clone(),
        throughput: ran.throughput,
    })
}

/// Prepares the job, then runs it with the clock on.
fn engine(
    workload: &Workload,
    load: &Load,
    config: &Config,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Ran, BenchError> {
    progress.phase("preparing", 0);
    let prepared = (workload.prepare)(load)?;
    let quiet = matches!(load, Load::Latency { .. });
    progress.phase("running", load.events());
    let start = Instant::now();
    let running = prepared.job.start_with(config).map_err(engine_error)?;
    let throughput = watch(&running, start, if quiet { SAMPLE_QUIET } else { SAMPLE }, progress, interrupt);
    let seconds = start.elapsed().as_secs_f64();
    if interrupt.is_raised() {
        running.stop(Stop::Now);
        // So that nothing writes any more where all is removed next.
        running.wait_for(STOP_MAX);
        return Err(BenchError::Interrupted);
    }
    let ended = running.wait().map_err(engine_error)?;
    ended.remarks().iter().for_each(|remark| eprintln!("note: {remark}"));
    Ok(Ran { seconds, throughput, produced: (prepared.produced)() })
}

/// Sleeps until the job is over or interrupted, reading its counters from time to time.
fn watch(
    running: &Running,
    start: Instant,
    every: Duration,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Vec<Sample> {
    let mut samples = Vec::new();
    let (mut last_at, mut last_events) = (0.0, 0);
    while !running.wait_for(every) && !interrupt.is_raised() {
        let events = running.progress().total.records_in;
        let at = start.elapsed().as_secs_f64();
        samples.push(Sample { at, events_per_sec: (events - last_events) as f64 / (at - last_at) });
        (last_at, last_events) = (at, events);
        progress.done(events);
    }
    samples
}

/// What the run should have produced: written down, or computed by the twin.
fn expected(workload: &Workload, load: Load, interrupt: &Interrupt) -> Result<Expected, BenchError> {
    if let Some(known) = workload.known(&load) {
        return Ok(known);
    }
    // A twin takes as long as it takes; on a thread of its own it does not keep Ctrl-C waiting.
    let twin = workload.twin;
    let computing = std::thread::spawn(move || twin(&load));
    while !computing.is_finished() {
        if interrupt.wait(TWIN_LOOK) {
            return Err(BenchError::Interrupted);
        }
    }
    computing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The latency part of a result.
fn open_loop(load: &Load, produced: &Produced, floor: Floor, expected: &Expected) -> Option<OpenLoop> {
    let Load::Latency { schedule, window_ms } = *load else { return None };
    let latencies = produced.latencies.clone()?;
    let emitted_ns = produced.emitted_ns.filter(|&ns| ns > 0)?;
    let machine = floor.latencies(&expected.rows_by_end_ms);
    Some(OpenLoop {
        offered_rate: schedule.rate,
        achieved_rate: (schedule.events() as f64 / (emitted_ns as f64 / 1e9)).round() as u64,
        warmup_seconds: schedule.warmup_ms as f64 / 1000.0,
        duration_seconds: schedule.duration_ms as f64 / 1000.0,
        window_ms,
        latency_us: latencies.percentiles(),
        floor_us: machine.percentiles(),
        clock_gaps: floor.gaps(),
        latencies,
        floor: machine,
    })
}

fn engine_error(error: impl std::error::Error + Send + Sync + 'static) -> BenchError {
    BenchError::Engine(Box::new(error))
}
