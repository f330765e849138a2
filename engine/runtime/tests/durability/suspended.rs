//! Suspended, and gone on with: with the same and with other shards, in the same and in the other mode.

use crate::support::{Named, Scratch, config, job};
use pelton::config::{DriverKind, Durability};
use pelton::prelude::*;
use pelton::sources::{InletError, inlet};
use pelton::{JobError, Outcome};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rings of this process that have room for a segment of so many bytes.
fn rings(segment_bytes: u64) -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ring = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let bytes = u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(start, 16).ok()?;
        let path = &rest[rest.find("/dev/shm/pelton-")?..];
        (bytes == segment_bytes + 4_096).then(|| Path::new(path).to_owned())
    };
    maps.lines().filter_map(ring).collect()
}

/// A producer sends, hears that all of it is durable, and the job is suspended: all of it is in the directory, and nothing anywhere else.
#[test]
fn nothing_of_a_suspended_job_is_left_in_memory() {
    let scratch = Scratch::new("suspended");
    let mut config = config(&scratch.path().join("data"), Durability::Process, 2);
    // Of a size that no other test uses, so that its rings are known.
    config.log.segment_bytes = 8 << 20;
    let ((numbers, source), rows) = (inlet::<u64>(1_000), collect());
    let job = Job::new("numbers").source(source).rebalance().map(|n: u64| n).sink(rows.clone());
    let running = job.start_with(&config).unwrap();
    let mut producer = numbers.producer("a").unwrap();
    for n in 1..=20 {
        producer.send(n).unwrap();
    }
    producer.wait_acknowledged(20, secs(60)).unwrap();
    let rings = rings(8 << 20);
    assert_eq!(rings.len(), 2, "{rings:?}");
    running.stop(Stop::Suspend);
    running.wait().unwrap();
    assert!(matches!(rows.outcome(), Some(Outcome::Suspended)));
    assert!(!rings.iter().any(|ring| ring.exists()), "{rings:?}");
    assert_eq!(producer.send(21), Err(InletError::Closed));
    drop(producer);
    rows.take();

    // In another place, as on another machine: no ring is found there.
    let moved = scratch.path().join("moved");
    fs::rename(scratch.path().join("data"), &moved).unwrap();
    for durability in [Durability::Process, Durability::Disk, Durability::Process] {
        let config = Config { data: Some(moved.clone()), durability, ..config.clone() };
        let running = job.start_with(&config).unwrap();
        let producer = numbers.producer("a").unwrap();
        assert_eq!(producer.next_sequence(), Ok(21));
        running.stop(Stop::Suspend);
        running.wait().unwrap();
        assert!(rows.take().is_empty(), "nothing is shown again");
    }
}

/// At any moment, over and over, with other shards and the other mode each time: the same rows under the same names as ever.
#[test]
fn a_suspended_job_goes_on_however_it_is_started() {
    let (scratch, rows, numbers) = (Scratch::new("suspensions"), collect(), 400_000);
    let job = job(numbers, &rows);
    let (mut named, mut shards, mut ended) = (Named::default(), 2, false);
    // A job whose input ends just as it is to be suspended has no use for a last checkpoint.
    let mut left = numbers;
    for round in 0..200u64 {
        let before = std::mem::replace(&mut shards, [2, 2, 3, 1, 1, 4][round as usize % 6]);
        let durability = if round % 2 == 0 { Durability::Process } else { Durability::Disk };
        let running = job.start_with(&config(scratch.path(), durability, shards)).unwrap();
        ended = running.wait_for(Duration::from_millis(3 + round * 7 % 300));
        running.stop(Stop::Suspend);
        let progress = running.wait().unwrap();
        if shards == before && left > 0 {
            assert_eq!(progress.total.replayed_ticks, 0, "round {round}: the checkpoint had everything");
        }
        if left > 0 {
            // Nothing was replayed, so these are new. Afterwards the whole input may come again from the log.
            left = left.checked_sub(progress.total.records_in).expect("no record is taken in twice");
        }
        named.add(rows.take_named());
        if ended {
            break;
        }
    }
    assert!(ended, "it makes headway");
    named.check(numbers);
}

