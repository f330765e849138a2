//! The data directory of a job: where everything is, who may use it, and what can be thrown away.
//!
//! ```text
//! DATA/
//!   LOCK                                   locked by the process that runs the job
//!   MANIFEST                               what counts
//!   MANIFEST.stored                        which manifest was stored last
//!   log/g0000/shard-0000/seg-00000000.log  generation / shard / segment
//!   log/g0000/shard-0000.durable           how far that log was kept
//!   log/g0000/all.durable                  how far all of them were, a moment ago
//!   checkpoint/00000012/shard-0000.snap    checkpoint / shard
//! ```
//!
//! Opening it makes it if need be, takes the lock, and tries out what the rest relies on: making, syncing, renaming and removing a file, and
//! syncing the directory. That takes some milliseconds, once, and turns what would be a failure at the first commit into an error at start.

use crate::disk::{Disk, DiskFile, How, LOCK, Lifetime, STAGING_DIRECTORY, sync_above};
use crate::error::StorageError;
use crate::file_system::FileSystem;
use crate::inspect::{LogScan, Look};
use crate::log::{remove_rings, ring_prefix};
use crate::manifest::{Checkpoint, Manifest};
use crate::mark::{self, Witness};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PROBE: &str = "PROBE";
const PROBE_NEW: &str = "PROBE.new";

/// What a job needs of its data directory. Whether there is room for it is another question: see [`DataDirectory::check_room`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectoryOptions {
    /// Where staging rings will live, if there will be any.
    pub staging: Option<Lifetime>,
}

/// An open data directory, locked for as long as this lives.
///
/// ```
/// use pelton_storage::disk::{Blocking, Disk};
/// use pelton_storage::{DataDirectory, DirectoryOptions, StorageError};
/// use std::sync::Arc;
///
/// let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
/// let path = std::env::temp_dir().join(format!("pelton-doc-directory-{}", std::process::id()));
/// let data = DataDirectory::open(&disk, &path, &DirectoryOptions::default())?;
/// assert_eq!(data.log(0, 3), path.join("log/g0000/shard-0003"));
///
/// let second = DataDirectory::open(&disk, &path, &DirectoryOptions::default());
/// assert!(matches!(second, Err(StorageError::Locked { .. })));
/// # drop(data);
/// # std::fs::remove_dir_all(&path).unwrap();
/// # Ok::<(), StorageError>(())
/// ```
pub struct DataDirectory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    notes: Vec<String>,
    _lock: Box<dyn Send + Sync>,
}

