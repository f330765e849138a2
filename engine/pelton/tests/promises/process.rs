//! User code with a state for each key and timers.

use crate::check::{check, simulated};
use crate::data::{Chance, Event, at, disorder, events, nanos};
use pelton::prelude::*;
use pelton::sim::Simulation;
use std::collections::BTreeMap;

/// How long a key must be quiet for its visit to be over.
const GAP: i64 = 120;

/// Visits: how many records of a key there were before it was quiet, what they add up to, and when that was.
#[derive(Clone)]
struct Visits;

/// (key, records, sum of values, when it is over)
type Visit<K> = (K, u64, i64, i64);

impl<K: Key> ProcessFunction<K, Event> for Visits {
    type State = ValueState<(u64, i64, EventTime)>;
    type Out = Visit<K>;

    fn record(
        &self,
        event: Event,
        state: &mut Option<(u64, i64, EventTime)>,
        key: &mut KeyContext<'_, K, Visit<K>>,
    ) {
        let ends = key.time() + nanos(GAP as u64);
        let time = key.time();
        if let Some((count, sum, over)) = state.take_if(|(_, _, over)| *over <= time) {
            let row = (key.key().clone(), count, sum, over.0);
            key.emit_at(over, row);
        }
        let (count, sum, _) = state.unwrap_or((0, 0, ends));
        *state = Some((count + 1, sum + event.value, ends));
        key.set_timer(ends, 0);
    }

    fn timer(
        &self,
        timer: FiredTimer,
        state: &mut Option<(u64, i64, EventTime)>,
        key: &mut KeyContext<'_, K, Visit<K>>,
    ) {
        assert_eq!((timer.kind, key.time()), (TimerKind::Event, timer.at));
        assert!(timer.at <= key.watermark());
        if let Some((count, sum, over)) = state.take_if(|(_, _, over)| *over == timer.at) {
            let row = (key.key().clone(), count, sum, over.0);
            key.emit(row);
        }
    }
}

fn visits<K: Key>(events: &[Event], of: impl Fn(&Event) -> K) -> Vec<Visit<K>> {
    let mut by_key: BTreeMap<K, Vec<&Event>> = BTreeMap::new();
    events.iter().for_each(|event| by_key.entry(of(event)).or_default().push(event));
    let mut visits = Vec::new();
    for (key, mut events) in by_key {
        events.sort_by_key(|event| event.time);
        for visit in events.chunk_by(|a, b| b.time < a.time + GAP) {
            let last = visit[visit.len() - 1].time;
            visits.push((key.clone(), visit.len() as u64, visit.iter().map(|e| e.value).sum(), last + GAP));
        }
    }
    visits
}

/// In the order of time, from one partition.
#[test]
fn visits_of_keys_that_come_in_order() {
    for keys in [1, 12, 300] {
        let mut events = events(80, 800, keys);
        events.sort_by_key(|event| event.time);
        let twin = visits(&events, |e| e.key);
        let rows = collect();
        let job = Job::new("visits")
            .source(from_vec(events))
            .event_time(at, disorder())
            // One partition stays one: what is of a key keeps its order.
            .key_by(|e| e.key)
            .sort_by(|a, b| a.time.cmp(&b.time))
            .key_by(|e| e.key)
            .process(Visits)
            .sink(rows.clone());
        check(&job, &rows, twin);
    }
}

