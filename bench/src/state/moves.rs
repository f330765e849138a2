//! `pelton bench move`: key groups that move from shard to shard while the job runs, and what that does to it.
//!
//! The key space is 64 ranges of key groups. Some of them move to another shard and back, again and again, with a pause before each move. The
//! lengths of all steps of all cores are counted, those in pauses apart from those in moves, so both saw the same job, the same load and the
//! same mood of the machine: what is longest in a pause is the floor. One key group alone says what a move takes of which nothing else depends
//! on the state: the manifest that is stored, the tick that all shards have to come to.

use super::job::{WINDOW_MS, job};
use super::recorder::Recorder;
use super::source::Touches;
use super::{StateOptions, engine_error, pause, wait_for};
use crate::error::BenchError;
use crate::hist::Percentiles;
use crate::machine::Machine;
use crate::run::print;
use crate::scratch::Scratch;
use crate::table::{self, thousands};
use pelton::{Config, CoreStats, Running, Stop};
use pelton_cli::{Column, Interrupt, Progress, Table};
use serde::Serialize;
use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

/// Ranges of the key space.
const RANGES: u32 = 64;
/// Ranges that move at a time.
const MOVED: [u32; 3] = [1, 4, 16];
/// How often there and back.
const ROUNDS: usize = 5;
/// The moves of each size: a pause before each.
const MOVES: u32 = (2 * ROUNDS * (MOVED.len() + 1)) as u32;
/// The load before anything is counted.
const WARM_UP: Duration = Duration::from_secs(3);

/// The result of a run; serialised as one line of JSON.
#[derive(Clone, Debug, Serialize)]
pub struct MoveResult {
    /// Always `move`.
    pub bench: &'static str,
    /// Records for a second.
    pub rate: u64,
    /// What the job is safe from.
    pub durability: String,
    /// How many shards it had.
    pub shards: usize,
    /// How many cores.
    pub cores: usize,
    /// Each number of keys.
    pub sizes: Vec<SizeMoved>,
    /// Whether every record that was due was counted once.
    pub correct: bool,
    /// What it ran on.
    pub machine: Machine,
}

/// What moves took with one number of keys.
#[derive(Clone, Debug, Serialize)]
pub struct SizeMoved {
    /// The keys.
    pub keys: u64,
    /// One key group, and then each number of ranges.
    pub moves: Vec<Moves>,
    /// Steps in pauses.
    pub steps_in_pauses: Steps,
    /// Steps while something moved.
    pub steps_in_moves: Steps,
    /// Latency of rows released in pauses.
    pub without_us: Percentiles,
    /// Latency of rows released in moves.
    pub with_us: Percentiles,
    /// Whether every record that was due was counted once.
    pub correct: bool,
}

/// Moves of one size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Moves {
    /// Key groups that moved.
    pub groups: u32,
    /// About as many keys.
    pub keys: u64,
    /// How often.
    pub moves: usize,
    /// From the command until all shards were done, in milliseconds: the median,
    pub ms: f64,
    /// and the longest.
    pub ms_max: f64,
}

/// Lengths of steps.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Steps {
    /// How many.
    pub steps: u64,
    /// 99.9 % were shorter than this, in microseconds; 16 if they were shorter than that.
    pub p999_us: f64,
    /// All were.
    pub max_us: f64,
}

/// Fills the state, and moves parts of it under load.
///
/// # Errors
/// When the job cannot be run, or does not count what it should.
pub fn moves(options: &StateOptions, out: &mut impl Write, interrupt: &Interrupt) -> Result<(), BenchError> {
    options.check()?;
    let (shards, groups) = (options.config.shards, options.config.key_groups);
    if shards < 2 || groups < RANGES || !groups.is_multiple_of(RANGES) {
        let problem = format!(
            "--shards {shards} --key-groups {groups}: to move a part of {RANGES} takes two shards, and a multiple of {RANGES} key groups"
        );
        return Err(BenchError::Options(problem));
    }
    let sizes =
        options.keys.iter().map(|keys| measure(options, *keys, interrupt)).collect::<Result<Vec<_>, _>>()?;
    let result = MoveResult {
        bench: "move",
        rate: options.rate,
        durability: format!("{:?}", options.config.durability).to_lowercase(),
        shards,
        cores: options.config.cores.len().min(shards),
        correct: sizes.iter().all(|size| size.correct),
        sizes,
        machine: Machine::describe(),
    };
    let json = || serde_json::to_string(&result).expect("a result has only string keys");
    print(out, &if options.json { json() } else { result.to_string() })?;
    if result.correct { Ok(()) } else { Err(BenchError::Wrong { workloads: vec!["move"] }) }
}

fn measure(options: &StateOptions, keys: u64, interrupt: &Interrupt) -> Result<SizeMoved, BenchError> {
    let scratch = Scratch::new(options.config.data.as_deref(), "move")?;
    let mut config = Config { data: Some(scratch.path().join("data")), ..options.config.clone() };
    config.checkpoint.interval_s = 0;
    let keys = options.keys(keys, config.shards);
    let source = Touches::new(keys);
    let recorder = Recorder::new(source.clone());
    let running = job(source.clone(), recorder.clone()).start_with(&config).map_err(engine_error)?;
    let progress = Progress::quiet("move");
    progress.phase(format!("filling the state with {} keys", thousands(keys.keys)), 1);
    let ran = wait_for(&running, interrupt, || source.start_ns().is_some()).and_then(|()| {
        pause(&running, interrupt, WARM_UP)?;
        let from_ms = recorder.begin();
        let least = Duration::from_secs(options.seconds) / (2 * MOVES);
        let (moves, counted) = run(&running, &recorder, keys.keys, config.key_groups, least, interrupt)?;
        let to_ms = recorder.end();
        wait_for(&running, interrupt, || recorder.is_complete())?;
        Ok((moves, counted, keys.paced_between(from_ms - WINDOW_MS, to_ms)))
    });
    running.stop(Stop::Now);
    running.wait().map_err(engine_error)?;
    let (moves, [pauses, moving], records) = ran?;
    let recorded = recorder.take();
    Ok(SizeMoved {
        keys: keys.keys,
        moves,
        steps_in_pauses: pauses.steps(),
        steps_in_moves: moving.steps(),
        without_us: recorded.without.percentiles(),
        with_us: recorded.with.percentiles(),
        correct: recorded.records == records,
    })
}

