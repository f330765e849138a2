//! Newline-delimited JSON: one record on each line, read into any type that serde can deserialize.
//!
//! | in the file | what becomes of it |
//! |---|---|
//! | a line end | `\n` or `\r\n`; the last line may do without |
//! | an empty line, or one of blanks | passed over, counted as empty |
//! | a byte-order mark at the beginning of a line | passed over: files are put one behind the other |
//! | a line of more than [`LINE_BYTES_MAX`] bytes (or [`line_bytes_max`](Ndjson::line_bytes_max)) | malformed |
//! | bytes that are not UTF-8, a NUL, anything behind the value | malformed |
//! | an object with a field twice | malformed; in a map the last one counts |
//! | an object with a field that the struct has not | read, unless the struct says `deny_unknown_fields` |
//! | an array for a struct (`[7,"x"]`), at any depth | malformed: fields go by their names. (An enum that is untagged or tagged inside, and `flatten`, still take one: serde buffers what they read.) |
//! | a number for a float | the nearest `f64` or `f32`, ties to even; an integer too, however long: beyond 2^53 that is not always the same number. One beyond the range (`1e400`) is malformed |
//! | a number for an integer | malformed unless it is written as one (`7`, not `7.0`, `7e0` or `-0`) and in the type's range: `18446744073709551616` is no `u64`. For more use `i128` |
//! | a number for `serde_json::Value` | an integer that fits 64 bits, else the nearest `f64` |
//! | `null` for a float | malformed; take an `Option<f64>`. JSON has no NaN and no infinities |
//!
//! A line that is malformed never stops a job, unless it is told to ([`strict`](Ndjson::strict)). It is counted, and shown with its number, its
//! byte in the file, its text and the reason to the handler given with [`on_malformed`](Ndjson::on_malformed); without one, the first five are
//! shown on standard error. What is held in memory is one line and one block, whatever the input.
//!
//! # Partitions
//!
//! A large file is read by all shards at once, in [partitions](Ndjson::partitions) that take turns of 1 MiB of it. So they move through it side by side:
//! where the file is ordered by time, their times stay close together, a window waits for little, and `in_order()` holds for each of them. None gets
//! more than 64 MiB ahead of the slowest. Which lines a partition has follows from the file and the number of partitions alone, and the lines of all
//! partitions together are the same whatever that number. What does depend on it is the order in which lines of different turns meet: where a result
//! depends on that (which record of a key comes first, or is late for `out_of_order()`), ask for one partition.
//!
//! A file is read by the shards themselves, in blocks, and can be replayed. Anything that may keep its reader waiting is read by a thread of
//! its own, a bounded number of blocks ahead, as one partition.
//!
//! A job that is stopped has taken in whole lines of it, up to some line. What was read ahead of that, 8 blocks of 64 KiB at most, is gone, as is what
//! a pipe still holds: whoever writes to a pipe cannot learn how much was read of it. Lines that must not be lost come from a file, or through an inlet.
//!
//! # While it is read
//!
//! A file is read as far as it reached when the job first began, and the last line to its end: what is appended later is another job's. One that
//! becomes shorter than that ends the job with an error that names the file, the line and the byte.
//!
//! In a job with durability only a file will do, and it must stay what it was while the job may still go back to it: it may
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

mod chunks;
mod feed;
mod lines;
mod malformed;
mod partition;
mod place;
mod strict;

pub use malformed::{Malformed, Reason};
pub use partition::NdjsonPartition;

pub use crate::bounds::{LINE_BYTES_MAX, SPLIT_BYTES_MIN};
pub(crate) use chunks::CHUNK_BYTES;
use chunks::{Counters, Run};
use feed::{Input, Wake};
use pelton_core::bounds::PARTITIONS_MAX;
use pelton_core::ingress::source::Source;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