/// Out of order, with keys that own memory: they are sorted first.
#[test]
fn visits_of_keys_that_own_memory_out_of_order() {
    let of = |e: &Event| format!("key {}", e.key);
    let events = events(81, 600, 30);
    let twin = visits(&events, of);
    let rows = collect();
    let job = Job::new("visits")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(of)
        .sort_by(|a, b| a.time.cmp(&b.time))
        .key_by(of)
        .process(Visits)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// What timers do that are set in odd places: (key, tag, time).
#[derive(Clone)]
struct Odd;

impl ProcessFunction<u64, Event> for Odd {
    type State = ValueState<u64>;
    type Out = (u64, u64, i64);

    fn record(&self, _: Event, state: &mut Option<u64>, key: &mut KeyContext<'_, u64, Self::Out>) {
        if state.is_some() {
            return;
        }
        *state = Some(0);
        // In the past, at the ends of time, twice the same, and one that is taken back.
        key.set_timer(EventTime::MIN, 1);
        key.set_timer(EventTime::MAX, 2);
        key.set_timer(EventTime(1_000), 3);
        key.set_timer(EventTime(1_000), 3);
        key.set_timer(EventTime(1_000), 4);
        key.set_timer(EventTime(2_000), 5);
        assert!(key.cancel_timer(TimerKind::Event, EventTime(2_000), 5));
        assert!(!key.cancel_timer(TimerKind::Event, EventTime(2_000), 5));
    }

    fn timer(&self, timer: FiredTimer, state: &mut Option<u64>, key: &mut KeyContext<'_, u64, Self::Out>) {
        let row = (*key.key(), timer.tag, timer.at.0);
        key.emit(row);
        // One that sets itself for its own time, some times over, and one that would do so behind the end of time.
        if timer.tag == 3 && timer.at < EventTime(1_005) {
            key.set_timer(timer.at, 3);
        }
        if timer.tag == 2 && *state < Some(3) {
            *state = state.map(|times| times + 1);
            key.set_timer(timer.at, 2);
        }
    }
}

#[test]
fn timers_in_the_past_and_at_the_ends_of_time_fire_once_each() {
    let events = events(82, 300, 7);
    let keys: std::collections::BTreeSet<u64> = events.iter().map(|e| e.key).collect();
    let twin = keys
        .into_iter()
        .flat_map(|key| {
            let own = (1_000..=1_005).map(move |time| (key, 3, time));
            let ends = std::iter::once((key, 2, i64::MAX));
            [(key, 1, i64::MIN), (key, 4, 1_000)].into_iter().chain(own).chain(ends)
        })
        .collect();
    let rows = collect();
    let job = Job::new("odd")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .process(Odd)
        .sink(rows.clone());
    check(&job, &rows, twin);
}

/// A timer for each record, which says when: they come in the order (time, key, tag), a tick's after those of the ticks before.
#[derive(Clone)]
struct Alarm;

impl ProcessFunction<u64, Event> for Alarm {
    type State = ();
    type Out = (i64, u64, u64);

    fn record(&self, event: Event, _: (), key: &mut KeyContext<'_, u64, Self::Out>) {
        key.set_timer(EventTime(event.time + event.value.abs() % 300), event.value.unsigned_abs());
    }

    fn timer(&self, timer: FiredTimer, _: (), key: &mut KeyContext<'_, u64, Self::Out>) {
        let row = (timer.at.0, *key.key(), timer.tag);
        key.emit(row);
    }
}

#[test]
fn timers_fire_in_the_order_of_time_key_and_tag() {
    let events = events(83, 2_000, 25);
    let mut twin: Vec<_> =
        events.iter().map(|e| (e.time + e.value.abs() % 300, e.key, e.value.unsigned_abs())).collect();
    twin.sort();
    twin.dedup();
    let rows = collect();
    let job = Job::new("alarm")
        .source(from_vec(events))
        .event_time(at, out_of_order(nanos(5_000)))
        .key_by(|e| e.key)
        .process(Alarm)
        .sink(rows.clone());
    let settings = Simulation { seed: 5, shards: 1, records_max: 40, ..Simulation::default() };
    let (_, found) = simulated(&job, &rows, &settings);
    let found: Vec<_> = found.into_iter().map(|row| row.row).collect();
    assert!(found == twin, "the order of one shard");
    check(&job, &rows, twin);
}

/// Random sets, cancels and states of a few keys: the same in every run of the same ticks.
#[derive(Clone)]
struct Random;

impl ProcessFunction<u64, Event> for Random {
    type State = ValueState<Vec<i64>>;
    type Out = (u64, i64, i64);
    const PROCESSING_TIMERS: bool = true;

    fn record(&self, event: Event, state: &mut Option<Vec<i64>>, key: &mut KeyContext<'_, u64, Self::Out>) {
        let mut chance = Chance(event.time as u64 ^ event.key << 40);
        let (soon, now) = (nanos(chance.below(400)), key.processing_time());
        match chance.below(5) {
            0 => {
                key.set_timer(key.time() + soon, chance.below(3));
            }
            1 => {
                key.set_processing_timer(now + nanos(chance.below(4_000_000)), chance.below(3));
            }
            2 => drop(key.cancel_timer(TimerKind::Event, key.time() + soon, chance.below(3))),
            3 => *state = None,
            _ => state.get_or_insert_default().push(event.value),
        }
    }

    fn timer(
        &self,
        timer: FiredTimer,
        state: &mut Option<Vec<i64>>,
        key: &mut KeyContext<'_, u64, Self::Out>,
    ) {
        let time = match timer.kind {
            TimerKind::Event => key.watermark(),
            TimerKind::Processing => key.processing_time(),
        };
        assert!(timer.at <= time || key.watermark() == EventTime::MAX);
        let row = (*key.key(), timer.at.0, state.take().map_or(-1, |values| values.iter().sum()));
        key.emit(row);
    }
}

#[test]
fn whatever_a_function_does_is_the_same_in_every_replay() {
    let events = events(84, 1_500, 10);
    let rows = collect();
    let job = Job::new("random")
        .source(from_vec(events))
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .process(Random)
        .sink(rows.clone());
    // Which rows there are depends on the ticks: that each replay has the same is what is checked.
    crate::check::check_by(&job, &rows, |found| assert!(found.len() > 100));
}

/// What a function sees of the clock, far behind the sources, where several shards send at different times.
#[derive(Clone)]
struct Seen;

impl ProcessFunction<u64, Event> for Seen {
    type State = ValueState<i64>;
    type Out = (u64, i64, i64);

    fn record(&self, event: Event, state: &mut Option<i64>, key: &mut KeyContext<'_, u64, Self::Out>) {
        let now = key.processing_time().0;
        *state = Some(now ^ state.unwrap_or(0));
        let row = (*key.key(), event.time, now);
        key.emit(row);
    }
}

#[test]
fn the_clock_is_the_same_in_every_replay_whatever_the_rings() {
    let mut events = events(86, 4_000, 50);
    events.iter_mut().zip(0..).for_each(|(event, n)| event.value = n);
    let rows = collect();
    let job = Job::new("seen")
        .source(from_vec(events))
        .rebalance()
        .map(|e| e)
        .rebalance_chunks(7)
        .key_by(|e| e.key)
        .process(Seen)
        .sink(rows.clone());
    crate::check::check_by(&job, &rows, |found| assert_eq!(found.len(), 4_000));
}

/// A timer of each clock that sets one of the other, without end.
#[derive(Clone)]
struct PingPong;

impl ProcessFunction<u64, Event> for PingPong {
    type State = ValueState<u64>;
    type Out = u64;
    const PROCESSING_TIMERS: bool = true;

    fn record(&self, _: Event, state: &mut Option<u64>, key: &mut KeyContext<'_, u64, u64>) {
        if state.is_none() {
            *state = Some(0);
            key.set_timer(EventTime::MIN, 0);
        }
    }

    fn timer(&self, timer: FiredTimer, state: &mut Option<u64>, key: &mut KeyContext<'_, u64, u64>) {
        if key.has_ended() {
            return;
        }
        let number = state.map_or(0, |number| number + 1);
        *state = Some(number);
        let (watermark, now) = (key.watermark(), key.processing_time());
        let at = match timer.kind {
            TimerKind::Event => key.set_processing_timer(now, 0),
            TimerKind::Processing => key.set_timer(watermark, 0),
        };
        assert!(at > timer.at || timer.at <= now.max(watermark));
        key.emit(number);
    }
}

#[test]
fn timers_that_set_each_other_let_the_tick_end() {
    let rows = collect();
    let job = Job::new("ping pong")
        .source(from_vec(events(87, 500, 3)))
        .event_time(at, disorder())
        .key_by(|e| e.key)
        .process(PingPong)
        .sink(rows.clone());
    crate::check::check_by(&job, &rows, |found| assert!(found.len() < 20_000));
}

/// A function that sets what it has not announced.
#[derive(Clone)]
struct Unannounced;

impl ProcessFunction<u64, Event> for Unannounced {
    type State = ();
    type Out = ();
    fn record(&self, _: Event, _: (), key: &mut KeyContext<'_, u64, ()>) {
        key.set_processing_timer(EventTime(5), 0);
    }
}

#[test]
fn a_clock_that_was_not_announced_is_refused_by_name() {
    let rows = collect();
    let job = Job::new("refused").source(from_vec(events(85, 3, 1))).key_by(|e| e.key).process(Unannounced);
    let error = job.sink(rows).run_with(&Config { shards: 1, ..Config::default() }).unwrap_err().to_string();
    assert!(error.contains("PROCESSING_TIMERS") && error.contains("key 0"), "{error}");
}
