//! Opening a log after whatever happened to it.
//!
//! 1. Find the files and check every group, and that all is there that is known to have been kept (`find`, `walk`, `mark`).
//!    What cannot be trusted is refused here, before anything is changed.
//! 2. What a process that died left in its staging ring is closed with a PAD, and written to the segment files.
//! 3. What is not known to be on disk is written again, byte for byte, the last group in any case: after a failed sync
//!    the page cache may hold what the disk does not, and no later sync makes up for that. With `process` that may be all
//!    that the run before wrote, since it synced nothing.
//! 4. Behind the last group, what was cut short is erased, and prepared segments become spares (`erase`). So it can
//!    never be mistaken for a later group in its place.
//! 5. All segments in use are synced, and files get the names that their headers ask for (`naming`).
//! 6. The ring for the next run is made, and the mark says how far the log goes, durably.
//! 7. Once the log is to be appended to ([`Log::begin`](crate::Log::begin)): headers that name another durability are written
//!    anew, synced; then a ring that is no longer wanted is removed. Until then a start can be given up, and the log is to the
//!    one after it what it was.
//!
//! Each step may be cut short and leaves what the same steps, begun again, bring to the same end. All of it blocks: one
//! pass over the segments in use, some syncs, and for a new log one segment full of zeros. After a kill with `process`
//! what is written again makes it some 0.8 s longer for each GiB of log.

use crate::StorageError;
use crate::bounds::AGAIN_BYTES;
use crate::disk::{Disk, DiskFile, How};
use crate::entry::{self, Bad, PAD};
use crate::erase;
use crate::find::{Found, find};
use crate::group::{self, Group, PAD_BYTES};
use crate::log::{Begin, Durability, Live, LogOptions, Ring, Segments, Spare, Start};
use crate::mark::{self, Kept, MarkFile};
use crate::naming::name_files;
use crate::proof::Proof;
use crate::reader::{kept, no_ring};
use crate::segment::{self, Identity, PAGE, SegmentHeader, live_name, new_name};
use crate::walk::{RingPart, Walk, reason};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Directories above a new log whose names are made durable with it.
const PARENTS: usize = 3;

const MISSING_ADVICE: &str = "It was made before anything was acknowledged, so somebody has removed it, and what was acknowledged since the last \
                              checkpoint with it: put it back, or start from a savepoint (`restore`); what came after the savepoint has to be \
                              sent again.";

/// What was found when a log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The tick of the oldest entry that is still there.
    pub first_tick: Option<u64>,
    /// The tick of the last entry that is not there any more since it was retired; 0 if there is none.
    pub tick_before: u64,
    /// The tick of the last entry, whether it is still there or was retired; 0 if there never was one.
    pub last_tick: u64,
    /// How many entries are there.
    pub entries: u64,
    /// The position at which the log goes on.
    pub end: u64,
    /// What was dropped: a group that was being written and never acknowledged.
    pub torn: Option<Torn>,
    /// Output was released at least through this tick.
    pub released: u64,
    /// The log was last kept with [`Durability::Process`] and never closed, and the machine was restarted since: what
    /// was only in the staging ring, the newest entries, is lost. A ring that is gone without a restart is refused.
    pub ring_lost: bool,
}

/// The remains of a write that was cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// In which file.
    pub path: PathBuf,
    /// From which byte on it was erased.
    pub at: u64,
    /// Which check failed first.
    pub reason: String,
    /// Whether that is certain: the mark is of this boot of the machine, so whoever wrote the log knew of no more. After a loss of power the
    /// last group of a log is dropped as well if it was flushed, its mark was lost, and it was damaged besides.
    pub certain: bool,
}

/// What the walk has seen.
#[derive(Default)]
struct Seen {
    recovered: Recovered,
    live: VecDeque<Live>,
    /// From here on groups are in the ring only.
    ring_from: Option<u64>,
    last: Option<Group>,
}

