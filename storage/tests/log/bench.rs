//! What an append costs. Prints; asserts only that it is far from a system call.

use crate::common::{DIRECTORY, options};
use pelton_storage::disk::{Disk, Faults, Simulated};
use pelton_storage::{Durability, Kind, Log, LogOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

#[test]
fn an_append_costs_nanoseconds() {
    let disk: Arc<dyn Disk> = Arc::new(Simulated::new(1, Faults::default()));
    let options = LogOptions { segment_bytes: 16 << 20, ..options(Durability::Process) };
    let (mut log, _) = Log::open(&disk, Path::new(DIRECTORY), &options).unwrap();
    let mut tick = 0;
    for len in [0, 64, 256, 1_024, 8_192] {
        let payload = vec![3; len];
        // The best of many short rounds: other tests run beside this one. The first ones touch fresh memory.
        let best = (0..60).map(|_| {
            while log.room() < 2 << 20 {
                log.turn(0).unwrap();
            }
            let count = (256 << 10) / (len + 64) as u64;
            let from = Instant::now();
            for _ in 0..count {
                tick += 1;
                log.append(tick, Kind::Tick, &payload);
            }
            from.elapsed().as_nanos() as u64 / count
        });
        let best = best.min().unwrap();
        println!("append of {len} bytes: {best} ns");
        assert!(best < 20_000, "{len} bytes: {best} ns");
    }
}
