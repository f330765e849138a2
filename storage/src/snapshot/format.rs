//! The bytes of a snapshot file, version 1. Integers are little-endian.
//!
//! ```text
//!      0             4096                                              index_at                  len-64     len
//!      +-------------+---------+---------+-- ... --+---------+---------+--------- ... -+---------+----------+
//!      | header page | block   | block   |         | block   | block   | index         | zeros   | footer   |
//!      +-------------+---------+---------+-- ... --+---------+---------+--------- ... -+---------+----------+
//!
//! header   0 "PELTONSN"  8 version u32  12 zero u32  16 log id u128  32 generation u32  36 shard u16  38 zero u16
//!          40 number u64  48 tick u64  56 zeros ...  4092 CRC32C of the 4092 bytes before it
//! block    0 CRC32C of what follows, payload included  4 len u32  8 section u32  12 table u32  16 chunk u32  20 zero u32
//!          24 number u64  32 payload, len bytes, then zeros to a multiple of 16
//! entry    0 section u32  4 table u32  8 chunk u32  12 len u32  16 number u64  24 at u64  32 the block's CRC32C  36 zero u32
//! footer   0 "PELTONSF"  8 version u32  12 CRC32C of the index  16 index_at u64  24 entries u64  32 number u64  40 tick u64
//!          48 zeros  60 CRC32C of the 60 bytes before it
//! ```
//!
//! Blocks start at multiples of 16, the footer at a multiple of 64: it lies in one sector, so it is there or it is not.

use super::{BlockEntry, SnapshotId};

pub(super) const VERSION: u32 = 2;
pub(super) const HEADER_BYTES: usize = 4096;
pub(super) const BLOCK_HEADER_BYTES: usize = 32;
pub(super) const BLOCK_ALIGNMENT: usize = 16;
pub(crate) const ENTRY_BYTES: usize = 40;
pub(super) const FOOTER_BYTES: usize = 64;

const HEADER_MAGIC: &[u8; 8] = b"PELTONSN";
const FOOTER_MAGIC: &[u8; 8] = b"PELTONSF";
const HEADER_CRC_AT: usize = HEADER_BYTES - 4;
const FOOTER_CRC_AT: usize = FOOTER_BYTES - 4;

const _: () = assert!(512_usize.is_multiple_of(FOOTER_BYTES), "the footer must lie in one sector");
const _: () = assert!(
    HEADER_BYTES.is_multiple_of(BLOCK_ALIGNMENT) && BLOCK_HEADER_BYTES.is_multiple_of(BLOCK_ALIGNMENT)
);

/// What a header page says.
pub(super) struct Header {
    pub version: u32,
    pub id: SnapshotId,
}

/// Why a header page or footer is none.
pub(super) enum NotValid {
    /// It does not begin with its magic.
    Magic,
    /// Its checksum is another: (stored, computed).
    Checksum(u32, u32),
}

impl Header {
    pub(super) fn encode(id: &SnapshotId) -> [u8; HEADER_BYTES] {
        let mut page = [0; HEADER_BYTES];
        put(&mut page, 0, HEADER_MAGIC);
        put(&mut page, 8, &VERSION.to_le_bytes());
        put(&mut page, 16, &id.log_id.to_le_bytes());
        put(&mut page, 32, &id.generation.to_le_bytes());
        put(&mut page, 36, &id.shard.to_le_bytes());
        put(&mut page, 40, &id.number.to_le_bytes());
        put(&mut page, 48, &id.tick.to_le_bytes());
        seal(&mut page, HEADER_CRC_AT);
        page
    }

    /// Reads a header page. Magic, version and checksum stand in these places in every version.
    pub(super) fn decode(page: &[u8]) -> Result<Self, NotValid> {
        check(page, HEADER_MAGIC, HEADER_CRC_AT)?;
        let id = SnapshotId {
            log_id: u128::from_le_bytes(array(page, 16)),
            generation: u32_at(page, 32),
            shard: u16::from_le_bytes(array(page, 36)),
            number: u64_at(page, 40),
            tick: u64_at(page, 48),
        };
        Ok(Header { version: u32_at(page, 8), id })
    }
}

