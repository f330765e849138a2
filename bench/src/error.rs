//! Everything that can end a benchmark other than a good result: one message each, and an exit code.

use std::path::PathBuf;
use std::{fmt, io};

/// Why there is no (good) result.
pub enum BenchError {
    /// There is no workload of that name.
    UnknownWorkload {
        /// What was asked for.
        name: String,
        /// The most similar name there is, if one is similar at all.
        near: Option<&'static str>,
        /// Every name there is.
        known: Vec<&'static str>,
    },
    /// Two options contradict each other, or one means nothing for the workload.
    Options(String),
    /// The engine could not start, or a job failed.
    Engine(Box<dyn std::error::Error + Send + Sync>),
    /// A thread that measures the machine's floor could not be pinned.
    Pin {
        /// The core it should have run on.
        core: usize,
    },
    /// The report could not be written.
    Report {
        /// Where it should have gone.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The directory for what is thrown away could not be made.
    Scratch {
        /// Where it should have been.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Standard output could not be written.
    Output(io::Error),
    /// A run's result differs from the expected one.
    Wrong {
        /// The workloads whose results were wrong.
        workloads: Vec<&'static str>,
    },
    /// Ctrl-C.
    Interrupted,
}

impl BenchError {
    /// What the process should exit with: 2 for a wrong call, 130 after Ctrl-C, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            BenchError::UnknownWorkload { .. } | BenchError::Options(_) => 2,
            BenchError::Interrupted => 130,
            _ => 1,
        }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BenchError::UnknownWorkload { name, near, known } => {
                write!(f, "there is no workload `{name}`")?;
                if let Some(near) = near {
                    write!(f, "; did you mean `{near}`?")?;
                }
                write!(f, "\nworkloads: {}", known.join(", "))
            }
            BenchError::Options(message) => f.write_str(message),
            BenchError::Engine(error) => write!(f, "{error}"),
            BenchError::Pin { core } => {
                write!(
                    f,
                    "cannot pin a thread to core {core}: it does not exist, or this process may not use it"
                )
            }
            BenchError::Report { path, error } => {
                write!(f, "cannot write the report to {}: {error}", path.display())
            }
            BenchError::Scratch { path, error } => {
                write!(f, "cannot make the directory {}: {error}; name another one", path.display())
            }
            BenchError::Output(error) => write!(f, "cannot write to standard output: {error}"),
            BenchError::Wrong { workloads } => {
                write!(f, "wrong result: {} (what was expected stands beside it)", workloads.join(", "))
            }
            BenchError::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl fmt::Debug for BenchError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BenchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BenchError::Report { error, .. }
            | BenchError::Scratch { error, .. }
            | BenchError::Output(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_is_display() {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        for error in [
            BenchError::UnknownWorkload { name: "x".to_owned(), near: Some("y"), known: vec!["y"] },
            BenchError::Options("a b".to_owned()),
            BenchError::Engine(Box::new(gone())),
            BenchError::Report { path: "r".into(), error: gone() },
            BenchError::Output(gone()),
            BenchError::Interrupted,
        ] {
            assert_eq!(format!("{error:?}"), error.to_string());
        }
    }
}
