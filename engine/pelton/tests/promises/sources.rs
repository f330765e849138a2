//! Sources: their number, partitions and pace.

use crate::check::{check, check_by, config, simulated};
use crate::data::{Chance, Event, at, disorder, events, nanos, total, twin};
use pelton::config::DriverKind;
use pelton::prelude::*;
use pelton::sim::Simulation;
use pelton::sources::{Partition, Poll, Polled, Source};
use std::sync::Arc;

/// A source that has records at hand now and then: a function of the driver's clock, so that a replay sees the same.
#[derive(Clone)]
struct Fitful {
    events: Arc<[Event]>,
    partitions: usize,
    /// At most so many at a time.
    burst: u64,
    /// Partition 0 says nothing before this reading of the clock.
    silent_until: u64,
}

struct FitfulPartition {
    source: Fitful,
    index: usize,
    next: usize,
    newest: EventTime,
}

impl Source for Fitful {
    type Item = Event;
    type Partition = FitfulPartition;

    fn partitions(&self, _: usize) -> usize {
        self.partitions
    }

    fn open(&self, index: usize, _: usize) -> FitfulPartition {
        FitfulPartition { source: self.clone(), index, next: index, newest: EventTime::MIN }
    }
}

impl Partition for FitfulPartition {
    type Item = Event;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(Event)) -> Polled {
        let burst = Chance(poll.now.0 / 50_000 + self.index as u64).below(2 * self.source.burst);
        let silent = self.index == 0 && poll.now.0 < self.source.silent_until;
        let burst = if silent { 0 } else { burst.saturating_sub(self.source.burst) as usize };
        for _ in 0..burst.min(poll.records_max) {
            let Some(event) = self.source.events.get(self.next) else { return Polled::Done };
            self.next += self.source.partitions;
            self.newest = self.newest.max(at(event));
            out(event.clone());
        }
        if self.next < self.source.events.len() { Polled::Open } else { Polled::Done }
    }

    fn watermark(&self) -> EventTime {
        EventTime(self.newest.0.saturating_sub(crate::data::DISORDER))
    }
}

fn fitful(events: &[Event], partitions: usize, burst: u64) -> Fitful {
    Fitful { events: events.into(), partitions, burst, silent_until: 0 }
}

fn sums(events: &[Event]) -> Vec<Windowed<u64, i64>> {
    twin((1_000, 500), events.iter().map(|e| (e.time, e.key, e.value)), total)
}

