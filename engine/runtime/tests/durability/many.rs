//! Started again with more keys than can be looked up at once.

use crate::support::{Scratch, config};
use pelton::config::Durability;
use pelton::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const NUMBERS: u64 = 1_000_000;
/// Enough that the index of each shard's table is put off after a start, and that there is one of several shares.
const KEYS: u64 = 180_000;
const WINDOW: u64 = 400_000;
/// Runs that it takes at least.
const LIVES: u64 = 8;

fn key(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS
}

/// Sums by key: what is added in another order, twice or not at all shows.
fn check(shards: usize, checkpoints: u64) {
    let (scratch, rows) = (Scratch::new("many"), collect());
    // As far as this lives hurry, and beyond it they crawl: on the fastest machine, too, it takes several.
    let hurried = Arc::new(AtomicU64::new(0));
    let crawls = hurried.clone();
    let source = generate(move |w, of| {
        let crawls = crawls.clone();
        (w as u64..NUMBERS).step_by(of).inspect(move |n| {
            if *n >= crawls.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(200));
            }
        })
    });
    let source = source.partitions(3);
    let job = Job::new("many-keys");
    let _ = job
        .source(source)
        .event_time(|n| EventTime::from_millis(*n as i64), in_order())
        .key_by(|n| key(*n))
        .window(tumbling(millis(WINDOW)))
        .aggregate(sum(|n: &u64| *n))
        .sink(rows.clone());
    let config = config(scratch.path(), Durability::Process, shards);
    let (mut named, mut ended, mut saved) = (BTreeMap::new(), false, 0);
    for round in 0..400u64 {
        hurried.fetch_add(NUMBERS / LIVES, Ordering::Relaxed);
        let running = job.start_with(&config).unwrap();
        ended = running.wait_for(Duration::from_millis(5 + round * 37 % 150));
        if !ended && round % checkpoints == 0 && running.checkpoint(None).is_ok() {
            saved += 1;
        }
        running.stop(Stop::Now);
        running.wait().unwrap();
        for row in rows.take_named() {
            let before = named.insert((row.tick, row.shard, row.seq), row.row);
            assert!(before.is_none_or(|before| before == row.row), "{before:?} came again as {:?}", row.row);
        }
        if ended {
            break;
        }
    }
    assert!(ended && saved >= LIVES / 2 / checkpoints, "it makes headway, and checkpoints: {saved}");
    let mut sums = BTreeMap::new();
    (0..NUMBERS).for_each(|n| *sums.entry((n / WINDOW, key(n))).or_insert(0) += n);
    let found =
        named.values().map(|row| ((row.window.start.as_millis() as u64 / WINDOW, row.key), row.value));
    let all: BTreeMap<_, _> = found.collect();
    assert_eq!(all.len(), named.len(), "a window of a key comes once");
    assert!(all == sums, "{} windows of {}", all.len(), sums.len());
}

#[test]
fn from_checkpoints_of_many_keys() {
    check(1, 1);
    check(2, 2);
}
