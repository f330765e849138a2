//! What the simulated machine promises beyond what every disk does.

use super::*;
use crate::disk::{Completed, Source, WriteId};
use std::time::Duration;

const FILE: &str = "/data/file";

fn machine(seed: u64, faults: Faults) -> Simulated {
    let machine = Simulated::new(seed, faults);
    machine.create_directory(Path::new("/data")).unwrap();
    machine
}

/// A file of zeros whose name and content are durable.
fn durable_file(machine: &Simulated, len: u64) -> Arc<dyn DiskFile> {
    let file = machine.open(Path::new(FILE), How::Create).unwrap();
    file.fill_zeros(len).unwrap();
    machine.sync_directory(Path::new("/data")).unwrap();
    file
}

fn content(machine: &Simulated) -> Vec<u8> {
    let file = machine.open(Path::new(FILE), How::Read).unwrap();
    (*file.map().unwrap()).as_ref().to_vec()
}

fn next(writer: &mut dyn Writer) -> Completed {
    loop {
        if let Some(completed) = writer.completed() {
            return completed;
        }
        writer.wait(Duration::from_micros(20)).unwrap();
    }
}

fn owned(byte: u8, len: usize) -> Source {
    Source::Owned(vec![byte; len])
}

/// Writes `rounds` pages with every fault there is and crashes at times; what completed and what was read, folded into one text.
fn story(seed: u64, rounds: u64) -> (String, u64) {
    let faults = Faults {
        sync_error: 50,
        write_error: 50,
        short_write: 200,
        full_at_bytes: Some(150 << 10),
        slow: 0..9,
        bit_flips: 2,
        flip_in: vec!["file".to_owned()],
        ..Faults::default()
    };
    let machine = machine(seed, Faults::default());
    durable_file(&machine, 128 << 10);
    machine.set_faults(faults);
    let mut story = String::new();
    for life in 0..rounds {
        let Ok(file) = machine.open(Path::new(FILE), How::Write) else { break };
        let ring = machine.find_staging("ring", None).unwrap();
        let ring = ring.unwrap_or_else(|| machine.staging("ring", 8_192, Lifetime::OnMachine).unwrap());
        story += &format!("life {life}: ring {}\n", ring.load(0));
        ring.store(0, ring.load(0) + 1);
        let mut writer = machine.writer().unwrap();
        machine.stop_after(20 + life);
        for id in 0.. {
            let source = Source::Staging { ring: ring.clone(), at: 0, len: 5_000 };
            if writer.submit(WriteId(id), &file, source, id * 9_000, id % 3 == 0).is_err()
                || writer.wait(Duration::from_micros(3)).is_err()
            {
                break;
            }
            while let Some(completed) = writer.completed() {
                story +=
                    &format!("{}: {:?}\n", completed.id.0, completed.result.map_err(|error| error.kind()));
            }
        }
        assert!(machine.has_ended());
        let how = if life % 3 == 0 { Crash::Power } else { Crash::Process };
        machine.crash(how);
        let sum = content(&machine).iter().fold(0, |sum: u64, &byte| sum.wrapping_mul(31) + u64::from(byte));
        story += &format!("{how:?}: {sum}\n");
    }
    (story, machine.snapshot())
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let mut stories = BTreeSet::new();
    for seed in 0..20 {
        let first = story(seed, 12);
        assert_eq!(first, story(seed, 12), "seed {seed}");
        stories.insert(first);
    }
    assert_eq!(stories.len(), 20, "and another seed gives other ones");
}

#[test]
fn every_fault_happens_in_the_stories() {
    let all: String = (0..20).map(|seed| story(seed, 12).0).collect();
    for sign in ["Ok(())", "Err(StorageFull)", "Err(Uncategorized)", "Process", "Power", "ring 2"] {
        assert!(all.contains(sign), "{sign} in\n{}", &all[..2_000]);
    }
}

#[test]
fn a_synced_write_is_durable_any_crash() {
    for seed in 0..300 {
        let machine = machine(seed, Faults { slow: 0..5, short_write: 300, ..Faults::default() });
        let file = durable_file(&machine, 64 << 10);
        let mut writer = machine.writer().unwrap();
        let mut acknowledged = 0;
        let stop = 3 + seed % 30;
        machine.stop_after(stop);
        for id in 0..16u64 {
            if writer.submit(WriteId(id), &file, owned(id as u8 + 1, 3_000), id * 3_000, true).is_err() {
                break;
            }
            while writer.in_flight() > 0 && writer.wait(Duration::from_micros(20)).is_ok() {
                if let Some(completed) = writer.completed() {
                    completed.result.unwrap();
                    acknowledged = id + 1;
                }
            }
        }
        machine.crash(if seed % 2 == 0 { Crash::Power } else { Crash::Process });
        let bytes = content(&machine);
        for id in 0..acknowledged {
            assert_eq!(
                bytes[id as usize * 3_000..][..3_000],
                [id as u8 + 1; 3_000],
                "seed {seed}, write {id}"
            );
        }
    }
}

