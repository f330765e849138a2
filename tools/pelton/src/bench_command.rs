//! `pelton bench`: measure the engine on generated load, and check that its results are right.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use pelton_bench::{BenchError, Interrupt, Options};

use crate::config_flags::ConfigFlags;

/// Measure the engine: the default suite, or one workload.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct BenchCommand {
    #[command(subcommand)]
    action: Option<Action>,
    /// What to run; without it, the default suite (about a minute).
    workload: Option<String>,
    /// How many events a throughput workload runs.
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// How many events per second a latency workload is offered.
    #[arg(long, value_name = "R")]
    rate: Option<u64>,
    /// Seconds before a latency workload is recorded.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    warmup: Option<f64>,
    /// Seconds for which a latency workload is recorded.
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    duration: Option<f64>,
    /// Print one line of JSON for each run instead of a table.
    #[arg(long)]
    json: bool,
    /// Write an HTML page with the curves to this file.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Subcommand)]
enum Action {
    /// Print the workloads there are.
    List,
}

impl BenchCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        // Each line is flushed where it is printed, so the lock may be held throughout.
        let mut out = io::stdout().lock();
        if let Some(Action::List) = self.action {
            return Ok(pelton_bench::list(&mut out)?);
        }
        let options = Options {
            workload: self.workload,
            events: self.events,
            rate: self.rate,
            warmup: self.warmup,
            duration: self.duration,
            json: self.json,
            report: self.report,
            config: self.config.load()?.config,
        };
        Ok(pelton_bench::run(&options, &mut out, &Interrupt::on_ctrl_c())?)
    }
}

/// The exit code of a failure, if it is one of this command's.
pub fn exit_code(error: &(dyn Error + 'static)) -> Option<u8> {
    error.downcast_ref::<BenchError>().map(BenchError::exit_code)
}
