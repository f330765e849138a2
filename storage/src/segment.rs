//! Segments: the files of a log. This module knows their first page and their names.
//!
//! ```text
//!  0                8        12       16                32                40               48       52    54    56       64       72    4096
//!  +----------------+--------+--------+-------- ... ----+----------------+----------------+--------+-----+-----+--------+--------+-...-+-- ...
//!  |   PELTONLG     |version |  crc   |  log id u128    |     number     | segment bytes  | gener. |shard| dur.|  boot  |  ring  |     | groups
//!  +----------------+--------+--------+-------- ... ----+----------------+----------------+--------+-----+-----+--------+--------+-...-+-- ...
//!  crc   CRC32C of bytes 0..12 and 16..72; magic, version and crc stay where they are in every version
//!  dur.  1 process: what follows may be in the staging ring only   2 disk, or closed cleanly: it is all here
//!  boot  8 bytes that stand for the boot of the machine in which the staging ring was made; 0 says nothing
//!  ring  the number that was drawn for the staging ring, which is part of its name; 0 if there is none
//! ```
//!
//! A file has its full length, written once from end to end, before it gets its first header; its name comes after. So
//! a header decides which segment a file is, and the name only tells people: `seg-N.log` in use, `spare-….log` waiting
//! to be used again.

use crate::StorageError;
use crate::disk::{DiskFile, UNKNOWN_BOOT};
use crate::entry::{u32_at, u64_at};
use crate::log::Durability;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the page before the first group; also the unit in which groups are written.
pub(crate) const PAGE: u64 = 4096;
/// The version that this code writes, and the latest that it reads.
pub(crate) const VERSION: u32 = 2;

const MAGIC: &[u8; 8] = b"PELTONLG";
const USED: usize = 72;

/// Whose log it is, and the size of its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: u128,
    pub(crate) generation: u32,
    pub(crate) shard: u16,
    pub(crate) segment_bytes: u64,
}

impl Identity {
    /// Where every checksum of an entry begins, so that no entry of another log passes.
    pub(crate) fn seed(&self) -> u32 {
        let seed = crc32c::crc32c(&self.id.to_le_bytes());
        let seed = crc32c::crc32c_append(seed, &self.generation.to_le_bytes());
        crc32c::crc32c_append(seed, &self.shard.to_le_bytes())
    }

    /// Whether a log can have a segment of that number: with room enough behind it, positions are sums that cannot
    /// overflow.
    pub(crate) fn can_have(&self, number: u64) -> bool {
        number <= u64::MAX / self.segment_bytes / 2
    }

    /// The number of the segment that holds `position`.
    pub(crate) fn segment(&self, position: u64) -> u64 {
        position / self.segment_bytes
    }

    /// The position of the first byte of a segment that the log [can have](Identity::can_have).
    pub(crate) fn base(&self, number: u64) -> u64 {
        number * self.segment_bytes
    }

    /// The position of a segment's first group.
    pub(crate) fn start(&self, number: u64) -> u64 {
        self.base(number) + PAGE
    }
}

/// The first page of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) identity: Identity,
    pub(crate) number: u64,
    pub(crate) durability: Durability,
    /// The boot that the staging ring belongs to, if there is one; see [`boot`].
    pub(crate) boot: u64,
    /// The number of that ring; 0 if there is none.
    pub(crate) ring: u64,
}

/// What a file's first page is.
pub(crate) enum FirstPage {
    /// A header of this version.
    Header(SegmentHeader),
    /// A header of a later version.
    Newer(u32),
    /// Something else; whether it begins with the magic.
    Other { magic: bool },
}

impl SegmentHeader {
    /// Puts the header into `page`.
    pub(crate) fn write(&self, page: &mut [u8]) {
        page.fill(0);
        page[..8].copy_from_slice(MAGIC);
        page[8..12].copy_from_slice(&VERSION.to_le_bytes());
        page[16..32].copy_from_slice(&self.identity.id.to_le_bytes());
        page[32..40].copy_from_slice(&self.number.to_le_bytes());
        page[40..48].copy_from_slice(&self.identity.segment_bytes.to_le_bytes());
        page[48..52].copy_from_slice(&self.identity.generation.to_le_bytes());
        page[52..54].copy_from_slice(&self.identity.shard.to_le_bytes());
        page[54..56].copy_from_slice(&(self.durability as u16).to_le_bytes());
        page[56..64].copy_from_slice(&self.boot.to_le_bytes());
        page[64..72].copy_from_slice(&self.ring.to_le_bytes());
        let crc = checksum(page);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
    }

    /// Makes it the header of `file`, durable.
    pub(crate) fn put(&self, file: &dyn DiskFile, path: &Path) -> Result<(), StorageError> {
        let mut page = [0; PAGE as usize];
        self.write(&mut page);
        let written = file.write_at(&page, 0).and_then(|()| file.sync());
        written.map_err(|error| StorageError::io("write", path, error))
    }

