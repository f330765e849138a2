//! Records that are kept, and whose fields are others in a changed job: converted by name, refused where something would be lost.

use crate::changed::{NUMBERS, Pace, refusal, slow};
use crate::support::{Scratch, config};
use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sinks::Collect;
use pelton::sources::{Source, inlet};
use std::collections::BTreeMap;
use std::path::Path;

/// What was counted of a key, before and after the program was changed.
mod before {
    #[pelton::record]
    #[derive(Clone, Debug)]
    pub struct Seen {
        pub count: u32,
        pub gone: Vec<u8>,
        pub last: String,
    }
}

mod after {
    #[pelton::record]
    #[derive(Clone, Debug)]
    pub struct Seen {
        pub last: String,
        pub sum: Option<u64>,
        pub count: u64,
        pub more: String,
    }
}

mod narrow {
    #[pelton::record]
    #[derive(Clone, Debug)]
    pub struct Seen {
        pub count: u8,
        pub last: String,
    }
}

/// Numbers through a function with a state `S`, of whose rows those at the end of the input count.
fn processed<S: Record + Clone>(
    pace: &Pace,
    source: impl Source<Item = u64>,
    rows: &Collect<(u64, u64, String)>,
    step: impl Fn(&mut Option<S>, u64) -> (u64, String) + Clone + Send + Sync + 'static,
) -> Job {
    let pace = pace.clone();
    Job::new("processed")
        .source(source)
        .uid("numbers")
        .inspect(move |_, n| pace.keep(*n))
        .key_by(|n| n % 7)
        .process(Counting { step, state: std::marker::PhantomData })
        .uid("seen")
        .sink_with_uid("rows", rows.clone())
}

#[derive(Clone)]
struct Counting<S, F> {
    step: F,
    state: std::marker::PhantomData<fn() -> S>,
}

impl<S, F> ProcessFunction<u64, u64> for Counting<S, F>
where
    S: Record + Clone,
    F: Fn(&mut Option<S>, u64) -> (u64, String) + Clone + Send + Sync + 'static,
{
    type State = ValueState<S>;
    type Out = (u64, u64, String);

    fn record(&self, n: u64, state: &mut Option<S>, key: &mut KeyContext<'_, u64, Self::Out>) {
        let of = *key.key();
        let (count, last) = (self.step)(state, n);
        key.emit((of, count, last));
    }
}

fn first(pace: &Pace, source: impl Source<Item = u64>, rows: &Collect<(u64, u64, String)>) -> Job {
    processed(pace, source, rows, |state: &mut Option<before::Seen>, n| {
        let seen =
            state.get_or_insert_with(|| before::Seen { count: 0, gone: vec![1; 20], last: String::new() });
        seen.count += 1;
        seen.last = format!("the number {n}");
        (seen.count.into(), seen.last.clone())
    })
}

fn second(pace: &Pace, source: impl Source<Item = u64>, rows: &Collect<(u64, u64, String)>) -> Job {
    processed(pace, source, rows, |state: &mut Option<after::Seen>, n| {
        let seen = state.get_or_insert_with(|| panic!("there is a state of every key"));
        assert_eq!((seen.more.as_str(), seen.last.starts_with("the number ")), ("", true), "{seen:?}");
        seen.count += 1;
        seen.sum = Some(seen.sum.unwrap_or(0) + n);
        let before = std::mem::replace(&mut seen.last, format!("the number {n}"));
        (seen.count, before)
    })
}

#[test]
fn fields_of_what_is_kept_are_converted_by_name() {
    let (rows, numbers, pace) = (collect(), 200_000, Pace::default());
    let source = || generate(move |w, of| (w as u64..numbers).step_by(of)).partitions(2);
    let (old, new) = (first(&pace, source(), &rows), second(&pace, source(), &rows));
    let narrow = processed(&pace, source(), &rows, |state: &mut Option<narrow::Seen>, _| {
        (state.take().map_or(0, |seen| seen.count.into()), String::new())
    });
    for (before, after) in [(2, 2), (2, 3), (3, 1)] {
        let scratch = Scratch::new("changed-fields");
        pace.hold_back();
        let running = old.start_with(&slow(scratch.path(), before)).unwrap();
        while rows.take().len() < 1_000 {}
        running.stop(Stop::Suspend);
        running.wait().unwrap();
        rows.take();
        let refused = refusal(&narrow, &slow(scratch.path(), after));
        assert!(refused.contains("field `count` was `u32` and is `u8` now"), "{refused}");
        let refused = refusal(&new, &slow(scratch.path(), after));
        assert!(
            refused.contains("field `gone` is gone") && refused.contains("drop_state = \"seen\""),
            "{refused}"
        );
        let permitted = Config { drop_state: vec!["seen".to_owned()], ..slow(scratch.path(), after) };
        let running = new.start_with(&permitted).unwrap();
        let notes = running.notes().join("\n");
        assert!(
            notes.contains("`seen` has kept") && notes.contains("`gone`") && notes.contains("`more`"),
            "{notes}"
        );
        pace.let_go();
        running.wait().unwrap();
        let mut last = BTreeMap::new();
        for (key, count, _) in rows.take() {
            let highest: &mut u64 = last.entry(key).or_default();
            *highest = count.max(*highest);
        }
        assert_eq!(last.values().sum::<u64>(), numbers);
    }
}

/// A data directory that an earlier build has written: the [`first`] job on one shard, suspended after the numbers up to 100.
/// From the package's directory, where tests run: the path stands in the manifest.
const KEPT: &str = "tests/durability/kept/format-3";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn small(data: &Path) -> Config {
    let mut config = config(data, Durability::Disk, 1);
    config.log.segment_bytes = pelton_storage::LogOptions::SEGMENT_BYTES_MIN;
    config
}

