//! The staging ring of a log: one page that says whose it is and how far it goes, and room for one segment.
//!
//! ```text
//!  0                8        12       16          32       40       48     50     56    60      64        72      128       4096
//!  +----------------+--------+--------+--- ... ---+--------+--------+------+------+-----+-------+---------+-------+---------+--- ... -+
//!  |   PELTONRG     |version |   0    |  log id   |seg.byt.| gener. |shard |  0   | crc |   0   |  head   | again | written | segment |
//!  +----------------+--------+--------+--- ... ---+--------+--------+------+------+-----+-------+---------+-------+---------+--- ... -+
//!  at 192   whose it is, see `disk/owner.rs`
//!  head     appended through here; stored (release) after the bytes of each entry
//!  again    the same, stored (release) after it: never more than head, unless one of the two is damaged
//!  written  in the segment files through here; stored (release) after the write has completed
//!  Position p is at byte 4096 + p % segment bytes.
//! ```
//!
//! After a kill at any instruction, the entries between `written` and `head` are whole: what lies beyond `head` was
//! never appended. The magic is stored last when a ring is made, so a ring that was only half made is none.

use crate::StorageError;
use crate::bounds::{RING_DRAWS_MAX, RING_HOLD_WAIT};
use crate::disk::{Disk, Lifetime, Owner, STAGING_DIRECTORY};
use crate::entry::{u32_at, u64_at};
use crate::segment::{Identity, PAGE};
use crate::staging::Staging;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MAGIC: u64 = u64::from_le_bytes(*b"PELTONRG");
const VERSION: u32 = 2;
const CRC: usize = 56;
const HEAD: usize = 64;
const AGAIN: usize = 72;
const WRITTEN: usize = 128;

const COPY_ADVICE: &str = "It is in the ring what that job acknowledged last, so the directories cannot both go on from it. Start the job there \
                           first; a copy that is made when it has ended can be started too.";
const IN_USE_ADVICE: &str = "A job is at work in a directory of which this one is a copy, or which it is a copy of: let that end first, and \
                             begin here with a copy that is made then.";

/// The ring.
pub(crate) struct Ring {
    pub(crate) memory: Staging,
    /// Its name among those of the machine; empty if it lives in the process.
    pub(crate) name: String,
    identity: Identity,
}

/// The name of the ring with that number of such a log. The log's id was drawn when the data directory was made, and the number when the ring
/// was, so nobody else has it: not another directory of the same path in another container, and not a copy of this one.
pub(crate) fn ring_name(identity: &Identity, number: u64) -> String {
    format!("{}{number:016x}", ring_prefix(identity.id, identity.generation, identity.shard))
}

/// What the names of all rings of a log begin with.
pub(crate) fn ring_prefix(id: u128, generation: u32, shard: u16) -> String {
    format!("{}{shard:04}-", generation_prefix(id, generation))
}

/// What the names of all rings of a generation begin with.
pub(crate) fn generation_prefix(id: u128, generation: u32) -> String {
    format!("{id:032x}-g{generation:04}-shard-")
}

/// Where a ring of that name is, for messages.
pub(crate) fn ring_path(name: &str) -> PathBuf {
    Path::new(STAGING_DIRECTORY).join(format!("{}{name}", crate::disk::STAGING_PREFIX))
}

/// Removes the rings of logs in `directory` whose names begin with `prefix`, but for the one called `keep`. What belongs to other directories, is
/// in use, or does not say whose it is, is let be.
pub(crate) fn remove_rings(
    disk: &dyn Disk,
    directory: &Path,
    prefix: &str,
    keep: &str,
) -> Result<(), StorageError> {
    let failed = |action| move |error| StorageError::io(action, directory, error);
    // Where rings cannot even be listed, there are none that this process could have made.
    let names = disk.stagings(prefix).unwrap_or_default();
    for name in names.iter().filter(|name| *name != keep) {
        let found = match disk.find_staging(name, Some(Duration::ZERO)) {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::PermissionDenied) => None,
            Err(error) => return Err(failed("map the staging ring of")(error)),
        };
        let Some(memory) = found else { continue };
        let mine = disk.owner(directory).map_err(failed("look at"))?;
        // One without the magic was never begun.
        if memory.load(0) == 0 || Owner::read(&memory).is_some_and(|owner| owner.is_same(&mine)) {
            disk.remove_staging(name).map_err(failed("remove the staging ring of"))?;
        }
    }
    Ok(())
}

impl Ring {
    /// Bytes of the ring of such a log.
    pub(crate) fn bytes(identity: &Identity) -> usize {
        (PAGE + identity.segment_bytes) as usize
    }

    /// A ring in the process of a log that is written through `position`.
    pub(crate) fn in_process(
        disk: &dyn Disk,
        directory: &Path,
        identity: Identity,
        position: u64,
    ) -> Result<Ring, StorageError> {
        let memory = disk.staging("", Ring::bytes(&identity), Lifetime::InProcess);
        let memory = memory.map_err(|error| StorageError::io("map the staging ring of", directory, error))?;
        let ring = Ring { memory, name: String::new(), identity };
        ring.begin(position);
        Ok(ring)
    }

