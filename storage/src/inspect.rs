//! Looking at a log from outside: what tools show of it, group by group, without opening it for appending and
//! without changing it.
//!
//! A [`LogScan`] needs to know whose log it looks at and nothing more: the size of the segments stands in their
//! headers. It walks the same way as recovery does, with the same checks, so what it shows is what a start would
//! find.
//!
//! A log that a job appends to meanwhile is read from its files alone, and the scan ends where they end
//! ([`Look::Beside`]). The job may recycle a segment under the scan, which then reports damage that is none: look
//! again.

use crate::StorageError;
use crate::disk::{Disk, How};
use crate::entry::{self, Bad, Entry, HEADER, Kind};
use crate::find::find;
use crate::group::{self, GROUP_BYTES, Group};
use crate::log::{Durability, LogOptions};
use crate::mark::{self, Kept};
use crate::reader::{kept, look_at_ring, no_ring};
use crate::recover::Torn;
use crate::segment::{self, FirstPage, Identity, PAGE, SegmentHeader};
use crate::walk::{Walk, reason, short};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether anybody writes the log while it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody does: the staging ring that a killed process has left is looked at, too.
    Alone,
    /// A job does: files only.
    Beside,
}

/// A file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// The segment's number.
    pub number: u64,
    /// Its file.
    pub path: PathBuf,
    /// The file's length.
    pub bytes: u64,
}

/// A group that was checked from end to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupFacts {
    /// 1, 2, 3, … over the whole log.
    pub sequence: u64,
    /// Where it is in the log.
    pub position: u64,
    /// The number of its segment.
    pub segment: u64,
    /// Bytes from its beginning to the end of its entries.
    pub bytes: u64,
    /// How many entries it has.
    pub entries: u64,
    /// The tick of the last entry before it.
    pub tick_before: u64,
    /// The tick of its first entry.
    pub first_tick: Option<u64>,
    /// The tick of its last entry, or of the last one before it.
    pub last_tick: u64,
    /// Output was released through this tick when the group was begun.
    pub released: u64,
    /// It is in the staging ring, and not yet in a file.
    pub is_staged: bool,
}

/// A walk through a log.
///
/// ```
/// use pelton_storage::disk::{Disk, Faults, Simulated};
/// use pelton_storage::{Durability, Kind, Log, LogOptions, LogScan, Look};
/// use std::{path::Path, sync::Arc};
///
/// let disk: Arc<dyn Disk> = Arc::new(Simulated::new(1, Faults::default()));
/// let directory = Path::new("/data/log/g0000/shard-0003");
/// let options = LogOptions { durability: Durability::Disk, segment_bytes: 1 << 20, id: 7, generation: 0, shard: 3 };
/// let (mut log, _) = Log::open(&disk, directory, &options)?;
/// log.append(1, Kind::Tick, b"hello");
/// log.sync()?;
///
/// let mut scan = LogScan::open(&disk, directory, 7, 0, 3, Look::Alone)?.unwrap();
/// assert_eq!(scan.options(), &options);
/// let group = scan.group()?.unwrap();
/// assert_eq!((group.sequence, group.entries, group.first_tick), (1, 1, Some(1)));
/// assert_eq!(scan.entries().next().unwrap().payload, b"hello");
/// # Ok::<(), pelton_storage::StorageError>(())
/// ```
pub struct LogScan {
    walk: Walk,
    options: LogOptions,
    look: Look,
    /// Why the staging ring was not looked at, though there should be one.
    unseen: Option<StorageError>,
    has_ring: bool,
    /// Whether the log's mark is of this boot.
    certain: bool,
    group: Option<Group>,
}

impl LogScan {
    /// Begins with the oldest segment in use; `None` if there is no log in `directory`.
    ///
    /// # Errors
    /// As [`Log::open`](crate::Log::open), for what was looked at so far.
    pub fn open(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        id: u128,
        generation: u32,
        shard: u16,
        look: Look,
    ) -> Result<Option<Self>, StorageError> {
        LogScan::open_to(disk, directory, (id, generation, shard), look, Kept::default())
    }

