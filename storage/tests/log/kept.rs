//! The end of a log that a crash has left: what was being written is dropped if it was cut short, and what the mark says was kept is
//! refused if any of it is damaged or missing.

use crate::common::{Chance, DIRECTORY, Owned, append, make, mark, options, put_mark, read, seeds};
use pelton_storage::disk::{Crash, Disk, DiskFile, Faults, How, Simulated};
use pelton_storage::{Durability, Kept, Kind, Log, LogOptions, LogScan, Look, Proof, StorageError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const PAGE: usize = 4_096;

/// A log whose last group was written.
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
    /// The mark before the group was through.
    mark: Vec<u8>,
}

fn flush(log: &mut Log) {
    while log.pending().is_some() {
        log.turn(0).unwrap();
        log.wait(Duration::from_millis(1)).unwrap();
    }
}

fn mark_path() -> PathBuf {
    Path::new(DIRECTORY).with_extension("durable")
}

/// All files of the log.
fn files(disk: &Arc<dyn Disk>) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.list(Path::new(DIRECTORY)).unwrap();
    names
        .into_iter()
        .map(|name| Path::new(DIRECTORY).join(name))
        .map(|path| (path.clone(), bytes(disk, &path)))
        .collect()
}

/// Makes these the files of the log.
fn put(disk: &Arc<dyn Disk>, files: &[(PathBuf, Vec<u8>)]) {
    for name in disk.list(Path::new(DIRECTORY)).unwrap() {
        disk.remove(&Path::new(DIRECTORY).join(name)).unwrap();
    }
    for (path, bytes) in files {
        disk.open(path, How::Create).unwrap().write_at(bytes, 0).unwrap();
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
    let mark = mark(&disk);
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
    Some(Left { disk, options, before, after, path, old, new, group, mark })
}

impl Left {
    fn file(&self) -> Arc<dyn DiskFile> {
        self.disk.open(&self.path, How::Write).unwrap()
    }

    fn open(&self) -> Result<(), StorageError> {
        Log::open(&self.disk, Path::new(DIRECTORY), &self.options).map(drop)
    }

    /// All that is there.
    fn all(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = files(&self.disk);
        all.push((mark_path(), mark(&self.disk)));
        all
    }

    /// The mark as it was while the group was being written.
    fn unmark(&self) {
        put_mark(&self.disk, &self.mark);
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
        left.unmark();
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
        let (_, recovered) = Log::open(&left.disk, Path::new(DIRECTORY), &left.options).unwrap();
        assert!(recovered.torn.is_none_or(|torn| torn.certain), "seed {seed}: the boot is the same");
        assert!(!(scanned && whole), "seed {seed}: whole, and shown as torn");
    }
    assert!(dropped > 10_000 && recycled_over > 50, "{dropped} dropped, {recycled_over} over old bytes");
}

/// The mark says that the last group was kept: each of its bytes, changed in one bit or more, is refused, or of no consequence; so is any
/// number of bytes, a sector or a page that reads as zeros or as what was there before, and the whole group.
#[test]
fn damage_to_what_was_acknowledged_is_refused() {
    let (mut refused, mut harmless) = (0, 0);
    for seed in seeds(0..40) {
        let largest = [600, 4_000, 30_000][seed as usize / 2 % 3];
        let Some(left) = leave(seed, seed % 2 == 1, largest) else { continue };
        let chance = &mut Chance(!seed);
        let mut check = |bytes: &[u8], what: &str| {
            left.file().write_at(bytes, left.group.start as u64).unwrap();
            match read(&left.disk, &left.options, 0) {
                Ok(back) => {
                    assert!(back == left.after, "seed {seed}, {what}: {} entries", back.len());
                    harmless += 1;
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.path(), left.path, "seed {seed}, {what}: {error}");
                    let known = matches!(error, StorageError::Damaged { .. } | StorageError::Short { .. });
                    assert!(known, "seed {seed}, {what}: {error}");
                    if refused % 64 == 0 {
                        let files = left.all();
                        assert_eq!(left.open().unwrap_err().to_string(), error.to_string(), "{what}");
                        assert_eq!(left.scan().unwrap_err().to_string(), error.to_string(), "{what}");
                        assert!(left.all() == files, "seed {seed}, {what}: a refusal changes nothing");
                    }
                }
            }
        };
        let (old, new) = (&left.old[left.group.clone()], &left.new[left.group.clone()]);
        for at in (0..new.len()).filter(|at| new.len() <= 2 * PAGE || at % 512 < 80 || at % 29 == 0) {
            let mut bytes = new.to_vec();
            bytes[at] ^=
                if chance.below(2) == 0 { 1 << chance.below(8) } else { 1 + chance.below(255) as u8 };
            check(&bytes, &format!("byte {at}"));
        }
        for round in 0..200 {
            let mut bytes = new.to_vec();
            for _ in 0..2 + chance.below(1 << (round % 8)) {
                bytes[chance.below(new.len() as u64) as usize] = chance.below(256) as u8;
            }
            check(&bytes, &format!("bytes, round {round}"));
            let mut bytes = new.to_vec();
            let from = chance.below(new.len() as u64) as usize;
            let to = (from + 1 + chance.below(2_000) as usize).min(new.len());
            bytes[from..to].iter_mut().for_each(|byte| *byte = chance.below(256) as u8);
            check(&bytes, &format!("a stretch, round {round}"));
        }
        for unit in [512, PAGE, new.len()] {
            for at in (0..new.len()).step_by(unit) {
                for (was, other) in [("zeros", &vec![0; new.len()][..]), ("before", old)] {
                    let mut bytes = new.to_vec();
                    let end = (at + unit).min(new.len());
                    bytes[at..end].copy_from_slice(&other[at..end]);
                    check(&bytes, &format!("{was} in {at}..{end}"));
                }
            }
        }
        check(new, "put right");
        assert_eq!(read(&left.disk, &left.options, 0).unwrap(), left.after, "seed {seed}: put right");
    }
    assert!(refused > 10_000 && harmless > 1_000, "{refused} refused, {harmless} harmless");
}