/// A job that is suspended while it is still replaying, or at once after its start, loses nothing either.
#[test]
fn a_job_is_suspended_before_it_has_begun() {
    let (scratch, rows, numbers) = (Scratch::new("early"), collect(), 200_000);
    let (job, config) = (job(numbers, &rows), config(scratch.path(), Durability::Process, 2));
    let mut named = Named::default();
    for how in [Stop::Now, Stop::Suspend, Stop::Suspend, Stop::Now, Stop::Suspend] {
        let running = job.start_with(&config).unwrap();
        if how == Stop::Now {
            running.wait_for(Duration::from_millis(30));
        }
        running.stop(how);
        running.wait().unwrap();
        named.add(rows.take_named());
    }
    job.run_with(&config).unwrap();
    named.add(rows.take_named());
    named.check(numbers);
}

/// On both drivers: what `send` accepted is taken in before a drain ends and before a suspension does; after it everything is refused.
#[test]
fn what_was_accepted_is_taken_in() {
    for driver in [DriverKind::Threads, DriverKind::Glommio] {
        for (durability, how) in [
            (Durability::None, Stop::Drain),
            (Durability::Process, Stop::Drain),
            (Durability::Disk, Stop::Drain),
            (Durability::Process, Stop::Suspend),
            (Durability::Disk, Stop::Suspend),
        ] {
            let scratch = Scratch::new("accepted");
            let config = Config { driver, ..config(scratch.path(), durability, 2) };
            let ((numbers, source), total) =
                (inlet::<u64>(10_000), fold(0, |sum, n| *sum += n, |a, b| a + b));
            let job = Job::new("numbers").source(source).rebalance().map(|n: u64| n).sink(total.clone());
            let running = match job.start_with(&config) {
                Err(JobError::Start(pelton::StartError::IoUring(_))) => continue,
                started => started.unwrap(),
            };
            let mut producer = numbers.producer("a").unwrap();
            for n in 1..=4_000 {
                producer.send(n).unwrap();
            }
            running.stop(how);
            let mut sent = 4_000;
            // Until the order is heard.
            while let Ok(number) = producer.send(sent + 1) {
                sent = number;
            }
            assert_eq!(producer.send(0), Err(InletError::Closed));
            let progress = running.wait().unwrap();
            assert_eq!(progress.total.records_in, sent, "{driver:?}, {durability:?}, {how:?}");
            assert_eq!(total.take(), sent * (sent + 1) / 2);
            let outcome = total.outcome();
            assert!(matches!(
                (how, outcome),
                (Stop::Drain, Some(Outcome::Complete)) | (_, Some(Outcome::Suspended))
            ));
        }
    }
}

/// A job that keeps nothing has nothing to suspend.
#[test]
fn without_durability_a_suspension_is_a_stop() {
    let scratch = Scratch::new("nothing");
    let ((_numbers, source), rows) = (inlet::<u64>(10), collect());
    let running = Job::new("numbers")
        .source(source)
        .sink(rows.clone())
        .start_with(&config(scratch.path(), Durability::None, 2))
        .unwrap();
    running.stop(Stop::Suspend);
    running.wait().unwrap();
    assert!(matches!(rows.outcome(), Some(Outcome::Stopped)));
}

/// A signal suspends every job that asked for it, and `wait` is `Ok`.
#[test]
fn a_signal_suspends() {
    let scratch = Scratch::new("signal");
    let rows = collect();
    let job = job(u64::MAX >> 8, &rows);
    let config = config(scratch.path(), Durability::Process, 2);
    let running = job.start_with(&config).unwrap();
    running.suspend_on_signals().unwrap();
    running.suspend_on_signals().unwrap();
    let kill = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
    assert!(kill.success());
    running.wait().unwrap();
    assert!(matches!(rows.outcome(), Some(Outcome::Suspended)));
}

/// The checkpoint with which it was suspended has everything, so other shards begin from it: those of before do not run once more.
#[test]
fn other_shards_begin_from_the_suspension() {
    for shards in [1, 3, 8] {
        let (scratch, rows, numbers) = (Scratch::new("resumed"), collect(), 2_000_000);
        let job = job(numbers, &rows);
        let config = |shards| config(scratch.path(), Durability::Process, shards);
        let running = job.start_with(&config(2)).unwrap();
        while running.progress().total.records_in == 0 {
            std::thread::yield_now();
        }
        running.checkpoint(None).unwrap();
        running.stop(Stop::Suspend);
        running.wait().unwrap();
        let mut named = Named::default();
        named.add(rows.take_named());
        let left = pelton::replay::manifest(scratch.path()).unwrap();
        let last = left.checkpoints.last().map(|checkpoint| checkpoint.number);

        let running = job.start_with(&config(shards)).unwrap();
        let begun = pelton::replay::manifest(scratch.path()).unwrap();
        assert_eq!((begun.generation, begun.base), (left.generation + 1, last), "{shards} shards");
        let progress = running.wait().unwrap();
        assert_eq!(progress.total.replayed_ticks, 0);
        named.add(rows.take_named());
        named.check(numbers);
    }
}