    /// As [`open`](Self::open), for a log of which others say how far it was kept; see [`proofs`](crate::proofs).
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_to(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        (id, generation, shard): (u128, u32, u16),
        look: Look,
        at_least: Kept,
    ) -> Result<Option<Self>, StorageError> {
        let Some(segment_bytes) = segment_bytes(disk, directory)? else {
            // Nothing says whose log it is; but if anything was kept in it, it should be there.
            let identity = Identity { id, generation, shard, segment_bytes: LogOptions::SEGMENT_BYTES };
            let mark = mark::read(&**disk, &mark::path_of(directory), &identity)?;
            let boot = segment::boot(&disk.boot_id());
            let kept = mark.map_or(Kept::default(), |mark| mark.kept(boot)).max(at_least);
            let missing = kept.position.saturating_sub(identity.start(0));
            if missing == 0 || look == Look::Beside {
                return Ok(None);
            }
            let path = directory.join(segment::live_name(0));
            return Err(short(path, shard, (PAGE, 0), (missing, kept.tick)));
        };
        let mut options = LogOptions { durability: Durability::Disk, segment_bytes, id, generation, shard };
        let mark = mark::read(&**disk, &mark::path_of(directory), &options.identity())?;
        let found = find(disk, directory, &options.identity(), How::Read)?;
        options.durability = found.durability.unwrap_or(options.durability);
        let (mut ring, mut unseen) = (None, None);
        if found.durability.is_none() && look == Look::Alone {
            unseen = no_ring(disk, directory, &found).err();
        }
        if found.durability == Some(Durability::Process) && look == Look::Alone {
            match look_at_ring(disk, directory, &found) {
                Ok(looked) => ring = looked,
                // A ring of another user, or one that is damaged: the files can be shown all the same.
                Err(error) => unseen = Some(error),
            }
        }
        let own = kept(&**disk, directory, mark.as_ref(), &found)?;
        let boot = segment::boot(&disk.boot_id());
        let certain = mark.is_some_and(|mark| mark.boot != 0 && mark.boot == boot);
        let (has_ring, first) = (ring.is_some(), found.first());
        let kept = match look {
            // What the job marks meanwhile may be ahead of what was looked at.
            Look::Beside => Kept::default(),
            Look::Alone => own.max(at_least),
        };
        let walk = Walk::new(found, ring, first, kept);
        Ok(Some(LogScan { walk, options, look, unseen, has_ring, certain, group: None }))
    }

    /// Whose log it is and how it is kept, as its files say.
    pub fn options(&self) -> &LogOptions {
        &self.options
    }

    /// The segments in use, and those that are ready to be.
    pub fn segments(&self) -> impl Iterator<Item = SegmentFacts> {
        let found = &self.walk.found;
        found.segments.iter().map(|(&number, segment)| SegmentFacts {
            number,
            path: found.path(number),
            bytes: segment.len,
        })
    }

    /// How many files wait to be used again, and their bytes.
    pub fn spares(&self) -> (usize, u64) {
        let leftovers = &self.walk.found.leftovers;
        (leftovers.len(), leftovers.iter().map(|file| file.len).sum())
    }

    /// Whether entries may be missing at the end: they are kept in a staging ring, and it is not there.
    pub fn is_ring_lost(&self) -> bool {
        self.options.durability == Durability::Process && self.look == Look::Alone && !self.has_ring
    }

    /// Why the staging ring was not looked at, though there is one.
    pub fn unseen(&self) -> Option<&StorageError> {
        self.unseen.as_ref()
    }

    /// Checks the next group; `None` at the end of the log.
    ///
    /// # Errors
    /// When it is damaged or missing, though later ones are there.
    pub fn group(&mut self) -> Result<Option<GroupFacts>, StorageError> {
        self.group = match self.walk.step() {
            // The job has gone on to a segment that was not there yet when the scan began.
            Err(StorageError::Missing { .. }) if self.look == Look::Beside => None,
            group => group?,
        };
        let Some(group) = self.group else { return Ok(None) };
        let opening = group.opening;
        Ok(Some(GroupFacts {
            sequence: opening.sequence,
            position: opening.position,
            segment: self.options.identity().segment(opening.position),
            bytes: group.entries_end - opening.position,
            entries: group.entries,
            tick_before: opening.tick_before,
            first_tick: group.first_tick,
            last_tick: group.last_tick,
            released: opening.released,
            is_staged: self.walk.is_in_ring(opening.position),
        }))
    }

