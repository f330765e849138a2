//! Started again with another number of shards, and from savepoints.

use crate::support::{Counted, Named, Scratch, config, job, twin};
use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sinks::Collect;
use std::collections::BTreeMap;
use std::time::Duration;

/// The rows so far, of any number of runs: what is shown twice must be equal.
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

/// A request to go back is for one start. Found again with newer state behind it, it is refused: neither is that state given up, nor the request
/// passed over.
#[test]
fn a_savepoint_is_begun_from_once() {
    for shards in [2, 3] {
        let (scratch, rows, numbers) = (Scratch::new("once"), collect(), 4_000_000);
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
        let generation = || pelton::replay::manifest(scratch.path()).unwrap().generation;
        let running = job.start_with(&config).unwrap();
        running.checkpoint(None).unwrap();
        running.stop(Stop::Now);
        running.wait().unwrap();
        named.add(rows.take_named());
        // What a supervisor does after a crash, or a person who wants to go back again.
        for _ in 0..2 {
            let error = job.start_with(&config).unwrap_err().to_string();
            assert!(
                error.contains("has gone back to `lunch` already") && error.contains("`lunch@2`"),
                "{error}"
            );
            assert_eq!(generation(), 1);
        }
        config.restore = None;
        job.run_with(&config).unwrap();
        named.add(rows.take_named());
        assert_eq!(generation(), 1);
        // Had it begun from there again, windows would have come again under names that were not used before.
        named.check(numbers);
    }
}

/// Monday, on from there, and Monday again: asked for anew behind a start without it, or by its number.
#[test]
fn a_job_goes_back_as_often_as_it_is_told() {
    let (scratch, rows, numbers) = (Scratch::new("again"), collect(), 1 << 40);
    let job = job(numbers, &rows);
    let mut config = config(scratch.path(), Durability::Disk, 2);
    let running = job.start_with(&config).unwrap();
    running.checkpoint(Some("monday")).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    let mut generations = Vec::new();
    for restore in
        [Some("monday"), None, Some("monday"), Some("monday@2"), Some("monday@3"), None, Some("monday")]
    {
        config.restore = restore.map(str::to_owned);
        let running = job.start_with(&config).unwrap();
        running.checkpoint(None).unwrap();
        running.stop(Stop::Now);
        running.wait().unwrap();
        generations.push(pelton::replay::manifest(scratch.path()).unwrap().generation);
        rows.take();
    }
    assert_eq!(generations, [1, 1, 2, 3, 4, 4, 5]);
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

        // Gone back to, and then gone on from.
        for restore in [Some("lunch"), None] {
            config.restore = restore.map(str::to_owned);
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
