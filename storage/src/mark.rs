//! Marks: how far something was kept, written down outside of it.
//!
//! ```text
//! DATA/MANIFEST.stored                      which manifest was stored last
//! DATA/log/g0000/shard-0003.durable         how far the log of shard 3 was kept
//! DATA/log/g0000/all.durable                how far all logs were kept, at some moment of the last few milliseconds
//!
//!  0             8        12     16         32       40         48     56     64       68      70     72      74      76  80        88      96         512
//!  +-------------+--------+------+--- .. ---+--------+----------+------+------+--------+-------+------+-------+-------+---+---------+-------+--- .. ---+
//!  |  PELTONMK   |version | crc  |  log id  | number | position | tick | boot | gener. | shard | kind | count | first | 0 | durable | tick  |  others  |
//!  +-------------+--------+------+--- .. ---+--------+----------+------+------+--------+-------+------+-------+-------+---+---------+-------+--- .. ---+
//!  crc       CRC32C of bytes 0..12 and 16..512      number    1, 2, 3, ...; number n stands in slot n % 2, at byte 512 * (n % 2)
//!  position  the log was kept through here, tick being that of the last entry before it: 8 bytes each, as are the following two
//!  durable   it was on disk through here, and through that tick; with `disk` the same
//!  kind      1 position and others are in memory that outlives the process: true in that boot only   2 on disk: true for ever
//!  others    how far the logs of shards first, first + 1, ... were kept, count of them
//! ```
//!
//! A log's last group is either incomplete because its write was cut short, or damaged after it was acknowledged. Nothing in the log itself
//! can tell: the mark does. It is written after a flush has completed and before anybody is told of it, so
//!
//! 1. what lies before the position of a mark was kept, whatever else is lost: not to find it is damage;
//! 2. what lies behind the mark of a process that was killed was never acknowledged.
//!
//! A mark goes into the page cache by one write of one sector, which no kill cuts in two, and is not flushed for its own sake: that would be
//! a second flush for each group. So after the loss of power a mark may be older than the log, and the first rule alone holds. Two slots take
//! turns, so one whole mark is there at any time. Marks of other shards carry this one's position too, and the [`Witness`] that of all, as of
//! a moment before: a log that is put back from an older copy together with its own mark is found out by those, unless all that it lacks
//! was acknowledged after that moment.

use crate::StorageError;
use crate::directory::log_directory;
use crate::disk::{Disk, DiskFile, How};
use crate::entry::{u32_at, u64_at};
use crate::log::Durability;
use crate::segment::{self, Identity};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The version that this code writes, and the latest that it reads.
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"PELTONMK";
/// Bytes of a slot: what a disk writes wholly or not at all.
const SLOT: usize = 512;
const OTHERS: usize = 96;
/// The positions of so many other logs have room in a mark.
const OTHERS_MAX: usize = (SLOT - OTHERS) / 8;
/// The shard in the manifest's mark.
const NO_SHARD: u16 = u16::MAX;
/// Directories above a mark whose names are made durable with it.
const PARENTS: usize = 3;

const ADVICE: &str = "It says how far the log was kept, and without it a loss could not be told from a write that was cut short: put \
                      back the file, or start from a savepoint (`restore`).";

/// How far each shard's log of a generation was kept, in memory: each log stores its own position here and puts the others' into its marks.
pub type Positions = Arc<[AtomicU64]>;

/// How far a log is known to have been kept. What says so lies outside of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Everything before this position.
    pub position: u64,
    /// That is, entries through about this tick.
    pub tick: u64,
}

impl Kept {
    /// The further of both.
    #[must_use]
    pub fn max(self, other: Kept) -> Kept {
        if other.position > self.position { other } else { self }
    }
}

/// A mark, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) number: u64,
    kept: Kept,
    durable: Kept,
    pub(crate) boot: u64,
    kind: Durability,
    first: u16,
    others: Vec<u64>,
}

