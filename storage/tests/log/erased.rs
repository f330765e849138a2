//! What is cut short and erased is gone from the disk itself, though syncs fail meanwhile and the page cache says that
//! all is well.

use crate::common::{DIRECTORY, Owned, append, mark, options, put_mark, read};
use pelton_storage::disk::{Crash, Disk, Faults, How, Simulated};
use pelton_storage::{Durability, Kind, Log, LogOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PAGE: u64 = 4_096;

fn path(number: u64) -> PathBuf {
    Path::new(DIRECTORY).join(format!("seg-{number:08}.log"))
}

fn bytes(disk: &Arc<dyn Disk>, number: u64) -> Vec<u8> {
    (*disk.open(&path(number), How::Read).unwrap().map().unwrap()).as_ref().to_vec()
}

/// Appends one group of so many entries and makes it durable. Where it begins and ends is returned, too.
fn group(
    disk: &Arc<dyn Disk>,
    options: &LogOptions,
    tick: u64,
    count: usize,
    bytes: usize,
) -> (Vec<Owned>, u64, u64) {
    let (mut log, recovered) = Log::open(disk, Path::new(DIRECTORY), options).unwrap();
    let entry = Owned { tick, kind: Kind::Tick, payload: vec![tick as u8; bytes] };
    for _ in 0..count {
        append(&mut log, &entry).unwrap();
    }
    while log.pending().is_some() {
        log.turn(0).unwrap();
    }
    drop(log);
    let (_, after) = Log::open(disk, Path::new(DIRECTORY), options).unwrap();
    (vec![entry; count], recovered.end, after.end)
}

/// A log of two groups, the second of which is cut short on the disk: its page number `lost` is missing. All its pages
/// hold whole entries.
fn torn(seed: u64, lost: u64) -> (Simulated, Arc<dyn Disk>, LogOptions, Vec<Owned>, u64) {
    let machine = Simulated::new(seed, Faults::default());
    let disk: Arc<dyn Disk> = Arc::new(machine.clone());
    let options = options(Durability::Disk);
    let (kept, ..) = group(&disk, &options, 1, 1, 3_000);
    let before = mark(&disk);
    let (_, from, to) = group(&disk, &options, 2, 300, 32);
    put_mark(&disk, &before);
    assert!(to - from == 5 * PAGE);
    let file = disk.open(&path(0), How::Write).unwrap();
    file.write_at(&[0; PAGE as usize], from + lost * PAGE).unwrap();
    file.sync().unwrap();
    (machine, disk, options, kept, from)
}

#[test]
fn syncs_that_fail_leave_nothing_on_the_disk() {
    let mut failed = 0;
    for seed in 0..200 {
        for lost in [0, 1, 4] {
            let (machine, disk, options, kept, from) = torn(seed, lost);
            machine.set_faults(Faults { sync_error: 400, ..Faults::default() });
            for _ in 0..1 + seed % 3 {
                failed += usize::from(Log::open(&disk, Path::new(DIRECTORY), &options).is_err());
            }
            machine.set_faults(Faults::default());
            let (_, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
            assert_eq!((recovered.entries, recovered.end), (1, from));
            machine.crash(Crash::Power);
            let behind = &bytes(&disk, 0)[from as usize..];
            let stale = behind.iter().position(|&byte| byte != 0);
            assert_eq!(stale, None, "seed {seed}, page {lost} was lost");
            assert_eq!(read(&disk, &options, 0).unwrap(), kept);
        }
    }
    assert!(failed > 100, "{failed}");
}

/// The first group of a segment is cut short, and recovery from that is, too, several times: nothing is refused then.
#[test]
fn a_segment_that_begins_with_a_torn_group_is_used_all_the_same() {
    for seed in 0..400 {
        let machine = Simulated::new(seed, Faults::default());
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        let options = options(Durability::Disk);
        let (first, ..) = group(&disk, &options, 1, 1, 25_000);
        let (second, ..) = group(&disk, &options, 2, 1, 25_000);
        let before = mark(&disk);
        let (_, _, end) = group(&disk, &options, 3, 1, 25_000);
        put_mark(&disk, &before);
        assert_eq!(end / options.segment_bytes, 1, "the third is in the next segment");
        let file = disk.open(&path(1), How::Write).unwrap();
        file.write_at(&[0; PAGE as usize], 3 * PAGE).unwrap();
        file.sync().unwrap();
        let expected = [first, second].concat();
        for _ in 0..3 {
            machine
                .set_faults(Faults { sync_error: if seed % 2 == 0 { 200 } else { 0 }, ..Faults::default() });
            machine.stop_after(1 + seed / 2 % 60);
            let _ = Log::open(&disk, Path::new(DIRECTORY), &options);
            machine.crash(if seed % 3 == 0 { Crash::Process } else { Crash::Power });
        }
        machine.set_faults(Faults::default());
        let (_, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        assert_eq!(recovered.entries, 2, "seed {seed}");
        machine.crash(Crash::Power);
        assert_eq!(read(&disk, &options, 0).unwrap(), expected, "seed {seed}");
        let (third, ..) = group(&disk, &options, 3, 1, 30_000);
        machine.crash(Crash::Power);
        assert_eq!(read(&disk, &options, 3).unwrap(), third, "seed {seed}");
    }
}
