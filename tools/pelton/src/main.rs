//! The `pelton` command: parses, hands over to a subcommand, and reports how it ended.
//!
//! Exit codes: 0 when all went well, 1 with one `error: ...` message on standard error when it did not, 2 when
//! the command line itself makes no sense, 130 after Ctrl-C.

mod bench_command;
mod selftest;
mod workloads;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench_command::BenchCommand;
use pelton_cli::{
    CheckpointCommand, ConfigCommand, DataCommand, LogCommand, RebalanceCommand, SavepointCommand, exit,
};
use selftest::SelftestCommand;
use workloads::Workloads;

/// Pelton, a stream-processing engine.
#[derive(Parser)]
#[command(name = "pelton", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure the engine: the default suite, or the workloads that are named.
    Bench(BenchCommand),
    /// Show, check or make a configuration.
    Config(ConfigCommand),
    /// Test this program, on this machine, against the failures that jobs must withstand.
    Selftest(SelftestCommand),
    /// Look at what a job keeps.
    Data(DataCommand),
    /// Look at the logs of a job, check them, or export them.
    Log(LogCommand),
    /// Tell a running job to make a checkpoint now.
    Checkpoint(CheckpointCommand),
    /// Tell a running job to make a checkpoint that stays until it is deleted.
    Savepoint(SavepointCommand),
    /// Tell a running job to move key groups from shard to shard.
    Rebalance(RebalanceCommand),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            exit::complain(&error);
            ExitCode::from(bench_command::exit_code(&*error))
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli.command {
        Command::Bench(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Selftest(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Log(command) => command.run(&Workloads),
        Command::Checkpoint(command) => command.run(),
        Command::Savepoint(command) => command.run(),
        Command::Rebalance(command) => command.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
