//! The example's job against a naive twin: on the file that comes with it and on generated ones, over shards,
//! seeds and ticks.

#[path = "../examples/event_frequency/job.rs"]
mod job;

use job::{DISORDER, Entry, Event, Frequency, INTERVAL, Pace, event_frequency};
use pelton::connect::ndjson;
use pelton::prelude::*;
use pelton::sim::{Simulation, simulate};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/events.ndjson");

/// What the job must come to.
struct Twin {
    lines: u64,
    malformed: u64,
    duplicates: u64,
    /// By (interval end, event): entries, events, sum.
    frequencies: BTreeMap<(EventTime, String), (u64, u64, f64)>,
    pace: Pace,
}

/// By the definition of each step, on the whole file at once.
fn twin(text: &str) -> Twin {
    let (mut malformed, mut duplicates, mut ids, mut entries) = (0, 0, BTreeSet::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str::<Event>(line) {
            Err(_) => malformed += 1,
            Ok(event) if !ids.insert(event.id.clone()) => duplicates += 1,
            Ok(event) => {
                let merged: &mut (u64, f64) = entries.entry((event.time, event.name)).or_default();
                *merged = (merged.0 + 1, merged.1 + event.value);
            }
        }
    }
    let (mut frequencies, mut pace) = (BTreeMap::new(), Pace::default());
    for ((millis, name), (count, sum)) in entries {
        let interval = INTERVAL.as_millis() as i64;
        let end = EventTime::from_millis((millis.div_euclid(interval) + 1) * interval);
        let frequency: &mut (u64, u64, f64) = frequencies.entry((end, name.clone())).or_default();
        *frequency = (frequency.0 + 1, frequency.1 + count, frequency.2 + sum);
        pace.add(Entry { time: EventTime::from_millis(millis), name, count, sum });
    }
    Twin { lines: text.lines().count() as u64, malformed, duplicates, frequencies, pace }
}

/// The rows must be the twin's, and the sums too but for the rounding of a naive addition. Returns the exact
/// rows in order.
fn compare(mut rows: Vec<Frequency>, pace: &Pace, twin: &Twin, run: &str) -> Vec<Frequency> {
    rows.sort_by(|a, b| (a.window.end, &a.key).cmp(&(b.window.end, &b.key)));
    let found: Vec<_> =
        rows.iter().map(|row| (row.window.end, row.key.clone(), row.value.0, row.value.1)).collect();
    let of = |((end, name), value): (&(EventTime, String), &(u64, u64, f64))| {
        (*end, name.clone(), value.0, value.1)
    };
    assert_eq!(found, twin.frequencies.iter().map(of).collect::<Vec<_>>(), "{run}");
    for (row, sum) in rows.iter().zip(twin.frequencies.values().map(|value| value.2)) {
        assert!((row.value.2 - sum).abs() < 1e-6, "{run}: {row:?}, and not {sum}");
    }
    let rounded = |pace: &Pace| {
        let busiest = pace.busiest.clone().map(|entry| Entry { sum: (entry.sum * 1e3).round(), ..entry });
        Pace { busiest, ..pace.clone() }
    };
    assert_eq!(rounded(pace), rounded(&twin.pace), "{run}");
    rows
}

fn check(path: &Path, seeds: u64) -> Twin {
    let twin = twin(&std::fs::read_to_string(path).unwrap());
    let source = ndjson::file(path).unwrap();
    let (job, results) = event_frequency(source.clone());

    let mut exact = None;
    for shards in [1, 2, 3, 4, 8] {
        for seed in 0..seeds {
            let records_max = [1, 5, 64, 4_096][(seed as usize + shards) % 4];
            let simulation = Simulation { seed, shards, records_max, ..Simulation::default() };
            simulate(&job, &simulation).unwrap();
            let run = format!("{} {simulation:?}", path.display());
            let rows = compare(results.frequencies.take(), &results.pace.take(), &twin, &run);
            // Sums of floats included: no run rounds otherwise than another.
            assert_eq!(&rows, exact.get_or_insert_with(|| rows.clone()), "{run}");
        }
    }

    for shards in ["1", "3"] {
        let flags = [
            ("driver", "threads"),
            ("pin", "false"),
            ("cores", "1"),
            ("shards", shards),
            ("buffer", "64 KB"),
        ];
        let progress = job.run_with(&Config::load_with(None, &flags).unwrap().config).unwrap();
        let rows = compare(results.frequencies.take(), &results.pace.take(), &twin, "on threads");
        assert_eq!(Some(rows), exact);
        let counts = source.counts();
        assert_eq!((counts.lines, counts.malformed), (twin.lines, twin.malformed));
        assert_eq!((progress.total.duplicates, progress.total.late), (twin.duplicates, 0));
    }
    twin
}

#[test]
fn the_shipped_file_has_everything_and_comes_out_right() {
    let twin = check(Path::new(SHIPPED), 3);
    assert!((300..=1_000).contains(&twin.lines), "{} lines", twin.lines);
    assert!(twin.malformed >= 5 && twin.duplicates >= 20, "{} and {}", twin.malformed, twin.duplicates);
    assert!(twin.pace.events > twin.pace.entries, "some events happen at the same time");
}

fn mix(seed: u64, n: u64) -> u64 {
    let x = (seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^ (x >> 29)
}

/// A log in which everything happens: repetitions near and far, equal times, disorder up to the bound,
/// rubbish.
fn generate_log(seed: u64, events: u64) -> String {
    let mut lines: Vec<(i64, String)> = Vec::new();
    for n in 0..events {
        let draw = |what: u64, of: u64| mix(seed ^ what << 32, n) % of;
        // Before and after 1970, and a third of the events at few times that they share.
        let grain = [1, 1, 600][draw(1, 3) as usize];
        let time = (n as i64 - events as i64 / 2) * 150 / grain * grain;
        let (name, value) =
            (["open", "close", "größer", "a \\\"b\\\""][draw(2, 4) as usize], draw(3, 4_000) as f64 / 100.0);
        let line =
            format!("{{\"id\":\"{seed}-{n}\",\"time\":{time},\"event\":\"{name}\",\"value\":{value}}}");
        let logged = time + draw(4, DISORDER.as_millis() as u64 / 2) as i64;
        if draw(5, 8) == 0 {
            lines.push((logged + draw(6, 120_000) as i64, line.clone()));
        }
        if draw(7, 25) == 0 {
            let rubbish = ["{", "", "null", "[1,2", "{\"id\":\"x\",\"time\":1}", "  \r", "\u{1F600}"];
            lines.push((logged, rubbish[draw(8, rubbish.len() as u64) as usize].to_owned()));
        }
        lines.push((logged, line));
    }
    lines.sort();
    let end = if seed.is_multiple_of(2) { "\n" } else { "\r\n" };
    let text: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    // The last line may have no end.
    text.join(end) + if seed.is_multiple_of(3) { end } else { "" }
}

#[test]
fn generated_files_come_out_right() {
    for seed in 0..4 {
        let text = generate_log(seed, 1_500);
        let path: PathBuf =
            std::env::temp_dir().join(format!("pelton-{}-events-{seed}.ndjson", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let twin = check(&path, 2);
        assert!(twin.malformed > 20 && twin.duplicates > 100, "{} and {}", twin.malformed, twin.duplicates);
        std::fs::remove_file(path).unwrap();
    }
}
