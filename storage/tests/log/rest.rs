//! A log that rests is sealed: an empty group is written behind the last one, once, and damage is refused then, whatever
//! there is of it.

use crate::common::{DIRECTORY, Owned, append, options, read};
use pelton_storage::disk::{Crash, Disk, Faults, How, Simulated};
use pelton_storage::{Durability, Kind, Log, LogScan, Look, StorageError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// More than a log waits.
const LONG: usize = 70_000;

fn turns(log: &mut Log, count: usize) {
    for _ in 0..count {
        log.turn(0).unwrap();
        log.wait(Duration::from_micros(1)).unwrap();
    }
}

fn entry(tick: u64) -> Owned {
    Owned { tick, kind: Kind::Tick, payload: vec![tick as u8; 300] }
}

/// How many entries each group has.
fn groups(disk: &Arc<dyn Disk>) -> Vec<u64> {
    let mut scan = LogScan::open(disk, Path::new(DIRECTORY), 0xA11CE, 0, 0, Look::Beside)
        .unwrap()
        .expect("there is a log");
    std::iter::from_fn(|| scan.group().unwrap()).map(|group| group.entries).collect()
}

#[test]
fn it_is_sealed_once_and_goes_on() {
    let machine = Simulated::new(1, Faults::default());
    let disk: Arc<dyn Disk> = Arc::new(machine.clone());
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options(Durability::Disk)).unwrap();
    turns(&mut log, 2 * LONG);
    assert!(groups(&disk).is_empty(), "there is nothing to seal");
    for tick in 1..=3 {
        append(&mut log, &entry(tick)).unwrap();
        turns(&mut log, LONG);
        assert_eq!(log.pending(), None);
        let operations = machine.operations();
        turns(&mut log, 3 * LONG);
        assert_eq!(machine.operations(), operations, "a log that is sealed is left alone");
    }
    assert_eq!(groups(&disk), [1, 0, 1, 0, 1, 0]);
    log.sync().unwrap();
    drop(log);
    let (mut log, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options(Durability::Disk)).unwrap();
    assert_eq!((recovered.entries, recovered.last_tick), (3, 3));
    turns(&mut log, 2 * LONG);
    assert_eq!(groups(&disk).len(), 6, "it was sealed before");
}

#[test]
fn a_log_at_a_steady_rate_is_not_sealed_in_between() {
    let machine = Simulated::new(1, Faults::default());
    let disk: Arc<dyn Disk> = Arc::new(machine.clone());
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options(Durability::Disk)).unwrap();
    for tick in 1..=10 {
        append(&mut log, &entry(tick)).unwrap();
        turns(&mut log, LONG / 2);
    }
    assert_eq!(groups(&disk), [1; 10]);
}

#[test]
fn a_log_with_a_ring_is_not_sealed() {
    let machine = Simulated::new(1, Faults::default());
    let disk: Arc<dyn Disk> = Arc::new(machine.clone());
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options(Durability::Process)).unwrap();
    append(&mut log, &entry(1)).unwrap();
    turns(&mut log, 3 * LONG);
    assert_eq!(groups(&disk), [1]);
}

#[test]
fn more_than_a_byte_is_refused_then() {
    for rests in [false, true] {
        let machine = Simulated::new(1, Faults::default());
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        let options = options(Durability::Disk);
        let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        append(&mut log, &entry(1)).unwrap();
        turns(&mut log, if rests { LONG } else { 100 });
        assert_eq!(log.pending(), None, "it was acknowledged");
        machine.crash(Crash::Power);
        drop(log);
        let file = disk.open(&Path::new(DIRECTORY).join("seg-00000000.log"), How::Write).unwrap();
        file.write_at(b"many bytes", 4_096 + 64 + 100).unwrap();
        match read(&disk, &options, 0) {
            Ok(entries) => assert!(!rests && entries.is_empty(), "{} entries", entries.len()),
            Err(error) => assert!(rests && matches!(error, StorageError::Damaged { .. }), "{error}"),
        }
    }
}

#[test]
fn a_crash_while_it_is_sealed_loses_nothing() {
    let mut sealed = 0;
    for seed in 0..40 {
        let machine = Simulated::new(seed, Faults { slow: 1..20, ..Faults::default() });
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        let options = options(Durability::Disk);
        let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        append(&mut log, &entry(1)).unwrap();
        while log.pending().is_some() {
            log.turn(0).unwrap();
        }
        while !log.in_flight() {
            log.turn(0).unwrap();
        }
        append(&mut log, &entry(2)).unwrap();
        (0..seed % 30).for_each(|_| _ = log.turn(0).unwrap());
        let pending = log.pending();
        machine.crash(if seed % 2 == 0 { Crash::Power } else { Crash::Process });
        drop(log);
        let back = read(&disk, &options, 0).unwrap();
        assert!(back == [entry(1)] && pending.is_some() || back == [entry(1), entry(2)], "seed {seed}");
        sealed += usize::from(groups(&disk).contains(&0));
        Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    }
    assert!((5..40).contains(&sealed), "{sealed}");
}
