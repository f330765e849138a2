//! The disk, as the storage layer sees it: files by path, and writes that complete later.
//!
//! Two kinds of call. Those of [`Disk`] and [`DiskFile`] block, and are made where blocking does no harm: at start, in recovery, by the
//! coordinator of checkpoints. A [`Writer`] belongs to one thread and never blocks, apart from [`Writer::wait`]: it takes writes, carries them
//! out in order of dependence and reports each completion. What the engine does while it runs goes through writers only.
//!
//! Three disks: `Uring` and `Blocking` are the machine's own, `Simulated` is memory with a fault model. Nothing above this module knows which.

mod affinity;
#[cfg(test)]
mod battery;
mod blocking;
mod files;
mod owner;
mod simulated;
mod uring;

pub use blocking::Blocking;
pub use files::{LOCK, STAGING_DIRECTORY};
pub(crate) use files::{STAGING_PREFIX, UNKNOWN_BOOT};
pub use owner::Owner;
pub use simulated::{Crash, Faults, Simulated};
pub use uring::Uring;

use crate::staging::Staging;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It must exist; only read.
    Read,
    /// It must exist; read and written.
    Write,
    /// It must not exist yet; read and written.
    Create,
}

/// Where a mapped ring lives, which says what it is safe from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// In the process: gone with it.
    InProcess,
    /// In a file in memory (tmpfs): outlasts the process, not the machine.
    OnMachine,
}

/// A file system.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>>;
    /// The length of the file of that name, whatever it is and whether or not it may be opened.
    fn len_of(&self, path: &Path) -> io::Result<u64>;
    /// The names of what is in a directory, sorted.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Makes a directory and those above it.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, replacing what had it; atomic.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, or a directory that is empty.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Takes the one lock of a directory until the returned value is dropped; `WouldBlock` when somebody else has it. The lock is on the
    /// file [`LOCK`] in the directory, or, if `path` is not a directory, on the file `path`; it is made if it is not there.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
    /// A writer for the current thread.
    fn writer(&self) -> io::Result<Box<dyn Writer>>;
    /// A mapped ring of `bytes`, new and zeroed. One that lives on the machine is called `name`, which no other is (`AlreadyExists`), and is
    /// held by this process as long as a handle lives.
    fn staging(&self, name: &str, bytes: usize, lifetime: Lifetime) -> io::Result<Staging>;
    /// The ring on the machine of that name with its content, if there is one. With `hold`, this process has it to itself from then on, as long as
    /// a handle lives; `WouldBlock` if another has not let go of it within that time. One that was never made to its end is none, and goes then.
    fn find_staging(&self, name: &str, hold: Option<Duration>) -> io::Result<Option<Staging>>;
    /// The names of the rings on the machine that begin with `prefix`, sorted.
    fn stagings(&self, prefix: &str) -> io::Result<Vec<String>>;
    /// Removes the ring on the machine of that name, if there is one. Whoever has it mapped keeps it.
    fn remove_staging(&self, name: &str) -> io::Result<()>;
    /// Makes sure that rings can be made on the machine, and says how many bytes are free for them; `None` if that cannot be told.
    fn staging_room(&self) -> io::Result<Option<u64>>;
    /// What tells a directory from all others, for the ring of a log that is in it.
    fn owner(&self, directory: &Path) -> io::Result<Owner>;
    /// A number that is drawn anew each time.
    fn draw(&self) -> u64;
    /// Something that changes whenever the machine restarts; "unknown" if that cannot be told.
    fn boot_id(&self) -> String;
}

/// An open file.
#[expect(clippy::len_without_is_empty, reason = "whether a file is empty is nothing that anybody asks")]
pub trait DiskFile: Send + Sync {
    /// Takes its lock, which is the one of [`Disk::lock`], for as long as it is open; `WouldBlock` if another has not let go of it within that time.
    fn lock(&self, longest: Duration) -> io::Result<()>;
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// Fills `bytes` from `at` on, or fails with `UnexpectedEof`.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `at`.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the first `len` bytes exist as written zeros, durable, so that later writes there change no metadata. A disk without room for
    /// them says so (`StorageFull`) before it writes any.
    fn fill_zeros(&self, len: u64) -> io::Result<()>;
    /// Makes data durable (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// The whole content, mapped for reading.
    fn map(&self) -> io::Result<Arc<dyn AsRef<[u8]> + Send + Sync>>;
    /// The descriptor, if it is a real file.
    fn descriptor(&self) -> Option<i32>;
    /// Itself, for a writer of the same disk.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// Number of a write, chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// Memory that a write reads from; it must stay as it is until the write has completed.
pub enum Source {
    /// Owned, handed back with the completion.
    Owned(Vec<u8>),
    /// A stretch of a staging ring, from byte `at`, `len` bytes long.
    Staging {
        /// The ring.
        ring: Staging,
        /// Where in the ring.
        at: usize,
        /// How long.
        len: usize,
    },
}

/// A write that has completed.
pub struct Completed {
    /// Which.
    pub id: WriteId,
    /// How it went. After an error nothing may be assumed of what was written, or of any earlier write that was not synced.
    pub result: io::Result<()>,
    /// The memory of an owned write.
    pub memory: Option<Vec<u8>>,
}

/// Carries out writes for one thread.
pub trait Writer {
    /// Writes `source` at `at`, and makes the file's data durable afterwards if `sync`. Completes as one write. An empty source with `sync`
    /// only syncs. Fails only when the request cannot be taken at all.
    ///
    /// A sync covers all earlier writes of this writer to the file, and starts when they are done; writes that overlap happen in the order
    /// of submission. Other writes may complete in any order. Dropping the writer waits for what it was given.
    fn submit(
        &mut self,
        id: WriteId,
        file: &Arc<dyn DiskFile>,
        source: Source,
        at: u64,
        sync: bool,
    ) -> io::Result<()>;
    /// The next completion, if there is one.
    fn completed(&mut self) -> Option<Completed>;
    /// Writes under way.
    fn in_flight(&self) -> usize;
    /// Sleeps in the kernel until something completes, but no longer than `longest`.
    fn wait(&mut self, longest: Duration) -> io::Result<()>;
}

/// Makes a directory's own name durable, and those above it, which may be new as well.
///
/// # Errors
/// When a directory above cannot be synced, though names in it can be changed.
pub fn sync_above(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    for above in path.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match disk.sync_directory(above) {
            Ok(()) => {}
            // Where nothing can be opened or written, nothing is new.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied
                        | io::ErrorKind::ReadOnlyFilesystem
                        | io::ErrorKind::NotFound
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::Unsupported
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
