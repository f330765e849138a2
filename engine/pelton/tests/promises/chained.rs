//! Stateful operators within chains: the same rows as behind an exchange.

use crate::check::check;
use crate::data::{Event, at, disorder, events, nanos};
use pelton::JobError;
use pelton::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Sums of a hundred nanoseconds, and of these the greatest of a microsecond.
fn peaks<K: Key>(events: &[Event], of: impl Fn(&Event) -> K) -> Vec<(K, i64, i64)> {
    let mut sums: BTreeMap<(K, i64), i64> = BTreeMap::new();
    for event in events {
        *sums.entry((of(event), event.time.div_euclid(100))).or_default() += event.value;
    }
    let mut peaks: BTreeMap<(K, i64), i64> = BTreeMap::new();
    for ((key, hundred), sum) in sums {
        let peak = peaks.entry((key, hundred.div_euclid(10))).or_insert(i64::MIN);
        *peak = sum.max(*peak);
    }
    peaks.into_iter().map(|((key, window), peak)| (key, window * 1_000, peak)).collect()
}

#[test]
fn windows_of_the_rows_of_windows() {
    let events = events(120, 900, 17);
    let (twin, rows) = (peaks(&events, |e| e.key), collect());
    let job = Job::new("peaks")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .window(tumbling(nanos(100)))
        .sum(|e| e.value)
        .keyed_as(|row| row.key)
        .window(tumbling(nanos(1_000)))
        .max(|row| row.value)
        .map(|row| (row.key, row.window.start.0, row.value))
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// With keys that own memory, and with windows that overlap in front.
#[test]
fn windows_of_the_rows_of_windows_by_text() {
    let of = |e: &Event| "key ".repeat(1 + e.key as usize % 3) + &e.key.to_string();
    let events = events(121, 700, 12);
    let (twin, rows) = (peaks(&events, of), collect());
    let job = Job::new("peaks")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(of)
        .window(tumbling(nanos(100)))
        .sum(|e| e.value)
        .map(|row| (row.key, row.value))
        .filter(|_| true)
        .keyed_as(|row| row.0.clone())
        .window(tumbling(nanos(1_000)))
        .max(|row| row.1)
        .map(|row| (row.key, row.window.start.0, row.value))
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// How much the value of a key has changed since its last record, and how many there were within the last 300 ns.
#[derive(Clone)]
struct Steps;

impl ProcessFunction<u64, Event> for Steps {
    type State = (ValueState<i64>, Expiring<MapState<(EventTime, u64), ()>>);
    type Out = (u64, i64, i64, u64);

    fn state(&self) -> Self::State {
        (ValueState::default(), Expiring::after(Ttl::event_time(nanos(300))))
    }

    fn record(
        &self,
        event: Event,
        (last, mut recent): StateOf<'_, u64, Self::State>,
        key: &mut KeyContext<'_, u64, Self::Out>,
    ) {
        let number = recent.last().map_or(0, |((_, number), ())| number + 1);
        recent.put((key.time(), number), ());
        let step = event.value - last.replace(event.value).unwrap_or(0);
        key.emit((event.key, event.time, step, recent.len() as u64));
    }
}

fn by_time(a: &Event, b: &Event) -> std::cmp::Ordering {
    (a.time, a.value, a.price.to_bits()).cmp(&(b.time, b.value, b.price.to_bits()))
}

fn steps(events: &[Event]) -> Vec<(u64, i64, i64, u64)> {
    let mut by_key: BTreeMap<u64, Vec<&Event>> = BTreeMap::new();
    events.iter().for_each(|event| by_key.entry(event.key).or_default().push(event));
    let mut rows = Vec::new();
    for (key, mut events) in by_key {
        events.sort_by(|a, b| by_time(a, b));
        for (number, event) in events.iter().enumerate() {
            let last = number.checked_sub(1).map_or(0, |before| events[before].value);
            let recent = events[..=number].iter().filter(|e| e.time > event.time - 300).count();
            rows.push((key, event.time, event.value - last, recent as u64));
        }
    }
    rows
}

#[test]
fn a_function_behind_a_sort() {
    let events = events(122, 800, 9);
    let (twin, rows) = (steps(&events), collect());
    let job = Job::new("steps")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .sort_by(by_time)
        .keyed_as(|e| e.key)
        .process(Steps)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// Three in a row, and a fork between them: what goes right is deduplicated and sorted within the same stage.
#[test]
fn operators_behind_operators_and_forks() {
    let events = events(123, 800, 9);
    let rows = collect();
    let steps = steps(&events);
    let firsts: BTreeSet<(u64, i64)> = {
        let mut last: BTreeMap<u64, i64> = BTreeMap::new();
        let passes = |(key, time, ..): &&(u64, i64, i64, u64)| {
            let passed = last.get(key).is_none_or(|last| time - last >= 250);
            if passed {
                last.insert(*key, *time);
            }
            passed
        };
        let mut in_order = steps.clone();
        in_order.sort_by_key(|row| row.1);
        in_order.iter().filter(passes).map(|row| (row.0, row.1)).collect()
    };
    let mut twin: Vec<(u64, i64, bool)> = steps.iter().map(|row| (row.0, row.1, false)).collect();
    twin.extend(firsts.iter().map(|(key, time)| (*key, *time, true)));
    let (left, right) = Job::new("steps")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .sort_by(by_time)
        .keyed_as(|e| e.key)
        .process(Steps)
        .fork();
    let first = right
        .keyed_as(|row| row.0)
        .deduplicate(nanos(250))
        .keyed_as(|row| row.0)
        .sort_by(|a, b| a.cmp(b))
        .map(|row| (row.0, row.1, true));
    let job = left.map(|row| (row.0, row.1, false)).union(first).sink(rows.clone());
    check(&job, &rows, twin);
}

/// Makes rows that are long, so that few fit into what follows.
#[derive(Clone)]
struct Long(usize);

impl<T: Record> ProcessFunction<u64, T> for Long {
    type State = (Expiring<ValueState<u64>>, Expiring<ValueState<u64>>);
    type Out = (u64, String);

    fn state(&self) -> Self::State {
        (Expiring::after(Ttl::event_time(nanos(300))), Expiring::after(Ttl::event_time(nanos(3))))
    }

    fn record(
        &self,
        _: T,
        (mut one, mut other): StateOf<'_, u64, Self::State>,
        key: &mut KeyContext<'_, u64, Self::Out>,
    ) {
        (*one, *other) = (Some(1), Some(2));
        let row = (*key.key(), "x".repeat(self.0));
        key.emit(row);
    }
}

/// What is in front of a chained operator waits for room, and the rows that wait for that operator count against it.
#[test]
fn a_chain_with_long_rows_goes_on_when_there_is_no_room() {
    let events = events(124, 900, 200);
    for long in [100, 700, 2_500] {
        let counts: BTreeSet<(u64, i64)> = events.iter().map(|e| (e.key, e.time.div_euclid(1_000))).collect();
        let twin = counts.iter().map(|(key, _)| (*key, long)).collect();
        let rows = collect();
        let job = Job::new("long behind windows")
            .source(from_vec(events.clone()))
            .event_time(at, disorder())
            .key_by(|e| e.key)
            .window(tumbling(nanos(1_000)))
            .count()
            .keyed_as(|row| row.key)
            .process(Long(long))
            .rebalance()
            .map(|(key, text)| (key, text.len()))
            .sink(rows.clone());
        check(&job, &rows, twin);
        let rows = collect();
        let twin = events.iter().map(|e| (e.key, long)).collect();
        let job = Job::new("long behind a sort")
            .source(from_vec(events.clone()))
            .event_time(at, disorder())
            .key_by(|e| e.key)
            .sort_by(by_time)
            .keyed_as(|e| e.key)
            .process(Long(long))
            .rebalance()
            .map(|(key, text)| (key, text.len()))
            .sink(rows.clone());
        check(&job, &rows, twin);
    }
}

/// Without any chain: what expires needs no room.
#[test]
fn state_expires_though_there_is_hardly_room_for_a_row() {
    let events = events(125, 400, 30);
    let twin = events.iter().map(|e| (e.key, 3_000)).collect();
    let rows = collect();
    let job = Job::new("long")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .process(Long(3_000))
        .rebalance()
        .map(|(key, text)| (key, text.len()))
        .sink(rows.clone());
    check(&job, &rows, twin);
}

#[test]
fn a_stream_that_is_not_grouped_so_is_refused() {
    let numbers = || Job::new("numbers").source(from_iter(|| 0..100u64));
    let grouped = |job: &str| {
        Job::new(job)
            .source(from_iter(|| 0..100u64))
            .event_time(|n| EventTime(*n as i64), in_order())
            .key_by(|n| n % 7)
            .deduplicate(nanos(1))
    };
    let refused = |job: Job, expected: &str| match job.run() {
        Err(JobError::NotGrouped { problem, .. }) => assert!(problem.contains(expected), "{problem}"),
        other => panic!("{other:?}"),
    };
    refused(numbers().keyed_as(|n| *n).process(Same).sink(collect()), "it was not grouped");
    refused(
        grouped("text").map(|n| n.to_string()).keyed_as(String::clone).process(Same).sink(collect()),
        "grouped by keys of `u64`, and this one is of `String`",
    );
    refused(
        grouped("spread").rebalance().keyed_as(|n| n % 7).process(Same).sink(collect()),
        "spread over the shards since it was grouped",
    );
    let timed = grouped("times").event_time(|n| EventTime(*n as i64 / 2), in_order());
    refused(
        timed.keyed_as(|n| n % 7).process(Same).sink(collect()),
        "another event time since it was grouped",
    );
    // What was grouped twice is grouped by the second.
    let again = grouped("again").key_by(|n| (n % 3) as u8).process(Same);
    refused(again.keyed_as(|n| n % 7).process(Same).sink(collect()), "grouped by keys of `u8`");
}

/// Lets everything through.
#[derive(Clone)]
struct Same;

impl<K: Key, T: Record> ProcessFunction<K, T> for Same {
    type State = ();
    type Out = T;

    fn record(&self, record: T, _: (), key: &mut KeyContext<'_, K, T>) {
        key.emit(record);
    }
}

#[test]
fn state_that_expires_in_event_time_needs_some() {
    let job =
        Job::new("timeless").source(from_iter(|| 0..10u64)).key_by(|n| *n).process(Long(1)).sink(collect());
    let error = job.run().unwrap_err();
    assert!(matches!(error, JobError::Timeless { .. }), "{error}");
}

/// Keeps more than a checkpoint has names for.
#[derive(Clone)]
struct TooMuch;

type Passing = Expiring<ValueState<u64>>;

impl ProcessFunction<u64, u64> for TooMuch {
    type State = ((Passing, Passing, Passing, Passing), Passing);
    type Out = ();

    fn state(&self) -> Self::State {
        let passing = || Expiring::after(Ttl::event_time(nanos(1)));
        ((passing(), passing(), passing(), passing()), passing())
    }

    fn record(&self, _: u64, _: StateOf<'_, u64, Self::State>, _: &mut KeyContext<'_, u64, ()>) {}
}

#[test]
#[should_panic(expected = "keeps 15 states")]
fn a_function_has_a_bound_on_what_it_keeps() {
    let _ = Job::new("too much").source(from_iter(|| 0..10u64)).key_by(|n| *n).process(TooMuch);
}

/// Panics at a record.
#[derive(Clone)]
struct Panics;

impl ProcessFunction<u64, u64> for Panics {
    type State = ();
    type Out = u64;

    fn record(&self, n: u64, (): (), _: &mut KeyContext<'_, u64, u64>) {
        assert!(n < 5_000, "it is too much");
    }
}

#[test]
fn what_goes_wrong_within_a_chain_is_blamed_on_the_operator() {
    for ticks in [1, 7, 4_096] {
        let job = Job::new("blame")
            .source(from_iter(|| 0..10_000u64))
            .event_time(|n| EventTime(*n as i64), in_order())
            .key_by(|n| n % 7)
            .deduplicate(nanos(1))
            .named("front")
            .keyed_as(|n| n % 7)
            .process(Panics)
            .named("behind")
            .sink(collect());
        let mut config = Config::default();
        config.tick.records_max = ticks;
        let error = job.run_with(&config).unwrap_err().to_string();
        assert!(error.contains("behind") && !error.contains("in front"), "{error}");
    }
}

/// Pushes behind the last row that there can be.
#[derive(Clone)]
struct PushBehind;

impl ProcessFunction<u64, u64> for PushBehind {
    type State = MapState<u64, u64>;
    type Out = u64;

    fn record(&self, n: u64, mut list: StateOf<'_, u64, Self::State>, _: &mut KeyContext<'_, u64, u64>) {
        list.put(u64::MAX, n);
        list.push(n);
    }
}

#[test]
fn nothing_can_be_pushed_behind_the_last_number() {
    let job =
        Job::new("full").source(from_iter(|| 7..9u64)).key_by(|n| *n).process(PushBehind).sink(collect());
    let error = job.run().unwrap_err().to_string();
    assert!(
        error.contains("key 7: nothing can be pushed") || error.contains("key 8: nothing can be pushed"),
        "{error}"
    );
}

#[test]
fn a_record_of_another_shard_stops_the_job_and_is_named() {
    let job = Job::new("elsewhere")
        .source(from_iter(|| 0..1_000u64))
        .key_by(|n| n % 7)
        .process(Same)
        // Not that key.
        .keyed_as(|n| n % 11 + 1_000)
        .process(Same)
        .sink(collect());
    let config = Config { shards: 3, ..Config::default() };
    let error = job.run_with(&config).unwrap_err().to_string();
    assert!(error.contains("a row of key 10") && error.contains("keyed_as"), "{error}");
}
