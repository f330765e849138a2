//! The report: one HTML file that needs nothing else, with the results, their curves and the machine.
//!
//! The file is opened before anything is measured, so that a path that cannot be written is known at once and
//! not a minute later. An earlier report at the same path is replaced only when the new one is complete.

mod charts;

use crate::error::BenchError;
use crate::machine::Machine;
use crate::result::{OpenLoop, RunResult};
use crate::table::{micros, thousands};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const STYLE: &str = include_str!("style.css");

/// A report that will be written.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    file: File,
    /// Whether there was no such file before; it is then removed if no report comes to be.
    created: bool,
    written: bool,
}

impl ReportFile {
    /// Makes sure that a report can be written to `path`.
    pub fn open(path: &Path) -> Result<ReportFile, BenchError> {
        let created = !path.exists();
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| BenchError::Report { path: path.to_owned(), error })?;
        Ok(ReportFile { path: path.to_owned(), file, created, written: false })
    }

    /// Writes the report.
    pub fn write(mut self, results: &[RunResult], machine: &Machine) -> Result<(), BenchError> {
        let html = page(results, machine, std::time::SystemTime::now());
        match self.replace(&html) {
            Ok(()) => {
                self.written = true;
                Ok(())
            }
            Err(error) => Err(BenchError::Report { path: self.path.clone(), error }),
        }
    }

    fn replace(&mut self, html: &str) -> io::Result<()> {
        if !self.file.metadata()?.is_file() {
            // Devices and pipes cannot be synced, and nothing takes their place.
            self.file.write_all(html.as_bytes())?;
            return self.file.flush();
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(".part");
        let replaced = write_synced(Path::new(&beside), html).and_then(|()| fs::rename(&beside, &self.path));
        if replaced.is_err() {
            drop(fs::remove_file(&beside));
        }
        replaced
    }
}

/// A full disk may show only when the data has to be there.
fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

impl Drop for ReportFile {
    fn drop(&mut self) {
        if self.created && !self.written {
            // Nothing more can be done about an empty file that cannot be removed.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// The whole page.
fn page(results: &[RunResult], machine: &Machine, at: std::time::SystemTime) -> String {
    let title = match results {
        [one] => format!("Pelton: {}", one.workload),
        _ => "Pelton: benchmark suite".to_owned(),
    };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        title = escape(&title)
    );
    let intro = match results.first() {
        Some(first) => format!(
            "Pelton {}, {} {} and {} {}, measured {}",
            first.version,
            first.cores,
            if first.cores == 1 { "core" } else { "cores" },
            first.shards,
            if first.shards == 1 { "shard" } else { "shards" },
            humantime::format_rfc3339_seconds(at)
        ),
        None => "Nothing was measured".to_owned(),
    };
    put(&mut html, format_args!("<p class=\"faint\">{}</p>\n", escape(&intro)));
    table(&mut html, results);
    put(&mut html, format_args!("<dl>\n"));
    for (name, value) in machine.lines() {
        put(&mut html, format_args!("<dt>{name}</dt><dd>{}</dd>\n", escape(&value)));
    }
    put(&mut html, format_args!("</dl>\n"));
    if machine.build == "debug" {
        put(
            &mut html,
            format_args!("<p class=\"bad\">Measured with a debug build: the figures mean nothing.</p>\n"),
        );
    }
    for result in results {
        section(&mut html, result);
    }
    html.push_str("</body>\n</html>\n");
    html
}

/// The table of all results.
fn table(html: &mut String, results: &[RunResult]) {
    html.push_str(
        "<div class=\"scroll\"><table>\n<tr><th>Workload</th><th>Events</th><th>Seconds</th><th>Events/s</th>\
         <th>Rows</th><th>Checksum</th><th>Check</th></tr>\n",
    );
    for result in results {
        put(
            html,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{:.2}</td><td>{}</td><td>{}</td><td class=\"sum\">{:016x}</td>{}</tr>\n",
                escape(result.workload),
                thousands(result.events),
                result.seconds,
                thousands(result.events_per_sec),
                thousands(result.result_rows),
                result.checksum,
                if result.correct { "<td>ok</td>" } else { "<td class=\"bad\">wrong</td>" },
            ),
        );
    }
    html.push_str("</table></div>\n");
}

/// One run: what it was, its percentiles, its curves.
fn section(html: &mut String, result: &RunResult) {
    let about =
        crate::workload::all().find(|workload| workload.name == result.workload).map_or("", |w| w.about);
    put(html, format_args!("<h2>{}</h2>\n<p class=\"faint\">", escape(result.workload)));
    if !about.is_empty() {
        put(html, format_args!("{}. ", escape(&capitalised(about))));
    }
    put(html, format_args!("Events are {}.</p>\n", result.input));
    if !result.correct {
        put(
            html,
            format_args!(
                "<p class=\"bad\">Wrong result: expected {} rows with checksum {:016x}.</p>\n",
                thousands(result.expected_rows),
                result.expected_checksum
            ),
        );
    }
    if let Some(run) = &result.open_loop {
        latency(html, run);
    }
    if let Some(chart) = charts::throughput(&result.throughput) {
        put(
            html,
            format_args!(
                "<figure><figcaption><strong>Throughput over time</strong>\
                 Events taken in per second.</figcaption>\n{chart}</figure>\n"
            ),
        );
    }
}

/// The latency part of a run.
fn latency(html: &mut String, run: &OpenLoop) {
    put(
        html,
        format_args!(
            "<p>{} events per second offered, {} achieved; {} s recorded after {} s of warm-up. A latency is the \
             time from the end of a window of {} ms until its row reaches the sink. The machine’s floor is what the \
             same schedule would show on these cores if the engine took no time at all.</p>\n",
            thousands(run.offered_rate),
            thousands(run.achieved_rate),
            run.duration_seconds,
            run.warmup_seconds,
            run.window_ms
        ),
    );
    html.push_str(
        "<div class=\"scroll\"><table>\n<tr><th>Latency, µs</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th>\
         <th>p99.99</th><th>max</th></tr>\n",
    );
    for (name, p) in [("Pelton", &run.latency_us), ("Machine’s floor", &run.floor_us)] {
        put(html, format_args!("<tr><td>{name}</td>"));
        for value in [p.p50, p.p90, p.p99, p.p999, p.p9999, p.max] {
            put(html, format_args!("<td>{}</td>", micros(value)));
        }
        html.push_str("</tr>\n");
    }
    let gaps = &run.clock_gaps;
    put(
        html,
        format_args!(
            "</table></div>\n<figure><figcaption><strong>Latency by percentile</strong>\
             <span class=\"key engine\">Pelton</span> <span class=\"key floor\">machine’s floor</span>\
             </figcaption>\n{}</figure>\n<p class=\"faint\">While the floor was measured, the machine kept the clock \
             from a spinning thread {} times for more than 10 µs, {} times for more than 100 µs and {} times for \
             more than 1 ms; {} % of the time in all, {} µs at most.</p>\n",
            charts::percentiles(run),
            thousands(gaps.over_10us),
            thousands(gaps.over_100us),
            thousands(gaps.over_1ms),
            gaps.lost_percent,
            micros(gaps.max_us),
        ),
    );
}

/// Writing into a string cannot fail.
fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("writing into a string cannot fail");
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::example;