/// Makes a log that can be appended to out of what is there.
pub(crate) fn recover(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    options: &LogOptions,
    proof: Proof,
) -> Result<(Start, Recovered), StorageError> {
    let identity = options.identity();
    let mark_path = mark::path_of(directory);
    if proof.exists {
        disk.list(directory).map_err(|error| match error.kind() {
            ErrorKind::NotFound => StorageError::Missing {
                what: "directory of a log",
                path: directory.to_path_buf(),
                advice: MISSING_ADVICE,
            },
            _ => StorageError::io("list", directory, error),
        })?;
    }
    disk.create_directory(directory).map_err(|error| StorageError::io("create", directory, error))?;
    let found = find(disk, directory, &identity, How::Write)?;
    let was = found.durability;

    // 1. Nothing is changed.
    let ring = match was {
        Some(Durability::Process) => Ring::look(&**disk, directory, identity, &found.ring_name(), true)?,
        Some(Durability::Disk) => None,
        None => {
            no_ring(disk, directory, &found)?;
            None
        }
    };
    let ring_lost = was == Some(Durability::Process) && ring.is_none();
    if ring_lost {
        found.without_ring(&**disk)?;
    }
    let mark = mark::read(&**disk, &mark_path, &identity)?;
    let kept = kept(&**disk, directory, mark.as_ref(), &found)?;
    if proof.exists && mark.is_none() {
        return Err(mark::missing(&mark_path));
    }
    let part = ring.as_ref().map(|ring| RingPart::of(ring, &found)).transpose()?;
    let first = found.first();
    let mut walk = Walk::new(found, part, first, kept.max(proof.kept));
    let mut seen = look(&mut walk)?;
    seen.recovered.ring_lost = ring_lost;
    let (end, fault) = (walk.position, walk.fault);
    let mut found = walk.found;

    // 2. and 3.
    if let Some(ring) = &ring {
        close(ring, &identity, seen.last.as_ref());
        if let Some(from) = seen.ring_from {
            write_out(ring, &found, from)?;
        }
    }
    if let Some(group) = &seen.last {
        let last = group.opening.position;
        let from = mark.as_ref().map_or(last, |mark| mark.durable().position.min(last));
        let to = seen.ring_from.unwrap_or((group.entries_end + PAD_BYTES).next_multiple_of(PAGE));
        write_again(&found, from.max(identity.start(first)), to)?;
    }

    let boot = segment::boot(&disk.boot_id());
    let certain = mark.as_ref().is_some_and(|mark| mark.boot != 0 && mark.boot == boot);
    let position = identity.start(0);
    let mut mark = MarkFile::open(&**disk, &mark_path, &identity, boot, mark.as_ref(), position)?;

    // 4. and 5.
    let current = identity.segment(end);
    let mut erased = erase::tail(&found, end)?;
    erased |= erase::beyond(&**disk, &mut found, current)?;
    if erased || fault.is_some_and(|fault| fault.bad != Bad::Nothing) {
        seen.recovered.torn = Some(Torn {
            path: found.path(current),
            at: end - identity.base(current),
            reason: reason(fault.map_or(Bad::Nothing, |fault| fault.bad)),
            certain,
        });
    }
    for file in found.leftovers.iter().filter(|file| file.filled == 0 && file.len >= PAGE) {
        // An earlier attempt may have taken its header, in memory only: it must not come back beside another with the
        // same number.
        let taken = file.file.write_at(&[0; PAGE as usize], 0).and_then(|()| file.file.sync());
        taken.map_err(|error| StorageError::io("write", directory.join(&file.name), error))?;
    }
    for number in found.segments.keys() {
        found.sync(*number)?;
    }
    let mut spares = name_files(&**disk, &found, current)?;

    // 6.
    let ring = ring.filter(|_| options.durability == Durability::Process);
    let made = ring.is_none();
    let (ring, number) = match (options.durability, ring) {
        (_, Some(ring)) => {
            ring.store_written(end);
            (ring, found.ring)
        }
        (Durability::Process, None) => Ring::on_machine(&**disk, directory, identity, end)?,
        (Durability::Disk, None) => (Ring::in_process(&**disk, directory, identity, end)?, 0),
    };
    let header = options.header(current, &disk.boot_id(), number);
    let file = match found.segments.get(&current) {
        Some(segment) => segment.file.clone(),
        // Until the log begins no header says more than was so.
        None => {
            let header = SegmentHeader { durability: Durability::Disk, boot: 0, ring: 0, ..header };
            create(disk, directory, &header, &mut spares)?
        }
    };
    let last = found.last_group.map_or(0, |last| identity.segment(last.position));
    let headers = found.segments.range(last.min(current)..=current);
    let mut headers: Vec<_> = headers
        .map(|(&number, segment)| (SegmentHeader { number, ..header }, segment.file.clone()))
        .collect();
    if !found.segments.contains_key(&current) {
        headers.push((header, file.clone()));
    }
    // A sync that failed in the run before may have left names that are in memory only.
    disk.sync_directory(directory).map_err(|error| StorageError::io("sync", directory, error))?;
    let kept = Kept { position: end, tick: seen.recovered.last_tick };
    mark.write(kept, kept, Durability::Disk, None)?;
    mark.sync()?;
    if seen.last.is_none() {
        // It may be new, and the directories with it.
        for directory in directory.ancestors().take(1 + PARENTS).filter(|path| path.parent().is_some()) {
            disk.sync_directory(directory).map_err(|error| StorageError::io("sync", directory, error))?;
        }
    }

    if seen.live.back().is_none_or(|live| live.number != current) {
        seen.live.push_back(Live { number: current, last_tick: seen.recovered.last_tick });
    }
    seen.recovered.end = end;
    let ring_made = made && options.durability == Durability::Process;
    let first = seen.last.map_or(0, |group| group.opening.first);
    let segments = Segments::new(disk.clone(), directory, &header, file, (seen.live, first), spares);
    let start = Start {
        ring,
        segments,
        head: end,
        last_tick: seen.recovered.last_tick,
        sequence: seen.last.map_or(0, |group| group.opening.sequence),
        previous: seen.last.map_or(0, |group| group.opening.position),
        released: seen.recovered.released,
        mark,
        begin: Begin { headers, ring_made },
    };
    Ok((start, seen.recovered))
}

