//! Loads whose steps were once as long as the load: each is stopped in the middle of closing what it holds, and hears of it in time. What is
//! printed (`--nocapture`) is the longest step, as the core itself has seen it.

use pelton::config::{DriverKind, IdleConfig, IdleStrategy};
use pelton::prelude::*;
use std::time::Instant;

/// How long a core may take to hear that it is to stop, on whatever machine this is.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// One shard, so that nothing else runs when it closes what it holds.
fn config() -> Config {
    let defaults = Config::default();
    let idle = IdleConfig { strategy: IdleStrategy::Park, ..defaults.idle };
    Config {
        cores: vec![defaults.cores[0]],
        shards: 1,
        driver: DriverKind::Threads,
        pin: false,
        idle,
        memory_bytes: 2 << 30,
        ..defaults
    }
}

/// Runs the job until all of `records` have entered and what they have left is being closed, stops it `after` that, and looks how long that takes;
/// then runs it to its end.
fn check(what: &str, job: &Job, records: u64, after: Duration) {
    let running = job.start_with(&config()).unwrap();
    while running.progress().total.records_in < records {
        assert!(!running.is_finished());
        std::thread::sleep(Duration::from_micros(200));
    }
    std::thread::sleep(after);
    let stopped = Instant::now();
    running.stop(Stop::Now);
    running.wait().unwrap();
    let heard = stopped.elapsed();

    let begun = Instant::now();
    let running = job.start_with(&config()).unwrap();
    while !running.wait_for(Duration::from_secs(600)) {}
    let progress = running.wait().unwrap();
    assert_eq!(progress.total.records_in, records);
    let longest = Duration::from_nanos(progress.cores[0].stall_ns_max);
    println!(
        "{what}: stopped within {heard:?}, longest step {longest:?}, {} of more than 1 ms, all of it {:?}",
        progress.cores[0].stalls,
        begun.elapsed()
    );
    assert!(heard < HEARD_WITHIN, "{what}: heard after {heard:?}");
    assert!(longest < HEARD_WITHIN, "{what}: a step of {longest:?}");
}

fn numbers(count: u64) -> impl pelton::sources::Source<Item = u64> {
    generate(move |_, _| 0..count).partitions(1)
}

#[test]
fn twenty_thousand_panes_that_close_together() {
    let job = Job::new("panes")
        .source(numbers(40_000))
        .event_time(|n| EventTime::from_millis((*n / 2) as i64), out_of_order(secs(1_000_000)))
        .key_by(|n| *n)
        .window(tumbling(millis(1)))
        .count()
        .sink(for_each(|_| ()));
    check("20,000 open panes", &job, 40_000, Duration::from_millis(2));
}

#[test]
fn eighty_thousand_generations_that_expire_together() {
    // One record far ahead lets all others go.
    let job = Job::new("generations")
        .source(numbers(80_001))
        .event_time(
            |n| EventTime::from_millis(if *n == 80_000 { 1 << 40 } else { *n as i64 }),
            out_of_order(secs(1_000)),
        )
        .key_by(|n| *n)
        .deduplicate(millis(1))
        .sink(for_each(|_| ()));
    check("80,000 generations", &job, 80_001, Duration::ZERO);
}

#[test]
fn a_window_whose_size_is_no_multiple_of_its_slide() {
    let job = Job::new("thirds")
        .source(numbers(10_000))
        .event_time(|n| EventTime(*n as i64 * 2_000_003), in_order())
        .key_by(|n| n % 10)
        .window(hopping(secs(10), Duration::from_nanos(3_333_333_333)))
        .count()
        .sink(for_each(|_| ()));
    check("hopping(10 s, 3.333333333 s)", &job, 10_000, Duration::from_millis(50));
}

#[test]
fn a_million_keys_that_begin_alike() {
    let job = Job::new("customers")
        .source(numbers(1_000_000))
        .event_time(|n| EventTime(*n as i64), in_order())
        .key_by(|n| format!("customer-{:07}", n * 7_919 % 1_000_000))
        .window(tumbling(secs(1)))
        .count()
        .sink(for_each(|_| ()));
    check("1,000,000 keys customer-…", &job, 1_000_000, Duration::from_millis(100));
}
