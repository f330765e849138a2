//! What exact sums of floats cost beside rounded ones, by how many keys there are.
//!
//! ```text
//! cargo run --release -p pelton-bench --example float_sums -- [--records N] [--keys 1000,100000,1000000] [--rounds N]
//! ```
//!
//! Sums of a float by key in windows of a second, of a million records each, on one shard, in turn; the median of the rounds' ratios.

use pelton::aggregate::Rounded;
use pelton::prelude::*;
use std::error::Error;
use std::io::Write;
use std::time::Instant;

/// A record: its number, from which its key and its float follow.
fn float(n: u64) -> f64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 * 1e-9 - 1e3
}

/// Seconds that it took, and what the sums came to.
fn run(records: u64, keys: u64, exact: bool) -> Result<(f64, f64), Box<dyn Error>> {
    let total = fold(0.0f64, |sum, value| *sum += value, |left, right| left + right);
    let windows = Job::new("floats")
        .source(generate(move |worker, of| (worker as u64..records).step_by(of)))
        .event_time(|n| EventTime(*n as i64 * 1_000), in_order())
        .key_by(move |n| n % keys)
        .window(tumbling(secs(1)));
    let job = if exact {
        windows.sum(|n| float(*n)).map(|row| row.value).sink(total.clone())
    } else {
        windows.sum(|n| Rounded(float(*n))).map(|row| row.value).sink(total.clone())
    };
    let began = Instant::now();
    job.run_with(&Config { shards: 1, ..Config::default() })?;
    Ok((began.elapsed().as_secs_f64(), total.take()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut records, mut keys, mut rounds) = (10_000_000, vec![1_000, 100_000, 1_000_000], 5);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} has no value"))?;
        match name.as_str() {
            "--records" => records = value.parse()?,
            "--keys" => keys = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--rounds" => rounds = value.parse()?,
            _ => return Err(format!("there is no {name}").into()),
        }
    }
    let mut out = std::io::stdout().lock();
    for keys in keys {
        let mut ratios = Vec::new();
        let mut speeds = [0.0f64; 2];
        for _ in 0..rounds {
            let ((exact, sum), (rounded, other)) = (run(records, keys, true)?, run(records, keys, false)?);
            if (sum - other).abs() > 1e-6 * sum.abs().max(1.0) {
                return Err(format!("the sums are {sum} and {other}").into());
            }
            ratios.push(exact / rounded);
            for (speed, seconds) in speeds.iter_mut().zip([exact, rounded]) {
                *speed = speed.max(records as f64 / seconds / 1e6);
            }
        }
        ratios.sort_by(f64::total_cmp);
        let [exact, rounded] = speeds;
        writeln!(
            out,
            "{keys:>9} keys: exact {exact:.1} M/s, rounded {rounded:.1} M/s at best; exact takes {:.2} times as long",
            ratios[ratios.len() / 2]
        )?;
    }
    Ok(())
}
