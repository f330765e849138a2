//! A file that is read on after a restart, by hand: noted, logged, taken up, replayed; and files that have changed meanwhile.

use pelton::connect::ndjson::{self, Ndjson, NdjsonPartition};
use pelton::sources::{Partition, Poll, Polled, Source};
use pelton::{Nanos, Tick};
use serde::Deserialize;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Row {
    id: u64,
}

/// A file that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pelton-{}-resume-{name}", std::process::id()));
        std::fs::write(&path, text()).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn text() -> String {
    let line = |id: u64| match id % 7 {
        0 => "\n".repeat(3),
        1 => "no record\n".repeat(400),
        2 => format!("\"{}\"\n", "y".repeat(3_000)),
        _ => format!("{{\"id\":{id}}}\r\n"),
    };
    (0..600).map(line).collect::<String>() + "{\"id\":600}"
}

/// A source of numbers that need not be good ones.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn poll(records_max: usize) -> Poll {
    Poll { now: Nanos(0), tick: Tick(1), records_max, logged_max: 1_000 }
}

fn source(path: &Path) -> Ndjson<Row> {
    ndjson::file::<Row>(path).unwrap().line_bytes_max(1_000)
}

/// A run: what each tick had, and the position noted before tick `noted`.
#[derive(Default)]
struct Run {
    ticks: Vec<(Vec<Row>, Vec<u8>)>,
    position: Vec<u8>,
    noted: usize,
}

impl Run {
    fn records(&self, ticks: std::ops::Range<usize>) -> Vec<Row> {
        self.ticks[ticks].iter().flat_map(|(records, _)| records.clone()).collect()
    }
}

fn read(partition: &mut NdjsonPartition<Row>, dice: &mut Dice, polls: u64, checkpoint: u64) -> Run {
    let mut run = Run::default();
    for number in 0..polls {
        if number == checkpoint {
            (run.position, run.noted) = (partition.position(), run.ticks.len());
        }
        let (mut records, mut logged) = (Vec::new(), Vec::new());
        let records_max = dice.roll(40) as usize + 1;
        let polled = partition.poll_logged(poll(records_max), &mut logged, &mut |row| records.push(row));
        assert_eq!(records.is_empty(), logged.is_empty(), "a tick without records logs nothing");
        if !records.is_empty() {
            run.ticks.push((records, logged));
        }
        if polled == Polled::Done && number >= checkpoint {
            break;
        }
    }
    run
}

fn resume(source: &Ndjson<Row>, run: &Run) -> Result<(NdjsonPartition<Row>, Vec<Row>), String> {
    let mut partition = source.open(0, 1);
    partition.resume(run.records(0..run.noted).len() as u64, &run.position)?;
    let mut again = Vec::new();
    for (records, logged) in &run.ticks[run.noted..] {
        partition.replay(poll(records.len()), logged, &mut |row| again.push(row))?;
    }
    Ok((partition, again))
}

#[test]
fn reading_goes_on_where_it_was() {
    let file = Scratch::new("goes-on");
    let source = source(&file.0);
    assert!(source.is_replayable());
    let all = read(&mut source.open(0, 1), &mut Dice(0), u64::MAX, 0);
    let (all, counts) = (all.records(0..all.ticks.len()), source.counts());
    assert_eq!(all.len(), 600 / 7 * 4 + 3);
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let (polls, checkpoint) = (dice.roll(60) + 1, dice.roll(40));
        let run = read(&mut source.open(0, 1), &mut dice, polls.max(checkpoint + 1), checkpoint);
        let (mut partition, again) = resume(&source, &run).unwrap();
        assert_eq!(again, run.records(run.noted..run.ticks.len()), "seed {seed}");
        let rest = read(&mut partition, &mut dice, u64::MAX, 0);
        let whole = [run.records(0..run.ticks.len()), rest.records(0..rest.ticks.len())].concat();
        assert_eq!(whole, all, "seed {seed}");
        assert_eq!(source.counts(), counts, "seed {seed}");
    }
}

/// A run of some ticks before and after a checkpoint.
fn half(source: &Ndjson<Row>) -> Run {
    let run = read(&mut source.open(0, 1), &mut Dice(3), 30, 15);
    assert!(run.noted > 3 && run.ticks.len() > run.noted + 3);
    run
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_file_may_grow() {
    let file = Scratch::new("grows");
    let source = source(&file.0);
    let run = half(&source);
    std::fs::OpenOptions::new().append(true).open(&file.0).unwrap().write_all(b"\n{\"id\":7}\n").unwrap();
    assert!(resume(&source, &run).is_ok());
}

#[test]
fn a_file_that_is_another_is_refused() {
    let refused = |name: &str, said: &str, how: &dyn Fn(&mut Vec<u8>, usize)| {
        let file = Scratch::new(name);
        let source = source(&file.0);
        let run = half(&source);
        let offset = u64::from_le_bytes(run.position[..8].try_into().unwrap()) as usize;
        change(&file.0, |bytes| how(bytes, offset));
        let error = resume(&source, &run).err().unwrap_or_else(|| panic!("{name} is not noticed"));
        assert!(error.contains(said) && error.contains(name), "{name}: {error}");
    };
    refused("cut-before", "it was cut", &|bytes, offset| bytes.truncate(offset - 1));
    refused("cut-behind", "it was cut", &|bytes, offset| bytes.truncate(offset + 30));
    refused("emptied", "now it has 0", &|bytes, _| bytes.clear());
    refused("other-before", "are others", &|bytes, offset| bytes[offset - 2] ^= 1);
    refused("shifted", "not the file that was read before", &|bytes, _| bytes.insert(0, b'\n'));
    let digit = |bytes: &[u8], from: usize| {
        from + bytes[from..].windows(5).position(|w| w == b"\"id\":").unwrap() + 5
    };
    refused("other-behind", "not the file that was read before", &|bytes, offset| {
        let at = digit(bytes, offset);
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
    });
    refused("longer-behind", "not the file that was read before", &|bytes, offset| {
        let at = digit(bytes, offset);
        bytes.insert(at - 5, b' ');
    });
}

#[test]
fn damaged_notes_never_panic() {
    let file = Scratch::new("notes");
    let source = source(&file.0);
    let run = half(&source);
    let records = run.records(0..run.noted).len() as u64;
    for bit in 0..run.position.len() * 8 {
        let mut position = run.position.clone();
        position[bit / 8] ^= 1 << (bit % 8);
        let _ = source.open(0, 1).resume(records, &position);
    }
    for len in 0..run.position.len() {
        assert!(source.open(0, 1).resume(records, &run.position[..len]).is_err(), "cut to {len}");
    }
    let (records, logged) = &run.ticks[0];
    for bit in 0..logged.len() * 8 {
        let mut logged = logged.clone();
        logged[bit / 8] ^= 1 << (bit % 8);
        assert!(source.open(0, 1).replay(poll(records.len()), &logged, &mut drop).is_err(), "bit {bit}");
    }
}

#[test]
fn a_stream_is_not_replayable() {
    let stream = ndjson::reader::<Row>("socket", std::io::empty());
    assert!(!stream.is_replayable());
    let error = stream.open(0, 1).resume(3, &[]).unwrap_err();
    assert!(error.contains("socket: it can be read only once"), "{error}");
}
