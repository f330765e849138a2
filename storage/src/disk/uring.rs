//! The machine's disk through io_uring: writes that the kernel carries out while the shard goes on.
//!
//! Each writer has a ring of its own. A write that is to be durable is two requests, linked, so that the sync starts
//! when the write is through and without a turn of ours in between:
//!
//! ```text
//! submit ──> | write at, len | ──link──> | fdatasync |  ──> one completion
//!                   │ short: the link breaks; what is left is submitted again, linked again
//!                   │ failed: the link breaks; the error is the write's
//!                   └ fdatasync failed: its error is the write's too
//! ```
//!
//! Requests that depend on each other are not given to the kernel together: a sync waits for the earlier writes of its
//! file, and a write for earlier ones that it overlaps. Nothing else waits, up to [`URING_IN_FLIGHT`] at a time.
//!
//! Costs: `submit` is one system call; `completed` is two loads from shared memory while there is nothing, and a system
//! call only when the kernel asks for one.
//!
//! The kernel's worker threads inherit the core that the submitter is pinned to, and no mask that is registered can
//! widen that: a new worker gets what both have in common, or the registered one if they have nothing in common. So by
//! default the workers share the submitter's core, and whoever has writes under way has to sleep in [`Writer::wait`]
//! and not spin: a spinner keeps them off for slices of milliseconds. With a core to spare, [`Uring::with_workers_on`]
//! sends them there. On cores that others keep busy they fare worse.

use super::affinity::Processors;
use super::files::{self, RealFile, address_of};
use super::{Completed, Disk, DiskFile, How, Lifetime, Owner, Source, WriteId, Writer};
use crate::bounds::{URING_IN_FLIGHT, URING_WORKERS};
use crate::staging::Staging;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io, mem};

/// Requests in the ring: a write and a sync for each.
const ENTRIES: u32 = 2 * URING_IN_FLIGHT as u32;

/// The kernel takes less than 2 GiB in a write.
const CHUNK_BYTES: usize = 1 << 30;

/// Files of the machine, written through io_uring.
///
/// ```no_run
/// use pelton_storage::disk::{Disk, How, Source, Uring, WriteId};
/// use std::path::Path;
/// use std::time::Duration;
///
/// let disk = Uring::new(false);
/// let file = disk.open(Path::new("segment.log"), How::Create)?;
/// let mut writer = disk.writer()?;
/// writer.submit(WriteId(1), &file, Source::Owned(vec![7; 4_096]), 0, true)?;
/// while writer.in_flight() > 0 {
///     writer.wait(Duration::from_micros(20))?;
///     if let Some(completed) = writer.completed() {
///         completed.result?;
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Uring {
    direct: bool,
    workers: Option<Processors>,
}

impl Uring {
    /// The disk of this machine. `direct` makes its writers pass the page cache by (`O_DIRECT`) for whole aligned pages
    /// of files whose name ends in `.log`.
    pub fn new(direct: bool) -> Self {
        Uring { direct, workers: None }
    }

    /// Sends the kernel's workers to these processors, which nobody else should keep busy. They must not be among those
    /// that the writers' threads are pinned to. Where the process may not use them, making a writer fails.
    pub fn with_workers_on(self, processors: &[usize]) -> Self {
        Uring { workers: Some(Processors::these(processors)), ..self }
    }
}

