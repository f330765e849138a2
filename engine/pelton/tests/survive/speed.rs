use crate::support::{Scratch, config, job};
use pelton::config::Durability;
use pelton::prelude::*;
use std::time::{Duration, Instant};

#[test]
#[ignore]
fn speed() {
    for durability in [Durability::None, Durability::Process, Durability::Disk] {
        let (scratch, rows, numbers) = (Scratch::new("speed"), collect(), 400_000);
        let (job, config) = (job(numbers, &rows), config(scratch.path(), durability, 2));
        let begun = Instant::now();
        let running = job.start(&config).unwrap();
        println!("{durability:?} started in {:?}", begun.elapsed());
        while !running.wait_for(Duration::from_millis(500)) {
            println!("{:?}", running.progress().total);
            if begun.elapsed() > Duration::from_secs(10) {
                break;
            }
        }
        println!("{durability:?} took {:?}: {:?}", begun.elapsed(), running.progress());
        running.stop(Stop::Now);
        running.wait().unwrap();
    }
}
