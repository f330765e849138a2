//! In the steady state the engine allocates nothing for a record.
//!
//! The whole process is watched by a counting allocator while a job runs: first until every ring, table and buffer has reached its
//! size, then for as long again many times over. The number of allocations in between must not grow with that length.

mod allocations;

use allocations::Watched;
use pelton::config::{DriverKind, IdleStrategy, TickConfig};
use pelton::prelude::*;
use pelton::sources::{Partition, Poll, Polled, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn asked(_: usize) {
    ALLOCATIONS.fetch_add(1, Relaxed);
}

#[global_allocator]
static ALLOCATOR: Watched = Watched(asked);

#[pelton::record]
#[derive(Clone, Copy)]
struct Event {
    key: u64,
    value: u64,
    time: EventTime,
}

/// Events until told to stop, with times that go on evenly. No partition runs far ahead of another: the windows between
/// the two would have to be kept open, which is state and not steady.
#[derive(Clone)]
struct Events {
    stop: Arc<AtomicBool>,
    positions: Arc<[AtomicU64; 8]>,
}

struct EventsPartition {
    events: Events,
    index: usize,
    of: usize,
    next: u64,
}

/// Events by which a partition may be ahead.
const AHEAD: u64 = 20_000;

impl Source for Events {
    type Item = Event;
    type Partition = EventsPartition;

    fn partitions(&self, shards: usize) -> usize {
        shards
    }

    fn open(&self, index: usize, of: usize) -> EventsPartition {
        EventsPartition { events: self.clone(), index, of, next: index as u64 }
    }
}

impl Partition for EventsPartition {
    type Item = Event;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(Event)) -> Polled {
        let positions = &self.events.positions[..self.of];
        positions[self.index].store(self.next, Relaxed);
        let least = positions.iter().map(|position| position.load(Relaxed)).min().unwrap_or(0);
        for _ in 0..poll.records_max {
            if self.next > least + AHEAD {
                break;
            }
            let (n, time) = (self.next, EventTime(self.next as i64 * 1_000));
            out(Event { key: n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54, value: n, time });
            self.next += self.of as u64;
        }
        if self.events.stop.load(Relaxed) { Polled::Done } else { Polled::Open }
    }
}

/// Runs the job on `shards` shards, and returns the allocations and the records of a span of its steady state: the one of a few that
/// allocated the least.
fn measure(shards: usize, build: impl Fn(Job, Events) -> Job) -> (u64, u64) {
    let events = Events { stop: Arc::default(), positions: Arc::default() };
    let job = build(Job::new("steady"), events.clone());
    let defaults = Config::default();
    let ring_bytes = 256 * 1024;
    let tick = TickConfig { records_max: 1_024, bytes_max: ring_bytes / 4, ..defaults.tick };
    let mut idle = defaults.idle;
    idle.strategy = IdleStrategy::Spin;
    let cores = defaults.cores.clone();
    let config = Config {
        cores,
        shards,
        ring_bytes,
        tick,
        idle,
        driver: DriverKind::Threads,
        pin: false,
        ..Config::default()
    };
    let running = job.start_with(&config).unwrap();
    // Read without allocating: the report itself must not be counted.
    let wait_for = |records: u64| loop {
        let progress = running.progress();
        if progress.total.records_in >= records {
            return progress.total.records_in;
        }
        drop(progress);
        std::thread::sleep(Duration::from_millis(1));
    };
    let mut begun = wait_for(1_000_000);
    let mut least = (u64::MAX, 0);
    // What a record costs shows in every span. A single one may see a table or a ring reach a size that it never had, when the machine
    // gave one shard much more of its time than another.
    for _ in 0..SPANS {
        let before = ALLOCATIONS.load(Relaxed);
        // One look at the progress costs a few allocations, so there is only one, far enough on for millions of records.
        std::thread::sleep(Duration::from_millis(400));
        let after = ALLOCATIONS.load(Relaxed);
        let ended = running.progress().total.records_in;
        least = least.min((after - before, ended - begun));
        begun = ended;
        if least.0 <= CONSTANT {
            break;
        }
    }
    events.stop.store(true, Relaxed);
    running.wait().unwrap();
    least
}

/// Allocations that a span of the steady state may cost, however many records pass.
const CONSTANT: u64 = 64;
/// Spans that are tried.
const SPANS: usize = 5;

/// A record with text.
#[pelton::record]
struct Line {
    key: u64,
    text: String,
}

fn line(event: Event) -> Line {
    Line { key: event.key, text: "x".repeat(20 + event.value as usize % 40) }
}

/// Bytes of text, by key.
#[derive(Clone)]
struct Bytes<const IN_PLACE: bool>;

