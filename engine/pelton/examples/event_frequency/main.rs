//! How often did each event happen?
//!
//! Reads events from newline-delimited JSON, drops those that were sent again, merges what happened at the
//! same time, and prints how often each event happened in each minute, with the sum of its values. Lines that
//! are no events are reported on standard error, with their numbers.
//!
//! ```text
//! cargo run --release --example event_frequency -- engine/pelton/examples/data/events.ndjson
//! zcat events.ndjson.gz | cargo run --release --example event_frequency
//! ```

mod job;
mod report;

use pelton::prelude::*;
use std::error::Error;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

const USAGE: &str = "usage: event_frequency [FILE]    (standard input when there is no file)";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("event_frequency: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (file, more) = (arguments.next(), arguments.next());
    if more.is_some() {
        return Err(USAGE.into());
    }
    let events = match file {
        Some(flag) if flag == "-h" || flag == "--help" => {
            println!("{USAGE}");
            return Ok(());
        }
        Some(path) => ndjson::file(path)?,
        None => {
            if std::io::stdin().is_terminal() {
                eprintln!("reading events from standard input");
            }
            ndjson::stdin()
        }
    };
    let events = events.on_malformed(|line| {
        // This runs on an engine thread, which a closed standard error must not stop.
        let _ = writeln!(std::io::stderr(), "{line}");
    });

    let (job, results) = job::event_frequency(events.clone());
    let progress = job.run()?;

    let mut frequencies = results.frequencies.take();
    frequencies.sort_by(|a, b| (a.window.end, &a.key).cmp(&(b.window.end, &b.key)));
    let mut out = Vec::new();
    report::write(&frequencies, &results.pace.take(), &mut out)?;
    match std::io::stdout().write_all(&out) {
        // Whoever reads has seen enough, as `head` has.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    let (counts, total) = (events.counts(), progress.total);
    eprintln!(
        "lines {}, malformed {}, duplicates {}, late {}",
        counts.lines, counts.malformed, total.duplicates, total.late
    );
    progress.notes.iter().chain(&progress.remarks()).for_each(|note| eprintln!("note: {note}"));
    Ok(())
}
