//! A log that cannot be read is refused by what failed, and left as it is: when it can be read again, all of it is there.

use crate::common::{Chance, DIRECTORY, Owned, append, make, options, read};
use pelton_storage::disk::{Disk, Faults, Simulated};
use pelton_storage::{Durability, Log, LogOptions, Proof, StorageError};
use std::path::Path;
use std::sync::Arc;

/// A log over several segments, closed, of a job that has begun.
fn written(seed: u64, options: &LogOptions) -> (Simulated, Arc<dyn Disk>, Vec<Owned>) {
    let machine = Simulated::new(seed, Faults::default());
    let disk: Arc<dyn Disk> = Arc::new(machine.clone());
    let (mut chance, mut entries) = (Chance(seed), Vec::new());
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), options).unwrap();
    for tick in 1..60 {
        let entry = make(&mut chance, tick, seed, 9_000);
        append(&mut log, &entry).unwrap();
        entries.push(entry);
        log.sync().unwrap();
    }
    drop(log);
    (machine, disk, entries)
}

#[test]
fn what_cannot_be_read_is_said_and_nothing_is_lost() {
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..400 {
        let options = options(if seed % 2 == 0 { Durability::Disk } else { Durability::Process });
        let (machine, disk, entries) = written(seed, &options);
        let (read_error, short_read) = [(60, 0), (0, 60), (20, 20)][seed as usize % 3];
        machine.set_faults(Faults { read_error, short_read, ..Faults::default() });
        let proof = Proof { exists: true, ..Proof::default() };
        for _ in 0..3 {
            let failed = machine.failed_reads();
            match Log::prepare(&disk, Path::new(DIRECTORY), &options, proof) {
                Ok(_) => opened += 1,
                Err(error) => {
                    refused += 1;
                    assert!(machine.failed_reads() > failed, "{seed}: {error}");
                    assert!(matches!(error, StorageError::Io { .. }), "{seed}: {error}");
                }
            }
        }
        machine.set_faults(Faults::default());
        assert_eq!(read(&disk, &options, 0).unwrap(), entries, "{seed}");
        let (_, recovered) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        assert_eq!(recovered.entries, entries.len() as u64, "{seed}");
    }
    assert!(opened > 50 && refused > 200, "{opened} opened, {refused} refused");
}