impl<const IN_PLACE: bool> Bytes<IN_PLACE> {
    fn more(&self, bytes: usize, sum: &mut Option<u64>, key: &mut KeyContext<'_, u64, u64>) {
        let all = sum.unwrap_or(0) + bytes as u64;
        *sum = Some(all);
        key.emit(all);
    }
}

impl<const IN_PLACE: bool> ProcessFunction<u64, Line> for Bytes<IN_PLACE> {
    type State = ValueState<u64>;
    type Out = u64;

    fn record(&self, line: Line, sum: &mut Option<u64>, key: &mut KeyContext<'_, u64, u64>) {
        self.more(line.text.len(), sum, key);
    }
    fn record_archived(
        &self,
        line: &Archived<Line>,
        sum: &mut Option<u64>,
        key: &mut KeyContext<'_, u64, u64>,
    ) {
        if IN_PLACE {
            self.more(line.text.len(), sum, key);
        } else {
            self.record(pelton::read(line), sum, key);
        }
    }
}

/// The closure that makes the text allocates once for each record. Behind the exchange it is read where it lies.
fn text_is_not_copied_where_it_is_read_in_place() {
    let check = |what: &str, (allocations, records): (u64, u64), per_record: f64| {
        let found = allocations as f64 / records as f64;
        println!("{what}: {found:.3} allocations for each of {records} records");
        assert!(records > 100_000, "{records} records are no steady state");
        assert!(
            (found - per_record).abs() < 0.1,
            "{found} allocations for each record, and not {per_record}"
        );
    };
    let sums = || fold(0u64, |sum, row: u64| *sum ^= row, |a, b| a ^ b);
    let rebuilt = |job: Job, events| {
        job.source(events).map(line).rebalance().map(|line| line.text.len() as u64).sink(sums())
    };
    check("rebalance, rebuilt", measure(2, rebuilt), 2.0);
    let in_place = |job: Job, events| {
        job.source(events)
            .map(line)
            .rebalance()
            .flat_map_archived(|line| [line.text.len() as u64])
            .sink(sums())
    };
    check("rebalance, in place", measure(2, in_place), 1.0);
    let rebuilt = |job: Job, events| {
        job.source(events).map(line).key_by(|line| line.key).process(Bytes::<false>).sink(sums())
    };
    check("process, rebuilt", measure(2, rebuilt), 2.0);
    let in_place = |job: Job, events| {
        job.source(events).map(line).key_by(|line| line.key).process(Bytes::<true>).sink(sums())
    };
    check("process, in place", measure(2, in_place), 1.0);
}

#[test]
fn nothing_is_allocated_for_a_record() {
    for shards in [1, 2, 4] {
        let (allocations, records) = measure(shards, |job, events| {
            job.source(events)
                .event_time(|event| event.time, in_order())
                .filter(|event| event.value % 8 != 0)
                .key_by(|event| event.key)
                .window(tumbling(millis(10)))
                .aggregate((count(), sum(|event: &Event| event.value)))
                .sink(fold(0u64, |sum, row: Windowed<u64, (u64, u64)>| *sum ^= row.value.1, |a, b| a ^ b))
        });
        println!("tumbling, {shards} shards: {allocations} allocations, {records} records");
        assert!(records > 100_000, "{records} records are no steady state");
        assert!(allocations <= CONSTANT, "{allocations} allocations for {records} records");
    }
    let (allocations, records) = measure(2, |job, events| {
        job.source(events)
            .event_time(|event| event.time, in_order())
            .rebalance_chunks(16)
            .key_by(|event| event.key)
            .window(hopping(millis(10), millis(2)))
            .count()
            .window_all()
            .max_by(|row| row.value)
            .sink(fold(0u64, |rows, _| *rows += 1, |a, b| a + b))
    });
    println!("hopping in two stages: {allocations} allocations, {records} records");
    assert!(records > 100_000, "{records} records are no steady state");
    assert!(allocations <= CONSTANT, "{allocations} allocations for {records} records");
    for keys in [1, 10_000] {
        let (allocations, records) = measure(2, |job, events| {
            job.source(events)
                .event_time(|event| event.time, in_order())
                .key_by(move |event| event.value % keys)
                .window(tumbling(millis(10)))
                .aggregate(pre_aggregated((count(), sum(|event: &Event| event.value))))
                .sink(fold(0u64, |sum, row: Windowed<u64, (u64, u64)>| *sum ^= row.value.1, |a, b| a ^ b))
        });
        println!("pre-aggregated, {keys} keys: {allocations} allocations, {records} records");
        assert!(records > 100_000, "{records} records are no steady state");
        assert!(allocations <= CONSTANT, "{allocations} allocations for {records} records");
    }
    text_is_not_copied_where_it_is_read_in_place();
}
