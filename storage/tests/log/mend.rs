//! The last group of a log, whose end a crash has left: cut short it is dropped, and with one wrong byte it is refused.

use crate::common::{Chance, DIRECTORY, Owned, append, make, options, read, seeds};
use pelton_storage::disk::{Disk, DiskFile, Faults, How, Simulated};
use pelton_storage::{Durability, Kind, Log, LogOptions, LogScan, Look, StorageError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const PAGE: usize = 4_096;

/// A log whose last group was written and not sealed.
struct Left {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    /// What is there without that group, and with it.
    before: Vec<Owned>,
    after: Vec<Owned>,
    path: PathBuf,
    /// The bytes of its segment before the group was written, and after; and where the group is.
    old: Vec<u8>,
    new: Vec<u8>,
    group: std::ops::Range<usize>,
}

fn flush(log: &mut Log) {
    while log.pending().is_some() {
        log.turn(0).unwrap();
        log.wait(Duration::from_millis(1)).unwrap();
    }
}

fn bytes(disk: &Arc<dyn Disk>, path: &Path) -> Vec<u8> {
    (*disk.open(path, How::Read).unwrap().map().unwrap()).as_ref().to_vec()
}

/// Writes entries, of up to so many bytes each, until segments are used again, if `recycled`. `None` if the last group
/// happens to begin a segment.
fn leave(seed: u64, recycled: bool, largest: usize) -> Option<Left> {
    let chance = &mut Chance(seed);
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(seed, Faults::default()));
    let options = options(Durability::Disk);
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    let mut tick = 0;
    let mut write = |log: &mut Log, chance: &mut Chance, entries: &mut Vec<Owned>| {
        for _ in 0..1 + chance.below(6) {
            tick += 1;
            let entry = make(chance, tick, seed << 20 | tick, largest);
            append(log, &entry).unwrap();
            entries.push(entry);
        }
        flush(log);
        tick
    };
    while recycled && log.stats().recycled < 3 {
        let tick = write(&mut log, chance, &mut Vec::new());
        log.retire_before(tick).unwrap();
    }
    for _ in 0..1 + chance.below(20) {
        write(&mut log, chance, &mut Vec::new());
    }
    let segments = |disk: &Arc<dyn Disk>| -> Vec<(PathBuf, Vec<u8>)> {
        let names = disk.list(Path::new(DIRECTORY)).unwrap();
        let live = names.into_iter().filter(|name| name.starts_with("seg-"));
        live.map(|name| Path::new(DIRECTORY).join(name))
            .map(|path| (path.clone(), bytes(disk, &path)))
            .collect()
    };
    let before = read(&disk, &options, 0).unwrap();
    let old = segments(&disk);
    let mut after = before.clone();
    write(&mut log, chance, &mut after);
    drop(log);
    let changed: Vec<_> = old.into_iter().filter(|(path, old)| bytes(&disk, path) != *old).collect();
    let [(path, old)] = &changed[..] else { return None };
    let new = bytes(&disk, path);
    let (path, old) = (path.clone(), old.clone());
    let differs = |at: &usize| old[*at] != new[*at];
    let (first, last) = ((0..new.len()).find(differs).unwrap(), (0..new.len()).rev().find(differs).unwrap());
    let group = first / PAGE * PAGE..(last + 1).next_multiple_of(PAGE);
    Some(Left { disk, options, before, after, path, old, new, group })
}

impl Left {
    fn file(&self) -> Arc<dyn DiskFile> {
        self.disk.open(&self.path, How::Write).unwrap()
    }

    fn open(&self) -> Result<(), StorageError> {
        Log::open(&self.disk, Path::new(DIRECTORY), &self.options).map(drop)
    }

    /// What a scan for tools comes to.
    fn scan(&self) -> Result<bool, StorageError> {
        let LogOptions { id, generation, shard, .. } = self.options;
        let scan = LogScan::open(&self.disk, Path::new(DIRECTORY), id, generation, shard, Look::Alone)?;
        let mut scan = scan.expect("there is a log");
        while scan.group()?.is_some() {}
        Ok(scan.torn()?.is_some())
    }

