//! The command line of a program with a job of its own.
//!
//! Exit codes, of all commands: 0 when all went well, 1 with one `error: ...` on standard error when it did not, 2 when the command line
//! itself makes no sense, 130 after Ctrl-C. See `docs/operating/command-line.md`.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use crate::program::Runnable;
use crate::run_command::RunCommand;
use crate::{
    CheckpointCommand, ConfigCommand, DataCommand, LogCommand, RebalanceCommand, SavepointCommand, exit,
};

#[derive(Parser)]
#[command(arg_required_else_help = true)]
struct App {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the job until its input ends, or until it is told to stop.
    Run(RunCommand),
    /// Show, check or make a configuration.
    Config(ConfigCommand),
    /// Look at what the job keeps.
    Data(DataCommand),
    /// Look at the job's logs, check them, export them, or replay them.
    Log(LogCommand),
    /// Tell the running job to make a checkpoint now.
    Checkpoint(CheckpointCommand),
    /// Tell the running job to make a checkpoint that stays until it is deleted.
    Savepoint(SavepointCommand),
    /// Tell the running job to move key groups from shard to shard.
    Rebalance(RebalanceCommand),
}

/// Parses the process's arguments, carries them out, and says how it ended. `about` says what the program does.
pub fn main(program: &dyn Runnable, about: &str) -> ExitCode {
    main_from(std::env::args_os(), program, about).into()
}

/// As [`main`], with other arguments, of which the first is the program's name; returns the exit code.
pub fn main_from(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    program: &dyn Runnable,
    about: &str,
) -> u8 {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let name = exit::name_in(args.first());
    let command = App::command().about(about.to_owned()).display_name(name.clone()).bin_name(name);
    let app = match command.try_get_matches_from(args).and_then(|matches| App::from_arg_matches(&matches)) {
        Ok(app) => app,
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    exit::code(run(app, program))
}

fn run(app: App, program: &dyn Runnable) -> Result<(), Box<dyn Error>> {
    match app.command {
        Command::Run(command) => command.run(program),
        Command::Config(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Log(command) => command.run(program),
        Command::Checkpoint(command) => command.run(),
        Command::Savepoint(command) => command.run(),
        Command::Rebalance(command) => command.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        App::command().debug_assert();
    }
}
