//! Whatever fills the memory, the job is held back or refused with the figures, and the process stays within its limit.
//!
//! What a process takes can only be told of one that does nothing else: each case is a child of its own, which is this program again. The most
//! that it ever had resident (`VmHWM`) is at most 1.1 times `memory` and [`BESIDES`].
#![cfg(target_os = "linux")]

use pelton::config::{DriverKind, TickConfig};
use pelton::prelude::*;
use pelton::sources::TrySendError;
use pelton::{Fault, JobError, RunError};
use std::process::Command;

/// The limit of each job.
const MEMORY: u64 = 64 << 20;
/// What a process has beside it: code, stacks, what the allocator keeps of its own, and what is under way between two looks at the limit.
const BESIDES: u64 = 16 << 20;
/// Says which case a child is.
const CASE: &str = "PELTON_MEMORY_CASE";

const CASES: [(&str, fn()); 10] = [
    ("window", window),
    ("distinct", distinct_callers),
    ("process", process),
    ("map", map),
    ("timers", timers),
    ("sort", sort),
    ("fork", fork),
    ("held", held),
    ("subscription", subscription),
    ("inlet", inlet_that_is_full),
];

fn config() -> Config {
    let defaults = Config::default();
    let ring_bytes = 64 * 1024;
    let tick = TickConfig { bytes_max: ring_bytes / 4, ..defaults.tick };
    let cores = vec![defaults.cores[0]];
    Config {
        cores,
        shards: 2,
        ring_bytes,
        tick,
        memory_bytes: MEMORY,
        driver: DriverKind::Threads,
        pin: false,
        ..defaults
    }
}

#[pelton::record]
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    number: u64,
    caller: String,
    said: Vec<String>,
}

fn calls()
-> pelton::sources::Generate<impl Fn(usize, usize) -> Box<dyn Iterator<Item = Call>> + Clone + Send + Sync> {
    generate(|partition, of| {
        let numbers = (partition as u64..).step_by(of);
        Box::new(numbers.map(|number| {
            let text = |n: u64| format!("{n:x>width$}", width = 5 + (n % 40) as usize);
            Call { number, caller: text(number), said: vec![text(number ^ 7); (number % 3) as usize] }
        })) as Box<dyn Iterator<Item = Call>>
    })
}

fn time(call: &Call) -> EventTime {
    EventTime(call.number as i64)
}

/// The job stops for want of memory, and says how much there was, and where.
#[track_caller]
fn refused(job: &Job, config: &Config, operator: &str) {
    match job.run_with(config) {
        Err(JobError::Run(RunError::Fault { fault: Fault::OutOfMemory(error), position, .. })) => {
            assert_eq!(error.limit as u64, MEMORY);
            assert!(error.asked > 0 && error.asked + error.in_use > error.limit, "{error}");
            // Large blocks are what is refused last: little is left.
            assert!(error.in_use as u64 > MEMORY * 8 / 10, "{error}");
            assert!(position.operator.contains(operator), "{position}");
        }
        other => panic!("{other:?}"),
    }
}

fn window() {
    let longest = pelton::aggregate::max_by(|call: &Call| call.caller.len());
    let job = Job::new("window");
    job.source(calls())
        .event_time(time, in_order())
        .key_by(|call| call.caller.clone())
        .window(tumbling(secs(1_000_000)))
        .aggregate(longest)
        .sink(for_each(|_| ()));
    refused(&job, &config(), "window");
}

/// A few accumulators that become very large, each of them.
fn distinct_callers() {
    let job = Job::new("window");
    job.source(calls())
        .event_time(time, in_order())
        .key_by(|call| call.number % 3)
        .window(tumbling(secs(1_000_000)))
        .aggregate((count(), distinct(|call: &Call| call.caller.clone())))
        .sink(for_each(|_| ()));
    refused(&job, &config(), "window");
}

/// Keeps all that its keys say.
#[derive(Clone)]
struct Remember;

impl ProcessFunction<u64, Call> for Remember {
    type State = ValueState<Vec<String>>;
    type Out = ();

    fn record(&self, call: Call, callers: &mut Option<Vec<String>>, _: &mut KeyContext<'_, u64, ()>) {
        callers.get_or_insert_default().push(call.caller);
    }
}

fn process() {
    let job = Job::new("process");
    job.source(calls())
        .event_time(time, in_order())
        .key_by(|call| call.number % 5_000)
        .process(Remember)
        .sink(for_each(|()| ()));
    refused(&job, &config(), "process");
}

/// The same in a map, within a chain, and for a while that does not pass.
#[derive(Clone)]
struct RememberEach;

impl ProcessFunction<u64, Call> for RememberEach {
    type State = Expiring<MapState<u64, String>>;
    type Out = ();

    fn state(&self) -> Self::State {
        Expiring::after(Ttl::event_time(secs(1_000_000)))
    }

    fn record(
        &self,
        call: Call,
        mut callers: StateOf<'_, u64, Self::State>,
        _: &mut KeyContext<'_, u64, ()>,
    ) {
        callers.put(call.number, call.caller);
    }
}