    /// The entries of the group that [`group`](Self::group) returned last.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let (mut at, end) = match &self.group {
            Some(group) => (group.opening.position + GROUP_BYTES, group.entries_end),
            None => (0, 0),
        };
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let header = entry::fields(self.walk.bytes(at, at + HEADER as u64));
            let (position, from) = (at, at + HEADER as u64);
            at += entry::bytes(header.len) as u64;
            let kind = Kind::from_raw(header.kind).expect("the group was checked");
            let payload = self.walk.bytes(from, from + header.len as u64);
            Some(Entry { tick: header.tick, kind, position, payload })
        })
    }

    /// What was cut short behind the end of the log, to which [`group`](Self::group) must have come: a start would
    /// erase it. Beside a job this may be the group that is being written.
    ///
    /// # Errors
    /// When a segment cannot be mapped.
    pub fn torn(&self) -> Result<Option<Torn>, StorageError> {
        if self.has_ring {
            return Ok(None);
        }
        let (identity, end) = (self.options.identity(), self.walk.position);
        let current = identity.segment(end);
        let bad = self.walk.fault.map_or(Bad::Nothing, |fault| fault.bad);
        let mut found = bad != Bad::Nothing;
        for &number in self.walk.found.segments.keys().filter(|&&number| number >= current) {
            let from = if number == current { (end - identity.base(current)).max(PAGE) } else { PAGE };
            if let Some(map) = self.walk.found.map(number)? {
                found |= !group::traces(&identity, (*map).as_ref(), number, from).is_empty();
            }
        }
        let torn = || Torn {
            path: self.walk.found.path(current),
            at: end - identity.base(current),
            reason: reason(bad),
            certain: self.certain,
        };
        Ok(found.then(torn))
    }
}