impl DataDirectory {
    /// Makes the directory if it is not there, locks it and checks that it can be used.
    ///
    /// # Errors
    /// When it cannot be made or written, another process has it, its file system lacks something that is needed, or has too little room.
    pub fn open(disk: &Arc<dyn Disk>, path: &Path, options: &DirectoryOptions) -> Result<Self, StorageError> {
        let checkpoints = checkpoints(path);
        for directory in [path, &checkpoints, &logs(path)] {
            disk.create_directory(directory)
                .map_err(|error| unusable("cannot be created", directory, error))?;
        }
        let lock = disk.lock(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StorageError::Locked { path: path.to_path_buf() },
            _ => unusable("cannot be locked", path, error),
        })?;
        let mut notes = Vec::new();
        probe(disk.as_ref(), path, &mut notes)?;
        sync_above(disk.as_ref(), path)
            .map_err(|error| unusable("cannot keep names: a sync above it fails", path, error))?;
        if options.staging == Some(Lifetime::OnMachine) {
            probe_staging(disk.as_ref(), path, &mut notes)?;
        }
        Ok(DataDirectory { disk: Arc::clone(disk), path: path.to_path_buf(), notes, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// What is odd about the place, one sentence each, for the job's first lines of output.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The directory of a shard's log.
    pub fn log(&self, generation: u32, shard: u16) -> PathBuf {
        log_directory(&self.path, generation, shard)
    }

    /// The directory of checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        checkpoints(&self.path)
    }

    /// Deletes the directories of checkpoints that no checkpoint of the manifest needs, and returns their numbers. The manifest must have
    /// been stored, and no snapshot may be on its way.
    ///
    /// # Errors
    /// When the disk refuses; what was not deleted then is deleted next time.
    pub fn remove_unreferenced(&self, manifest: &Manifest) -> Result<Vec<u64>, StorageError> {
        let mut removed = Vec::new();
        for Unreferenced { number, directory, names } in
            unreferenced(self.disk.as_ref(), &self.path, manifest)?
        {
            for name in &names {
                self.remove(&directory.join(name))?;
            }
            self.remove(&directory)?;
            removed.push(number);
        }
        if !removed.is_empty() {
            self.sync_checkpoints()?;
        }
        Ok(removed)
    }

    /// Deletes a part, of `bytes` at most, of what [`remove_unreferenced`](Self::remove_unreferenced) would delete, of checkpoints before
    /// `before`; whether there may be more. Snapshots of later numbers may be on their way.
    ///
    /// A file system gives up a large file in one piece, and whoever waits for it to flush something waits for that: for 160 MB, tens of
    /// milliseconds (ext4 with `discard`).
    ///
    /// # Errors
    /// As for [`remove_unreferenced`](Self::remove_unreferenced).
    pub fn remove_part(&self, manifest: &Manifest, before: u64, bytes: u64) -> Result<bool, StorageError> {
        let found = unreferenced(self.disk.as_ref(), &self.path, manifest)?;
        let Some(Unreferenced { directory, names, .. }) =
            found.into_iter().find(|found| found.number < before)
        else {
            return Ok(false);
        };
        let Some(name) = names.last() else {
            self.remove(&directory)?;
            self.sync_checkpoints()?;
            return Ok(true);
        };
        let path = directory.join(name);
        let cut = |file: Arc<dyn DiskFile>| match file.len()?.saturating_sub(bytes) {
            0 => Ok(false),
            left => file.set_len(left).map(|()| true),
        };
        let is_cut = self.disk.open(&path, How::Write).and_then(cut);
        if !is_cut.map_err(|error| StorageError::io("cut", &path, error))? {
            self.remove(&path)?;
        }
        Ok(true)
    }

    /// Takes a savepoint out of the manifest, and deletes those of its files that no other checkpoint refers to. Returns which it was; `None` if
    /// there is none of that name. No job is at work here, since the directory is locked.
    ///
    /// # Errors
    /// When the manifest cannot be read or stored, files cannot be deleted, or the job has nothing else to begin from.
    pub fn delete_savepoint(&self, name: &str) -> Result<Option<Checkpoint>, StorageError> {
        let Some(mut manifest) = Manifest::load(&self.disk, &self.path)? else { return Ok(None) };
        let named = |checkpoint: &Checkpoint| checkpoint.savepoint.as_deref() == Some(name);
        let Some(at) = manifest.checkpoints.iter().rposition(named) else { return Ok(None) };
        if manifest.begins_from(manifest.checkpoints[at].number) {
            return Err(StorageError::Unusable {
                path: self.path.clone(),
                reason: format!("The job goes on from savepoint `{name}`, and has no checkpoint since"),
                advice: "Nothing was changed. It can be deleted when the job has made a checkpoint.",
            });
        }
        let deleted = manifest.checkpoints.remove(at);
        manifest.store(&self.disk, &self.path)?;
        self.remove_unreferenced(&manifest)?;
        Ok(Some(deleted))
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.disk.remove(path).map_err(|error| StorageError::io("remove", path, error))
    }

    fn sync_checkpoints(&self) -> Result<(), StorageError> {
        let checkpoints = self.checkpoints();
        let synced = self.disk.sync_directory(&checkpoints);
        synced.map_err(|error| StorageError::io("sync", &checkpoints, error))
    }
}

/// The generation or the shard that the name of a directory stands for.
fn numbered(name: &str, prefix: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.parse().ok()
}

impl DataDirectory {
    /// Deletes the logs of generations before `generation`, with the staging rings of the log `log_id` that belong to them: nothing begins from
    /// them any more.
    ///
    /// # Errors
    /// When the disk refuses; what was not deleted then is deleted next time.
    pub fn remove_logs_before(&self, log_id: u128, generation: u32) -> Result<(), StorageError> {
        let logs = logs(&self.path);
        for name in self.list(&logs)? {
            let Some(old) = numbered(&name, "g").filter(|old| *old < generation) else { continue };
            let shards = logs.join(&name);
            self.remove_logs_in(&shards, log_id, old)?;
        }
        Ok(())
    }

