//! What hot keys cost, and what `pre_aggregated` makes of that.
//!
//! ```text
//! cargo run --release -p pelton-bench --example hot_keys -- [--records N] [--keys N] [--shards N] [--rounds N]
//! ```
//!
//! Counts and sums by key in windows of a million records: of keys that come evenly, of keys by Zipf's law with exponent 1.2, of which the first has a
//! sixth of all records, and of one key. Each with `pre_aggregated` and without, in turn; medians of the rounds.

use pelton::prelude::*;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

/// Keys are drawn before the clock starts, and come again after so many records.
const DRAWN: usize = 1 << 20;

fn mixed(n: u64) -> u64 {
    let word = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word ^ word >> 29
}

/// Keys of which number `k` comes as often as `1 / k^exponent`.
fn drawn(keys: u64, exponent: f64) -> Arc<[u32]> {
    let mut up_to = Vec::with_capacity(keys as usize);
    let mut sum = 0.0;
    for key in 1..=keys {
        sum += (key as f64).powf(-exponent);
        up_to.push(sum);
    }
    let draw = |n: usize| {
        let at = (mixed(n as u64) >> 11) as f64 / (1u64 << 53) as f64 * sum;
        up_to.partition_point(|sum| *sum < at) as u32
    };
    (0..DRAWN).map(draw).collect()
}

/// Million records a second, and a checksum of the rows.
fn run(keys: &Arc<[u32]>, records: u64, shards: usize, pre: bool) -> Result<(f64, u64), Box<dyn Error>> {
    let keys = keys.clone();
    let source = generate(move |partition, of| {
        let keys = keys.clone();
        (partition as u64..records).step_by(of).map(move |n| (keys[n as usize % DRAWN], n))
    });
    let windows = Job::new("hot-keys")
        .source(source)
        .event_time(|(_, n)| EventTime(*n as i64 * 1_000), in_order())
        .key_by(|(key, _)| *key)
        .window(tumbling(secs(1)));
    let rows = fold(0u64, |sum: &mut u64, row: u64| *sum = sum.wrapping_add(row), u64::wrapping_add);
    let term =
        |row: Windowed<u32, (u64, u64)>| mixed(u64::from(row.key) ^ mixed(row.value.0 ^ mixed(row.value.1)));
    let aggregate = (count(), sum(|(_, n): &(u32, u64)| *n));
    let job = if pre {
        windows.aggregate(pre_aggregated(aggregate)).map(term).sink(rows.clone())
    } else {
        windows.aggregate(aggregate).map(term).sink(rows.clone())
    };
    let began = Instant::now();
    job.run_with(&Config { shards, ..Config::default() })?;
    Ok((records as f64 / began.elapsed().as_secs_f64() / 1e6, rows.take()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut records, mut keys, mut shards, mut rounds) = (20_000_000, 100_000, 2, 5);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} has no value"))?;
        match name.as_str() {
            "--records" => records = value.parse()?,
            "--keys" => keys = value.parse()?,
            "--shards" => shards = value.parse()?,
            "--rounds" => rounds = value.parse()?,
            _ => return Err(format!("there is no {name}").into()),
        }
    }
    let inputs = [("even", drawn(keys, 0.0)), ("Zipf 1.2", drawn(keys, 1.2)), ("one key", drawn(1, 0.0))];
    let mut speeds = vec![Vec::new(); 2 * inputs.len()];
    for _ in 0..rounds {
        for (number, (name, keys)) in inputs.iter().enumerate() {
            let (plain, sum) = run(keys, records, shards, false)?;
            let (pre, other) = run(keys, records, shards, true)?;
            if sum != other {
                return Err(format!("{name}: the rows are others").into());
            }
            speeds[2 * number].push(plain);
            speeds[2 * number + 1].push(pre);
        }
    }
    let mut out = std::io::stdout().lock();
    let median = |speeds: &mut Vec<f64>| {
        speeds.sort_by(f64::total_cmp);
        speeds[speeds.len() / 2]
    };
    for (number, (name, _)) in inputs.iter().enumerate() {
        let (plain, pre) = (median(&mut speeds[2 * number]), median(&mut speeds[2 * number + 1]));
        writeln!(out, "{name:9} {plain:7.1} M/s, pre-aggregated {pre:7.1} M/s")?;
    }
    Ok(())
}