    /// A ring that outlives the process, and its number, for the log in `directory`, which is written through `position`.
    pub(crate) fn on_machine(
        disk: &dyn Disk,
        directory: &Path,
        identity: Identity,
        position: u64,
    ) -> Result<(Ring, u64), StorageError> {
        let failed = |error| StorageError::io("make the staging ring of", directory, error);
        let owner = disk.owner(directory).map_err(failed)?;
        let bytes = Ring::bytes(&identity);
        for _ in 0..RING_DRAWS_MAX {
            let number = disk.draw();
            let name = ring_name(&identity, number);
            match disk.staging(&name, bytes, Lifetime::OnMachine) {
                Ok(memory) => {
                    let ring = Ring { memory, name, identity };
                    owner.write(&ring.memory);
                    ring.begin(position);
                    return Ok((ring, number));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => {
                    let (path, free) = (STAGING_DIRECTORY.into(), disk.staging_room().ok().flatten());
                    return Err(StorageError::Full { path, needed: bytes as u64, free });
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(ErrorKind::AlreadyExists.into()))
    }

    fn begin(&self, position: u64) {
        self.memory.store(0, 0);
        let description = Ring::description(&self.identity);
        self.memory.write(8, &description[8..]);
        self.memory.store(HEAD, position);
        self.memory.store(AGAIN, position);
        self.memory.store(WRITTEN, position);
        self.memory.store(0, MAGIC);
    }

    /// The ring called `name` that an earlier process has left for the log in `directory`, if there is one; with `hold` for this process to go on
    /// with. Looking changes nothing.
    pub(crate) fn look(
        disk: &dyn Disk,
        directory: &Path,
        identity: Identity,
        name: &str,
        hold: bool,
    ) -> Result<Option<Ring>, StorageError> {
        let failed = |error| StorageError::io("map the staging ring of", directory, error);
        let Some(memory) = disk.find_staging(name, None).map_err(failed)? else { return Ok(None) };
        let Some(ring) = Ring::find(memory, name, identity)? else { return Ok(None) };
        let mine = disk.owner(directory).map_err(failed)?;
        match Owner::read(&ring.memory) {
            Some(owner) if !owner.is_same(&mine) && owner.is_there() => {
                return Err(StorageError::Unusable {
                    path: directory.to_path_buf(),
                    reason: format!(
                        "The staging ring {} of this log is that of {}, of which this directory is a copy",
                        ring_path(name).display(),
                        owner.path.display()
                    ),
                    advice: COPY_ADVICE,
                });
            }
            _ if !hold => return Ok(Some(ring)),
            _ => {}
        }
        let memory = match disk.find_staging(name, Some(RING_HOLD_WAIT)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(StorageError::Unusable {
                    path: directory.to_path_buf(),
                    reason: format!(
                        "Another process uses the staging ring {} of this log",
                        ring_path(name).display()
                    ),
                    advice: IN_USE_ADVICE,
                });
            }
            found => found.map_err(failed)?,
        };
        let Some(memory) = memory else { return Ok(None) };
        // It may have been moved, or this is another mount of it.
        mine.write(&memory);
        Ok(Some(Ring { memory, ..ring }))
    }

    /// The ring in `memory`, if it is that of this log.
    fn find(memory: Staging, name: &str, identity: Identity) -> Result<Option<Ring>, StorageError> {
        if memory.len() < HEAD || memory.load(0) != MAGIC {
            return Ok(None);
        }
        let mut found = [0; HEAD];
        memory.read(0, &mut found);
        let (version, known) = (u32_at(&found, 8), VERSION);
        if version > known {
            let path = ring_path(name);
            return Err(StorageError::Newer { what: "staging ring", path, found: version, known });
        }
        let is_mine = memory.len() == Ring::bytes(&identity) && found == Ring::description(&identity);
        Ok(is_mine.then(|| Ring { memory, name: name.to_owned(), identity }))
    }

    fn description(identity: &Identity) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&identity.id.to_le_bytes());
        bytes[32..40].copy_from_slice(&identity.segment_bytes.to_le_bytes());
        bytes[40..44].copy_from_slice(&identity.generation.to_le_bytes());
        bytes[48..50].copy_from_slice(&identity.shard.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC]);
        bytes[CRC..CRC + 4].copy_from_slice(&crc.to_le_bytes());
        debug_assert_eq!(u64_at(&bytes, 0), MAGIC);
        bytes
    }

    /// Where `position` is in the memory.
    pub(crate) fn at(&self, position: u64) -> usize {
        (PAGE + position % self.identity.segment_bytes) as usize
    }

    pub(crate) fn head(&self) -> u64 {
        self.memory.load(HEAD)
    }

    #[inline]
    pub(crate) fn store_head(&self, position: u64) {
        self.memory.store(HEAD, position);
        self.memory.store(AGAIN, position);
    }

    /// What the head was not before, if nothing is damaged.
    pub(crate) fn head_at_least(&self) -> u64 {
        self.memory.load(AGAIN)
    }

    pub(crate) fn written(&self) -> u64 {
        self.memory.load(WRITTEN)
    }

    pub(crate) fn store_written(&self, position: u64) {
        self.memory.store(WRITTEN, position);
    }

    /// Copies out what lies between two positions of one segment.
    pub(crate) fn copy(&self, from: u64, to: u64) -> Vec<u8> {
        let mut bytes = vec![0; (to - from) as usize];
        self.memory.read(self.at(from), &mut bytes);
        bytes
    }
}

/// The id of the log that a ring is of, by its first page; `None` if it is none that this version made to its end.
pub(crate) fn log_id(page: &[u8]) -> Option<u128> {
    let page = page.get(..HEAD)?;
    let whole = u64_at(page, 0) == MAGIC
        && u32_at(page, 8) == VERSION
        && crc32c::crc32c(&page[..CRC]) == u32_at(page, CRC);
    whole.then(|| u128::from_le_bytes(*page[16..].first_chunk().expect("a page is longer")))
}
