//! The command line of a program with a job, in one line: the commands that `pelton` has, for a job of your own.
//!
//! ```no_run
//! use pelton::prelude::*;
//!
//! fn job() -> Job {
//!     let job = Job::new("evens");
//!     let _ = job.source(from_iter(|| 0..1_000u64)).filter(|n| n % 2 == 0).sink(for_each(|n: u64| println!("{n}")));
//!     job
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     pelton::cli::main(job())
//! }
//! ```
//!
//! ```text
//! evens run                             until the input ends, or Ctrl-C or SIGTERM; every key of the configuration is a flag
//! evens run --explain                   its plan: operators, exchanges, what is kept; `--explain=dot` for Graphviz
//! evens data show                       the job, its shards, checkpoints and savepoints
//! evens log inspect | export | hashes   what was taken in, tick by tick, with the time on the wall
//! evens log replay --from 14:03         the state after each tick from 14:03 today on, made again from what was logged
//! evens log verify                      every byte of it
//! evens checkpoint | savepoint          saved by the running job
//! evens rebalance                       key groups moved by the running job
//! evens config show | check | template
//! ```
//!
//! The data directory is the one of the configuration (`data` in `./pelton.toml`, or `PELTON_DATA`), unless one is named behind the
//! command. Needs the cargo feature `cli`. `docs/operating/command-line.md` has the exit codes.

use crate::bounds::ENDED_INTERVAL;
use crate::job::Job;
use crate::replay::{self, Replayed, StateHash};
use crate::running::Running;
use pelton_cli::exit::Interrupted;
use pelton_cli::{Interrupt, ReplayRequest, Runnable, note};
use pelton_runtime::Stop;
use pelton_runtime::config::{Config, Durability};
use pelton_runtime::plan::Explanation;
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

/// Carries out what the process's arguments say about `job`, and returns how it ended.
pub fn main(job: Job) -> ExitCode {
    Program::new(job).main()
}

/// Called when the job has been started.
type Started = Box<dyn Fn(&Running)>;

/// A program with a job, where [`main`] alone does not do.
///
/// ```
/// use pelton::cli::Program;
/// use pelton::prelude::*;
/// use pelton::sources::inlet;
///
/// # let data = std::env::temp_dir().join(format!("pelton-doc-cli-{}", std::process::id()));
/// let (orders, source) = inlet::<u64>(1_024);
/// let job = Job::new("orders");
/// let _ = job.source(source).sink(for_each(|_: u64| ()));
/// let program = Program::new(job).about("Takes in orders").when_started(move |_| {
///     let orders = orders.clone();
///     std::thread::spawn(move || orders.producer("gateway")?.send(250));
/// });
/// # let _ = program;
/// ```
pub struct Program {
    job: Job,
    about: String,
    started: Option<Started>,
}

impl Program {
    /// The program of `job`.
    pub fn new(job: Job) -> Self {
        let about = format!("The job `{}`, and what it keeps.", job.plan().name);
        Program { job, about, started: None }
    }

    /// What `--help` says first.
    #[must_use]
    pub fn about(self, about: &str) -> Self {
        Program { about: about.to_owned(), ..self }
    }

    /// What `run` does once it has started the job, such as starting the threads that feed it. It must return for the job to be waited for.
    #[must_use]
    pub fn when_started(self, started: impl Fn(&Running) + 'static) -> Self {
        Program { started: Some(Box::new(started)), ..self }
    }

    /// Carries out what the process's arguments say.
    pub fn main(self) -> ExitCode {
        pelton_cli::main(&self, &self.about)
    }

    /// Carries out other arguments, of which the first is the program's name; returns the exit code as a number.
    pub fn main_from(self, args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> u8 {
        pelton_cli::main_from(args, &self, &self.about)
    }
}

impl pelton_cli::Program for Program {
    fn replay(
        &self,
        request: &ReplayRequest<'_>,
        each: &mut dyn FnMut(&StateHash),
    ) -> Result<Replayed, Box<dyn Error>> {
        let ReplayRequest { config, data, from, to, .. } = *request;
        Ok(replay::replay(&self.job, config, data, from, to, each)?)
    }
}

impl Runnable for Program {
    fn explain(&self) -> Explanation {
        self.job.explain()
    }

    fn run(&self, config: &Config, interrupt: &Interrupt) -> Result<(), Box<dyn Error>> {
        let running = self.job.start_with(config)?;
        running.notes().iter().for_each(|text| note(text));
        if let Some(started) = &self.started {
            started(&running);
        }
        while !running.wait_for(ENDED_INTERVAL) && !interrupt.is_raised() {}
        let was_stopped = interrupt.is_raised() && !running.is_finished();
        if was_stopped {
            running.stop(Stop::Suspend);
        }
        let progress = running.wait()?;
        progress.remarks().iter().for_each(|remark| note(remark));
        let total = progress.total;
        let came = format!("{} records in, {} rows out", total.records_in, total.rows_out);
        let late = if total.late > 0 { format!(", {} late", total.late) } else { String::new() };
        match (was_stopped, config.durability) {
            (false, _) => note(&format!("the input has ended: {came}{late}")),
            (true, Durability::None) => {
                note(&format!("stopped, and nothing is kept: {came}{late}"));
                return Err(Interrupted.into());
            }
            (true, _) => note(&format!("stopped; the next run goes on from here: {came}{late}")),
        }
        Ok(())
    }
}
