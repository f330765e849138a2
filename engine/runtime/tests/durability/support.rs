//! A job with a naive twin, and a directory of its own.

use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sinks::{Collect, Row};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that is gone afterwards.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pelton-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub type Counted = Windowed<u64, u64>;

/// Numbers by their last digits, counted in windows of a second, a thousand numbers to a second.
pub fn job(numbers: u64, rows: &Collect<Counted>) -> Job {
    let source = generate(move |w, of| (w as u64..numbers).step_by(of)).partitions(3);
    Job::new("digits")
        .source(source)
        .event_time(|n| EventTime::from_millis(*n as i64), in_order())
        .key_by(|n| n % 97)
        .window(tumbling(secs(1)))
        .count()
        .sink(rows.clone())
}

/// What the job gives, by (window, key).
pub fn twin(numbers: u64) -> BTreeMap<(i64, u64), u64> {
    let mut counts = BTreeMap::new();
    (0..numbers).for_each(|n| *counts.entry((n as i64 / 1_000, n % 97)).or_insert(0) += 1);
    counts
}

pub fn config(data: &Path, durability: Durability, shards: usize) -> Config {
    let mut config = Config { shards, durability, data: Some(data.to_owned()), ..Config::default() };
    config.tick.records_max = 64;
    config.log.segment_bytes = 1 << 20;
    config.checkpoint.interval_s = 0;
    config
}

/// Rows under their names: the same name must always mean the same row.
#[derive(Default)]
pub struct Named(pub BTreeMap<(pelton::Tick, pelton::ShardId, u64), Counted>);

impl Named {
    pub fn add(&mut self, rows: Vec<Row<Counted>>) {
        for row in rows {
            let before = self.0.insert((row.tick, row.shard, row.seq), row.row);
            assert!(before.is_none_or(|before| before == row.row), "{before:?} came again as {:?}", row.row);
        }
    }

    pub fn check(&self, numbers: u64) {
        let mut counts = BTreeMap::new();
        for row in self.0.values() {
            let before = counts.insert((row.window.start.as_secs(), row.key), row.value);
            assert_eq!(before, None, "a window of a key comes once: {row:?}");
        }
        assert!(counts == twin(numbers), "{} windows of {}", counts.len(), twin(numbers).len());
    }
}
