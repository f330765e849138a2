//! What every disk does, checked on each of them.

use super::*;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

type Shared = Arc<dyn Disk>;

/// Runs `behaviour` on every disk, each with an empty directory.
fn check(behaviour: fn(&Shared, &Path)) {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let slow = Faults { slow: 0..40, short_write: 300, ..Faults::default() };
    let disks: [(&str, Shared); 5] = [
        ("uring", Arc::new(Uring::new(false))),
        ("uring-direct", Arc::new(Uring::new(true))),
        ("blocking", Arc::new(Blocking::new())),
        ("simulated", Arc::new(Simulated::new(7, Faults::default()))),
        ("simulated-slow", Arc::new(Simulated::new(7, slow))),
    ];
    for (name, disk) in disks {
        if let Err(error) = disk.writer() {
            assert!(name.starts_with("uring"), "{name}: {error}");
            eprintln!("{name} is skipped: io_uring cannot be used here ({error})");
            continue;
        }
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let directory = PathBuf::from(format!("pelton-battery-{name}-{}-{run}", std::process::id()));
        let directory = std::env::temp_dir().join(directory);
        disk.create_directory(&directory).unwrap();
        behaviour(&disk, &directory);
        // The simulated ones have none there.
        let _ = std::fs::remove_dir_all(directory);
    }
}

/// Waits for the next completion.
fn next(writer: &mut dyn Writer) -> Completed {
    for _ in 0..100_000 {
        if let Some(completed) = writer.completed() {
            return completed;
        }
        writer.wait(Duration::from_millis(5)).unwrap();
    }
    panic!("nothing completes");
}

fn owned(bytes: &[u8]) -> Source {
    Source::Owned(bytes.to_vec())
}

fn content(file: &Arc<dyn DiskFile>) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn writes_complete_with_their_memory() {
    check(|disk, directory| {
        let file = disk.open(&directory.join("file"), How::Create).unwrap();
        let mut writer = disk.writer().unwrap();
        assert!(writer.completed().is_none());
        assert_eq!(writer.in_flight(), 0);
        for (id, sync) in [(1, false), (2, true)] {
            writer.submit(WriteId(id), &file, owned(b"hello"), 100 * id, sync).unwrap();
            assert_eq!(writer.in_flight(), 1);
            let completed = next(&mut *writer);
            completed.result.unwrap();
            assert_eq!(completed.id, WriteId(id));
            assert_eq!(completed.memory.as_deref(), Some(&b"hello"[..]));
            assert_eq!(writer.in_flight(), 0);
        }
        let bytes = content(&file);
        assert_eq!((bytes.len(), &bytes[100..105], &bytes[200..]), (205, &b"hello"[..], &b"hello"[..]));
    });
}

#[test]
fn empty_writes_complete_and_an_empty_sync_syncs() {
    check(|disk, directory| {
        let file = disk.open(&directory.join("file"), How::Create).unwrap();
        let mut writer = disk.writer().unwrap();
        for (id, sync) in [(1, false), (2, true)] {
            writer.submit(WriteId(id), &file, owned(b""), 9, sync).unwrap();
            let completed = next(&mut *writer);
            completed.result.unwrap();
            assert_eq!(completed.id, WriteId(id));
        }
        assert_eq!(file.len().unwrap(), 0);
    });
}

#[test]
fn many_writes_are_all_carried_out() {
    check(|disk, directory| {
        const WRITES: u64 = 200;
        let file = disk.open(&directory.join("file"), How::Create).unwrap();
        let mut writer = disk.writer().unwrap();
        for id in 0..WRITES {
            let bytes = [id as u8; 1_000];
            writer.submit(WriteId(id), &file, owned(&bytes), id * 1_000, id % 16 == 15).unwrap();
        }
        assert_eq!(writer.in_flight(), WRITES as usize);
        let mut seen: Vec<u64> = Vec::new();
        while writer.in_flight() > 0 {
            let completed = next(&mut *writer);
            completed.result.unwrap();
            seen.push(completed.id.0);
        }
        for sync in (15..WRITES).step_by(16) {
            let place = seen.iter().position(|&id| id == sync).unwrap();
            let before = seen[..place].iter().filter(|&&id| id < sync).count();
            assert_eq!(before as u64, sync, "a sync completes after all that was submitted before it");
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..WRITES));
        let bytes = content(&file);
        assert!(bytes.chunks(1_000).enumerate().all(|(id, chunk)| chunk == [id as u8; 1_000]));
    });
}

