//! Directories and disks that no job can go on with: each is named, and nothing is lost or half-written.

use crate::support::{Named, Scratch, config, job};
use pelton::JobError;
use pelton::config::Durability;
use pelton::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const NUMBERS: u64 = 400_000;

/// All files below a directory with what is in them.
fn content(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(content(&entry.path())),
            false => drop(files.insert(entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    files
}

/// What is left of a job that was stopped on its way, behind a checkpoint.
fn left(durability: Durability) -> (Scratch, Config, Named) {
    let (scratch, rows) = (Scratch::new("refused"), collect());
    let config = config(scratch.path(), durability, 2);
    let running = job(4_000_000, &rows).start_with(&config).unwrap();
    running.checkpoint(None).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    let mut named = Named::default();
    named.add(rows.take_named());
    (scratch, config, named)
}

fn crc32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1)))
    })
}

/// The only file below a directory whose name begins and ends like that, of the first shard.
fn find(path: &Path, ends: &str) -> PathBuf {
    let files = content(path);
    let found = files.keys().find(|path| path.to_string_lossy().ends_with(ends));
    found.unwrap_or_else(|| panic!("{files:?} has no {ends}")).clone()
}

fn word(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

#[test]
fn a_newer_format_is_left_alone() {
    let (scratch, config, _) = left(Durability::Disk);
    let newer = |what: &str, path: &Path, bytes: Vec<u8>| {
        let before = fs::read(path).unwrap();
        fs::write(path, bytes).unwrap();
        let found = content(scratch.path());
        let rows = collect();
        let error = job(4_000_000, &rows).start_with(&config).unwrap_err().to_string();
        assert!(error.contains(&format!("this {what} has format version 9")), "{error}");
        assert!(error.contains("Nothing was changed") && rows.take().is_empty(), "{error}");
        // That a start was tried may show elsewhere: in the manifest, and in logs that other shards have recovered by then.
        for (other, bytes) in found.iter().filter(|(other, _)| what == "manifest" || *other == path) {
            assert!(fs::read(other).unwrap() == *bytes, "{what}: {}", other.display());
        }
        fs::write(path, before).unwrap();
    };

    let path = scratch.path().join("MANIFEST");
    let text = fs::read_to_string(&path).unwrap().replacen("\"format\": 3", "\"format\": 9", 1);
    let json = &text[..text.rfind("crc32c").unwrap()];
    newer("manifest", &path, format!("{json}crc32c {:08x}\n", crc32c(json.bytes())).into_bytes());

    let path = find(&scratch.path().join("log"), "shard-0000/seg-00000000.log");
    let mut bytes = fs::read(&path).unwrap();
    word(&mut bytes, 8, 9);
    let crc = crc32c(bytes[..12].iter().chain(&bytes[16..72]).copied());
    word(&mut bytes, 12, crc);
    newer("log segment", &path, bytes);

    let path = find(&scratch.path().join("checkpoint"), "shard-0000.snap");
    let mut bytes = fs::read(&path).unwrap();
    word(&mut bytes, 8, 9);
    let crc = crc32c(bytes[..SNAPSHOT_CRC_AT].iter().copied());
    word(&mut bytes, SNAPSHOT_CRC_AT, crc);
    newer("snapshot", &path, bytes);

    // As it was, the job goes on.
    let rows = collect();
    let running = job(4_000_000, &rows).start_with(&config).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
}

/// Where the checksum of a snapshot's header is.
const SNAPSHOT_CRC_AT: usize = 4092;

#[test]
fn a_directory_has_one_job_at_a_time() {
    let (scratch, rows) = (Scratch::new("two"), collect());
    let config = config(scratch.path(), Durability::Process, 2);
    // A start waits for a tool that looks, so the job that is there has to last.
    let running = job(1 << 40, &rows).start_with(&config).unwrap();
    let error = job(4_000_000, &collect()).start_with(&config).unwrap_err().to_string();
    assert!(error.contains("another process is at work in this data directory"), "{error}");
    running.checkpoint(None).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
}

#[test]
fn the_state_of_another_job_is_left_alone() {
    let (scratch, config, mut named) = left(Durability::Process);
    let before = content(scratch.path());
    let numbers = || generate(|w, of| (w as u64..NUMBERS).step_by(of)).partitions(3);
    let stamp = |n: &u64| EventTime::from_millis(*n as i64);
    let other = Job::new("other").source(numbers()).sink(collect());
    let changed = Job::new("digits")
        .source(numbers())
        .event_time(stamp, in_order())
        .key_by(|n| n % 97)
        .window(tumbling(secs(2)))
        .count()
        .sink(collect());
    // Its positions would mean something else.
    let listed = Job::new("digits")
        .source(from_vec((0..NUMBERS).collect()))
        .event_time(stamp, in_order())
        .key_by(|n| n % 97)
        .window(tumbling(secs(1)))
        .count()
        .sink(collect());
    for (job, about) in [
        (other, "it is of job `digits`, and this is job `other`"),
        (changed, "where it now has"),
        (listed, "`source-0` (source) had reads a generator where it now has reads a list"),
    ] {
        let error = job.start_with(&config).unwrap_err();
        assert!(matches!(error, JobError::Open(_)) && error.to_string().contains(about), "{error}");
        assert!(content(scratch.path()) == before, "nothing was changed");
    }
    let rows = collect();
    let running = job(4_000_000, &rows).start_with(&config).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    named.add(rows.take_named());
}

#[test]
fn a_place_where_nothing_can_be_kept_is_refused() {
    let scratch = Scratch::new("place");
    fs::write(scratch.path().join("file"), "mine").unwrap();
    let places = [
        (scratch.path().join("file"), "A file is in its place"),
        // Read-only, or none for files at all, whoever asks.
        (PathBuf::from("/proc/pelton"), "cannot be created"),
        (PathBuf::from("/sys/pelton"), "cannot be created"),
    ];
    for (place, about) in places {
        for durability in [Durability::Process, Durability::Disk] {
            let rows = collect();
            let error = job(1_000, &rows).start_with(&config(&place, durability, 1)).unwrap_err();
            assert!(matches!(error, JobError::Open(_)) && error.to_string().contains(about), "{error}");
            assert!(rows.take().is_empty());
        }
    }
    assert_eq!(fs::read(scratch.path().join("file")).unwrap(), b"mine");
}

#[test]
fn a_disk_without_room_is_refused_with_what_is_needed() {
    let scratch = Scratch::new("full");
    let mut config = config(scratch.path(), Durability::Disk, 1_024);
    config.log.segment_bytes = 1 << 30;
    config.key_groups = 1_024;
    let error = job(1_000, &collect()).start_with(&config).unwrap_err().to_string();
    assert!(
        error.contains("no space left on the device") && error.contains("2199023255552 bytes"),
        "{error}"
    );
    assert!(!scratch.path().join("MANIFEST").exists(), "nothing was begun");
}

#[test]
fn a_place_that_forgets_is_noted() {
    let place = Path::new("/dev/shm").join(format!("pelton-noted-{}", std::process::id()));
    let rows = collect();
    let running = job(1_000, &rows).start_with(&config(&place, Durability::Disk, 1)).unwrap();
    let notes = running.notes().to_vec();
    running.wait().unwrap();
    fs::remove_dir_all(&place).unwrap();
    assert!(notes.iter().any(|note| note.contains("memory")), "{notes:?}");
}

/// What the coordinator of checkpoints cannot write ends the job with an error, be it at the very end.
#[test]
fn a_coordinator_that_fails_is_reported() {
    for at_the_end in [false, true] {
        let (scratch, rows) = (Scratch::new("coordinator"), collect());
        let config = config(scratch.path(), Durability::Process, 2);
        let running = job(if at_the_end { NUMBERS } else { 1 << 40 }, &rows).start_with(&config).unwrap();
        // Nothing can be written under this name any more, and the next manifest is.
        fs::create_dir_all(scratch.path().join("MANIFEST.new/in-the-way")).unwrap();
        if !at_the_end {
            assert!(running.checkpoint(None).is_err());
        }
        let error = running.wait().unwrap_err().to_string();
        assert!(error.contains("MANIFEST.new"), "{error}");
        fs::remove_dir_all(scratch.path().join("MANIFEST.new")).unwrap();
        if at_the_end {
            job(NUMBERS, &rows).run_with(&config).unwrap();
        }
    }
}

#[test]
fn a_savepoint_has_a_name_of_its_own() {
    let (scratch, rows) = (Scratch::new("names"), collect());
    let running = job(1 << 40, &rows).start_with(&config(scratch.path(), Durability::Process, 2)).unwrap();
    let first = running.checkpoint(Some("monday")).unwrap();
    let error = running.checkpoint(Some("monday")).unwrap_err().to_string();
    assert!(error.contains("there is a savepoint `monday` already"), "{error}");
    for name in ["", "12", "a/b"] {
        assert!(running.checkpoint(Some(name)).is_err(), "{name}");
    }
    let second = running.checkpoint(Some("tuesday")).unwrap();
    assert!(second.tick > first.tick && second.number > first.number);
    running.stop(Stop::Now);
    running.wait().unwrap();
    let manifest = pelton::replay::manifest(scratch.path()).unwrap();
    let names: Vec<_> = manifest.checkpoints.iter().filter_map(|kept| kept.savepoint.clone()).collect();
    assert_eq!(names, ["monday", "tuesday"]);
}

/// A savepoint that is damaged is refused before anything is given up for it.
#[test]
fn a_damaged_savepoint_changes_nothing() {
    let (scratch, rows) = (Scratch::new("damaged"), collect());
    let mut config = config(scratch.path(), Durability::Process, 2);
    let running = job(1 << 40, &rows).start_with(&config).unwrap();
    let saved = running.checkpoint(Some("damaged")).unwrap();
    running.checkpoint(None).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    let mut named = Named::default();
    named.add(rows.take_named());

    let directory = scratch.path().join(format!("checkpoint/{:08}", saved.number));
    let path = find(&directory, "shard-0001.snap");
    let mut bytes = fs::read(&path).unwrap();
    // In the payload of a block: only what reads all of it comes upon that.
    bytes[4096 + 100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let before = content(scratch.path());
    config.restore = Some("damaged".to_owned());
    let error = job(1 << 40, &rows).start_with(&config).unwrap_err().to_string();
    assert!(error.contains("damaged"), "{error}");
    assert!(content(scratch.path()) == before, "nothing was changed");

    config.restore = None;
    let running = job(1 << 40, &rows).start_with(&config).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    named.add(rows.take_named());
}
