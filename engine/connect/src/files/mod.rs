//! Files, one for each shard, in which every row stands exactly once whatever happens to the process.
//!
//! ```text
//!  DIRECTORY/part-0000.ndjson      the rows of shard 0, in the order (tick, seq)
//!  DIRECTORY/part-0000.position    how much of them counts, and through which tick: see `position.rs`; `part.rs` decides
//! ```
//!
//! Rows are appended in batches, each with one write: those whose input is durable by then. After each batch the position is written. After a
//! restart a part is cut to its position, and what is made again behind it is appended; since the same input gives the same rows, a reader
//! who has seen more than was kept sees the same bytes again. Files are made durable at checkpoints, away from the shard's thread.
//!
//! | died | position that counts |
//! |---|---|
//! | the process | the newest that was written |
//! | the machine | the checkpoint's: what was written since may have reached the disk or not |
//! | another number of shards, or back to a savepoint | the checkpoint's, for all parts |
//!
//! A part that lacks what a checkpoint counted on, that another job wrote, or that is not what was written, is refused and left as it is. Checkpoints
//! and positions have the CRC32C of all that they count: a start compares the last GiB of each part, which is all of a smaller one, see `marks.rs`.
//!
//! Costs: a copy of each row into a buffer, and its CRC32C; two writes into the page cache for each batch. The buffer holds one tick and 256 KiB at
//! most. A start reads up to a GiB of each part, and what was written since the checkpoint, which it writes once more; the end of a job, one flush.

mod disk;
mod marks;
mod part;
mod position;
mod writer;

#[cfg(test)]
mod tests;

pub use writer::FileWriter;

use disk::SinkDisk;
use pelton_core::ShardId;
use pelton_core::sink::Sink;
use pelton_storage::disk::Disk;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A sink that writes files; made by [`file_ndjson`] or [`file_with`].
#[derive(Clone, Debug)]
pub struct FileSink<F> {
    disk: SinkDisk,
    directory: Arc<Path>,
    extension: Arc<str>,
    encode: F,
}

/// Writes each row as a line of JSON, to one file for each shard in `directory`, which is made if it is not there.
///
/// Floats are written with as few digits as tell them from every other float, so that what is read again is the same bit for bit. JSON has no NaN and
/// no infinities: they are written as `null`.
///
/// In a job with durability every row stands in the files exactly once, after any number of restarts. Without, a directory that holds
/// rows already is refused.
///
/// ```
/// use pelton::prelude::*;
///
/// #[derive(serde::Serialize)]
/// struct Total {
///     shop: &'static str,
///     cents: u64,
/// }
///
/// # let directory = std::env::temp_dir().join(format!("pelton-doc-files-{}", std::process::id()));
/// let totals = from_iter(|| [Total { shop: "north", cents: 250 }, Total { shop: "south", cents: 70 }]);
/// Job::new("totals").source(totals).sink(file_ndjson(&directory)).run()?;
///
/// let lines = std::fs::read_to_string(directory.join("part-0000.ndjson"))?;
/// assert_eq!(lines, "{\"shop\":\"north\",\"cents\":250}\n{\"shop\":\"south\",\"cents\":70}\n");
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn file_ndjson<T: Serialize + 'static>(
    directory: impl Into<PathBuf>,
) -> FileSink<impl Fn(&T, &mut Vec<u8>) -> Result<(), String> + Clone + Send + Sync + 'static> {
    FileSink::new(directory.into(), "ndjson", |row: &T, out: &mut Vec<u8>| {
        serde_json::to_writer(&mut *out, row).map_err(|error| format!("a row is not JSON: {error}"))?;
        out.push(b'\n');
        Ok(())
    })
}

/// As [`file_ndjson`], with files named `part-0000.EXTENSION` and rows in a form of your own: `encode` appends a row, with whatever ends it.
/// It must make the same bytes of the same row each time.
///
/// ```
/// use pelton::prelude::*;
/// use std::io::Write;
///
/// # let directory = std::env::temp_dir().join(format!("pelton-doc-with-{}", std::process::id()));
/// let squares = file_with(&directory, "csv", |row: &(u32, u32), out| {
///     let _ = writeln!(out, "{},{}", row.0, row.1);
/// });
/// Job::new("squares").source(from_iter(|| 1..4)).map(|n| (n, n * n)).sink(squares).run()?;
/// assert_eq!(std::fs::read_to_string(directory.join("part-0000.csv"))?, "1,1\n2,4\n3,9\n");
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
/// When the extension is empty, is `position`, or is more than letters and digits.
pub fn file_with<T: 'static, F: Fn(&T, &mut Vec<u8>) + Clone + Send + Sync + 'static>(
    directory: impl Into<PathBuf>,
    extension: &str,
    encode: F,
) -> FileSink<impl Fn(&T, &mut Vec<u8>) -> Result<(), String> + Clone + Send + Sync + 'static> {
    FileSink::new(directory.into(), extension, move |row: &T, out: &mut Vec<u8>| {
        encode(row, out);
        Ok(())
    })
}

impl<F> FileSink<F> {
    fn new(directory: PathBuf, extension: &str, encode: F) -> Self {
        let plain = !extension.is_empty() && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
        assert!(
            plain && extension != "position",
            "`{extension}` is no extension for the parts of a file sink"
        );
        let disk = SinkDisk::of_the_machine();
        FileSink { disk, directory: directory.into(), extension: extension.into(), encode }
    }

    /// On another disk than the machine's: a simulated one.
    #[doc(hidden)]
    #[must_use]
    pub fn on_disk(self, disk: Arc<dyn Disk>) -> Self {
        FileSink { disk: SinkDisk::new(disk), ..self }
    }
}

impl<T, F> Sink<T> for FileSink<F>
where
    T: 'static,
    F: Fn(&T, &mut Vec<u8>) -> Result<(), String> + Clone + Send + Sync + 'static,
{
    type Writer = FileWriter<F>;

    fn open(&self, shard: ShardId) -> FileWriter<F> {
        FileWriter::new(self.clone(), shard)
    }

    fn is_transactional(&self) -> bool {
        true
    }
}