#[test]
fn sources_of_different_speeds() {
    let (quick, slow) = (events(60, 900, 20), events(61, 60, 20));
    let twin = sums(&[quick.clone(), slow.clone()].concat());
    let rows = collect();
    let job = Job::new("speeds");
    let slow = job.source(fitful(&slow, 2, 2)).event_time(at, disorder());
    let job = job
        .source(from_vec(quick))
        .event_time(at, disorder())
        .union(slow)
        .key_by(|e| e.key)
        .window(hopping(nanos(1_000), nanos(500)))
        .sum(|e| e.value)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

#[test]
fn sources_joined_before_they_are_given_their_time() {
    let (quick, slow) = (events(62, 600, 20), events(63, 80, 20));
    let twin = sums(&[quick.clone(), slow.clone()].concat());
    let rows = collect();
    let job = Job::new("speeds");
    let slow = job.source(fitful(&slow, 3, 4));
    let job = job
        .source(from_vec(quick))
        .union(slow)
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .window(hopping(nanos(1_000), nanos(500)))
        .sum(|e| e.value)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

#[test]
fn one_partition_and_many() {
    let events = events(64, 700, 20);
    for partitions in [1, 5, 13] {
        let twin = sums(&events);
        let rows = collect();
        let shared: Arc<[Event]> = events.clone().into();
        let source = generate(move |index, of| {
            let shared = shared.clone();
            (index..shared.len()).step_by(of).map(move |at| shared[at].clone())
        });
        let job = Job::new("partitions")
            .source(source.partitions(partitions))
            .event_time(at, disorder())
            .key_by(|e| e.key)
            .window(hopping(nanos(1_000), nanos(500)))
            .sum(|e| e.value)
            .sink(rows.clone());
        check(&job, &rows, twin);
    }
}

#[test]
fn a_source_that_knows_its_own_progress() {
    let events = events(65, 500, 20);
    let rows = collect();
    let job = Job::new("progress")
        .source(fitful(&events, 3, 10))
        .event_time(at, from_source())
        .key_by(|e| e.key)
        .window(hopping(nanos(1_000), nanos(500)))
        .sum(|e| e.value)
        .sink(rows.clone());
    check(&job, &rows, sums(&events));
}

/// Which window a record falls into is the clock's, but every record falls into one.
#[test]
fn ingestion_time() {
    let events = events(66, 500, 7);
    let rows = collect();
    let job = Job::new("ingestion")
        .source(fitful(&events, 3, 10))
        .ingestion_time()
        .key_by(|e| e.key)
        .window(tumbling(Duration::from_micros(700)))
        .aggregate((count(), sum(|e: &Event| e.value)))
        .sink(rows.clone());
    check_by(&job, &rows, |found: &[Windowed<u64, (u64, i64)>]| {
        assert_eq!(found.iter().map(|row| row.value.0).sum::<u64>(), 500);
        assert_eq!(
            found.iter().map(|row| row.value.1).sum::<i64>(),
            events.iter().map(|e| e.value).sum::<i64>()
        );
    });
}

/// A partition that is silent for long holds windows back, unless it counts as idle; with other shards as with its own.
#[test]
fn idle_partitions_do_not_hold_windows_back() {
    let events = events(67, 2_000, 7);
    for (partitions, shards) in [(2, 1), (2, 2), (4, 2), (4, 4)] {
        let mut on_time = [0, 0];
        for (run, idle_after) in [None, Some(Duration::from_millis(5))].into_iter().enumerate() {
            let rows = collect();
            let silent_until = 3_000_000_000;
            let source = Fitful { silent_until, ..fitful(&events, partitions, 20) };
            let strategy = idle_after.map_or(disorder(), |limit| disorder().idle_after(limit));
            let job = Job::new("idle")
                .source(source)
                .event_time(at, strategy)
                .key_by(|e| e.key)
                .window(tumbling(nanos(1_000)))
                .count()
                .sink(rows.clone());
            let settings = Simulation { seed: 68, shards, ..Simulation::default() };
            let (recording, found) = simulated(&job, &rows, &settings);
            crate::check::replays(&job, &rows, &recording, &found, settings);
            // The first tick in which the silent partition spoke.
            let log = recording.logs[0].iter();
            let spoke = log.clone().find(|entry| entry.now.0 >= silent_until && entry.taken[0].records > 0);
            let spoke = spoke.expect("it spoke").tick;
            on_time[run] = found.iter().filter(|row| row.tick < spoke).count();
        }
        assert_eq!(on_time[0], 0, "{partitions} partitions on {shards} shards: held back");
        assert!(on_time[1] > 20, "{partitions} partitions on {shards} shards: {on_time:?}");
    }
}

/// A partition that always has records does not keep the next one of its shard from being read.
#[test]
fn no_partition_starves_another() {
    for (records_max, sources) in [(1, 1), (2, 3), (64, 2)] {
        let rows = collect();
        let job = Job::new("turns");
        for source in 0..sources {
            let numbers = generate(move |index, _| (0..3_000u64).map(move |n| (source, index as u64, n)));
            let _ = job.source(numbers.partitions(3)).sink(rows.clone());
        }
        let settings = Simulation { seed: 69, shards: 1, records_max, ..Simulation::default() };
        let (recording, _) = simulated(&job, &rows, &settings);
        // Half way through, every partition has given something like its share.
        let log = &recording.logs[0];
        let given = |partition: usize| {
            log[..log.len() / 2].iter().map(|entry| entry.taken[partition].records).sum::<usize>()
        };
        for partition in 0..3 * sources as usize {
            assert!(
                given(partition) > 750,
                "{records_max} in a tick: partition {partition} gave {}",
                given(partition)
            );
        }
    }
}

/// A channel hands everything over in order, on real threads.
#[test]
fn a_channel_is_a_source() {
    let (sender, source) = channel(16);
    let rows = collect();
    let job = Job::new("channel").source(source).sink(rows.clone());
    let running = job.start_with(&config(DriverKind::Threads, 1, 2, 64, 65_536)).unwrap();
    (0..5_000u64).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    running.wait().unwrap();
    assert_eq!(rows.take(), (0..5_000).collect::<Vec<_>>());
}