impl Disk for Uring {
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>> {
        let direct = self.direct && path.extension().is_some_and(|extension| extension == "log");
        files::open(path, how, direct)
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
        Ok(Box::new(UringWriter::new(self.workers.as_ref())?))
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

struct UringWriter {
    ring: IoUring,
    // With this the kernel is silent about a write whose linked sync follows, and a pair makes one completion.
    skips: bool,
    started: [Option<Request>; URING_IN_FLIGHT],
    waiting: VecDeque<Request>,
    done: VecDeque<Completed>,
    in_flight: usize,
}

struct Request {
    id: WriteId,
    file: Arc<dyn DiskFile>,
    source: Source,
    at: u64,
    sync: bool,
    written: usize,
    synced: bool,
    error: Option<io::Error>,
    // Completions that the kernel still owes for what it was given.
    owed: u32,
    // It was completed with an error while the kernel still had it.
    answered: bool,
}

impl Request {
    fn len(&self) -> usize {
        match &self.source {
            Source::Owned(memory) => memory.len(),
            Source::Staging { len, .. } => *len,
        }
    }

    fn real(&self) -> &RealFile {
        RealFile::of(&self.file).expect("`submit` takes files of this disk only")
    }

    /// Whether this one, submitted later, has to wait until `earlier` is done.
    fn depends_on(&self, earlier: &Request) -> bool {
        let (len, earlier_len) = (self.len() as u64, earlier.len() as u64);
        if earlier_len == 0 || self.real().identity() != earlier.real().identity() {
            return false;
        }
        let overlaps =
            self.at < earlier.at.saturating_add(earlier_len) && earlier.at < self.at.saturating_add(len);
        self.sync || overlaps
    }

    fn is_whole(&self) -> bool {
        self.written == self.len() && (self.synced || !self.sync)
    }
}

impl UringWriter {
    fn new(workers: Option<&Processors>) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
        let ring = match builder.build(ENTRIES) {
            // An older kernel does not know these: they save interrupts and nothing else.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => IoUring::new(ENTRIES)?,
            result => result?,
        };
        // Where this is refused there may be more of them than are of use; nothing else changes.
        let _ = ring.submitter().register_iowq_max_workers(&mut URING_WORKERS.clone());
        if let Some(allowed) = workers.and_then(Processors::allowed) {
            ring.submitter().register_iowq_aff(allowed)?;
        }
        Ok(UringWriter {
            skips: ring.params().is_feature_skip_cqe_on_success(),
            ring,
            started: [const { None }; URING_IN_FLIGHT],
            waiting: VecDeque::with_capacity(URING_IN_FLIGHT),
            done: VecDeque::with_capacity(URING_IN_FLIGHT),
            in_flight: 0,
        })
    }

    /// Gives the kernel what may start now, oldest first.
    fn start_waiting(&mut self) -> io::Result<()> {
        let mut index = 0;
        while index < self.waiting.len() {
            let Some(slot) = self.started.iter().position(Option::is_none) else { break };
            let request = &self.waiting[index];
            let earlier = self.started.iter().flatten().chain(self.waiting.range(..index));
            if earlier.into_iter().any(|earlier| request.depends_on(earlier)) {
                index += 1;
                continue;
            }
            self.started[slot] = self.waiting.remove(index);
            self.start(slot);
        }
        self.enter()
    }

    /// Puts what is left of a request into the submission queue.
    fn start(&mut self, slot: usize) {
        let request = self.started[slot].as_mut().expect("a slot that is started holds a request");
        let (address, len) = address_of(&request.source);
        let left = len - request.written;
        let chunk = left.min(CHUNK_BYTES);
        let sync = request.sync && chunk == left;
        let at = request.at + request.written as u64;
        let address = address.wrapping_add(request.written);
        let real = RealFile::of(&request.file).expect("`submit` takes files of this disk only");

        let mut entries: [Option<Entry>; 2] = [None, None];
        if chunk > 0 {
            let descriptor = Fd(real.descriptor_for(address, chunk, at));
            let mut flags = Flags::empty();
            flags.set(Flags::IO_LINK, sync);
            flags.set(Flags::SKIP_SUCCESS, sync && self.skips);
            let write = opcode::Write::new(descriptor, address, chunk as u32).offset(at).build();
            entries[0] = Some(write.flags(flags).user_data(Tag::Write.of(slot)));
        }
        if sync {
            let descriptor = Fd(real.descriptor_for_sync());
            let entry = opcode::Fsync::new(descriptor).flags(FsyncFlags::DATASYNC).build();
            entries[1] = Some(entry.user_data(Tag::Sync.of(slot)));
        }
        let pushed = entries.iter().flatten().count() as u32;
        assert!(pushed > 0, "a request that is whole is not started");
        request.owed = if self.skips { 1 } else { pushed };
        for entry in entries.iter().flatten() {
            // SAFETY: the memory stays where it is until the kernel has answered: the request owns it, or a handle to
            // it, and stays in its slot until nothing is owed; dropping the writer waits for that. The file stays open
            // as long.
            unsafe { self.ring.submission().push(entry) }
                .expect("the queue holds two entries for each of the slots");
        }
    }

    /// Hands over what is in the submission queue, and lets the kernel do what it has to do on this thread.
    fn enter(&mut self) -> io::Result<()> {
        match self.ring.submit() {
            Ok(_) => Ok(()),
            // Interrupted, or short of memory for the moment: it stays queued, and the next call hands it over.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes in what the kernel has answered; true if there was anything.
    fn reap(&mut self) -> io::Result<bool> {
        let queue = self.ring.submission();
        let (calls, unsubmitted) = (queue.taskrun() || queue.cq_overflow(), !queue.is_empty());
        drop(queue);
        if calls || unsubmitted {
            self.enter()?;
        }
        let mut any = false;
        while let Some((tag, result)) = {
            let entry = self.ring.completion().next();
            entry.map(|entry| (entry.user_data(), entry.result()))
        } {
            any = true;
            self.take(tag, result);
        }
        if any && !(self.waiting.is_empty() && self.ring.submission().is_empty()) {
            self.start_waiting()?;
        }
        Ok(any)
    }

    fn take(&mut self, tag: u64, result: i32) {
        let slot = (tag >> 1) as usize;
        let request = self.started[slot].as_mut().expect("the kernel answers what it was asked");
        request.owed -= 1;
        if tag & 1 == Tag::Write as u64 {
            match usize::try_from(result) {
                Ok(0) => request.error = Some(io::ErrorKind::WriteZero.into()),
                Ok(written) => request.written += written,
                Err(_) => {
                    let error = io::Error::from_raw_os_error(-result);
                    if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) {
                        request.error = Some(error);
                    }
                }
            }
        } else if result >= 0 {
            // The link holds only if the write was whole.
            request.written = request.len();
            request.synced = true;
        } else if result != -libc::ECANCELED && request.error.is_none() {
            request.error = Some(io::Error::from_raw_os_error(-result));
        }
        if request.owed > 0 {
            return;
        }
        if request.error.is_none() && !request.is_whole() && !request.answered {
            self.start(slot);
            return;
        }
        let request = self.started[slot].take().expect("it was there above");
        if request.answered {
            return;
        }
        let result = request.error.map_or(Ok(()), Err);
        self.done.push_back(Completed { id: request.id, result, memory: memory_of(request.source) });
    }
}

impl UringWriter {
    /// The ring cannot be entered: all that is under way is answered with that. What the kernel has keeps its memory
    /// until it is through.
    fn fail(&mut self, error: &io::Error) {
        let again = || match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        };
        for request in self.started.iter_mut().flatten().filter(|request| !request.answered) {
            request.answered = true;
            self.done.push_back(Completed { id: request.id, result: Err(again()), memory: None });
        }
        for request in self.waiting.drain(..) {
            let memory = memory_of(request.source);
            self.done.push_back(Completed { id: request.id, result: Err(again()), memory });
        }
    }

    /// Whether the kernel has nothing of ours.
    fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.started.iter().all(Option::is_none)
    }
}

