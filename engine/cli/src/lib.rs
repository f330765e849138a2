//! The command line of Pelton: what the `pelton` command and programs with jobs of their own have in common.
//!
//! ```text
//! data         what a data directory holds
//! log          the logs in it: look at them, check them, export them, replay them
//! checkpoint   commands to a job that runs
//! savepoint
//! rebalance
//! config       the configuration
//! ```
//!
//! Each command is a type that the `clap` crate parses, with a `run` that carries it out. What needs the code of a job, such as a
//! replay, is asked of a [`Program`]: the `pelton` command answers with its own workloads, and `pelton::cli` with the user's job.
//! This crate knows no jobs, and nothing in it is on the way of a record.

mod app;
mod config_command;
mod config_flags;
mod control_command;
mod count;
mod data;
mod data_command;
pub mod exit;
mod explain;
mod interrupt;
mod log;
mod moment;
mod output;
mod program;
mod progress;
mod rings_command;
mod run_command;
mod savepoints_command;
mod table;
mod terminal;

pub use app::{main, main_from};
pub use config_command::ConfigCommand;
pub use config_flags::ConfigFlags;
pub use control_command::{CheckpointCommand, RebalanceCommand, SavepointCommand};
pub use count::{count, count_in};
pub use data::{Data, DataArg, LogPlace};
pub use data_command::DataCommand;
pub use explain::{ExplainFlag, ExplainForm};
pub use interrupt::Interrupt;
pub use log::LogCommand;
pub use moment::{Moment, local_time, show_tick, utc_time};
pub use output::{Lines, note, print};
pub use program::{Program, ReplayRequest, Runnable};
pub use progress::Progress;
pub use run_command::RunCommand;
pub use table::{Column, Table};
pub use terminal::{stdout_is_terminal, stdout_width};
