//! Files of the machine, and the rings on its tmpfs: what [`Uring`](super::Uring) and [`Blocking`](super::Blocking) have in common.
//!
//! Everything here blocks. A file that was asked for with `direct` has a second descriptor, opened with `O_DIRECT`, for whole aligned
//! pages; reads, and writes that are not aligned, go through the page cache, which the kernel keeps coherent.
//!
//! Staging rings that outlive the process are files in [`STAGING_DIRECTORY`]. Their pages are reserved when they are made: a tmpfs that
//! is full refuses then, with an error, and not later with a signal. No file of another user is ever mapped. Whoever writes a ring has it
//! locked: containers may share the directory, and so may jobs whose data directories are copies of each other.

use super::{DiskFile, How, Lifetime, Source};
use crate::bounds::{LOCK_STEP, LOCK_WAIT, ZEROS_BYTES};
use crate::file_system::FileSystem;
use crate::staging::Staging;
use memmap2::Mmap;
use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Where staging rings that outlast the process live.
pub const STAGING_DIRECTORY: &str = "/dev/shm";

/// What the names of their files begin with.
pub(crate) const STAGING_PREFIX: &str = "pelton-";

/// The name of a directory's lock file.
pub const LOCK: &str = "LOCK";

/// What a descriptor opened with `O_DIRECT` wants position, length and address to be multiples of.
const DIRECT_BYTES: usize = 4 << 10;

/// A file of the machine.
pub(super) struct RealFile {
    file: File,
    direct: Option<File>,
    // Device and number: the same for all that opened the same file.
    identity: (u64, u64),
}

/// Opens a file; `direct` asks for a second descriptor that passes the page cache by, where the file system has such.
pub(super) fn open(path: &Path, how: How, direct: bool) -> io::Result<Arc<dyn DiskFile>> {
    let mut options = OpenOptions::new();
    options.read(true).write(how != How::Read).create_new(how == How::Create);
    let file = options.open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let direct = if direct && how != How::Read {
        // A file system that knows no `O_DIRECT` refuses it; the page cache is the way then.
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(path).ok()
    } else {
        None
    };
    Ok(Arc::new(RealFile { file, direct, identity: (facts.dev(), facts.ino()) }))
}

impl RealFile {
    /// The file behind the trait, which must be one of this disk.
    pub(super) fn of(file: &Arc<dyn DiskFile>) -> io::Result<&RealFile> {
        file.as_any()
            .downcast_ref()
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "a file of another disk"))
    }

    /// The descriptor for a write of `len` bytes from `address` to `at`.
    pub(super) fn descriptor_for(&self, address: *const u8, len: usize, at: u64) -> i32 {
        let bits = address as usize | len | at as usize;
        match &self.direct {
            Some(direct) if bits.is_multiple_of(DIRECT_BYTES) => direct.as_raw_fd(),
            _ => self.file.as_raw_fd(),
        }
    }

    /// The descriptor to sync; it covers what was written through either.
    pub(super) fn descriptor_for_sync(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// What tells whether two files are the same.
    pub(super) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Writes `source` at `at`, then syncs if asked to, as a [`Writer`](super::Writer) promises; blocks.
    pub(super) fn carry_out(&self, source: &Source, at: u64, sync: bool) -> io::Result<()> {
        let (mut address, mut len) = address_of(source);
        let mut at = at;
        while len > 0 {
            let descriptor = self.descriptor_for(address, len, at);
            let offset = libc::off64_t::try_from(at).map_err(|_| ErrorKind::InvalidInput)?;
            // SAFETY: `address..address + len` is inside `source`, which is borrowed for the whole call; the kernel only reads it.
            let written = unsafe { libc::pwrite64(descriptor, address.cast(), len, offset) };
            match usize::try_from(written) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    address = address.wrapping_add(written);
                    len -= written;
                    at += written as u64;
                }
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        if sync { self.file.sync_data() } else { Ok(()) }
    }
}

/// Where the bytes of a source are, and how many.
pub(super) fn address_of(source: &Source) -> (*const u8, usize) {
    match source {
        Source::Owned(memory) => (memory.as_ptr(), memory.len()),
        Source::Staging { ring, at, len } => (ring.address(*at, *len), *len),
    }
}