/// Which half of a pair an answer is for; beside it stands the slot.
#[derive(Clone, Copy)]
enum Tag {
    Write = 0,
    Sync = 1,
}

impl Tag {
    fn of(self, slot: usize) -> u64 {
        (slot as u64) << 1 | self as u64
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

fn memory_of(source: Source) -> Option<Vec<u8>> {
    match source {
        Source::Owned(memory) => Some(memory),
        Source::Staging { .. } => None,
    }
}

impl Writer for UringWriter {
    fn submit(
        &mut self,
        id: WriteId,
        file: &Arc<dyn DiskFile>,
        source: Source,
        at: u64,
        sync: bool,
    ) -> io::Result<()> {
        RealFile::of(file)?;
        let file = Arc::clone(file);
        let request = Request {
            id,
            file,
            source,
            at,
            sync,
            written: 0,
            synced: false,
            error: None,
            owed: 0,
            answered: false,
        };
        // Also asserts that a stretch of a ring is inside it.
        let (_, len) = address_of(&request.source);
        self.in_flight += 1;
        if len == 0 && !sync {
            let memory = memory_of(request.source);
            self.done.push_back(Completed { id, result: Ok(()), memory });
            return Ok(());
        }
        self.waiting.push_back(request);
        self.start_waiting()
    }

    fn completed(&mut self) -> Option<Completed> {
        if self.done.is_empty() {
            if self.in_flight == 0 {
                return None;
            }
            if let Err(error) = self.reap() {
                self.fail(&error);
            }
        }
        let completed = self.done.pop_front()?;
        self.in_flight -= 1;
        Some(completed)
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn wait(&mut self, longest: Duration) -> io::Result<()> {
        let from = Instant::now();
        let mut left = longest;
        loop {
            self.reap()?;
            let nothing = self.in_flight == 0 && self.is_quiet();
            if nothing || !self.done.is_empty() || left.is_zero() {
                return Ok(());
            }
            let timeout = Timespec::from(left);
            match self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timeout)) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ETIME) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
            left = longest.saturating_sub(from.elapsed());
        }
    }
}