#[test]
fn overlapping_writes_happen_in_the_order_of_submission() {
    check(|disk, directory| {
        let path = directory.join("file");
        let file = disk.open(&path, How::Create).unwrap();
        // The same file by another handle is the same file.
        let again = disk.open(&path, How::Write).unwrap();
        let mut writer = disk.writer().unwrap();
        for id in 0..100u64 {
            let file = if id % 2 == 0 { &file } else { &again };
            writer.submit(WriteId(id), file, owned(&[id as u8; 3_000]), id * 10, false).unwrap();
        }
        while writer.in_flight() > 0 {
            next(&mut *writer).result.unwrap();
        }
        let bytes = content(&file);
        assert!((0..100).all(|id| bytes[id * 10] == id as u8));
        assert!(bytes[990..].iter().all(|&byte| byte == 99));
    });
}

#[test]
fn rings_are_written_from_where_they_are() {
    check(|disk, directory| {
        // `.log`, so that the direct disk is direct for the aligned ones.
        let file = disk.open(&directory.join("segment.log"), How::Create).unwrap();
        file.fill_zeros(64 << 10).unwrap();
        let ring = disk.staging("", 32 << 10, Lifetime::InProcess).unwrap();
        for place in 0..4u8 {
            ring.write(usize::from(place) * 8_192, &[place + 1; 8_192]);
        }
        let mut writer = disk.writer().unwrap();
        let stretches =
            [(4_096, 8_192, 0), (8_192, 4_096, 12_288), (100, 5, 20_000), (28 << 10, 4_096, 60 << 10)];
        for (id, (from, len, at)) in stretches.into_iter().enumerate() {
            let source = Source::Staging { ring: ring.clone(), at: from, len };
            writer.submit(WriteId(id as u64), &file, source, at, true).unwrap();
        }
        while writer.in_flight() > 0 {
            let completed = next(&mut *writer);
            completed.result.unwrap();
            assert!(completed.memory.is_none());
        }
        let bytes = content(&file);
        assert_eq!(bytes.len(), 64 << 10);
        for (from, len, at) in stretches {
            let mut expected = vec![0; len];
            ring.read(from, &mut expected);
            assert_eq!(bytes[at as usize..][..len], expected);
        }
        assert_eq!(bytes[20_005], 0);
    });
}

#[test]
fn a_write_that_fails_says_so_once_and_the_writer_goes_on() {
    check(|disk, directory| {
        let path = directory.join("file");
        let file = disk.open(&path, How::Create).unwrap();
        let closed = disk.open(&path, How::Read).unwrap();
        assert!(closed.write_at(b"no", 0).is_err());
        let mut writer = disk.writer().unwrap();
        for (id, sync) in [(1, false), (2, true)] {
            writer.submit(WriteId(id), &closed, owned(b"no"), 0, sync).unwrap();
            let completed = next(&mut *writer);
            assert_eq!(completed.id, WriteId(id));
            assert!(completed.result.is_err());
            assert!(completed.memory.is_some());
        }
        writer.submit(WriteId(3), &file, owned(b"yes"), 0, true).unwrap();
        next(&mut *writer).result.unwrap();
        assert_eq!((writer.in_flight(), content(&file)), (0, b"yes".to_vec()));
    });
}