/// Moves key groups there and back, and counts steps in pauses and in moves.
fn run(
    running: &Running,
    recorder: &Recorder,
    keys: u64,
    groups: u32,
    least: Duration,
    interrupt: &Interrupt,
) -> Result<(Vec<Moves>, [Counted; 2]), BenchError> {
    let (mut all, mut counted) = (Vec::new(), [Counted::default(), Counted::default()]);
    for moved in [1].into_iter().chain(MOVED.map(|ranges| ranges * (groups / RANGES))) {
        let mut times = Vec::new();
        for number in 0..2 * ROUNDS {
            let began = running.progress().cores;
            pause(running, interrupt, least)?;
            let paused = running.progress().cores;
            recorder.set_making(true);
            let start = Instant::now();
            // The first groups live on shard 0.
            let done = running.move_groups(0..=moved - 1, (number + 1) as u16 % 2).map_err(engine_error)?;
            times.push(start.elapsed().as_secs_f64() * 1_000.0);
            recorder.set_making(false);
            counted[0].add(&began, &paused);
            counted[1].add(&paused, &running.progress().cores);
            if done.moved != moved {
                return Err(BenchError::Options(format!("{} of {moved} key groups have moved", done.moved)));
            }
        }
        times.sort_by(f64::total_cmp);
        all.push(Moves {
            groups: moved,
            keys: keys * u64::from(moved) / u64::from(groups),
            moves: times.len(),
            ms: hundredths(times[times.len() / 2]),
            ms_max: hundredths(times[times.len() - 1]),
        });
    }
    Ok((all, counted))
}

/// Steps of all cores, by their lengths.
#[derive(Default)]
struct Counted {
    steps: u64,
    lengths: Vec<u64>,
}

impl Counted {
    /// Adds what the cores have done since `before`.
    fn add(&mut self, before: &[CoreStats], after: &[CoreStats]) {
        for (before, after) in before.iter().zip(after) {
            self.steps += after.cycles - before.cycles;
            self.lengths.resize(after.lengths.len(), 0);
            let more = after.lengths.iter().zip(&before.lengths).map(|(after, before)| after - before);
            self.lengths.iter_mut().zip(more).for_each(|(length, more)| *length += more);
        }
    }

    fn steps(&self) -> Steps {
        // The length that no more than so many steps come up to.
        let below = |most: u64| {
            let mut longer = 0;
            let place = self.lengths.iter().rposition(|count| {
                longer += count;
                longer > most
            });
            CoreStats::length_ns(place.map_or(0, |place| place + 1)) as f64 / 1_000.0
        };
        Steps {
            steps: self.steps,
            p999_us: hundredths(below(self.steps / 1_000)),
            max_us: hundredths(below(0)),
        }
    }
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

impl fmt::Display for MoveResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MoveResult { rate, durability, shards, cores, .. } = self;
        writeln!(
            f,
            "key groups that move at {}/s; durability {durability}, {shards} shards on {cores} cores",
            thousands(*rate)
        )?;
        for size in &self.sizes {
            let columns = ["key groups", "keys", "moves", "median ms", "longest ms"];
            let mut table = Table::new(columns.map(Column::number));
            for Moves { groups, keys, moves, ms, ms_max } in &size.moves {
                let cells = [thousands(u64::from(*groups)), thousands(*keys), moves.to_string()];
                table.row(cells.into_iter().chain([ms, ms_max].map(|ms| format!("{ms:.1}"))));
            }
            writeln!(f, "\n{} keys\n{}", thousands(size.keys), table.fitted(None).trim_end())?;
            for (what, steps) in [("pauses", size.steps_in_pauses), ("moves", size.steps_in_moves)] {
                writeln!(
                    f,
                    "{} steps in {what}: p99.9 below {} us, the longest below {} us",
                    thousands(steps.steps),
                    steps.p999_us,
                    steps.max_us
                )?;
            }
            writeln!(f, "{}", table::latencies([("without", &size.without_us), ("with", &size.with_us)]))?;
            let counted = if size.correct { "counted once" } else { "should count once, and does NOT" };
            write!(f, "every record {counted}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_one_that_few_enough_steps_come_up_to() {
        let (mut before, mut after) = (CoreStats::default(), CoreStats::default());
        (before.cycles, before.lengths[40]) = (50, 3);
        (after.cycles, after.lengths[40], after.lengths[8], after.lengths[20]) = (5_050, 3, 5, 1);
        let mut counted = Counted::default();
        counted.add(&[before], &[after]);
        let us = |place| hundredths(CoreStats::length_ns(place) as f64 / 1_000.0);
        let Steps { steps, p999_us, max_us } = counted.steps();
        assert_eq!((steps, p999_us, max_us), (5_000, us(9), us(21)));
        after.lengths[8] = 4;
        let mut counted = Counted::default();
        counted.add(&[before], &[after]);
        assert_eq!(counted.steps().p999_us, us(0), "five of five thousand are one of a thousand");
    }
}
