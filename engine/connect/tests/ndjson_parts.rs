//! A file that several partitions read: the same lines whatever their number, the same places, the same restarts; and a file that is cut.

use pelton::connect::ndjson::{self, LineCounts, Malformed, Ndjson, NdjsonPartition};
use pelton::prelude::*;
use pelton::sources::{Partition, Poll, Polled, Source};
use pelton::{Nanos, Tick};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Row {
    id: u64,
}

/// A file that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("pelton-{}-parts-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const MIB: usize = 1 << 20;
/// Of the longest line that is read.
const LINE: usize = 1_200_000;

/// Some MiB of lines of all lengths: many short ones, some of whole chunks, some too long, with borders of chunks right before, in and behind line
/// ends; the last one with and without an end.
fn text(seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut text = Vec::new();
    let mut id = 0;
    while text.len() < 6 * MIB {
        id += 1;
        let left = MIB - text.len() % MIB;
        match dice.roll(400_000) {
            0..3 => text.extend_from_slice(
                format!("{{\"id\":{id},\"x\":\"{}\"}}\n", "y".repeat(MIB + MIB / 10)).as_bytes(),
            ),
            3..6 => text.extend_from_slice(format!("\"{}\"\n", "z".repeat(2 * MIB)).as_bytes()),
            6..5_000 => text.extend_from_slice(b"no record\r\n"),
            5_000..6_000 => text.extend_from_slice(b"\n"),
            6_000..7_000 => text.extend_from_slice(format!("\u{feff}{{\"id\":{id}}}\n").as_bytes()),
            // A line that ends just before the border, on it, or just behind.
            _ if left > 60 && left < 200 => {
                let line = format!("{{\"id\":{id}}}");
                let bytes = left + dice.roll(4) as usize - 2;
                text.extend_from_slice(format!("{line}{}\n", " ".repeat(bytes - line.len() - 1)).as_bytes());
            }
            _ => text.extend_from_slice(format!("{{\"id\":{id}}}\n").as_bytes()),
        }
    }
    if seed.is_multiple_of(2) {
        text.extend_from_slice(format!("{{\"id\":{}}}", id + 1).as_bytes());
    }
    text
}

fn poll(records_max: usize) -> Poll {
    Poll { now: Nanos(0), tick: Tick(1), records_max, logged_max: 1_000 }
}

type Report = (u64, u64, String, usize);

fn source(path: &Path, partitions: usize) -> (Ndjson<Row>, Arc<Mutex<BTreeSet<Report>>>) {
    let reports: Arc<Mutex<BTreeSet<Report>>> = Arc::default();
    let kept = reports.clone();
    let source = ndjson::file::<Row>(path).unwrap().partitions(partitions).line_bytes_max(LINE);
    let source = source.on_malformed(move |line: &Malformed<'_>| {
        let report = (line.line, line.offset, line.reason.to_string(), line.text.len());
        assert!(kept.lock().unwrap().insert(report), "a line is reported once");
    });
    (source, reports)
}

/// Reads all partitions in turns of chance.
fn read(source: &Ndjson<Row>, of: usize, seed: u64) -> Result<Vec<Row>, String> {
    let mut dice = Dice(seed);
    let mut partitions: Vec<_> = (0..of).map(|index| Some(source.open(index, of))).collect();
    let mut rows = Vec::new();
    while partitions.iter().any(Option::is_some) {
        let slot = &mut partitions[dice.roll(of as u64) as usize];
        let Some(partition) = slot else { continue };
        let mut before = None;
        let polled = partition.poll(poll(dice.roll(3_000) as usize + 1), &mut |row: Row| {
            assert!(before.is_none_or(|id| id < row.id), "a partition has its lines in their order");
            before = Some(row.id);
            rows.push(row);
        });
        if polled == Polled::Done {
            if let Some(failure) = partition.failure() {
                return Err(failure);
            }
            *slot = None;
        }
    }
    rows.sort();
    Ok(rows)
}

/// Every line by definition: what is read of it, and what is reported.
fn naive(text: &[u8]) -> (Vec<Row>, LineCounts, BTreeSet<(u64, u64)>) {
    let (mut rows, mut counts, mut malformed, mut offset) =
        (Vec::new(), LineCounts::default(), BTreeSet::new(), 0);
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    for line in body.split(|byte| *byte == b'\n') {
        counts.lines += 1;
        let whole = String::from_utf8_lossy(line);
        let json = whole.trim_start_matches('\u{feff}');
        match serde_json::from_str::<Row>(json) {
            _ if json.trim().is_empty() => counts.empty += 1,
            Ok(row) if line.len() <= LINE => {
                counts.records += 1;
                rows.push(row);
            }
            _ => {
                counts.malformed += 1;
                malformed.insert((counts.lines, offset));
            }
        }
        offset += line.len() as u64 + 1;
    }
    (rows, counts, malformed)
}

