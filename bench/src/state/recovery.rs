//! `pelton bench recovery`: how soon a job that was killed gives results again, and whether that grows with its state.
//!
//! ```text
//!  a first life     fills the state, has a checkpoint made, goes on for a while, and is killed
//!  later lives      start, and are killed when the first new result is there
//! ```
//!
//! The clock runs in the parent, from just before a later life is spawned. The first new result is the first released row of a window that
//! holds a record of after the start: everything that was known before has then been recovered, on every shard that the row depends on.
//! The phases are read from the same clock by the child, which says them on its standard output.

use super::job::{Row, job};
use super::source::Touches;
use super::{LOOK, StateOptions, engine_error, pause, wait_for};
use crate::clock::now_ns;
use crate::error::BenchError;
use crate::machine::Machine;
use crate::run::print;
use crate::scratch::Scratch;
use crate::table::thousands;
use pelton::config::Config;
use pelton::sinks::for_each;
use pelton_cli::{Column, Interrupt, Progress, Table};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Load behind the checkpoint, which has to be replayed.
const LOAD: Duration = Duration::from_secs(1);
/// How long Ctrl-C may take to come to this process when it has come to the child.
const GRACE: Duration = Duration::from_millis(300);
/// Later lives of each size.
const LIVES: usize = 5;
/// The most that the time may grow from the least keys to the most, the target.
const RATIO_MAX: f64 = 2.0;

/// What the child is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Fill the state, make a checkpoint, and go on.
    First,
    /// Start with what is there, and say when the first new result was released.
    Later,
}

/// What a later life says, in nanoseconds of the machine's monotonic clock.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Said {
    entered_ns: u64,
    started_ns: u64,
    live_ns: u64,
    first_ns: u64,
}

/// The result of a run; serialised as one line of JSON.
#[derive(Clone, Debug, Serialize)]
pub struct RecoveryResult {
    /// Always `recovery`.
    pub bench: &'static str,
    /// Records for a second.
    pub rate: u64,
    /// What the job is safe from.
    pub durability: String,
    /// How many shards it had.
    pub shards: usize,
    /// How many cores.
    pub cores: usize,
    /// Each number of keys.
    pub sizes: Vec<Recovered>,
    /// The time with the most keys over that with the fewest.
    pub ratio: f64,
    /// What it ran on.
    pub machine: Machine,
}

/// What it took with one number of keys: medians, in milliseconds from the spawn of the process.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Recovered {
    /// The keys.
    pub keys: u64,
    /// Runs that were measured.
    pub lives: usize,
    /// Until the process did anything.
    pub entered_ms: f64,
    /// Until the directory was open and the checkpoint restored.
    pub restored_ms: f64,
    /// Until the log was replayed and something new was taken in.
    pub live_ms: f64,
    /// Until the first new result was released.
    pub first_result_ms: f64,
    /// The longest of all lives, instead of the median.
    pub first_result_ms_max: f64,
}

/// Measures each number of keys. `command` starts this program again, to call [`live`] with the same options.
pub fn recovery(
    options: &StateOptions,
    command: impl Fn(Life, u64, &Path) -> std::io::Result<Command>,
    out: &mut impl Write,
    interrupt: &Interrupt,
) -> Result<(), BenchError> {
    options.check()?;
    let mut sizes = Vec::new();
    for keys in &options.keys {
        let scratch = Scratch::new(options.config.data.as_deref(), "recovery")?;
        let data = scratch.path().join("data");
        let spawn = |life| {
            let mut command = command(life, *keys, &data).map_err(engine_error)?;
            let started = now_ns();
            let child = command.stdout(Stdio::piped()).spawn().map_err(engine_error)?;
            Ok::<_, BenchError>((started, Killed(child)))
        };
        let progress = Progress::quiet(format!("recovery with {} keys", thousands(*keys)));
        progress.phase("filling the state", LIVES as u64 + 1);
        progress.pulse();
        let (_, first) = spawn(Life::First)?;
        first.line(interrupt)?;
        let mut lives = Vec::new();
        while lives.len() < LIVES {
            if interrupt.is_raised() {
                return Err(BenchError::Interrupted);
            }
            let (started, later) = spawn(Life::Later)?;
            progress.at(lives.len() as u64 + 1, "killing it and starting it again");
            let said: Said = serde_json::from_str(&later.line(interrupt)?).map_err(engine_error)?;
            lives.push(
                [said.entered_ns, said.started_ns, said.live_ns, said.first_ns].map(|ns| ms(ns - started)),
            );
        }
        sizes.push(recovered(*keys, lives));
    }
    let times = |by: fn(&Recovered, &Recovered) -> bool| {
        let chosen = sizes.iter().reduce(|one, other| if by(other, one) { other } else { one });
        chosen.map_or(0.0, |size| size.first_result_ms)
    };
    let (least, most) = (times(|a, b| a.keys < b.keys), times(|a, b| a.keys > b.keys));
    let result = RecoveryResult {
        bench: "recovery",
        rate: options.rate,
        durability: format!("{:?}", options.config.durability).to_lowercase(),
        shards: options.config.shards,
        cores: options.config.cores.len().min(options.config.shards),
        ratio: (most / least.max(0.001) * 100.0).round() / 100.0,
        sizes,
        machine: Machine::describe(),
    };
    let json = || serde_json::to_string(&result).expect("a result has only string keys");
    print(out, &if options.json { json() } else { result.to_string() })
}

