//! Walking a log from group to group, through segment files and what is only in the staging ring.
//!
//! Every group is checked from end to end before any of it is shown: its entries, its sequence number, its place behind
//! the one before. A bad group at the very end was cut short while it was written, and never acknowledged; the walk
//! ends there. One before a later group, before what the ring knows to be written, or before what is known to have been kept (`mark`), is
//! damage, and an error: going on behind it would pass over acknowledged entries. So is an end before that.
//!
//! One pass over each byte for its CRC32C; files are mapped one at a time.

use crate::StorageError;
use crate::entry::{ALIGN, Bad};
use crate::find::{Found, Map};
use crate::group::{self, Fault, Group};
use crate::log::{Ring, ring_path};
use crate::mark::Kept;
use crate::segment::PAGE;
use std::path::PathBuf;

const DAMAGE_ADVICE: &str = "Entries from here on were acknowledged and cannot be trusted any more. Put back a good copy of the file, or start \
                             from a savepoint in a new data directory; what came after the savepoint has to be sent again.";
const SHORT_ADVICE: &str = "What came in between was acknowledged and is gone: part of the log was deleted, cut or replaced by an older copy. Put \
                            back the files that were there, or start from a savepoint (`restore`); what came after the savepoint has to \
                            be sent again.";
const RING_ADVICE: &str = "The ring was left by a process that died, and holds entries that were acknowledged. If the segment files were put back \
                           from a copy, put back the ones that belong to the ring; else start from a savepoint in a new data directory.";

/// Bytes in memory, from an address that is a multiple of 16 on.
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    from: usize,
}

