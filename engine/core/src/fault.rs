//! What can go wrong inside the engine by no mistake of its own, each with the evidence to act on.

use crate::ids::ShardId;
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// Why a shard cannot go on. The driver stops the job and reports it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A state table, a run or an oversized frame did not fit into the configured memory.
    OutOfMemory(OutOfMemory),
    /// One record is larger than any frame may be.
    RecordTooLarge {
        /// Bytes of the largest record that can travel.
        limit: usize,
    },
    /// A record could not be archived: a map, a shared pointer or a custom wrapper reported an error.
    Unarchivable {
        /// The record's type.
        record: &'static str,
    },
    /// A table can take no more keys: there are too many, or too many whose hashes can hardly be told apart.
    TableFull {
        /// The keys that are in it.
        keys: usize,
    },
    /// A result that its type cannot hold.
    Overflow {
        /// What computed it.
        operator: String,
        /// The key, as far as it can be printed.
        key: String,
        /// What does not fit into what, and what to do.
        message: String,
    },
    /// What an earlier run left behind cannot be recovered.
    Restore {
        /// Why, and where.
        message: String,
    },
    /// What must be durable could not be written.
    Storage {
        /// What failed, and where.
        message: String,
    },
    /// A source or a sink of the user's failed.
    External {
        /// Where.
        shard: ShardId,
        /// What it said.
        message: String,
    },
}

impl Fault {
    /// The fault, with the name of the operator in which it happened, if it has room for one.
    pub(crate) fn within(mut self, name: &str) -> Self {
        if let Fault::Overflow { operator, .. } = &mut self {
            name.clone_into(operator);
        }
        self
    }
}

/// A memory request over the configured limit.
#[derive(Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes that were asked for.
    pub asked: usize,
    /// Bytes in use before.
    pub in_use: usize,
    /// Bytes that the configuration allows.
    pub limit: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "out of memory: {} bytes were asked for with {} of {} in use; raise `memory`, or use fewer shards, \
             smaller buffers or shorter windows",
            self.asked, self.in_use, self.limit
        )
    }
}

impl fmt::Debug for OutOfMemory {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for OutOfMemory {}

impl From<OutOfMemory> for Fault {
    fn from(error: OutOfMemory) -> Self {
        Fault::OutOfMemory(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::OutOfMemory(error) => error.fmt(f),
            Fault::RecordTooLarge { limit } => {
                write!(
                    f,
                    "a record is larger than {limit} bytes when archived, which is the most a frame can carry"
                )
            }
            Fault::Unarchivable { record } => write!(f, "a record of type {record} could not be archived"),
            Fault::TableFull { keys } => write!(
                f,
                "a table of {keys} keys can take no more: use more shards, or, if they are some thousands only, key by something else as \
                 well, since the hashes of these keys can hardly be told apart"
            ),
            Fault::Overflow { operator, key, message } => write!(f, "{operator}, key {key}: {message}"),
            Fault::Restore { message } | Fault::Storage { message } => f.write_str(message),
            Fault::External { shard, message } => write!(f, "shard {}: {message}", shard.0),
        }
    }
}

impl fmt::Debug for Fault {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Fault {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Fault::OutOfMemory(error) => Some(error),
            _ => None,
        }
    }
}
