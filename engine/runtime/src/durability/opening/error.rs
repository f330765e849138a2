//! Why a job cannot go on from what is there.

use pelton_storage::StorageError;
use std::fmt;

/// Why a job cannot recover what is there.
#[derive(Clone)]
#[non_exhaustive]
pub enum OpenError {
    /// Storage says why.
    Storage(StorageError),
    /// The directory holds the state of another job, or of this one as it was.
    OtherJob {
        /// The data directory.
        path: std::path::PathBuf,
        /// What differs, and how to go on.
        difference: String,
    },
    /// The job has gone back to what it is asked to go back to, and on from there.
    RestoredBefore {
        /// The data directory.
        path: std::path::PathBuf,
        /// What was asked for.
        wanted: String,
    },
    /// There is no such savepoint or checkpoint.
    NoCheckpoint {
        /// What was asked for.
        wanted: String,
        /// What there is.
        there: Vec<String>,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Storage(error) => error.fmt(f),
            OpenError::OtherJob { path, difference } => write!(
                f,
                "{}: the state there does not fit the job: {difference}. Nothing was changed. Start the job that it belongs to, or \
                 give this one another `data` directory",
                path.display()
            ),
            OpenError::RestoredBefore { path, wanted } => {
                let (name, number) = wanted.split_once('@').unwrap_or((wanted, "1"));
                let next = number.parse::<u64>().map_or(2, |number| number.saturating_add(1));
                write!(
                    f,
                    "{}: the job has gone back to `{wanted}` already, and there is newer state since, which would be given up. Nothing was \
                     changed. Take `restore` out of flags, environment and file to go on from the newest state; set `restore` to \
                     `{name}@{next}` to go back once more",
                    path.display()
                )
            }
            OpenError::NoCheckpoint { wanted, there } if there.is_empty() => {
                write!(f, "there is no savepoint or checkpoint `{wanted}`: there is none at all")
            }
            OpenError::NoCheckpoint { wanted, there } => {
                write!(f, "there is no savepoint or checkpoint `{wanted}`; there are {}", there.join(", "))
            }
        }
    }
}

impl fmt::Debug for OpenError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Storage(error) => Some(error),
            OpenError::OtherJob { .. }
            | OpenError::RestoredBefore { .. }
            | OpenError::NoCheckpoint { .. } => None,
        }
    }
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        OpenError::Storage(error)
    }
}