/// A source of newline-delimited JSON; made by [`file()`], [`stdin`] and [`reader`]. A clone is a handle to the
/// same source.
pub struct Ndjson<T> {
    /// What it is called in messages.
    name: Arc<str>,
    input: Arc<Input>,
    line_bytes_max: usize,
    partitions: Option<usize>,
    strict: bool,
    on_malformed: Option<Arc<Handler>>,
    /// The run that partitions were opened for last.
    run: Arc<Mutex<Arc<Run>>>,
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

impl LineCounts {
    fn of(counters: &Counters) -> Self {
        let Counters { records, empty, malformed } = counters;
        let (records, empty, malformed) =
            (records.load(Relaxed), empty.load(Relaxed), malformed.load(Relaxed));
        LineCounts { lines: records + empty + malformed, records, empty, malformed }
    }

    fn and(self, other: Self) -> Self {
        LineCounts {
            lines: self.lines + other.lines,
            records: self.records + other.records,
            empty: self.empty + other.empty,
            malformed: self.malformed + other.malformed,
        }
    }
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

/// Reads standard input, in a thread of its own. A job reads it once; it is gone then, so a job with durability refuses it.
pub fn stdin<T>() -> Ndjson<T> {
    Ndjson::new("standard input", Input::stream(io::stdin()))
}

/// Reads anything, in a thread of its own: a socket, a decompressor, the output of a child process. `name` is
/// what it is called in messages. A job reads it once; it is gone then, so a job with durability refuses it. Where the job ends early, the thread
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
            partitions: None,
            strict: false,
            on_malformed: None,
            run: Arc::new(Run::none()),
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

    /// Shows each malformed line of a partition to `handler`, in the order of the lines, on the core that reads them: it
    /// should not take long. Lines of several partitions come in turns, from several cores.
    #[must_use]
    pub fn on_malformed(mut self, handler: impl Fn(&Malformed<'_>) + Send + Sync + 'static) -> Self {
        self.on_malformed = Some(Arc::new(handler));
        self
    }

    /// Reads a file in so many partitions, whatever its size and the number of shards. Unless told otherwise there is one for each shard if the file has
    /// [`SPLIT_BYTES_MIN`] bytes or more, and one in all if it has fewer. With 1 the records come in the order of the lines. In a job that
    /// is durable, the number is what it was at the first start. Anything but a file has one.
    ///
    /// # Panics
    /// When it is 0, or more than [`PARTITIONS_MAX`].
    #[must_use]
    pub fn partitions(mut self, partitions: usize) -> Self {
        assert!(
            (1..=PARTITIONS_MAX).contains(&partitions),
            "a file in {partitions} partitions; it can be 1 to {PARTITIONS_MAX}"
        );
        self.partitions = Some(partitions);
        self
    }

    /// Ends the job with an error at the first malformed line, which names the file, the line, the byte and the reason. After a restart the line is met
    /// again: mend it in the file, which may be changed behind the last record that was read, or begin without `strict`.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// How many lines the job has read so far, from the beginning of its last run.
    pub fn counts(&self) -> LineCounts {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        run.all_counters().map(LineCounts::of).fold(LineCounts::default(), LineCounts::and)
    }
}

impl<T: DeserializeOwned + 'static> Source for Ndjson<T> {
    type Item = T;
    type Partition = NdjsonPartition<T>;

    fn partitions(&self, shards: usize) -> usize {
        let Input::File(file) = &*self.input else { return 1 };
        self.partitions.unwrap_or_else(|| {
            // What cannot be asked will be an error when it is read.
            let bytes = file.metadata().map_or(0, |facts| facts.len());
            let chunks = usize::try_from(bytes / CHUNK_BYTES).unwrap_or(usize::MAX);
            if bytes < SPLIT_BYTES_MIN { 1 } else { shards.clamp(1, chunks) }
        })
    }

    fn open(&self, index: usize, of: usize) -> NdjsonPartition<T> {
        NdjsonPartition::open(self, index, of)
    }

    fn kind(&self) -> Cow<'static, str> {
        "lines of JSON".into()
    }

    fn is_replayable(&self) -> bool {
        self.input.is_replayable()
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
            partitions: self.partitions,
            strict: self.strict,
            on_malformed: self.on_malformed.clone(),
            run: self.run.clone(),
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