/// Should that checkpoint be damaged, the one before it and the logs still have everything.
#[test]
fn a_suspension_that_is_damaged_gives_way() {
    let (scratch, rows, numbers) = (Scratch::new("gives-way"), collect(), 2_000_000);
    let job = job(numbers, &rows);
    let config = |shards| config(scratch.path(), Durability::Process, shards);
    let running = job.start_with(&config(2)).unwrap();
    running.checkpoint(None).unwrap();
    while running.progress().total.records_in < 10_000 {
        std::thread::yield_now();
    }
    running.stop(Stop::Suspend);
    running.wait().unwrap();
    let mut named = Named::default();
    named.add(rows.take_named());
    let left = pelton::replay::manifest(scratch.path()).unwrap();
    let last = left.checkpoints.last().expect("a suspension makes a checkpoint").number;
    let snapshot = scratch.path().join(format!("checkpoint/{last:08}/shard-0001.snap"));
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();

    let progress = job.run_with(&config(3)).unwrap();
    assert_eq!(progress.total.replayed_ticks, 0, "those of before have replayed");
    named.add(rows.take_named());
    named.check(numbers);
}

/// A start that cannot read the newest checkpoints goes on from one before them. When they can be read again, they are of another history: what has
/// been taken in since does not follow from them.
#[test]
fn what_could_not_be_read_is_not_begun_from_later() {
    for durability in [Durability::Process, Durability::Disk] {
        let scratch = Scratch::new("superseded");
        let data = scratch.path().join("data");
        let config = config(&data, durability, 2);
        let ((numbers, source), rows) = (inlet::<u64>(1_000), collect());
        let job = Job::new("numbers").source(source).rebalance().map(|n: u64| n).sink(rows.clone());
        let named = RefCell::new(BTreeMap::new());
        let run = |config: &Config, sends: RangeInclusive<u64>, stop: &dyn Fn(Running)| {
            let running = job.start_with(config).unwrap();
            let mut producer = numbers.producer("a").unwrap();
            assert_eq!(producer.next_sequence(), Ok(*sends.start()), "{durability:?}");
            for n in sends.clone() {
                producer.send(n).unwrap();
            }
            producer.wait_acknowledged(*sends.end(), secs(60)).unwrap();
            stop(running);
            for row in rows.take_named() {
                let name = (row.tick, row.shard, row.seq);
                assert_eq!(*named.borrow_mut().entry(name).or_insert(row.row), row.row, "{name:?}");
            }
        };
        let suspend = |running: Running| {
            running.stop(Stop::Suspend);
            running.wait().unwrap();
        };
        run(&config, 1..=20, &|running| {
            running.checkpoint(None).unwrap();
            running.checkpoint(Some("later")).unwrap();
            suspend(running);
        });
        let checkpoints = |data: &Path| -> Vec<(u64, bool)> {
            let all = pelton::replay::manifest(data).unwrap().checkpoints;
            all.iter().map(|known| (known.number, known.superseded)).collect()
        };
        assert_eq!(checkpoints(&data), [(1, false), (2, false), (3, false)]);
        let move_away = |back: bool| {
            for number in [2, 3] {
                let (there, away) = (
                    data.join(format!("checkpoint/{number:08}/shard-0001.snap")),
                    scratch.path().join(format!("{number}.snap")),
                );
                let (from, to) = if back { (away, there) } else { (there, away) };
                fs::rename(from, to).unwrap();
            }
        };
        move_away(false);
        // It ends without a checkpoint of its own.
        run(&config, 21..=40, &|running| {
            running.stop(Stop::Now);
            running.wait().unwrap();
        });
        assert_eq!(checkpoints(&data), [(1, false), (2, true), (3, true)]);
        move_away(true);
        run(&config, 41..=60, &suspend);
        // A savepoint stays until it is deleted; what is kept for the case of damage does not.
        assert_eq!(checkpoints(&data), [(1, false), (2, true), (4, false)]);
        let shown: BTreeSet<u64> = named.take().into_values().collect();
        assert_eq!(shown, (1..=60).collect(), "{durability:?}");
        let back = Config { restore: Some("later".to_owned()), ..config.clone() };
        run(&back, 21..=30, &suspend);
    }
}