impl Mark {
    /// How far the log was kept, seen in a boot of that number.
    pub(crate) fn kept(&self, boot: u64) -> Kept {
        if self.holds(boot) { self.kept.max(self.durable) } else { self.durable }
    }

    /// How far the log is on disk.
    pub(crate) fn durable(&self) -> Kept {
        self.durable
    }

    /// Whether all that it says is still true, in a boot of that number.
    pub(crate) fn holds(&self, boot: u64) -> bool {
        self.kind == Durability::Disk || self.boot != 0 && self.boot == boot
    }

    /// What it says of the log of another shard.
    pub(crate) fn position_of(&self, shard: u16) -> Option<u64> {
        self.others.get(usize::from(shard.checked_sub(self.first)?)).copied()
    }
}

/// Where the mark of the log in `directory` is.
pub(crate) fn path_of(directory: &Path) -> PathBuf {
    directory.with_extension("durable")
}

fn checksum(slot: &[u8; SLOT]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&slot[..12]), &slot[16..])
}

/// The mark of a file that is open for writing.
pub(crate) struct MarkFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    id: u128,
    generation: u32,
    shard: u16,
    boot: u64,
    number: u64,
}

impl MarkFile {
    /// Opens the mark at `path` of the log `identity`, or makes it, durable, for a log that is kept through `position`. `before` is what was
    /// read there.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &Path,
        identity: &Identity,
        boot: u64,
        before: Option<&Mark>,
        position: u64,
    ) -> Result<MarkFile, StorageError> {
        let Identity { id, generation, shard, .. } = *identity;
        MarkFile::at(disk, path, (id, generation, shard), boot, before.map(|mark| mark.number), position)
    }

    fn at(
        disk: &dyn Disk,
        path: &Path,
        (id, generation, shard): (u128, u32, u16),
        boot: u64,
        before: Option<u64>,
        position: u64,
    ) -> Result<MarkFile, StorageError> {
        let refused = |action| move |error| StorageError::io(action, path, error);
        let file = match disk.open(path, How::Write) {
            Err(error) if error.kind() == ErrorKind::NotFound => disk.open(path, How::Create),
            opened => opened,
        };
        let file = file.map_err(refused("create"))?;
        let number = before.unwrap_or(0);
        let mut mark = MarkFile { file, path: path.to_path_buf(), id, generation, shard, boot, number };
        if before.is_none() {
            // Whatever an attempt that was cut short has left there.
            mark.file.write_at(&[0; 2 * SLOT], 0).map_err(refused("write"))?;
            let kept = Kept { position, tick: 0 };
            mark.write(kept, kept, Durability::Disk, None)?;
            mark.sync()?;
            for directory in path.ancestors().skip(1).take(1 + PARENTS).filter(|path| path.parent().is_some())
            {
                disk.sync_directory(directory).map_err(|error| StorageError::io("sync", directory, error))?;
            }
        }
        Ok(mark)
    }

    /// Says how far the log is kept, and how much of that is on disk. One write into the page cache; nothing is flushed.
    pub(crate) fn write(
        &mut self,
        kept: Kept,
        durable: Kept,
        kind: Durability,
        positions: Option<&Positions>,
    ) -> Result<(), StorageError> {
        self.number += 1;
        let mut slot = [0; SLOT];
        slot[..8].copy_from_slice(MAGIC);
        slot[8..12].copy_from_slice(&VERSION.to_le_bytes());
        slot[16..32].copy_from_slice(&self.id.to_le_bytes());
        let words = [self.number, kept.position, kept.tick, self.boot];
        for (place, word) in slot[32..64].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        slot[64..68].copy_from_slice(&self.generation.to_le_bytes());
        slot[68..70].copy_from_slice(&self.shard.to_le_bytes());
        slot[70..72].copy_from_slice(&(kind as u16).to_le_bytes());
        slot[80..88].copy_from_slice(&durable.position.to_le_bytes());
        slot[88..96].copy_from_slice(&durable.tick.to_le_bytes());
        let positions = positions.map_or(&[][..], |positions| &positions[..]);
        // Of more than have room, another stretch each time.
        let stretches = positions.len().div_ceil(OTHERS_MAX).max(1);
        let first = self.number as usize % stretches * OTHERS_MAX;
        let others = &positions[first..positions.len().min(first + OTHERS_MAX)];
        slot[72..74].copy_from_slice(&(others.len() as u16).to_le_bytes());
        slot[74..76].copy_from_slice(&(first as u16).to_le_bytes());
        for (place, other) in slot[OTHERS..].chunks_exact_mut(8).zip(others) {
            place.copy_from_slice(&other.load(Ordering::Acquire).to_le_bytes());
        }
        let crc = checksum(&slot);
        slot[12..16].copy_from_slice(&crc.to_le_bytes());
        let written = self.file.write_at(&slot, self.number % 2 * SLOT as u64);
        written.map_err(|error| StorageError::io("write", &self.path, error))
    }

    /// Makes the last mark durable.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        self.file.sync().map_err(|error| StorageError::io("sync", &self.path, error))
    }
}