    /// Puts parts of the new group over what was there before. All of it is there then, or nothing.
    fn cut(&self, unit: usize, written: impl Fn(usize) -> bool, what: &str) -> bool {
        let mut there = self.old[self.group.clone()].to_vec();
        for (number, part) in there.chunks_mut(unit).enumerate() {
            if written(number) {
                let from = self.group.start + number * unit;
                part.copy_from_slice(&self.new[from..from + part.len()]);
            }
        }
        self.file().write_at(&there, self.group.start as u64).unwrap();
        let back = read(&self.disk, &self.options, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(back == self.before || back == self.after, "{what}: {} entries", back.len());
        back == self.before
    }
}

/// Writes that were cut short in sectors or pages, from the front, from behind, in the middle and anywhere, over zeros
/// and over what a recycled segment held.
#[test]
fn what_was_cut_short_is_dropped() {
    let (mut dropped, mut recycled_over) = (0, 0);
    for seed in seeds(0..400) {
        let largest = [600, 6_000, 30_000][seed as usize % 3];
        let recycled = seed % 2 == 1;
        let Some(left) = leave(seed, recycled, largest) else { continue };
        recycled_over += usize::from(left.old[left.group.clone()].iter().any(|&byte| byte != 0));
        let chance = &mut Chance(!seed);
        for unit in [512, PAGE] {
            let units = left.group.len() / unit;
            let what = format!("seed {seed}, {units} x {unit}");
            for at in 0..units {
                dropped += usize::from(left.cut(unit, |number| number < at, &format!("{what}: up to {at}")));
                dropped += usize::from(left.cut(unit, |number| number > at, &format!("{what}: behind {at}")));
                dropped +=
                    usize::from(left.cut(unit, |number| number != at, &format!("{what}: all but {at}")));
            }
            for _ in 0..20 {
                let mask: Vec<bool> = (0..units).map(|_| chance.below(3) > 0).collect();
                dropped += usize::from(left.cut(unit, |number| mask[number], &format!("{what}: {mask:?}")));
            }
        }
        let scanned = left.scan().unwrap();
        let whole = read(&left.disk, &left.options, 0).unwrap() == left.after;
        left.open().unwrap();
        assert!(!(scanned && whole), "seed {seed}: whole, and shown as torn");
    }
    assert!(dropped > 10_000 && recycled_over > 50, "{dropped} dropped, {recycled_over} over old bytes");
}

/// Each byte of the last group, changed in one bit or more: refused by name everywhere, or of no consequence.
#[test]
fn a_byte_that_was_changed_is_refused() {
    let (mut refused, mut harmless) = (0, 0);
    for seed in seeds(0..60) {
        let largest = [600, 4_000][seed as usize / 2 % 2];
        let Some(left) = leave(seed, seed % 2 == 1, largest) else { continue };
        let chance = &mut Chance(!seed);
        let file = left.file();
        for at in left.group.clone().filter(|at| at % 512 < 80 || at % 29 == 0) {
            let by = if chance.below(2) == 0 { 1 << chance.below(8) } else { 1 + chance.below(255) };
            let found = left.new[at] ^ by as u8;
            file.write_at(&[found], at as u64).unwrap();
            let what = format!("seed {seed}: byte {at}");
            match read(&left.disk, &left.options, 0) {
                Ok(back) => {
                    // A sector of zeros may be one that was not written. That counts more than two bits.
                    let zeros = |sector: &[u8]| sector.iter().all(|&byte| byte == 0);
                    let bits = (by as u8).count_ones();
                    let sectors = left.new[left.group.clone()].chunks(512);
                    let doubtful = bits > 1 && sectors.clone().any(zeros);
                    // And this byte may be the only one of its sector.
                    let sector = at / 512 * 512;
                    let alone = (sector..sector + 512).all(|other| other == at || left.new[other] == 0);
                    let doubtful = doubtful || alone && (found == 0 || bits > 1);
                    assert!(back == left.after || doubtful, "{what}: {} entries", back.len());
                    harmless += 1;
                }
                Err(error) => {
                    refused += 1;
                    let StorageError::Damaged { path, at: named, expected, found: shown, .. } = &error else {
                        panic!("{what}: {error}");
                    };
                    assert_eq!((path, *named), (&left.path, at as u64), "{what}: {error}");
                    assert_eq!(expected, &format!("the byte {:02x}", left.new[at]), "{what}");
                    assert_eq!(shown, &format!("{found:02x}"), "{what}");
                    if refused % 16 == 0 {
                        let files = bytes(&left.disk, &left.path);
                        assert_eq!(left.open().unwrap_err().to_string(), error.to_string(), "{what}");
                        assert_eq!(left.scan().unwrap_err().to_string(), error.to_string(), "{what}");
                        assert!(bytes(&left.disk, &left.path) == files, "{what}: a refusal changes nothing");
                    }
                }
            }
            file.write_at(&left.new[at..=at], at as u64).unwrap();
        }
        assert_eq!(read(&left.disk, &left.options, 0).unwrap(), left.after, "seed {seed}: put right");
    }
    assert!(refused > 5_000 && harmless > 1_000, "{refused} refused, {harmless} harmless");
}

#[test]
fn the_error_says_how_to_go_on() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(1, Faults::default()));
    let options = options(Durability::Disk);
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    log.append(1, Kind::Tick, b"acknowledged");
    flush(&mut log);
    drop(log);
    let path = Path::new(DIRECTORY).join("seg-00000000.log");
    // Behind the first page, the GROUP entry and the entry's header.
    let at = 4_096 + 64 + 32;
    disk.open(&path, How::Write).unwrap().write_at(b"A", at).unwrap();
    assert_eq!(
        Log::open(&disk, Path::new(DIRECTORY), &options).err().unwrap().to_string(),
        "/data/log/g0000/shard-0000/seg-00000000.log: damaged log segment at byte 4192: expected the byte 61, found 41. \
         With that byte the log's last group is whole, so it was written completely, perhaps acknowledged, and changed \
         later. Put back a good copy of the file, or that byte; or start from a savepoint in a new data directory; what \
         came after the savepoint has to be sent again."
    );
    disk.open(&path, How::Write).unwrap().write_at(b"a", at).unwrap();
    assert_eq!(Log::open(&disk, Path::new(DIRECTORY), &options).unwrap().1.entries, 1);
}
