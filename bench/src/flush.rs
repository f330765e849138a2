//! What one flush costs on the disk in use: the floor of whatever is released only when it is on the disk.
//!
//! A log of the engine's own, in the run's directory, gets one small entry; the time is taken until that is durable, and then comes the
//! next: a group of 4 KiB and an fdatasync linked to it, with nothing else going on. Measured on a core of the run's,
//! half of it before the engine's part and half after, since disks have moods too.

use crate::clock::now_ns;
use crate::error::BenchError;
use crate::hist::{Latencies, Percentiles};
use pelton::Config;
use pelton::config::{DriverKind, Durability};
use pelton_cli::Interrupt;
use pelton_storage::disk::{Blocking, Disk, Uring};
use pelton_storage::{Durability as Kept, Kind, Log, LogOptions, StorageError};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long each half takes at most.
const LENGTH: Duration = Duration::from_millis(1_500);
/// Flushes of each half at most.
const FLUSHES_MAX: u64 = 2_000;
/// The first ones are not counted: the segment's file is still being made.
const WARM_UP: u64 = 20;
/// How long the engine sleeps in the kernel at most while its own flush is under way.
const WAIT: Duration = Duration::from_micros(20);
/// Bytes of an entry: a tick of a few records.
const ENTRY: [u8; 64] = [0; 64];

/// A flush beside the latencies of what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Flush {
    /// How long one flush took.
    pub flush_us: Percentiles,
    /// The median latency of the run over the median flush; 0 where there is no latency.
    pub p50_over_flush: f64,
}

impl Flush {
    /// What was measured of flushes beside what was measured of rows.
    pub fn new(flushes: &Latencies, rows: Option<&Latencies>) -> Flush {
        let (flush, row) = (flushes.at(0.5) as f64, rows.map_or(0, |rows| rows.at(0.5)) as f64);
        Flush {
            flush_us: flushes.percentiles(),
            p50_over_flush: (row / flush.max(1.0) * 100.0).round() / 100.0,
        }
    }
}

/// Flushes for a while; nothing is measured of a job that does not flush.
pub fn measure(config: &Config, directory: &Path, interrupt: &Interrupt) -> Result<Latencies, BenchError> {
    if config.durability != Durability::Disk {
        return Ok(Latencies::default());
    }
    let core = config.cores.first().copied().filter(|_| config.pin);
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            if let Some(core) = core
                && !core_affinity::set_for_current(core_affinity::CoreId { id: core })
            {
                return Err(BenchError::Pin { core });
            }
            flush(config, directory, interrupt).map_err(|error| BenchError::Engine(Box::new(error)))
        });
        measuring.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn flush(config: &Config, directory: &Path, interrupt: &Interrupt) -> Result<Latencies, StorageError> {
    let disk: Arc<dyn Disk> = match config.driver {
        DriverKind::Glommio => Arc::new(Uring::new(config.log.direct)),
        DriverKind::Threads | DriverKind::Auto => Arc::new(Blocking::new()),
    };
    let directory = directory.join("flush-floor");
    let segment_bytes = config.log.segment_bytes;
    let options = LogOptions { durability: Kept::Disk, segment_bytes, id: 1, generation: 0, shard: 0 };
    disk.create_directory(&directory).map_err(|error| StorageError::io("create", &directory, error))?;
    let (mut log, recovered) = Log::open(&disk, &directory, &options)?;
    let mut latencies = Latencies::default();
    let began = Instant::now();
    for number in 1..=FLUSHES_MAX + WARM_UP {
        if began.elapsed() > LENGTH || interrupt.is_raised() {
            break;
        }
        while log.room() < ENTRY.len() {
            log.turn(0)?;
        }
        let start = now_ns();
        log.append(recovered.last_tick + number, Kind::Tick, &ENTRY);
        while log.pending().is_some() {
            log.turn(0)?;
            log.wait(WAIT)?;
        }
        if number > WARM_UP {
            latencies.record(now_ns() - start);
        }
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn flushes_take_time_and_only_where_there_are_any() {
        let scratch = Scratch::new(Some(&std::env::temp_dir()), "flush").unwrap();
        let mut config = Config { driver: DriverKind::Threads, pin: false, ..Config::default() };
        config.log.segment_bytes = 1 << 20;
        let measure = |config: &Config| measure(config, scratch.path(), &Interrupt::default()).unwrap();
        assert_eq!(measure(&config).samples(), 0);
        config.durability = Durability::Disk;
        let flushes = measure(&config);
        assert!(flushes.samples() > 0);
        let mut rows = Latencies::default();
        rows.record(flushes.at(0.5) * 2);
        let ratio = Flush::new(&flushes, Some(&rows)).p50_over_flush;
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        // Once more in the same place: it goes on behind what is there.
        assert!(measure(&config).samples() > 0);
    }
}