    /// Deletes the logs of generation `first` and of later ones, which a start has made that did not begin: nothing was appended to them.
    ///
    /// # Errors
    /// When something was, so that the manifest which knows nothing of them is not the newest; or when the disk refuses.
    pub fn remove_unused_logs(&self, log_id: u128, first: u32) -> Result<(), StorageError> {
        let logs = logs(&self.path);
        for name in self.list(&logs)? {
            let Some(generation) = numbered(&name, "g").filter(|generation| *generation >= first) else {
                continue;
            };
            let shards = logs.join(&name);
            for shard in self.list(&shards)? {
                let Some(number) = numbered(&shard, "shard-") else { continue };
                let directory = shards.join(&shard);
                let scan =
                    LogScan::open(&self.disk, &directory, log_id, generation, number as u16, Look::Alone);
                // What is damaged was written to. What cannot be read may be as it should.
                let is_used = scan.and_then(|scan| {
                    let Some(mut scan) = scan else { return Ok(false) };
                    Ok(scan.unseen().is_some() || scan.group()?.is_some() || scan.torn()?.is_some())
                });
                if let Err(error @ StorageError::Io { .. }) = is_used {
                    return Err(error);
                }
                if is_used.unwrap_or(true) {
                    return Err(StorageError::Unusable {
                        path: directory,
                        reason: format!(
                            "it holds a log of generation {generation} that was written to, and the manifest knows nothing of it"
                        ),
                        advice: "The manifest is an older copy: put back the newest.",
                    });
                }
            }
            self.remove_logs_in(&shards, log_id, generation)?;
        }
        Ok(())
    }

    /// Deletes all logs of a generation, with their marks and staging rings. A mark goes when its log has gone for good: a log that comes back
    /// after a loss of power without its mark would look like one that was used.
    fn remove_logs_in(&self, shards: &Path, log_id: u128, generation: u32) -> Result<(), StorageError> {
        let disk = &self.disk;
        let remove = |path: &Path| disk.remove(path).map_err(|error| StorageError::io("remove", path, error));
        let names = self.list(shards)?;
        for name in &names {
            let directory = shards.join(name);
            let Some(number) = numbered(name, "shard-") else { continue };
            let prefix = ring_prefix(log_id, generation, number as u16);
            remove_rings(&**disk, &directory, &prefix, "")?;
            for file in self.list(&directory)? {
                remove(&directory.join(file))?;
            }
            disk.sync_directory(&directory).map_err(|error| StorageError::io("sync", &directory, error))?;
            // An empty directory that stays is in nobody's way.
            let _ = disk.remove(&directory);
        }
        names
            .iter()
            .filter(|name| name.ends_with(".durable"))
            .try_for_each(|name| remove(&shards.join(name)))?;
        let _ = disk.remove(shards);
        Ok(())
    }

    /// Makes the mark of a shard's log durable as it is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync_mark(&self, generation: u32, shard: u16) -> Result<(), StorageError> {
        let path = mark::path_of(&self.log(generation, shard));
        let synced = self.disk.open(&path, How::Write).and_then(|file| file.sync());
        synced.map_err(|error| StorageError::io("sync", &path, error))
    }

    /// Opens the witness of the logs of the manifest's generation.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn witness(&self, manifest: &Manifest) -> Result<Witness, StorageError> {
        Witness::open(&*self.disk, &self.path, manifest.log_id, manifest.generation)
    }

    fn list(&self, path: &Path) -> Result<Vec<String>, StorageError> {
        match self.disk.list(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(|error| StorageError::io("list", path, error)),
        }
    }
}

