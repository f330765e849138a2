//! What a crash test came to.

use super::Mode;
use super::verify::Problem;
use pelton::config::{Config, DriverKind};
use pelton_bench::{Latencies, Percentiles};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The result of the cycles with one durability; serialised as one line of JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Always `crash`.
    pub selftest: &'static str,
    /// What the job was to withstand.
    pub durability: &'static str,
    /// The driver.
    pub driver: String,
    /// The seed; with it the same is sent, and killed as often.
    pub seed: u64,
    /// Runs of the process, the last one included.
    pub cycles: u64,
    /// Of them ended by `kill -9`.
    pub kills: u64,
    /// Of those kills, how many struck before the job was ready again.
    pub kills_during_start: u64,
    /// Of the runs, those that were stopped in order.
    pub stops: u64,
    /// Of the runs, those that ended by themselves when the disk's flushes failed.
    pub starved: u64,
    /// What a start said that was refused after the disk had lost writes that the mode does not promise to be durable; the last run then.
    pub refused: Option<String>,
    /// Starts with another number of shards than before.
    pub rescales: u64,
    /// Checkpoints that were completed.
    pub checkpoints: u64,
    /// Different records that were sent.
    pub records: u64,
    /// Transactions among what was sent.
    pub transactions: u64,
    /// Transactions that were given up.
    pub aborted: u64,
    /// Records that were sent again.
    pub resent: u64,
    /// Records that were acknowledged, and then checked.
    pub acknowledged: u64,
    /// Records in the sink's files.
    pub rows: u64,
    /// Windows in the sink's files.
    pub windows: u64,
    /// From a start until the job took in records, in milliseconds.
    pub start_ms: StartTimes,
    /// How long it all took.
    pub seconds: f64,
    /// Whether everything was as it must be.
    pub correct: bool,
    /// What was not.
    pub problems: Vec<Problem>,
    /// Where everything is kept, if something was not.
    pub evidence: Option<PathBuf>,
}

/// How long starts took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StartTimes {
    /// Half of them no longer than this.
    pub p50: f64,
    /// 99 % of them no longer than this.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// The driver that one of that name comes to on this machine.
fn resolved(driver: &str) -> String {
    if driver != "auto" {
        return driver.to_owned();
    }
    let chosen = Config { driver: DriverKind::Auto, ..Config::default() }.choose_driver();
    // Where it is left open there is always one that works.
    chosen.map_or_else(|_| driver.to_owned(), |chosen| format!("{:?}", chosen.kind).to_lowercase())
}

impl Report {
    /// The report of a test that has not begun.
    pub fn new(mode: Mode, driver: &str, seed: u64) -> Self {
        Report {
            selftest: "crash",
            durability: mode.name(),
            driver: resolved(driver),
            seed,
            cycles: 0,
            kills: 0,
            kills_during_start: 0,
            stops: 0,
            starved: 0,
            refused: None,
            rescales: 0,
            checkpoints: 0,
            records: 0,
            transactions: 0,
            aborted: 0,
            resent: 0,
            acknowledged: 0,
            rows: 0,
            windows: 0,
            start_ms: Latencies::default().percentiles().into(),
            seconds: 0.0,
            correct: false,
            problems: Vec::new(),
            evidence: None,
        }
    }
}

impl Report {
    /// A few words for somebody who waits.
    pub fn so_far(&self) -> String {
        let Report { cycles, kills, checkpoints, .. } = self;
        format!("runs {cycles}, killed {kills}, checkpoints {checkpoints}")
    }
}

impl From<Percentiles> for StartTimes {
    fn from(us: Percentiles) -> Self {
        let ms = |us: f64| (us / 100.0).round() / 10.0;
        StartTimes { p50: ms(us.p50), p99: ms(us.p99), max: ms(us.max) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            durability,
            cycles,
            kills,
            kills_during_start,
            stops,
            starved,
            rescales,
            checkpoints,
            ..
        } = self;
        writeln!(
            f,
            "durability {durability}: {cycles} runs, {kills} killed ({kills_during_start} of them while starting), {stops} \
             stopped, {starved} without flushes, {rescales} with another number of shards; {checkpoints} checkpoints"
        )?;
        writeln!(
            f,
            "  sent {} records, {} transactions, {} given up; {} records sent again; {} acknowledged",
            self.records, self.transactions, self.aborted, self.resent, self.acknowledged
        )?;
        writeln!(
            f,
            "  found {} records and {} windows; ready after {} ms at p50, {} at p99; {:.0} s; seed {}",
            self.rows, self.windows, self.start_ms.p50, self.start_ms.p99, self.seconds, self.seed
        )?;
        for problem in &self.problems {
            writeln!(f, "  WRONG: {problem}")?;
        }
        match (&self.evidence, &self.refused) {
            (Some(path), _) => write!(f, "  everything is kept in {}", path.display()),
            (None, Some(refused)) => write!(
                f,
                "  the disk lost what {durability} does not promise to keep, and the start was refused; what was shown is still there: {refused}"
            ),
            (None, None) => {
                write!(f, "  every acknowledged record stands there once, none twice, every window is right")
            }
        }
    }
}
