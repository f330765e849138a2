//! Key groups moved from shard to shard while the job runs, and crashes around that.

use crate::support::{Named, Scratch, config, job, twin};
use pelton::config::Durability;
use pelton::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn results_are_the_same_wherever_keys_live() {
    for shards in [2, 3, 4] {
        let (scratch, rows, numbers) = (Scratch::new("moved"), collect(), 800_000);
        let config = config(scratch.path(), Durability::Process, shards);
        let running = job(numbers, &rows).start(&config).unwrap();
        let mut moves = 0;
        for round in 0..20u32 {
            let (first, shard) = (round * 97 % 900, (round as u16 * 7) % shards as u16);
            match running.move_groups(first..=first + 100, shard) {
                Ok(_) => moves += 1,
                Err(_) => break,
            }
        }
        running.wait().unwrap();
        assert!(moves >= 1, "some moves were made");
        let mut seen = BTreeMap::new();
        for row in rows.take() {
            let before = seen.insert((row.window.start.as_secs(), row.key), row.value);
            assert_eq!(before, None, "{shards} shards, {moves} moves: {row:?} came twice");
        }
        assert!(seen == twin(numbers), "{shards} shards, {moves} moves");
    }
}

#[test]
fn a_restart_makes_the_moves_again() {
    let (scratch, rows, numbers) = (Scratch::new("moved-again"), collect(), 400_000);
    let (job, config) = (job(numbers, &rows), config(scratch.path(), Durability::Process, 3));
    let mut named = Named::default();
    let mut ended = false;
    for round in 0..200u64 {
        let running = job.start(&config).unwrap();
        if round % 2 == 0 {
            let first = (round as u32 * 131) % 900;
            // It may have ended before.
            let _ = running.move_groups(first..=first + 123, (round % 3) as u16);
        }
        if round % 5 == 4 {
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
}

#[test]
fn skew_is_seen_and_evened_out() {
    let scratch = Scratch::new("skew");
    let config = config(scratch.path(), Durability::Process, 2);
    // Eight keys, all of one shard's groups.
    let router = pelton::core::hash::Router::new(config.key_groups, 2);
    let here = |key: &u64| router.shard(pelton::Key::hash(key)).0 == 0;
    let keys: Vec<u64> = (0..1_000).filter(here).take(8).collect();
    let rows = collect();
    let running = Job::new("skew")
        .source(generate(move |w, of| {
            let keys = keys.clone();
            (w as u64..1_000_000).step_by(of).map(move |n| (n, keys[n as usize % 8]))
        }))
        .event_time(|(n, _)| EventTime::from_millis(*n as i64), in_order())
        .key_by(|(_, key)| *key)
        .window(tumbling(secs(1)))
        .count()
        .sink(rows.clone())
        .start(&config)
        .unwrap();
    while running.progress().total.records_in < 100_000 && !running.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let moved = running.rebalance();
    running.wait().unwrap();
    assert!(moved.is_ok(), "{moved:?}");
    let rows = rows.take_named();
    let late: Vec<_> = rows.iter().filter(|row| row.tick > moved.as_ref().unwrap().tick).collect();
    let on_two = late.iter().filter(|row| row.shard.0 == 1).count();
    assert!(on_two * 6 > late.len(), "{on_two} of {} rows came from the other shard", late.len());
    assert_eq!(rows.iter().map(|row| row.row.value).sum::<u64>(), 1_000_000);
}
