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
        let (source, number, reason, offset) = (line.source, line.line, &line.reason, line.offset);
        assert_eq!(line.to_string(), format!("{source}:{number}: {reason} (at byte {offset})"));
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
            r#"7: invalid type: sequence, expected struct Row [[] trailing]"#,
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
        assert!(error.contains(&format!("socket: {said}, after line 1, at byte 20")), "{error}");
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

#[pelton::record]
#[derive(Clone, Debug, PartialEq, Deserialize, serde::Serialize)]
struct Measured {
    v: f64,
    f: f32,
}

/// What a file sink writes of each record is what stood in the line: every float comes back bit for bit, and is written as short as it was.
#[test]
fn floats_are_read_and_written_exactly() {
    let mut lines = vec![r#"{"v":958009.5173000001,"f":0.1}"#.to_owned()];
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ state >> 29
    };
    for _ in 0..20_000 {
        let (v, f) = (f64::from_bits(next()), f32::from_bits(next() as u32));
        let rounded = (next() % 10_000_000_000) as f64 / 1e4;
        for (v, f) in [(v, f), (rounded, rounded as f32)] {
            if v.is_finite() && f.is_finite() {
                // The shortest decimals that are these floats, as the standard library finds them.
                lines.push(format!("{{\"v\":{v:?},\"f\":{f:?}}}"));
            }
        }
    }
    for text in [
        "0.1e1",
        "123456789012345678901234567890",
        "9007199254740993",
        "18446744073709551616",
        "4.9406564584124654e-324",
        "1e23",
    ] {
        lines.push(format!("{{\"v\":{text},\"f\":1.5}}"));
    }
    let file = Scratch::new("floats", lines.join("\n"));
    let rows = collect::<Measured>();
    Job::new("floats")
        .source(ndjson::file(&file.0).unwrap().strict())
        .sink(rows.clone())
        .run_with(&config())
        .unwrap();
    let rows = rows.take();
    assert_eq!(rows.len(), lines.len());
    for (line, row) in lines.iter().zip(&rows) {
        let field = |name: &str| {
            line.split(&format!("\"{name}\":")).nth(1).unwrap().split([',', '}']).next().unwrap()
        };
        let (v, f): (f64, f32) = (field("v").parse().unwrap(), field("f").parse().unwrap());
        assert_eq!((row.v.to_bits(), row.f.to_bits()), (v.to_bits(), f.to_bits()), "{line}");
        let again: Measured = serde_json::from_str(&serde_json::to_string(row).unwrap()).unwrap();
        assert_eq!((again.v.to_bits(), again.f.to_bits()), (v.to_bits(), f.to_bits()), "{line}");
    }
    assert_eq!(serde_json::to_string(&rows[0]).unwrap(), lines[0]);
}

/// One line alone: what is read of it, or why it is malformed. The table in the documentation says the same.
#[test]
fn what_is_read_of_a_line_is_as_documented() {
    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Deserialize)]
    struct Numbers {
        #[serde(default)]
        u: u64,
        #[serde(default)]
        f: f64,
        #[serde(default)]
        wide: i128,
    }
    let read = |text: &[u8]| {
        let reports = Reports::default();
        let (rows, kept) = (collect::<Numbers>(), reports.clone());
        let source = ndjson::reader("line", std::io::Cursor::new(text.to_vec()))
            .on_malformed(move |line: &Malformed<'_>| kept.lock().unwrap().push(line.to_string()));
        Job::new("line").source(source).sink(rows.clone()).run_with(&config()).unwrap();
        (rows.take(), std::mem::take(&mut *reports.lock().unwrap()))
    };
    let numbers = |u, f, wide| vec![Numbers { u, f, wide }];
    let good: &[(&[u8], Vec<Numbers>)] = &[
        (b"{\"u\":18446744073709551615}", numbers(u64::MAX, 0.0, 0)),
        (b"{\"f\":18446744073709551616}\r\n", numbers(0, 18_446_744_073_709_551_616.0, 0)),
        (b"{\"f\":9007199254740993}", numbers(0, 9_007_199_254_740_992.0, 0)),
        (b"{\"f\":-0}", numbers(0, -0.0, 0)),
        (b"{\"wide\":18446744073709551616}", numbers(0, 0.0, 1 << 64)),
        (b"{\"other\":[1,{}]}  ", numbers(0, 0.0, 0)),
        (b"\xef\xbb\xbf{}\n\xef\xbb\xbf\n\n", numbers(0, 0.0, 0)),
        (b"{\"u\":1}\n\xef\xbb\xbf{\"u\":2}\n", [numbers(1, 0.0, 0), numbers(2, 0.0, 0)].concat()),
    ];
    for (text, rows) in good {
        assert_eq!(read(text), (rows.clone(), Vec::new()), "{}", text.escape_ascii());
    }
    let bad: &[(&[u8], &str)] = &[
        (b"{\"u\":18446744073709551616}", "invalid type: floating point"),
        (b"{\"u\":-1}", "invalid value: integer `-1`"),
        (b"{\"u\":7.0}", "invalid type: floating point"),
        (b"{\"u\":7e0}", "invalid type: floating point"),
        (b"{\"u\":-0}", "invalid type: floating point"),
        (b"{\"u\":\"7\"}", "invalid type: string"),
        (b"{\"f\":1e400}", "number out of range"),
        (b"{\"f\":null}", "invalid type: null"),
        (b"{\"f\":NaN}", "expected value"),
        (b"[7,1.5,2]", "invalid type: sequence, expected struct Numbers"),
        (b"{\"u\":1,\"u\":2}", "duplicate field `u`"),
        (b"{\"u\":1}{\"u\":2}", "trailing characters"),
        (b"{\"u\":1}\xef\xbb\xbf{\"u\":2}", "trailing characters"),
        (b"{\"u\":1}\0", "trailing characters"),
        (b"\0\0\0", "expected value"),
        (b"{\"u\":1,}", "trailing comma"),
        (b"{'u':1}", "key must be a string"),
    ];
    for (text, why) in bad {
        let (rows, reports) = read(text);
        assert!(rows.is_empty(), "{}: {rows:?}", text.escape_ascii());
        assert!(
            reports.len() == 1 && reports[0].starts_with("line:1: ") && reports[0].contains(why),
            "{reports:?}"
        );
    }
}

#[test]
fn a_strict_source_ends_the_job_at_the_first_malformed_line() {
    let file = Scratch::new("strict", MIXED);
    let job =
        Job::new("strict").source(ndjson::file::<Row>(&file.0).unwrap().strict()).sink(collect::<Row>());
    let error = job.run_with(&config()).unwrap_err().to_string();
    let said = format!("{}:3: EOF while parsing an object at column 18 (at byte 25)", file.0.display());
    assert!(error.contains(&said), "{error}");
    let good = Scratch::new("strict-good", "{\"id\":1,\"text\":\"a\"}\n\n");
    let job =
        Job::new("strict").source(ndjson::file::<Row>(&good.0).unwrap().strict()).sink(collect::<Row>());
    job.run_with(&config()).unwrap();
}

/// The largest bound that there is bounds nothing, and wraps nowhere.
#[test]
fn a_line_may_be_of_any_length_if_it_is_told_to() {
    let text = format!("{{\"id\":1,\"text\":\"{}\"}}\n", "x".repeat(300_000));
    let file = Scratch::new("any-length", text);
    let (rows, counts, reports) = run(ndjson::file(&file.0).unwrap().line_bytes_max(usize::MAX));
    assert_eq!((rows.len(), counts.malformed, reports.len()), (1, 0, 0));
}
