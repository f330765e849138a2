//! `pelton config`: show what an engine would run with, check a file, or print one to start from.

use std::error::Error;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use pelton_runtime::config::{Machine, Origin, check, show, template};

use crate::config_flags::ConfigFlags;
use crate::output::print;

/// Show, check or make a configuration.
#[derive(Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print each effective value with where it came from.
    Show(ConfigFlags),
    /// Judge a configuration file on this machine; the environment and flags play no part.
    Check {
        /// The file to judge.
        file: PathBuf,
    },
    /// Print a commented file with the suggested value of each key for this machine.
    Template,
}

impl ConfigCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let text = match self.action {
            Action::Show(flags) => show(&flags.load()?),
            Action::Check { file } => {
                let loaded = check(&file)?;
                let is_set = |origin: &Origin| matches!(origin, Origin::Set(_));
                let set = loaded.settings.iter().filter(|setting| is_set(&setting.origin)).count();
                let rest = loaded.settings.len() - set;
                format!("{}: ok; {set} keys set, {rest} at their defaults\n", file.display())
            }
            Action::Template => template(&Machine::detect()),
        };
        Ok(print(&text)?)
    }
}