/// What the logs of a generation had kept at some moment, written down by one who looks at them now and then and has no part in any of them: it
/// still knows when a log that all the others wait for is put back from an older copy together with its mark.
pub struct Witness {
    mark: MarkFile,
    seen: Vec<u64>,
}

impl Witness {
    /// The file is made if it is not there.
    ///
    /// # Errors
    /// When the disk refuses, or the file is another job's.
    pub fn open(disk: &dyn Disk, data: &Path, id: u128, generation: u32) -> Result<Witness, StorageError> {
        let path = witness_path(data, generation);
        // It is only evidence: what is damaged says nothing, and is written anew. Nor does anybody wait for it to be on the disk.
        let before = match read_of(disk, &path, (id, generation, NO_SHARD)) {
            Err(StorageError::Damaged { .. }) => 0,
            read => read?.map_or(0, |mark| mark.number),
        };
        let boot = segment::boot(&disk.boot_id());
        let mark = MarkFile::at(disk, &path, (id, generation, NO_SHARD), boot, Some(before), 0)?;
        Ok(Witness { mark, seen: Vec::new() })
    }

    /// Writes down how far the logs are kept, which is through about this tick, if any has moved since, and once all of them are open: one write into
    /// the page cache.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&mut self, positions: &Positions, tick: u64, kind: Durability) -> Result<(), StorageError> {
        let now: Vec<u64> = positions.iter().map(|position| position.load(Ordering::Acquire)).collect();
        if now == self.seen || now.contains(&0) {
            return Ok(());
        }
        self.seen = now;
        let about = Kept { position: 0, tick };
        self.mark.write(about, about, kind, Some(positions))
    }
}

fn witness_path(data: &Path, generation: u32) -> PathBuf {
    log_directory(data, generation, 0).with_file_name("all.durable")
}

/// What the witness of a generation says; `None` if it says nothing.
pub(crate) fn witnessed(
    disk: &dyn Disk,
    data: &Path,
    id: u128,
    generation: u32,
) -> Result<Option<Mark>, StorageError> {
    match read_of(disk, &witness_path(data, generation), (id, generation, NO_SHARD)) {
        Err(StorageError::Damaged { .. }) => Ok(None),
        read => read,
    }
}

/// Reads the mark of the log `identity` at `path`; `None` if there is none, or one that was only begun: no segment had been made then.
///
/// # Errors
/// When neither slot is whole, or it is another log's.
pub(crate) fn read(disk: &dyn Disk, path: &Path, identity: &Identity) -> Result<Option<Mark>, StorageError> {
    let Identity { id, generation, shard, .. } = *identity;
    read_of(disk, path, (id, generation, shard))
}

