//! Newline-delimited JSON through whole jobs: what is read, what is reported, and what stops a job.

use pelton::connect::ndjson::{self, LineCounts, Malformed, Ndjson};
use pelton::prelude::*;
use pelton::sim::{Simulation, replay, simulate};
use serde::Deserialize;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Row {
    id: u64,
    text: String,
}

fn row(id: u64, text: &str) -> Row {
    Row { id, text: text.to_owned() }
}

/// A file that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("pelton-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Plain threads, wherever they may run: what is tested here is not the driver.
fn config() -> Config {
    let flags =
        [("driver", "threads"), ("pin", "false"), ("cores", "1"), ("shards", "2"), ("buffer", "64 KB")];
    Config::load_with(None, &flags).unwrap().config
}

type Reports = Arc<Mutex<Vec<String>>>;

/// The source with a handler that keeps each report, and the beginning of the line.
fn reported(source: Ndjson<Row>) -> (Ndjson<Row>, Reports) {
    let reports = Reports::default();
    let kept = reports.clone();
    let source = source.on_malformed(move |line: &Malformed<'_>| {
        let text = String::from_utf8_lossy(&line.text[..line.text.len().min(12)]).into_owned();
        kept.lock().unwrap().push(format!("{}: {} [{text}]", line.line, line.reason));
        assert_eq!(line.to_string(), format!("{}:{}: {}", line.source, line.line, line.reason));
    });
    (source, reports)
}

fn run(source: Ndjson<Row>) -> (Vec<Row>, LineCounts, Vec<String>) {
    let (source, reports) = reported(source);
    let rows = collect();
    Job::new("read").source(source.clone()).sink(rows.clone()).run_with(&config()).unwrap();
    let reports = std::mem::take(&mut *reports.lock().unwrap());
    (rows.take(), source.counts(), reports)
}

const MIXED: &[u8] = b"\xef\xbb\xbf{\"id\":1,\"text\":\"a\"}\r\n\
    \n\
    {\"id\":2,\"text\":\"b\"\n\
    {\"id\":3}\n   \t\r\n\
    {\"id\":-4,\"text\":\"d\"}\n\
    [] trailing\n\
    {\"id\":5,\"text\":\"\xff\"}\n\
    {\"id\":6,\"text\":\"this one is longer than the others are\"}\n\
    {\"id\":7,\"text\":\"g\",\"more\":null}\n\
    {\"id\":8,\"text\":\"h\"}";

fn check_mixed((rows, counts, reports): (Vec<Row>, LineCounts, Vec<String>)) {
    assert_eq!(rows, [row(1, "a"), row(7, "g"), row(8, "h")]);
    assert_eq!(counts, LineCounts { lines: 11, records: 3, empty: 2, malformed: 6 });
    assert_eq!(
        reports,
        [
            r#"3: EOF while parsing an object at column 18 [{"id":2,"tex]"#,
            r#"4: missing field `text` at column 8 [{"id":3}]"#,
            r#"6: invalid value: integer `-4`, expected u64 at column 8 [{"id":-4,"te]"#,
            r#"7: invalid length 0, expected struct Row with 2 elements at column 2 [[] trailing]"#,
            r#"8: not UTF-8 at column 17 [{"id":5,"tex]"#,
            r#"9: longer than 40 bytes [{"id":6,"tex]"#,
        ]
    );
}

#[test]
fn malformed_lines_are_reported_and_stop_nothing() {
    let file = Scratch::new("mixed", MIXED);
    check_mixed(run(ndjson::file(&file.0).unwrap().line_bytes_max(40)));
    check_mixed(run(ndjson::reader("mixed", MIXED).line_bytes_max(40)));
}

/// Gives a few bytes at a time, and is interrupted now and then.
struct Halting {
    bytes: &'static [u8],
    calls: usize,
    at_the_end: AtTheEnd,
}

#[derive(Clone, Copy)]
enum AtTheEnd {
    Ends,
    Fails,
    Panics,
}

impl Read for Halting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = (self.calls % 7 + 1).min(buffer.len()).min(self.bytes.len());
        match self.at_the_end {
            AtTheEnd::Fails if len == 0 => return Err(io::Error::other("the line is down")),
            AtTheEnd::Panics if len == 0 => panic!("on purpose"),
            _ => {}
        }
        let (now, rest) = self.bytes.split_at(len);
        buffer[..len].copy_from_slice(now);
        self.bytes = rest;
        Ok(len)
    }
}

