//! `pelton bench`: measure the engine on generated load, and check that its results are right.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand, ValueEnum};
use pelton_bench::state::{Life, StateOptions, checkpoint, live, moves, recovery};
use pelton_bench::{BenchError, Interrupt, Options};
use pelton_cli::{ConfigFlags, ExplainFlag, count, exit, note};
use pelton_runtime::StartError;
use pelton_runtime::config::{Config, ConfigError, Durability};

/// Measure the engine: the default suite, or the workloads that are named.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct BenchCommand {
    #[command(subcommand)]
    action: Option<Action>,
    /// What to run, one after the other; without it, the default suite (about a minute).
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// How many events a throughput workload runs: 1000000, 1e6 and 1M are the same.
    #[arg(long, value_name = "N", value_parser = count)]
    events: Option<u64>,
    /// How many events per second a latency workload is offered.
    #[arg(long, value_name = "R", value_parser = count)]
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
    explain: ExplainFlag,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Subcommand)]
enum Action {
    /// Print the workloads there are.
    List,
    /// Measure what checkpoints of much state cost, and what they do to latency.
    Checkpoint(StateArgs),
    /// Measure how long key groups take to move to another shard, and what that does to the job.
    Move(StateArgs),
    /// Measure how soon a job that was killed gives results again, with much state and with less.
    Recovery(RecoveryArgs),
}

/// The state that is measured.
#[derive(Args)]
struct StateArgs {
    /// How many keys; several numbers, with commas, for a recovery of each.
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = count)]
    keys: Vec<u64>,
    /// How many of the keys the load touches [default: all].
    #[arg(long, value_name = "N", value_parser = count)]
    hot: Option<u64>,
    /// How many events per second the job is offered.
    #[arg(long, value_name = "R", default_value_t = 100_000, value_parser = count)]
    rate: u64,
    /// Seconds for which checkpoints are made; half of them are the pauses between moves.
    #[arg(long, value_name = "S", default_value_t = 40, value_parser = count)]
    duration: u64,
    /// Print one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

/// A recovery: the parent, or one of its children.
#[derive(Args)]
struct RecoveryArgs {
    #[command(flatten)]
    state: StateArgs,
    /// What the child is to do.
    #[arg(long, hide = true, requires_all = ["life_keys", "life_data"])]
    life: Option<LifeName>,
    /// With how many keys.
    #[arg(long, hide = true)]
    life_keys: Option<u64>,
    /// In which directory.
    #[arg(long, hide = true)]
    life_data: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum LifeName {
    First,
    Later,
}

/// Keys that a measurement of state has unless it is told how many.
const KEYS: u64 = 10_000_000;
/// The same for a recovery, which compares.
const KEYS_COMPARED: [u64; 2] = [1_000_000, KEYS];
/// Bytes of memory that a key may take while its table grows: more than it ever does.
const KEY_BYTES: u64 = 256;

impl BenchCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        // Each line is flushed where it is printed, so the lock may be held throughout.
        let mut out = io::stdout().lock();
        match self.action {
            Some(Action::List) => return Ok(pelton_bench::list(&mut out)?),
            Some(Action::Checkpoint(args)) => {
                return Ok(checkpoint(&args.options(&[KEYS])?, &mut out, &Interrupt::on_ctrl_c())?);
            }
            Some(Action::Move(args)) => {
                return Ok(moves(&args.options(&KEYS_COMPARED)?, &mut out, &Interrupt::on_ctrl_c())?);
            }
            Some(Action::Recovery(args)) => {
                drop(out);
                return args.run();
            }
            None => {}
        }
        let options = Options {
            workloads: self.workloads,
            events: self.events,
            rate: self.rate,
            warmup: self.warmup,
            duration: self.duration,
            json: self.json,
            report: self.report,
            config: on_this_machine(load(&self.config)?)?,
        };
        if let Some(form) = self.explain.form() {
            drop(out);
            return options.plans()?.iter().try_for_each(|plan| Ok(form.print(plan)?));
        }
        Ok(pelton_bench::run(&options, &mut out, &Interrupt::on_ctrl_c())?)
    }
}

/// The configuration. A benchmark keeps nothing, so `data` may be left out.
fn load(flags: &ConfigFlags) -> Result<Config, ConfigError> {
    match flags.load() {
        Ok(loaded) => Ok(loaded.config),
        Err(error) => match flags.or_set("data", "unused".to_owned()).load() {
            Ok(loaded) => Ok(Config { data: None, ..loaded.config }),
            // It was not that.
            Err(_) => Err(error),
        },
    }
}

/// Decides on the driver, where that is left to the machine, so that what is reported is what ran; says so if it is not the usual one.
fn on_this_machine(config: Config) -> Result<Config, StartError> {
    let driver = config.choose_driver().map_err(StartError::IoUring)?;
    if let Some(text) = driver.note {
        note(&text);
    }
    Ok(Config { driver: driver.kind, ..config })
}

impl StateArgs {
    fn options(&self, keys: &[u64]) -> Result<StateOptions, Box<dyn Error>> {
        let keys = if self.keys.is_empty() { keys } else { &self.keys };
        let mut config = on_this_machine(load(&self.config)?)?;
        if config.durability == Durability::None {
            config.durability = Durability::Disk;
        }
        // What is measured is not the limit.
        let most = keys.iter().max().copied().unwrap_or_default();
        config.memory_bytes += most.saturating_mul(KEY_BYTES);
        Ok(StateOptions {
            keys: keys.to_vec(),
            hot: self.hot,
            rate: self.rate,
            seconds: self.duration,
            json: self.json,
            config,
        })
    }
}

impl RecoveryArgs {
    fn run(&self) -> Result<(), Box<dyn Error>> {
        let interrupt = Interrupt::on_ctrl_c();
        let mut options = self.state.options(&KEYS_COMPARED)?;
        if let (Some(life), Some(keys), Some(data)) = (self.life, self.life_keys, &self.life_data) {
            options.keys = vec![keys];
            let life = match life {
                LifeName::First => Life::First,
                LifeName::Later => Life::Later,
            };
            return Ok(live(&options, life, data, &interrupt)?);
        }
        Ok(recovery(&options, again, &mut io::stdout().lock(), &interrupt)?)
    }
}

/// This very call once more, as a child.
fn again(life: Life, keys: u64, data: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    command.arg("--life").arg(match life {
        Life::First => "first",
        Life::Later => "later",
    });
    command.arg("--life-keys").arg(keys.to_string()).arg("--life-data").arg(data);
    Ok(command)
}

/// The exit code of a failure.
pub fn exit_code(error: &(dyn Error + 'static)) -> u8 {
    error.downcast_ref::<BenchError>().map_or_else(|| exit::code_of(error), BenchError::exit_code)
}
