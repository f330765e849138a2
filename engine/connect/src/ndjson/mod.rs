//! Newline-delimited JSON: one record on each line, read into any type that serde can deserialize.
//!
//! A line that is not such a record never stops a job. It is counted, and shown with its number, its text and
//! the reason to the handler given with [`on_malformed`](Ndjson::on_malformed). Lines end in `\n` or `\r\n`,
//! the last one perhaps in nothing; empty lines and a byte-order mark are passed over. A line is at most
//! [`LINE_BYTES_MAX`] long, unless said otherwise, so what is held in memory is bounded whatever the input.
//!
//! There is one partition, since lines have to be counted from the beginning. A file is read by the shard
//! itself, in blocks, and can be replayed. Anything that may keep its reader waiting is read by a thread of
//! its own, a bounded number of blocks ahead.
//!
//! In a job that survives only a file will do, and it must stay what it was while the job may still go back to it: it may
//! grow, but what has been read must not change. After a restart reading goes on at the byte where it was; lines since the last
//! checkpoint are read again, and what is malformed in them is reported again. A file that has become shorter, or
//! whose lines are others, is refused: see [`NdjsonPartition`] for how that is known.
//!
//! ```
//! use pelton::prelude::*;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Sale {
//!     shop: String,
//!     cents: u64,
//! }
//!
//! # let path = std::env::temp_dir().join(format!("pelton-doc-{}.ndjson", std::process::id()));
//! # std::fs::write(&path, "{\"shop\":\"north\",\"cents\":250}\n{\"shop\":\"south\"}\n{\"shop\":\"north\",\"cents\":50}\n")?;
//! let sales = ndjson::file::<Sale>(&path)?.on_malformed(|line| eprintln!("{line}"));
//! let total = fold(0, |sum, sale: Sale| *sum += sale.cents, |a, b| a + b);
//! Job::new("sales").source(sales.clone()).sink(total.clone()).run()?;
//!
//! assert_eq!(total.take(), 300);
//! assert_eq!(sales.counts().malformed, 1);
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod feed;
mod lines;
mod malformed;
mod partition;
mod place;

pub use malformed::{Malformed, Reason};
pub use partition::NdjsonPartition;

use feed::{Input, Wake};
use pelton_core::source::Source;
use serde::de::DeserializeOwned;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The longest line, unless [`Ndjson::line_bytes_max`] says otherwise.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// A source of newline-delimited JSON; made by [`file()`], [`stdin`] and [`reader`]. A clone is a handle to the
/// same source.
pub struct Ndjson<T> {
    /// What it is called in messages.
    name: Arc<str>,
    input: Arc<Input>,
    line_bytes_max: usize,
    on_malformed: Option<Arc<Handler>>,
    counters: Arc<Counters>,
    wake: Wake,
    marker: PhantomData<fn() -> T>,
}

type Handler = dyn Fn(&Malformed<'_>) + Send + Sync;

/// How many lines have been read so far, and what they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// All lines.
    pub lines: u64,
    /// Lines that held a record.
    pub records: u64,
    /// Lines that held nothing.
    pub empty: u64,
    /// Lines that held something else.
    pub malformed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    records: AtomicU64,
    empty: AtomicU64,
    malformed: AtomicU64,
}

/// A file that cannot be read.
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

/// Reads a file. It is opened here, so that a job is not started with one that cannot be read.
///
/// A path that is no regular file (a pipe, a terminal) is read as by [`reader`].
///
/// # Errors
/// When the file does not exist or cannot be read.
pub fn file<T>(path: impl AsRef<Path>) -> Result<Ndjson<T>, OpenError> {
    let path = path.as_ref();
    let open = || {
        let file = File::open(path)?;
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(if kind.is_file() { Input::File(Arc::new(file)) } else { Input::stream(file) })
    };
    let input = open().map_err(|error| OpenError { path: path.to_owned(), error })?;
    Ok(Ndjson::new(&path.display().to_string(), input))
}

/// Reads standard input, in a thread of its own. A job reads it once; it is gone then, so a job that is to survive refuses it.
pub fn stdin<T>() -> Ndjson<T> {
    Ndjson::new("standard input", Input::stream(io::stdin()))
}

/// Reads anything, in a thread of its own: a socket, a decompressor, the output of a child process. `name` is
/// what it is called in messages. A job reads it once; it is gone then, so a job that is to survive refuses it. Where the job ends early, the thread
/// ends when its read returns.
pub fn reader<T>(name: &str, reader: impl Read + Send + 'static) -> Ndjson<T> {
    Ndjson::new(name, Input::stream(reader))
}

impl<T> Ndjson<T> {
    fn new(name: &str, input: Input) -> Self {
        Ndjson {
            name: name.into(),
            input: Arc::new(input),
            line_bytes_max: LINE_BYTES_MAX,
            on_malformed: None,
            counters: Arc::default(),
            wake: Wake::default(),
            marker: PhantomData,
        }
    }

    /// The most bytes that a line may have, its end aside. A longer one is malformed.
    ///
    /// # Panics
    /// When it is 0.
    #[must_use]
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "lines of no bytes");
        self.line_bytes_max = bytes;
        self
    }

    /// Shows each malformed line to `handler`, in the order of the lines, on the core that reads them: it
    /// should not take long.
    #[must_use]
    pub fn on_malformed(mut self, handler: impl Fn(&Malformed<'_>) + Send + Sync + 'static) -> Self {
        self.on_malformed = Some(Arc::new(handler));
        self
    }

    /// How many lines the job has read so far, from the beginning of its last run.
    pub fn counts(&self) -> LineCounts {
        let Counters { records, empty, malformed } = &*self.counters;
        let (records, empty, malformed) =
            (records.load(Relaxed), empty.load(Relaxed), malformed.load(Relaxed));
        LineCounts { lines: records + empty + malformed, records, empty, malformed }
    }
}

impl<T: DeserializeOwned + 'static> Source for Ndjson<T> {
    type Item = T;
    type Partition = NdjsonPartition<T>;

    fn partitions(&self, _: usize) -> usize {
        1
    }

    fn open(&self, _: usize, _: usize) -> NdjsonPartition<T> {
        NdjsonPartition::open(self)
    }

    fn survives(&self) -> bool {
        self.input.survives()
    }

    fn attach(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        // A job that is started again keeps the first; the doorbell of a job that has ended wakes nobody.
        let _ = self.wake.set(wake);
    }
}

impl<T> Clone for Ndjson<T> {
    fn clone(&self) -> Self {
        Ndjson {
            name: self.name.clone(),
            input: self.input.clone(),
            line_bytes_max: self.line_bytes_max,
            on_malformed: self.on_malformed.clone(),
            counters: self.counters.clone(),
            wake: self.wake.clone(),
            marker: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Ndjson<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ndjson")
            .field("name", &self.name)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read `{}`: {}", self.path.display(), self.error)
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
        Some(&self.error)
    }
}