    /// What `page` is.
    pub(crate) fn read(page: &[u8]) -> FirstPage {
        if page.len() < USED || page[..8] != *MAGIC {
            return FirstPage::Other { magic: false };
        }
        if u32_at(page, 12) != checksum(page) {
            return FirstPage::Other { magic: true };
        }
        let version = u32_at(page, 8);
        if version > VERSION {
            return FirstPage::Newer(version);
        }
        let durability = match u16::from_le_bytes([page[54], page[55]]) {
            1 => Durability::Process,
            2 => Durability::Disk,
            _ => return FirstPage::Other { magic: true },
        };
        let id = u128::from_le_bytes(*page[16..].first_chunk().expect("the length was checked"));
        let (number, segment_bytes) = (u64_at(page, 32), u64_at(page, 40));
        let (generation, shard) = (u32_at(page, 48), u16::from_le_bytes([page[52], page[53]]));
        FirstPage::Header(SegmentHeader {
            identity: Identity { id, generation, shard, segment_bytes },
            number,
            durability,
            boot: u64_at(page, 56),
            ring: u64_at(page, 64),
        })
    }

    /// Refuses a segment of another log, and one whose number no log gets to.
    pub(crate) fn belongs(&self, identity: &Identity, path: &Path) -> Result<(), StorageError> {
        let (mine, its) = (identity, &self.identity);
        let fields = [
            ("log id", format!("{:032x}", mine.id), format!("{:032x}", its.id)),
            ("generation", mine.generation.to_string(), its.generation.to_string()),
            ("shard", mine.shard.to_string(), its.shard.to_string()),
            ("segment size", mine.segment_bytes.to_string(), its.segment_bytes.to_string()),
        ];
        for (field, expected, found) in fields {
            if expected != found {
                return Err(StorageError::Foreign {
                    what: "log segment",
                    path: path.to_path_buf(),
                    field,
                    expected,
                    found,
                });
            }
        }
        if !identity.can_have(self.number) {
            return Err(StorageError::Damaged {
                what: "header of a log segment",
                path: path.to_path_buf(),
                at: 32,
                expected: "a number that a log gets to".into(),
                found: self.number.to_string(),
                advice: "No version has written such a header: put back a good copy of the file.",
            });
        }
        Ok(())
    }
}

/// What stands in headers for a boot of the machine whose id is `id`; 0 where that is not known.
pub(crate) fn boot(id: &str) -> u64 {
    if id.is_empty() || id == UNKNOWN_BOOT {
        return 0;
    }
    // XXH3 without a seed, since it has to be the same in every build; never 0.
    xxh3_64(id.as_bytes()) | 1
}

fn checksum(page: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&page[..12]), &page[16..USED])
}

/// The name of a segment in use.
pub(crate) fn live_name(number: u64) -> String {
    format!("seg-{number:08}.log")
}

/// The name of a segment that has been retired.
pub(crate) fn spare_name(number: u64) -> String {
    format!("spare-{number:08}.log")
}

/// The name of a file made to become segment `number`. Unlike that of any retired one: nothing may be renamed onto it.
pub(crate) fn new_name(number: u64) -> String {
    format!("spare-new-{number:08}.log")
}

/// Whether a name is that of a file of a log.
pub(crate) fn is_ours(name: &str) -> bool {
    name.ends_with(".log") && (name.starts_with("seg-") || name.starts_with("spare-"))
}

/// The number in the name of a segment that has been retired.
pub(crate) fn spare_number_in(name: &str) -> Option<u64> {
    name.strip_prefix("spare-")?.strip_suffix(".log")?.parse().ok()
}

/// The number in the name of a segment in use.
pub(crate) fn number_in(name: &str) -> Option<u64> {
    name.strip_prefix("seg-")?.strip_suffix(".log")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_back_and_no_flipped_bit_of_them_passes() {
        let identity = Identity { id: 99 << 70, generation: 3, shard: 5, segment_bytes: 65_536 };
        let header =
            SegmentHeader { identity, number: 12, durability: Durability::Process, boot: boot("a"), ring: 7 };
        let mut page = vec![0xFF; PAGE as usize];
        header.write(&mut page);
        assert!(matches!(SegmentHeader::read(&page), FirstPage::Header(read) if read == header));
        for bit in 0..USED * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(SegmentHeader::read(&page), FirstPage::Other { .. }), "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
        page[8..12].copy_from_slice(&9u32.to_le_bytes());
        let crc = checksum(&page);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(SegmentHeader::read(&page), FirstPage::Newer(9)));
    }

    #[test]
    fn names_tell_what_a_file_is() {
        assert_eq!(number_in(&live_name(7)), Some(7));
        assert_eq!((number_in(&spare_name(7)), spare_number_in(&spare_name(7))), (None, Some(7)));
        assert_eq!((spare_number_in(&new_name(7)), spare_number_in(&live_name(7))), (None, None));
        assert!(is_ours(&live_name(7)) && is_ours(&spare_name(7)) && is_ours(&new_name(7)));
        assert!(!is_ours("seg-00000007.log.bak") && !is_ours("MANIFEST"));
    }
}