    fn results() -> Vec<RunResult> {
        vec![example(false), example(true)]
    }

    #[test]
    fn the_page_stands_alone_and_shows_everything() {
        let html = page(&results(), &Machine::describe(), std::time::UNIX_EPOCH);
        for part in
            ["tumble_count", "lat_tumble", "0000000000000abc", "Processor", "Load at start", "99.99%", "1970"]
        {
            assert!(html.contains(part), "no {part}");
        }
        // Nothing is loaded from elsewhere; the only address is the SVG namespace.
        for forbidden in ["<script", "<link", "src=", "url(", "@import"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        let addresses: Vec<&str> = html.match_indices("http").map(|(at, _)| &html[at..at + 26]).collect();
        assert!(addresses.iter().all(|address| *address == "http://www.w3.org/2000/svg"), "{addresses:?}");
    }

    #[test]
    fn a_wrong_result_is_said_and_text_is_escaped() {
        let mut wrong = example(false);
        wrong.correct = false;
        let mut machine = Machine::describe();
        machine.cpu = "<b>&\"".to_owned();
        let html = page(&[wrong], &machine, std::time::UNIX_EPOCH);
        assert!(html.contains("Wrong result: expected 10 rows"));
        assert!(html.contains("&lt;b&gt;&amp;&quot;") && !html.contains("<b>"));
    }

    #[test]
    fn an_old_report_is_kept_until_the_new_one_is_there() {
        let path = std::env::temp_dir().join(format!("pelton-report-{}.html", std::process::id()));
        fs::write(&path, "old".repeat(1_000_000)).unwrap();
        drop(ReportFile::open(&path).unwrap());
        assert!(fs::read_to_string(&path).unwrap().starts_with("oldold"));
        ReportFile::open(&path).unwrap().write(&results(), &Machine::describe()).unwrap();
        let html = fs::read_to_string(&path).unwrap();
        assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn no_empty_file_is_left_and_a_full_disk_is_an_error() {
        let path = std::env::temp_dir().join(format!("pelton-none-{}.html", std::process::id()));
        drop(ReportFile::open(&path).unwrap());
        assert!(!path.exists());
        let full = ReportFile::open(Path::new("/dev/full")).unwrap().write(&results(), &Machine::describe());
        assert!(full.unwrap_err().to_string().contains("/dev/full"));
        assert!(ReportFile::open(Path::new("/nowhere/at/all.html")).is_err());
    }
}