/// How the kept directory was made: run it by name where the format has changed on purpose, and keep the one of before beside it if it can
/// still be read.
#[test]
#[ignore = "writes into the tree"]
fn write_the_kept_directory() {
    let _ = std::fs::remove_dir_all(KEPT);
    let ((numbers, source), rows) = (inlet(64), collect());
    let running = first(&Pace::default(), source, &rows).start_with(&small(Path::new(KEPT))).unwrap();
    let mut producer = numbers.producer("a").unwrap();
    for n in 1..=100 {
        producer.send(n).unwrap();
    }
    producer.wait_acknowledged(100, secs(60)).unwrap();
    running.stop(Stop::Suspend);
    running.wait().unwrap();
}

#[test]
fn a_directory_of_an_earlier_build_is_gone_on_with() {
    for shards in [1, 2] {
        let scratch = Scratch::new("changed-kept");
        copy(Path::new(KEPT), scratch.path());
        let ((numbers, source), rows) = (inlet(64), collect());
        let config = Config { shards, drop_state: vec!["seen".to_owned()], ..small(scratch.path()) };
        let running = second(&Pace::default(), source, &rows).start_with(&config).unwrap();
        let mut producer = numbers.producer("a").unwrap();
        assert_eq!(producer.next_sequence(), Ok(101));
        for n in 101..=107 {
            producer.send(n).unwrap();
        }
        producer.wait_acknowledged(107, secs(60)).unwrap();
        running.stop(Stop::Suspend);
        running.wait().unwrap();
        let mut found = rows.take();
        found.sort();
        // Of the numbers up to 100 there are 14 of each remainder, and one more of 1 and of 2.
        let last = |key: u64| (1..=100).rev().find(|n| n % 7 == key).unwrap();
        let expected = (0..7).map(|key| {
            (key, if matches!(key, 1 | 2) { 16 } else { 15 }, format!("the number {}", last(key)))
        });
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

/// Records that wait to be sorted, and those that windows keep whole, before and after a field came.
mod narrower {
    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Reading {
        pub n: u32,
        pub name: String,
    }
}

mod wider {
    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Reading {
        pub name: String,
        pub more: Option<String>,
        pub n: u64,
    }
}

impl From<u64> for narrower::Reading {
    fn from(n: u64) -> Self {
        narrower::Reading { n: n as u32, name: format!("the number {n}") }
    }
}

impl From<u64> for wider::Reading {
    fn from(n: u64) -> Self {
        wider::Reading { name: format!("the number {n}"), more: Some("more".to_owned()), n }
    }
}

/// Numbers sorted, and the greatest of each window, both with 7 keys and half a minute of disorder.
fn readings<R: Record + Clone + Ord + From<u64> + Send>(
    pace: &Pace,
    sorted: &Collect<u64>,
    greatest: &Collect<(i64, u64, u64)>,
    n: impl Fn(&R) -> u64 + Clone + Send + Sync + 'static,
) -> Job {
    let (job, pace) = (Job::new("readings"), pace.clone());
    let source = generate(move |w, of| (w as u64..NUMBERS).step_by(of)).partitions(3);
    let timed = job
        .source(source)
        .uid("numbers")
        .inspect(move |_, n| pace.keep(*n))
        .event_time(|n| EventTime::from_millis(*n as i64), out_of_order(secs(30)))
        .map(R::from);
    let (left, right) = timed.fork();
    let (key, rank, shown) = (n.clone(), n.clone(), n.clone());
    let _ = left
        .key_by(move |row| key(row) % 7)
        .sort()
        .uid("sorted")
        .map(move |row| shown(&row))
        .sink_with_uid("sorted-rows", sorted.clone());
    let (key, shown) = (n.clone(), n);
    let windows = right.key_by(move |row| key(row) % 7).window(tumbling(secs(1)));
    let _ = windows
        .max_by(move |row| rank(row))
        .uid("greatest")
        .map(move |row| (row.window.start.as_secs(), row.key, shown(&row.value)))
        .sink_with_uid("greatest-rows", greatest.clone());
    job
}

#[test]
fn records_that_wait_are_converted_too() {
    for (before, after) in [(2, 2), (1, 3)] {
        let (scratch, pace) = (Scratch::new("changed-waiting"), Pace::default());
        let (sorted, greatest) = (collect(), collect());
        let old = readings(&pace, &sorted, &greatest, |row: &narrower::Reading| row.n.into());
        let new = readings(&pace, &sorted, &greatest, |row: &wider::Reading| row.n);
        let running = old.start_with(&slow(scratch.path(), before)).unwrap();
        let mut all = sorted.take();
        while all.len() < 1_000 {
            std::thread::sleep(Duration::from_millis(1));
            all.extend(sorted.take());
        }
        running.stop(Stop::Suspend);
        running.wait().unwrap();
        let running = new.start_with(&slow(scratch.path(), after)).unwrap();
        let notes = running.notes().join("\n");
        assert!(notes.contains("`sorted` has kept") && notes.contains("`greatest` has kept"), "{notes}");
        pace.let_go();
        running.wait().unwrap();
        all.extend(sorted.take());
        all.sort_unstable();
        assert!(all == (0..NUMBERS).collect::<Vec<_>>(), "{} numbers", all.len());
        let mut rows = greatest.take();
        rows.sort_unstable();
        let greatest = |(second, key): (u64, u64)| {
            let last = second * 1_000 + 999;
            (second as i64, key, (last - 6..=last).find(|n| n % 7 == key).unwrap())
        };
        let pairs = (0..NUMBERS / 1_000).flat_map(|second| (0..7).map(move |key| (second, key)));
        assert!(rows == pairs.map(greatest).collect::<Vec<_>>(), "{} rows", rows.len());
    }
}