fn read_of(
    disk: &dyn Disk,
    path: &Path,
    (id, generation, shard): (u128, u32, u16),
) -> Result<Option<Mark>, StorageError> {
    let file = match disk.open(path, How::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| StorageError::io("open", path, error))?,
    };
    let look = || -> io::Result<[u8; 2 * SLOT]> {
        let mut bytes = [0; 2 * SLOT];
        let len = file.len()?.min(bytes.len() as u64) as usize;
        file.read_at(&mut bytes[..len], 0)?;
        Ok(bytes)
    };
    let bytes = look().map_err(|error| StorageError::io("read", path, error))?;
    let mut newest: Option<Mark> = None;
    for slot in bytes.as_chunks::<SLOT>().0 {
        if slot[..8] != *MAGIC || u32_at(slot, 12) != checksum(slot) {
            continue;
        }
        let version = u32_at(slot, 8);
        if version > VERSION {
            return Err(StorageError::Newer {
                what: "mark",
                path: path.into(),
                found: version,
                known: VERSION,
            });
        }
        let found = u128::from_le_bytes(*slot[16..].first_chunk().expect("a slot is longer"));
        let short = |at: usize| u16::from_le_bytes([slot[at], slot[at + 1]]);
        let fields = [
            ("log id", format!("{id:032x}"), format!("{found:032x}")),
            ("generation", generation.to_string(), u32_at(slot, 64).to_string()),
            ("shard", shard.to_string(), short(68).to_string()),
        ];
        if let Some((field, expected, found)) =
            fields.into_iter().find(|(_, expected, found)| expected != found)
        {
            return Err(StorageError::Foreign { what: "mark", path: path.into(), field, expected, found });
        }
        let kind = if short(70) == Durability::Disk as u16 { Durability::Disk } else { Durability::Process };
        let count = usize::from(short(72)).min(OTHERS_MAX);
        let mark = Mark {
            number: u64_at(slot, 32),
            kept: Kept { position: u64_at(slot, 40), tick: u64_at(slot, 48) },
            durable: Kept { position: u64_at(slot, 80), tick: u64_at(slot, 88) },
            boot: u64_at(slot, 56),
            kind,
            first: short(74),
            others: (0..count).map(|other| u64_at(slot, OTHERS + 8 * other)).collect(),
        };
        if newest.as_ref().is_none_or(|newest| newest.number < mark.number) {
            newest = Some(mark);
        }
    }
    if newest.is_none() && bytes.iter().any(|&byte| byte != 0) {
        return Err(StorageError::Damaged {
            what: "mark",
            path: path.to_path_buf(),
            at: 0,
            expected: "a slot with a right checksum".into(),
            found: "none".into(),
            advice: ADVICE,
        });
    }
    Ok(newest)
}

/// The error for a log whose mark is not there.
pub(crate) fn missing(path: &Path) -> StorageError {
    StorageError::Missing { what: "mark of a log", path: path.to_path_buf(), advice: ADVICE }
}

/// Where the manifest of a data directory was said to be stored.
fn stored_path(data: &Path) -> PathBuf {
    data.join("MANIFEST.stored")
}