/// What became of one page, written and not synced, over many seeds: nothing, all, or a part.
fn fates(how: Crash, completes: bool) -> [u32; 3] {
    let mut fates = [0; 3];
    for seed in 0..300 {
        let machine = machine(seed, Faults { slow: 10..11, ..Faults::default() });
        let file = durable_file(&machine, 64 << 10);
        let mut writer = machine.writer().unwrap();
        writer.submit(WriteId(1), &file, owned(1, 4_096), 4_096, false).unwrap();
        if completes {
            next(&mut *writer).result.unwrap();
        }
        machine.crash(how);
        let bytes = content(&machine);
        assert_eq!(bytes.len(), 64 << 10);
        assert!(
            bytes[..4_096].iter().chain(&bytes[8_192..]).all(|&byte| byte == 0),
            "only what was written changes"
        );
        let sectors: Vec<u8> = bytes[4_096..8_192].chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes[4_096..8_192].chunks(512).all(|sector| sector.iter().all(|&byte| byte == sector[0])));
        let there = sectors.iter().filter(|&&byte| byte == 1).count();
        fates[match there {
            0 => 0,
            8 => 1,
            _ => 2,
        }] += 1;
    }
    fates
}

#[test]
fn a_write_that_was_not_synced_has_every_fate_when_the_power_goes() {
    for completes in [false, true] {
        let fates = fates(Crash::Power, completes);
        assert!(fates.iter().all(|&count| count > 20), "{fates:?}");
    }
}

#[test]
fn a_killed_process_tears_only_what_was_under_way() {
    assert_eq!(fates(Crash::Process, true), [0, 300, 0]);
    let fates = fates(Crash::Process, false);
    assert!(fates.iter().all(|&count| count > 20), "{fates:?}");
}

#[test]
fn a_sync_that_fails_says_so_and_acknowledges_nothing() {
    let machine = machine(1, Faults::default());
    let file = durable_file(&machine, 8_192);
    machine.set_faults(Faults { sync_error: 1_000, ..Faults::default() });
    let mut writer = machine.writer().unwrap();
    writer.submit(WriteId(1), &file, owned(1, 512), 0, true).unwrap();
    assert_eq!(next(&mut *writer).result.unwrap_err().raw_os_error(), Some(libc::EIO));
    assert!(file.sync().is_err());
    assert!(file.fill_zeros(4_096).is_err());
    assert!(machine.sync_directory(Path::new("/data")).is_err());
}

#[test]
fn a_full_disk_refuses_what_it_has_no_room_for() {
    let machine = machine(1, Faults { full_at_bytes: Some(100_000), ..Faults::default() });
    let file = durable_file(&machine, 90_000);
    assert_eq!(file.fill_zeros(100_001).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 90_000);
    file.write_at(&[1; 90_000], 0).unwrap();
    let mut writer = machine.writer().unwrap();
    writer.submit(WriteId(1), &file, owned(1, 20_000), 85_000, true).unwrap();
    assert_eq!(next(&mut *writer).result.unwrap_err().kind(), ErrorKind::StorageFull);
    writer.submit(WriteId(2), &file, owned(1, 10_000), 90_000, true).unwrap();
    next(&mut *writer).result.unwrap();
    let other = machine.open(Path::new("/data/other"), How::Create).unwrap();
    assert_eq!(other.write_at(b"x", 0).unwrap_err().kind(), ErrorKind::StorageFull);
    machine.remove(Path::new(FILE)).unwrap();
    other.write_at(b"x", 0).unwrap();
}

#[test]
fn bits_turn_over_only_where_they_are_told_to() {
    let faults = Faults { bit_flips: 3, flip_in: vec!["/fi".to_owned()], ..Faults::default() };
    let machine = machine(5, faults);
    durable_file(&machine, 64 << 10);
    let other = machine.open(Path::new("/data/other"), How::Create).unwrap();
    other.fill_zeros(64 << 10).unwrap();
    machine.sync_directory(Path::new("/data")).unwrap();
    let ones = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    for (crash, expected) in [(Crash::Power, 3), (Crash::Process, 6)] {
        machine.crash(crash);
        assert_eq!(ones(&content(&machine)), expected);
        let other = machine.open(Path::new("/data/other"), How::Read).unwrap();
        assert_eq!(ones((*other.map().unwrap()).as_ref()), 0);
    }
}

