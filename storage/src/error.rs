//! What can go wrong with bytes that are meant to be durable.
//!
//! One enum for the whole crate. Each variant carries its evidence (which file, where in it, what was expected, what was found) and its text
//! says in two or three short sentences what happened, what is lost by it, and how to go on. These are the world's mistakes only: our own are
//! assertions.
//!
//! Errors can be cloned, because whoever has failed to write fails for ever: a poisoned log or snapshot answers every later call with the
//! error that poisoned it.

use crate::disk::STAGING_DIRECTORY;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why storage cannot go on.
///
/// ```
/// use pelton_storage::StorageError;
/// use std::path::PathBuf;
///
/// let error = StorageError::Newer { what: "manifest", path: PathBuf::from("data/MANIFEST"), found: 7, known: 1 };
/// assert_eq!(
///     error.to_string(),
///     "data/MANIFEST: this manifest has format version 7, and this program knows versions up to 1. Nothing was changed: \
///      start it with the newer program that wrote it."
/// );
/// ```
#[derive(Clone)]
pub enum StorageError {
    /// The system refused an operation.
    Io {
        /// What was tried, as it follows "cannot": "write", "sync", "map".
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// There is no room for what has to be written.
    Full {
        /// The file or directory that should have grown.
        path: PathBuf,
        /// Bytes that were needed there.
        needed: u64,
        /// Bytes that the file system had, if it was asked.
        free: Option<u64>,
    },
    /// Another process works with this data directory.
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// A data directory cannot be used as one.
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// A file of a later version of Pelton.
    Newer {
        /// The kind of file.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest version that this program knows.
        known: u32,
    },
    /// A file of an earlier version of Pelton, of which this one can make nothing.
    Older {
        /// The kind of file.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The earliest version that this program takes.
        known: u32,
    },
    /// A file that belongs to something else: another log, shard, generation or job.
    Foreign {
        /// The kind of file.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// What differs: "log id", "shard".
        field: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A file whose bytes are not those that were written.
    Damaged {
        /// The part that is damaged: "block", "manifest".
        what: &'static str,
        /// In which file.
        path: PathBuf,
        /// From which byte on.
        at: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What is lost, and how to go on.
        advice: &'static str,
    },
    /// A snapshot that was never finished: what a crash leaves of the checkpoint that was being written.
    Incomplete {
        /// The snapshot file.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
    /// A log that ends before what it is known to have held.
    Short {
        /// The segment in which it ends, or which should be there.
        path: PathBuf,
        /// Whose log it is.
        shard: u16,
        /// Where in the segment it ends.
        at: u64,
        /// The tick of its last entry.
        last_tick: u64,
        /// It was kept through about this tick.
        kept_tick: u64,
        /// Bytes of the log that are missing.
        missing: u64,
        /// How to go on.
        advice: &'static str,
    },
    /// A file that something else refers to is not there.
    Missing {
        /// The kind of file.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// What is lost, and how to go on.
        advice: &'static str,
    },
}

impl StorageError {
    /// What `error` says of `action` on `path`. A full disk, and a file that is too large for its file system, become [`StorageError::Full`].
    pub fn io(action: &'static str, path: impl AsRef<Path>, error: io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StorageError::Full { path, needed: 0, free: None }
            }
            _ => StorageError::Io { action, path, source: Arc::new(error) },
        }
    }

    /// The file or directory that it is about.
    pub fn path(&self) -> &Path {
        match self {
            StorageError::Io { path, .. }
            | StorageError::Full { path, .. }
            | StorageError::Locked { path }
            | StorageError::Unusable { path, .. }
            | StorageError::Newer { path, .. }
            | StorageError::Older { path, .. }
            | StorageError::Foreign { path, .. }
            | StorageError::Damaged { path, .. }
            | StorageError::Incomplete { path, .. }
            | StorageError::Short { path, .. }
            | StorageError::Missing { path, .. } => path,
        }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(text, "{}: ", self.path().display())?;
        match self {
            StorageError::Io { action, source, .. } => {
                write!(text, "cannot {action}: {source}.")?;
                text.write_str(advice_on(action, source.kind()))
            }
            StorageError::Full { needed, free, .. } => {
                let is_memory = self.path() == Path::new(STAGING_DIRECTORY);
                text.write_str(if is_memory { "no room for rings" } else { "no space left on the device" })?;
                match (needed, free) {
                    (0, _) => {}
                    (needed, None) => write!(text, "; {needed} bytes are needed")?,
                    (needed, Some(free)) => write!(text, "; {needed} bytes are needed and {free} are free")?,
                }
                text.write_str(if is_memory { RINGS_ADVICE } else { ROOM_ADVICE })
            }
            StorageError::Locked { .. } => text.write_str(
                "another process is at work in this data directory. Stop it, or give this job a directory of \
                 its own.",
            ),
            StorageError::Unusable { reason, advice, .. } => write!(text, "{reason}. {advice}"),
            StorageError::Newer { what, found, known, .. } => write!(
                text,
                "this {what} has format version {found}, and this program knows versions up to {known}. \
                 Nothing was changed: start it with the newer program that wrote it."
            ),
            StorageError::Older { what, found, known, .. } => write!(
                text,
                "this {what} has format version {found}, and this program takes none below {known}: what it says of operators and their state had another \
                 form. Nothing was changed: let the program that wrote it run until its input has ended, or begin anew in an empty \
                 directory."
            ),
            StorageError::Foreign { what, field, expected, found, .. } => write!(
                text,
                "this {what} belongs to something else: its {field} is {found}, not {expected}. Nothing was \
                 changed: put back the file that belongs here, or use the right data directory."
            ),
            StorageError::Damaged { what, at, expected, found, advice, .. } => {
                write!(text, "damaged {what} at byte {at}: expected {expected}, found {found}. {advice}")
            }
            StorageError::Incomplete { len, .. } => write!(
                text,
                "this snapshot was never finished ({len} bytes, without a footer at the end). It holds nothing \
                 that is needed if no checkpoint of the manifest refers to it; otherwise start from another one."
            ),
            StorageError::Short { shard, at, last_tick, kept_tick, missing, advice, .. } => write!(
                text,
                "the log of shard {shard} ends at byte {at} of this segment, after tick {last_tick}, and it was kept through tick \
                 {kept_tick}: {missing} bytes are missing. {advice}"
            ),
            StorageError::Missing { what, advice, .. } => write!(text, "the {what} is not there. {advice}"),
        }
    }
}

const ROOM_ADVICE: &str = ". Nothing that did not fit was acknowledged: make room and start the job again.";
const RINGS_ADVICE: &str = ". With durability \"process\" each shard keeps one segment (`log.segment`) in memory there: mount a larger tmpfs, or give \
                            the container more shared memory; take fewer shards or smaller segments; or choose durability \"disk\". `pelton data rings` \
                            shows what is there, and what killed jobs have left.";

/// What to do about an operation that the system refused.
fn advice_on(action: &str, kind: io::ErrorKind) -> &'static str {
    match (action, kind) {
        (_, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            " Give the user that runs the job the right to write there, or choose another data directory."
        }
        ("write" | "sync", _) => {
            " What was acknowledged before is safe, and nothing was acknowledged after it. A device that failed \
             once may have dropped writes, so there is no second try: look at the device, then start the job again."
        }
        _ => "",
    }
}

impl fmt::Debug for StorageError {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StorageError::Io { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
