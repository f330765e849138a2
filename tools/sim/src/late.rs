//! Which records are late, and which windows they are missing from: a job with tiny windows, sources that are silent now and then, and
//! stragglers, against a twin that knows nothing but the records and, where partitions may be idle, the recorded ticks.
//!
//! Whatever else has a part in it (the number of shards, who shares one with whom, who is quick, which shard has said something yet)
//! shows as a difference. The twin keeps the rules of `docs/operating/time.md` in a few lines.

use crate::scripted::{Script, Scripted, script};
use pelton::flow::Flow;
use pelton::prelude::*;
use pelton::sim::{Chance, Simulation, replay, simulate};
use pelton::sinks::Collect;
use pelton::{Recording, Stream, Tick, Timed, WatermarkStrategy};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the records go through before they are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Straight,
    Spread,
    /// Two sources meet where they are.
    Met,
    /// They meet when one has gone through another stage.
    MetLater,
    /// They meet before they have a time.
    MetBefore,
    /// All records, and all of them once more, having gone through another stage.
    Doubled,
}

/// A job, drawn.
#[derive(Clone, Debug)]
pub struct Lateness {
    way: Way,
    scripts: [Script; 2],
    ends: u64,
    window: i64,
    /// How far windows begin from each other.
    slide: i64,
    bound: i64,
    idle: u64,
    /// How far ahead is early.
    early: i64,
    simulation: Simulation,
    /// Where no partition may be idle its input comes to the same with this, too, which has other shards.
    elsewhere: Simulation,
    /// Under which it is replayed.
    other: Simulation,
}

const NEVER: i64 = i64::MAX;
/// Early records in a row that are believed.
const AGREE: usize = 8;

/// What comes out: the times of late records in order, and how many records there are in the window that begins at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    late: Vec<i64>,
    windows: BTreeMap<i64, u64>,
}