impl Aligned {
    pub(crate) fn copy_of(bytes: &[u8]) -> Aligned {
        let mut copy: Vec<u8> = Vec::with_capacity(bytes.len() + 16);
        let from = copy.as_ptr().align_offset(16);
        copy.resize(from, 0);
        copy.extend_from_slice(bytes);
        Aligned { bytes: copy, from }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

enum Bytes {
    Map(Map),
    Copy(Aligned),
}

impl Bytes {
    fn from_map(map: Map) -> Bytes {
        let bytes = (*map).as_ref();
        if bytes.as_ptr().align_offset(16) == 0 {
            Bytes::Map(map)
        } else {
            Bytes::Copy(Aligned::copy_of(bytes))
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Map(map) => (**map).as_ref(),
            Bytes::Copy(copy) => copy.as_slice(),
        }
    }
}

/// What is only in the staging ring, copied out.
pub(crate) struct RingPart {
    written: u64,
    head: u64,
    /// At most two: the ring is as long as a segment.
    pieces: Vec<(u64, u64, Aligned)>,
    path: PathBuf,
}

impl RingPart {
    /// Copies what `ring` holds and the files may not.
    pub(crate) fn of(ring: &Ring, found: &Found) -> Result<RingPart, StorageError> {
        let identity = &found.identity;
        // In this order: `written` never runs ahead of a `head` that is loaded after it.
        let written = ring.written();
        let again = ring.head_at_least();
        let head = ring.head();
        let path = ring_path(&ring.name);
        // Neither is in a segment's first page, entries begin at multiples of 16, and groups at pages.
        let is_place = |position: u64, align: u64| {
            position.is_multiple_of(align)
                && position % identity.segment_bytes >= PAGE
                && identity.can_have(identity.segment(position))
        };
        // The second of the two is stored after the first, and looked at before it.
        let near = written <= head && again <= head && head - written <= identity.segment_bytes + PAGE;
        if !near || !is_place(written, PAGE) || !is_place(head, ALIGN as u64) {
            return Err(StorageError::Damaged {
                what: "staging ring",
                path,
                at: 64,
                expected: "a head within one segment of what is written, and both where entries can be"
                    .into(),
                found: format!("head {head} and {again}, written {written}"),
                advice: RING_ADVICE,
            });
        }
        let mut pieces = Vec::new();
        let mut from = written;
        while from < head {
            let number = identity.segment(from);
            let to = head.min(identity.base(number + 1));
            pieces.push((from, to, Aligned::copy_of(&ring.copy(from, to))));
            from = to + if to < head { PAGE } else { 0 };
        }
        Ok(RingPart { written, head, pieces, path })
    }

    /// The files hold the group at `position`, and so are written through `end` at least.
    fn is_behind(&self, position: u64, end: u64) -> StorageError {
        StorageError::Damaged {
            what: "staging ring",
            path: self.path.clone(),
            at: 64,
            expected: format!("all written through {end}: the segment files hold the group at {position}"),
            found: format!("head {}, written {}", self.head, self.written),
            advice: RING_ADVICE,
        }
    }
}

/// A walk.
pub(crate) struct Walk {
    pub(crate) found: Found,
    ring: Option<RingPart>,
    /// Where the next group is, or the end of the log.
    pub(crate) position: u64,
    before: Option<Group>,
    mapped: Option<(u64, Bytes)>,
    /// Why the walk ended, if it ended in a file.
    pub(crate) fault: Option<Fault>,
    /// How far the log was kept, by what lies outside of it.
    kept: Kept,
}

impl Walk {
    /// From the beginning of segment `number` on, to an end that is not before what was `kept`.
    pub(crate) fn new(found: Found, ring: Option<RingPart>, number: u64, kept: Kept) -> Walk {
        let position = found.identity.start(number);
        Walk { found, ring, position, before: None, mapped: None, fault: None, kept }
    }

    /// The log ends here, or it is short of what was kept.
    fn end(&self) -> Result<Option<Group>, StorageError> {
        if self.position >= self.kept.position {
            return Ok(None);
        }
        let identity = &self.found.identity;
        let number = identity.segment(self.position);
        let at = self.position - identity.base(number);
        let last_tick = self.before.map_or(0, |before| before.last_tick);
        let missing = self.kept.position - self.position;
        Err(short(self.found.path(number), identity.shard, (at, last_tick), (missing, self.kept.tick)))
    }

    /// Checks the next group; `None` at the end of the log.
    pub(crate) fn step(&mut self) -> Result<Option<Group>, StorageError> {
        if let (Some(ring), Some(before)) = (&self.ring, &self.before)
            && before.opening.position < ring.written
            && self.position > ring.written
        {
            return Err(ring.is_behind(before.opening.position, self.position));
        }
        let checked = match &self.ring {
            Some(ring) if self.position >= ring.written => {
                if self.position >= ring.head {
                    // What is in the files was in the ring before.
                    return match self.found.last_group.filter(|last| last.position >= self.position) {
                        Some(last) => Err(ring.is_behind(last.position, last.position)),
                        None => self.end(),
                    };
                }
                let checked =
                    match ring.pieces.iter().find(|(from, to, _)| (*from..*to).contains(&self.position)) {
                        Some((from, to, bytes)) => {
                            let bytes = &bytes.as_slice()[(self.position - from) as usize..];
                            group::check(&self.found.identity, bytes, self.position, *to == ring.head)
                        }
                        None => Err(Fault { position: self.position, bad: Bad::Nothing }),
                    };
                checked.map_err(|fault| {
                    damaged(
                        "entry in the staging ring",
                        ring.path.clone(),
                        fault.position,
                        fault,
                        RING_ADVICE,
                    )
                })?
            }
            _ => match self.check_in_file()? {
                Some(group) => group,
                None => return self.end(),
            },
        };
        self.follows(&checked)?;
        self.position = checked.next;
        self.before = Some(checked);
        Ok(Some(checked))
    }

    fn check_in_file(&mut self) -> Result<Option<Group>, StorageError> {
        let identity = self.found.identity;
        let number = identity.segment(self.position);
        if self.mapped.as_ref().is_none_or(|(mapped, _)| *mapped != number) {
            self.mapped = self.found.map(number)?.map(|map| (number, Bytes::from_map(map)));
        }
        let Some((_, bytes)) = &self.mapped else {
            let promised = self.before.as_ref().is_some_and(|before| before.last_of_segment);
            return if promised || self.ring.is_some() { Err(self.found.missing(number)) } else { Ok(None) };
        };
        let offset = self.position - identity.base(number);
        let bytes = bytes.as_slice();
        let bytes = bytes.get(offset as usize..identity.segment_bytes as usize).unwrap_or_default();
        match group::check(&identity, bytes, self.position, false) {
            Ok(group) => Ok(Some(group)),
            Err(fault) => {
                let followed = self.found.last_group.is_some_and(|last| last.position > self.position);
                // Of a group of which not even the beginning is there, `end` says what is missing.
                let begun = fault.position > self.position || fault.bad != Bad::Nothing;
                if followed || self.ring.is_some() || begun && self.position < self.kept.position {
                    let at = fault.position - identity.base(number);
                    return Err(damaged("log segment", self.found.path(number), at, fault, DAMAGE_ADVICE));
                }
                self.fault = Some(fault);
                Ok(None)
            }
        }
    }

    /// Refuses a group that is good by itself but does not follow the one before.
    fn follows(&self, group: &Group) -> Result<(), StorageError> {
        let opening = &group.opening;
        let own = self.found.identity.segment(opening.position);
        opening.is_in_use(&self.found.identity, || self.found.path(own))?;
        let (expected, found) = match &self.before {
            Some(before) => (
                (
                    before.opening.sequence.wrapping_add(1),
                    before.opening.position,
                    opening.tick_before.max(before.last_tick),
                ),
                (opening.sequence, opening.previous, opening.tick_before),
            ),
            None if opening.position == self.found.identity.start(0) => {
                ((1, 0, opening.tick_before), (opening.sequence, opening.previous, opening.tick_before))
            }
            None => return Ok(()),
        };
        if expected == found {
            return Ok(());
        }
        let number = self.found.identity.segment(opening.position);
        Err(StorageError::Damaged {
            what: "order of a log's groups",
            path: self.found.path(number),
            at: opening.position - self.found.identity.base(number),
            expected: format!(
                "group {} after position {}, not before tick {}",
                expected.0, expected.1, expected.2
            ),
            found: format!("group {} after position {}, after tick {}", found.0, found.1, found.2),
            advice: DAMAGE_ADVICE,
        })
    }

    /// The bytes between two positions of a group that `step` has returned last.
    pub(crate) fn bytes(&self, from: u64, to: u64) -> &[u8] {
        if let Some(ring) = &self.ring
            && self.before.is_some_and(|group| group.opening.position >= ring.written)
            && let Some((start, _, bytes)) =
                ring.pieces.iter().find(|(start, end, _)| (*start..*end).contains(&from))
        {
            return &bytes.as_slice()[(from - start) as usize..(to - start) as usize];
        }
        let (number, bytes) =
            self.mapped.as_ref().expect("a group that was checked in a file that is mapped");
        let base = self.found.identity.base(*number);
        &bytes.as_slice()[(from - base) as usize..(to - base) as usize]
    }

    /// Whether the ring holds what is at `position`.
    pub(crate) fn is_in_ring(&self, position: u64) -> bool {
        self.ring.as_ref().is_some_and(|ring| position >= ring.written)
    }
}

/// The error for a log that ends at a byte, after a tick, with bytes missing through a later tick.
pub(crate) fn short(
    path: PathBuf,
    shard: u16,
    (at, last_tick): (u64, u64),
    (missing, kept_tick): (u64, u64),
) -> StorageError {
    StorageError::Short { path, shard, at, last_tick, kept_tick, missing, advice: SHORT_ADVICE }
}

fn damaged(what: &'static str, path: PathBuf, at: u64, fault: Fault, advice: &'static str) -> StorageError {
    let (expected, found) = match fault.bad {
        Bad::Nothing => (format!("the entry of position {}", fault.position), "something else".to_string()),
        Bad::Length(len) => ("an entry within its segment".into(), format!("a length of {len} bytes")),
        Bad::Checksum { expected, found } => (format!("CRC32C {expected:08x}"), format!("{found:08x}")),
    };
    StorageError::Damaged { what, path, at, expected, found, advice }
}

/// What a fault is called.
pub(crate) fn reason(bad: Bad) -> String {
    match bad {
        Bad::Nothing => "entries end before their group does".into(),
        Bad::Length(len) => format!("an entry of {len} bytes does not fit into its segment"),
        Bad::Checksum { expected, found } => format!("CRC32C {found:08x} instead of {expected:08x}"),
    }
}
