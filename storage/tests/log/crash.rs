//! Crashes of the simulated machine, at any operation: what was acknowledged is there, in order, and nothing else that was not appended.

use crate::common::{Chance, DIRECTORY, Owned, make, make_room, options, read, seeds};
use pelton_storage::disk::{Crash, Disk, Faults, Simulated};
use pelton_storage::{Durability, Log, LogOptions, Recovered, StorageError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a run of the log has to bring back.
#[derive(Default)]
struct History {
    entries: Vec<Owned>,
    /// So many of them are promised.
    acknowledged: usize,
    /// Entries before this tick may be gone.
    retired: u64,
    tick: u64,
    salt: u64,
}

impl History {
    /// Compares with what came back, which is the history from now on.
    fn check(&mut self, disk: &Arc<dyn Disk>, options: &LogOptions, what: &str) {
        let from = self.retired;
        let back = read(disk, options, from).unwrap_or_else(|error| panic!("{what}: {error}"));
        let skipped = self.entries.iter().position(|entry| entry.tick >= from).unwrap_or(self.entries.len());
        let expected = &self.entries[skipped..];
        assert!(back.len() <= expected.len(), "{what}: {} entries, {} appended", back.len(), expected.len());
        for (at, (found, expected)) in back.iter().zip(expected).enumerate() {
            assert_eq!(found, expected, "{what}: entry {at}");
        }
        let promised = self.acknowledged.saturating_sub(skipped);
        assert!(
            back.len() >= promised,
            "{what}: {} entries of {promised} that were acknowledged",
            back.len()
        );
        self.entries.truncate(skipped + back.len());
        self.acknowledged = self.entries.len();
    }
}

/// Runs of a log until the process ends or the log is poisoned.
fn live(
    log: &mut Log,
    machine: &Simulated,
    history: &mut History,
    chance: &mut Chance,
    options: &LogOptions,
) -> Result<(), StorageError> {
    for _ in 0..chance.below(400) {
        match chance.below(10) {
            0..=5 => {
                history.tick += chance.below(3);
                history.salt += 1;
                let entry = make(chance, history.tick, history.salt, options.payload_bytes_max());
                make_room(log, &entry)?;
                if machine.has_ended() {
                    return Ok(());
                }
                log.append(entry.tick, entry.kind, &entry.payload);
                history.entries.push(entry);
            }
            6..=7 => _ = log.turn(history.tick)?,
            8 => log.wait(Duration::from_nanos(chance.below(40) * 1_000))?,
            _ if chance.below(40) == 0 => log.sync()?,
            _ if chance.below(10) == 0 && options.durability == Durability::Disk => {
                // A checkpoint keeps what it covers, so it may cover only what is durable.
                let durable = log.pending().unwrap_or(history.tick).min(history.tick);
                history.retired = history.retired.max(chance.below(durable + 1));
                log.retire_before(history.retired)?;
            }
            _ if chance.below(10) == 0 => {
                history.retired = history.retired.max(chance.below(history.tick + 1));
                log.retire_before(history.retired)?;
            }
            _ => {}
        }
        if machine.has_ended() {
            return Ok(());
        }
        history.acknowledged = match log.pending() {
            None => history.entries.len(),
            Some(tick) => {
                history.acknowledged.max(history.entries.partition_point(|entry| entry.tick < tick))
            }
        };
    }
    Ok(())
}

fn check(seed: u64, durabilities: &[Durability], crashes: &[Crash], faults: Faults) {
    let chance = &mut Chance(seed);
    let machine = Simulated::new(seed, faults.clone());
    let disk: Arc<dyn Disk> = Arc::new(machine.clone());
    let mut history = History::default();
    for life in 0..6 {
        let options = options(durabilities[chance.below(durabilities.len() as u64) as usize]);
        let crash = crashes[chance.below(crashes.len() as u64) as usize];
        let what = format!("seed {seed}, life {life}, {:?}, {crash:?}", options.durability);
        machine.set_faults(faults.clone());
        // Often in the middle of recovery, or soon after it.
        let range = if chance.below(3) == 0 { 40 } else { 1_500 };
        machine.stop_after(1 + chance.below(range));
        match Log::open(&disk, Path::new(DIRECTORY), &options) {
            Ok((mut log, _)) => {
                let lived = live(&mut log, &machine, &mut history, chance, &options);
                if let Err(error) = lived
                    && !machine.has_ended()
                {
                    assert!(faults.sync_error + faults.write_error > 0, "{what}: {error}");
                    assert_eq!(
                        log.turn(0).unwrap_err().to_string(),
                        error.to_string(),
                        "{what}: it stays poisoned"
                    );
                    assert_eq!(log.room(), 0);
                }
                machine.crash(crash);
            }
            Err(error) => {
                let reason = error.to_string();
                let ended = machine.has_ended() || faults.sync_error + faults.write_error > 0;
                assert!(ended, "{what}: {reason}");
                machine.crash(crash);
            }
        }
        machine.set_faults(Faults { slow: faults.slow.clone(), ..Faults::default() });
        // Recover, more than once if that is cut short too.
        let mut recovered = None;
        for _ in 0..4 {
            if chance.below(2) == 0 {
                machine.stop_after(1 + chance.below(30));
            }
            match Log::open(&disk, Path::new(DIRECTORY), &options) {
                Ok((log, found)) => {
                    recovered = Some(found);
                    machine.crash(crash);
                    drop(log);
                    break;
                }
                Err(error) => {
                    assert!(machine.has_ended(), "{what}: {error}");
                    machine.crash(crash);
                }
            }
        }
        let recovered = match recovered {
            Some(found) => found,
            None => {
                let (log, found) = Log::open(&disk, Path::new(DIRECTORY), &options)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                machine.crash(crash);
                drop(log);
                found
            }
        };
        history.check(&disk, &options, &what);
        let (log, again) = Log::open(&disk, Path::new(DIRECTORY), &options)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        // What a process left in its ring may want less of the old segments than the files did before.
        let in_files = |found: &Recovered| {
            (options.durability == Durability::Disk).then_some((found.first_tick, found.entries))
        };
        let same = |found: &Recovered| (found.last_tick, found.end, found.released, in_files(found));
        assert_eq!(same(&again), same(&recovered), "{what}: opened twice");
        history.tick = history.tick.max(again.last_tick);
        machine.crash(Crash::Process);
        drop(log);
    }
}

fn slow(seed: u64) -> Faults {
    Faults { slow: 0..(seed % 12) as u32, short_write: 100, ..Faults::default() }
}

#[test]
fn on_disk_nothing_acknowledged_is_lost() {
    for seed in seeds(0..200) {
        check(seed, &[Durability::Disk], &[Crash::Process, Crash::Power], slow(seed));
    }
}

#[test]
fn in_the_process_ring_everything_appended_is_durable_a_kill() {
    for seed in seeds(0..200) {
        check(seed, &[Durability::Process], &[Crash::Process], slow(seed));
    }
}

#[test]
fn the_durability_may_change_between_starts() {
    for seed in seeds(0..200) {
        check(seed, &[Durability::Process, Durability::Disk], &[Crash::Process], slow(seed));
    }
}

#[test]
fn failed_writes_and_syncs_lose_nothing_that_was_acknowledged() {
    for seed in seeds(0..200) {
        let faults = Faults { sync_error: 10, write_error: 10, ..slow(seed) };
        check(seed, &[Durability::Disk], &[Crash::Process, Crash::Power], faults.clone());
        check(seed, &[Durability::Process], &[Crash::Process], faults);
    }
}

/// What is kept for the process only is not promised after a power loss; but what comes back is a beginning of what was appended, or a refusal.
#[test]
fn a_process_log_after_a_power_loss_is_true_or_refused() {
    let (mut refused, mut lost) = (0, 0);
    for seed in seeds(0..200) {
        let chance = &mut Chance(seed);
        let machine = Simulated::new(seed, slow(seed));
        let disk: Arc<dyn Disk> = Arc::new(machine.clone());
        let options = options(Durability::Process);
        let mut history = History::default();
        let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
        live(&mut log, &machine, &mut history, chance, &options).unwrap();
        machine.crash(Crash::Power);
        drop(log);
        match Log::open(&disk, Path::new(DIRECTORY), &options) {
            Ok((log, recovered)) => {
                assert!(recovered.ring_lost, "seed {seed}");
                lost += usize::from(recovered.entries < history.entries.len() as u64);
                history.acknowledged = 0;
                history.retired = history.retired.max(recovered.first_tick.unwrap_or(0));
                drop(log);
                history.check(&disk, &options, &format!("seed {seed}"));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0 && lost > 0, "{refused} refused, {lost} lost");
}
