//! How many records a second a service gets into a job, by how many threads it sends them from.
//!
//! ```text
//! cargo run --release -p pelton-bench --example inlet -- [--producers 1,4,16,64] [--records N] [--capacity N] [--only inlet|channel]
//! ```
//!
//! Each thread has a producer, or a sender, of its own, and sends its share one record at a time as fast as it can. The clock stops when the job
//! has ended with all of them in its sum, which is checked. All else is as the configuration has it.

use pelton::prelude::*;
use std::error::Error;
use std::io::Write;
use std::thread;
use std::time::Instant;

/// What a run is of.
#[derive(Clone, Copy)]
struct Load {
    producers: u64,
    records: u64,
    capacity: usize,
}

impl Load {
    /// The numbers that thread `of` sends.
    fn share(self, of: u64) -> impl Iterator<Item = u64> {
        (of..self.records).step_by(self.producers as usize)
    }
}

/// The sum of what came out, and how many seconds it took.
type Ran = Result<(u64, f64), Box<dyn Error>>;

/// A way into a job.
type Way = fn(Load) -> Ran;

fn through_an_inlet(load: Load) -> Ran {
    let (entry, source) = inlet::<u64>(load.capacity);
    let total = fold(0u64, |sum, n| *sum += n, |left, right| left + right);
    let running = Job::new("inlet").source(source).sink(total.clone()).start()?;
    let producers = (0..load.producers).map(|n| entry.producer(&format!("producer-{n}")));
    let producers = producers.collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    let send = |(number, mut producer): (u64, Producer<u64>)| {
        thread::spawn(move || load.share(number).try_for_each(|n| producer.send(n).map(drop)))
    };
    let threads: Vec<_> = (0..).zip(producers).map(send).collect();
    for thread in threads {
        thread.join().map_err(|_| "a producer panicked")??;
    }
    entry.close();
    running.wait()?;
    Ok((total.take(), began.elapsed().as_secs_f64()))
}

fn through_a_channel(load: Load) -> Ran {
    let (entry, source) = channel::<u64>(load.capacity);
    let total = fold(0u64, |sum, n| *sum += n, |left, right| left + right);
    let running = Job::new("channel").source(source).sink(total.clone()).start()?;
    let began = Instant::now();
    let send = |number| {
        let sender = entry.clone();
        thread::spawn(move || load.share(number).try_for_each(|n| sender.send(n)))
    };
    let threads: Vec<_> = (0..load.producers).map(send).collect();
    drop(entry);
    for thread in threads {
        thread.join().map_err(|_| "a sender panicked")??;
    }
    running.wait()?;
    Ok((total.take(), began.elapsed().as_secs_f64()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut producers, mut only) = (vec![1, 4, 16, 64], String::new());
    let (mut records, mut capacity) = (2_000_000u64, 1_024);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--producers" => producers = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--records" => records = value.parse()?,
            "--capacity" => capacity = value.parse()?,
            "--only" => only = value,
            other => return Err(format!("there is no {other}").into()),
        }
    }
    if producers.contains(&0) {
        return Err("nobody sends".into());
    }
    let mut out = std::io::stdout();
    let ways: [(&str, Way); 2] = [("inlet", through_an_inlet), ("channel", through_a_channel)];
    for (name, way) in ways.into_iter().filter(|(name, _)| only.is_empty() || *name == only) {
        for &producers in &producers {
            let (sum, seconds) = way(Load { producers, records, capacity })?;
            if sum != (0..records).sum::<u64>() {
                return Err(format!("{name}: the sum is {sum}").into());
            }
            let rate = records as f64 / seconds;
            writeln!(out, "{name:8} {producers:4} threads  {rate:10.0} records/s")?;
        }
    }
    Ok(())
}