/// Deleted, or put back as it was before: what is missing is named.
#[test]
fn a_log_that_ends_too_soon_is_refused() {
    let (mut older, mut gone) = (0, 0);
    for seed in seeds(0..60) {
        for durability in [Durability::Disk, Durability::Process] {
            let machine = Simulated::new(seed, Faults::default());
            let disk: Arc<dyn Disk> = Arc::new(machine.clone());
            let options = options(durability);
            let chance = &mut Chance(seed);
            let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
            let mut write = |log: &mut Log, ticks: std::ops::Range<u64>| {
                for tick in ticks {
                    append(log, &make(chance, tick, tick, 3_000)).unwrap();
                    log.turn(0).unwrap();
                }
            };
            write(&mut log, 1..20 + seed);
            log.close().unwrap();
            let copy = files(&disk);
            let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
            write(&mut log, 100..140);
            // Closed, so that there is no ring to tell of it.
            log.close().unwrap();
            drop(log);
            let whole = files(&disk);
            let entries = read(&disk, &options, 0).unwrap();
            let refused = |what: &str| {
                let error = read(&disk, &options, 0).unwrap_err();
                let text = error.to_string();
                assert_eq!(
                    Log::open(&disk, Path::new(DIRECTORY), &options).err().unwrap().to_string(),
                    text,
                    "{what}"
                );
                error
            };
            put(&disk, &copy);
            let error = refused("older");
            if let StorageError::Short { shard: 0, last_tick, kept_tick: 139, .. } = error {
                assert_eq!(last_tick, 19 + seed, "{error}");
                older += 1;
            }
            for name in disk.list(Path::new(DIRECTORY)).unwrap() {
                disk.remove(&Path::new(DIRECTORY).join(name)).unwrap();
            }
            let error = refused("gone");
            assert!(matches!(error, StorageError::Short { last_tick: 0, kept_tick: 139, .. }), "{error}");
            gone += 1;
            put(&disk, &whole);
            // And without its mark nobody knows.
            let bytes = mark(&disk);
            disk.remove(&mark_path()).unwrap();
            let error = refused("no mark");
            assert!(matches!(error, StorageError::Missing { what: "mark of a log", .. }), "{error}");
            disk.open(&mark_path(), How::Create).unwrap().write_at(&bytes, 0).unwrap();
            assert_eq!(read(&disk, &options, 0).unwrap(), entries);
        }
    }
    assert!(older > 60 && gone == 120, "{older} older, {gone} gone");
}

