//! The `pelton` command: parses, hands over to a subcommand, and reports how it ended.
//!
//! Exit codes: 0 when all went well, 1 with one `error: ...` message on standard error when it did not, 2 when
//! the command line itself makes no sense, 130 after Ctrl-C.

mod bench_command;
mod config_command;
mod config_flags;
mod output;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench_command::BenchCommand;
use config_command::ConfigCommand;

/// Pelton, a stream-processing engine.
#[derive(Parser)]
#[command(name = "pelton", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure the engine: the default suite, or one workload.
    Bench(BenchCommand),
    /// Show, check or make a configuration.
    Config(ConfigCommand),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error cannot be written there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {error}");
            bench_command::exit_code(&*error).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn Error>> {
    match cli.command {
        Command::Bench(command) => command.run(),
        Command::Config(command) => command.run(),
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
