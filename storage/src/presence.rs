//! Whether a job is at work in a data directory, for tools, which give way to jobs.
//!
//! A tool that looks holds no lock: it may take minutes, and a job that starts meanwhile must not be refused for it. So it asks before it looks
//! and again when it has, and believes what it saw if nobody came in between:
//!
//! ```text
//!  before = presence(data)?      no job is at work
//!  look at files
//!  presence(data)? == before     none has been since: what was seen stood still
//! ```
//!
//! Asking takes a shared lock on the directory's lock file and gives it back at once; a start that meets it in that moment tries again. A job
//! sets the time of that file when it begins, so one that came and went is noticed, too.

use crate::disk::LOCK;
use crate::error::StorageError;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

/// Who is at work in a data directory; two that are equal say that no job came in between.
///
/// ```
/// use pelton_storage::disk::{Blocking, Disk};
/// use pelton_storage::{DataDirectory, DirectoryOptions, presence};
/// use std::sync::Arc;
///
/// let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
/// let path = std::env::temp_dir().join(format!("pelton-doc-presence-{}", std::process::id()));
/// drop(DataDirectory::open(&disk, &path, &DirectoryOptions::default())?);
/// let before = presence(&path)?;
/// assert!(!before.is_in_use);
///
/// let job = DataDirectory::open(&disk, &path, &DirectoryOptions::default())?;
/// assert!(presence(&path)?.is_in_use);
/// drop(job);
/// assert_ne!(presence(&path)?, before, "a job was here");
/// # std::fs::remove_dir_all(&path).unwrap();
/// # Ok::<(), pelton_storage::StorageError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// A job is at work.
    pub is_in_use: bool,
    /// When the last one began; `None` where none ever did, such as in a copy.
    pub since: Option<SystemTime>,
}

/// Asks who is at work in the data directory `data`.
///
/// # Errors
/// When the lock file cannot be looked at.
pub fn presence(data: &Path) -> Result<Presence, StorageError> {
    let path = data.join(LOCK);
    let failed = |action| {
        let path = &path;
        move |error| StorageError::io(action, path, error)
    };
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Presence { is_in_use: false, since: None });
        }
        Err(error) => return Err(failed("open")(error)),
    };
    let is_in_use = match lock.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
    };
    // While it is held: a job that begins later sets another time.
    let since = lock.metadata().and_then(|facts| facts.modified()).map_err(failed("look at"))?;
    lock.unlock().map_err(failed("unlock"))?;
    Ok(Presence { is_in_use, since: Some(since) })
}
