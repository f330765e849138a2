//! Whatever waits grows by a block, however much of it there is.
//!
//! A list that is copied as it grows asks for memory for all of it at once, and a shard stands still meanwhile. So the threads that put rows
//! somewhere and take them away are watched by an allocator while a million of them wait: no piece that it is asked for is larger than a block.

mod allocations;

use allocations::Watched;
use pelton::config::DriverKind;
use pelton::prelude::*;
use pelton::sources::Source;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Rows that wait.
const ROWS: u64 = 1_000_000;
/// Bytes of a block.
const BLOCK: usize = 16 << 10;

/// The most bytes that a thread asked for at once while it was watched.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

fn asked(bytes: usize) {
    if WATCHED.get() {
        LARGEST.fetch_max(bytes, SeqCst);
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched(asked);

/// What `run` does is watched, on this thread.
fn watched<R>(run: impl FnOnce() -> R) -> R {
    WATCHED.set(true);
    let result = run();
    WATCHED.set(false);
    result
}

/// What was asked for since this was asked last.
#[track_caller]
fn grew_by_blocks(what: &str) {
    is_a_block(what, LARGEST.swap(0, SeqCst));
}

#[track_caller]
fn is_a_block(what: &str, largest: usize) {
    assert!((1..=BLOCK).contains(&largest), "{what}: {largest} bytes at once");
}

fn config() -> Config {
    let defaults = Config::default();
    let cores = vec![defaults.cores[0]];
    let memory_bytes = 512 << 20;
    Config { cores, shards: 1, memory_bytes, driver: DriverKind::Threads, pin: false, ..defaults }
}

/// One tick makes all the rows, which wait until it is durable, and then for the service to come for them and to acknowledge them.
fn rows_that_are_held_and_subscribed_to() {
    let data = std::env::temp_dir().join(format!("pelton-growth-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data);
    let mut config = config();
    (config.durability, config.data) = (Durability::Process, Some(data.clone()));
    // A checkpoint has all of them in its notes, in one piece.
    config.checkpoint.interval_s = 0;
    let (numbers, source) = inlet::<u64>(16);
    let (rows, sink) = subscribe::<u64>();
    let job = Job::new("held");
    job.source(source)
        .flat_map(|count| {
            // The shard is watched until it is told that there is nothing more.
            WATCHED.set(count > 0);
            0..count
        })
        .sink(sink);
    let running = job.start_with(&config).unwrap();
    let mut producer = numbers.producer("one").unwrap();
    producer.send(ROWS).unwrap();
    while (rows.unacknowledged() as u64) < ROWS {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    grew_by_blocks("held, and released to a subscription");
    let mut last = None;
    watched(|| {
        for row in 0..ROWS {
            let received = rows.try_recv().unwrap();
            assert_eq!(received.row, row);
            last = Some(received.position());
        }
    });
    grew_by_blocks("received");
    assert_eq!(rows.unacknowledged() as u64, ROWS);
    rows.acknowledge(last.unwrap());
    assert_eq!((rows.unacknowledged(), rows.unacknowledged_bytes()), (0, 0));
    producer.send(0).unwrap();
    drop(producer);
    numbers.close();
    running.wait().unwrap();
    let _ = std::fs::remove_dir_all(&data);
}

/// A job takes in nothing for a while, and then all of it. `send` puts a number into its source, and when it is dropped the input ends.
fn records_that_wait<S: Source<Item = u64>>(what: &str, source: S, start: impl FnOnce(&Job) -> Sending) {
    let gate = Arc::new(Barrier::new(2));
    let total = fold(0u64, |sum, n| *sum += n, |a, b| a + b);
    let job = Job::new(what);
    let opens = gate.clone();
    job.source(source)
        .map(move |n| {
            if n == ROWS {
                // The shard stands here until all others have been sent, and is watched until it has taken the last.
                opens.wait();
                opens.wait();
                WATCHED.set(true);
            } else if n == 0 {
                WATCHED.set(false);
            }
            n
        })
        .sink(total.clone());
    let (running, mut send) = start(&job);
    assert!(send(ROWS));
    gate.wait();
    let sent = watched(|| (0..ROWS).rev().all(&mut send));
    let largest = LARGEST.swap(0, SeqCst);
    gate.wait();
    drop(send);
    running.wait().unwrap();
    assert!(sent);
    is_a_block(what, largest);
    // Whoever takes them may need no memory for that, and was watched while others sent.
    let largest = LARGEST.swap(0, SeqCst);
    assert!(largest <= BLOCK, "{what}, taken in: {largest} bytes at once");
    assert_eq!(total.take(), ROWS * (ROWS + 1) / 2);
}

/// A running job, and what sends it a number; whether there was room.
type Sending = (Running, Box<dyn FnMut(u64) -> bool>);

fn records_in_an_inlet() {
    let (numbers, source) = inlet::<u64>(usize::MAX);
    records_that_wait("inlet", source, |job| {
        let running = job.start_with(&config()).unwrap();
        let mut producer = numbers.producer("one").unwrap();
        drop(numbers);
        (running, Box::new(move |n| producer.try_send(n).is_ok()))
    });
}

fn records_in_a_channel() {
    let (numbers, source) = channel::<u64>(usize::MAX);
    records_that_wait("channel", source, |job| {
        (job.start_with(&config()).unwrap(), Box::new(move |n| numbers.try_send(n).is_ok()))
    });
}

/// One record becomes all the rows, which are in the queues of a fork until it is done with, and every one of them is overdue.
fn records_between_chains() {
    let total = fold(0u64, |sum, n| *sum += n, |a, b| a + b);
    let job = Job::new("forked");
    let (one, other) = job
        .source(from_iter(|| [ROWS, 0]))
        .flat_map(|count| {
            WATCHED.set(count > 0);
            0..count
        })
        .event_time(|n| EventTime::from_nanos((ROWS - n) as i64), in_order())
        .fork();
    one.sink(total.clone());
    other.sink(total.clone());
    job.run_with(&config()).unwrap();
    grew_by_blocks("the queues of a fork");
    assert_eq!(total.take(), ROWS * (ROWS - 1));
}

#[test]
fn what_waits_grows_by_a_block() {
    records_between_chains();
    rows_that_are_held_and_subscribed_to();
    records_in_an_inlet();
    records_in_a_channel();
}
