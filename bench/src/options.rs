//! What a run was asked to do, checked against what the workloads can do.

use crate::error::BenchError;
use crate::schedule::Schedule;
use crate::workload::{self, Load, Workload};
use pelton::Config;
use std::path::PathBuf;

/// Length of a latency run in the default suite, which should take about a minute in all.
const SUITE_WARMUP_MS: u64 = 3_000;
const SUITE_DURATION_MS: u64 = 12_000;

/// Most events per second that a schedule in nanoseconds can tell apart.
const RATE_MAX: u64 = 1_000_000_000;

/// Longest latency run, in seconds.
const SECONDS_MAX: f64 = 7.0 * 24.0 * 3600.0;

/// One call of the harness.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The workloads, one after the other; without any, the default suite.
    pub workloads: Vec<String>,
    /// Events of a throughput run.
    pub events: Option<u64>,
    /// Events per second of a latency run.
    pub rate: Option<u64>,
    /// Seconds of a latency run before recording.
    pub warmup: Option<f64>,
    /// Seconds of a latency run that are recorded.
    pub duration: Option<f64>,
    /// Print JSON, one line per run, instead of a table.
    pub json: bool,
    /// Write an HTML report there.
    pub report: Option<PathBuf>,
    /// How the engine runs.
    pub config: Config,
}

/// A workload and how much of it to run.
pub type Planned<'a> = (&'a Workload, Load);

impl Options {
    /// The runs asked for.
    pub fn plan(&self) -> Result<Vec<Planned<'static>>, BenchError> {
        self.check_numbers()?;
        if let [name] = &self.workloads[..] {
            let workload = find(name)?;
            return Ok(vec![(workload, self.single_load(workload)?)]);
        }
        if self.workloads.is_empty() {
            return workload::all().map(|workload| Ok((workload, self.suite_load(workload)?))).collect();
        }
        let named: Vec<_> = self.workloads.iter().map(|name| find(name)).collect::<Result<_, _>>()?;
        self.check_use(&named)?;
        named.into_iter().map(|workload| Ok((workload, self.applied_to(workload.load)?))).collect()
    }

    /// What the jobs of these runs are: their plans. Nothing is run.
    pub fn plans(&self) -> Result<Vec<pelton::plan::Explanation>, BenchError> {
        let explain = |(workload, load): &Planned<'_>| Ok((workload.prepare)(load)?.job.explain());
        self.plan()?.iter().map(explain).collect()
    }

    /// Of several workloads each takes the options that it can; one that none of them takes is a mistake.
    fn check_use(&self, named: &[&Workload]) -> Result<(), BenchError> {
        let throughput = named.iter().any(|workload| matches!(workload.load, Load::Throughput { .. }));
        let latency = named.iter().any(|workload| matches!(workload.load, Load::Latency { .. }));
        let problem = if self.events.is_some() && !throughput {
            "all of these run on a schedule: they take --rate, --warmup and --duration, and no --events"
        } else if (self.rate.is_some() || self.warmup.is_some() || self.duration.is_some()) && !latency {
            "all of these run as fast as they go: they take --events, and no --rate, --warmup or --duration"
        } else {
            return Ok(());
        };
        Err(BenchError::Options(problem.to_owned()))
    }

    /// The load of a workload that was asked for by name: options that mean nothing for it are mistakes.
    fn single_load(&self, workload: &Workload) -> Result<Load, BenchError> {
        let name = workload.name;
        match workload.load {
            Load::Throughput { .. } => {
                if self.rate.is_some() || self.warmup.is_some() || self.duration.is_some() {
                    return Err(BenchError::Options(format!(
                        "{name} runs as fast as it goes: it takes --events, and no --rate, --warmup or --duration"
                    )));
                }
            }
            Load::Latency { .. } => {
                if self.events.is_some() {
                    return Err(BenchError::Options(format!(
                        "{name} runs on a schedule: it takes --rate, --warmup and --duration, and no --events"
                    )));
                }
            }
        }
        self.applied_to(workload.load)
    }

    /// The load of a workload in the default suite: latency runs are shorter there, options apply where they can.
    fn suite_load(&self, workload: &Workload) -> Result<Load, BenchError> {
        self.applied_to(match workload.load {
            Load::Latency { schedule, window_ms } => Load::Latency {
                schedule: Schedule { warmup_ms: SUITE_WARMUP_MS, duration_ms: SUITE_DURATION_MS, ..schedule },
                window_ms,
            },
            load @ Load::Throughput { .. } => load,
        })
    }

    fn applied_to(&self, load: Load) -> Result<Load, BenchError> {
        let ms = |seconds: Option<f64>, default| seconds.map_or(default, |s| (s * 1000.0).round() as u64);
        match load {
            Load::Throughput { events } => Ok(Load::Throughput { events: self.events.unwrap_or(events) }),
            Load::Latency { schedule, window_ms } => {
                let schedule = Schedule {
                    rate: self.rate.unwrap_or(schedule.rate),
                    warmup_ms: ms(self.warmup, schedule.warmup_ms),
                    duration_ms: ms(self.duration, schedule.duration_ms),
                };
                if schedule.recorded_ends(window_ms).next().is_none() {
                    return Err(BenchError::Options(format!(
                        "no window of {window_ms} ms fits into --duration {}",
                        schedule.duration_ms as f64 / 1000.0
                    )));
                }
                if schedule.events() == 0 {
                    return Err(BenchError::Options(
                        "the schedule is so short and slow that it has no event".into(),
                    ));
                }
                Ok(Load::Latency { schedule, window_ms })
            }
        }
    }

    fn check_numbers(&self) -> Result<(), BenchError> {
        if self.events == Some(0) {
            return Err(BenchError::Options("--events 0: at least 1 is needed".into()));
        }
        if let Some(rate) = self.rate.filter(|rate| !(1..=RATE_MAX).contains(rate)) {
            return Err(BenchError::Options(format!(
                "--rate {rate}: from 1 to {RATE_MAX} events per second"
            )));
        }
        for (flag, seconds) in [("--warmup", self.warmup), ("--duration", self.duration)] {
            if let Some(seconds) = seconds.filter(|seconds| !(0.0..=SECONDS_MAX).contains(seconds)) {
                return Err(BenchError::Options(format!(
                    "{flag} {seconds}: from 0 to {SECONDS_MAX} seconds"
                )));
            }
        }
        Ok(())
    }
}