impl DiskFile for RealFile {
    fn lock(&self, longest: Duration) -> io::Result<()> {
        held(&self.file, longest)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn fill_zeros(&self, len: u64) -> io::Result<()> {
        let wanted = libc::off64_t::try_from(len).map_err(|_| ErrorKind::InvalidInput)?;
        if wanted == 0 {
            return Ok(());
        }
        // First all the space, in one piece if there is one, so that a full disk is known before anything is written.
        loop {
            // SAFETY: the descriptor is open, and no memory is passed.
            if unsafe { libc::fallocate64(self.file.as_raw_fd(), 0, 0, wanted) } == 0 {
                break;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EOPNOTSUPP) => break,
                _ => return Err(error),
            }
        }
        // Then real zeros: a block that is only reserved turns into a written one at its first sync, and that is metadata.
        let zeros = vec![0; ZEROS_BYTES.min(usize::try_from(len).unwrap_or(ZEROS_BYTES))];
        let mut at = 0;
        while at < len {
            let step = (len - at).min(zeros.len() as u64);
            self.file.write_all_at(&zeros[..step as usize], at)?;
            at += step;
        }
        self.file.sync_data()
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn map(&self) -> io::Result<Arc<dyn AsRef<[u8]> + Send + Sync>> {
        // SAFETY: files are mapped when they are sealed, or before the job that owns them starts; the directory's lock keeps other
        // processes of this kind away, and nobody cuts a file that is mapped.
        Ok(Arc::new(unsafe { Mmap::map(&self.file)? }))
    }

    fn descriptor(&self) -> Option<i32> {
        Some(self.file.as_raw_fd())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The length of the file of that name.
pub(super) fn len_of(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

/// The names in a directory, sorted.
pub(super) fn list(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        // A name that is not UTF-8 is none of ours.
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes a file, or a directory that is empty.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => fs::remove_dir(path),
        result => result,
    }
}

/// Makes names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Locks a directory by its lock file, or the lock file itself.
pub(super) fn lock(path: &Path) -> io::Result<Box<dyn Send + Sync>> {
    let path = if path.is_dir() { &path.join(LOCK) } else { path };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    held(&file, LOCK_WAIT)?;
    // Whoever looks at the directory without the lock can tell by this that a job has come meanwhile. Where it cannot be written, tools
    // are told less.
    let _ = file.set_modified(SystemTime::now());
    Ok(Box::new(file))
}

/// Makes a ring.
pub(super) fn staging(name: &str, bytes: usize, lifetime: Lifetime) -> io::Result<Staging> {
    if lifetime == Lifetime::InProcess {
        return Staging::in_process(bytes);
    }
    let path = staging_path(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    let mine = held(&file, Duration::ZERO).is_ok() && file.metadata()?.nlink() > 0;
    if !mine {
        // Somebody took it for one that was left behind, in the moment before it was locked.
        return Err(ErrorKind::AlreadyExists.into());
    }
    let made = reserve(&file, bytes);
    made.and_then(|()| Staging::on_machine(file, bytes)).inspect_err(|_| {
        // What is left would only take space; the error that counts is the first one.
        let _ = fs::remove_file(&path);
    })
}

/// The ring of that name, if there is one that was made to its end. With `hold`, one that was not is removed: nobody is making it any more.
pub(super) fn find_staging(name: &str, hold: Option<Duration>) -> io::Result<Option<Staging>> {
    let path = staging_path(name);
    let file = match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let facts = file.metadata()?;
    // SAFETY: the call has no arguments and cannot fail.
    let user = unsafe { libc::geteuid() };
    if facts.uid() != user || !facts.is_file() {
        let message = format!("{} belongs to user {}, not to {user}", path.display(), facts.uid());
        return Err(io::Error::new(ErrorKind::PermissionDenied, message));
    }
    if let Some(longest) = hold {
        held(&file, longest)?;
    }
    // One whose pages are not all there must not be touched.
    let facts = file.metadata()?;
    let is_whole = facts.len() > 0 && facts.len().is_multiple_of(8) && facts.blocks() * 512 >= facts.len();
    let Some(bytes) = usize::try_from(facts.len()).ok().filter(|_| is_whole) else {
        if hold.is_some() {
            remove_staging(name)?;
        }
        return Ok(None);
    };
    Staging::on_machine(file, bytes).map(Some)
}

/// The rings whose names begin so.
pub(super) fn stagings(prefix: &str) -> io::Result<Vec<String>> {
    let names = list(Path::new(STAGING_DIRECTORY))?;
    let names = names.iter().filter_map(|name| name.strip_prefix(STAGING_PREFIX));
    Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
}

/// Removes a ring on the machine.
pub(super) fn remove_staging(name: &str) -> io::Result<()> {
    match fs::remove_file(staging_path(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes a file without a name where rings are made, which leaves nothing behind, and asks for the room there.
pub(super) fn staging_room() -> io::Result<Option<u64>> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let file = match options.clone().custom_flags(libc::O_TMPFILE).open(STAGING_DIRECTORY) {
        // A file system that has no such files.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            let path = staging_path(&format!("probe-{:016x}", draw()));
            let file = options.create_new(true).open(&path)?;
            fs::remove_file(&path)?;
            file
        }
        opened => opened?,
    };
    reserve(&file, DIRECT_BYTES)?;
    FileSystem::of(file.as_raw_fd()).map(|system| Some(system.free))
}

/// Takes the lock of a file.
fn held(file: &File, longest: Duration) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begun.elapsed() >= longest => {
                return Err(ErrorKind::WouldBlock.into());
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_STEP),
        }
    }
}

/// A number that nobody has drawn before; never 0.
pub(super) fn draw() -> u64 {
    RandomState::new().build_hasher().finish().max(1)
}

fn reserve(file: &File, bytes: usize) -> io::Result<()> {
    let wanted = libc::off64_t::try_from(bytes).map_err(|_| ErrorKind::InvalidInput)?;
    loop {
        // SAFETY: the descriptor is open, and no memory is passed.
        if unsafe { libc::fallocate64(file.as_raw_fd(), 0, 0, wanted) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn staging_path(name: &str) -> PathBuf {
    assert!(!name.is_empty() && !name.contains('/'), "`{name}` is no name of a ring");
    Path::new(STAGING_DIRECTORY).join(format!("{STAGING_PREFIX}{name}"))
}

/// The boot id where there is none.
pub(crate) const UNKNOWN_BOOT: &str = "unknown";

/// Changes when the machine restarts.
pub(super) fn boot_id() -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) => text.trim().to_owned(),
        // No `/proc`: a constant says that nothing is known, and rings are then told apart by what stands in them.
        Err(_) => UNKNOWN_BOOT.to_owned(),
    }
}
