//! `pelton selftest`: the real program against the failures that it promises to withstand.

mod crash;
mod damage;
mod faults;
mod feeder;
mod plan;
mod protocol;
mod report;
mod serve;
mod verify;

use clap::{Args, Subcommand, ValueEnum};
use crash::crash;
use pelton_bench::Scratch;
use pelton_cli::{Interrupt, count, count_in, print};
use report::Report;
use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;

/// Test this program, on this machine, against the failures that it promises to withstand.
#[derive(Args)]
pub struct SelftestCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Kill a job under load at random moments, again and again, and check that nothing is lost or doubled.
    Crash(CrashOptions),
    /// Damage the data directory of a job that was killed, again and again, and check that nothing is lost without a word.
    Damage(damage::DamageOptions),
    /// The job that is killed.
    #[command(hide = true)]
    CrashChild(serve::ServeCommand),
}

/// What a job is to withstand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The death of the process.
    Process,
    /// The loss of power.
    Disk,
}

impl Mode {
    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Process => "process",
            Mode::Disk => "disk",
        }
    }
}

/// How a crash test is run.
#[derive(Args, Clone, Debug)]
pub struct CrashOptions {
    /// Runs of the process, for each durability.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = count_in(1..=u64::MAX))]
    pub cycles: u64,
    /// What the job is to withstand.
    #[arg(long, value_name = "MODES", value_delimiter = ',', default_value = "process,disk")]
    pub durability: Vec<Mode>,
    /// Records for a second.
    #[arg(long, value_name = "RATE", default_value_t = 20_000, value_parser = count_in(1..=10_000_000))]
    pub load: u64,
    /// No new run is begun after so many seconds, for each durability.
    #[arg(long, value_name = "S", value_parser = count)]
    pub seconds_max: Option<u64>,
    /// Producers that send.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = producers)]
    pub producers: u32,
    /// Partitions that they send to.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = count_in(1..=64))]
    pub partitions: u64,
    /// The most shards that the job is started with.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = count_in(1..=64))]
    pub shards_max: u64,
    /// The driver: auto, glommio or threads.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub driver: String,
    /// Keep the data on a file system whose flushes are made to fail now and then; needs root and loop devices.
    #[arg(long)]
    pub faults: bool,
    /// What chance is made of; drawn unless it is given.
    #[arg(long, value_name = "N", value_parser = count)]
    pub seed: Option<u64>,
    /// Where data and output are kept [default: a new directory in ./target, or here].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Print one line of JSON for each durability instead of text.
    #[arg(long)]
    pub json: bool,
}

/// How many producers send.
fn producers(text: &str) -> Result<u32, String> {
    count_in(1..=1_000)(text).map(|number| number as u32)
}

/// Something was lost, doubled, wrong or stuck.
#[derive(Debug)]
pub struct Failed {
    path: PathBuf,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the crash test has failed; data, output and messages are kept in {}", self.path.display())
    }
}

impl Error for Failed {}

impl SelftestCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        match self.action {
            Action::CrashChild(command) => command.run(),
            Action::Crash(options) => options.run(),
            Action::Damage(options) => options.run(),
        }
    }
}

impl CrashOptions {
    fn run(self) -> Result<(), Box<dyn Error>> {
        let interrupt = Interrupt::on_signals();
        let seed = self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
        let scratch = Scratch::new(self.dir.as_deref(), "selftest")?;
        if !self.json {
            print(&format!("seed {seed}, in {}\n", scratch.path().display()))?;
        }
        for mode in &self.durability {
            let report = crash(&self, *mode, seed, scratch.path(), &interrupt)?;
            print(&format!("{}\n", if self.json { json(&report) } else { report.to_string() }))?;
            if !report.correct {
                return Err(Box::new(Failed { path: scratch.keep() }));
            }
        }
        Ok(())
    }
}

fn json(report: &Report) -> String {
    serde_json::to_string(report)
        .unwrap_or_else(|error| unreachable!("a report has only string keys: {error}"))
}