/// The workload of that name.
fn find(name: &str) -> Result<&'static Workload, BenchError> {
    workload::all().find(|workload| workload.name == name).ok_or_else(|| {
        let known: Vec<&str> = workload::all().map(|workload| workload.name).collect();
        BenchError::UnknownWorkload { name: name.to_owned(), near: near_miss(name, &known), known }
    })
}

/// The known name that `name` is probably a misspelling of.
fn near_miss(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let distance = |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), known);
    let (near, far) = known.iter().map(|known| (*known, distance(known))).min_by_key(|(_, far)| *far)?;
    // A third of the letters may differ; more is another word.
    (far * 3 <= name.chars().count().max(near.len())).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: Options, expected: &str) {
        let error = options.plan().expect_err(expected).to_string();
        assert!(error.contains(expected), "`{error}` does not say `{expected}`");
    }

    fn named(name: &str) -> Options {
        Options { workloads: vec![name.to_owned()], ..Options::default() }
    }

    #[test]
    fn the_suite_is_every_workload_with_short_latency_runs() {
        let options = Options { events: Some(1_000), rate: Some(5_000), ..Options::default() };
        let plan = options.plan().unwrap();
        assert_eq!(plan.len(), workload::all().count());
        for (_, load) in plan {
            match load {
                Load::Throughput { events } => assert_eq!(events, 1_000),
                Load::Latency { schedule, .. } => {
                    assert_eq!((schedule.rate, schedule.duration_ms), (5_000, SUITE_DURATION_MS));
                }
            }
        }
    }

    #[test]
    fn a_latency_run_takes_its_schedule_from_the_options() {
        let options =
            Options { rate: Some(7), warmup: Some(0.5), duration: Some(1.25), ..named("lat_tumble") };
        let (_, load) = options.plan().unwrap()[0];
        let schedule = Schedule { rate: 7, warmup_ms: 500, duration_ms: 1_250 };
        assert_eq!(load, Load::Latency { schedule, window_ms: 10 });
    }

    #[test]
    fn options_that_mean_nothing_or_are_impossible_are_mistakes() {
        check(Options { rate: Some(1), ..named("hop_max") }, "it takes --events");
        check(Options { events: Some(1), ..named("lat_tumble") }, "it takes --rate");
        check(Options { events: Some(0), ..named("hop_max") }, "--events 0");
        check(Options { rate: Some(0), ..named("lat_tumble") }, "--rate 0");
        check(Options { rate: Some(u64::MAX), ..named("lat_tumble") }, "--rate 18446744073709551615");
        check(Options { duration: Some(0.0), ..named("lat_tumble") }, "no window of 10 ms fits");
        check(Options { duration: Some(-1.0), ..named("lat_tumble") }, "--duration -1");
        check(Options { warmup: Some(f64::NAN), ..named("lat_tumble") }, "--warmup NaN");
        check(Options { warmup: Some(1e300), ..named("lat_tumble") }, "--warmup 1");
        check(
            Options { rate: Some(1), warmup: Some(0.0), duration: Some(0.5), ..named("lat_tumble") },
            "no event",
        );
    }

    #[test]
    fn a_misspelt_workload_is_guessed_and_another_word_is_not() {
        check(named("tumble_cuont"), "did you mean `tumble_count`?");
        check(named("HOP_MAX"), "did you mean `hop_max`?");
        let error = named("kafka").plan().unwrap_err();
        assert!(!error.to_string().contains("did you mean"), "{error}");
        assert!(error.to_string().contains("filter_map"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn several_workloads_take_what_each_of_them_can() {
        let both =
            |names: [&str; 2]| Options { workloads: names.map(str::to_owned).to_vec(), ..Options::default() };
        let options = Options { events: Some(7), rate: Some(5_000), ..both(["hop_max", "lat_tumble"]) };
        let plan = options.plan().unwrap();
        assert_eq!(
            plan.iter().map(|(workload, _)| workload.name).collect::<Vec<_>>(),
            ["hop_max", "lat_tumble"]
        );
        assert_eq!(plan[0].1, Load::Throughput { events: 7 });
        assert!(matches!(plan[1].1, Load::Latency { schedule, .. } if schedule.rate == 5_000));
        check(Options { rate: Some(1), ..both(["hop_max", "filter_map"]) }, "they take --events");
        check(Options { events: Some(1), ..both(["lat_tumble", "lat_tumble"]) }, "they take --rate");
        check(both(["hop_max", "kafka"]), "there is no workload `kafka`");
    }
}
