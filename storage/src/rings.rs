//! The rings that jobs have on this machine, and those that killed jobs have left: for tools.
//!
//! A job that is killed leaves its rings, because they hold what it acknowledged last; its next start goes on with them. If there is no next start
//! they stay until the machine is restarted. What can be said of a ring from here:
//!
//! | state | how it is known | may be removed |
//! |---|---|---|
//! | in use | a process has it locked | no |
//! | wanted | the directory that it was made for is there | no |
//! | gone | its data directory is not where it was, seen from the mount namespace that it was made in | yes |
//! | unknown | it says nothing that can be trusted, or was made where this process cannot look | by name only |
//!
//! A data directory that was moved is gone in this sense, so nothing is removed unless somebody says so. The machine's files only: nothing here
//! knows a simulated disk.

use crate::StorageError;
use crate::disk::{Owner, STAGING_DIRECTORY, STAGING_PREFIX};
use crate::log::log_id;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const PAGE: usize = 4096;

/// A ring on the machine.
#[derive(Clone, Debug)]
pub struct RingFile {
    /// Its file.
    pub path: PathBuf,
    /// Bytes that it takes up.
    pub bytes: u64,
    /// The data directory that it was made for, if it says so.
    pub data: Option<PathBuf>,
    /// The log that it belongs to, if it says so: what the manifest of the data directory calls `log_id`.
    pub log_id: Option<u128>,
    /// Whether anybody wants it.
    pub state: RingState,
}

/// Whether a ring is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingState {
    /// A process is at work with it.
    InUse,
    /// The directory is there that it was made for; the next start of its job goes on with it.
    Wanted,
    /// That directory is gone.
    Gone,
    /// That cannot be told from here, and why.
    Unknown(&'static str),
}

/// All rings, by name.
///
/// # Errors
/// When they cannot be listed.
pub fn rings() -> Result<Vec<RingFile>, StorageError> {
    let directory = Path::new(STAGING_DIRECTORY);
    let listed = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut rings = Vec::new();
    for entry in listed.map_err(|error| StorageError::io("list", directory, error))? {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(STAGING_PREFIX))
            && let Some(ring) =
                look(&entry.path()).map_err(|error| StorageError::io("look at", entry.path(), error))?
        {
            rings.push(ring);
        }
    }
    rings.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(rings)
}

/// Removes a ring if it is still what it was found to be, and nobody wants it: if it is gone, or, where `by_name` says that somebody has asked
/// for this very one, if it cannot be told. Whether it was removed.
///
/// # Errors
/// When the system refuses.
pub fn remove_ring(ring: &RingFile, by_name: bool) -> Result<bool, StorageError> {
    let removed = open(&ring.path).and_then(|opened| match opened {
        Some((file, is_free)) if is_free => {
            // Locked from here on, so that no job takes it up meanwhile.
            let state = judge(&file)?.state;
            let same = fs::metadata(&ring.path)?.ino() == file.metadata()?.ino();
            let unwanted = state == RingState::Gone || by_name && matches!(state, RingState::Unknown(_));
            if same && unwanted { fs::remove_file(&ring.path).map(|()| true) } else { Ok(false) }
        }
        _ => Ok(false),
    });
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        removed => removed.map_err(|error| StorageError::io("remove", &ring.path, error)),
    }
}

/// Removes the rings of all data directories below `path`, which are about to be thrown away, unless they are in use.
///
/// # Errors
/// When they cannot be listed or removed.
pub fn remove_rings_below(path: &Path) -> Result<(), StorageError> {
    let path = fs::canonicalize(path).map_err(|error| StorageError::io("look at", path, error))?;
    for ring in rings()? {
        let is_below = ring.data.as_ref().is_some_and(|data| data.starts_with(&path));
        if is_below && ring.state != RingState::InUse {
            fs::remove_file(&ring.path).map_err(|error| StorageError::io("remove", &ring.path, error))?;
        }
    }
    Ok(())
}

/// Opens a ring, and whether nobody has it; `None` if it is not there. While the file is open, it is locked if it was free.
fn open(path: &Path) -> io::Result<Option<(File, bool)>> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some((file, true))),
        Err(TryLockError::WouldBlock) => Ok(Some((file, false))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn look(path: &Path) -> io::Result<Option<RingFile>> {
    let unreadable = |bytes| RingFile {
        path: path.to_path_buf(),
        bytes,
        data: None,
        log_id: None,
        state: RingState::Unknown("it is another user's"),
    };
    let (file, is_free) = match open(path) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Ok(fs::symlink_metadata(path).ok().map(|facts| unreadable(facts.blocks() * 512)));
        }
        Err(error) => return Err(error),
    };
    let Judged { data, log_id, state } = judge(&file)?;
    let state = if is_free { state } else { RingState::InUse };
    Ok(Some(RingFile {
        path: path.to_path_buf(),
        bytes: file.metadata()?.blocks() * 512,
        data,
        log_id,
        state,
    }))
}

struct Judged {
    data: Option<PathBuf>,
    log_id: Option<u128>,
    state: RingState,
}

fn judge(file: &File) -> io::Result<Judged> {
    let mut page = vec![0; PAGE];
    match file.read_exact_at(&mut page, 0) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => page.clear(),
        read => read?,
    }
    let (log_id, owner) = (log_id(&page), Owner::from_page(&page));
    let state = match (log_id, &owner) {
        (None, _) | (_, None) => RingState::Unknown("it does not say whose it is"),
        (Some(_), Some(owner)) => match owner.is_gone() {
            Some(true) => RingState::Gone,
            Some(false) => RingState::Wanted,
            None => RingState::Unknown(
                "it was made where this process cannot look, or what is there is another directory",
            ),
        },
    };
    let data = owner.map(|owner| owner.data().to_path_buf());
    Ok(Judged { data, log_id, state })
}
