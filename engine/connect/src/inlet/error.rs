//! What can be said to a producer instead of a number.

use super::{PRODUCER_ID_BYTES_MAX, TRANSACTION_BYTES_MAX};
use pelton_runtime::JobFailure;
use std::fmt;

/// Why a producer was not made, or a record not sent. Nothing of what was to be sent is in the engine.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InletError {
    /// No job that reads the inlet has been started.
    NotStarted,
    /// The job has not recovered yet what an earlier run left.
    Recovering,
    /// The job has ended, or was stopped, or the input was closed.
    Closed,
    /// The job has failed. Its own error is the source of this one.
    Failed(JobFailure),
    /// The call would have to wait for the engine, and is made on one of the engine's own threads: in a function of the job, which would then
    /// stand still.
    OnCore,
    /// The job was started again after the producer was made, and may have lost what was not acknowledged.
    Restarted,
    /// There is another producer of the same id.
    InUse {
        /// The id.
        id: String,
    },
    /// The id is empty or too long.
    BadId {
        /// Its bytes.
        bytes: usize,
    },
    /// There are as many producers as the inlet remembers, and none of them can make way for another: each is held, or has not been acknowledged
    /// everything.
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// A transaction, or a single record, is too large.
    TooLarge {
        /// Its bytes when archived; of a transaction those through the first record that was too much.
        bytes: usize,
        /// The most that it may have.
        largest: usize,
    },
    /// A custom rkyv wrapper in the record refuses to be archived.
    Unarchivable {
        /// The record's type.
        record: &'static str,
    },
    /// Numbers were left out.
    Gap {
        /// The number that comes next.
        expected: u64,
        /// The number that was given.
        found: u64,
    },
    /// A transaction that is sent again holds records that the engine has, and others that it has not: it is not the same one.
    Divided {
        /// Its first number.
        first: u64,
        /// Its last number.
        last: u64,
        /// The last number that the engine has.
        known: u64,
    },
    /// The time is over.
    TimedOut,
}

impl fmt::Display for InletError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InletError::NotStarted => f.write_str(
                "no job that reads the inlet has been started; start it first, then ask for the producer",
            ),
            InletError::Recovering => f.write_str("the job has not recovered yet what an earlier run left"),
            InletError::Closed => f.write_str("the job that reads the inlet has ended, or the inlet was closed"),
            InletError::Failed(failure) => write!(f, "the job that reads the inlet has failed: {failure}"),
            InletError::OnCore => f.write_str(
                "this would wait for the engine on one of the engine's own threads, which would wait for itself: use `try_send` there, or send \
                 from another thread",
            ),
            InletError::Restarted => f.write_str(
                "the job was started again: ask for the producer anew, and send again what was not acknowledged",
            ),
            InletError::InUse { id } => write!(f, "there is another producer `{id}`"),
            InletError::BadId { bytes } => {
                write!(f, "a producer's id has 1 to {PRODUCER_ID_BYTES_MAX} bytes, not {bytes}")
            }
            InletError::TooMany { most } => write!(
                f,
                "the inlet remembers {most} producers, and all of them are held or have records that are not acknowledged: drop or retire \
                 some"
            ),
            InletError::TooLarge { bytes, largest } if *largest < TRANSACTION_BYTES_MAX => write!(
                f,
                "a transaction of {bytes} bytes; the most that the log has room for in one tick is {largest}: raise `log.segment`, which a \
                 job that has begun takes up when it goes on from a savepoint or with another number of shards"
            ),
            InletError::TooLarge { bytes, largest } => write!(
                f,
                "a transaction of {bytes} bytes; the most that one may have is {largest}, since it enters in one tick: divide it"
            ),
            InletError::Unarchivable { record } => {
                write!(f, "a record of type {record} could not be archived")
            }
            InletError::Gap { expected, found } => {
                write!(f, "number {expected} comes next, not {found}: records in between are missing")
            }
            InletError::Divided { first, last, known } => write!(
                f,
                "the engine has numbers through {known}, so the transaction {first} to {last} is not one that was sent before"
            ),
            InletError::TimedOut => f.write_str("the time is over"),
        }
    }
}

impl fmt::Debug for InletError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for InletError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            InletError::Failed(failure) => Some(failure.error()),
            _ => None,
        }
    }
}

/// A record that was not sent, given back.
#[derive(Clone, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The inlet is full: the engine is behind.
    Full(T),
    /// It cannot be sent.
    Failed(T, InletError),
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySendError::Full(_) => f.write_str("the inlet is full"),
            TrySendError::Failed(_, error) => error.fmt(f),
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T> std::error::Error for TrySendError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TrySendError::Full(_) => None,
            TrySendError::Failed(_, error) => error.source(),
        }
    }
}
