//! Key groups moved from shard to shard while the job runs, and crashes around that.

use crate::support::{Named, Scratch, config, job, twin};
use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sources::inlet;
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn results_are_the_same_wherever_keys_live() {
    for shards in [2, 3, 4] {
        let (scratch, rows, numbers) = (Scratch::new("moved"), collect(), 800_000);
        let config = config(scratch.path(), Durability::Process, shards);
        let running = job(numbers, &rows).start_with(&config).unwrap();
        let mut moves = 0;
        for round in 0..20u32 {
            let (first, shard) = (round * 97 % 900, (round as u16 * 7) % shards as u16);
            match running.move_groups(first..=first + 100, shard) {
                Ok(_) => moves += 1,
                Err(_) => break,
            }
        }
        assert!(running.wait_for(Duration::from_secs(60)), "the job hangs: {:?}", running.progress());
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
        let running = job.start_with(&config).unwrap();
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
    let router = pelton::core::exchange::router::Router::new(config.key_groups, 2);
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
        .start_with(&config)
        .unwrap();
    while running.progress().total.records_in < 100_000 && !running.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let moved = running.rebalance();
    running.wait().unwrap();
    assert!(moved.as_ref().is_ok_and(|done| done.moved > 0), "{moved:?}");
    let rows = rows.take_named();
    let late: Vec<_> = rows.iter().filter(|row| row.tick > moved.as_ref().unwrap().tick).collect();
    let on_two = late.iter().filter(|row| row.shard.0 == 1).count();
    assert!(on_two * 6 > late.len(), "{on_two} of {} rows came from the other shard", late.len());
    assert_eq!(rows.iter().map(|row| row.row.value).sum::<u64>(), 1_000_000);
}

/// Skew is looked for every so often, and evened out with nobody asking; the results are what they would have been.
#[test]
fn a_policy_moves_groups_while_nobody_asks() {
    let scratch = Scratch::new("policy");
    let mut config = config(scratch.path(), Durability::Process, 2);
    config.balance.interval_s = 1;
    let router = pelton::core::exchange::router::Router::new(config.key_groups, 2);
    let here = |key: &u64| router.shard(pelton::Key::hash(key)).0 == 0;
    let keys: Vec<u64> = (0..1_000).filter(here).take(8).collect();
    let (numbers, source) = inlet::<u64>(1_000);
    let rows = collect();
    let of = keys.clone();
    let running = Job::new("policy")
        .source(source)
        .event_time(|n| EventTime::from_millis(*n as i64), in_order())
        .key_by(move |n| of[*n as usize % 8])
        .window(tumbling(secs(1)))
        .count()
        .sink(rows.clone())
        .start_with(&config)
        .unwrap();
    let mut producer = numbers.producer("a").unwrap();
    let mut named = Vec::new();
    let began = std::time::Instant::now();
    let mut sent = 0;
    // Until the other shard has shown a good deal.
    while named.iter().filter(|row: &&pelton::sinks::Row<_>| row.shard.0 == 1).count() < 100 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing was moved");
        for _ in 0..8_000 {
            producer.send(sent).unwrap();
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
        named.extend(rows.take_named());
    }
    numbers.close();
    running.wait().unwrap();
    named.extend(rows.take_named());
    let moves = pelton::replay::manifest(scratch.path()).unwrap().moves;
    assert!(!moves.is_empty());
    let counted: BTreeMap<_, _> =
        named.iter().map(|row| ((row.row.window.start.as_secs(), row.row.key), row.row.value)).collect();
    assert_eq!(counted.len(), named.len(), "each once");
    let mut expected = BTreeMap::new();
    (0..sent).for_each(|n| *expected.entry((n as i64 / 1_000, keys[n as usize % 8])).or_insert(0) += 1);
    assert!(counted == expected);
}

/// What was recorded of the state before, between and after moves is what a replay comes to, from wherever it begins.
#[test]
fn a_replay_goes_across_moves() {
    let (scratch, rows, numbers) = (Scratch::new("replayed"), collect(), 40_000_000);
    let mut config = config(scratch.path(), Durability::Process, 3);
    // Each hash takes as long as there are windows open, which on a busy machine are very many.
    config.log.hash_ticks = 32;
    config.tick.records_max = 2_000;
    config.log.segment_bytes = 8 << 20;
    config.checkpoint.keep = 10;
    let job = job(numbers, &rows);
    let running = job.start_with(&config).unwrap();
    let first = running.move_groups(0..=500, 2).unwrap();
    let checkpoint = running.checkpoint(None).unwrap();
    let second = running.move_groups(300..=900, 1).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    running.stop(Stop::Now);
    running.wait().unwrap();
    assert!(first.tick < checkpoint.tick && checkpoint.tick < second.tick);
    for from in
        [pelton::Tick(0), first.tick, checkpoint.tick, pelton::Tick(checkpoint.tick.0 + 1), second.tick]
    {
        let replay = |to| pelton::replay::replay(&job, &config, scratch.path(), from, to, |_| {});
        let replayed = match replay(pelton::Tick::END) {
            Ok(replayed) => replayed,
            Err(error) => {
                // Moves before the oldest checkpoint are not kept.
                assert!(
                    from <= checkpoint.tick && error.to_string().contains("ask for later ticks"),
                    "{error}"
                );
                continue;
            }
        };
        assert_eq!(replayed.different, 0, "from {from:?}: {replayed:?}");
        assert!(replayed.compared > 0, "from {from:?}: {replayed:?}");
    }
    assert!(rows.take().len() > 1);
}
