//! Groups: entries that are written to disk together.
//!
//! ```text
//!  multiple of 4096                                                                    multiple of 4096
//!  +-----------------------------------------------+---------+-- ... --+-----------+------- ... -+
//!  | GROUP entry                                   | entry   | entry   | PAD entry | zeros       |
//!  | tick: last before; payload, 4 x u64:          |         |         | tick: the |             |
//!  | sequence | previous | released | first         |         |         | sequence  |             |
//!  +-----------------------------------------------+---------+-- ... --+-----------+------- ... -+
//!  sequence  1, 2, 3, … over the whole log          released  output was released through this tick when the group was begun
//!  previous  position of the group before, or 0     first     number of the oldest segment that is still in use
//!  PAD's flags: 1 the rest of the segment is unused, and the log goes on in the next
//! ```
//!
//! A group lies within one segment. It counts as a whole or not at all: it is complete when every entry from GROUP to
//! PAD is good.

use crate::StorageError;
use crate::entry::{self, ALIGN, Bad, GROUP, HEADER, Kind, PAD};
use crate::segment::{Identity, PAGE};
use std::path::PathBuf;

/// Bytes of a GROUP entry.
pub(crate) const GROUP_BYTES: u64 = HEADER as u64 + 32;
/// Bytes of a PAD entry.
pub(crate) const PAD_BYTES: u64 = HEADER as u64;
/// A PAD's flag: the log goes on in the next segment.
pub(crate) const LAST_OF_SEGMENT: u16 = 1;

/// What a GROUP entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) position: u64,
    pub(crate) tick_before: u64,
    pub(crate) sequence: u64,
    pub(crate) previous: u64,
    pub(crate) released: u64,
    pub(crate) first: u64,
}

impl Opening {
    /// The entry.
    pub(crate) fn seal(&self, seed: u32) -> [u8; GROUP_BYTES as usize] {
        let mut bytes = [0; GROUP_BYTES as usize];
        let words = [self.sequence, self.previous, self.released, self.first];
        for (at, word) in words.into_iter().enumerate() {
            bytes[HEADER + 8 * at..][..8].copy_from_slice(&word.to_le_bytes());
        }
        let header = entry::seal(seed, self.position, self.tick_before, GROUP, 0, &bytes[HEADER..]);
        bytes[..HEADER].copy_from_slice(&header);
        bytes
    }

    /// The GROUP entry that begins `bytes`, which is that of `position`.
    pub(crate) fn check(seed: u32, bytes: &[u8], position: u64) -> Result<Opening, Bad> {
        let header = entry::check(seed, bytes, position)?;
        if header.kind != GROUP || header.len + HEADER != GROUP_BYTES as usize {
            return Err(Bad::Nothing);
        }
        Ok(Opening {
            position,
            tick_before: header.tick,
            sequence: entry::u64_at(bytes, HEADER),
            previous: entry::u64_at(bytes, HEADER + 8),
            released: entry::u64_at(bytes, HEADER + 16),
            first: entry::u64_at(bytes, HEADER + 24),
        })
    }
}

impl Opening {
    /// Refuses a group that says that the segment it lies in is no longer in use. Its checksum is good, so nobody has
    /// it from a write that was cut short; and to believe it is to take the newest entries for those of a spare.
    pub(crate) fn is_in_use(
        &self,
        identity: &Identity,
        path: impl FnOnce() -> PathBuf,
    ) -> Result<(), StorageError> {
        let own = identity.segment(self.position);
        if self.first <= own {
            return Ok(());
        }
        Err(StorageError::Damaged {
            what: "GROUP entry",
            path: path(),
            at: self.position - identity.base(own),
            expected: format!("segment {own} or one before it as the oldest in use"),
            found: format!("segment {}", self.first),
            advice: "No version has written such a group: put back a good copy of the file, or start from a savepoint \
                     in a new data directory.",
        })
    }
}

