//! The one way in which a job is checked: every run that promise (b) speaks of, and a replay of each that promise (a) does.

use pelton::config::{DriverKind, TickConfig};
use pelton::prelude::*;
use pelton::sim::{Simulation, replay, simulate};
use pelton::sinks::{Collect, Row};
use pelton::{JobError, Recording, StartError, Tick};
use std::fmt::Debug;

/// Shards x records in a tick x bytes of a ring, each with the seed of its order of steps.
const SIMULATIONS: [(usize, usize, usize, u64); 20] = [
    (1, 1, 4_096, 1),
    (1, 7, 65_536, 2),
    (1, 64, 4_096, 3),
    (1, 4_096, 1 << 20, 4),
    (2, 1, 65_536, 5),
    (2, 7, 4_096, 6),
    (2, 64, 16_384, 7),
    (2, 4_096, 4_096, 8),
    (3, 1, 4_096, 9),
    (3, 7, 16_384, 10),
    (3, 64, 4_096, 11),
    (3, 4_096, 65_536, 12),
    (4, 1, 16_384, 13),
    (4, 7, 4_096, 14),
    (4, 64, 65_536, 15),
    (4, 4_096, 4_096, 16),
    (8, 1, 4_096, 17),
    (8, 7, 16_384, 18),
    (8, 64, 4_096, 19),
    (8, 4_096, 65_536, 20),
];

/// Driver x cores x shards x records in a tick x bytes of a ring.
const RUNS: [(DriverKind, usize, usize, usize, usize); 8] = [
    (DriverKind::Threads, 1, 1, 64, 4_096),
    (DriverKind::Threads, 1, 3, 4_096, 65_536),
    (DriverKind::Threads, 2, 2, 7, 65_536),
    (DriverKind::Threads, 2, 3, 64, 4_096),
    (DriverKind::Threads, 2, 4, 4_096, 65_536),
    (DriverKind::Threads, 2, 8, 64, 16_384),
    (DriverKind::Glommio, 1, 2, 64, 65_536),
    (DriverKind::Glommio, 2, 4, 4_096, 65_536),
];

/// Seeds and ring sizes that a recorded run is replayed with.
const REPLAYS: [(u64, usize); 3] = [(21, 4_096), (22, 65_536), (23, 1 << 18)];

/// Runs the job in every way, and compares its rows with the twin's.
pub fn check<R: Ord + Clone + Debug + Send + 'static>(job: &Job, rows: &Collect<R>, twin: Vec<R>) {
    check_by(job, rows, |found| same_rows(found, &twin));
}

/// As [`check`], for jobs whose rows `holds` can judge though they are not the same in every run.
pub fn check_by<R: Clone + Debug + PartialEq + Send + 'static>(
    job: &Job,
    rows: &Collect<R>,
    holds: impl Fn(&[R]),
) {
    for (shards, records_max, ring_bytes, seed) in SIMULATIONS {
        let settings = Simulation { seed, shards, ring_bytes, records_max, ..Simulation::default() };
        let (recording, found) = simulated(job, rows, &settings);
        holds(&bare(&found));
        // The same seed twice, byte for byte; then the same ticks in other orders.
        if seed % 3 == 0 {
            assert!(
                simulated(job, rows, &settings) == (recording.clone(), found.clone()),
                "{settings:?} twice"
            );
        }
        replays(job, rows, &recording, &found, settings);
        if shards > 1 {
            let shared = share_ticks(recording);
            let again =
                replay(job, &shared, &settings).unwrap_or_else(|error| panic!("{settings:?}: {error}"));
            let found = rows.take_named();
            holds(&bare(&found));
            replays(job, rows, &Recording { traces: again.traces, ..shared }, &found, settings);
        }
    }
    for (driver, cores, shards, records_max, ring_bytes) in RUNS {
        let config = config(driver, cores, shards, records_max, ring_bytes);
        let recording = match job.record_with(&config) {
            Err(JobError::Start(StartError::IoUring(why))) => {
                eprintln!("skipped on this machine: {why}");
                continue;
            }
            outcome => outcome.unwrap_or_else(|error| panic!("{driver:?}, {shards} shards: {error}")),
        };
        let found = rows.take_named();
        holds(&bare(&found));
        let settings = Simulation { seed: 0, shards, ring_bytes, records_max, ..Simulation::default() };
        replays(job, rows, &recording, &found, settings);
    }
}

/// The same ticks under other numbers: each shard's are 1, 2, 3 and so on. The shards of a seeded run see each other's
/// clocks at once and never make the same tick; those on cores do, and then the merge order is put to the test.
pub fn share_ticks(mut recording: Recording) -> Recording {
    for log in &mut recording.logs {
        log.iter_mut().zip(1..).for_each(|(entry, number)| entry.tick = Tick(number));
    }
    recording
}

/// A configuration of a small run on real threads.
pub fn config(
    driver: DriverKind,
    cores: usize,
    shards: usize,
    records_max: usize,
    ring_bytes: usize,
) -> Config {
    let defaults = Config::default();
    let tick = TickConfig { records_max, bytes_max: ring_bytes / 4, ..defaults.tick };
    // As many threads as asked for, even on a machine of one core.
    let cores = vec![defaults.cores[0]; cores];
    Config { cores, shards, ring_bytes, tick, driver, pin: false, ..defaults }
}

/// One seeded run.
pub fn simulated<R: Clone + Send + 'static>(
    job: &Job,
    rows: &Collect<R>,
    settings: &Simulation,
) -> (Recording, Vec<Row<R>>) {
    let recording = simulate(job, settings).unwrap_or_else(|error| panic!("{settings:?}: {error}"));
    (recording, rows.take_named())
}

/// The same ticks in other orders and through other rings give the same rows under the same names, and the same state.
pub fn replays<R: Clone + Debug + PartialEq + Send + 'static>(
    job: &Job,
    rows: &Collect<R>,
    recording: &Recording,
    expected: &[Row<R>],
    settings: Simulation,
) {
    for (seed, ring_bytes) in REPLAYS {
        let settings = Simulation { seed, ring_bytes, ..settings };
        let again =
            replay(job, recording, &settings).unwrap_or_else(|error| panic!("replay {settings:?}: {error}"));
        let found = rows.take_named();
        if let Some(at) = (0..found.len().max(expected.len())).find(|&at| found.get(at) != expected.get(at)) {
            panic!("replay {settings:?}: row {at} is {:?}, was {:?}", found.get(at), expected.get(at));
        }
        assert_eq!(again.traces, recording.traces, "the state differs: replay {settings:?}");
    }
}

fn bare<R: Clone>(rows: &[Row<R>]) -> Vec<R> {
    rows.iter().map(|row| row.row.clone()).collect()
}

/// Compares row for row, in the rows' own order.
pub fn same_rows<R: Ord + Clone + Debug>(found: &[R], twin: &[R]) {
    let (mut found, mut twin) = (found.to_vec(), twin.to_vec());
    found.sort();
    twin.sort();
    if let Some(at) = (0..found.len().max(twin.len())).find(|&at| found.get(at) != twin.get(at)) {
        let (rows, wanted) = (found.len(), twin.len());
        panic!(
            "row {at} is {:?}, the twin's {:?} ({rows} rows, the twin {wanted})",
            found.get(at),
            twin.get(at)
        );
    }
}
