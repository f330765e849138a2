//! Configuration: every knob of a running engine, where its value came from, and why a bad one is refused.
//!
//! Four layers, each overriding the one before it: the defaults, the file `pelton.toml`, the environment
//! (`PELTON_...`) and the command line. [`Config::load_with`] merges them into a [`Loaded`], which remembers for each
//! key the layer that won, and [`Config::load`] does so where there is no command line; [`check`] judges a file on its own. What is refused comes back as one [`ConfigError`] that
//! lists every problem with its place, the offending value, what is allowed and, for a misspelt name, the likely one.
//!
//! One table, [`KEYS`], says everything about a key: its documentation, type, bounds, default and what to suggest
//! for a machine. Parsing, `show`, `template`, the suggestions, the command-line flags and the page
//! `docs/operating/configuration.md` are all made from it, so they cannot disagree.
//!
//! Deliberately absent: global state (a `Config` is a plain value, handed down) and reloading while running
//! (a change of configuration is an input of the engine, and inputs enter by the log).

mod cores;
mod count;
mod environment;
mod error;
mod file;
mod keys;
mod layers;
mod limits;
mod machine;
mod model;
mod reference;
mod render;
mod size;
mod suggest;
#[cfg(test)]
mod tests;
mod value;

pub use cores::CoresSpec;
pub use count::parse_count;
pub use error::{ConfigError, ConfigPlace, Problem, ProblemKind};
pub use file::FileText;
pub use keys::{KEYS, Key, find};
pub use layers::{Layers, Loaded, Origin, Setting};
pub use machine::Machine;
pub use model::{
    BalanceConfig, CheckpointConfig, Config, DriverKind, Durability, IdleConfig, IdleStrategy, LogConfig,
    TickConfig,
};
pub use reference::reference;
pub use render::{show, template};
pub use size::{format_size, parse_size};
pub use value::{Fallback, Kind, Value};

use std::path::Path;

/// The file that is read when none is named, if it exists in the working directory.
pub const FILE_NAME: &str = "pelton.toml";

/// `./pelton.toml` when there is one: what [`Config::load_with`] reads when no file is named.
///
/// Anything of that name counts, even a dangling link, so that a file which cannot be read is reported and never
/// quietly passed over.
pub fn default_file() -> Option<&'static Path> {
    let path = Path::new(FILE_NAME);
    path.symlink_metadata().is_ok().then_some(path)
}

/// Judges the file at `path` on this machine, over the defaults alone: the environment and flags play no part.
pub fn check(path: &Path) -> Result<Loaded, ConfigError> {
    Layers { file: Some(file::read(path)?), ..Layers::none(Machine::detect()) }.resolve()
}