/// What a footer says.
pub(super) struct Footer {
    pub index_crc: u32,
    pub index_at: u64,
    pub entries: u64,
    pub number: u64,
    pub tick: u64,
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        put(&mut bytes, 0, FOOTER_MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &self.index_crc.to_le_bytes());
        put(&mut bytes, 16, &self.index_at.to_le_bytes());
        put(&mut bytes, 24, &self.entries.to_le_bytes());
        put(&mut bytes, 32, &self.number.to_le_bytes());
        put(&mut bytes, 40, &self.tick.to_le_bytes());
        seal(&mut bytes, FOOTER_CRC_AT);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NotValid> {
        check(bytes, FOOTER_MAGIC, FOOTER_CRC_AT)?;
        Ok(Footer {
            index_crc: u32_at(bytes, 12),
            index_at: u64_at(bytes, 16),
            entries: u64_at(bytes, 24),
            number: u64_at(bytes, 32),
            tick: u64_at(bytes, 40),
        })
    }

    /// The length of the file that this footer ends, or `None` if no file could be that long.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        let index = self.entries.checked_mul(ENTRY_BYTES as u64)?;
        let end = self.index_at.checked_add(index)?.checked_next_multiple_of(FOOTER_BYTES as u64)?;
        end.checked_add(FOOTER_BYTES as u64)
    }
}

/// The header of a block with its checksum, which is returned as well.
pub(super) fn block_header(
    key: (u32, u32, u32),
    number: u64,
    payload: &[u8],
) -> ([u8; BLOCK_HEADER_BYTES], u32) {
    let mut header = [0; BLOCK_HEADER_BYTES];
    put(&mut header, 4, &u32::try_from(payload.len()).expect("a block is small").to_le_bytes());
    put(&mut header, 8, &key.0.to_le_bytes());
    put(&mut header, 12, &key.1.to_le_bytes());
    put(&mut header, 16, &key.2.to_le_bytes());
    put(&mut header, 24, &number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[4..]), payload);
    put(&mut header, 0, &crc.to_le_bytes());
    (header, crc)
}

/// Bytes that a block with a payload of `len` takes in the file.
pub(super) fn block_bytes(len: usize) -> usize {
    BLOCK_HEADER_BYTES + len.next_multiple_of(BLOCK_ALIGNMENT)
}

pub(super) fn encode_entry(entry: &BlockEntry) -> [u8; ENTRY_BYTES] {
    let mut bytes = [0; ENTRY_BYTES];
    put(&mut bytes, 0, &entry.section.to_le_bytes());
    put(&mut bytes, 4, &entry.table.to_le_bytes());
    put(&mut bytes, 8, &entry.chunk.to_le_bytes());
    put(&mut bytes, 12, &entry.len.to_le_bytes());
    put(&mut bytes, 16, &entry.number.to_le_bytes());
    put(&mut bytes, 24, &entry.at.to_le_bytes());
    put(&mut bytes, 32, &entry.crc.to_le_bytes());
    bytes
}

pub(super) fn decode_entry(bytes: &[u8]) -> BlockEntry {
    BlockEntry {
        section: u32_at(bytes, 0),
        table: u32_at(bytes, 4),
        chunk: u32_at(bytes, 8),
        len: u32_at(bytes, 12),
        number: u64_at(bytes, 16),
        at: u64_at(bytes, 24),
        crc: u32_at(bytes, 32),
    }
}

/// Writes the checksum of what comes before it.
fn seal(bytes: &mut [u8], crc_at: usize) {
    let crc = crc32c::crc32c(&bytes[..crc_at]);
    put(bytes, crc_at, &crc.to_le_bytes());
}

fn check(bytes: &[u8], magic: &[u8; 8], crc_at: usize) -> Result<(), NotValid> {
    if &bytes[..8] != magic {
        return Err(NotValid::Magic);
    }
    let (stored, computed) = (u32_at(bytes, crc_at), crc32c::crc32c(&bytes[..crc_at]));
    if stored == computed { Ok(()) } else { Err(NotValid::Checksum(stored, computed)) }
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
