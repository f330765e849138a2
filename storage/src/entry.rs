//! Entries: what a log is made of.
//!
//! ```text
//!  0        4        8                16               24     26     28       32
//!  +--------+--------+----------------+----------------+------+------+--------+---------------- ... -+
//!  |  crc   |  len   |      tick      |    position    | kind | flags|   0    | payload, padded to 16 |
//!  +--------+--------+----------------+----------------+------+------+--------+---------------- ... -+
//!  crc       CRC32C of bytes 4..32 and the payload, begun with a seed that is the log's own
//!  len       bytes of payload, without padding
//!  position  of this entry in the log: segment number x segment bytes + offset in the segment
//!  kind      1 tick   2 control   3 hash   0x100 pad: closes a group   0x101 group: begins one   0x102 see `erase`
//! ```
//!
//! Little-endian. An entry counts only where its own position says, under its own log's seed: what a recycled segment still holds of its
//! former life, a block that the device put in the wrong place, a file copied from another shard are all not entries of this log.
//!
//! Sealing an entry costs one CRC32C of header and payload, and nothing else that grows.

/// Bytes of an entry's header.
pub(crate) const HEADER: usize = 32;
/// Entries begin at multiples of this.
pub(crate) const ALIGN: usize = 16;

/// Closes a group.
pub(crate) const PAD: u16 = 0x100;
/// Says that what follows is being erased; never part of a log.
pub(crate) const ERASING: u16 = 0x102;
/// Begins a group.
pub(crate) const GROUP: u16 = 0x101;

/// What an entry is about. The log treats all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The input of a tick.
    Tick = 1,
    /// A decision that entered with a tick.
    Control = 2,
    /// A hash of the state after a tick.
    Hash = 3,
}

impl Kind {
    pub(crate) fn from_raw(raw: u16) -> Option<Kind> {
        match raw {
            1 => Some(Kind::Tick),
            2 => Some(Kind::Control),
            3 => Some(Kind::Hash),
            _ => None,
        }
    }
}

/// An entry, as a reader lends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its tick; never falls within a log.
    pub tick: u64,
    /// What it is about.
    pub kind: Kind,
    /// Where it is in the log.
    pub position: u64,
    /// What was appended; begins at an address that is a multiple of 16.
    pub payload: &'a [u8],
}

/// The fields of a header that was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) len: usize,
    pub(crate) tick: u64,
    pub(crate) kind: u16,
    pub(crate) flags: u16,
}

/// Why bytes are not the entry that should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Nothing says that an entry should be here.
    Nothing,
    /// It would reach beyond the end of the segment.
    Length(u32),
    /// Its checksum does not fit.
    Checksum { expected: u32, found: u32 },
}

/// Bytes that an entry with so much payload takes.
#[inline]
pub(crate) const fn bytes(payload: usize) -> usize {
    HEADER + payload.next_multiple_of(ALIGN)
}

/// The header of an entry.
#[inline]
pub(crate) fn seal(
    seed: u32,
    position: u64,
    tick: u64,
    kind: u16,
    flags: u16,
    payload: &[u8],
) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[8..16].copy_from_slice(&tick.to_le_bytes());
    header[16..24].copy_from_slice(&position.to_le_bytes());
    header[24..26].copy_from_slice(&kind.to_le_bytes());
    header[26..28].copy_from_slice(&flags.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &header[4..]), payload);
    header[..4].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Whether the header at the beginning of `bytes` claims to be at `position`; says nothing of its truth.
#[inline]
pub(crate) fn claims(bytes: &[u8], position: u64) -> bool {
    bytes.len() >= HEADER && u64_at(bytes, 16) == position
}

/// Checks the entry that begins `bytes`, which is that of `position`.
pub(crate) fn check(seed: u32, bytes: &[u8], position: u64) -> Result<Header, Bad> {
    if !claims(bytes, position) {
        return Err(Bad::Nothing);
    }
    let len = u32_at(bytes, 4);
    let end = HEADER + len as usize;
    if end.next_multiple_of(ALIGN) > bytes.len() {
        return Err(Bad::Length(len));
    }
    let (expected, found) = (u32_at(bytes, 0), crc32c::crc32c_append(seed, &bytes[4..end]));
    if expected != found {
        return Err(Bad::Checksum { expected, found });
    }
    Ok(fields(bytes))
}

/// The fields of a header that was checked before.
pub(crate) fn fields(bytes: &[u8]) -> Header {
    Header {
        len: u32_at(bytes, 4) as usize,
        tick: u64_at(bytes, 8),
        kind: u16::from_le_bytes([bytes[24], bytes[25]]),
        flags: u16::from_le_bytes([bytes[26], bytes[27]]),
    }
}

#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_passes_and_no_flipped_bit_does() {
        for len in [0, 1, 15, 16, 17, 100] {
            let payload: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
            let mut entry = seal(7, 8_192, 42, Kind::Tick as u16, 0, &payload).to_vec();
            entry.extend(&payload);
            entry.resize(bytes(len), 0);
            let header = check(7, &entry, 8_192).unwrap();
            assert_eq!((header.len, header.tick, header.kind), (len, 42, 1));
            assert_eq!(check(7, &entry, 8_208).unwrap_err(), Bad::Nothing, "at another position");
            assert!(matches!(check(8, &entry, 8_192), Err(Bad::Checksum { .. })), "of another log");
            for bit in 0..(HEADER + len) * 8 {
                entry[bit / 8] ^= 1 << (bit % 8);
                assert!(check(7, &entry, 8_192).is_err(), "bit {bit} of an entry with {len} bytes");
                entry[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn zeros_are_not_an_entry() {
        assert_eq!(check(0, &[0; 64], 4_096).unwrap_err(), Bad::Nothing);
    }
}
