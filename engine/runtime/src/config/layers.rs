//! The layers and how they merge: defaults < file < environment < flags.
//!
//! 1. Each layer is read into entries. A value that no machine would allow is an error even when a later layer
//!    overrides it, since it is certainly a mistake.
//! 2. For each key, in the order of the table, the last entry wins, or else the default.
//! 3. The winners alone are held against the machine, and against each other once each is sound by itself. So a file
//!    written for a large machine runs on a small one with a flag.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::error::{ConfigError, ConfigPlace, Problem, ProblemKind, quote};
use super::file::FileText;
use super::keys::{KEYS, Key, find};
use super::limits;
use super::machine::Machine;
use super::model::Config;
use super::suggest::did_you_mean;
use super::value::{Fallback, Value};
use super::{CoresSpec, environment, file};
use pelton_core::bounds::SHARDS_MAX;

/// What a configuration is made from, gathered but not yet judged. `Config::load_with` gathers the process's own.
#[derive(Clone, Debug)]
pub struct Layers {
    /// The file, if there is one.
    pub file: Option<FileText>,
    /// The environment; variables that are not ours are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags: a key's dotted name and the text given for it.
    pub flags: Vec<(String, String)>,
    /// The machine that the configuration is for.
    pub machine: Machine,
}

/// A configuration that passed, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Every key in the order of the table, with its value and origin.
    pub settings: Vec<Setting>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// The machine that the values were held against.
    pub machine: Machine,
    /// What was passed over and may not have been meant to be: variables named `PELTON_` and no key.
    pub notes: Vec<Problem>,
}

/// The effective value of a key.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The key.
    pub key: &'static Key,
    /// Its value, with cores as CPU numbers.
    pub value: Value,
    /// The layer that it came from.
    pub origin: Origin,
}

/// Where an effective value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default.
    Default,
    /// A default that follows the machine or another key; the text says how.
    Adjusted(&'static str),
    /// A layer set it.
    Set(ConfigPlace),
}

/// One value that a layer sets.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: &'static Key,
    pub value: Value,
    pub place: ConfigPlace,
    /// What was written, as evidence.
    pub literal: String,
}

impl Layers {
    /// No layer but the defaults.
    pub fn none(machine: Machine) -> Self {
        Layers { file: None, environment: Vec::new(), flags: Vec::new(), machine }
    }

    /// Merges the layers into a checked configuration.
    pub fn resolve(self) -> Result<Loaded, ConfigError> {
        let (mut entries, mut problems, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(file) = &self.file {
            file::entries(file, &mut entries, &mut problems);
        }
        environment::entries(&self.environment, &mut entries, &mut problems, &mut notes);
        flag_entries(&self.flags, &mut entries, &mut problems);

        let mut config = Config::unset();
        let mut settings = Vec::with_capacity(KEYS.len());
        for key in KEYS {
            let winner = entries.iter().rfind(|entry| std::ptr::eq(entry.key, key));
            let (value, origin) = match winner {
                Some(entry) => (entry.value.clone(), Origin::Set(entry.place.clone())),
                None => fallback(key, &config, &self.machine),
            };
            let value = limits::bind(value, &self.machine).unwrap_or_else(|(fitting, reason)| {
                // Only what someone wrote can ask for too much. The rest is then settled as if it had asked for what
                // fits, so that one mistake is one problem.
                let entry = winner.expect("a default fits every machine");
                let message = Entry::refusal(key, &entry.literal, &reason);
                problems.push(Problem { kind: ProblemKind::Machine, place: entry.place.clone(), message });
                fitting
            });
            (key.set)(&mut config, &value);
            settings.push(Setting { key, value, origin });
        }
        if problems.is_empty() {
            problems = limits::across(&config, &settings);
        }
        ConfigError::unless_empty(problems)?;
        let file = self.file.map(|file| file.path);
        Ok(Loaded { config, settings, file, machine: self.machine, notes })
    }
}

impl Loaded {
    /// Where the value of the key `name` came from, if there is such a key.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.settings.iter().find(|setting| setting.key.name == name).map(|setting| &setting.origin)
    }
}

impl Entry {
    /// Reads `text` for `key`, into an entry or a problem.
    pub(super) fn read_text(
        key: &'static Key,
        text: &str,
        place: ConfigPlace,
        entries: &mut Vec<Entry>,
        problems: &mut Vec<Problem>,
    ) {
        match key.kind.read_text(text) {
            Ok(value) => entries.push(Entry { key, value, place, literal: text.to_owned() }),
            Err(refusal) => {
                let message = Entry::refusal(key, text, &refusal.reason);
                problems.push(Problem { kind: ProblemKind::NotAllowed, place, message });
            }
        }
    }

    /// The message that refuses `literal` for `key`.
    pub(super) fn refusal(key: &Key, literal: &str, reason: &str) -> String {
        let colon = if reason.is_empty() { "" } else { ": " };
        let (literal, name, allowed) = (quote(literal), key.name, key.kind.allowed());
        format!("{literal} is not allowed for `{name}`{colon}{reason} (allowed: {allowed})")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Adjusted(how) => write!(f, "default, {how}"),
            Origin::Set(place @ ConfigPlace::Variable(_)) => write!(f, "environment {place}"),
            Origin::Set(place @ ConfigPlace::Flag(_)) => write!(f, "flag {place}"),
            Origin::Set(place) => place.fmt(f),
        }
    }
}

fn flag_entries(flags: &[(String, String)], entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    for (name, text) in flags {
        match find(name) {
            Some(key) => {
                Entry::read_text(key, text, ConfigPlace::Flag(format!("--{}", key.flag)), entries, problems)
            }
            None => {
                let suggestion = did_you_mean(name, KEYS.iter().map(|key| key.name));
                let message = format!("there is no key {}{suggestion}", quote(name));
                problems.push(Problem {
                    kind: ProblemKind::Unknown,
                    place: ConfigPlace::Flag(format!("--{name}")),
                    message,
                });
            }
        }
    }
}

/// What `key` is worth when nobody sets it, given the keys settled before it.
fn fallback(key: &Key, config: &Config, machine: &Machine) -> (Value, Origin) {
    let (text, within, how) = match key.default {
        Fallback::OnePerCore => {
            let shards = config.cores.len().min(SHARDS_MAX);
            return (Value::Count(shards as u64), Origin::Adjusted("one per core"));
        }
        Fallback::Fixed(text) => (text, None, ""),
        Fallback::WithinBuffer(text) => (text, Some(config.ring_bytes as u64 / 4), "a quarter of `buffer`"),
        Fallback::WithinMachine(text) => (text, machine.memory_half(), "limited by this machine"),
    };
    let value = key.kind.read_text(text).expect("a default is allowed for its key");
    match (&value, within) {
        (Value::Cores(CoresSpec::Count(count)), _) if *count > machine.usable() => {
            (Value::Cores(CoresSpec::Auto), Origin::Adjusted(how))
        }
        (Value::Size(bytes), Some(most)) if *bytes > most => {
            (Value::Size(key.kind.at_most(most)), Origin::Adjusted(how))
        }
        _ => (value, Origin::Default),
    }
}
