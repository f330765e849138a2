//! The machine's disk without io_uring: each writer has one thread that writes and syncs for it.
//!
//! For places where io_uring is blocked. [`Writer::submit`] hands the write over and returns; the thread carries writes out one after
//! the other, in the order of submission. It runs wherever the thread that made the disk was allowed to, not on the core that the
//! submitting thread is pinned to and keeps busy.
//!
//! A submission costs tens of nanoseconds and, when the thread sleeps, the system call that wakes it.

use super::affinity::Processors;
use super::files::{self, RealFile};
use super::{Completed, Disk, DiskFile, How, Lifetime, Owner, Source, WriteId, Writer};
use crate::staging::Staging;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

/// Files of the machine, written by threads.
///
/// ```
/// use pelton_storage::disk::{Blocking, Disk, How, Source, WriteId};
/// use std::time::Duration;
///
/// let directory = std::env::temp_dir().join(format!("pelton-blocking-{}", std::process::id()));
/// let disk = Blocking::new();
/// disk.create_directory(&directory)?;
/// let file = disk.open(&directory.join("bytes"), How::Create)?;
///
/// let mut writer = disk.writer()?;
/// writer.submit(WriteId(1), &file, Source::Owned(b"durable".to_vec()), 0, true)?;
/// let completed = loop {
///     match writer.completed() {
///         Some(completed) => break completed,
///         None => writer.wait(Duration::from_secs(1))?,
///     }
/// };
/// assert!(completed.id == WriteId(1) && completed.result.is_ok());
/// assert_eq!(file.len()?, 7);
/// # std::fs::remove_dir_all(directory)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Blocking {
    processors: Processors,
}

impl Blocking {
    /// The disk of this machine. Threads of its writers may run where the current thread may, so it is best made before pinning.
    pub fn new() -> Self {
        Blocking { processors: Processors::of_this_thread() }
    }
}

impl Disk for Blocking {
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>> {
        files::open(path, how, false)
    }

    fn len_of(&self, path: &Path) -> io::Result<u64> {
        files::len_of(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        files::list(directory)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        files::remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        files::sync_directory(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        files::lock(path)
    }

    fn writer(&self) -> io::Result<Box<dyn Writer>> {
        Ok(Box::new(BlockingWriter::new(self.processors.clone())?))
    }

    fn staging(&self, name: &str, bytes: usize, lifetime: Lifetime) -> io::Result<Staging> {
        files::staging(name, bytes, lifetime)
    }

    fn find_staging(&self, name: &str, hold: Option<Duration>) -> io::Result<Option<Staging>> {
        files::find_staging(name, hold)
    }

    fn stagings(&self, prefix: &str) -> io::Result<Vec<String>> {
        files::stagings(prefix)
    }

    fn remove_staging(&self, name: &str) -> io::Result<()> {
        files::remove_staging(name)
    }

    fn staging_room(&self) -> io::Result<Option<u64>> {
        files::staging_room()
    }

    fn owner(&self, directory: &Path) -> io::Result<Owner> {
        Owner::of(directory)
    }

    fn draw(&self) -> u64 {
        files::draw()
    }

    fn boot_id(&self) -> String {
        files::boot_id()
    }
}

struct BlockingWriter {
    /// Gone when the thread is to end.
    requests: Option<Sender<Request>>,
    completions: Receiver<Completed>,
    /// What came while it was waited for.
    arrived: Option<Completed>,
    thread: Option<JoinHandle<()>>,
    in_flight: usize,
}

struct Request {
    id: WriteId,
    file: Arc<dyn DiskFile>,
    source: Source,
    at: u64,
    sync: bool,
}

impl Request {
    fn carry_out(self) -> Completed {
        let Request { id, file, source, at, sync } = self;
        // Somebody waits for the completion, whatever becomes of the write: a panic is an error, after which the log is poisoned.
        let write = || RealFile::of(&file).and_then(|file| file.carry_out(&source, at, sync));
        let result = catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|panicked| {
            let text = panicked.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panicked.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "without a message".to_owned());
            Err(io::Error::other(format!("the thread that writes panicked, which is a bug: {text}")))
        });
        let memory = match source {
            Source::Owned(memory) => Some(memory),
            Source::Staging { .. } => None,
        };
        Completed { id, result, memory }
    }
}

impl BlockingWriter {
    fn new(processors: Processors) -> io::Result<Self> {
        let (requests, submitted) = channel::<Request>();
        let (done, completions) = channel();
        let thread = thread::Builder::new().name("pelton-writer".to_owned()).spawn(move || {
            processors.apply();
            // Until the writer is dropped and none is left.
            for request in submitted {
                let _ = done.send(request.carry_out());
            }
        })?;
        Ok(BlockingWriter {
            requests: Some(requests),
            completions,
            arrived: None,
            thread: Some(thread),
            in_flight: 0,
        })
    }
}

impl Writer for BlockingWriter {
    fn submit(
        &mut self,
        id: WriteId,
        file: &Arc<dyn DiskFile>,
        source: Source,
        at: u64,
        sync: bool,
    ) -> io::Result<()> {
        RealFile::of(file)?;
        let request = Request { id, file: Arc::clone(file), source, at, sync };
        let sent = self.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok());
        if !sent {
            return Err(io::Error::other("the thread that writes has ended"));
        }
        self.in_flight += 1;
        Ok(())
    }

    fn completed(&mut self) -> Option<Completed> {
        let completed = self.arrived.take().or_else(|| self.completions.try_recv().ok())?;
        self.in_flight -= 1;
        Some(completed)
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn wait(&mut self, longest: Duration) -> io::Result<()> {
        if self.in_flight > 0 && self.arrived.is_none() {
            self.arrived = self.completions.recv_timeout(longest).ok();
        }
        Ok(())
    }
}

impl Drop for BlockingWriter {
    /// Waits until all that was submitted is done, as the other disks do.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that is gone would be waited for for ever.
    #[test]
    fn a_panic_of_the_thread_is_an_error_of_the_write_and_the_thread_goes_on() {
        let directory = std::env::temp_dir().join(format!("pelton-blocking-panic-{}", std::process::id()));
        let disk = Blocking::new();
        disk.create_directory(&directory).unwrap();
        let file = disk.open(&directory.join("bytes"), How::Create).unwrap();
        let mut writer = disk.writer().unwrap();
        let ring = Staging::in_process(4_096).unwrap();
        let beyond = Source::Staging { ring, at: 4_096, len: 8 };
        let sources = [beyond, Source::Owned(vec![7; 8])];
        let results = sources.map(|source| {
            writer.submit(WriteId(1), &file, source, 0, false).unwrap();
            loop {
                match writer.completed() {
                    Some(completed) => break completed.result,
                    None => writer.wait(Duration::from_secs(1)).unwrap(),
                }
            }
        });
        let error = results[0].as_ref().unwrap_err().to_string();
        assert!(error.contains("panicked") && error.contains("8 bytes at 4096"), "{error}");
        assert!(results[1].is_ok());
        fs::remove_dir_all(directory).unwrap();
    }
}
