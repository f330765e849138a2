//! The tables printed at the end of a run and by `pelton bench list`.
//!
//! Plain aligned columns without colours or borders, so that they can be read in a terminal and pasted anywhere.

use crate::hist::Percentiles;
use crate::result::RunResult;
use crate::workload::{Input, Load, Workload};
use comfy_table::{CellAlignment, ContentArrangement, Table};

/// The results of a run: one table of speeds, and one of latencies if there are any.
pub fn results(results: &[RunResult]) -> String {
    let mut speeds = table(
        &["workload", "durability", "events", "seconds", "events/s", "rows", "checksum", "check"],
        &[2, 3, 4, 5],
    );
    let mut latencies = table(
        &["latency, µs", "rate/s", "achieved", "p50", "p90", "p99", "p99.9", "p99.99", "max"],
        &[1, 2, 3, 4, 5, 6, 7, 8],
    );
    for result in results {
        speeds.add_row([
            format!(
                "{}{}",
                result.workload,
                if result.input == Input::BeforeStart.as_str() { " *" } else { "" }
            ),
            result.durability.clone(),
            thousands(result.events),
            format!("{:.2}", result.seconds),
            thousands(result.events_per_sec),
            thousands(result.result_rows),
            format!("{:016x}", result.checksum),
            check(result),
        ]);
        if let Some(run) = &result.open_loop {
            let rates = [thousands(run.offered_rate), thousands(run.achieved_rate)];
            latencies.add_row(latency_row(result.workload, rates, &run.latency_us));
            latencies.add_row(latency_row(
                "  machine's floor",
                [String::new(), String::new()],
                &run.floor_us,
            ));
            if let Some(flush) = &result.flush {
                let name = format!("  one flush (p50 x {})", flush.p50_over_flush);
                latencies.add_row(latency_row(&name, [String::new(), String::new()], &flush.flush_us));
            }
        }
    }
    let mut text = speeds.trim_fmt();
    if results.iter().any(|result| result.input == Input::BeforeStart.as_str()) {
        text.push_str("\n* its events are generated before the clock starts");
    }
    if !latencies.is_empty() {
        text = format!("{text}\n\n{}", latencies.trim_fmt());
    }
    text
}

/// Latencies side by side, each under its name.
pub fn latencies<'a>(rows: impl IntoIterator<Item = (&'a str, &'a Percentiles)>) -> String {
    let header = ["latency, µs", "p50", "p90", "p99", "p99.9", "p99.99", "max", "samples"];
    let mut latencies = table(&header, &[1, 2, 3, 4, 5, 6, 7]);
    for (name, percentiles) in rows {
        let mut row = latency_row(name, [String::new(), String::new()], percentiles);
        row.drain(1..3);
        row.push(thousands(percentiles.samples));
        latencies.add_row(row);
    }
    latencies.trim_fmt()
}

/// The workloads there are.
pub fn workloads<'a>(workloads: impl Iterator<Item = &'a Workload>) -> String {
    let mut list = table(&["workload", "by default", "what it does"], &[]);
    for workload in workloads {
        let load = match workload.load {
            Load::Throughput { events } => format!("{} events", thousands(events)),
            Load::Latency { schedule, .. } => format!("{} events/s", thousands(schedule.rate)),
        };
        list.add_row([workload.name.to_owned(), load, workload.about.to_owned()]);
    }
    list.trim_fmt()
}

/// A number with its thousands set apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds with as many decimals as they deserve.
pub fn micros(us: f64) -> String {
    if us < 100.0 { format!("{us:.1}") } else { thousands(us.round() as u64) }
}

/// What a result's check says.
fn check(result: &RunResult) -> String {
    if result.correct {
        "ok".to_owned()
    } else {
        format!("WRONG: expected {} rows, {:016x}", thousands(result.expected_rows), result.expected_checksum)
    }
}

fn latency_row(name: &str, rates: [String; 2], p: &Percentiles) -> Vec<String> {
    let name = [name.to_owned()];
    let values = [p.p50, p.p90, p.p99, p.p999, p.p9999, p.max].map(micros);
    name.into_iter().chain(rates).chain(values).collect()
}

/// An empty table without borders whose columns `right` are aligned to the right.
fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    for &column in right {
        table.column_mut(column).expect("a column of the header").set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::example;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(
            (micros(9.94), micros(99.96), micros(7_190.4)),
            ("9.9".into(), "100.0".into(), "7,190".into())
        );
    }

    #[test]
    fn a_floor_stands_below_every_latency_and_a_wrong_result_shows() {
        let mut wrong = example(false);
        wrong.correct = false;
        wrong.expected_checksum = 0xdef;
        let text = results(&[wrong, example(true)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("tumble_count") && lines[1].contains("WRONG"), "{text}");
        assert!(lines[1].contains("0000000000000def"), "{text}");
        assert!(lines[2].contains("lat_tumble") && lines[2].contains("ok"), "{text}");
        let latency = lines.iter().position(|line| line.contains("99,999")).expect("a row of latencies");
        assert!(lines[latency + 1].contains("machine's floor"), "{text}");
    }

    #[test]
    fn it_is_said_whose_events_are_not_made_in_the_measured_time() {
        let mut apart = example(false);
        apart.input = Input::BeforeStart.as_str();
        let text = results(&[example(false), apart]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("tumble_count  ") && lines[2].starts_with("tumble_count *"), "{text}");
        assert!(lines[3].starts_with("* its events"), "{text}");
    }

    #[test]
    fn without_latency_runs_there_is_one_table() {
        assert_eq!(results(&[example(false)]).lines().count(), 2);
    }
}
