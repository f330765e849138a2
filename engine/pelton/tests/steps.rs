//! Loads whose steps were once as long as the load: each is stopped in the middle of closing what it holds, and hears of it in time. What is
//! printed (`--nocapture`) is the longest step, as the core itself has seen it.

use pelton::config::{DriverKind, IdleConfig, IdleStrategy};
use pelton::prelude::*;
use pelton::sources::{Partition, Poll, Polled, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Numbers dealt out to some partitions; the others are open, and say nothing until all has been read.
#[derive(Clone)]
struct Dealt {
    active: usize,
    numbers: u64,
    left: Arc<AtomicUsize>,
}

struct Part {
    next: u64,
    of: Dealt,
    is_active: bool,
}

impl Source for Dealt {
    type Item = u64;
    type Partition = Part;

    fn partitions(&self, shards: usize) -> usize {
        shards
    }

    fn open(&self, index: usize, _: usize) -> Part {
        Part { next: index as u64, of: self.clone(), is_active: index < self.active }
    }
}

impl Partition for Part {
    type Item = u64;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(u64)) -> Polled {
        let mut taken = 0;
        while self.is_active && self.next < self.of.numbers && taken < poll.records_max {
            out(self.next);
            self.next += self.of.active as u64;
            taken += 1;
        }
        if self.is_active && self.next >= self.of.numbers {
            self.is_active = false;
            self.of.left.fetch_sub(1, Ordering::Relaxed);
        }
        if self.of.left.load(Ordering::Relaxed) == 0 { Polled::Done } else { Polled::Open }
    }
}

/// What a stage looks at for a tick does not grow with inputs that have nothing to say: each says once, by its clock, how far it has come.
#[test]
fn a_tick_costs_a_look_at_each_input_and_few_more() {
    for shards in [2, 8, 16, 64] {
        for active in [1, shards] {
            let left = Arc::new(AtomicUsize::new(active));
            let rows = fold(0u64, |rows, _: Windowed<u64, u64>| *rows += 1, |a, b| a + b);
            let source = Dealt { active, numbers: 200_000, left };
            let job = Job::new("looks")
                .source(source)
                .event_time(
                    |n| EventTime::from_millis(*n as i64),
                    out_of_order(secs(1)).idle_after(millis(1)),
                )
                .key_by(|n| *n % 1_000)
                .window(tumbling(secs(10)))
                .count()
                .sink(rows.clone());
            let ring_bytes = 16 << 10;
            let mut config = Config { shards, ring_bytes, memory_bytes: 4 << 30, ..config() };
            config.tick.records_max = 100;
            let progress = job.run_with(&config).unwrap();
            let (total, rows) = (progress.total, rows.take());
            assert_eq!(rows, 20_000);
            let of_each = |count: u64| count as f64 / total.ticks as f64 / shards as f64;
            println!(
                "{shards} shards, {active} with records: {} ticks; a tick costs each shard {:.1} frames and {:.1} looks, {:.2} for each input",
                total.ticks,
                of_each(total.frames),
                of_each(total.looks),
                of_each(total.looks) / shards as f64,
            );
            assert!(
                of_each(total.looks) < 4.0 + 2.0 * shards as f64,
                "an input is looked at again and again"
            );
        }
    }
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

/// Records a second of a job over a million numbers, a thousand to a second of event time.
fn speed(windows: pelton::window::Windows, bound: Duration) -> f64 {
    let job = Job::new("speed")
        .source(numbers(1_000_000))
        .event_time(|n| EventTime::from_millis(*n as i64), out_of_order(bound))
        .key_by(|n| *n % 100)
        .window(windows)
        .count()
        .sink(for_each(|_| ()));
    let begun = Instant::now();
    let progress = job.run_with(&config()).unwrap();
    assert_eq!(progress.total.records_in, 1_000_000);
    1.0 / begun.elapsed().as_secs_f64()
}

#[test]
#[ignore = "measures"]
fn what_hops_and_open_panes_cost() {
    for _ in 0..3 {
        let even = speed(hopping(secs(60), secs(6)), secs(1));
        let uneven = speed(hopping(secs(60), millis(7_001)), secs(1));
        println!("60 s every 6 s: {even:.2} M/s; every 7.001 s: {uneven:.2} M/s, {:.2} of it", uneven / even);
        let many = speed(hopping(secs(60), millis(200)), secs(1));
        println!("60 s every 200 ms: {many:.2} M/s");
        let open = |panes: u64| speed(tumbling(millis(20)), millis(20 * panes));
        let (one, thousand, many) = (open(1), open(1_000), open(36_000));
        println!("1, 1,000, 36,000 open panes of 20 records: {one:.2}, {thousand:.2}, {many:.2} M/s");
    }
}
