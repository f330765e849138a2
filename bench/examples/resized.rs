//! How long a start takes where a job was suspended: with as many shards as it had, and with others.
//!
//! ```text
//! cargo run --profile unlinked -p pelton-bench --example resized -- 10000000
//! ```
//!
//! A job counts so many keys (a million unless told) in a window that stays open, and is suspended. Then it is started with 2 and 3 shards in
//! turn and suspended again, five times; each time is from the call of `start_with` to the first new record.

use pelton::prelude::*;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Runs the job until it has taken in `records`, and suspends it; how long the first took.
fn run(data: &Path, shards: usize, keys: u64, records: u64) -> Result<Duration, Box<dyn Error>> {
    let job = Job::new("resized")
        .source(generate(move |partition, of| (partition as u64..).step_by(of).map(move |n| n % keys)))
        .event_time(|_| EventTime::from_secs(1), in_order())
        .key_by(|key| *key)
        .window(tumbling(secs(60)))
        .count()
        .sink(for_each(drop));
    let config = Config {
        data: Some(data.to_owned()),
        durability: Durability::Disk,
        shards,
        memory_bytes: 8 << 30,
        ..Config::default()
    };
    let begun = Instant::now();
    let running = job.start_with(&config)?;
    let mut first = None;
    loop {
        let taken_in = running.progress().total.records_in;
        if taken_in > 0 && first.is_none() {
            first = Some(begun.elapsed());
        }
        if taken_in >= records {
            break;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    running.stop(Stop::Suspend);
    running.wait()?;
    Ok(first.unwrap_or_else(|| begun.elapsed()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let keys = std::env::args().nth(1).map_or(Ok(1_000_000), |keys| keys.parse())?;
    let data = std::env::temp_dir().join(format!("pelton-resized-{}", std::process::id()));
    run(&data, 2, keys, keys)?;
    let mut shards = 2;
    for next in [2, 3, 3, 2, 2, 3, 3, 2, 2, 3, 3] {
        let took = run(&data, next, keys, 1)?;
        println!("from {shards} to {next} shards: {:.0} ms", took.as_secs_f64() * 1e3);
        shards = next;
    }
    Ok(std::fs::remove_dir_all(&data)?)
}