#[test]
fn the_lines_are_the_same_whatever_the_number_of_partitions() {
    for seed in 0..6 {
        let text = text(seed);
        let (rows, counts, malformed) = naive(&text);
        assert!(counts.malformed > 20 && counts.empty > 20);
        let file = Scratch::new(&format!("same-{seed}"), &text);
        for of in [1, 2, 3, 5, 8, 40] {
            let (source, reports) = source(&file.0, of);
            assert_eq!(Source::partitions(&source, 7), of);
            assert!(read(&source, of, seed).unwrap() == rows, "seed {seed}, {of} partitions");
            assert_eq!(source.counts(), counts, "seed {seed}, {of} partitions");
            let reports: BTreeSet<_> =
                reports.lock().unwrap().iter().map(|report| (report.0, report.1)).collect();
            assert_eq!(reports, malformed, "seed {seed}, {of} partitions");
        }
    }
}

/// A run of one partition: what each tick had, and the position noted before tick `noted`.
#[derive(Default)]
struct Life {
    ticks: Vec<(Vec<Row>, Vec<u8>)>,
    position: Vec<u8>,
    noted: usize,
}

fn live(partition: &mut NdjsonPartition<Row>, dice: &mut Dice, polls: u64, checkpoint: u64) -> Life {
    let mut life = Life::default();
    for number in 0..polls {
        if number == checkpoint {
            (life.position, life.noted) = (partition.position(), life.ticks.len());
        }
        let (mut rows, mut logged) = (Vec::new(), Vec::new());
        let polled = partition
            .poll_logged(poll(dice.roll(4_000) as usize + 1), &mut logged, &mut |row| rows.push(row));
        if !rows.is_empty() {
            life.ticks.push((rows, logged));
        }
        if polled == Polled::Done && number >= checkpoint {
            break;
        }
    }
    life
}

fn rows_of(ticks: &[(Vec<Row>, Vec<u8>)]) -> Vec<Row> {
    ticks.iter().flat_map(|(rows, _)| rows.clone()).collect()
}

#[test]
fn each_partition_goes_on_where_it_was_though_the_file_has_grown() {
    for seed in 0..8 {
        let text = text(seed);
        let file = Scratch::new(&format!("goes-on-{seed}"), &text);
        let (rows, counts, _) = naive(&text);
        let of = 2 + seed as usize % 3;
        let mut dice = Dice(seed);
        let first = source(&file.0, of).0;
        let mut lives = Vec::new();
        for index in 0..of {
            let (checkpoint, more) = (dice.roll(12), dice.roll(12));
            lives.push(live(&mut first.open(index, of), &mut dice, checkpoint + 1 + more, checkpoint));
        }
        // What is appended later is not read: not even where it goes on in a chunk that was read in part.
        let ends = text.ends_with(b"\n");
        let more = if ends { "{\"id\":1}\n" } else { "\n{\"id\":1}\n" }.repeat(200_000);
        std::io::Write::write_all(
            &mut OpenOptions::new().append(true).open(&file.0).unwrap(),
            more.as_bytes(),
        )
        .unwrap();
        // Another process: nothing is left of the first source.
        let (again, _) = source(&file.0, of);
        let mut partitions: Vec<_> = (0..of).map(|index| again.open(index, of)).collect();
        let mut all = Vec::new();
        for (partition, life) in partitions.iter_mut().zip(&lives) {
            let before = rows_of(&life.ticks[..life.noted]);
            partition.resume(before.len() as u64, &life.position).unwrap();
            all.extend(before);
            for (rows, logged) in &life.ticks[life.noted..] {
                let mut replayed = Vec::new();
                partition.replay(poll(rows.len()), logged, &mut |row| replayed.push(row)).unwrap();
                assert!(replayed == *rows, "seed {seed}");
                all.extend(replayed);
            }
        }
        for partition in &mut partitions {
            let rest = live(partition, &mut dice, u64::MAX, 0);
            assert_eq!(partition.failure(), None);
            all.extend(rows_of(&rest.ticks));
        }
        all.sort();
        assert!(all == rows, "seed {seed}, {of} partitions");
        assert_eq!(again.counts(), counts, "seed {seed}, {of} partitions");
    }
}

