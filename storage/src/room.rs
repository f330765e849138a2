//! Whether there is room for what a start will make, asked before it changes anything.
//!
//! A shard's log needs two segments: the one that it writes, and the next, which is made ready meanwhile. What is there already needs no room: a job
//! that ran can be started again on a disk that is full by now. With `process` each shard needs a ring besides, which is a file in memory.
//!
//! | goes on with | files that count | rings that count |
//! |---|---|---|
//! | the same shards | each shard's own, two of them | its own |
//! | other shards | all of the earlier ones', which go before the new ones are made | likewise |
//! | a savepoint | none: the earlier ones stay until the first checkpoint | none |

use crate::directory::DataDirectory;
use crate::disk::{Disk, How, LOCK, STAGING_DIRECTORY};
use crate::error::StorageError;
use crate::file_system::FileSystem;
use crate::log::{Durability, generation_prefix};
use crate::manifest::Manifest;
use crate::segment::{self, PAGE};
use std::io::ErrorKind;
use std::path::Path;

/// Segments that a log needs to begin.
const SEGMENTS: u64 = 2;

impl DataDirectory {
    /// Refuses a start of the job of `manifest` with `shards` shards and segments of `segment_bytes` bytes if there is no room for it.
    ///
    /// # Errors
    /// When something is missing, with the place where: the directory, or the one that rings are in.
    pub fn check_room(
        &self,
        manifest: &Manifest,
        shards: u16,
        segment_bytes: u64,
        durability: Durability,
    ) -> Result<(), StorageError> {
        let needed = self.bytes_needed(manifest, shards, segment_bytes)?;
        let lock = self.disk().open(&self.path().join(LOCK), How::Read);
        if let Some(descriptor) = lock.ok().and_then(|lock| Some((lock.descriptor()?, lock))) {
            let free = FileSystem::of(descriptor.0).map(|system| system.free);
            let free = free.map_err(|error| StorageError::io("look at", self.path(), error))?;
            if free < needed {
                let path = self.path().to_path_buf();
                return Err(StorageError::Full { path, needed, free: Some(free) });
            }
        }
        if durability == Durability::Disk {
            return Ok(());
        }
        let needed = self.ring_bytes_needed(manifest, shards, segment_bytes)?;
        let path = Path::new(STAGING_DIRECTORY);
        let free =
            self.disk().staging_room().map_err(|error| StorageError::io("make rings in", path, error))?;
        match free {
            Some(free) if free < needed => {
                Err(StorageError::Full { path: path.to_path_buf(), needed, free: Some(free) })
            }
            _ => Ok(()),
        }
    }

    /// Bytes of segments that are not there yet.
    fn bytes_needed(
        &self,
        manifest: &Manifest,
        shards: u16,
        segment_bytes: u64,
    ) -> Result<u64, StorageError> {
        let logs = |shards: u16| (0..shards).map(|shard| self.log(manifest.generation, shard));
        if manifest.shards != shards {
            let all = SEGMENTS * segment_bytes * u64::from(shards);
            let mut there = 0;
            for log in logs(manifest.shards) {
                there += lengths(self.disk().as_ref(), &log)?.iter().sum::<u64>();
            }
            return Ok(all.saturating_sub(there));
        }
        let mut needed = 0;
        for log in logs(shards) {
            let lengths = lengths(self.disk().as_ref(), &log)?;
            let whole = lengths.iter().filter(|len| **len >= segment_bytes).count() as u64;
            needed += SEGMENTS.saturating_sub(whole) * segment_bytes;
        }
        Ok(needed)
    }

    /// Bytes of rings that are not there yet.
    fn ring_bytes_needed(
        &self,
        manifest: &Manifest,
        shards: u16,
        segment_bytes: u64,
    ) -> Result<u64, StorageError> {
        let disk = self.disk();
        let all = (PAGE + segment_bytes) * u64::from(shards);
        let mut there = 0;
        let prefix = generation_prefix(manifest.log_id, manifest.generation);
        for name in disk.stagings(&prefix).unwrap_or_default() {
            // What cannot be looked at is not this job's.
            let ring = disk.find_staging(&name, None).ok().flatten();
            there += ring.map_or(0, |ring| ring.len() as u64);
        }
        Ok(all.saturating_sub(there))
    }
}

