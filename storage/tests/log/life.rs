//! A log without crashes: round trips, retirement, reading from a tick, real disks, a full disk.

use crate::common::{
    Chance, DIRECTORY, Owned, append, has_ring, make, options, read, read_in, remove_ring, ring,
};
use pelton_storage::disk::{Blocking, Disk, Faults, Simulated, Uring};
use pelton_storage::{Durability, Kind, Log, LogOptions, StorageError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const BOTH: [Durability; 2] = [Durability::Process, Durability::Disk];

fn machine() -> Arc<dyn Disk> {
    Arc::new(Simulated::new(1, Faults { slow: 0..5, ..Faults::default() }))
}

/// Appends over several lives of the log, and reads all of it back each time.
fn check(disk: &Arc<dyn Disk>, directory: &Path, options: &LogOptions, synced: bool) {
    let chance = &mut Chance(3);
    let mut history: Vec<Owned> = Vec::new();
    for life in 0..4 {
        let (mut log, recovered) = Log::open(disk, directory, options).unwrap();
        assert_eq!(recovered.entries, history.len() as u64, "life {life} of {options:?}");
        assert_eq!(recovered.last_tick, history.last().map_or(0, |entry| entry.tick));
        assert_eq!(recovered.torn, None);
        assert!(!recovered.ring_lost);
        for _ in 0..300 {
            let tick = history.last().map_or(1, |entry| entry.tick + chance.below(3));
            let entry = make(chance, tick, history.len() as u64, options.payload_bytes_max());
            append(&mut log, &entry).unwrap();
            history.push(entry);
            if chance.below(3) == 0 {
                log.turn(tick / 2).unwrap();
            }
        }
        if synced {
            log.sync().unwrap();
            assert_eq!(log.pending(), None);
        } else {
            while log.pending().is_some() {
                log.turn(0).unwrap();
                log.wait(Duration::from_millis(1)).unwrap();
            }
        }
        assert!(log.stats().segments > 3, "{:?}", log.stats());
        drop(log);
        assert_eq!(read_in(disk, directory, options, 0).unwrap(), history, "life {life} of {options:?}");
    }
    let (_, recovered) = Log::open(disk, directory, options).unwrap();
    assert!(recovered.released > 0 && recovered.released <= recovered.last_tick, "{recovered:?}");
}

#[test]
fn what_is_appended_is_read_back() {
    for durability in BOTH {
        for synced in [true, false] {
            check(&machine(), Path::new(DIRECTORY), &options(durability), synced);
        }
    }
}

struct Scratch {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    options: LogOptions,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is one only if the test has failed.
        remove_ring(&self.disk, &self.options);
        let _ = std::fs::remove_file(self.directory.with_extension("durable"));
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn on_real_disks_too() {
    let disks: [(&str, Arc<dyn Disk>); 3] = [
        ("uring", Arc::new(Uring::new(false))),
        ("direct", Arc::new(Uring::new(true))),
        ("blocking", Arc::new(Blocking::new())),
    ];
    for (name, disk) in disks {
        for durability in BOTH {
            let name = format!("pelton-log-{}-{name}-{durability:?}", std::process::id());
            // Rings are found by the log's id, and other processes may run this test.
            let options = LogOptions { id: u128::from(std::process::id()) << 64 | 1, ..options(durability) };
            let scratch = Scratch { directory: std::env::temp_dir().join(name), disk: disk.clone(), options };
            check(&disk, &scratch.directory, &options, true);
            let (mut log, recovered) = Log::open(&disk, &scratch.directory, &options).unwrap();
            assert_eq!(has_ring(&disk, &options), durability == Durability::Process);
            log.close().unwrap();
            assert!(!has_ring(&disk, &options));
            let back = read_in(&disk, &scratch.directory, &options, 0).unwrap();
            assert_eq!(back.len() as u64, recovered.entries);
            assert!(!has_ring(&disk, &options), "a reader makes none");
        }
    }
}

#[test]
fn reading_begins_at_the_first_entry_of_a_tick() {
    let disk = machine();
    let options = options(Durability::Disk);
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    let chance = &mut Chance(9);
    let mut history: Vec<Owned> = Vec::new();
    for at in 0..600u64 {
        let entry = make(chance, at / 3, at, 4_000);
        append(&mut log, &entry).unwrap();
        history.push(entry);
        log.turn(0).unwrap();
    }
    log.sync().unwrap();
    for from in 0..=201 {
        let expected: Vec<Owned> = history.iter().filter(|entry| entry.tick >= from).cloned().collect();
        assert_eq!(read(&disk, &options, from).unwrap(), expected, "from tick {from}");
    }
}

#[test]
fn retired_segments_are_used_again() {
    for durability in BOTH {
        let disk = machine();
        let options = options(durability);
        let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        let payload = vec![7; 1_000];
        for tick in 0..3_000u64 {
            append(&mut log, &Owned { tick, kind: Kind::Tick, payload: payload.clone() }).unwrap();
            log.turn(0).unwrap();
            if tick % 100 == 0 {
                log.retire_before(tick.saturating_sub(50)).unwrap();
            }
        }
        log.sync().unwrap();
        let stats = log.stats();
        assert!(stats.segments > 40 && stats.recycled > stats.segments / 2, "{durability:?}: {stats:?}");
        let files = disk.list(Path::new(DIRECTORY)).unwrap();
        assert!(files.len() < 10, "{durability:?}: {files:?}");
        drop(log);
        let (_, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        assert_eq!(recovered.last_tick, 2_999);
        let first = recovered.first_tick.unwrap();
        assert!((2_600..=2_850).contains(&first), "{durability:?}: {first}");
    }
}

#[test]
fn a_full_disk_is_said_before_anything_is_acknowledged_that_does_not_fit() {
    for segments in 1..5 {
        let faults = Faults { full_at_bytes: Some(segments * (64 << 10) + 10_000), ..Faults::default() };
        let machine = Simulated::new(1, faults);
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        let options = options(Durability::Disk);
        let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        let mut acknowledged = 0;
        let error = (0..1_000u64)
            .find_map(|tick| {
                let entry = Owned { tick, kind: Kind::Tick, payload: vec![1; 1_000] };
                let result = append(&mut log, &entry).and_then(|()| log.turn(0)).err();
                acknowledged = log.pending().unwrap_or(tick + 1);
                result
            })
            .unwrap();
        let StorageError::Full { needed, .. } = &error else { panic!("{error}") };
        assert!(*needed > 0 && error.to_string().contains("spare-new-"), "{error}");
        machine.crash(pelton_storage::disk::Crash::Power);
        drop(log);
        machine.set_faults(Faults::default());
        let back = read(&disk, &options, 0).unwrap();
        assert!(back.len() as u64 >= acknowledged, "{} of {acknowledged}", back.len());
    }
}

#[test]
fn bytes_beyond_the_ring_s_head_were_never_appended() {
    let disk = machine();
    let options = options(Durability::Process);
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    let mut entries = Vec::new();
    for round in 0..40u64 {
        let entry = Owned { tick: round, kind: Kind::Tick, payload: vec![round as u8; 3_000] };
        append(&mut log, &entry).unwrap();
        entries.push(entry);
        drop(log);
        // What a kill in the middle of the next append leaves.
        let bytes = options.segment_bytes as usize + 4_096;
        let ring = ring(&disk, &options);
        let at = 4_096 + (ring.load(64) % options.segment_bytes) as usize;
        ring.write(at, &vec![0xA5; (bytes - at).min(1 + round as usize * 50)]);
        assert_eq!(read(&disk, &options, 0).unwrap(), entries, "round {round}");
        let (again, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        assert_eq!((recovered.entries, recovered.torn), (round + 1, None), "round {round}");
        log = again;
    }
}

#[test]
fn what_a_group_in_the_ring_has_given_up_stays_given_up() {
    let disk = machine();
    let options = options(Durability::Process);
    let entry = |tick| Owned { tick, kind: Kind::Tick, payload: vec![7; 1_000] };
    let in_segment_1 = LogOptions::SEGMENT_BYTES_MIN / 1_000 + 8;
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    for tick in 0..in_segment_1 {
        append(&mut log, &entry(tick)).unwrap();
        log.turn(0).unwrap();
    }
    log.sync().unwrap();
    log.retire_before(in_segment_1).unwrap();
    // The process dies: only the ring says that segment 0 is not wanted any more.
    append(&mut log, &entry(in_segment_1)).unwrap();
    drop(log);

    let (mut log, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    assert_eq!(recovered.last_tick, in_segment_1);
    let back = read(&disk, &options, 0).unwrap();
    assert_eq!(
        (recovered.entries, recovered.first_tick),
        (back.len() as u64, back.first().map(|entry| entry.tick))
    );
    assert!(recovered.first_tick > Some(0), "{recovered:?}");
    // Segment 0 is to be used again as segment 2.
    let mut tick = in_segment_1;
    while log.stats().recycled == 0 {
        tick += 1;
        append(&mut log, &entry(tick)).unwrap();
        log.turn(0).unwrap();
    }
    log.sync().unwrap();
    drop(log);
    let (_, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    assert_eq!(recovered.last_tick, tick);
}
