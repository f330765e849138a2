//! A log of several segments, and one whose newest entries are in a staging ring: sound ones, changed, and sealed
//! again or not.
//!
//! Held against the readers: the reader and the scan show the same; what recovery keeps is what the reader showed
//! before it; a log that was refused reads as before; and a log that was recovered takes an entry, and is whole
//! when it is opened again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_fuzz::{Draw, Files, files_in, machine, patch, put, u32_in};
use pelton_storage::disk::{Disk, Lifetime};
use pelton_storage::{Durability, Kind, Log, LogOptions, LogReader, LogScan, Look};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const DIRECTORY: &str = "/data/log/g0001/shard-0002";
const SEGMENT: u64 = 64 << 10;
const PAGE: usize = 4096;

fn options(durability: Durability) -> LogOptions {
    LogOptions { durability, segment_bytes: SEGMENT, id: 9, generation: 1, shard: 2 }
}

/// A log as a run left it.
struct Left {
    files: Files,
    ring: Option<Vec<u8>>,
    /// The ring's name, which the segments know.
    ring_name: String,
    /// Where entries are, in which file.
    entries: Vec<(usize, usize)>,
}

static ON_DISK: LazyLock<Left> = LazyLock::new(|| leave(Durability::Disk));
static IN_RING: LazyLock<Left> = LazyLock::new(|| leave(Durability::Process));

fn leave(durability: Durability) -> Left {
    let (disk, directory) = (machine(), Path::new(DIRECTORY));
    let (mut log, _) = Log::open(&disk, directory, &options(durability)).expect("memory");
    for tick in 1..=40u64 {
        let payload = vec![tick as u8; (tick as usize * 331) % 8_000];
        while log.room() < payload.len().max(1) {
            turn(&mut log, tick);
        }
        log.append(tick, if tick % 7 == 0 { Kind::Hash } else { Kind::Tick }, &payload);
        if tick % 3 == 0 {
            turn(&mut log, tick);
        }
    }
    while log.pending().is_some() {
        turn(&mut log, 40);
    }
    let ring_name = disk.stagings("").expect("memory").pop().unwrap_or_default();
    let ring = (durability == Durability::Process).then(|| {
        let memory = disk.find_staging(&ring_name, None).expect("memory").expect("the log has one");
        let mut bytes = vec![0; memory.len()];
        memory.read(0, &mut bytes);
        bytes
    });
    let mut files = files_in(&disk, directory);
    files.extend(files_in(&disk, directory.parent().expect("it has one")));
    let mut entries = Vec::new();
    for (number, (_, bytes)) in files.iter().enumerate() {
        let is_entry = |at: &usize| {
            let len = u32_in(bytes, at + 4).unwrap_or(0) as usize;
            let body = bytes.get(at + 4..at + 32 + len);
            body.is_some_and(|body| Some(crc32c::crc32c_append(seed(), body)) == u32_in(bytes, *at))
        };
        let found = (PAGE..bytes.len()).step_by(16).filter(is_entry);
        entries.extend(found.map(|at| (number, at)));
    }
    assert!(entries.len() > 40, "the seed or the form of entries is another");
    Left { files, ring, ring_name, entries }
}

fn turn(log: &mut Log, tick: u64) {
    log.turn(tick.saturating_sub(3)).expect("memory");
    log.wait(Duration::from_millis(1)).expect("memory");
}

/// Where the checksums of this log's entries begin.
fn seed() -> u32 {
    let seed = crc32c::crc32c(&9u128.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &1u32.to_le_bytes()), &2u16.to_le_bytes())
}

/// Puts the right checksum into the entry at `at`.
fn seal_entry(file: &mut [u8], at: usize) {
    let Some(len) = u32_in(file, at + 4) else { return };
    let end = (at + 32).saturating_add(len as usize).min(file.len());
    if at + 32 <= end {
        let crc = crc32c::crc32c_append(seed(), &file[at + 4..end]);
        patch(file, at, &crc.to_le_bytes());
    }
}

/// Puts the right checksum into the first page.
fn seal_header(file: &mut [u8]) {
    if file.len() >= 64 {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&file[..12]), &file[16..64]);
        patch(file, 12, &crc.to_le_bytes());
    }
}

/// Puts the right checksum into a slot of a mark.
fn seal_mark(file: &mut [u8], slot: usize) {
    if let Some(bytes) = file.get(slot..slot + 512) {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
        patch(file, slot + 12, &crc.to_le_bytes());
    }
}

type Seen = Result<Vec<(u64, Kind, u64, u32)>, String>;

fn read(disk: &Arc<dyn Disk>, options: &LogOptions) -> Seen {
    let mut reader =
        LogReader::open(disk, Path::new(DIRECTORY), options, 0).map_err(|error| error.to_string())?;
    let mut seen = Vec::new();
    while let Some(entry) = reader.next().map_err(|error| error.to_string())? {
        assert_eq!(entry.payload.as_ptr().align_offset(16), 0);
        seen.push((entry.tick, entry.kind, entry.position, crc32c::crc32c(entry.payload)));
    }
    assert!(seen.is_sorted_by_key(|entry| entry.0), "ticks never fall");
    assert!(seen.is_sorted_by(|a, b| a.2 < b.2), "nor do positions");
    Ok(seen)
}