/// The size of the segments in `directory`: what the first sound header says, or else the length of the first file.
fn segment_bytes(disk: &Arc<dyn Disk>, directory: &Path) -> Result<Option<u64>, StorageError> {
    let names = match disk.list(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names.map_err(|error| StorageError::io("list", directory, error))?,
    };
    let mut length = None;
    for name in names.into_iter().filter(|name| segment::is_ours(name)) {
        let path = directory.join(&name);
        let file = disk.open(&path, How::Read).map_err(|error| StorageError::io("open", &path, error))?;
        let len = file.len().map_err(|error| StorageError::io("look at", &path, error))?;
        let mut page = vec![0; PAGE.min(len) as usize];
        file.read_at(&mut page, 0).map_err(|error| StorageError::io("read", &path, error))?;
        let (found, sound) = match SegmentHeader::read(&page) {
            FirstPage::Newer(found) => {
                return Err(StorageError::Newer {
                    what: "log segment",
                    path,
                    found,
                    known: segment::VERSION,
                });
            }
            FirstPage::Header(header) => (header.identity.segment_bytes, true),
            FirstPage::Other { .. } => (len, false),
        };
        let range = LogOptions::SEGMENT_BYTES_MIN..=LogOptions::SEGMENT_BYTES_MAX;
        if range.contains(&found) && found.is_multiple_of(PAGE) {
            if sound {
                return Ok(Some(found));
            }
            length = length.or(Some(found));
        } else if sound {
            return Err(StorageError::Damaged {
                what: "header of a log segment",
                path,
                at: 40,
                expected: "a size of segments from 64 KiB to 1 GiB".into(),
                found: found.to_string(),
                advice: "No version has written such a header: put back a good copy of the file.",
            });
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Crash, Faults, Simulated};
    use crate::log::Log;

    const DIRECTORY: &str = "/data/log/g0001/shard-0002";

    fn options(durability: Durability) -> LogOptions {
        LogOptions { durability, segment_bytes: 64 << 10, id: 9, generation: 1, shard: 2 }
    }

    fn open(machine: &Simulated, look: Look) -> Result<Option<LogScan>, StorageError> {
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        LogScan::open(&disk, Path::new(DIRECTORY), 9, 1, 2, look)
    }

    fn written(machine: &Simulated, durability: Durability, ticks: std::ops::RangeInclusive<u64>) -> Log {
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options(durability)).unwrap();
        for tick in ticks {
            while log.room() < 1_000 {
                log.turn(0).unwrap();
                log.wait(std::time::Duration::from_millis(1)).unwrap();
            }
            log.append(tick, Kind::Tick, &[tick as u8; 1_000]);
            log.turn(tick.saturating_sub(2)).unwrap();
        }
        log
    }

    fn ticks(scan: &mut LogScan) -> Vec<u64> {
        let mut ticks = Vec::new();
        let mut sequence = 0;
        while let Some(group) = scan.group().unwrap() {
            assert_eq!(group.sequence, sequence + 1);
            sequence = group.sequence;
            let entries: Vec<_> = scan.entries().map(|entry| entry.tick).collect();
            assert_eq!(group.entries, entries.len() as u64);
            assert_eq!(group.first_tick, entries.first().copied());
            ticks.extend(entries);
        }
        assert_eq!(scan.entries().count(), 0, "no group, no entries");
        ticks
    }

    #[test]
    fn a_directory_without_a_log_is_none() {
        let machine = Simulated::new(1, Faults::default());
        assert!(open(&machine, Look::Alone).unwrap().is_none());
        machine.create_directory(Path::new(DIRECTORY)).unwrap();
        assert!(open(&machine, Look::Alone).unwrap().is_none());
    }

    #[test]
    fn a_scan_sees_what_was_appended_over_several_segments() {
        let machine = Simulated::new(1, Faults::default());
        written(&machine, Durability::Disk, 1..=200).sync().unwrap();
        let mut scan = open(&machine, Look::Alone).unwrap().unwrap();
        assert_eq!(scan.options(), &options(Durability::Disk));
        assert!(scan.segments().count() >= 4);
        assert_eq!(ticks(&mut scan), (1..=200).collect::<Vec<_>>());
        assert_eq!((scan.torn().unwrap(), scan.is_ring_lost()), (None, false));
    }

    #[test]
    fn what_is_only_staged_is_seen_when_nobody_writes() {
        let machine = Simulated::new(1, Faults::default());
        drop(written(&machine, Durability::Process, 1..=3));
        machine.crash(Crash::Process);
        let mut scan = open(&machine, Look::Alone).unwrap().unwrap();
        assert_eq!(ticks(&mut scan), [1, 2, 3]);
        assert!(!scan.is_ring_lost());
        let mut beside = open(&machine, Look::Beside).unwrap().unwrap();
        assert_eq!(ticks(&mut beside), Vec::<u64>::new());

        machine.crash(Crash::Power);
        let mut scan = open(&machine, Look::Alone).unwrap().unwrap();
        assert_eq!(ticks(&mut scan), Vec::<u64>::new());
        assert!(scan.is_ring_lost());
    }

    #[test]
    fn a_torn_tail_is_shown_where_recovery_would_erase_it() {
        let mut torn = 0;
        for seed in 0..60 {
            let machine = Simulated::new(seed, Faults { slow: 0..40, ..Faults::default() });
            let under_way = written(&machine, Durability::Disk, 1..=20);
            machine.crash(Crash::Power);
            drop(under_way);
            let mut scan = open(&machine, Look::Alone).unwrap().unwrap();
            let seen = ticks(&mut scan);
            let shown = scan.torn().unwrap();
            let disk: Arc<dyn Disk> = Arc::new(machine.clone());
            let (_, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options(Durability::Disk)).unwrap();
            assert_eq!(shown, recovered.torn, "seed {seed}");
            assert_eq!(seen.len() as u64, recovered.entries, "seed {seed}");
            torn += usize::from(shown.is_some());
        }
        assert!(torn > 0, "no seed tears a write");
    }

    #[test]
    fn a_log_of_another_job_is_refused() {
        let machine = Simulated::new(1, Faults::default());
        written(&machine, Durability::Disk, 1..=2).sync().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        let error = LogScan::open(&disk, Path::new(DIRECTORY), 8, 1, 2, Look::Alone).err().unwrap();
        assert!(matches!(error, StorageError::Foreign { field: "log id", .. }), "{error}");
    }

    #[test]
    fn damage_before_later_groups_is_an_error() {
        let machine = Simulated::new(1, Faults::default());
        written(&machine, Durability::Disk, 1..=10).sync().unwrap();
        let path = Path::new(DIRECTORY).join(segment::live_name(0));
        machine.open(&path, How::Write).unwrap().write_at(b"x", PAGE + 70).unwrap();
        let error = open(&machine, Look::Alone).unwrap().unwrap().group().unwrap_err();
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    }
}