#[test]
fn files_of_another_disk_are_refused() {
    let path = std::env::temp_dir().join(format!("pelton-battery-other-{}", std::process::id()));
    let real = Blocking::new().open(&path, How::Create).unwrap();
    let mut writer = Simulated::new(1, Faults::default()).writer().unwrap();
    assert!(writer.submit(WriteId(1), &real, owned(b"bytes"), 0, false).is_err());
    assert_eq!(writer.in_flight(), 0);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn dropping_a_writer_carries_out_what_it_was_given() {
    check(|disk, directory| {
        let file = disk.open(&directory.join("file"), How::Create).unwrap();
        let mut writer = disk.writer().unwrap();
        for id in 0..50u64 {
            writer.submit(WriteId(id), &file, owned(&[1; 100]), id * 100, id == 49).unwrap();
        }
        drop(writer);
        assert_eq!(content(&file), vec![1; 5_000]);
    });
}

#[test]
fn waiting_ends() {
    check(|disk, directory| {
        let file = disk.open(&directory.join("file"), How::Create).unwrap();
        let mut writer = disk.writer().unwrap();
        // Nothing is under way, so there is nothing to wait for.
        writer.wait(Duration::from_secs(3_600)).unwrap();
        writer.submit(WriteId(1), &file, owned(&[1; 100]), 0, true).unwrap();
        writer.wait(Duration::ZERO).unwrap();
        writer.wait(Duration::from_secs(3_600)).unwrap();
        next(&mut *writer).result.unwrap();
    });
}

#[test]
fn reads_past_the_end_are_refused() {
    check(|disk, directory| {
        let file = disk.open(&directory.join("file"), How::Create).unwrap();
        file.write_at(b"0123456789", 0).unwrap();
        let mut bytes = [0; 4];
        file.read_at(&mut bytes, 6).unwrap();
        assert_eq!(&bytes, b"6789");
        for at in [7, 10, 1_000] {
            assert_eq!(file.read_at(&mut bytes, at).unwrap_err().kind(), ErrorKind::UnexpectedEof, "at {at}");
        }
        file.read_at(&mut [], 10).unwrap();
    });
}

#[test]
fn lengths_change() {
    check(|disk, directory| {
        let file = disk.open(&directory.join("file"), How::Create).unwrap();
        file.write_at(&[7; 10_000], 0).unwrap();
        file.set_len(5_000).unwrap();
        file.set_len(6_000).unwrap();
        file.sync().unwrap();
        let bytes = content(&file);
        assert_eq!(bytes.len(), 6_000);
        assert!(bytes[..5_000].iter().all(|&byte| byte == 7) && bytes[5_000..].iter().all(|&byte| byte == 0));
    });
}

#[test]
fn zeros_are_filled_in_and_content_is_mapped() {
    check(|disk, directory| {
        let file = disk.open(&directory.join("file"), How::Create).unwrap();
        assert!((*file.map().unwrap()).as_ref().is_empty());
        file.write_at(&[7; 3 << 20], 0).unwrap();
        file.fill_zeros((2 << 20) + 100).unwrap();
        file.write_at(b"here", 1_000).unwrap();
        let map = file.map().unwrap();
        let bytes: &[u8] = (*map).as_ref();
        assert_eq!(bytes.len(), 3 << 20);
        assert_eq!(bytes.as_ptr().align_offset(16), 0);
        assert_eq!(bytes, content(&file));
        assert_eq!(&bytes[999..1_005], b"\0here\0");
        assert_eq!(bytes[(2 << 20) + 99..(2 << 20) + 101], [0, 7]);
        file.fill_zeros(4 << 20).unwrap();
        assert!(content(&file).iter().all(|&byte| byte == 0));
    });
}

#[test]
fn names_change() {
    check(|disk, directory| {
        let at = |name: &str| directory.join(name);
        assert_eq!(disk.open(&at("a"), How::Write).err().unwrap().kind(), ErrorKind::NotFound);
        assert_eq!(disk.open(&at("no/a"), How::Create).err().unwrap().kind(), ErrorKind::NotFound);
        assert_eq!(disk.list(&at("no")).unwrap_err().kind(), ErrorKind::NotFound);
        for name in ["b", "a", "c"] {
            disk.open(&at(name), How::Create).unwrap().write_at(name.as_bytes(), 0).unwrap();
        }
        assert_eq!(disk.open(&at("a"), How::Create).err().unwrap().kind(), ErrorKind::AlreadyExists);
        disk.create_directory(&at("x/y")).unwrap();
        disk.create_directory(&at("x/y")).unwrap();
        disk.open(&at("x/y/z"), How::Create).unwrap();
        disk.open(&at("x.log"), How::Create).unwrap();
        assert_eq!(disk.list(directory).unwrap(), ["a", "b", "c", "x", "x.log"]);
        assert_eq!(disk.list(&at("x")).unwrap(), ["y"]);

        let open = disk.open(&at("c"), How::Read).unwrap();
        disk.rename(&at("a"), &at("c")).unwrap();
        assert_eq!(content(&disk.open(&at("c"), How::Read).unwrap()), b"a");
        assert_eq!(content(&open), b"c", "who has a file open keeps it");
        assert_eq!(disk.rename(&at("a"), &at("d")).unwrap_err().kind(), ErrorKind::NotFound);
        disk.remove(&at("b")).unwrap();
        assert_eq!(disk.remove(&at("b")).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(disk.remove(&at("x/y")).is_err(), "it is not empty");
        disk.remove(&at("x/y/z")).unwrap();
        disk.remove(&at("x/y")).unwrap();
        disk.sync_directory(directory).unwrap();
        disk.sync_directory(&at("x")).unwrap();
        assert_eq!(disk.list(directory).unwrap(), ["c", "x", "x.log"]);
        assert!(disk.list(&at("x")).unwrap().is_empty());
    });
}

#[test]
fn a_lock_is_held_by_one() {
    check(|disk, directory| {
        let held = disk.lock(directory).unwrap();
        assert_eq!(disk.lock(directory).err().unwrap().kind(), ErrorKind::WouldBlock);
        assert_eq!(disk.lock(&directory.join(LOCK)).err().unwrap().kind(), ErrorKind::WouldBlock);
        assert_eq!(disk.list(directory).unwrap(), [LOCK]);
        drop(held);
        drop(disk.lock(&directory.join(LOCK)).unwrap());
        disk.lock(directory).unwrap();
    });
}

#[test]
fn an_open_file_holds_its_lock_and_its_length_is_known_without() {
    check(|disk, directory| {
        let path = directory.join("file");
        assert_eq!(disk.len_of(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let held = disk.open(&path, How::Create).unwrap();
        let other = disk.open(&path, How::Write).unwrap();
        (0..2).for_each(|_| held.lock(Duration::ZERO).unwrap());
        let refused = |file: &dyn DiskFile| file.lock(Duration::ZERO).unwrap_err().kind();
        assert_eq!(refused(&*other), ErrorKind::WouldBlock);
        assert_eq!(disk.lock(&path).err().unwrap().kind(), ErrorKind::WouldBlock);
        other.write_at(b"bytes", 7).unwrap();
        assert_eq!((disk.len_of(&path).unwrap(), held.len().unwrap()), (12, 12));
        drop(held);
        other.lock(Duration::ZERO).unwrap();
        drop(other);
        let lock = disk.lock(&path).unwrap();
        assert_eq!(refused(&*disk.open(&path, How::Read).unwrap()), ErrorKind::WouldBlock);
        drop(lock);
        disk.len_of(directory).unwrap();
    });
}

#[test]
fn rings_on_the_machine_are_found_again() {
    check(|disk, directory| {
        // Others run this test at the same time.
        let prefix = format!("battery-{}-{:016x}-", std::process::id(), disk.draw());
        let name = |ring: &str| format!("{prefix}{ring}");
        let make = |ring: &str| disk.staging(&name(ring), 8_192, Lifetime::OnMachine);
        let find = |ring: &str| disk.find_staging(&name(ring), None).unwrap();
        assert!(find("0").is_none(), "looking makes none");
        let first = make("0").unwrap();
        assert_eq!((first.len(), first.load(8_184)), (8_192, 0));
        first.store(8_184, 77);
        assert_eq!(make("0").unwrap_err().kind(), ErrorKind::AlreadyExists, "nobody takes another's name");
        drop(first);
        let second = disk.find_staging(&name("0"), Some(Duration::ZERO)).unwrap().unwrap();
        assert_eq!((second.len(), second.load(8_184)), (8_192, 77));
        assert_eq!(make("1").unwrap().load(8_184), 0, "another name");
        assert_eq!(disk.stagings(&prefix).unwrap(), [name("0"), name("1")]);
        disk.remove_staging(&name("0")).unwrap();
        assert_eq!(second.load(8_184), 77, "who has it keeps it");
        assert!(find("0").is_none());
        for ring in ["1", "never"] {
            disk.remove_staging(&name(ring)).unwrap();
        }
        assert!(disk.stagings(&prefix).unwrap().is_empty());
        assert!(disk.staging_room().unwrap().is_none_or(|free| free > 0));

        let inside = disk.staging("", 8_192, Lifetime::InProcess).unwrap();
        inside.store(0, 5);
        assert_eq!(disk.staging("", 8_192, Lifetime::InProcess).unwrap().load(0), 0);
        let owner = disk.owner(directory).unwrap();
        assert!(owner.is_same(&disk.owner(directory).unwrap()));
        assert_ne!(disk.draw(), disk.draw());
    });
}

#[test]
fn the_machine_stays_the_same_while_it_runs() {
    check(|disk, _| {
        assert!(!disk.boot_id().is_empty());
        assert_eq!(disk.boot_id(), disk.boot_id());
    });
}