impl Drop for UringWriter {
    /// Waits until the kernel no longer reads our memory.
    fn drop(&mut self) {
        // What it was not given yet, it does not read; but a write that was taken is carried out.
        loop {
            while self.completed().is_some() {}
            if self.in_flight == 0 && self.is_quiet() {
                return;
            }
            if self.wait(Duration::from_secs(1)).is_err() {
                // There is no telling when the kernel is through. The memory is better lost than reused.
                for request in self.started.iter_mut().filter_map(Option::take) {
                    mem::forget(request);
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::thread;

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("pelton-uring-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_ring_that_cannot_be_entered_answers_everything_once() {
        for mut writer in writers() {
            let directory = directory("fail");
            let path = directory.join("file");
            let _ = fs::remove_file(&path);
            let disk = Uring::new(false);
            let file = disk.open(&path, How::Create).unwrap();
            // Syncs wait for the write before them: some are the kernel's, and some are not given to it yet.
            for id in 0..4 {
                writer.submit(WriteId(id), &file, Source::Owned(vec![7; 1 << 20]), id << 20, true).unwrap();
            }
            writer.fail(&io::Error::from_raw_os_error(libc::EBADF));
            let mut answered: Vec<WriteId> = std::iter::from_fn(|| writer.completed())
                .map(|completed| {
                    // One that was through in time may say so.
                    let code = completed.result.err().and_then(|error| error.raw_os_error());
                    assert!(matches!(code, Some(libc::EBADF) | None), "{code:?}");
                    completed.id
                })
                .collect();
            answered.sort_unstable();
            assert_eq!(answered, [0, 1, 2, 3].map(WriteId));
            assert_eq!(writer.in_flight(), 0);
            writer.wait(Duration::from_secs(5)).unwrap();
            assert!(writer.is_quiet() && writer.completed().is_none());
            drop(writer);
            fs::remove_dir_all(&directory).unwrap();
        }
    }

    /// A writer that asks the kernel to be silent about writes that a sync follows, and one that does not; none where
    /// io_uring is blocked.
    fn writers() -> Vec<UringWriter> {
        let writer = || UringWriter::new(None);
        match (writer(), writer()) {
            (Ok(first), Ok(mut second)) => {
                second.skips = false;
                vec![first, second]
            }
            _ => {
                eprintln!("skipped: io_uring cannot be used here");
                Vec::new()
            }
        }
    }

    fn next(writer: &mut UringWriter) -> Completed {
        loop {
            match writer.completed() {
                Some(completed) => return completed,
                None => writer.wait(Duration::from_secs(1)).unwrap(),
            }
        }
    }

    #[test]
    fn pairs_complete_once_with_and_without_the_kernel_skipping() {
        let directory = directory("pairs");
        for mut writer in writers() {
            let path = directory.join(format!("skips-{}", writer.skips));
            let file = files::open(&path, How::Create, false).unwrap();
            let closed = files::open(&path, How::Read, false).unwrap();
            for round in 0..100 {
                let (file, fails) = if round % 3 == 0 { (&closed, true) } else { (&file, false) };
                let id = WriteId(round);
                writer.submit(id, file, Source::Owned(vec![round as u8; 700]), round * 700, true).unwrap();
                let completed = next(&mut writer);
                assert_eq!((completed.id, completed.result.is_err()), (id, fails));
                assert_eq!(writer.in_flight(), 0);
            }
            assert!(writer.started.iter().all(Option::is_none));
            assert!(writer.ring.completion().next().is_none(), "no answer is left over");
        }
        fs::remove_dir_all(directory).unwrap();
    }

    /// A write across the greatest length that a file can have is cut short there, which breaks the link; what is left
    /// of it fails.
    #[test]
    fn a_short_write_goes_on_where_it_ended() {
        let directory = directory("short");
        for mut writer in writers() {
            let file =
                files::open(&directory.join(format!("skips-{}", writer.skips)), How::Create, false).unwrap();
            let (mut fits, mut fails) = (0, 1 << 62);
            while fails - fits > 1 {
                let middle = (fits + fails) / 2;
                *(if file.set_len(middle).is_ok() { &mut fits } else { &mut fails }) = middle;
            }
            file.set_len(0).unwrap();
            if fits < 8_192 || fails == 1 << 62 {
                eprintln!("skipped: files have no length here that can be found out");
                continue;
            }
            writer.submit(WriteId(1), &file, Source::Owned(vec![7; 8_192]), fits - 4_096, true).unwrap();
            let completed = next(&mut writer);
            assert_eq!(completed.result.unwrap_err().raw_os_error(), Some(libc::EFBIG));
            assert_eq!(file.len().unwrap(), fits, "its first half was written");
            let mut bytes = [0; 4_096];
            file.read_at(&mut bytes, fits - 4_096).unwrap();
            assert_eq!(bytes, [7; 4_096]);
            writer.submit(WriteId(2), &file, Source::Owned(vec![8; 10]), 0, true).unwrap();
            next(&mut writer).result.unwrap();
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_kernels_workers_run_where_they_are_sent() {
        if thread::available_parallelism().is_ok_and(|processors| processors.get() < 2) {
            eprintln!("skipped: there is one processor only");
            return;
        }
        let directory = directory("workers");
        let path = directory.join("file");
        thread::spawn(move || {
            Processors::these(&[0]).apply();
            let disk = Uring::new(false).with_workers_on(&[1]);
            let Ok(mut writer) = disk.writer() else {
                eprintln!("skipped: io_uring or processor 1 cannot be used here");
                return;
            };
            let file = disk.open(&path, How::Create).unwrap();
            writer.submit(WriteId(1), &file, Source::Owned(vec![1; 100]), 0, true).unwrap();
            while writer.completed().is_none() {
                writer.wait(Duration::from_secs(1)).unwrap();
            }
            // SAFETY: the call has no arguments and cannot fail.
            let name = format!("iou-wrk-{}", unsafe { libc::gettid() });
            for task in fs::read_dir("/proc/self/task").unwrap() {
                let task = task.unwrap().path();
                if fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name) {
                    let status = fs::read_to_string(task.join("status")).unwrap();
                    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
                    assert_eq!(allowed.map(str::trim), Some("1"));
                }
            }
        })
        .join()
        .unwrap();
        fs::remove_dir_all(directory).unwrap();
    }
}
