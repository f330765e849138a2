//! Damage to a log at rest: any byte turned over, any file cut or missing or replaced. What comes back is true or refused.

use crate::common::{DIRECTORY, Owned, append, options, read};
use pelton_storage::disk::{Disk, DiskFile, Faults, How, Simulated};
use pelton_storage::{Durability, Kind, Log, LogOptions, StorageError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log that spans three segments, and its entries.
fn log(disk: &Arc<dyn Disk>, options: &LogOptions) -> Vec<Owned> {
    let (mut log, _) = Log::open(disk, Path::new(DIRECTORY), options).unwrap();
    let mut entries = Vec::new();
    for tick in 0..16u64 {
        let payload = vec![tick as u8; 8_000 + tick as usize];
        let entry = Owned { tick, kind: Kind::Tick, payload };
        append(&mut log, &entry).unwrap();
        entries.push(entry);
        if tick % 2 == 0 {
            log.turn(0).unwrap();
        }
    }
    log.sync().unwrap();
    entries
}

fn fresh() -> (Arc<dyn Disk>, LogOptions, Vec<Owned>) {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(5, Faults::default()));
    let options = options(Durability::Disk);
    let entries = log(&disk, &options);
    (disk, options, entries)
}

fn path(number: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("seg-{number:08}.log"))
}

fn file(disk: &Arc<dyn Disk>, number: u64) -> Arc<dyn DiskFile> {
    disk.open(&path(number), How::Write).unwrap()
}

fn bytes(disk: &Arc<dyn Disk>, number: u64) -> Vec<u8> {
    (*file(disk, number).map().unwrap()).as_ref().to_vec()
}

/// All entries or a refusal, never fewer without a word, since the mark has all of them.
fn check(disk: &Arc<dyn Disk>, options: &LogOptions, entries: &[Owned], what: &str) -> Option<StorageError> {
    let read = read(disk, options, 0);
    match read {
        Ok(back) => {
            assert!(back == entries, "{what}: {} entries of {}", back.len(), entries.len());
            None
        }
        Err(error) => {
            let Err(opened) = Log::open(disk, Path::new(DIRECTORY), options) else {
                panic!("{what}: read {error}, but opened")
            };
            assert_eq!(opened.to_string(), error.to_string(), "{what}");
            Some(error)
        }
    }
}

#[test]
fn a_flipped_byte_is_refused_or_harmless() {
    let (disk, options, entries) = fresh();
    let mut refused = 0;
    for number in 0..3 {
        let original = bytes(&disk, number);
        let file = file(&disk, number);
        // Every byte of headers and of what is around entries, and some of the rest.
        for at in (0..original.len()).filter(|at| at % 4_096 < 200 || at % 8_000 < 120 || at % 97 == 0) {
            file.write_at(&[original[at] ^ (1 << (at % 8))], at as u64).unwrap();
            let error = check(&disk, &options, &entries, &format!("byte {at} of segment {number}"));
            refused += usize::from(error.is_some());
            file.write_at(&original[at..=at], at as u64).unwrap();
        }
    }
    assert!(refused > 1_000, "{refused}");
    assert_eq!(check(&disk, &options, &entries, "untouched").map(|error| error.to_string()), None);
}

/// While it is being written: the mark is that of before.
#[test]
fn the_last_group_may_be_cut_anywhere() {
    let (disk, options, entries) = fresh();
    let (mut log, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    let mark = Path::new(DIRECTORY).with_extension("durable");
    let mark = disk.open(&mark, How::Write).unwrap();
    let mut before = vec![0; mark.len().unwrap() as usize];
    mark.read_at(&mut before, 0).unwrap();
    let last = Owned { tick: 99, kind: Kind::Tick, payload: vec![9; 9_000] };
    append(&mut log, &last).unwrap();
    while log.pending().is_some() {
        log.turn(0).unwrap();
    }
    drop(log);
    let (number, from) = (recovered.end / options.segment_bytes, recovered.end % options.segment_bytes);
    let original = bytes(&disk, number);
    let whole: Vec<Owned> = entries.iter().cloned().chain([last]).collect();
    for cut in (from..from + 12_288).step_by(61) {
        let file = file(&disk, number);
        file.write_at(&vec![0; original.len() - cut as usize], cut).unwrap();
        mark.write_at(&before, 0).unwrap();
        let back = read(&disk, &options, 0).unwrap();
        assert!(back == entries || back == whole, "cut at {cut}: {} entries", back.len());
        // Opening erases the rest, appending goes on, and nothing of the old group comes back.
        let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        let next = Owned { tick: 100, kind: Kind::Tick, payload: vec![8; 100] };
        append(&mut log, &next).unwrap();
        log.sync().unwrap();
        drop(log);
        let after: Vec<Owned> = back.into_iter().chain([next]).collect();
        assert_eq!(read(&disk, &options, 0).unwrap(), after, "cut at {cut}");
        file.write_at(&original, 0).unwrap();
    }
}

#[test]
fn a_shorter_file_is_refused() {
    for number in 0..3 {
        for len in [0, 1, 63, 4_095, 4_096, 5_000, 40_000, 65_535] {
            let (disk, options, entries) = fresh();
            file(&disk, number).set_len(len).unwrap();
            let error = check(&disk, &options, &entries, &format!("segment {number} with {len} bytes"));
            assert!(error.is_some(), "segment {number} with {len} bytes");
        }
    }
}

#[test]
fn a_missing_segment_is_refused() {
    for number in 0..3 {
        let (disk, options, entries) = fresh();
        disk.remove(&path(number)).unwrap();
        let error = check(&disk, &options, &entries, "missing").unwrap_or_else(|| panic!("segment {number}"));
        assert!(matches!(error, StorageError::Missing { .. }) && error.path() == path(number), "{error}");
    }
}

#[test]
fn segments_of_another_log_are_refused() {
    let (disk, options, entries) = fresh();
    let original = bytes(&disk, 1);
    let others = [
        ("log id", LogOptions { id: 1, ..options }),
        ("shard", LogOptions { shard: 4, ..options }),
        ("generation", LogOptions { generation: 2, ..options }),
        ("segment size", LogOptions { segment_bytes: 128 << 10, ..options }),
    ];
    for (field, other) in others {
        let Err(error) = Log::open(&disk, Path::new(DIRECTORY), &other) else { panic!("{field}") };
        assert!(matches!(&error, StorageError::Foreign { field: found, .. } if *found == field), "{error}");
    }
    // A later version, with a checksum that fits.
    let mut page = original[..4_096].to_vec();
    page[8] = 3;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&page[..12]), &page[16..72]);
    page[12..16].copy_from_slice(&crc.to_le_bytes());
    file(&disk, 1).write_at(&page, 0).unwrap();
    let error = check(&disk, &options, &entries, "newer").unwrap();
    assert!(matches!(error, StorageError::Newer { found: 3, known: 2, .. }), "{error}");
    file(&disk, 1).write_at(&original, 0).unwrap();
    assert!(check(&disk, &options, &entries, "as it was").is_none());
}

#[test]
fn a_copy_of_a_segment_is_refused() {
    let (disk, options, entries) = fresh();
    let copy = disk.open(&path(7), How::Create).unwrap();
    copy.write_at(&bytes(&disk, 1), 0).unwrap();
    let error = check(&disk, &options, &entries, "copy").unwrap();
    assert!(matches!(error, StorageError::Unusable { .. }), "{error}");
}
