//! Stopped at any moment and started again.

use crate::support::{Named, Scratch, config, job};
use pelton::config::Durability;
use pelton::prelude::*;
use std::time::Duration;

fn check(durability: Durability, shards: usize, checkpoints: bool) {
    let (scratch, rows, numbers) = (Scratch::new("stopped"), collect(), 400_000);
    let (job, config) = (job(numbers, &rows), config(scratch.path(), durability, shards));
    let mut named = Named::default();
    let mut ended = false;
    for round in 0..200u64 {
        let running = job.start(&config).unwrap();
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
    job.run(&config).unwrap();
    named.add(rows.take_named());
    named.check(numbers);
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