/// What the scan shows; `None` if it had to leave the ring out.
fn scan(disk: &Arc<dyn Disk>) -> Option<Seen> {
    let mut seen = Vec::new();
    let mut scan = match LogScan::open(disk, Path::new(DIRECTORY), 9, 1, 2, Look::Alone) {
        Ok(Some(scan)) => scan,
        Ok(None) => return Some(Ok(seen)),
        Err(error) => return Some(Err(error.to_string())),
    };
    if scan.unseen().is_some() {
        return None;
    }
    loop {
        match scan.group() {
            Ok(Some(group)) => {
                let before = seen.len();
                seen.extend(
                    scan.entries()
                        .map(|entry| (entry.tick, entry.kind, entry.position, crc32c::crc32c(entry.payload))),
                );
                assert_eq!(group.entries as usize, seen.len() - before);
            }
            Ok(None) => break,
            Err(error) => return Some(Err(error.to_string())),
        }
    }
    let _ = scan.torn().expect("memory can be mapped");
    Some(Ok(seen))
}

fuzz_target!(|bytes: &[u8]| {
    let mut draw = Draw::new(bytes);
    let first = draw.byte();
    let left = if first & 1 == 0 { &*ON_DISK } else { &*IN_RING };
    let next = if first & 2 == 0 { Durability::Disk } else { Durability::Process };
    let (mut files, mut ring) = (left.files.clone(), left.ring.clone());
    while !draw.is_empty() && !files.is_empty() {
        change(&mut draw, left, &mut files, &mut ring);
    }

    let (disk, directory) = (machine(), Path::new(DIRECTORY));
    disk.create_directory(directory).expect("memory");
    put(&disk, &files);
    if let Some(ring) = &ring {
        let memory = disk.staging(&left.ring_name, ring.len(), Lifetime::OnMachine).expect("memory");
        memory.write(0, ring);
    }
    let options = options(next);
    let before = read(&disk, &options);
    // A log of another size of segments is refused by the one that knows the size, and read by the one that looks
    // it up.
    if let (Ok(before), Some(scanned)) = (&before, scan(&disk)) {
        assert_eq!(Ok(before), scanned.as_ref(), "the reader and the scan differ");
    }
    match Log::open(&disk, directory, &options) {
        Ok((mut log, recovered)) => {
            let mut expected = before.expect("recovery took what the reader refuses");
            assert_eq!(recovered.entries, expected.len() as u64);
            assert_eq!(recovered.first_tick, expected.first().map(|entry| entry.0));
            log.append(recovered.last_tick, Kind::Control, b"one more");
            log.sync().expect("memory");
            drop(log);
            let after = read(&disk, &options).expect("it was recovered");
            assert_eq!(after[..expected.len()], expected, "recovery changed what was there");
            expected.extend(after.last());
            assert_eq!(after, expected, "one entry was appended");
            let (_, again) = Log::open(&disk, directory, &options).expect("it was recovered");
            assert_eq!((again.entries, again.torn), (after.len() as u64, None));
        }
        Err(error) => {
            assert!(error.to_string().starts_with("/data/"), "{error}");
            assert_eq!(read(&disk, &options), before, "what was refused was changed");
        }
    }
});

/// One change that the input asks for.
fn change(draw: &mut Draw<'_>, left: &Left, files: &mut Files, ring: &mut Option<Vec<u8>>) {
    let which = draw.byte() as usize % files.len();
    let kind = draw.byte() % 12;
    if let (8..=10, Some(ring)) = (kind, ring.as_mut()) {
        match kind {
            8 => {
                let at = draw.below(ring.len());
                patch(ring, at, draw.bytes(2));
            }
            9 => patch(ring, [64, 128][draw.byte() as usize % 2], &draw.edge().to_le_bytes()),
            _ => {
                let at = [64, 128][draw.byte() as usize % 2];
                let moved = pelton_fuzz::u64_in(ring, at).unwrap_or(0).wrapping_add(draw.edge());
                patch(ring, at, &moved.to_le_bytes());
            }
        }
        return;
    }
    if kind == 11 {
        *ring = None;
        return;
    }
    let (path, file) = &mut files[which];
    let len = file.len().max(1);
    match kind {
        0 => patch(file, draw.below(len), draw.bytes(4)),
        1 if path.extension().is_some_and(|extension| extension == "durable") => {
            let slot = 512 * (draw.byte() as usize % 2);
            patch(file, slot + 8 * (draw.byte() as usize % 14), &draw.edge().to_le_bytes());
            seal_mark(file, slot);
        }
        1 => {
            patch(file, 8 + 4 * (draw.byte() as usize % 14), &draw.edge().to_le_bytes());
            seal_header(file);
        }
        2 => file.truncate(draw.below(len + 1)),
        3 => {
            files.remove(which);
        }
        4 => {
            let name = ["seg", "spare", "spare-new"][draw.byte() as usize % 3];
            let name = format!("{name}-{:08}.log", draw.byte() % 8);
            let (path, copy): (PathBuf, _) = (Path::new(DIRECTORY).join(name), file.clone());
            files.push((path, copy));
        }
        5 => *path = Path::new(DIRECTORY).join(format!("seg-{:08}.log", draw.edge())),
        6 => {
            let from = draw.below(len);
            let end = (from + draw.below(2 * PAGE)).min(file.len());
            file.get_mut(from..end).unwrap_or_default().fill(0);
        }
        _ => {
            let (number, at) = left.entries[draw.below(left.entries.len())];
            let original = &left.files[number].0;
            if let Some((_, file)) = files.iter_mut().find(|(path, _)| path == original) {
                let field = [4, 8, 16, 24, 26, 32, 40, 48, 56][draw.byte() as usize % 9];
                let wide = if matches!(field, 4) {
                    4
                } else if matches!(field, 24 | 26) {
                    2
                } else {
                    8
                };
                patch(file, at + field, &draw.edge().to_le_bytes()[..wide]);
                seal_entry(file, at);
            }
        }
    }
}