#[test]
fn bits_turn_over_where_something_was_written_if_so_wished() {
    let faults =
        Faults { bit_flips: 7, flip_in: vec!["file".to_owned()], flip_written: true, ..Faults::default() };
    let machine = machine(5, faults);
    let names = ["/data/file-1", "/data/file-2", "/data/file-3"].map(Path::new);
    for name in names {
        let file = machine.open(name, How::Create).unwrap();
        file.fill_zeros(64 << 10).unwrap();
        // Nothing is written in one of them.
        file.write_at(if name.ends_with("file-3") { &[] } else { &[0xFF; 100] }, 5_000).unwrap();
        file.sync().unwrap();
    }
    machine.sync_directory(Path::new("/data")).unwrap();
    machine.crash(Crash::Process);
    let mut changed = 0;
    for name in names {
        let file = machine.open(name, How::Read).unwrap();
        let map = file.map().unwrap();
        let bytes = (*map).as_ref();
        let whole = if name.ends_with("file-3") { 0..0 } else { 5_000..5_100 };
        for (at, byte) in bytes.iter().enumerate() {
            let turned = (byte ^ if whole.contains(&at) { 0xFF } else { 0 }).count_ones();
            assert!(
                turned == 0 || !whole.is_empty() && (4_096..5_100).contains(&at),
                "{}: {at}",
                name.display()
            );
            changed += turned;
        }
    }
    // One may turn over twice, and those drawn for the file in which nothing is written are none.
    assert!((1..=7).contains(&changed), "{changed}");
}

#[test]
fn names_that_were_not_synced_may_be_lost_but_not_out_of_order() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let machine = machine(seed, Faults::default());
        for name in ["a", "b"] {
            machine.open(&Path::new("/data").join(name), How::Create).unwrap();
        }
        machine.sync_directory(Path::new("/data")).unwrap();
        machine.rename(Path::new("/data/a"), Path::new("/data/b")).unwrap();
        machine.open(Path::new("/data/c"), How::Create).unwrap();
        machine.create_directory(Path::new("/data/d/e")).unwrap();
        machine.crash(Crash::Power);
        let names = machine.list(Path::new("/data")).unwrap().join(" ");
        if names.contains('d') {
            outcomes.insert(format!("{names} {:?}", machine.list(Path::new("/data/d")).unwrap()));
        } else {
            outcomes.insert(names);
        }
    }
    let expected = ["a b", "b", "b c", "b c d [\"e\"]", "b c d []"];
    assert!(outcomes.iter().eq(expected), "{outcomes:?}");
}

#[test]
fn a_rename_that_was_synced_stays_with_both_its_directories() {
    for seed in 0..100 {
        let machine = machine(seed, Faults::default());
        machine.create_directory(Path::new("/data/d")).unwrap();
        machine.sync_directory(Path::new("/data")).unwrap();
        machine.open(Path::new("/data/a"), How::Create).unwrap();
        machine.rename(Path::new("/data/a"), Path::new("/data/d/b")).unwrap();
        machine.sync_directory(Path::new("/data/d")).unwrap();
        machine.crash(Crash::Power);
        assert_eq!(machine.list(Path::new("/data")).unwrap(), ["d"]);
        assert_eq!(machine.list(Path::new("/data/d")).unwrap(), ["b"]);
    }
}

#[test]
fn rings_and_locks_be_durable_what_they_should() {
    let machine = machine(1, Faults::default());
    let ring = |machine: &Simulated| machine.find_staging("r", None).unwrap().map(|ring| ring.load(0));
    machine.staging("r", 64, Lifetime::OnMachine).unwrap().store(0, 1);
    let lock = machine.lock(Path::new("/data")).unwrap();
    let boot = machine.boot_id();
    machine.crash(Crash::Process);
    let again = machine.lock(Path::new("/data")).unwrap();
    drop(lock);
    assert!(machine.lock(Path::new("/data")).is_err(), "the dead process's lock is not the living one's");
    drop(again);
    assert_eq!((ring(&machine), machine.boot_id()), (Some(1), boot.clone()));
    machine.crash(Crash::Power);
    assert_eq!(ring(&machine), None);
    assert_ne!(machine.boot_id(), boot);
}

#[test]
fn what_a_dead_process_had_open_is_of_no_use() {
    let machine = machine(1, Faults::default());
    let file = durable_file(&machine, 4_096);
    let mut writer = machine.writer().unwrap();
    writer.submit(WriteId(1), &file, owned(1, 10), 0, false).unwrap();
    machine.stop_after(0);
    assert!(machine.list(Path::new("/data")).is_err());
    assert!(writer.wait(Duration::ZERO).is_err());
    writer.submit(WriteId(2), &file, owned(1, 10), 0, false).unwrap_err();
    let completed = writer.completed().unwrap();
    assert!(completed.id == WriteId(1) && completed.result.is_err());
    assert_eq!((writer.in_flight(), writer.completed().is_none()), (0, true));
    machine.crash(Crash::Process);
    assert!(file.len().is_err() && file.write_at(b"x", 0).is_err() && file.sync().is_err());
    assert!(writer.completed().is_none());
    assert!(writer.submit(WriteId(2), &file, owned(1, 10), 0, false).is_err());
    let mut next = machine.writer().unwrap();
    assert!(next.submit(WriteId(2), &file, owned(1, 10), 0, false).is_err(), "nor to the next process");
}

