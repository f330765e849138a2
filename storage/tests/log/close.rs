//! The end of a log whose staging ring outlives the process: what is left of it, and what a start makes of a ring that
//! is not there.

use crate::common::{
    Chance, DIRECTORY, Owned, append, has_ring, make, options, read, remove_ring, ring_names,
};
use pelton_storage::disk::{Crash, Disk, Faults, How, Simulated};
use pelton_storage::{Durability, Kind, Log, LogOptions, LogReader, LogScan, Look, StorageError};
use std::path::Path;
use std::sync::Arc;

fn machine(seed: u64) -> (Simulated, Arc<dyn Disk>) {
    let machine = Simulated::new(seed, Faults { slow: 0..5, ..Faults::default() });
    let disk: Arc<dyn Disk> = Arc::new(machine.clone());
    (machine, disk)
}

fn open(disk: &Arc<dyn Disk>, options: &LogOptions) -> Log {
    Log::open(disk, Path::new(DIRECTORY), options).unwrap().0
}

fn append_some(log: &mut Log, seed: u64, count: u64) -> Vec<Owned> {
    let chance = &mut Chance(seed);
    let entries: Vec<Owned> = (0..count).map(|tick| make(chance, tick, tick, 8_000)).collect();
    entries.iter().for_each(|entry| append(log, entry).unwrap());
    entries
}

#[test]
fn a_log_that_was_closed_needs_no_ring() {
    for next in [Durability::Process, Durability::Disk] {
        for count in [0, 1, 300] {
            let (machine, disk) = machine(count);
            let (before, after) = (options(Durability::Process), options(next));
            let mut log = open(&disk, &before);
            let entries = append_some(&mut log, count, count);
            log.close().unwrap();
            assert!(!has_ring(&disk, &options(Durability::Process)));
            assert_eq!(read(&disk, &before, 0).unwrap(), entries);
            assert!(!has_ring(&disk, &options(Durability::Process)), "a reader makes none");
            // On disk, whatever it was kept for.
            machine.crash(Crash::Power);
            let (mut log, recovered) = Log::open(&disk, Path::new(DIRECTORY), &after).unwrap();
            assert_eq!((recovered.entries, recovered.torn, recovered.ring_lost), (count, None, false));
            assert_eq!(read(&disk, &after, 0).unwrap(), entries);
            assert_eq!(has_ring(&disk, &options(Durability::Process)), next == Durability::Process);
            log.close().unwrap();
        }
    }
}

