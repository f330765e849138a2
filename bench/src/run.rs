//! One call of the harness, from options to the last line of output.

use crate::error::BenchError;
use crate::machine::Machine;
use crate::measure::measure;
use crate::options::{Options, Planned};
use crate::report::ReportFile;
use crate::result::RunResult;
use crate::table;
use crate::workload::{self, Load};
use pelton_cli::{Interrupt, Progress, stdout_width};
use std::io::{self, Write};

/// Runs what `options` ask for, and prints the results to `out`.
///
/// All runs of a suite are made even if one gives a wrong result; the error then names those that did.
pub fn run(options: &Options, out: &mut impl Write, interrupt: &Interrupt) -> Result<(), BenchError> {
    run_planned(options, &options.plan()?, out, interrupt)
}

/// Like [`run`], with workloads and loads of the caller's own.
pub fn run_planned(
    options: &Options,
    plan: &[Planned<'_>],
    out: &mut impl Write,
    interrupt: &Interrupt,
) -> Result<(), BenchError> {
    let report = options.report.as_deref().map(ReportFile::open).transpose()?;
    let machine = Machine::describe();
    let mut results: Vec<RunResult> = Vec::with_capacity(plan.len());
    for (i, (workload, load)) in plan.iter().enumerate() {
        let name = match plan.len() {
            1 => workload.name.to_owned(),
            of => format!("{:>2}/{of} {:<14}", i + 1, workload.name),
        };
        let progress = match load {
            Load::Latency { .. } => Progress::quiet(name),
            Load::Throughput { .. } => Progress::new(name),
        };
        let result = measure(workload, load, &options.config, &machine, &progress, interrupt)?;
        drop(progress);
        if options.json {
            print(out, &result.json())?;
        }
        results.push(result);
    }
    if !options.json {
        print(out, &table::results(&results, stdout_width()))?;
        if machine.build == "debug" {
            print(out, "\nmeasured with a debug build: the figures mean nothing")?;
        }
    }
    if let Some(report) = report {
        report.write(&results, &machine)?;
    }
    let wrong: Vec<&str> =
        results.iter().filter(|result| !result.correct).map(|result| result.workload).collect();
    if wrong.is_empty() { Ok(()) } else { Err(BenchError::Wrong { workloads: wrong }) }
}

/// Prints the workloads there are to `out`.
pub fn list(out: &mut impl Write) -> Result<(), BenchError> {
    print(out, &table::workloads(workload::all(), stdout_width()))
}

/// Prints lines; a reader that has gone away (`pelton bench list | head -1`) is no error.
pub(crate) fn print(out: &mut impl Write, text: &str) -> Result<(), BenchError> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(BenchError::Output(error)),
        _ => Ok(()),
    }
}
