//! Files that somebody has put back under other names, copied or sealed anew. Checksums say nothing against those: what
//! comes back is all of it, or a refusal that changes nothing.

use crate::common::{DIRECTORY, Owned, append, options, read, ring};
use pelton_storage::disk::{Disk, Faults, How, Simulated};
use pelton_storage::{Durability, Kind, Log, LogOptions, StorageError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PAGE: usize = 4_096;

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

fn live(number: u64) -> PathBuf {
    path(&format!("seg-{number:08}.log"))
}

/// A log of three segments.
fn filled(durability: Durability) -> (Arc<dyn Disk>, LogOptions, Vec<Owned>) {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(5, Faults::default()));
    let options = options(durability);
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    let mut entries = Vec::new();
    for tick in 0..20u64 {
        let entry = Owned { tick, kind: Kind::Tick, payload: vec![tick as u8; 7_000] };
        append(&mut log, &entry).unwrap();
        entries.push(entry);
        log.turn(0).unwrap();
    }
    while log.pending().is_some() {
        log.turn(0).unwrap();
    }
    (disk, options, entries)
}

fn bytes(disk: &Arc<dyn Disk>, path: &Path) -> Vec<u8> {
    (*disk.open(path, How::Read).unwrap().map().unwrap()).as_ref().to_vec()
}

fn put(disk: &Arc<dyn Disk>, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, How::Write).or_else(|_| disk.open(path, How::Create)).unwrap();
    file.write_at(bytes, 0).unwrap();
}

