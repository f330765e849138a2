//! The flags that tune an engine: `--config FILE`, and one flag for each key of the configuration.
//!
//! Made from the engine's table of keys, so a new key has its flag and its help at once. Flatten it into any
//! command that runs an engine:
//!
//! ```text
//! #[derive(clap::Args)]
//! struct SomeCommand {
//!     #[command(flatten)]
//!     config: ConfigFlags,
//! }
//! ```
//!
//! The values are kept as text: the engine reads them, so that a bad one is reported in the same words in every layer.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use pelton_runtime::config::{Config, ConfigError, FILE_NAME, KEYS, Key, Kind, Loaded};

const HEADING: &str = "Configuration";

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigFlags {
    /// The file named by `--config`.
    file: Option<PathBuf>,
    /// The keys set by flags, each with the text given.
    set: Vec<(&'static str, String)>,
}

impl ConfigFlags {
    /// Merges all layers. Without `--config`, `./pelton.toml` is the file if it is there.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let set: Vec<_> = self.set.iter().map(|(key, text)| (*key, text.as_str())).collect();
        let loaded = Config::load_with(self.file.as_deref(), &set)?;
        for note in &loaded.notes {
            eprintln!("note: {note}");
        }
        Ok(loaded)
    }
}

impl ConfigFlags {
    /// The same with a key set that no flag sets.
    pub fn or_set(&self, key: &'static str, text: String) -> Self {
        let mut flags = self.clone();
        flags.set.insert(0, (key, text));
        flags
    }
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(format!("Configuration file [default: ./{FILE_NAME} if it exists]"))
            .help_heading(HEADING);
        KEYS.iter().fold(command.arg(file), |command, key| {
            let (first_sentence, _) = key.doc.split_once(". ").unwrap_or((key.doc.trim_end_matches('.'), ""));
            command.arg(
                Arg::new(key.flag)
                    .long(key.flag)
                    .value_name(value_name(&key.kind))
                    .allow_negative_numbers(true)
                    .help(first_sentence)
                    .long_help(format!("{}\n\nAllowed: {}", key.doc, key.kind.allowed()))
                    .help_heading(HEADING)
                    .hide_short_help(is_detail(key)),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = ConfigFlags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        if let Some(file) = matches.get_one::<PathBuf>("config") {
            self.file = Some(file.clone());
        }
        let given = |flag| matches.get_one::<String>(flag).cloned();
        self.set.extend(KEYS.iter().filter_map(|key| Some((key.name, given(key.flag)?))));
        Ok(())
    }
}

/// Whether only the long help names the flag: it stands in a section and merely spells its key out.
fn is_detail(key: &Key) -> bool {
    key.section().0.is_some() && key.flag == key.name.replace(['.', '_'], "-")
}

fn value_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Cores => "CORES",
        Kind::Count { .. } => "N",
        Kind::Size { .. } => "SIZE",
        Kind::Choice(_) => "NAME",
        Kind::Switch => "BOOL",
        Kind::Path => "PATH",
        Kind::Name => "NAME",
        Kind::Uids => "UIDS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<ConfigFlags, clap::Error> {
        let command = ConfigFlags::augment_args(Command::new("test"));
        ConfigFlags::from_arg_matches(&command.try_get_matches_from([&["test"], args].concat())?)
    }

    #[test]
    fn each_key_has_a_flag_that_sets_it() {
        for key in KEYS {
            let flags = parse(&[&format!("--{}", key.flag), "some text"]).expect("the flag exists");
            assert_eq!(flags.set, [(key.name, "some text".to_owned())]);
        }
    }

    #[test]
    fn flags_left_out_set_nothing() {
        let flags = parse(&[]).expect("nothing is needed");
        assert!(flags.file.is_none() && flags.set.is_empty());
    }

    #[test]
    fn a_negative_number_reaches_the_engine_to_be_refused_there() {
        let error = parse(&["--shards", "-1"]).expect("taken as text").load().unwrap_err().to_string();
        assert!(error.starts_with("--shards: `-1` is not allowed for `shards`"), "{error}");
    }

    #[test]
    fn an_unknown_flag_is_a_usage_error() {
        assert_eq!(parse(&["--shrads", "1"]).unwrap_err().exit_code(), 2);
    }
}