impl Lateness {
    /// Draws it.
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "lateness");
        let ways = [Way::Straight, Way::Spread, Way::Met, Way::MetLater, Way::MetBefore, Way::Doubled];
        let ends = 1_000_000 * chance.from_to(1, 30);
        let mut simulation = |shards: u64| Simulation {
            seed: chance.below(u64::MAX),
            shards: shards as usize,
            records_max: *chance.choose(&[1, 1, 2, 64]),
            ring_bytes: 4_096 << chance.below(3),
            ..Simulation::default()
        };
        let shards = Chance::new(seed, "shards").from_to(1, 8);
        let (simulation, other) = (simulation(shards), simulation(shards));
        let mut apart = Chance::new(seed, "elsewhere");
        let elsewhere = Simulation {
            seed: apart.below(u64::MAX),
            shards: apart.from_to(1, 8) as usize,
            records_max: *apart.choose(&[1, 2, 7, 64]),
            ..simulation
        };
        let mut scripts = [(); 2].map(|()| script(&mut chance, ends));
        let way = *chance.choose(&ways);
        if !matches!(way, Way::Met | Way::MetLater | Way::MetBefore) {
            scripts[1].clear();
        }
        let window = chance.from_to(1, 40) as i64;
        // One in three jobs has windows that do not overlap.
        let slide = if apart.happens(333) { window } else { apart.from_to(1, window as u64) as i64 };
        Lateness {
            way,
            scripts,
            ends,
            window,
            slide,
            bound: *chance.choose(&[0, 0, 5, 60]),
            idle: *chance.choose(&[0, 0, 500_000, 4_000_000]),
            early: *chance.choose(&[NEVER, 30, 200]),
            simulation,
            other,
            elsewhere,
        }
    }

    fn watermarks(&self) -> WatermarkStrategy {
        let watermarks = out_of_order(Duration::from_nanos(self.bound as u64));
        let watermarks =
            if self.idle > 0 { watermarks.idle_after(Duration::from_nanos(self.idle)) } else { watermarks };
        match self.early {
            NEVER => watermarks.never_early(),
            limit => watermarks.early_after(Duration::from_nanos(limit as u64)),
        }
    }

    fn job(&self) -> (Job, Ends) {
        let (job, ends) = (Job::new("late"), Ends { rows: collect(), late: collect() });
        let [first, second] = &self.scripts;
        let source =
            |script: &Script| job.source(Scripted { script: Arc::new(script.clone()), ends: self.ends });
        let (at, watermarks) = (|at: &i64| EventTime(*at), self.watermarks());
        let first = source(first);
        let job = match self.way {
            Way::Straight => ends.of(first.event_time(at, watermarks), self),
            Way::Spread => ends.of(first.event_time(at, watermarks).rebalance(), self),
            Way::MetBefore => ends.of(first.union(source(second)).event_time(at, watermarks), self),
            Way::Met => {
                let (first, second) =
                    (first.event_time(at, watermarks), source(second).event_time(at, watermarks));
                ends.of(first.union(second), self)
            }
            Way::MetLater => {
                let (first, second) =
                    (first.event_time(at, watermarks), source(second).event_time(at, watermarks));
                ends.of(first.union(second.rebalance()), self)
            }
            Way::Doubled => {
                let (left, right) = first.event_time(at, watermarks).fork();
                ends.of(left.union(right.rebalance()), self)
            }
        };
        (job, ends)
    }

    /// What must come out when the input was taken in like that.
    fn twin(&self, recording: &Recording) -> Outcome {
        let shards = recording.logs.len();
        let mut partitions: Vec<Of> = Vec::new();
        // By shard: its partitions, in the order in which it reads them.
        let mut read_by: Vec<Vec<usize>> = vec![Vec::new(); shards];
        // A shard reads sources in the order in which their streams end: the second one's ends first where it goes through a stage before they meet.
        let mut scripts: Vec<&Script> = self.scripts.iter().collect();
        if self.way == Way::MetLater {
            scripts.reverse();
        }
        for script in scripts {
            for (index, records) in script.iter().enumerate() {
                read_by[index % shards].push(partitions.len());
                partitions
                    .push(Of { records: records.iter().map(|record| record.1).collect(), ..Of::default() });
            }
        }
        let mut ticks: BTreeMap<Tick, Vec<(usize, usize)>> = BTreeMap::new();
        for (shard, log) in recording.logs.iter().enumerate() {
            log.iter()
                .enumerate()
                .for_each(|(n, entry)| ticks.entry(entry.tick).or_default().push((shard, n)));
        }
        let (mut outcome, mut watermark) = (Outcome::default(), i64::MIN);
        let copies = if self.way == Way::Doubled { 2 } else { 1 };
        for entries in ticks.into_values() {
            for (shard, number) in entries {
                let entry = &recording.logs[shard][number];
                for (taken, partition) in entry.taken.iter().zip(&read_by[shard]) {
                    let partition = &mut partitions[*partition];
                    let records = partition.take(taken.records, taken.asked, taken.done, entry.now.0, self);
                    for (at, reached) in records {
                        // Its own partition decides; only where one may be idle can the others be further.
                        let over = if self.idle > 0 { reached.max(watermark) } else { reached };
                        let last = at.div_euclid(self.slide) * self.slide;
                        let starts = (0..).map(|n| last - n * self.slide);
                        let open: Vec<i64> = starts
                            .take_while(|start| start + self.window > at)
                            .filter(|start| start + self.window > over)
                            .collect();
                        for _ in 0..copies {
                            if open.is_empty() {
                                outcome.late.push(at);
                            }
                            open.iter().for_each(|start| *outcome.windows.entry(*start).or_default() += 1);
                        }
                    }
                }
            }
            let counts = partitions.iter().filter(|partition| !partition.done && !partition.idle);
            match counts.map(|partition| partition.watermark.unwrap_or(i64::MIN)).min() {
                Some(least) => watermark = watermark.max(least),
                None if partitions.iter().all(|partition| partition.done) => watermark = i64::MAX,
                None => {}
            }
        }
        outcome.late.sort_unstable();
        outcome
    }

    /// Runs it, and runs it again: from its ticks in another order of steps and, where time alone has no part in it, with other shards and ticks.
    ///
    /// # Errors
    /// What differs from the twin.
    pub fn run(&self) -> Result<(), String> {
        let fails = |error: pelton::JobError| format!("{self:?}: {error}");
        let (job, ends) = self.job();
        let recording = simulate(&job, &self.simulation).map_err(fails)?;
        let (expected, found) = (self.twin(&recording), ends.outcome());
        if expected != found {
            return Err(format!("{self:?}: expected {expected:?}, found {found:?}"));
        }
        let (job, ends) = self.job();
        replay(&job, &recording, &self.other).map_err(fails)?;
        let again = ends.outcome();
        if again != expected {
            return Err(format!("{self:?}, replayed: expected {expected:?}, found {again:?}"));
        }
        if self.idle == 0 {
            let (job, ends) = self.job();
            simulate(&job, &self.elsewhere).map_err(fails)?;
            let elsewhere = ends.outcome();
            if elsewhere != expected {
                return Err(format!("{self:?}, elsewhere: expected {expected:?}, found {elsewhere:?}"));
            }
        }
        Ok(())
    }
}