/// The header of a segment with another number, sealed.
fn renumber(file: &mut [u8], number: u64) {
    file[32..40].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&file[..12]), &file[16..72]);
    file[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// Seals the entry at `at`.
fn reseal(file: &mut [u8], at: usize) {
    let end = at + 32 + u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap()) as usize;
    let options = options(Durability::Disk);
    let seed = crc32c::crc32c(&options.id.to_le_bytes());
    let seed = crc32c::crc32c_append(seed, &options.generation.to_le_bytes());
    let seed = crc32c::crc32c_append(seed, &options.shard.to_le_bytes());
    let crc = crc32c::crc32c_append(seed, &file[at + 4..end]);
    file[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The log is refused, again and again, and none of its files is changed by that.
fn refused(disk: &Arc<dyn Disk>, options: &LogOptions, what: &str) -> StorageError {
    let files = || -> Vec<(String, Vec<u8>)> {
        let names = disk.list(Path::new(DIRECTORY)).unwrap();
        names.into_iter().map(|name| (name.clone(), bytes(disk, &path(&name)))).collect()
    };
    let before = files();
    let Err(error) = Log::open(disk, Path::new(DIRECTORY), options) else { panic!("{what}: it was opened") };
    assert!(files() == before, "{what}: it was refused and changed: {error}");
    let Err(again) = Log::open(disk, Path::new(DIRECTORY), options) else { panic!("{what}: then opened") };
    assert_eq!(error.to_string(), again.to_string(), "{what}");
    error
}

/// All of it is there, and stays there over a life with one more entry.
fn whole(disk: &Arc<dyn Disk>, options: &LogOptions, entries: &[Owned], what: &str) {
    let mut entries = entries.to_vec();
    for life in 0..2 {
        let (mut log, recovered) = Log::open(disk, Path::new(DIRECTORY), options)
            .unwrap_or_else(|error| panic!("{what}, life {life}: {error}"));
        assert_eq!(recovered.entries, entries.len() as u64, "{what}, life {life}");
        let entry = Owned { tick: 100 + life, kind: Kind::Control, payload: vec![1; 100] };
        append(&mut log, &entry).unwrap();
        entries.push(entry);
        log.sync().unwrap();
        drop(log);
        assert_eq!(read(disk, options, 0).unwrap(), entries, "{what}, life {life}");
    }
}

#[test]
fn segments_find_their_names_again_however_they_were_swapped() {
    let orders = [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let (disk, options, entries) = filled(Durability::Disk);
        let files: Vec<Vec<u8>> = (0..3).map(|number| bytes(&disk, &live(number))).collect();
        for (number, file) in files.iter().enumerate() {
            put(&disk, &live(order[number]), file);
        }
        assert_eq!(read(&disk, &options, 0).unwrap(), entries, "{order:?}");
        whole(&disk, &options, &entries, &format!("{order:?}"));
        for (number, file) in files.iter().enumerate() {
            assert_eq!(bytes(&disk, &live(number as u64))[32..40], file[32..40], "{order:?}");
        }
    }
}

#[test]
fn no_file_is_renamed_onto_a_spare() {
    // Files of zeros under the names that segments in use would get when they are retired.
    let (disk, options, _) = filled(Durability::Disk);
    for number in 0..12 {
        put(&disk, &path(&format!("spare-{number:08}.log")), &vec![0; options.segment_bytes as usize]);
    }
    let (mut log, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    let mut tick = recovered.last_tick;
    for _ in 0..400 {
        tick += 1;
        append(&mut log, &Owned { tick, kind: Kind::Tick, payload: vec![9; 3_000] }).unwrap();
        log.turn(tick).unwrap();
        log.retire_before(tick.saturating_sub(10)).unwrap();
        let names = disk.list(Path::new(DIRECTORY)).unwrap();
        assert!(names.len() <= 12, "{names:?}");
    }
    log.sync().unwrap();
    drop(log);
    let back = read(&disk, &options, tick - 10).unwrap();
    assert_eq!(
        back.iter().map(|entry| entry.tick).collect::<Vec<_>>(),
        (tick - 10..=tick).collect::<Vec<_>>()
    );
}

#[test]
fn numbers_that_no_log_gets_to_are_refused() {
    let numbers = [u64::MAX, u64::MAX / (64 << 10), u64::MAX / (64 << 10) + 1, u64::MAX / (64 << 10) - 1];
    for number in numbers {
        for which in 0..3 {
            let (disk, options, _) = filled(Durability::Disk);
            let mut file = bytes(&disk, &live(which));
            renumber(&mut file, number);
            put(&disk, &live(which), &file);
            let error = refused(&disk, &options, &format!("segment {which} as {number}"));
            assert!(matches!(error, StorageError::Damaged { at: 32, .. }), "{error}");
        }
    }
    // In a name, of a file that has no header.
    for number in numbers {
        let (disk, options, entries) = filled(Durability::Disk);
        put(&disk, &path(&format!("seg-{number:08}.log")), &vec![0xA5; options.segment_bytes as usize]);
        assert_eq!(read(&disk, &options, 0).unwrap(), entries);
        whole(&disk, &options, &entries, &format!("a file called {number}"));
    }
    // In the first group of a file that has no header.
    let (disk, options, entries) = filled(Durability::Disk);
    put(&disk, &path("spare-00000009.log"), &vec![0xFF; options.segment_bytes as usize]);
    whole(&disk, &options, &entries, "a file of ones");
}

#[test]
fn a_ring_whose_words_make_no_sense_is_refused() {
    let (disk, options, entries) = filled(Durability::Process);
    let memory = ring(&disk, &options);
    let (head, written) = (memory.load(64), memory.load(128));
    assert!(written < head, "something is only in the ring");
    let segment = options.segment_bytes;
    let top = u64::MAX / segment * segment;
    let words = [
        (u64::MAX, u64::MAX),
        (u64::MAX - 15, u64::MAX - 4_095),
        (top + 4_096, top + 4_096),
        (top + 4_112, top + 4_096 - segment),
        (top, top - 4_096),
        (head, written + 8),
        (head, written + 16),
        (head, written - 16),
        (head + 1, written),
        (head - 8, written),
        (head, 0),
        (written - 4_096, written),
        (head + 2 * segment, written),
        (head / segment * segment, head / segment * segment),
        // The files hold groups behind it.
        (4_096, 4_096),
        (written - 4_096, written - 4_096),
    ];
    for (new_head, new_written) in words {
        memory.store(64, new_head);
        memory.store(128, new_written);
        let error = refused(&disk, &options, &format!("head {new_head}, written {new_written}"));
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        assert!(read(&disk, &options, 0).is_err(), "head {new_head}, written {new_written}");
    }
    memory.store(64, head);
    memory.store(128, written);
    assert_eq!(memory.len() as u64, 4_096 + options.segment_bytes);
    whole(&disk, &options, &entries, "as it was");
}

#[test]
fn a_group_that_gives_up_its_own_segment_is_refused() {
    for first in [3, 4, 1 << 40, u64::MAX] {
        for newest in [true, false] {
            let (disk, options, _) = filled(Durability::Disk);
            let mut file = bytes(&disk, &live(2));
            let groups = (1..file.len() / PAGE).map(|page| page * PAGE);
            let is_group = |at: &usize| {
                let position = 2 * options.segment_bytes + *at as u64;
                file[at + 16..at + 24] == position.to_le_bytes() && file[at + 24..at + 26] == [1, 1]
            };
            let groups: Vec<usize> = groups.filter(is_group).collect();
            assert!(groups.len() > 1);
            let at = if newest { groups[groups.len() - 1] } else { groups[0] };
            file[at + 56..at + 64].copy_from_slice(&first.to_le_bytes());
            reseal(&mut file, at);
            put(&disk, &live(2), &file);
            let error = refused(&disk, &options, &format!("first {first}, newest {newest}"));
            assert!(matches!(error, StorageError::Damaged { what: "GROUP entry", .. }), "{error}");
            assert!(read(&disk, &options, 0).is_err());
        }
    }
}

#[test]
fn a_copy_of_a_segment_under_another_number_is_refused() {
    for of in 0..3 {
        for number in [3, 4, 5, 9] {
            for name in
                ["seg-00000000.log.copy", "seg-00000004.log", "spare-00000009.log", "spare-new-00000000.log"]
            {
                let (disk, options, entries) = filled(Durability::Disk);
                // Prepared ones would have the same number.
                let _ = disk.remove(&live(3));
                let mut file = bytes(&disk, &live(of));
                renumber(&mut file, number);
                put(&disk, &path(name), &file);
                if name.ends_with(".log") {
                    let error = refused(&disk, &options, &format!("{of} as {number} in {name}"));
                    assert!(matches!(error, StorageError::Damaged { at: 32, .. }), "{error}");
                    assert!(error.to_string().contains("is a copy"), "{error}");
                    disk.remove(&path(name)).unwrap();
                }
                whole(&disk, &options, &entries, "without the copy");
            }
        }
    }
}