/// With `process` nothing is synced before the end, so a sync that fails at a start may drop all that an earlier run wrote: the page cache has it,
/// the disk never will, and the syncs that follow say nothing about it.
#[test]
fn what_a_failed_sync_has_dropped_is_on_disk_when_the_log_is_closed() {
    for seed in 0..40 {
        let (machine, disk) = machine(seed);
        let options = options(Durability::Process);
        let mut log = open(&disk, &options);
        let entries = append_some(&mut log, seed, 40 + seed);
        machine.crash(Crash::Process);
        drop(log);
        machine.set_faults(Faults { sync_error: 500, ..Faults::default() });
        while Log::open(&disk, Path::new(DIRECTORY), &options).is_ok() {}
        machine.set_faults(Faults::default());
        open(&disk, &options).close().unwrap();
        machine.crash(Crash::Power);
        let (_, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        assert_eq!((recovered.entries, recovered.torn), (40 + seed, None), "seed {seed}");
        assert_eq!(read(&disk, &options, 0).unwrap(), entries, "seed {seed}");
    }
}

#[test]
fn a_ring_that_is_gone_is_refused_until_the_machine_restarts() {
    for (count, synced) in [(0, false), (1, false), (300, false), (300, true)] {
        let (machine, disk) = machine(1);
        let options = options(Durability::Process);
        // Also after an earlier run that ended well.
        open(&disk, &options).close().unwrap();
        let mut log = open(&disk, &options);
        append_some(&mut log, 7, count);
        if synced {
            log.sync().unwrap();
        }
        drop(log);
        machine.crash(Crash::Process);
        assert_eq!(read(&disk, &options, 0).unwrap().len() as u64, count);
        let name = ring_names(&disk, &options).remove(0);
        remove_ring(&disk, &options);
        let refused = |error: Option<StorageError>| {
            let error = error.expect("it has to be refused");
            let text = error.to_string();
            assert!(matches!(error, StorageError::Missing { what: "staging ring", .. }), "{text}");
            assert!(text.contains(&name) && text.contains("not restarted"), "{text}");
            assert!(!has_ring(&disk, &options), "looking makes none");
        };
        for durability in [Durability::Process, Durability::Disk] {
            let options = LogOptions { durability, ..options };
            refused(Log::open(&disk, Path::new(DIRECTORY), &options).err());
            refused(LogReader::open(&disk, Path::new(DIRECTORY), &options, 0).err());
        }
        if synced {
            machine.crash(Crash::Power);
            let (mut log, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
            assert!(recovered.ring_lost);
            assert_eq!(recovered.entries, count);
            log.close().unwrap();
            assert!(!Log::open(&disk, Path::new(DIRECTORY), &options).unwrap().1.ring_lost);
        }
    }
}

#[test]
fn closing_may_be_cut_short_anywhere() {
    let mut closed = 0;
    for stop in 1..80 {
        for next in [Durability::Process, Durability::Disk] {
            let (machine, disk) = machine(stop);
            let options = options(Durability::Process);
            let mut log = open(&disk, &options);
            let entries = append_some(&mut log, stop, 40);
            machine.stop_after(stop);
            closed += usize::from(log.close().is_ok() && !machine.has_ended());
            machine.crash(Crash::Process);
            assert_eq!(read(&disk, &options, 0).unwrap(), entries, "stopped after {stop}");
            let (log, recovered) =
                Log::open(&disk, Path::new(DIRECTORY), &LogOptions { durability: next, ..options }).unwrap();
            assert_eq!((recovered.entries, recovered.ring_lost), (40, false), "stopped after {stop}");
            assert_eq!(has_ring(&disk, &options), next == Durability::Process);
            drop(log);
            assert_eq!(read(&disk, &options, 0).unwrap(), entries, "stopped after {stop}");
        }
    }
    assert!((1..150).contains(&closed), "{closed}");
}

#[test]
fn a_log_that_failed_keeps_its_ring() {
    let (machine, disk) = machine(3);
    let options = options(Durability::Process);
    let mut log = open(&disk, &options);
    log.append(1, Kind::Tick, b"only in the ring");
    machine.set_faults(Faults { sync_error: 1_000, ..Faults::default() });
    assert!(log.close().is_err());
    machine.set_faults(Faults::default());
    assert!(has_ring(&disk, &options));
    assert_eq!(read(&disk, &options, 0).unwrap().len(), 1);
}

/// What was appended is only in the ring, and the only segment has lost its header, by one byte, or is gone: a log that
/// looks as if it had never been.
#[test]
fn a_ring_without_its_first_segment_is_refused() {
    for at in [Some(0), Some(12), Some(40), None] {
        let (machine, disk) = machine(4);
        let options = options(Durability::Process);
        let path = Path::new(DIRECTORY).join("seg-00000000.log");
        let mut log = open(&disk, &options);
        log.append(1, Kind::Tick, b"only in the ring");
        machine.crash(Crash::Process);
        drop(log);
        match at {
            Some(at) => disk.open(&path, How::Write).unwrap().write_at(&[0xFF], at).unwrap(),
            None => disk.remove(&path).unwrap(),
        }
        let error = read(&disk, &options, 0).unwrap_err();
        match &error {
            StorageError::Damaged { path: named, at: 0, .. } => {
                assert!(at.is_some() && *named == path, "{error}")
            }
            StorageError::Missing { path: named, .. } => assert!(at.is_none() && *named == path, "{error}"),
            other => panic!("{other}"),
        }
        // Whatever it is to be from now on.
        for durability in [Durability::Process, Durability::Disk] {
            let options = LogOptions { durability, ..options };
            let opened = Log::open(&disk, Path::new(DIRECTORY), &options).err().unwrap();
            assert_eq!(opened.to_string(), error.to_string());
        }
        assert!(has_ring(&disk, &options), "a refusal changes nothing");
        if at.is_some() {
            let scan =
                LogScan::open(&disk, Path::new(DIRECTORY), options.id, 0, 0, Look::Alone).unwrap().unwrap();
            assert_eq!(scan.unseen().map(ToString::to_string), Some(error.to_string()));
        }
        // The ring is gone with the machine.
        machine.crash(Crash::Power);
        assert_eq!(Log::open(&disk, Path::new(DIRECTORY), &options).unwrap().1.entries, 0);
    }
}

/// The last group may have filled its segment, which a checkpoint has given up since: that one says how the log was kept, too.
#[test]
fn a_log_that_was_closed_at_a_border_needs_no_ring() {
    let options = options(Durability::Process);
    for groups in 1..60 {
        let (_, disk) = machine(groups);
        let mut log = open(&disk, &options);
        for tick in 1..=groups {
            append(&mut log, &Owned { tick, kind: Kind::Tick, payload: vec![7; 100] }).unwrap();
            log.sync().unwrap();
        }
        log.retire_before(u64::MAX).unwrap();
        log.close().unwrap();
        drop(log);
        assert!(!has_ring(&disk, &options));
        let (mut log, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options)
            .unwrap_or_else(|error| panic!("after {groups} groups: {error}"));
        assert_eq!(recovered.last_tick, groups);
        log.close().unwrap();
    }
}

/// One that was made before its first segment, and never used, is no reason to refuse.
#[test]
fn a_ring_that_was_never_used_is_nothing() {
    for stop in 1..12 {
        let (machine, disk) = machine(4);
        let options = options(Durability::Process);
        machine.stop_after(stop);
        let _ = Log::open(&disk, Path::new(DIRECTORY), &options);
        machine.crash(Crash::Process);
        assert_eq!(
            Log::open(&disk, Path::new(DIRECTORY), &options).unwrap().1.entries,
            0,
            "stopped after {stop}"
        );
    }
}