/// The number of the manifest that was stored last, as far as that is known; 0 if nothing is.
pub(crate) fn stored(disk: &dyn Disk, data: &Path, id: u128) -> Result<u64, StorageError> {
    let mark = read_of(disk, &stored_path(data), (id, 0, NO_SHARD));
    match mark {
        Ok(mark) => Ok(mark.map_or(0, |mark| mark.durable.position)),
        // It is only evidence: what it says no more it does not say.
        Err(StorageError::Damaged { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Notes that a manifest was stored, durably, under that number.
pub(crate) fn store(disk: &dyn Disk, data: &Path, id: u128, number: u64) -> Result<(), StorageError> {
    let path = stored_path(data);
    let before = match read_of(disk, &path, (id, 0, NO_SHARD)) {
        Err(StorageError::Damaged { .. }) => None,
        // Numbered as if there were none, this one would count for less than what is there.
        read => read?.map(|mark| mark.number),
    };
    let mut mark = MarkFile::at(disk, &path, (id, 0, NO_SHARD), 0, before, 0)?;
    let kept = Kept { position: number, tick: 0 };
    mark.write(kept, kept, Durability::Disk, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Crash, Faults, Simulated};
    use crate::manifest::Manifest;

    const IDENTITY: Identity = Identity { id: 77 << 64, generation: 3, shard: 2, segment_bytes: 64 << 10 };

    fn place() -> (Simulated, PathBuf) {
        let machine = Simulated::new(1, Faults::default());
        machine.create_directory(Path::new("/data/log/g0003")).unwrap();
        (machine, path_of(Path::new("/data/log/g0003/shard-0002")))
    }

    fn kept(machine: &Simulated, path: &Path) -> Option<Kept> {
        read(machine, path, &IDENTITY).unwrap().map(|mark| mark.kept(9))
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let (machine, path) = place();
        assert_eq!(path, Path::new("/data/log/g0003/shard-0002.durable"));
        assert_eq!(kept(&machine, &path), None);
        let mut mark = MarkFile::open(&machine, &path, &IDENTITY, 9, None, 4_096).unwrap();
        assert_eq!(kept(&machine, &path), Some(Kept { position: 4_096, tick: 0 }));
        for position in 2..9 {
            let new = Kept { position: position * 4_096, tick: position };
            let old = kept(&machine, &path).unwrap();
            mark.write(new, new, Durability::Disk, None).unwrap();
            assert_eq!(kept(&machine, &path), Some(new));
            let file = machine.open(&path, How::Write).unwrap();
            let mut bytes = [0; 2 * SLOT];
            file.read_at(&mut bytes, 0).unwrap();
            // Any byte of the newest: the one before it counts.
            let newest = mark.number as usize % 2 * SLOT;
            for at in newest..newest + SLOT {
                file.write_at(&[bytes[at] ^ 0x21], at as u64).unwrap();
                assert_eq!(kept(&machine, &path), Some(old), "byte {at}");
                file.write_at(&bytes[at..=at], at as u64).unwrap();
            }
        }
        let file = machine.open(&path, How::Write).unwrap();
        file.write_at(&[1], 20).unwrap();
        file.write_at(&[1], 20 + SLOT as u64).unwrap();
        let error = read(&machine, &path, &IDENTITY).unwrap_err();
        assert!(matches!(error, StorageError::Damaged { what: "mark", .. }), "{error}");
    }

    #[test]
    fn others_stand_in_it_however_many_there_are() {
        for count in [0, 1, OTHERS_MAX - 1, OTHERS_MAX, OTHERS_MAX + 1, 3 * OTHERS_MAX] {
            let (machine, path) = place();
            let mut mark = MarkFile::open(&machine, &path, &IDENTITY, 9, None, 4_096).unwrap();
            let positions: Positions = (0..count as u64).map(|n| AtomicU64::new(n * 16)).collect();
            let mut seen = vec![false; count];
            for _ in 0..6 {
                let (kept, durable) = (Kept { position: 80, tick: 3 }, Kept { position: 16, tick: 2 });
                mark.write(kept, durable, Durability::Process, Some(&positions)).unwrap();
                let read = read(&machine, &path, &IDENTITY).unwrap().unwrap();
                for (shard, seen) in (0..).zip(&mut seen) {
                    if let Some(position) = read.position_of(shard) {
                        assert_eq!(position, u64::from(shard) * 16);
                        *seen = true;
                    }
                }
                assert!(read.position_of(count as u16).is_none());
                assert_eq!([9, 8, 0].map(|boot| read.kept(boot)), [kept, durable, durable]);
                assert!(read.holds(9) && !read.holds(8) && !read.holds(0));
            }
            assert!(seen.into_iter().all(|seen| seen), "{count}");
        }
    }

    /// A log of which nobody else has heard for long is put back from an older copy, together with its mark.
    #[test]
    fn the_witness_knows_what_a_log_and_its_mark_have_forgotten() {
        let (data, id) = (Path::new("/data"), 77 << 64);
        let manifest = Manifest { log_id: id, shards: 2, begun: true, generation: 3, ..Manifest::default() };
        for kind in [Durability::Disk, Durability::Process] {
            let machine = Simulated::new(1, Faults::default());
            let disk: Arc<dyn Disk> = Arc::new(machine.clone());
            let boot = segment::boot(&machine.boot_id());
            let positions: Positions = [4_096, 0].map(AtomicU64::new).into();
            machine.create_directory(Path::new("/data/log/g0003")).unwrap();
            for shard in 0..2 {
                let (identity, path) =
                    (Identity { shard, ..IDENTITY }, path_of(&log_directory(data, 3, shard)));
                MarkFile::open(&machine, &path, &identity, boot, None, 4_096).unwrap();
            }
            let known = |disk: &Arc<dyn Disk>| {
                let proofs = crate::proofs(disk, data, &manifest).unwrap();
                proofs.into_iter().map(|proof| (proof.kept.position, proof.kept.tick)).collect::<Vec<_>>()
            };
            let mut witness = Witness::open(&machine, data, id, 3).unwrap();
            witness.note(&positions, 1, kind).unwrap();
            assert_eq!(known(&disk), [(4_096, 0); 2], "one log is not open yet: nothing is written");
            positions[1].store(90_000, Ordering::Release);
            witness.note(&positions, 7, kind).unwrap();
            witness.note(&positions, 8, kind).unwrap();
            assert_eq!(known(&disk), [(4_096, 0), (90_000, 7)]);
            // The next run's goes on from there.
            drop(witness);
            let mut witness = Witness::open(&machine, data, id, 3).unwrap();
            assert_eq!(known(&disk), [(4_096, 0), (90_000, 7)]);
            positions[0].store(5_000, Ordering::Release);
            witness.note(&positions, 9, kind).unwrap();
            assert_eq!(known(&disk), [(5_000, 9), (90_000, 9)]);
            // What is damaged says nothing, refuses nothing, and is written anew.
            let file = machine.open(&witness_path(data, 3), How::Write).unwrap();
            file.write_at(&[1; 2 * SLOT], 0).unwrap();
            assert_eq!(known(&disk), [(4_096, 0); 2]);
            Witness::open(&machine, data, id, 3).unwrap().note(&positions, 10, kind).unwrap();
            assert_eq!(known(&disk), [(5_000, 10), (90_000, 10)]);
            // Memory that outlives a process does not outlive the machine.
            machine.crash(Crash::Power);
            assert!(kind == Durability::Disk || known(&disk) == [(4_096, 0); 2]);
        }
    }

    #[test]
    fn a_mark_is_never_ahead_of_what_was_marked_whatever_is_lost() {
        for seed in 0..200 {
            let machine = Simulated::new(seed, Faults::default());
            machine.create_directory(Path::new("/data/log/g0003")).unwrap();
            let path = path_of(Path::new("/data/log/g0003/shard-0002"));
            let mut mark = MarkFile::open(&machine, &path, &IDENTITY, 9, None, 4_096).unwrap();
            let mut least = 4_096;
            for position in 2..20 {
                let kept = Kept { position: position * 4_096, tick: 0 };
                mark.write(kept, kept, Durability::Disk, None).unwrap();
                if position == seed % 20 {
                    mark.sync().unwrap();
                    least = position * 4_096;
                }
            }
            machine.crash(if seed % 3 == 0 { Crash::Process } else { Crash::Power });
            let found = kept(&machine, &path).unwrap().position;
            assert!((least..=19 * 4_096).contains(&found), "seed {seed}: {found}");
            assert!(seed % 3 != 0 || found == 19 * 4_096, "a kill loses nothing");
        }
    }

    #[test]
    fn another_log_s_is_refused() {
        let (machine, path) = place();
        MarkFile::open(&machine, &path, &IDENTITY, 9, None, 4_096).unwrap();
        for (field, other) in [
            ("log id", Identity { id: 1, ..IDENTITY }),
            ("generation", Identity { generation: 4, ..IDENTITY }),
            ("shard", Identity { shard: 0, ..IDENTITY }),
        ] {
            let error = read(&machine, &path, &other).unwrap_err();
            assert!(
                matches!(&error, StorageError::Foreign { field: found, .. } if *found == field),
                "{error}"
            );
        }
    }
}
