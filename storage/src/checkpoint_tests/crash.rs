//! Crashes at any moment of a checkpoint: what the manifest names afterwards is whole, and what is not whole is not a snapshot.

use super::*;
use crate::bounds::SYNC_EVERY_BYTES;
use crate::disk::{Crash, Faults, Simulated};

/// Takes checkpoints until the disk refuses, which it does after `operations`; then crashes, and looks at what is left.
fn check_crash(seed: u64, how: Crash) -> (usize, bool) {
    let mut random = Random(seed);
    let faults = Faults { slow: 0..1 + random.below(12) as u32, ..Faults::default() };
    let simulated = Simulated::new(seed, faults);
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let (data, checkpoints) = (Path::new("/data"), Path::new("/data/checkpoint"));
    for directory in [data, checkpoints, Path::new("/")] {
        disk.create_directory(directory).unwrap();
    }
    for directory in [Path::new("/"), data] {
        disk.sync_directory(directory).unwrap();
    }
    let operations = random.below(60) as u32;
    let failing = Failing::after(&disk, operations, io::ErrorKind::Other);
    let (mut twin, mut stored, mut taken) = (Twin::default(), Vec::new(), BTreeMap::new());
    let mut list: Vec<Checkpoint> = Vec::new();
    let mut previous = None;
    let mut turns = random.below(300);
    for number in 1.. {
        twin.live(&mut random, 20, 9_000);
        taken.insert(number, twin.blocks.clone());
        let file = SnapshotFile::create(failing.as_ref(), checkpoints, id(number));
        let Ok(mut writer) =
            file.and_then(|file| SnapshotWriter::new(disk.as_ref(), file, previous.as_ref()))
        else {
            break;
        };
        // Blocks and turns, until the moment of the crash.
        let mut blocks = twin.blocks.iter();
        let mut taking = true;
        while !writer.is_done() && turns > 0 {
            turns -= 1;
            if taking && writer.room() {
                match blocks.next() {
                    Some((key, _)) if previous.is_some() && !twin.changed.contains(key) => {
                        writer.same(key.0, key.1, key.2);
                    }
                    Some((key, bytes)) => writer.block(key.0, key.1, key.2, bytes),
                    None => {
                        writer.finish();
                        taking = false;
                    }
                }
            }
            if random.below(3) == 0 {
                writer.turn().unwrap();
            }
        }
        if !writer.is_done() {
            break;
        }
        twin.changed.clear();
        let index = writer.into_index();
        list.push(checkpoint(&index));
        previous = Some(index);
        let new = manifest(list.clone());
        let result = new.store(&failing, data);
        stored.push((new, result.is_ok()));
        if result.is_err() {
            break;
        }
    }
    simulated.crash(how);

    let disk: Arc<dyn Disk> = Arc::new(simulated);
    let found = match Manifest::load(&disk, data) {
        Ok(found) => found,
        // Before the first manifest was stored, that is what a checkpoint without one is.
        Err(StorageError::Missing { .. }) if !stored.iter().any(|(_, ok)| *ok) => None,
        Err(error) => panic!("seed {seed} {how:?}: {error}"),
    };
    let acknowledged = stored.iter().rev().find(|(_, ok)| *ok).map(|(manifest, _)| manifest);
    let attempted = stored.last().map(|(manifest, _)| manifest);
    let possible = found.as_ref() == acknowledged || found.as_ref() == attempted;
    assert!(possible, "seed {seed} {how:?}: neither the old manifest nor the new one");
    for checkpoint in found.iter().flat_map(|manifest| &manifest.checkpoints) {
        let blocks = read(&disk, checkpoints, checkpoint.number);
        let blocks = blocks.unwrap_or_else(|error| panic!("seed {seed} {how:?}: {error}"));
        assert_eq!(
            blocks, taken[&checkpoint.number],
            "seed {seed} {how:?}: checkpoint {}",
            checkpoint.number
        );
    }
    let mut partial = false;
    for (&number, expected) in &taken {
        match read(&disk, checkpoints, number) {
            Ok(blocks) => assert_eq!(blocks, *expected, "seed {seed} {how:?}: checkpoint {number}"),
            Err(StorageError::Missing { .. }) => {}
            Err(StorageError::Incomplete { .. }) => partial = true,
            Err(error) => panic!("seed {seed} {how:?}: neither a snapshot nor none: {error}"),
        }
    }
    (found.map_or(0, |manifest| manifest.checkpoints.len()), partial)
}

/// Cuts the power `turns` turns after the last block of a snapshot that is made durable in more than one part. True if it is whole afterwards.
fn check_end(seed: u64, turns: usize) -> bool {
    let simulated = Simulated::new(seed, Faults { slow: 0..4, ..Faults::default() });
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let checkpoints = Path::new("/data/checkpoint");
    disk.create_directory(checkpoints).unwrap();
    disk.sync_directory(Path::new("/data")).unwrap();
    let (mut random, mut blocks) = (Random(seed), BTreeMap::new());
    let mut writer = SnapshotWriter::create(&disk, checkpoints, id(1), None).unwrap();
    for chunk in 0..28 {
        while !writer.room() {
            writer.turn().unwrap();
        }
        let bytes = random.bytes(10_000);
        writer.block(0, 0, chunk, &bytes);
        blocks.insert((0, 0, chunk), bytes);
    }
    writer.finish();
    assert!(writer.file_bytes() > SYNC_EVERY_BYTES as u64);
    for _ in 0..turns {
        writer.turn().unwrap();
    }
    let done = writer.is_done();
    simulated.crash(Crash::Power);
    match read(&disk, checkpoints, 1) {
        Ok(found) => {
            assert_eq!(found, blocks, "seed {seed} after {turns} turns");
            true
        }
        Err(StorageError::Incomplete { .. }) => {
            assert!(!done, "seed {seed} after {turns} turns: it was done, and is not there");
            false
        }
        Err(error) => panic!("seed {seed} after {turns} turns: neither a snapshot nor none: {error}"),
    }
}

#[test]
fn a_footer_is_never_ahead_of_what_it_promises() {
    let whole = (0..1_200).filter(|&seed| check_end(seed, seed as usize % 40)).count();
    assert!((100..1_100).contains(&whole), "{whole} of 1200 whole");
}

#[test]
fn after_a_crash_a_checkpoint_is_there_or_it_is_not() {
    for how in [Crash::Process, Crash::Power] {
        let results: Vec<(usize, bool)> = (0..400).map(|seed| check_crash(seed, how)).collect();
        // The moments must have been many, or this shows nothing.
        assert!(results.iter().any(|(checkpoints, _)| *checkpoints == 0), "{how:?}");
        assert!(results.iter().any(|(checkpoints, _)| *checkpoints >= 2), "{how:?}");
        assert!(results.iter().filter(|(_, partial)| *partial).count() > 20, "{how:?}");
    }
}
