//! What is said when a configuration is refused.
//!
//! A [`ConfigError`] carries every problem that was found, so that one run is enough to mend a file. Each
//! [`Problem`] prints as one line: the place, the evidence, what is allowed or needed, and a code that the reference
//! page explains.

use std::fmt;
use std::path::PathBuf;

/// Why a configuration was refused: at least one problem, in the order in which a person would mend them.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong, with its place and its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What sort of problem it is.
    pub kind: ProblemKind,
    /// Where the offending value or name was written.
    pub place: ConfigPlace,
    /// The offending value, what is allowed, and a suggestion where there is one.
    pub message: String,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigPlace {
    /// On a line of a configuration file; line 0 stands for the file as a whole.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// In an environment variable.
    Variable(String),
    /// In a command-line flag, named with its dashes.
    Flag(String),
    /// In the configuration as a whole, once merged.
    Whole,
}

/// The sorts of problems, each with a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// The file cannot be read as text.
    Unreadable,
    /// The file is not TOML.
    Syntax,
    /// There is no key or variable of that name.
    Unknown,
    /// The value is of the wrong type or out of bounds on any machine.
    NotAllowed,
    /// The value asks for more than this machine has.
    Machine,
    /// Two values that do not fit together.
    Conflict,
    /// The memory limit is too small for the rings.
    Memory,
}

impl ProblemKind {
    /// Every sort, in the order of the codes.
    pub const ALL: [ProblemKind; 7] = [
        ProblemKind::Unreadable,
        ProblemKind::Syntax,
        ProblemKind::Unknown,
        ProblemKind::NotAllowed,
        ProblemKind::Machine,
        ProblemKind::Conflict,
        ProblemKind::Memory,
    ];

    /// The code at the end of the message.
    pub fn code(self) -> &'static str {
        match self {
            ProblemKind::Unreadable => "C01",
            ProblemKind::Syntax => "C02",
            ProblemKind::Unknown => "C03",
            ProblemKind::NotAllowed => "C04",
            ProblemKind::Machine => "C05",
            ProblemKind::Conflict => "C06",
            ProblemKind::Memory => "C07",
        }
    }

    /// What the code means, and what to do.
    pub fn advice(self) -> &'static str {
        match self {
            ProblemKind::Unreadable => {
                "The file is missing, may not be read, is not text, or is larger than any configuration. Check the path and its permissions."
            }
            ProblemKind::Syntax => {
                "The file is not TOML. The message names the line; strings need quotes, numbers and `true` do not."
            }
            ProblemKind::Unknown => {
                "No key, or no `PELTON_` variable, has that name. The message names the nearest one, if any is near."
            }
            ProblemKind::NotAllowed => {
                "The value has the wrong type or lies out of bounds. The message says what is allowed."
            }
            ProblemKind::Machine => {
                "The value asks for CPUs or memory that this machine, or this container, does not have. Only the value that wins is held against the machine, so a flag can mend what a file written elsewhere asks for."
            }
            ProblemKind::Conflict => {
                "Two values do not fit together. The message names both and their bound."
            }
            ProblemKind::Memory => {
                "The rings need shards x shards x buffer bytes for each exchange of the job, and a job with durability stages one `log.segment` for each shard; `memory` is less. Raise it, or lower `shards`, `buffer` or `log.segment`."
            }
        }
    }
}

impl ConfigError {
    /// The problems, as found.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// An error of `problems`, if there are any.
    pub(super) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        ConfigError { problems: vec![problem] }
    }
}

impl fmt::Debug for ConfigError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.problems.as_slice() {
            return only.fmt(f);
        }
        write!(f, "the configuration has {} problems:", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != ConfigPlace::Whole {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{} [{}]", self.message, self.kind.code())
    }
}

impl fmt::Display for ConfigPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigPlace::File { path, line: 0 } => write!(f, "{}", path.display()),
            ConfigPlace::File { path, line } => write!(f, "{}:{line}", path.display()),
            ConfigPlace::Variable(name) | ConfigPlace::Flag(name) => f.write_str(name),
            ConfigPlace::Whole => f.write_str("the configuration"),
        }
    }
}

/// `text` as evidence inside a message: in backticks, on one line, and no longer than a glance takes.
pub(super) fn quote(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut quoted = String::from("`");
    for (i, c) in text.chars().enumerate() {
        if i == CHARS_MAX {
            quoted.push('…');
            break;
        }
        if c.is_control() {
            quoted.extend(c.escape_default());
        } else {
            quoted.push(c);
        }
    }
    quoted.push('`');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_is_one_line_and_several_are_a_list() {
        let problem = |line| Problem {
            kind: ProblemKind::NotAllowed,
            place: ConfigPlace::File { path: "a.toml".into(), line },
            message: "`0` is not allowed".to_owned(),
        };
        let one = ConfigError::from(problem(3));
        assert_eq!(one.to_string(), "a.toml:3: `0` is not allowed [C04]");
        let two = ConfigError::unless_empty(vec![problem(3), problem(5)]).unwrap_err();
        assert_eq!(
            two.to_string(),
            "the configuration has 2 problems:\n  a.toml:3: `0` is not allowed [C04]\n  a.toml:5: `0` is not allowed [C04]"
        );
    }

    #[test]
    fn codes_are_distinct_and_in_order() {
        let codes = ProblemKind::ALL.map(ProblemKind::code);
        assert!(codes.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn evidence_stays_on_one_short_line() {
        assert_eq!(quote("a\nb\u{1b}[31m"), "`a\\nb\\u{1b}[31m`");
        assert_eq!(quote(&"x".repeat(1000)).chars().count(), 63);
    }
}
