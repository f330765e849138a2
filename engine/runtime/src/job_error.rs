//! What can go wrong with a job, from a graph that is not complete to a shard that fails: all that a user of `pelton` is told.

use crate::config::ConfigError;
use crate::durability::OpenError;
use crate::error::{RunError, StartError};
use crate::plan::UidError;
use pelton_core::{Fault, OutOfMemory};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What went wrong with a job.
#[non_exhaustive]
pub enum JobError {
    /// A stream ends nowhere.
    Unfinished {
        /// The job.
        job: String,
        /// The stream, by what was done to it last.
        stream: String,
    },
    /// A stream takes its time from the clock, or its watermark from the source, behind an exchange.
    Clockless {
        /// The job.
        job: String,
        /// The stream, by what was done to it before.
        stream: String,
    },
    /// A process function keeps state that expires in event time, and its stream has none.
    Timeless {
        /// The job.
        job: String,
        /// The stream, by what was done to it last.
        stream: String,
    },
    /// A stream was said to be grouped by a key, and is not.
    NotGrouped {
        /// The job.
        job: String,
        /// The stream, by what was done to it before.
        stream: String,
        /// Where that was said, and what the stream was grouped by.
        problem: String,
    },
    /// A call that waits for a job was made on one of an engine's own threads: in a function of a job, which would then stand still.
    OnCore {
        /// The call.
        call: &'static str,
    },
    /// A sink is to show the rows of two streams that are to be delivered differently.
    Disputed {
        /// The job.
        job: String,
        /// The stream that ends in the sink, by what was done to it last.
        stream: String,
    },
    /// Operators of the job cannot be told from each other by their uids.
    Uid {
        /// The job.
        job: String,
        /// Which uid, what is wrong with it, and where.
        error: UidError,
    },
    /// There is no stream at all.
    Empty {
        /// The job.
        job: String,
    },
    /// `./pelton.toml` or a `PELTON_...` variable of the environment is not allowed.
    Config(ConfigError),
    /// A size that no job can run with, in a configuration made by hand; `Config::load` returns none such.
    Size {
        /// What is wrong with it.
        problem: String,
    },
    /// The rings of the job do not fit into the memory limit.
    Memory {
        /// Rings that the job needs.
        rings: usize,
        /// Bytes of each.
        ring_bytes: usize,
        /// What could not be had.
        error: OutOfMemory,
    },
    /// The job runs with durability, and has a part that cannot be durable.
    NotDurable {
        /// The job.
        job: String,
        /// Which part, and what to do about it.
        problem: String,
    },
    /// What is in the data directory cannot be recovered.
    Open(OpenError),
    /// What must be durable could not be read or written.
    Storage(String),
    /// The signals that were to suspend the job cannot be heard.
    Signals {
        /// What the system said.
        problem: String,
    },
    /// The driver could not start.
    Start(StartError),
    /// The job stopped on its way.
    Run(RunError),
    /// The job stopped on its way, under the seeded driver.
    Fault(Fault),
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Unfinished { job, stream } => {
                write!(f, "job `{job}`: the stream `{stream}` ends nowhere; end it with `.sink(..)`")
            }
            JobError::Clockless { job, stream } => write!(
                f,
                "job `{job}`: the stream `{stream}` is behind an exchange, where no clock and no source says how far \
                 it is; call `.ingestion_time()`, or use `from_source()` or `.idle_after(..)`, on the source's own stream, before `key_by`, windows, \
                 `rebalance` and unions of different stages"
            ),
            JobError::Timeless { job, stream } => write!(
                f,
                "job `{job}`: `{stream}` keeps state that expires in event time, which its records do not have: call `.event_time(..)` before, or have \
                 it expire in processing time"
            ),
            JobError::NotGrouped { job, stream, problem } => write!(
                f,
                "job `{job}`: the stream `{stream}` is not on the shards of its keys: {problem}. `keyed_as` takes the key by which a stream was \
                 grouped before; to group it by another, use `key_by`"
            ),
            JobError::Config(error) => error.fmt(f),
            JobError::OnCore { call } => write!(
                f,
                "`{call}` would wait for the engine on one of the engine's own threads, which would wait for itself: call it on another \
                 thread"
            ),
            JobError::Disputed { job, stream } => write!(
                f,
                "job `{job}`: the stream `{stream}` is a union of streams for which different deliveries were chosen, or for only one of \
                 which any was; say which one holds for it: call `.deliver(..)` behind the union"
            ),
            JobError::Size { problem } | JobError::Signals { problem } => f.write_str(problem),
            JobError::Uid { job, error } => write!(f, "job `{job}`: {error}"),
            JobError::Empty { job } => write!(f, "job `{job}` has no source"),
            JobError::Memory { rings, ring_bytes, error } => write!(
                f,
                "the job needs {rings} rings of {ring_bytes} bytes, and the memory limit is {} bytes: raise `memory`, or use \
                 fewer `shards` or a smaller `buffer`",
                error.limit
            ),
            JobError::NotDurable { job, problem } => write!(f, "job `{job}` cannot be durable: {problem}"),
            JobError::Open(error) => error.fmt(f),
            JobError::Storage(problem) => f.write_str(problem),
            JobError::Start(error) => error.fmt(f),
            JobError::Run(error) => error.fmt(f),
            JobError::Fault(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for JobError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for JobError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            JobError::Config(error) => Some(error),
            JobError::Uid { error, .. } => Some(error),
            JobError::Open(error) => Some(error),
            JobError::Start(error) => Some(error),
            JobError::Run(error) => Some(error),
            JobError::Fault(error) => Some(error),
            // Of memory, the text says all that there is to say when a job starts; the error has only advice for one that runs.
            JobError::Memory { .. }
            | JobError::Unfinished { .. }
            | JobError::Clockless { .. }
            | JobError::NotGrouped { .. }
            | JobError::Timeless { .. }
            | JobError::Disputed { .. }
            | JobError::OnCore { .. }
            | JobError::Size { .. }
            | JobError::NotDurable { .. }
            | JobError::Storage(_)
            | JobError::Signals { .. }
            | JobError::Empty { .. } => None,
        }
    }
}

impl From<ConfigError> for JobError {
    fn from(error: ConfigError) -> Self {
        JobError::Config(error)
    }
}

impl From<OpenError> for JobError {
    fn from(error: OpenError) -> Self {
        JobError::Open(error)
    }
}

impl From<StartError> for JobError {
    fn from(error: StartError) -> Self {
        JobError::Start(error)
    }
}

impl From<RunError> for JobError {
    fn from(error: RunError) -> Self {
        JobError::Run(error)
    }
}

/// Why a job failed, as those are told who send to it or read from it: a shared [`JobError`], which is the
/// [source](Error::source) of the error that this is part of.
#[derive(Clone)]
pub struct JobFailure(Arc<dyn Error + Send + Sync>);

impl JobFailure {
    /// The error behind it, for sources to hand on.
    #[doc(hidden)]
    pub fn new(error: Arc<dyn Error + Send + Sync>) -> Self {
        JobFailure(error)
    }

    /// The job's error.
    pub fn error(&self) -> &(dyn Error + 'static) {
        &*self.0
    }
}

impl PartialEq for JobFailure {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.to_string() == other.to_string()
    }
}

impl Eq for JobFailure {}

impl fmt::Display for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JobFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