fn map() {
    let job = Job::new("map");
    job.source(calls())
        .event_time(time, in_order())
        .key_by(|call| call.number % 5_000)
        .deduplicate(Duration::from_nanos(100))
        .keyed_as(|call| call.number % 5_000)
        .process(RememberEach)
        .sink(for_each(|()| ()));
    refused(&job, &config(), "process");
}

/// Sets a timer for each record, far ahead.
#[derive(Clone)]
struct Remind;

impl ProcessFunction<String, Call> for Remind {
    type State = ();
    type Out = ();

    fn record(&self, call: Call, (): (), key: &mut KeyContext<'_, String, ()>) {
        key.set_timer(EventTime(i64::MAX / 2), call.number);
    }
}

fn timers() {
    let job = Job::new("timers");
    job.source(calls())
        .event_time(time, in_order())
        .key_by(|call| call.caller.clone())
        .process(Remind)
        .sink(for_each(|()| ()));
    refused(&job, &config(), "process");
}

fn sort() {
    let job = Job::new("sort");
    job.source(calls())
        .event_time(time, out_of_order(secs(1_000_000)))
        .key_by(|call| call.number)
        .sort()
        .sink(for_each(|_| ()));
    refused(&job, &config(), "sort");
}

/// One record that becomes more than there is room for in the queue behind it.
fn fork() {
    let job = Job::new("fork");
    let (one, other) = job
        .source(generate(|_, _| 0..2u64))
        .flat_map(|n| (0..1u64 << 40).map(move |m| n ^ m).take(4_000_000))
        .fork();
    one.sink(for_each(|_| ()));
    other.sink(for_each(|_| ()));
    refused(&job, &config(), "left");
}

/// Rows of one tick, which is not durable before it ends.
fn held() {
    let data = std::env::temp_dir().join(format!("pelton-memory-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data);
    let mut config = config();
    (config.durability, config.data) = (Durability::Process, Some(data.clone()));
    // Staged in memory that outlives the process, beside the limit.
    config.log.segment_bytes = 2 << 20;
    let (_rows, sink) = subscribe::<String>();
    let job = Job::new("held");
    job.source(generate(|_, _| 0..1u64))
        .flat_map(|n| (0..1u64 << 40).map(move |m| format!("{n:40}-{m:40}")).take(1_000_000))
        .sink(sink);
    refused(&job, &config, "sink");
    let _ = std::fs::remove_dir_all(&data);
}

/// Rows that nobody comes for.
fn subscription() {
    let (rows, sink) = subscribe::<Call>();
    let job = Job::new("subscription");
    job.source(calls()).sink(sink);
    refused(&job, &config(), "sink");
    assert!(rows.unacknowledged_bytes() as u64 > MEMORY * 8 / 10);
}

/// Producers are ahead of the job: they are told so, and all that they have sent is taken in nevertheless.
fn inlet_that_is_full() {
    let (calls, source) = inlet::<Call>(usize::MAX);
    let total = fold(0u64, |sum, n| *sum += n, |a, b| a + b);
    let job = Job::new("inlet");
    job.source(source)
        .map(|call| {
            std::thread::sleep(std::time::Duration::from_micros(20));
            call.said.len() as u64
        })
        .sink(total.clone());
    let running = job.start_with(&config()).unwrap();
    let producers = (0..4).map(|id| {
        let mut producer = calls.producer(&format!("producer-{id}")).unwrap();
        std::thread::spawn(move || {
            let (mut sent, mut full) = (0u64, 0);
            while full < 100 {
                let call = Call { number: sent, caller: "x".repeat(5_000), said: vec!["y".repeat(100); 5] };
                match producer.try_send(call) {
                    Ok(_) => sent += 1,
                    Err(TrySendError::Full(_)) => {
                        full += 1;
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            sent
        })
    });
    let producers: Vec<_> = producers.collect();
    let sent: u64 = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
    // An eighth of the memory is for them, and each has been refused.
    assert!(sent * 10_000 > MEMORY / 10, "{sent}");
    calls.close();
    running.wait().unwrap();
    assert_eq!(total.take(), 5 * sent);
}

/// The most bytes that were ever resident.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

#[test]
fn a_process_stays_within_its_memory_whatever_fills_it() {
    if let Ok(name) = std::env::var(CASE) {
        let (_, case) = CASES.iter().find(|(case, _)| *case == name).unwrap();
        case();
        println!("peak {}", peak());
        return;
    }
    let most = MEMORY * 11 / 10 + BESIDES;
    for (name, _) in CASES {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_stays_within_its_memory_whatever_fills_it", "--nocapture"])
            .env(CASE, name)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{name}: {said}\n{}", String::from_utf8_lossy(&child.stderr));
        let peak: u64 = said.lines().find_map(|line| line.strip_prefix("peak ")).unwrap().parse().unwrap();
        println!("{name}: {} MiB at most", peak >> 20);
        assert!(peak <= most, "{name}: {peak} bytes were resident, and {most} is the most");
        assert!(peak > MEMORY / 3 || name == "inlet", "{name}: {peak} bytes only: was it filled?");
    }
}