/// A group that was checked from end to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) opening: Opening,
    /// Where its entries end: the position of its PAD, or where one has to go.
    pub(crate) entries_end: u64,
    /// Where the next group begins.
    pub(crate) next: u64,
    pub(crate) entries: u64,
    pub(crate) first_tick: Option<u64>,
    pub(crate) last_tick: u64,
    /// False for a group of the staging ring that was still filling.
    pub(crate) closed: bool,
    /// Whether the log goes on in the next segment.
    pub(crate) last_of_segment: bool,
}

/// The first thing wrong with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) position: u64,
    pub(crate) bad: Bad,
}

/// Where the group after one begins that ends, padded, at `end`.
pub(crate) fn after(identity: &Identity, end: u64, last_of_segment: bool) -> u64 {
    let end = end.next_multiple_of(PAGE);
    if last_of_segment || end.is_multiple_of(identity.segment_bytes) {
        identity.start(identity.segment(end - 1) + 1)
    } else {
        end
    }
}

/// Checks the group at `position`. `bytes` begins there and ends with the segment, or where the staging ring's head is.
/// At the head a group may stop without a PAD (`filling`).
pub(crate) fn check(identity: &Identity, bytes: &[u8], position: u64, filling: bool) -> Result<Group, Fault> {
    let seed = identity.seed();
    let opening = Opening::check(seed, bytes, position).map_err(|bad| Fault { position, bad })?;
    let mut group = Group {
        opening,
        entries_end: position + GROUP_BYTES,
        next: 0,
        entries: 0,
        first_tick: None,
        last_tick: opening.tick_before,
        closed: true,
        last_of_segment: false,
    };
    loop {
        let at = group.entries_end;
        let rest = &bytes[(at - position) as usize..];
        if filling && rest.is_empty() {
            group.closed = false;
            group.next = after(identity, at + PAD_BYTES, false);
            return Ok(group);
        }
        let header = entry::check(seed, rest, at).map_err(|bad| Fault { position: at, bad })?;
        if header.kind == PAD && header.tick == opening.sequence {
            group.last_of_segment = header.flags & LAST_OF_SEGMENT != 0;
            group.next = after(identity, at + PAD_BYTES, group.last_of_segment);
            return Ok(group);
        }
        if Kind::from_raw(header.kind).is_none() || header.tick < group.last_tick {
            return Err(Fault { position: at, bad: Bad::Nothing });
        }
        group.entries += 1;
        group.first_tick.get_or_insert(header.tick);
        group.last_tick = header.tick;
        group.entries_end += entry::bytes(header.len) as u64;
    }
}

/// The last GROUP entry of a segment, whether its group is complete or not.
pub(crate) fn last(identity: &Identity, segment: &[u8], number: u64) -> Option<Opening> {
    let seed = identity.seed();
    let segment = &segment[..segment.len().min(identity.segment_bytes as usize)];
    let pages = segment.len() / PAGE as usize;
    (1..pages).rev().find_map(|page| {
        let at = page * PAGE as usize;
        Opening::check(seed, &segment[at..], identity.base(number) + at as u64).ok()
    })
}

/// The pages of a segment, from offset `from` on, in which something claims to be an entry of this segment.
pub(crate) fn traces(identity: &Identity, segment: &[u8], number: u64, from: u64) -> Vec<u64> {
    let base = identity.base(number);
    let segment = &segment[..segment.len().min(identity.segment_bytes as usize)];
    let mut pages = Vec::new();
    for (index, page) in segment.chunks(PAGE as usize).enumerate().skip((from / PAGE) as usize) {
        let offset = index as u64 * PAGE;
        // A header may begin in a page and end in the next: its position decides, which stands in bytes 16..24 and is
        // aligned with it.
        let found = page.chunks_exact(ALIGN).enumerate().any(|(chunk, words)| {
            let at = base + offset + (chunk * ALIGN) as u64;
            entry::u64_at(words, 0) == at.wrapping_sub(ALIGN as u64)
        });
        if found {
            pages.push(offset);
        }
    }
    pages
}
