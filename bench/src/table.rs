//! The tables printed at the end of a run and by `pelton bench list`. `width` is that of the terminal, if they go to one.

use crate::hist::Percentiles;
use crate::result::RunResult;
use crate::workload::{Input, Load, Workload};
use pelton_cli::{Column, Table};

/// The results of a run: one table of speeds, and one of latencies if there are any.
pub fn results(results: &[RunResult], width: Option<usize>) -> String {
    let mut speeds = Table::new([
        Column::text("workload"),
        Column::text("durability").minor(1),
        Column::number("events"),
        Column::number("seconds"),
        Column::number("events/s"),
        Column::number("rows"),
        // Where it is wrong, the check says what was expected, and both are needed.
        if results.iter().all(|result| result.correct) {
            Column::text("checksum").minor(2)
        } else {
            Column::text("checksum")
        },
        Column::text("check"),
    ]);
    let mut latencies = Table::new(
        [Column::text("latency, µs"), Column::number("rate/s").minor(1), Column::number("achieved").minor(2)]
            .into_iter()
            .chain(["p50", "p90", "p99", "p99.9", "p99.99", "max"].map(Column::number)),
    );
    for result in results {
        speeds.row([
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
            latencies.row(latency_row(result.workload, rates, &run.latency_us));
            latencies.row(latency_row("  machine's floor", [String::new(), String::new()], &run.floor_us));
            if let Some(flush) = &result.flush {
                let name = format!("  one flush (p50 x {})", flush.p50_over_flush);
                latencies.row(latency_row(&name, [String::new(), String::new()], &flush.flush_us));
            }
        }
    }
    let mut text = speeds.fitted(width);
    if results.iter().any(|result| result.input == Input::BeforeStart.as_str()) {
        text.push_str("* its events are generated before the clock starts\n");
    }
    if !latencies.is_empty() {
        text = format!("{text}\n{}", latencies.fitted(width));
    }
    text.trim_end().to_owned()
}

/// Latencies side by side, each under its name.
pub fn latencies<'a>(rows: impl IntoIterator<Item = (&'a str, &'a Percentiles)>) -> String {
    let header = ["p50", "p90", "p99", "p99.9", "p99.99", "max", "samples"];
    let columns = header.map(Column::number);
    let mut latencies = Table::new(std::iter::once(Column::text("latency, µs")).chain(columns));
    for (name, percentiles) in rows {
        let mut row = latency_row(name, [String::new(), String::new()], percentiles);
        row.drain(1..3);
        row.push(thousands(percentiles.samples));
        latencies.row(row);
    }
    latencies.to_text().trim_end().to_owned()
}

/// The workloads there are.
pub fn workloads<'a>(workloads: impl Iterator<Item = &'a Workload>, width: Option<usize>) -> String {
    let columns = ["workload", "by default", "what it does"];
    let mut list = Table::new(columns.map(Column::text));
    for workload in workloads {
        let load = match workload.load {
            Load::Throughput { events } => format!("{} events", thousands(events)),
            Load::Latency { schedule, .. } => format!("{} events/s", thousands(schedule.rate)),
        };
        list.row([workload.name.to_owned(), load, workload.about.to_owned()]);
    }
    list.fitted(width).trim_end().to_owned()
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
        let text = results(&[wrong, example(true)], None);
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
        let text = results(&[example(false), apart], None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("tumble_count  ") && lines[2].starts_with("tumble_count *"), "{text}");
        assert!(lines[3].starts_with("* its events"), "{text}");
    }

    #[test]
    fn without_latency_runs_there_is_one_table() {
        assert_eq!(results(&[example(false)], None).lines().count(), 2);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_every_figure_stays() {
        for width in [60, 80, 100, 132] {
            let text = results(&[example(false), example(true)], Some(width));
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(width), "{width}:\n{text}");
            assert!(text.contains("p99.99") && text.contains("events/s") && text.contains("ok"), "{text}");
            let text = workloads(crate::workload::all(), Some(width));
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(width), "{width}:\n{text}");
        }
    }
}