/// What others know counts as well.
#[test]
fn what_is_proven_elsewhere_must_be_there() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(1, Faults::default()));
    let options = options(Durability::Disk);
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    log.append(1, Kind::Tick, b"acknowledged");
    flush(&mut log);
    let end = log.durable();
    drop(log);
    let open = |position, exists| {
        let proof = Proof { exists, kept: Kept { position, tick: 7 } };
        Log::prepare(&disk, Path::new(DIRECTORY), &options, proof).map(|(_, recovered)| recovered.entries)
    };
    assert_eq!(open(end, true).unwrap(), 1);
    let error = open(end + 4_096, true).unwrap_err().to_string();
    assert!(
        error.contains("the log of shard 0 ends at byte")
            && error.contains("after tick 1, and it was kept through tick 7"),
        "{error}"
    );
    assert!(error.contains("4096 bytes are missing"), "{error}");
    for name in disk.list(Path::new(DIRECTORY)).unwrap() {
        disk.remove(&Path::new(DIRECTORY).join(name)).unwrap();
    }
    disk.remove(Path::new(DIRECTORY)).unwrap();
    disk.remove(&mark_path()).unwrap();
    let error = open(0, true).unwrap_err();
    assert!(matches!(error, StorageError::Missing { what: "directory of a log", .. }), "{error}");
    assert_eq!(open(0, false).unwrap(), 0, "a new one");
}

/// After the loss of power a mark may be behind the log, and then the last group may have been acknowledged or not. It is dropped if it is
/// not whole, and that is said.
#[test]
fn without_a_mark_of_this_boot_nothing_is_certain() {
    let (mut refused, mut dropped) = (0, 0);
    for seed in seeds(0..200) {
        let machine = Simulated::new(seed, Faults::default());
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        let options = options(Durability::Disk);
        let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        log.append(1, Kind::Tick, &[1; 300]);
        flush(&mut log);
        machine.crash(if seed % 4 == 0 { Crash::Process } else { Crash::Power });
        drop(log);
        let file = disk.open(&Path::new(DIRECTORY).join("seg-00000000.log"), How::Write).unwrap();
        file.write_at(b"many bytes", 4_096 + 64 + 100).unwrap();
        match Log::open(&disk, Path::new(DIRECTORY), &options) {
            Err(error) => {
                assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
                refused += 1;
            }
            Ok((_, recovered)) => {
                let torn = recovered.torn.unwrap();
                assert!(seed % 4 != 0 && recovered.entries == 0 && !torn.certain, "seed {seed}: {torn:?}");
                dropped += 1;
            }
        }
    }
    assert!(refused > 100 && dropped > 10, "{refused} refused, {dropped} dropped");
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
    let text = Log::open(&disk, Path::new(DIRECTORY), &options).err().unwrap().to_string();
    let begins =
        "/data/log/g0000/shard-0000/seg-00000000.log: damaged log segment at byte 4160: expected CRC32C ";
    assert!(text.starts_with(begins), "{text}");
    assert!(text.ends_with("what came after the savepoint has to be sent again."), "{text}");
    disk.open(&path, How::Write).unwrap().write_at(b"a", at).unwrap();
    assert_eq!(Log::open(&disk, Path::new(DIRECTORY), &options).unwrap().1.entries, 1);
}