/// A child that is killed when it is not wanted any more.
struct Killed(Child);

impl Killed {
    /// The next line that it says; then it is killed.
    fn line(mut self, interrupt: &Interrupt) -> Result<String, BenchError> {
        let (said, heard) = channel();
        if let Some(output) = self.0.stdout.take() {
            // A thread of its own, so that Ctrl-C need not wait for the child.
            std::thread::spawn(move || {
                let mut line = String::new();
                let read = BufReader::new(output).read_line(&mut line);
                said.send(read.map(|_| line))
            });
        }
        let line = loop {
            match heard.recv_timeout(LOOK) {
                Ok(line) => break line.map_err(engine_error)?,
                Err(RecvTimeoutError::Disconnected) => break String::new(),
                Err(RecvTimeoutError::Timeout) if interrupt.is_raised() => {
                    return Err(BenchError::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        // Ctrl-C goes to the child, too, and that may have been quicker.
        if line.is_empty() && interrupt.wait(GRACE) {
            return Err(BenchError::Interrupted);
        }
        if line.is_empty() {
            return Err(BenchError::Options(
                "the job under test ended by itself; see what it said above".to_owned(),
            ));
        }
        Ok(line)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // With SIGKILL: the point of it all.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ms(ns: u64) -> f64 {
    (ns as f64 / 10_000.0).round() / 100.0
}

fn recovered(keys: u64, lives: Vec<[f64; 4]>) -> Recovered {
    let sorted = |phase: usize| {
        let mut times: Vec<f64> = lives.iter().map(|life| life[phase]).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let median = |phase| sorted(phase)[lives.len() / 2];
    Recovered {
        keys,
        lives: lives.len(),
        entered_ms: median(0),
        restored_ms: median(1),
        live_ms: median(2),
        first_result_ms: median(3),
        first_result_ms_max: sorted(3)[lives.len() - 1],
    }
}

/// The child: lives until it is killed.
///
/// # Errors
/// When the job cannot be started, or ends by itself.
pub fn live(
    options: &StateOptions,
    life: Life,
    data: &Path,
    interrupt: &Interrupt,
) -> Result<(), BenchError> {
    let entered_ns = now_ns();
    options.check()?;
    let mut config = Config { data: Some(data.to_owned()), ..options.config.clone() };
    config.checkpoint.interval_s = 0;
    let keys = options.keys(options.keys[0], config.shards);
    let source = Touches::new(keys);
    let (first_ns, known) = (Arc::new(AtomicU64::new(u64::MAX)), source.clone());
    let first = first_ns.clone();
    let rows = for_each(move |row: Row| {
        if first.load(Ordering::Relaxed) == u64::MAX
            && known.live().is_some_and(|(_, live_ms)| row.window.end.as_millis() as u64 > live_ms)
        {
            first.fetch_min(now_ns(), Ordering::Relaxed);
        }
    });
    let running = job(source.clone(), rows).start_with(&config).map_err(engine_error)?;
    let started_ns = now_ns();
    match life {
        Life::First => {
            wait_for(&running, interrupt, || source.start_ns().is_some())?;
            running.checkpoint(None).map_err(engine_error)?;
            pause(&running, interrupt, LOAD)?;
            say("ready")?;
        }
        Life::Later => {
            wait_for(&running, interrupt, || first_ns.load(Ordering::Relaxed) != u64::MAX)?;
            let (live_ns, _) = source.live().unwrap_or_default();
            let said = Said { entered_ns, started_ns, live_ns, first_ns: first_ns.load(Ordering::Relaxed) };
            say(&serde_json::to_string(&said).expect("a word has only string keys"))?;
        }
    }
    // To be killed in the middle of it.
    loop {
        pause(&running, interrupt, LOAD)?;
    }
}

fn say(line: &str) -> Result<(), BenchError> {
    print(&mut std::io::stdout().lock(), line)
}

impl fmt::Display for RecoveryResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecoveryResult { rate, durability, shards, cores, ratio, .. } = self;
        writeln!(
            f,
            "from the start of the process to the first new result, at {}/s; durability {durability}, {shards} shards on {cores} cores; \
             milliseconds, medians",
            thousands(*rate)
        )?;
        let columns = ["keys", "process", "restored", "replayed", "first result", "longest"];
        let mut table = Table::new(columns.map(Column::number));
        for size in &self.sizes {
            let times = [size.entered_ms, size.restored_ms, size.live_ms];
            let times = times.into_iter().chain([size.first_result_ms, size.first_result_ms_max]);
            table.row([thousands(size.keys)].into_iter().chain(times.map(|ms| format!("{ms:.1}"))));
        }
        write!(f, "\n{}", table.fitted(None))?;
        let verdict = if *ratio < RATIO_MAX { "below" } else { "NOT below" };
        write!(f, "\nratio of the most keys to the fewest: {ratio}, {verdict} {RATIO_MAX}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_the_median_of_its_lives() {
        let lives = vec![[1.0, 2.0, 3.0, 9.0], [1.5, 2.0, 3.0, 4.0], [9.0, 9.0, 9.0, 5.0]];
        let size = recovered(7, lives);
        assert_eq!((size.entered_ms, size.first_result_ms, size.first_result_ms_max), (1.5, 5.0, 9.0));
    }
}
