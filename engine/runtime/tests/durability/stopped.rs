//! Stopped at any moment and started again.

use crate::support::{Named, Scratch, config, job};
use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sources::inlet;
use std::time::Duration;

fn check(durability: Durability, shards: usize, checkpoints: bool) {
    let (scratch, rows, numbers) = (Scratch::new("stopped"), collect(), 400_000);
    let (job, config) = (job(numbers, &rows), config(scratch.path(), durability, shards));
    let mut named = Named::default();
    let mut ended = false;
    for round in 0..200u64 {
        let running = job.start_with(&config).unwrap();
        if checkpoints && round % 2 == 1 {
            // It may have ended before.
            let _ = running.checkpoint(None);
        }
        ended = running.wait_for(Duration::from_millis(3 + round * 3 % 400));
        running.stop(Stop::Now);
        running.wait().unwrap();
        named.add(rows.take_named());
        if ended {
            break;
        }
    }
    assert!(ended, "it makes headway");
    named.check(numbers);
    // Once more, from the end: everything that comes is known.
    job.run_with(&config).unwrap();
    named.add(rows.take_named());
    named.check(numbers);
}

/// A key and records of so many bytes that no block of a checkpoint was made for them.
#[test]
fn long_keys_and_records_are_part_of_checkpoints() {
    let (scratch, numbers) = (Scratch::new("long"), 2_000u64);
    let config = config(scratch.path(), Durability::Process, 2);
    let text = |n: u64| format!("{n:04}").repeat(if n % 100 == 7 { 100_000 } else { 1_000 });
    let (texts, source) = inlet::<(u64, String)>(1_000);
    let rows = collect();
    let sorted = |rows: &pelton::sinks::Collect<(String, u64)>| {
        let mut rows: Vec<_> =
            rows.take().into_iter().map(|(key, count)| (key[..4].to_owned(), count)).collect();
        rows.sort_unstable();
        rows
    };
    let job = Job::new("long")
        .source(source)
        .event_time(|(n, _)| EventTime::from_millis(*n as i64), in_order())
        .key_by(|(n, text)| format!("{n} {text}"))
        .deduplicate(secs(1_000))
        .key_by(|(_, text)| text.clone())
        .window(tumbling(secs(1_000)))
        .count()
        .map(|row| (row.key, row.value))
        .sink(rows.clone());
    let running = job.start_with(&config).unwrap();
    let mut producer = texts.producer("a").unwrap();
    for n in 0..numbers {
        producer.send((n, text(n % 500))).unwrap();
    }
    producer.wait_acknowledged(numbers, secs(60)).unwrap();
    running.checkpoint(None).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    assert!(sorted(&rows).is_empty());

    let running = job.start_with(&config).unwrap();
    texts.close();
    running.wait().unwrap();
    let expected: Vec<_> = (0..500).map(|n| (format!("{n:04}"), 4)).collect();
    assert_eq!(sorted(&rows), expected);
}

#[test]
fn a_stopped_job_goes_on_from_its_log() {
    for shards in [1, 2, 3] {
        check(Durability::Process, shards, false);
    }
    check(Durability::Disk, 2, false);
}

#[test]
fn a_stopped_job_goes_on_from_its_checkpoint() {
    for shards in [1, 2, 4] {
        check(Durability::Process, shards, true);
    }
    check(Durability::Disk, 2, true);
}