#[test]
fn a_reader_may_be_slow_and_interrupted() {
    let halting = Halting { bytes: MIXED, calls: 0, at_the_end: AtTheEnd::Ends };
    check_mixed(run(ndjson::reader("mixed", halting).line_bytes_max(40)));
}

#[test]
fn a_failing_reader_stops_the_job_with_its_place() {
    for (at_the_end, said) in
        [(AtTheEnd::Fails, "the line is down"), (AtTheEnd::Panics, "the reader panicked")]
    {
        let halting = Halting { bytes: b"{\"id\":1,\"text\":\"a\"}\n{\"id\":2", calls: 0, at_the_end };
        let job = Job::new("broken").source(ndjson::reader("socket", halting)).sink(collect::<Row>());
        let error = job.run_with(&config()).unwrap_err().to_string();
        assert!(error.contains(&format!("socket: {said}, after line 1")), "{error}");
    }
}

#[test]
fn a_stream_can_be_read_once_and_a_file_again() {
    let twice = |source: Ndjson<Row>| {
        let rows = collect();
        let job = Job::new("twice").source(source.clone()).sink(rows.clone());
        job.run_with(&config()).unwrap();
        assert_eq!(rows.take().len(), 4);
        job.run_with(&config()).map(|_| (rows.take().len(), source.counts().lines))
    };
    let file = Scratch::new("twice", MIXED);
    assert_eq!(
        twice(ndjson::file(&file.0).unwrap()).unwrap(),
        (4, 11),
        "the long line is within the default limit"
    );
    let error = twice(ndjson::reader("once", MIXED)).unwrap_err().to_string();
    assert!(error.contains("once: a stream can be read once"), "{error}");
}

#[test]
fn what_cannot_be_read_is_an_error_before_the_job_starts() {
    let missing = ndjson::file::<Row>("/no/such/file.ndjson").unwrap_err().to_string();
    assert_eq!(missing, "cannot read `/no/such/file.ndjson`: No such file or directory (os error 2)");
    let folder = ndjson::file::<Row>(std::env::temp_dir()).unwrap_err().to_string();
    assert!(folder.ends_with("is a directory"), "{folder}");
}

#[test]
fn nothing_at_all_is_no_records() {
    let empty = Scratch::new("empty", "");
    assert_eq!(run(ndjson::file(&empty.0).unwrap()), (Vec::new(), LineCounts::default(), Vec::new()));
    assert_eq!(run(ndjson::reader("empty", io::empty())).1, LineCounts::default());
}

/// Long stretches without a record, and lines of several blocks, are gone through in several steps; a replay,
/// which pauses elsewhere, must still give each tick what it had.
#[test]
fn a_file_is_replayed_tick_for_tick() {
    let mut text = String::new();
    for i in 0..40u64 {
        match i % 4 {
            0 => text.push_str(&"not a record\n".repeat(1_500)),
            1 => text.push_str(&format!("{{\"id\":{i},\"text\":\"{}\"}}\n", "x".repeat(150_000))),
            2 => text.push_str(&format!("\"{}\"\n", "y".repeat(2_000_000))),
            _ => (0..50).for_each(|n| text.push_str(&format!("{{\"id\":{n},\"text\":\"\"}}\n"))),
        }
    }
    let file = Scratch::new("replay", text);
    let rows = collect::<Row>();
    let source = ndjson::file::<Row>(&file.0).unwrap();
    let job = Job::new("replay").source(source.clone()).rebalance().sink(rows.clone());
    for seed in 0..3 {
        let simulation = Simulation { seed, shards: 2, records_max: 7, ..Simulation::default() };
        let first = simulate(&job, &simulation).unwrap();
        assert_eq!(source.counts(), LineCounts { lines: 15_520, records: 510, empty: 0, malformed: 15_010 });
        let then = rows.take_named();
        assert_eq!(then.len(), 510);
        let again =
            replay(&job, &first, &Simulation { seed: seed + 99, ring_bytes: 8_192, ..simulation }).unwrap();
        assert!(rows.take_named() == then, "seed {seed}");
        assert_eq!(again.traces, first.traces);
    }
}
