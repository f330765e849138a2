//! Jobs with nothing to do, and what they write then.

use crate::support::{Scratch, config};
use pelton::prelude::*;
use std::thread::sleep;
use std::time::Instant;

/// Each tick is an entry of a log, and a job whose time is the clock's makes none while nobody waits. A window closes all the same.
#[test]
fn a_job_of_the_clock_logs_nothing_while_nobody_waits() {
    for durability in [Durability::Process, Durability::Disk] {
        let (scratch, rows) = (Scratch::new("idle"), collect());
        let (numbers, source) = inlet::<u64>(16);
        let counts =
            Job::new("idle").source(source).ingestion_time().key_by(|_| ()).window(tumbling(millis(50)));
        let job = counts.count().map(|row| row.value).sink(rows.clone());
        let running = job.start_with(&config(scratch.path(), durability, 2)).unwrap();
        let mut producer = numbers.producer("p").unwrap();
        producer.send(1).unwrap();
        let shown = |count: usize| {
            let begun = Instant::now();
            let mut seen = Vec::new();
            while seen.len() < count {
                seen.extend(rows.take());
                assert!(begun.elapsed() < secs(60), "{durability:?}: {}", running.progress().waiting[0]);
                sleep(millis(1));
            }
            seen
        };
        assert_eq!(shown(1), [1], "{durability:?}");
        let before = running.progress().total.ticks;
        sleep(secs(1));
        assert_eq!(running.progress().total.ticks, before, "{durability:?}: ticks in a second of nothing");
        producer.send(2).unwrap();
        assert_eq!(shown(1), [1], "{durability:?}");
        let ticks = running.progress().total.ticks - before;
        assert_eq!(ticks, 2, "{durability:?}: the record, and the end of its window");
        running.stop(Stop::Now);
        running.wait().unwrap();
    }
}
