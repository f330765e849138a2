//! `PROGRAM run`: the job, until its input ends or somebody stops it.

use clap::Args;
use std::error::Error;

use crate::config_flags::ConfigFlags;
use crate::explain::ExplainFlag;
use crate::interrupt::Interrupt;
use crate::program::Runnable;

/// Run the job until its input ends, or until it is told to stop.
#[derive(Args)]
pub struct RunCommand {
    #[command(flatten)]
    explain: ExplainFlag,
    #[command(flatten)]
    config: ConfigFlags,
}

impl RunCommand {
    /// Runs the command. Ctrl-C and SIGTERM stop the job in order.
    ///
    /// # Errors
    /// When the job cannot be started, or fails.
    pub fn run(self, program: &dyn Runnable) -> Result<(), Box<dyn Error>> {
        if let Some(form) = self.explain.form() {
            return Ok(form.print(&program.explain())?);
        }
        let config = self.config.load()?.config;
        program.run(&config, &Interrupt::on_signals())
    }
}