/// Tries out, with a file of its own, all that is done with files later. Notes what is odd about the place.
fn probe(disk: &dyn Disk, path: &Path, notes: &mut Vec<String>) -> Result<(), StorageError> {
    let (new, old) = (path.join(PROBE_NEW), path.join(PROBE));
    for left in [&new, &old] {
        // A start that was killed in here may have left one.
        let _ = disk.remove(left);
    }
    let not = |what| move |error| unusable(what, path, error);
    let file = disk.open(&new, How::Create).map_err(not("cannot be written"))?;
    file.write_at(b"probe", 0).map_err(not("cannot be written"))?;
    file.sync().map_err(not("cannot keep files: a sync fails"))?;
    disk.rename(&new, &old).map_err(not("cannot rename files"))?;
    disk.sync_directory(path).map_err(not("cannot keep names: a sync of the directory fails"))?;
    disk.remove(&old).map_err(not("cannot remove files"))?;
    let Some(descriptor) = file.descriptor() else { return Ok(()) };
    let system = FileSystem::of(descriptor).map_err(not("does not say what it is on"))?;
    notes.extend(system.oddity().map(|oddity| format!("{}: {oddity}", path.display())));
    Ok(())
}

/// Makes a file where rings will be. Whether there is room for these is asked later: they may be there already.
fn probe_staging(disk: &dyn Disk, path: &Path, notes: &mut Vec<String>) -> Result<(), StorageError> {
    disk.staging_room().map_err(|error| StorageError::Unusable {
        path: PathBuf::from(STAGING_DIRECTORY),
        reason: format!("the rings that have to outlast the process cannot be made there: {error}"),
        advice: "They are files in memory: make room there or mount a larger tmpfs, or choose durability \"disk\".",
    })?;
    let real = disk.open(&path.join(LOCK), How::Read).is_ok_and(|file| file.descriptor().is_some());
    if real
        && let Ok(staging) = File::open(STAGING_DIRECTORY)
        && FileSystem::of(staging.as_raw_fd()).is_ok_and(|system| !system.is_memory())
    {
        notes.push(format!(
            "{STAGING_DIRECTORY}: it is not in memory (tmpfs), so appends may wait for the kernel writing pages back"
        ));
    }
    Ok(())
}

/// A checkpoint's directory that no checkpoint of the manifest needs.
pub(crate) struct Unreferenced {
    pub(crate) number: u64,
    pub(crate) directory: PathBuf,
    /// The files in it.
    pub(crate) names: Vec<String>,
}

/// Finds them all.
pub(crate) fn unreferenced(
    disk: &dyn Disk,
    data: &Path,
    manifest: &Manifest,
) -> Result<Vec<Unreferenced>, StorageError> {
    let checkpoints = checkpoints(data);
    let referenced = manifest.referenced();
    let list = |directory: &Path| match disk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(|error| StorageError::io("list", directory, error)),
    };
    let mut found = Vec::new();
    for name in list(&checkpoints)? {
        let Ok(number) = name.parse() else { continue };
        if referenced.binary_search(&number).is_err() {
            let directory = checkpoints.join(name);
            let names = list(&directory)?;
            found.push(Unreferenced { number, directory, names });
        }
    }
    Ok(found)
}

/// The directory of a shard's log in the data directory `data`.
pub fn log_directory(data: &Path, generation: u32, shard: u16) -> PathBuf {
    logs(data).join(format!("g{generation:04}")).join(format!("shard-{shard:04}"))
}

pub(crate) fn checkpoints(data: &Path) -> PathBuf {
    data.join("checkpoint")
}

fn logs(data: &Path) -> PathBuf {
    data.join("log")
}

fn unusable(what: &str, path: &Path, error: io::Error) -> StorageError {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "Make room there.",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "A file is in its place: remove it, or choose another data directory."
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "Give the user that runs the job the right to write there, or choose another data directory."
        }
        _ => "Choose a data directory on a local file system, such as ext4 or XFS.",
    };
    let reason = format!("the data directory {what}: {error}");
    StorageError::Unusable { path: path.to_path_buf(), reason, advice }
}