/// Checks every group.
fn look(walk: &mut Walk) -> Result<Seen, StorageError> {
    let mut seen = Seen::default();
    // The first tick and the number of entries of each segment.
    let mut contents: VecDeque<(u64, Option<u64>, u64)> = VecDeque::new();
    while let Some(group) = walk.step()? {
        let recovered = &mut seen.recovered;
        if seen.last.is_none() {
            recovered.tick_before = group.opening.tick_before;
        }
        recovered.last_tick = group.last_tick;
        recovered.released = recovered.released.max(group.opening.released);
        let number = walk.found.identity.segment(group.opening.position);
        match seen.live.back_mut() {
            Some(live) if live.number == number => live.last_tick = group.last_tick,
            _ => {
                seen.live.push_back(Live { number, last_tick: group.last_tick });
                contents.push_back((number, None, 0));
            }
        }
        if let Some((_, first_tick, entries)) = contents.back_mut() {
            *first_tick = first_tick.or(group.first_tick);
            *entries += group.entries;
        }
        if seen.ring_from.is_none() && walk.is_in_ring(group.opening.position) {
            seen.ring_from = Some(group.opening.position);
        }
        seen.last = Some(group);
    }
    // A group that is in the ring only may give up segments that by the files are still in use.
    let first = seen.last.map_or(0, |group| group.opening.first);
    for (_, first_tick, entries) in contents.into_iter().filter(|(number, ..)| *number >= first) {
        seen.recovered.first_tick = seen.recovered.first_tick.or(first_tick);
        seen.recovered.entries += entries;
    }
    Ok(seen)
}

/// Closes the group that was filling when the process died.
fn close(ring: &Ring, identity: &Identity, last: Option<&Group>) {
    let Some(group) = last.filter(|group| !group.closed) else { return };
    let at = ring.at(group.entries_end);
    let end = (group.entries_end + PAD_BYTES).next_multiple_of(PAGE);
    ring.memory
        .write(at, &entry::seal(identity.seed(), group.entries_end, group.opening.sequence, PAD, 0, &[]));
    ring.memory.zero(at + PAD_BYTES as usize, (end - group.entries_end - PAD_BYTES) as usize);
    ring.store_head(group::after(identity, end, false));
}

/// Writes what the ring holds from `from` on to the segment files.
fn write_out(ring: &Ring, found: &Found, from: u64) -> Result<(), StorageError> {
    let (identity, head) = (&found.identity, ring.head());
    let mut from = from;
    while from < head {
        let number = identity.segment(from);
        let to = head.min(identity.base(number + 1));
        found.write(number, &ring.copy(from, to), from - identity.base(number))?;
        from = identity.start(number + 1);
    }
    Ok(())
}

/// Writes what the files hold between two positions once more, with the headers before it.
fn write_again(found: &Found, mut from: u64, to: u64) -> Result<(), StorageError> {
    let identity = &found.identity;
    while from < to {
        let number = identity.segment(from);
        let base = identity.base(number);
        let end = to.min(identity.base(number + 1));
        let map = found.map(number)?.ok_or_else(|| found.missing(number))?;
        let stretches = [(base, base + PAGE)]
            .into_iter()
            .chain((from..end).step_by(AGAIN_BYTES as usize).map(|from| (from, end.min(from + AGAIN_BYTES))));
        for (from, end) in stretches {
            let (from, end) = (from - base, end - base);
            let bytes = (*map).as_ref()[from as usize..end as usize].to_vec();
            found.write(number, &bytes, from)?;
        }
        from = identity.start(number + 1);
    }
    Ok(())
}

/// Makes a segment at once.
fn create(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    header: &SegmentHeader,
    spares: &mut VecDeque<Spare>,
) -> Result<Arc<dyn DiskFile>, StorageError> {
    let bytes = header.identity.segment_bytes;
    let (name, filled, how) = match spares.pop_front() {
        Some(spare) => (spare.name, spare.filled, How::Write),
        None => (new_name(header.number), 0, How::Create),
    };
    let path = directory.join(&name);
    let file = disk.open(&path, how).map_err(|error| StorageError::io("create", &path, error))?;
    if filled < bytes {
        file.fill_zeros(bytes).and_then(|()| file.sync()).map_err(|error| {
            match StorageError::io("write", &path, error) {
                StorageError::Full { path, free, .. } => StorageError::Full { path, needed: bytes, free },
                other => other,
            }
        })?;
    }
    header.put(&*file, &path)?;
    let live = directory.join(live_name(header.number));
    disk.rename(&path, &live).map_err(|error| StorageError::io("rename", &path, error))?;
    disk.sync_directory(directory).map_err(|error| StorageError::io("sync", directory, error))?;
    Ok(file)
}
