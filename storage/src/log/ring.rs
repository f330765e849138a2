//! The staging ring of a log: one page that says whose it is and how far it goes, and room for one segment.
//!
//! ```text
//!  0                8        12       16          32       40       48     50     56    60      64        128       4096
//!  +----------------+--------+--------+--- ... ---+--------+--------+------+------+-----+-------+---------+---------+--- ... -+
//!  |   PELTONRG     |version |   0    |  log id   |seg.byt.| gener. |shard |  0   | crc |   0   |  head   | written | segment |
//!  +----------------+--------+--------+--- ... ---+--------+--------+------+------+-----+-------+---------+---------+--- ... -+
//!  head     appended through here; stored (release) after the bytes of each entry
//!  written  in the segment files through here; stored (release) after the write has completed
//!  Position p is at byte 4096 + p % segment bytes.
//! ```
//!
//! After a kill at any instruction, the entries between `written` and `head` are whole: what lies beyond `head` was
//! never appended. The magic is stored last when a ring is made, so a ring that was only half made is none.

use crate::StorageError;
use crate::disk::{Disk, Lives};
use crate::entry::u64_at;
use crate::log::LogOptions;
use crate::segment::{Identity, PAGE};
use crate::staging::Staging;
use std::path::Path;

const MAGIC: u64 = u64::from_le_bytes(*b"PELTONRG");
const VERSION: u64 = 1;
const CRC: usize = 56;
const HEAD: usize = 64;
const WRITTEN: usize = 128;

/// The ring.
pub(crate) struct Ring {
    pub(crate) memory: Staging,
    identity: Identity,
}

impl Ring {
    /// Bytes of the ring of such a log.
    pub(crate) fn bytes(identity: &Identity) -> usize {
        (PAGE + identity.segment_bytes) as usize
    }

    /// Makes `memory` the ring of a log that is written through `position`.
    pub(crate) fn create(memory: Staging, identity: Identity, position: u64) -> Ring {
        assert_eq!(memory.len(), Ring::bytes(&identity), "a ring has room for one page and one segment");
        memory.store(0, 0);
        let description = Ring::description(&identity);
        memory.write(8, &description[8..]);
        memory.store(HEAD, position);
        memory.store(WRITTEN, position);
        memory.store(0, MAGIC);
        Ring { memory, identity }
    }

    /// The ring that an earlier process has left, if there is one.
    pub(crate) fn look(
        disk: &dyn Disk,
        directory: &Path,
        options: &LogOptions,
    ) -> Result<Option<Ring>, StorageError> {
        let (identity, name) = (options.identity(), options.ring_name());
        let memory = disk
            .staging(directory, &name, Ring::bytes(&identity), Lives::OnMachine, false)
            .map_err(|error| StorageError::io("map the staging ring of", directory, error))?;
        if memory.load(0) == 0 {
            // There was none, and looking has made one.
            disk.remove_staging(directory, &name)
                .map_err(|error| StorageError::io("remove the staging ring of", directory, error))?;
            return Ok(None);
        }
        Ok(Ring::find(memory, identity))
    }

    /// The ring in `memory`, if it is that of this log.
    fn find(memory: Staging, identity: Identity) -> Option<Ring> {
        if memory.len() != Ring::bytes(&identity) || memory.load(0) != MAGIC {
            return None;
        }
        let mut found = [0; HEAD];
        memory.read(0, &mut found);
        (found == Ring::description(&identity)).then_some(Ring { memory, identity })
    }

    fn description(identity: &Identity) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..16].copy_from_slice(&VERSION.to_le_bytes());
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
