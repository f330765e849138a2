//! Why the driver could not start, or the cores stopped on their way: one message each, with what to do about it.

use crate::duty::Position;
use crate::panics::Panicked;
use crate::pin::PinError;
use crate::probe::IoUringBlocked;
use pelton_core::{Fault, ShardId};
use std::{error, fmt, io};

/// Why a job did not start. Nothing of it is left running.
#[non_exhaustive]
pub enum StartError {
    /// The configuration has no cores, no shards, or more shards than there are numbers for.
    Shape {
        /// How many cores.
        cores: usize,
        /// How many shards.
        shards: usize,
    },
    /// The glommio driver was asked for, and io_uring cannot be used.
    IoUring(IoUringBlocked),
    /// A thread could not be pinned.
    Pin(PinError),
    /// The operating system started no thread for a core.
    Thread(io::Error),
    /// glommio made no executor.
    Executor {
        /// For this CPU.
        cpu: usize,
        /// For this reason.
        message: String,
    },
    /// A shard could not be built.
    Build {
        /// Which.
        shard: ShardId,
        /// Why.
        fault: Fault,
    },
    /// Building a shard panicked.
    BuildPanic {
        /// Which.
        shard: ShardId,
        /// What was said.
        panicked: Panicked,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Shape { cores, shards } => write!(
                f,
                "the engine needs at least one core and from 1 to {} shards, and the configuration has {cores} cores \
                 and {shards} shards",
                u16::MAX
            ),
            StartError::IoUring(blocked) => blocked.fmt(f),
            StartError::Pin(error) => error.fmt(f),
            StartError::Thread(error) => {
                write!(
                    f,
                    "cannot start a thread: {error}; `ulimit -u` or the container's pid limit may be too low"
                )
            }
            StartError::Executor { cpu, message } => write!(
                f,
                "glommio made no executor for CPU {cpu}: {message}; `driver = \"threads\"` does without it"
            ),
            StartError::Build { shard, fault } => write!(f, "shard {} could not be built: {fault}", shard.0),
            StartError::BuildPanic { shard, panicked } => {
                write!(f, "shard {} panicked while it was built: {panicked}", shard.0)
            }
        }
    }
}

impl fmt::Debug for StartError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for StartError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            StartError::IoUring(blocked) => Some(blocked),
            StartError::Pin(error) => Some(error),
            StartError::Thread(error) => Some(error),
            StartError::Build { fault, .. } => Some(fault),
            StartError::Shape { .. } | StartError::Executor { .. } | StartError::BuildPanic { .. } => None,
        }
    }
}

/// Why a running job ended before its input did.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// User code panicked.
    Panic {
        /// In which shard.
        shard: ShardId,
        /// At which tick, in which operator.
        position: Position,
        /// What it said, and where in the code.
        panicked: Panicked,
    },
    /// A shard could not go on.
    Fault {
        /// Which.
        shard: ShardId,
        /// At which tick, in which operator.
        position: Position,
        /// Why.
        fault: Fault,
    },
    /// An engine thread died by itself, which is a mistake of Pelton's or of glommio's.
    Core {
        /// The thread for this CPU.
        cpu: usize,
        /// What it said, and where in the code.
        panicked: Panicked,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Panic { shard, position, panicked } => {
                write!(f, "shard {} panicked at {position}: {panicked}", shard.0)
            }
            RunError::Fault { shard, position, fault } => {
                write!(f, "shard {} failed at {position}: {fault}", shard.0)
            }
            RunError::Core { cpu, panicked } => {
                write!(f, "the engine thread for CPU {cpu} died, which is a bug: {panicked}")
            }
        }
    }
}

impl fmt::Debug for RunError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for RunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            RunError::Fault { fault, .. } => Some(fault),
            RunError::Panic { .. } | RunError::Core { .. } => None,
        }
    }
}
