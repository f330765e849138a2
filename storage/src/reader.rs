//! Reading a log back, entry by entry, in the order in which they were appended.
//!
//! A reader sees what was in the log when it was opened: groups in the segment files, and with [`Durability::Process`](crate::Durability)
//! what is only in the staging ring. It changes nothing, so a log can be looked at after a crash, before it is opened for appending. A log that
//! another thread or process appends to at the same time can be read from its files; what is in the ring is copied while it moves, and a copy
//! that caught it moving is refused as damaged.
//!
//! Each byte is checked once; payloads are lent from the mapped file.

use crate::StorageError;
use crate::disk::{Disk, How, Owner};
use crate::entry::{self, Entry, HEADER, Kind};
use crate::find::{Found, find};
use crate::group::{GROUP_BYTES, Opening};
use crate::log::{Durability, LogOptions, Ring, ring_prefix};
use crate::mark::{self, Kept, Mark};
use crate::segment::{self, PAGE};
use crate::walk::{RingPart, Walk};
use std::path::Path;
use std::sync::Arc;

const RING_ADVICE: &str = "The ring was left by a process that died, and holds entries that were acknowledged: put back a good copy of \
                           the file, or start from a savepoint in a new data directory.";

/// Reads a log. See [`Log`](crate::Log) for an example.
pub struct LogReader {
    walk: Walk,
    from_tick: u64,
    /// Where the next entry is, and where the entries of its group end.
    at: u64,
    end: u64,
}

impl LogReader {
    /// Begins with the first entry whose tick is `from_tick` or later. Segments that lie wholly before it are not read.
    ///
    /// # Errors
    /// As [`Log::open`](crate::Log::open), for what was looked at so far.
    pub fn open(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        options: &LogOptions,
        from_tick: u64,
    ) -> Result<Self, StorageError> {
        // Before the files: a job that is at work meanwhile marks what is in them.
        let mark = mark::read(&**disk, &mark::path_of(directory), &options.identity())?;
        let found = find(disk, directory, &options.identity(), How::Read)?;
        let ring = match found.durability {
            Some(Durability::Process) => look_at_ring(disk, directory, &found)?,
            Some(Durability::Disk) => None,
            None => {
                no_ring(disk, directory, &found)?;
                None
            }
        };
        if ring.is_none() && found.durability == Some(Durability::Process) {
            found.without_ring(&**disk)?;
        }
        let kept = kept(&**disk, directory, mark.as_ref(), &found)?;
        let number = begin(&found, from_tick)?;
        Ok(LogReader { walk: Walk::new(found, ring, number, kept), from_tick, at: 0, end: 0 })
    }

    /// The next entry, or `None` at the end of the log.
    ///
    /// # Errors
    /// When the next group is damaged or missing, though later ones are there.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend what it yields")]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, StorageError> {
        let (header, at) = loop {
            if self.at < self.end {
                let header = entry::fields(self.walk.bytes(self.at, self.at + HEADER as u64));
                let at = self.at;
                self.at += entry::bytes(header.len) as u64;
                if header.tick >= self.from_tick {
                    break (header, at);
                }
            } else {
                let Some(group) = self.walk.step()? else { return Ok(None) };
                if group.last_tick >= self.from_tick {
                    (self.at, self.end) = (group.opening.position + GROUP_BYTES, group.entries_end);
                }
            }
        };
        let kind = Kind::from_raw(header.kind).expect("the group was checked");
        let payload = at + HEADER as u64;
        let payload = self.walk.bytes(payload, payload + header.len as u64);
        Ok(Some(Entry { tick: header.tick, kind, position: at, payload }))
    }
}

/// How far the log's mark says that it was kept. A log that has a segment has a mark, which was made before.
pub(crate) fn kept(
    disk: &dyn Disk,
    directory: &Path,
    mark: Option<&Mark>,
    found: &Found,
) -> Result<Kept, StorageError> {
    if mark.is_none() && !found.segments.is_empty() {
        return Err(mark::missing(&mark::path_of(directory)));
    }
    let boot = segment::boot(&disk.boot_id());
    Ok(mark.map_or(Kept::default(), |mark| mark.kept(boot)))
}

/// What the ring holds, if there is one.
pub(crate) fn look_at_ring(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    found: &Found,
) -> Result<Option<RingPart>, StorageError> {
    let ring = Ring::look(&**disk, directory, found.identity, &found.ring_name(), false)?;
    ring.map(|ring| RingPart::of(&ring, found)).transpose()
}

/// Refuses a log without a segment whose staging ring holds entries: it was kept with [`Durability::Process`], and the first segment's
/// header is damaged, or its file is gone. None of its groups need be in the file to say so. How the log will be kept from now on has no part
/// in that: where shards' state is recovered by others, it is on disk.
pub(crate) fn no_ring(disk: &Arc<dyn Disk>, directory: &Path, found: &Found) -> Result<(), StorageError> {
    let identity = found.identity;
    let prefix = ring_prefix(identity.id, identity.generation, identity.shard);
    let mine = disk.owner(directory).map_err(|error| StorageError::io("look at", directory, error))?;
    // Which of them it was would stand in the header. Where rings cannot be listed, this process could not have made one.
    for name in disk.stagings(&prefix).unwrap_or_default() {
        let Some(ring) = Ring::look(&**disk, directory, identity, &name, false)? else { continue };
        let is_mine = Owner::read(&ring.memory).is_none_or(|owner| owner.is_same(&mine));
        // A new log's ring is made before its first segment.
        if !is_mine || ring.head() == found.identity.start(0) {
            continue;
        }
        let number = found.identity.segment(ring.written());
        let damaged = found.leftovers.iter().find(|file| segment::number_in(&file.name) == Some(number));
        let Some(file) = damaged else { return Err(found.missing(number)) };
        return Err(StorageError::Damaged {
            what: "header of a log segment",
            path: directory.join(&file.name),
            at: 0,
            expected: format!("the header of segment {number}, from which the staging ring goes on"),
            found: "something else".into(),
            advice: RING_ADVICE,
        });
    }
    Ok(())
}

/// The last segment that begins before `from_tick`, or the first one.
fn begin(found: &Found, from_tick: u64) -> Result<u64, StorageError> {
    let identity = &found.identity;
    let mut number = found.first();
    for (&candidate, segment) in &found.segments {
        let mut page = [0; PAGE as usize];
        let path = found.path(candidate);
        segment.file.read_at(&mut page, PAGE).map_err(|error| StorageError::io("read", path, error))?;
        match Opening::check(identity.seed(), &page, identity.start(candidate)) {
            Ok(opening) if opening.tick_before < from_tick => number = candidate,
            _ => break,
        }
    }
    Ok(number)
}