/// The lengths of the files of a log; of none, if it is not there.
fn lengths(disk: &dyn Disk, directory: &Path) -> Result<Vec<u64>, StorageError> {
    let names = match disk.list(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        names => names.map_err(|error| StorageError::io("list", directory, error))?,
    };
    let len = |name: &String| {
        let path = directory.join(name);
        let len = disk.open(&path, How::Read).and_then(|file| file.len());
        len.map_err(|error| StorageError::io("look at", &path, error))
    };
    names.iter().filter(|name| segment::is_ours(name)).map(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Blocking;
    use crate::{DirectoryOptions, Log, LogOptions};
    use std::sync::Arc;
    use std::time::Duration;

    const SEGMENT: u64 = LogOptions::SEGMENT_BYTES_MIN;

    #[test]
    fn what_is_there_needs_no_room() {
        let path = std::env::temp_dir().join(format!("pelton-room-{}", std::process::id()));
        let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
        let data = DataDirectory::open(&disk, &path, &DirectoryOptions::default()).unwrap();
        let id = u128::from(std::process::id()) << 64 | 0x0100;
        let manifest = Manifest { log_id: id, shards: 2, segment_bytes: SEGMENT, ..Manifest::default() };
        let ring = PAGE + SEGMENT;
        let needed = |manifest: &Manifest, shards| {
            let segments = data.bytes_needed(manifest, shards, SEGMENT).unwrap();
            (segments / SEGMENT, data.ring_bytes_needed(manifest, shards, SEGMENT).unwrap() / ring)
        };
        assert_eq!(needed(&manifest, 2), (4, 2), "nothing is there");
        let mut logs = Vec::new();
        for shard in 0..2 {
            let options = LogOptions {
                durability: Durability::Process,
                segment_bytes: SEGMENT,
                id,
                generation: 0,
                shard,
            };
            let mut log = Log::open(&disk, &data.log(0, shard), &options).unwrap().0;
            while log.turn(0).unwrap()
                || data.bytes_needed(&manifest, 2, SEGMENT).unwrap()
                    > (2 - u64::from(shard) - 1) * 2 * SEGMENT
            {
                log.wait(Duration::from_millis(1)).unwrap();
            }
            logs.push(log);
        }
        assert_eq!(needed(&manifest, 2), (0, 0), "a job that ran has all that it needs");
        assert_eq!(needed(&manifest, 1), (0, 0), "fewer shards have the others' room");
        assert_eq!(needed(&manifest, 3), (2, 1), "and so have more, as far as it goes");
        let restored = Manifest { generation: 1, ..manifest.clone() };
        assert_eq!(needed(&restored, 2), (4, 2), "what is given up for a savepoint stays for the time being");
        let (most, disk_only) = (u64::MAX >> 20, Durability::Disk);
        let error = data.check_room(&restored, 2, most, disk_only).unwrap_err();
        assert!(
            matches!(&error, StorageError::Full { path: full, free: Some(_), .. } if *full == path),
            "{error:?}"
        );
        logs.iter_mut().for_each(|log| log.close().unwrap());
        drop(data);
        std::fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_full_memory_is_called_by_its_name() {
        let path = std::env::temp_dir().join(format!("pelton-room-rings-{}", std::process::id()));
        let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
        let data = DataDirectory::open(&disk, &path, &DirectoryOptions::default()).unwrap();
        // Segments that are there already, and larger than any memory: holes.
        let bytes = 1 << 42;
        std::fs::create_dir_all(data.log(0, 0)).unwrap();
        for name in ["seg-00000000.log", "spare-00000001.log"] {
            std::fs::File::create(data.log(0, 0).join(name)).unwrap().set_len(bytes).unwrap();
        }
        let manifest = Manifest { log_id: 0x0200, shards: 1, segment_bytes: bytes, ..Manifest::default() };
        data.check_room(&manifest, 1, bytes, Durability::Disk).unwrap();
        let text = data.check_room(&manifest, 1, bytes, Durability::Process).unwrap_err().to_string();
        assert!(text.starts_with("/dev/shm: ") && text.contains("are needed and "), "{text}");
        assert!(text.contains("`pelton data rings`"), "{text}");
        drop(data);
        std::fs::remove_dir_all(&path).unwrap();
    }
}