#[test]
fn a_partition_of_another_number_or_another_end_is_refused() {
    let file = Scratch::new("other", text(1));
    let first = source(&file.0, 3).0;
    let life = live(&mut first.open(1, 3), &mut Dice(1), 10, 5);
    let records = rows_of(&life.ticks[..life.noted]).len() as u64;
    let refused =
        |index, of| source(&file.0, of).0.open(index, of).resume(records, &life.position).unwrap_err();
    assert!(refused(0, 3).contains("partition 1 of 3 was noted, and this is partition 0 of 3"));
    assert!(refused(1, 2).contains("this is partition 1 of 2"));
    // One partition that knows nothing of the first run fixes the end anew, and the file has grown.
    let again = source(&file.0, 3).0;
    let mut bytes = std::fs::read(&file.0).unwrap();
    bytes.extend_from_slice(b"{\"id\":1}\n");
    std::fs::write(&file.0, bytes).unwrap();
    again.open(0, 3).poll(poll(1), &mut drop);
    let error = again.open(1, 3).resume(records, &life.position).unwrap_err();
    assert!(error.contains("it has grown meanwhile"), "{error}");
}

#[test]
fn damaged_notes_of_a_partition_never_panic() {
    let file = Scratch::new("notes", text(3));
    let source =
        ndjson::file::<Row>(&file.0).unwrap().partitions(2).line_bytes_max(LINE).on_malformed(|_| ());
    let life = live(&mut source.open(1, 2), &mut Dice(3), 12, 6);
    let records = rows_of(&life.ticks[..life.noted]).len() as u64;
    for bit in 0..life.position.len() * 8 {
        let mut position = life.position.clone();
        position[bit / 8] ^= 1 << (bit % 8);
        let mut partition = source.open(1, 2);
        if partition.resume(records, &position).is_ok() {
            partition.poll(poll(10), &mut drop);
        }
    }
    let (rows, logged) = &life.ticks[0];
    for bit in 0..logged.len() * 8 {
        let mut logged = logged.clone();
        logged[bit / 8] ^= 1 << (bit % 8);
        let mut partition = source.open(1, 2);
        assert!(partition.replay(poll(rows.len()), &logged, &mut drop).is_err(), "bit {bit}");
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_an_error_with_its_place() {
    let text: String = (0..200_000).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    for of in [1, 2, 3] {
        for cut in [0, 1, 70_000, MIB - 1, MIB, MIB + 1, text.len() - 1] {
            let file = Scratch::new(&format!("cut-{of}-{cut}"), &text);
            let (source, _) = source(&file.0, of);
            // Every partition has begun, so that it is known how long the file was.
            let mut partitions: Vec<_> = (0..of).map(|index| source.open(index, of)).collect();
            let mut records = 0;
            partitions.iter_mut().for_each(|partition| {
                partition.poll(poll(10), &mut |_| records += 1);
            });
            OpenOptions::new().write(true).open(&file.0).unwrap().set_len(cut as u64).unwrap();
            let mut failures = Vec::new();
            for partition in &mut partitions {
                while partition.poll(poll(1_000), &mut |_| records += 1) != Polled::Done {}
                failures.extend(partition.failure());
            }
            assert!(!failures.is_empty(), "{of} partitions, cut to {cut}: {records} records and no error");
            for failure in failures {
                let said = format!("it had {} bytes, and now it has", text.len());
                assert!(failure.contains(&said) && failure.contains("it was cut"), "{failure}");
                assert!(
                    failure.contains(&file.0.display().to_string()) && failure.contains("at byte"),
                    "{failure}"
                );
            }
        }
    }
}

#[test]
fn a_whole_job_reads_a_file_with_all_its_shards() {
    let text = text(4);
    let (rows, counts, malformed) = naive(&text);
    let file = Scratch::new("job", &text);
    for (partitions, shards) in [(1, "2"), (2, "2"), (3, "2"), (2, "3")] {
        let flags = [("driver", "threads"), ("pin", "false"), ("cores", "1"), ("shards", shards)];
        let config = Config::load_with(None, &flags).unwrap().config;
        let (source, reports) = source(&file.0, partitions);
        let found = collect();
        Job::new("parts").source(source.clone()).sink(found.clone()).run_with(&config).unwrap();
        let mut found = found.take();
        found.sort();
        assert!(found == rows, "{partitions} partitions on {shards} shards");
        assert_eq!(source.counts(), counts);
        assert_eq!(reports.lock().unwrap().len(), malformed.len());
    }
}

#[test]
fn only_a_large_file_is_read_by_several_unless_told_otherwise() {
    let file = Scratch::new("large", "{\"id\":1}\n");
    let source = ndjson::file::<Row>(&file.0).unwrap();
    let count = |source: &Ndjson<Row>, shards| Source::partitions(source, shards);
    assert_eq!(count(&source, 4), 1);
    assert_eq!(count(&source.clone().partitions(3), 4), 3);
    OpenOptions::new().write(true).open(&file.0).unwrap().set_len(ndjson::SPLIT_BYTES_MIN).unwrap();
    assert_eq!([4, 1, 1_000].map(|shards| count(&source, shards)), [4, 1, 16]);
    assert_eq!(count(&ndjson::reader("socket", std::io::empty()).partitions(3), 4), 1);
}
