//! How fast a file of newline-delimited JSON is read: `ndjson_speed FILE PARTITIONS`, with the configuration of the environment.
//!
//! Sums a float for each of a few keys in windows of an hour, so that a run is known to be right: with any number of partitions and shards the
//! printed sums are the same, bit for bit. `ndjson_speed FILE LINES write` makes such a file.

use pelton::connect::ndjson;
use pelton::prelude::*;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::{BufWriter, Write};
use std::time::Instant;

#[pelton::record]
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reading {
    at: i64,
    sensor: u32,
    place: String,
    value: f64,
}

fn write(path: &str, lines: u64) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for number in 0..lines {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24;
        let reading = Reading {
            at: number as i64 * 1_000_000,
            sensor: (mixed % 100) as u32,
            place: format!("hall {}", mixed % 7),
            value: (mixed % 1_000_000_000_000) as f64 / 1e7,
        };
        serde_json::to_writer(&mut file, &reading)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, number, rest @ ..] = &arguments[..] else {
        return Err("usage: ndjson_speed FILE PARTITIONS | ndjson_speed FILE LINES write".into());
    };
    if rest.first().is_some_and(|word| word == "write") {
        return write(path, number.parse()?);
    }
    let config = Config::load()?;
    let source = ndjson::file::<Reading>(path)?.partitions(number.parse()?).strict();
    let rows = collect();
    let job = Job::new("speed")
        .source(source.clone())
        .event_time(|reading| EventTime::from_nanos(reading.at), in_order())
        .key_by(|reading| reading.sensor)
        .window(tumbling(secs(3_600)))
        .aggregate((count(), sum(|reading: &Reading| reading.value)))
        .sink(rows.clone());
    let (bytes, begun) = (std::fs::metadata(path)?.len(), Instant::now());
    job.run_with(&config)?;
    let took = begun.elapsed().as_secs_f64();
    let mut rows = rows.take();
    rows.sort_by_key(|row| (row.window, row.key));
    let digest = rows.iter().fold(0u64, |digest, row| {
        digest.rotate_left(5) ^ row.value.1.to_bits() ^ row.value.0 ^ u64::from(row.key)
    });
    println!(
        "{took:.3} s, {:.0} MB/s, {} lines, {} rows, digest {digest:016x}",
        bytes as f64 / 1e6 / took,
        source.counts().lines,
        rows.len()
    );
    Ok(())
}
