//! Deduplication and sorting through whole jobs, against naive twins: over shards, seeds, ticks and rings.

use pelton::prelude::*;
use pelton::sim::{Simulation, replay, simulate};
use std::collections::{BTreeMap, BTreeSet};

const SHARDS: [usize; 5] = [1, 2, 3, 4, 8];
/// No record is further behind the newest of its partition than this.
const DISORDER: Duration = millis(100);

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fixed {
    id: u64,
    ms: i64,
    value: i32,
}

/// As [`Fixed`], of a size that varies: such records take another path through frames.
#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Varying {
    id: String,
    ms: i64,
    value: Option<String>,
}

impl From<Fixed> for Varying {
    fn from(Fixed { id, ms, value }: Fixed) -> Self {
        Varying { id: format!("id-{id}"), ms, value: (value % 3 != 0).then(|| value.to_string()) }
    }
}

fn mix(seed: u64, n: u64) -> u64 {
    let x = (seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^ (x >> 29)
}

/// Records in disorder. A record is a function of its id, so that two of one id are equal, and ids come again
/// a little later.
fn records(seed: u64, count: u64) -> Vec<Fixed> {
    (0..count)
        .map(|n| {
            let id = n - mix(seed, n) % 30.min(n + 1);
            let ms = (id * 2) as i64 - (mix(seed ^ 1, id) % 16) as i64 - 500;
            Fixed { id, ms: ms / 4 * 4, value: (mix(seed ^ 2, id) % 100) as i32 }
        })
        .collect()
}

/// Every shard count, with rings from the smallest on and ticks of one record and of very many.
fn simulations(seed: u64) -> impl Iterator<Item = Simulation> {
    SHARDS.into_iter().zip(seed as usize..).map(move |(shards, turn)| {
        let (records_max, ring_bytes) = ([1, 7, 64, 1_000, 16][turn % 5], [4_096, 16_384, 65_536][turn % 3]);
        Simulation { seed, shards, records_max, ring_bytes, ..Simulation::default() }
    })
}

fn time(record: &Fixed) -> EventTime {
    EventTime::from_millis(record.ms)
}

fn sorted<T: Ord>(rows: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut rows: Vec<T> = rows.into_iter().collect();
    rows.sort();
    rows
}

#[test]
fn one_of_equal_records_passes() {
    for seed in 0..10 {
        let input = records(seed, 1_500);
        let first: BTreeSet<Fixed> = input.iter().cloned().collect();
        assert!(first.len() < 1_200, "there are duplicates");
        let twins = (sorted(first.clone()), sorted(first.into_iter().map(Varying::from)));

        let (fixed, varying) = (collect(), collect());
        // A horizon far shorter than the stream, so that most of it is forgotten on the way.
        let job = Job::new("fixed")
            .source(from_vec(input.clone()))
            .event_time(time, out_of_order(DISORDER))
            .key_by(|record| record.id)
            .deduplicate(millis(5))
            .sink(fixed.clone());
        let job_varying = Job::new("varying")
            .source(from_vec(input.into_iter().map(Varying::from).collect()))
            .event_time(|record| EventTime::from_millis(record.ms), out_of_order(DISORDER))
            .key_by(|record| record.id.clone())
            .deduplicate(millis(5))
            .sink(varying.clone());
        for simulation in simulations(seed) {
            simulate(&job, &simulation).unwrap();
            assert!(sorted(fixed.take()) == twins.0, "{simulation:?}");
            simulate(&job_varying, &simulation).unwrap();
            assert!(sorted(varying.take()) == twins.1, "{simulation:?}");
        }
    }
}

/// Records of few keys, which differ: those pass that have no passed record of their key within the horizon,
/// in the order of the one partition.
#[test]
fn the_first_within_the_horizon_passes() {
    for seed in 0..10 {
        let input = records(seed, 1_500);
        let mut passed: Vec<Fixed> = Vec::new();
        for record in &input {
            let near = |other: &Fixed| other.id % 10 == record.id % 10 && other.ms.abs_diff(record.ms) < 60;
            if !passed.iter().any(near) {
                passed.push(record.clone());
            }
        }
        assert!((200..1_000).contains(&passed.len()), "{} pass", passed.len());
        let twin = sorted(passed);

        let rows = collect();
        let job = Job::new("horizon")
            .source(from_iter(move || input.clone()))
            .event_time(time, out_of_order(DISORDER))
            .key_by(|record| (record.id % 10) as u8)
            .deduplicate(millis(60))
            .sink(rows.clone());
        for simulation in simulations(seed) {
            simulate(&job, &simulation).unwrap();
            assert!(sorted(rows.take()) == twin, "{simulation:?}");
        }
    }
}

#[test]
fn sorted_records_come_in_order_of_time_and_their_own() {
    for seed in 0..10 {
        let input = records(seed, 1_500);
        let by_time = |record: &Fixed| (record.ms, record.clone());
        let mut twin = input.clone();
        twin.sort_by_key(by_time);
        let mut twin_varying: Vec<Varying> = input.iter().cloned().map(Varying::from).collect();
        twin_varying.sort_by_key(|record| (record.ms, record.clone()));
        let mut of_keys: BTreeMap<u64, Vec<Fixed>> = BTreeMap::new();
        twin.iter().for_each(|record| of_keys.entry(record.id % 10).or_default().push(record.clone()));

        let (fixed, varying, keyed) = (collect(), collect(), collect());
        let job = Job::new("all");
        let (left, right) = job.source(from_vec(input)).event_time(time, out_of_order(DISORDER)).fork();
        left.sort().sink(fixed.clone());
        let (left, right) = right.fork();
        left.map(Varying::from).sort_by(Varying::cmp).sink(varying.clone());
        right.key_by(|record| record.id % 10).sort().sink(keyed.clone());
        for simulation in simulations(seed) {
            simulate(&job, &simulation).unwrap();
            let rows = fixed.take_named();
            assert!(rows.iter().all(|row| row.at == time(&row.row)), "{simulation:?}");
            assert!(rows.into_iter().map(|row| row.row).eq(twin.iter().cloned()), "{simulation:?}");
            assert!(varying.take() == twin_varying, "{simulation:?}");
            let mut found: BTreeMap<u64, Vec<Fixed>> = BTreeMap::new();
            keyed
                .take()
                .into_iter()
                .for_each(|record: Fixed| found.entry(record.id % 10).or_default().push(record));
            assert!(found == of_keys, "{simulation:?}");
        }
    }
}

#[test]
fn ties_that_are_not_broken_leave_as_they_arrived() {
    let input = records(3, 1_500);
    let mut twin = input.clone();
    twin.sort_by_key(|record| record.ms);
    let rows = collect();
    let job = Job::new("ties")
        .source(from_iter(move || input.clone()))
        .event_time(time, out_of_order(DISORDER))
        .sort_by(|_, _| std::cmp::Ordering::Equal)
        .sink(rows.clone());
    for simulation in (0..5).flat_map(simulations) {
        simulate(&job, &simulation).unwrap();
        assert!(rows.take() == twin, "{simulation:?}");
    }
}

/// Everything leaves at once, at the end: far more than a step releases, and than fits into the smallest rings.
#[test]
fn a_large_release_is_divided_and_complete() {
    let record = |n| Fixed { id: mix(7, n), ms: (mix(8, n) % 9_000) as i64, value: 1 };
    let input: Vec<Fixed> = (0..20_000).map(record).collect();
    let ordered = collect();
    let job = Job::new("release")
        .source(from_vec(input.clone()))
        .event_time(time, out_of_order(secs(3_600)))
        .sort()
        .sink(ordered.clone());
    let counted = collect();
    let counting = Job::new("count")
        .source(from_vec(input.clone()))
        .event_time(time, out_of_order(secs(3_600)))
        .sort()
        .key_by(|record| record.id % 50)
        .window(tumbling(secs(1)))
        .count()
        .sink(counted.clone());
    let mut twin = input;
    twin.sort_by_key(|record| (record.ms, record.clone()));
    for shards in [1, 3] {
        let simulation =
            Simulation { seed: 5, shards, ring_bytes: 4_096, records_max: 500, ..Simulation::default() };
        simulate(&job, &simulation).unwrap();
        assert!(ordered.take() == twin);
        simulate(&counting, &simulation).unwrap();
        let counts = counted.take();
        assert_eq!((counts.len(), counts.iter().map(|row| row.value).sum::<u64>()), (450, 20_000));
    }
}

#[test]
fn the_last_instant_of_time_leaves_too() {
    let rows = collect();
    let times = || [EventTime::MAX, EventTime::from_nanos(0), EventTime::MIN, EventTime::MAX.minus(1)];
    let job = Job::new("ends")
        .source(from_iter(times))
        .event_time(|time| *time, out_of_order(Duration::MAX))
        .key_by(|time| *time)
        .deduplicate(Duration::MAX)
        .sort()
        .sink(rows.clone());
    simulate(&job, &Simulation::default()).unwrap();
    assert_eq!(
        rows.take(),
        [EventTime::MIN, EventTime::from_nanos(0), EventTime::MAX.minus(1), EventTime::MAX]
    );
}

/// A bound that does not hold: what is late depends on the ticks, but nothing is lost, doubled or out of
/// order.
#[test]
fn late_records_leave_at_the_side() {
    for seed in 0..6 {
        let input = records(seed, 1_500);
        let job = Job::new("late");
        let (left, right) = job
            .source(from_iter({
                let input = input.clone();
                move || input.clone()
            }))
            .event_time(time, in_order())
            .fork();
        let (ordered, late, passed, forgotten) = (collect(), collect(), collect(), collect());
        let (main, side) = left.sort_with_late();
        main.sink(ordered.clone());
        side.sink(late.clone());
        let (main, side) = right.key_by(|record| record.id).deduplicate_with_late(millis(10));
        main.sink(passed.clone());
        side.sink(forgotten.clone());

        for simulation in simulations(seed) {
            simulate(&job, &simulation).unwrap();
            let (rows, sides): (Vec<Fixed>, Vec<Fixed>) = (ordered.take(), late.take());
            assert!(rows.is_sorted_by_key(|record| (record.ms, record.clone())), "{simulation:?}");
            if (simulation.shards, simulation.records_max) == (1, 1) {
                // With one shard and a tick for each record, it is known which are late: those that are older
                // than one before them.
                let mut newest = i64::MIN;
                let is_late = |record: &&Fixed| {
                    let before = newest;
                    newest = newest.max(record.ms);
                    record.ms < before
                };
                assert!(
                    sorted(sides.clone()) == sorted(input.iter().filter(is_late).cloned()),
                    "{simulation:?}"
                );
            }
            assert!(sorted(rows.into_iter().chain(sides)) == sorted(input.clone()), "{simulation:?}");

            let (first, sides): (Vec<Fixed>, Vec<Fixed>) = (passed.take(), forgotten.take());
            let distinct: BTreeSet<Fixed> = first.iter().cloned().collect();
            assert_eq!(distinct.len(), first.len(), "no record passes twice: {simulation:?}");
            let seen: BTreeSet<Fixed> = distinct.into_iter().chain(sides).collect();
            assert!(seen == input.iter().cloned().collect(), "{simulation:?}");
        }
    }
}

#[test]
fn the_same_seed_and_the_same_ticks_give_the_same_bytes() {
    let rows = collect();
    let job = Job::new("replay")
        .source(from_vec(records(11, 2_000)))
        .map(Varying::from)
        .event_time(|record| EventTime::from_millis(record.ms), out_of_order(millis(60)))
        .key_by(|record| record.id.clone())
        .deduplicate(millis(30))
        .sort()
        .sink(rows.clone());
    for simulation in (0..4).flat_map(simulations) {
        let first = simulate(&job, &simulation).unwrap();
        let named = rows.take_named();
        assert_eq!(simulate(&job, &simulation).unwrap(), first, "{simulation:?}");
        assert!(rows.take_named() == named, "{simulation:?}");

        let other = Simulation { seed: simulation.seed + 1_000, ring_bytes: 32_768, ..simulation };
        assert_eq!(replay(&job, &first, &other).unwrap().traces, first.traces, "{simulation:?}");
        assert!(rows.take_named() == named, "{simulation:?}");
    }
    let trace = |seed| {
        let simulation = Simulation { seed, shards: 3, ..Simulation::default() };
        simulate(&job, &simulation).unwrap().traces
    };
    assert_ne!(trace(1), trace(2), "a digest that never differs shows nothing");
}

/// What waits to be sorted is a part of the state, as it is: two runs that hold other records are told apart.
#[test]
fn the_digest_sees_the_records_that_wait() {
    let trace = |value: i32| {
        let job = Job::new("held")
            .source(from_iter(move || {
                records(1, 20).into_iter().map(move |record| Fixed { value, ..record })
            }))
            .event_time(time, out_of_order(DISORDER))
            .sort()
            .sink(for_each(|_| ()));
        simulate(&job, &Simulation { records_max: 4, ..Simulation::default() }).unwrap().traces
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

/// One core and little memory, which both operators must live within or fail in order.
fn config() -> Config {
    let flags = [
        ("driver", "threads"),
        ("pin", "false"),
        ("cores", "1"),
        ("shards", "1"),
        ("buffer", "64 KB"),
        ("memory", "16 MB"),
    ];
    Config::load_with(None, &flags).unwrap().config
}

fn stream_of(count: u64) -> impl Iterator<Item = Fixed> {
    // Each record twice, with others between.
    (0..count).map(|n| n - (n % 6 >= 3) as u64 * 3).map(|id| Fixed { id, ms: id as i64, value: 0 })
}

#[test]
fn what_is_remembered_is_bounded_and_what_is_dropped_is_counted() {
    let passed = fold(0u64, |sum, _: Fixed| *sum += 1, |a, b| a + b);
    let job = Job::new("bounded")
        .source(from_iter(|| stream_of(1_200_000)))
        .event_time(time, out_of_order(millis(10)))
        .key_by(|record| record.id)
        .deduplicate(secs(1))
        .sort()
        .sink(passed.clone());
    // The ids alone would take 30 MB.
    let progress = job.run_with(&config()).unwrap();
    assert_eq!((passed.take(), progress.total.duplicates, progress.total.late), (600_000, 600_000, 0));
}

#[test]
fn what_does_not_fit_is_an_error_with_figures() {
    let check = |job: Job| {
        let error = job.run_with(&config()).unwrap_err().to_string();
        assert!(error.contains("out of memory") && error.contains("16777216"), "{error}");
    };
    let stream = |name: &str| {
        Job::new(name).source(from_iter(|| stream_of(3_000_000))).event_time(time, out_of_order(secs(36_000)))
    };
    check(stream("sort").sort().sink(for_each(|_| ())));
    check(stream("remember").key_by(|record| record.id).deduplicate(secs(1)).sink(for_each(|_| ())));
}
