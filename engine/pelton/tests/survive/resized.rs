//! Started again with another number of shards, and from savepoints.

use crate::support::{Counted, Named, Scratch, config, job, twin};
use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sinks::Collect;
use std::collections::BTreeMap;
use std::time::Duration;

/// The rows so far, of any number of lives: what is shown twice must be equal.
fn add(seen: &mut BTreeMap<(i64, u64), u64>, rows: &Collect<Counted>) {
    for row in rows.take() {
        let before = seen.insert((row.window.start.as_secs(), row.key), row.value);
        assert!(before.is_none_or(|before| before == row.value), "{before:?} came again as {row:?}");
    }
}

#[test]
fn with_other_numbers_of_shards() {
    let (scratch, rows, numbers) = (Scratch::new("resized"), collect(), 400_000);
    let job = job(numbers, &rows);
    let mut seen = BTreeMap::new();
    let mut ended = false;
    for round in 0..100u64 {
        let shards = [2, 3, 1, 8, 4][round as usize % 5];
        let running = job.start_with(&config(scratch.path(), Durability::Process, shards)).unwrap();
        ended = running.wait_for(Duration::from_millis(5 + round % 23));
        running.stop(Stop::Now);
        running.wait().unwrap();
        add(&mut seen, &rows);
        if ended {
            break;
        }
    }
    assert!(ended, "it makes headway");
    assert!(seen == twin(numbers));
}

#[test]
fn from_a_savepoint() {
    let (scratch, rows, numbers) = (Scratch::new("savepoint"), collect(), 4_000_000);
    let job = job(numbers, &rows);
    let mut config = config(scratch.path(), Durability::Process, 2);
    let running = job.start_with(&config).unwrap();
    let saved = running.checkpoint(Some("before-lunch")).unwrap();
    running.wait().unwrap();
    let first = rows.take_named();
    assert!(first.iter().any(|row| row.tick > saved.tick), "it went on");

    config.shards = 3;
    config.restore = Some("before-lunch".to_owned());
    job.run_with(&config).unwrap();
    let mut seen = BTreeMap::new();
    for row in first.into_iter().filter(|row| row.tick <= saved.tick) {
        seen.insert((row.row.window.start.as_secs(), row.row.key), row.row.value);
    }
    for row in rows.take() {
        let before = seen.insert((row.window.start.as_secs(), row.key), row.value);
        assert_eq!(before, None, "what was shown before the savepoint is not shown again");
    }
    assert!(seen == twin(numbers));

    config.restore = Some("after-lunch".to_owned());
    let error = job.start_with(&config).unwrap_err().to_string();
    assert!(error.contains("`after-lunch`") && error.contains("`before-lunch`"), "{error}");
}

/// The name of the savepoint stays in the configuration: later starts go on where the one before was.
#[test]
fn a_savepoint_is_begun_from_once() {
    for shards in [2, 3] {
        let (scratch, rows, numbers) = (Scratch::new("once"), collect(), 1_500_000);
        let job = job(numbers, &rows);
        let mut config = config(scratch.path(), Durability::Process, 2);
        let running = job.start_with(&config).unwrap();
        let saved = running.checkpoint(Some("lunch")).unwrap();
        running.stop(Stop::Now);
        running.wait().unwrap();
        let mut named = Named::default();
        named.add(rows.take_named().into_iter().filter(|row| row.tick <= saved.tick).collect());

        config.restore = Some("lunch".to_owned());
        config.shards = shards;
        let mut generations = Vec::new();
        let mut ended = false;
        for round in 0..200 {
            let running = job.start_with(&config).unwrap();
            ended = running.wait_for(Duration::from_millis(5 + round * round * 10));
            running.stop(Stop::Now);
            running.wait().unwrap();
            named.add(rows.take_named());
            generations.push(pelton::replay::manifest(scratch.path()).unwrap().generation);
            if ended {
                break;
            }
        }
        assert!(ended && generations.len() > 2, "{generations:?}");
        assert!(generations.iter().all(|generation| *generation == 1), "{generations:?}");
        // Had it begun from there again, windows would have come again under names that were not used before.
        named.check(numbers);
    }
}

/// What was logged after a savepoint is given up, but there until the restored job has saved its state for the first time.
#[test]
fn what_is_given_up_stays_until_the_new_state_stands_by_itself() {
    for resized in [false, true] {
        let (scratch, rows, numbers) = (Scratch::new("given-up"), collect(), 1 << 40);
        let job = job(numbers, &rows);
        let mut config = config(scratch.path(), Durability::Process, 2);
        let running = job.start_with(&config).unwrap();
        running.checkpoint(Some("lunch")).unwrap();
        running.checkpoint(None).unwrap();
        running.stop(Stop::Now);
        running.wait().unwrap();
        let log = |generation: u32| {
            let shard = scratch.path().join(format!("log/g{generation:04}/shard-0000"));
            std::fs::read_dir(shard).is_ok_and(|mut files| files.next().is_some())
        };
        assert!(log(0));

        config.restore = Some("lunch".to_owned());
        for _ in 0..2 {
            let running = job.start_with(&config).unwrap();
            running.stop(Stop::Now);
            running.wait().unwrap();
            assert!(log(0) && log(1), "nothing has been saved since");
        }
        if resized {
            // What other shards left becomes a checkpoint.
            config.shards = 3;
        }
        let running = job.start_with(&config).unwrap();
        if !resized {
            running.checkpoint(None).unwrap();
        }
        assert!(!log(0));
        assert!(log(if resized { 2 } else { 1 }));
        running.stop(Stop::Now);
        running.wait().unwrap();
        rows.take();
    }
}