#[test]
fn memory_that_is_changed_too_early_shows() {
    let machine = machine(1, Faults { slow: 5..6, ..Faults::default() });
    let file = durable_file(&machine, 4_096);
    let ring = machine.staging("r", 64, Lifetime::InProcess).unwrap();
    let mut writer = machine.writer().unwrap();
    let source = Source::Staging { ring: ring.clone(), at: 0, len: 8 };
    writer.submit(WriteId(1), &file, source, 0, true).unwrap();
    ring.store(0, 9);
    next(&mut *writer).result.unwrap();
    assert_eq!(content(&machine)[0], 9);
}

#[test]
fn snapshots_tell_machines_apart() {
    let treated = |last: u8| {
        let machine = machine(1, Faults::default());
        let file = durable_file(&machine, 64 << 20);
        file.write_at(&[last], 1 << 20).unwrap();
        machine.snapshot()
    };
    assert_eq!(treated(1), treated(1));
    assert_ne!(treated(1), treated(2));
}

#[test]
fn reads_fail_or_are_short_and_leave_all_as_it_was() {
    let machine = machine(7, Faults::default());
    durable_file(&machine, 8 << 10).write_at(b"there", 100).unwrap();
    let mut bytes = [0; 5];
    let faults = Faults { read_error: 1_000, unread_in: "elsewhere".to_owned(), ..Faults::default() };
    machine.set_faults(faults);
    assert_eq!(content(&machine)[100..105], *b"there");
    assert_eq!(machine.failed_reads(), 0);
    // Whether reads of a file may fail is decided when it is opened.
    machine.set_faults(Faults { short_read: 1_000, ..Faults::default() });
    let file = machine.open(Path::new(FILE), How::Read).unwrap();
    machine.set_faults(Faults { read_error: 1_000, ..Faults::default() });
    let failed = |error: io::Error| assert_eq!(error.raw_os_error(), Some(libc::EIO));
    machine.open(Path::new(FILE), How::Read).err().map(failed).unwrap();
    machine.open(Path::new(FILE), How::Write).err().map(failed).unwrap();
    machine.list(Path::new("/data")).err().map(failed).unwrap();
    file.len().err().map(failed).unwrap();
    file.map().err().map(failed).unwrap();
    file.read_at(&mut bytes, 100).err().map(failed).unwrap();
    assert_eq!(machine.failed_reads(), 6);
    machine.set_faults(Faults { short_read: 1_000, ..Faults::default() });
    assert_eq!(file.read_at(&mut bytes, 100).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!((file.len().unwrap(), machine.failed_reads()), (8 << 10, 7), "only bytes can be too few");
    machine.set_faults(Faults::default());
    file.read_at(&mut bytes, 100).unwrap();
    assert_eq!(&bytes, b"there");
}

#[test]
fn names_stay_and_blocking_writes_happen_in_part() {
    let (machine, mut parts) = (machine(7, Faults::default()), BTreeSet::new());
    let file = durable_file(&machine, 8 << 10);
    let (from, to) = (Path::new(FILE), Path::new("/data/other"));
    machine.set_faults(Faults { name_error: 1_000, blocking_write_error: 1_000, ..Faults::default() });
    let failed = |error: io::Error| assert_eq!(error.raw_os_error(), Some(libc::EIO));
    machine.rename(from, to).err().map(failed).unwrap();
    machine.remove(from).err().map(failed).unwrap();
    machine.create_directory(to).err().map(failed).unwrap();
    machine.open(to, How::Create).err().map(failed).unwrap();
    assert_eq!(
        (machine.list(Path::new("/data")).unwrap(), machine.failed_changes()),
        (vec!["file".into()], 4)
    );
    for byte in 1..50 {
        file.write_at(&[byte; 2_000], 100).err().map(failed).unwrap();
        parts.insert(content(&machine).iter().filter(|&&there| there == byte).count());
    }
    assert_eq!(parts, BTreeSet::from([0, 412, 924, 1_436, 1_948]), "cut between sectors only");
    machine.set_faults(Faults { false_renames: 1_000, ..Faults::default() });
    machine.rename(from, to).unwrap();
    assert_eq!(machine.list(Path::new("/data")).unwrap(), ["file"]);
}
