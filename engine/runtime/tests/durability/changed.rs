//! Jobs that are changed: what their operators kept is found by uid, whatever came, went or changed places around them.

use crate::support::{Scratch, config, twin};
use pelton::config::Durability;
use pelton::flow::Flow;
use pelton::prelude::*;
use pelton::sinks::Collect;
use pelton::{JobError, Stream, Timed};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

type Counted = Windowed<u64, u64>;

pub const NUMBERS: u64 = 300_000;

/// Windows of the numbers, each with a name, a divisor for their keys, and where their rows go.
struct Counts {
    name: &'static str,
    keys: u64,
    seconds: u64,
    rows: Collect<Counted>,
}

/// How fast a job is: while it is held back there is something left of its input whenever it is stopped, however slow the machine is.
#[derive(Clone, Default)]
pub struct Pace(Arc<AtomicBool>);

impl Pace {
    /// Called for each number.
    pub fn keep(&self, n: u64) {
        if n.is_multiple_of(64) && !self.0.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// As fast as it goes from now on.
    pub fn let_go(&self) {
        self.0.store(true, Relaxed);
    }

    /// Held back again.
    pub fn hold_back(&self) {
        self.0.store(false, Relaxed);
    }
}

fn counts(name: &'static str, keys: u64) -> Counts {
    Counts { name, keys, seconds: 1, rows: collect() }
}

/// The job with these windows, in this order; `spread` has the numbers go in turn to all shards before they are grouped.
fn job(pace: &Pace, windows: &[&Counts], spread: bool) -> Job {
    let job = Job::new("changed");
    into(&job, pace, windows, spread);
    job
}

fn into(job: &Job, pace: &Pace, windows: &[&Counts], spread: bool) {
    let pace = pace.clone();
    let source = generate(move |w, of| (w as u64..NUMBERS).step_by(of)).partitions(3);
    let numbers = job.source(source).uid("numbers").inspect(move |_, n| pace.keep(*n));
    let timed = numbers.event_time(|n| EventTime::from_millis(*n as i64), in_order());
    if spread {
        all(timed.rebalance().uid("spread"), windows);
    } else {
        all(timed, windows);
    }
}

fn all<F: Timed + Flow<Item = u64>>(timed: Stream<F>, windows: &[&Counts]) {
    match windows {
        [one] => counted(timed, one),
        [one, two] => {
            let (left, right) = timed.fork();
            counted(left, one);
            counted(right, two);
        }
        [one, two, three] => {
            let (left, right) = timed.fork();
            counted(left, one);
            let (left, right) = right.fork();
            counted(left, two);
            counted(right, three);
        }
        _ => panic!("{} windows", windows.len()),
    }
}

fn counted<F: Timed + Flow<Item = u64>>(numbers: Stream<F>, window: &Counts) {
    let keys = window.keys;
    let _ = numbers
        .key_by(move |n| n % keys)
        .window(tumbling(secs(window.seconds)))
        .count()
        .uid(window.name)
        .sink_with_uid(&format!("{}-rows", window.name), window.rows.clone());
}

/// Adds rows. After a kill some come again, and are the same.
fn add(found: &mut BTreeMap<(i64, u64), u64>, rows: &Collect<Counted>) {
    for row in rows.take() {
        let before = found.insert((row.window.start.as_secs(), row.key), row.value);
        assert!(before.is_none_or(|before| before == row.value), "{before:?} came again as {row:?}");
    }
}

/// Runs the job for some rows, and suspends it. Whether its input has ended meanwhile.
fn begin(job: &Job, config: &Config, rows: &Collect<Counted>) -> BTreeMap<(i64, u64), u64> {
    let running = job.start_with(config).unwrap();
    let mut found = BTreeMap::new();
    while found.len() < 2_000 {
        add(&mut found, rows);
        std::thread::sleep(Duration::from_millis(1));
    }
    running.stop(Stop::Suspend);
    running.wait().unwrap();
    add(&mut found, rows);
    found
}

pub fn refusal(job: &Job, config: &Config) -> String {
    match job.start_with(config) {
        Err(error @ JobError::Open(_)) => error.to_string(),
        other => panic!("{:?}", other.map(|running| running.stop(Stop::Now))),
    }
}

pub fn slow(data: &Path, shards: usize) -> Config {
    let mut config = config(data, Durability::Disk, shards);
    // So that there is something left when the job is suspended.
    config.tick.records_max = 16;
    config
}

#[test]
fn operators_are_found_wherever_they_stand() {
    for (before, after) in [(2, 2), (1, 3), (3, 2)] {
        let (scratch, pace) = (Scratch::new("changed-places"), Pace::default());
        let (digits, thirds, new) = (counts("digits", 97), counts("thirds", 3), counts("new", 5));
        let mut found =
            begin(&job(&pace, &[&digits, &thirds], false), &slow(scratch.path(), before), &digits.rows);
        assert!(found.len() < twin(NUMBERS).len(), "something is left");
        let mut of_thirds = BTreeMap::new();
        add(&mut of_thirds, &thirds.rows);
        // Another operator in front, the two others the other way round, and an exchange before them all.
        let now = job(&pace, &[&new, &thirds, &digits], true);
        let running = now.start_with(&slow(scratch.path(), after)).unwrap();
        let notes = running.notes().join("\n");
        assert!(notes.contains("`new` (window) is new"), "{notes}");
        pace.let_go();
        running.wait().unwrap();
        add(&mut found, &digits.rows);
        add(&mut of_thirds, &thirds.rows);
        assert!(found == twin(NUMBERS), "{} of {} rows", found.len(), twin(NUMBERS).len());
        assert_eq!(of_thirds.values().sum::<u64>(), NUMBERS);
        assert!(of_thirds.keys().all(|(second, _)| (0..300).contains(second)) && of_thirds.len() == 900);
        // What is new has what came since.
        let mut of_new = BTreeMap::new();
        add(&mut of_new, &new.rows);
        let counted = of_new.values().sum::<u64>();
        assert!(0 < counted && counted < NUMBERS, "{counted}");
    }
}

#[test]
fn a_job_may_be_changed_back_and_forth() {
    let (scratch, pace) = (Scratch::new("changed-back"), Pace::default());
    let (digits, other) = (counts("digits", 97), counts("other", 11));
    let programs = [job(&pace, &[&digits], false), job(&pace, &[&other, &digits], false)];
    let config = slow(scratch.path(), 2);
    let mut config = Config { drop_state: vec!["other".to_owned(), "other-rows".to_owned()], ..config };
    let mut found = BTreeMap::new();
    for round in 0..12 {
        let program = &programs[round % 2];
        let mut running = program.start_with(&config).unwrap();
        running.wait_for(Duration::from_millis(20));
        // Killed in one round of three: the same program goes on then, from wherever it had begun, and with other shards.
        if round % 3 == 1 {
            running.stop(Stop::Now);
            running.wait().unwrap();
            add(&mut found, &digits.rows);
            config.shards = 1 + config.shards % 3;
            running = program.start_with(&config).unwrap();
            running.wait_for(Duration::from_millis(1));
        }
        running.stop(Stop::Suspend);
        running.wait().unwrap();
        add(&mut found, &digits.rows);
        other.rows.take();
    }
    assert!(found.len() < twin(NUMBERS).len(), "something is left");
    pace.let_go();
    programs[0].start_with(&config).unwrap().wait().unwrap();
    add(&mut found, &digits.rows);
    assert!(found == twin(NUMBERS), "{} of {} rows", found.len(), twin(NUMBERS).len());
}

#[test]
fn a_changed_job_begins_where_it_was_suspended_or_from_a_savepoint() {
    let (scratch, pace) = (Scratch::new("changed-savepoint"), Pace::default());
    let (digits, new) = (counts("digits", 97), counts("new", 5));
    let (before, now) = (job(&pace, &[&digits], false), job(&pace, &[&new, &digits], false));
    let config = slow(scratch.path(), 2);
    let running = before.start_with(&config).unwrap();
    let mut found = BTreeMap::new();
    while found.len() < 500 {
        add(&mut found, &digits.rows);
    }
    running.checkpoint(Some("monday")).unwrap();
    // What was shown up to here is what the savepoint holds, or more.
    running.stop(Stop::Now);
    running.wait().unwrap();
    let refused = refusal(&now, &config);
    assert!(refused.contains("begins from where it was suspended"), "{refused}");
    // Nothing has changed: the job as it was goes on.
    let running = before.start_with(&config).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    digits.rows.take();
    let back = Config { restore: Some("monday".to_owned()), shards: 3, ..config.clone() };
    let running = now.start_with(&back).unwrap();
    // Cut short before it made a checkpoint: it is the changed job that goes on from the savepoint.
    running.stop(Stop::Now);
    running.wait().unwrap();
    let mut since = BTreeMap::new();
    add(&mut since, &digits.rows);
    pace.let_go();
    now.start_with(&Config { restore: None, ..back.clone() }).unwrap().wait().unwrap();
    add(&mut since, &digits.rows);
    let first = since.keys().next().unwrap().0;
    assert!((1..300).contains(&first), "{first}");
    let whole: BTreeMap<_, _> =
        twin(NUMBERS).into_iter().filter(|((second, _), _)| *second >= first).collect();
    assert!(since == whole, "{} of {} rows", since.len(), whole.len());
    // And the first program from its savepoint, though the directory is the other's by now.
    let drop_state = vec!["new".to_owned(), "new-rows".to_owned()];
    let back = Config { restore: Some("monday@2".to_owned()), drop_state, ..back };
    before.start_with(&back).unwrap().wait().unwrap();
    let mut again = BTreeMap::new();
    add(&mut again, &digits.rows);
    assert!(again == whole, "{} of {} rows", again.len(), whole.len());
}

#[test]
fn state_that_does_not_fit_is_given_up_only_if_that_is_said() {
    let (scratch, pace) = (Scratch::new("changed-dropped"), Pace::default());
    let (digits, thirds) = (counts("digits", 97), counts("thirds", 3));
    let config = slow(scratch.path(), 2);
    let mut found = begin(&job(&pace, &[&digits, &thirds], false), &config, &digits.rows);
    thirds.rows.take();
    let without = job(&pace, &[&digits], false);
    let refused = refusal(&without, &config);
    assert!(refused.contains("`thirds` (window), which it has no more"), "{refused}");
    let wider = Counts { seconds: 10, ..counts("thirds", 3) };
    let wider_job = job(&pace, &[&digits, &wider], false);
    let refused = refusal(&wider_job, &config);
    assert!(refused.contains("`thirds` (window) had size 1s where it now has size 10s"), "{refused}");
    assert!(refused.contains("drop_state = \"thirds\""), "{refused}");
    let permitted = Config { drop_state: vec!["thirds".to_owned()], ..config.clone() };
    let running = wider_job.start_with(&permitted).unwrap();
    assert!(running.notes().join("").contains("what `thirds` had kept is given up"), "{:?}", running.notes());
    running.stop(Stop::Suspend);
    running.wait().unwrap();
    add(&mut found, &digits.rows);
    // The permission may stay: what is kept now is not given up again.
    pace.let_go();
    wider_job.start_with(&permitted).unwrap().wait().unwrap();
    add(&mut found, &digits.rows);
    assert!(found == twin(NUMBERS), "{} of {} rows", found.len(), twin(NUMBERS).len());
    let mut of_wider = BTreeMap::new();
    add(&mut of_wider, &wider.rows);
    assert_eq!(
        of_wider.get(&(290, 0)),
        Some(&3_333),
        "10,000 numbers from 290,000 on, of which every third is 0 modulo 3"
    );
}

/// The lines of all parts of a file sink.
fn lines(directory: &Path) -> Vec<String> {
    let parts = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let parts = parts.filter(|path| path.extension().is_some_and(|kind| kind == "txt"));
    parts
        .flat_map(|path| {
            std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// Exactly once, in files: over changes with the same and with other shards, kills before and after the first checkpoint, and a sink that is new.
#[test]
fn rows_in_files_come_once_whatever_is_changed() {
    let (scratch, pace) = (Scratch::new("changed-files"), Pace::default());
    let (data, files, more) =
        (scratch.path().join("data"), scratch.path().join("rows"), scratch.path().join("more"));
    let program = |with_more: bool| {
        let job = Job::new("files");
        let source = generate(move |w, of| (w as u64..NUMBERS).step_by(of)).partitions(3);
        let timed =
            job.source(source).uid("numbers").event_time(|n| EventTime::from_millis(*n as i64), in_order());
        let line = |row: &Counted, into: &mut Vec<u8>| {
            into.extend_from_slice(
                format!("{} {} {}\n", row.window.start.as_secs(), row.key, row.value).as_bytes(),
            );
        };
        let sink = |directory: &Path| file_with(directory.to_owned(), "txt", line);
        if with_more {
            let (of_more, of_digits) = timed.fork();
            let of_more = of_more.key_by(|n| n % 7).window(tumbling(secs(10))).count().uid("more");
            let _ = of_more.sink_with_uid("more-rows", sink(&more));
            let of_digits = of_digits.key_by(|n| n % 97).window(tumbling(secs(1))).count().uid("digits");
            let _ = of_digits.sink_with_uid("digits-rows", sink(&files));
        } else {
            let of_digits = timed.key_by(|n| n % 97).window(tumbling(secs(1))).count().uid("digits");
            let _ = of_digits.sink_with_uid("digits-rows", sink(&files));
        }
        job
    };
    let programs = [program(false), program(true)];
    let mut config = slow(&data, 2);
    for (round, with_more) in [(0, false), (1, true), (2, true), (3, true)] {
        // Another program with the same number of shards, and then others.
        config.shards = [2, 2, 3, 1][round];
        for ending in [Stop::Now, Stop::Now, Stop::Suspend] {
            let running = programs[usize::from(with_more)].start_with(&config).unwrap();
            running.wait_for(Duration::from_millis(20));
            running.stop(ending);
            running.wait().unwrap();
        }
    }
    pace.let_go();
    programs[1].start_with(&config).unwrap().wait().unwrap();
    let expected = twin(NUMBERS).into_iter().map(|((second, key), count)| format!("{second} {key} {count}"));
    let (mut found, mut expected) = (lines(&files), expected.collect::<Vec<_>>());
    found.sort();
    expected.sort();
    assert!(found == expected, "{} of {} lines", found.len(), expected.len());
    let counted =
        lines(&more).iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>();
    assert!(0 < counted && counted < NUMBERS, "{counted}");
}

/// A second source with times of its own: until all of its partitions have spoken nothing of it is late, whoever is first.
#[test]
fn a_new_source_begins_at_its_beginning_and_loses_nothing() {
    const MORE: u64 = 60_000;
    for (before, after) in [(2, 3), (2, 2), (1, 3), (3, 3)] {
        let (scratch, pace) = (Scratch::new("changed-source"), Pace::default());
        let (digits, more) = (counts("digits", 97), counts("more", 7));
        let mut found = begin(&job(&pace, &[&digits], false), &slow(scratch.path(), before), &digits.rows);
        let now = Job::new("changed");
        let source = generate(|w, of| (w as u64..MORE).step_by(of)).partitions(5);
        let timed = now.source(source).uid("more-numbers");
        counted(timed.event_time(|n| EventTime::from_millis(*n as i64), in_order()), &more);
        into(&now, &pace, &[&digits], false);
        pace.let_go();
        let progress = now.start_with(&slow(scratch.path(), after)).unwrap().wait().unwrap();
        assert_eq!(progress.total.late, 0);
        add(&mut found, &digits.rows);
        assert!(found == twin(NUMBERS), "{} of {} rows", found.len(), twin(NUMBERS).len());
        let mut of_more = BTreeMap::new();
        add(&mut of_more, &more.rows);
        assert_eq!(of_more.values().sum::<u64>(), MORE);
        assert_eq!(of_more.len(), 60 * 7, "a window of a key comes once");
    }
}
