//! A service that keeps the names of the rows it has handled, through restarts and other numbers of shards.

use crate::support::{Counted, Scratch, config, twin};
use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sinks::{Position, Subscription, subscribe_from};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// What the service has in its database.
#[derive(Default)]
struct Database {
    handled: BTreeMap<pelton::ShardId, Position>,
    counts: BTreeMap<(i64, u64), u64>,
}

fn job(numbers: u64, sink: impl pelton::core::sink::Sink<Counted>) -> Job {
    let source = generate(move |w, of| (w as u64..numbers).step_by(of)).partitions(3);
    Job::new("subscribed")
        .source(source)
        .event_time(|n| EventTime::from_millis(*n as i64), in_order())
        .key_by(|n| n % 97)
        .window(tumbling(secs(1)))
        .count()
        .sink(sink)
}

/// Handles rows until it is told to stop, or there are no more; whether it came to the end.
fn service(
    rows: Subscription<Counted>,
    mut database: Database,
    stop: Arc<AtomicBool>,
) -> JoinHandle<(Database, bool)> {
    thread::spawn(move || {
        loop {
            let stopped = stop.load(Ordering::Relaxed);
            if stopped || rows.is_finished() {
                return (database, !stopped);
            }
            let Ok(row) = rows.recv(Duration::from_millis(1)) else { continue };
            let name = row.position();
            let before = database.handled.insert(name.shard, name);
            assert!(before.is_none_or(|before| before < name), "{name:?} came after {before:?}");
            let before = database.counts.insert((row.row.window.start.as_secs(), row.row.key), row.row.value);
            assert_eq!(before, None, "{row:?} came twice");
            if row.seq % 3 == 0 {
                rows.acknowledge(name);
            }
        }
    })
}

#[test]
fn it_sees_one_sequence_whatever_the_number_of_shards() {
    let (scratch, numbers) = (Scratch::new("subscribed"), 400_000);
    let mut database = Database::default();
    let mut ended = false;
    for round in 0..100u64 {
        let shards = [3, 2, 4, 1, 5][round as usize % 5];
        let (rows, sink) = subscribe_from(database.handled.values().copied());
        let stop = Arc::new(AtomicBool::new(false));
        // It listens before the job is started, and so sees whatever a start shows.
        let listens = service(rows, database, stop.clone());
        let running =
            job(numbers, sink).start_with(&config(scratch.path(), Durability::Process, shards)).unwrap();
        if round % 3 == 1 {
            // It may have ended before.
            let _ = running.checkpoint(None);
        }
        running.wait_for(Duration::from_millis(5 + round % 23));
        stop.store(!running.is_finished(), Ordering::Relaxed);
        (database, ended) = listens.join().unwrap();
        if ended {
            assert!(
                running.wait_for(Duration::from_secs(10)),
                "round {round}: nothing else looks like the end"
            );
        }
        running.stop(Stop::Now);
        running.wait().unwrap();
        if ended {
            break;
        }
    }
    assert!(ended, "it makes headway");
    assert!(database.counts == twin(numbers), "{} windows", database.counts.len());
}

/// What a service has not acknowledged is part of checkpoints, be it more than a block of these.
#[test]
fn much_that_is_not_acknowledged_comes_again() {
    let (scratch, numbers) = (Scratch::new("unacknowledged"), 1_000_000);
    let config = config(scratch.path(), Durability::Process, 2);
    let (rows, sink) = subscribe_from([]);
    let running = job(numbers, sink).start_with(&config).unwrap();
    while rows.unacknowledged() < 5_000 {
        thread::sleep(Duration::from_millis(1));
    }
    running.checkpoint(None).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    drop(rows);

    for shards in [2, 3] {
        let (rows, sink) = subscribe_from([]);
        let stop = Arc::new(AtomicBool::new(false));
        let listens = service(rows, Database::default(), stop);
        let mut config = config.clone();
        config.shards = shards;
        job(numbers, sink).run_with(&config).unwrap();
        let (database, _) = listens.join().unwrap();
        if shards == 2 {
            assert!(database.counts == twin(numbers));
        } else {
            // Some had been acknowledged before.
            let all = twin(numbers);
            assert!(database.counts.iter().all(|(key, count)| all[key] == *count));
        }
    }
}