/// Where it ends.
struct Ends {
    rows: Collect<(i64, u64)>,
    late: Collect<i64>,
}

impl Ends {
    fn of<F: Flow<Item = i64> + Timed>(&self, records: Stream<F>, of: &Lateness) -> Job {
        let nanos = |nanos: i64| Duration::from_nanos(nanos as u64);
        let windows = hopping(nanos(of.window), nanos(of.slide));
        let (counts, late) = records.key_by(|at| *at as u64 % 3).window(windows).aggregate_with_late(count());
        let _ = counts.map(|row| (row.window.start.0, row.value)).sink(self.rows.clone());
        late.sink(self.late.clone())
    }

    fn outcome(&self) -> Outcome {
        let mut outcome = Outcome { late: self.late.take(), ..Outcome::default() };
        outcome.late.sort_unstable();
        for (start, count) in self.rows.take() {
            *outcome.windows.entry(start).or_default() += count;
        }
        outcome
    }
}

/// A partition, as the rules see it.
#[derive(Default)]
struct Of {
    records: Vec<i64>,
    next: usize,
    /// The newest time that is believed; none before the first.
    newest: Option<i64>,
    jump: i64,
    run: Vec<i64>,
    /// When it was heard last.
    heard: Option<u64>,
    watermark: Option<i64>,
    idle: bool,
    done: bool,
}

impl Of {
    /// It is read; its records, each with the watermark of the partition before it.
    fn take(&mut self, records: usize, asked: bool, done: bool, now: u64, of: &Lateness) -> Vec<(i64, i64)> {
        let taken = self.records[self.next..self.next + records].to_vec();
        self.next += records;
        let reached = |newest: Option<i64>| newest.map_or(i64::MIN, |newest| newest - of.bound);
        let taken: Vec<_> = taken
            .into_iter()
            .map(|at| {
                let before = reached(self.newest);
                self.hear(at, of.early);
                (at, before)
            })
            .collect();
        if records > 0 || self.heard.is_none() {
            self.heard = Some(now);
        }
        if asked {
            self.idle = of.idle > 0 && self.heard.is_some_and(|heard| now - heard >= of.idle);
        }
        self.done = done;
        self.watermark = self.watermark.max(self.newest.map(|newest| newest - of.bound));
        taken
    }

    fn hear(&mut self, at: i64, early: i64) {
        let (Some(newest), true) = (self.newest, early < NEVER) else {
            self.newest = self.newest.max(Some(at));
            return;
        };
        let reach = early + self.jump;
        if at <= newest + reach {
            if at >= newest - reach {
                self.run.clear();
            }
            self.newest = Some(newest.max(at));
            return;
        }
        self.run.push(at);
        if self.run.len() == AGREE {
            let least = self.run.iter().copied().min().unwrap_or(at);
            self.jump = least - newest;
            self.newest = Some(least);
            self.run.clear();
            if at > least + early + self.jump {
                self.run.push(at);
            } else {
                self.newest = Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_a_function_of_the_input() {
        let mut late = 0;
        for seed in 0..2_000 {
            let drawn = Lateness::draw(seed);
            drawn.run().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
            let (job, ends) = drawn.job();
            simulate(&job, &drawn.simulation).unwrap();
            late += usize::from(!ends.outcome().late.is_empty());
        }
        assert!(late > 500, "{late} of 2,000 have late records");
    }
}
