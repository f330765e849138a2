//! Windows of ingestion time: in which window a record is follows from the reading of the clock that was written down with its tick.
//!
//! A twin takes recorded ticks and nothing else, and says what each window holds; a replay in another order of steps, under another clock, has to
//! agree. No record is late: no watermark passes the clock of a shard that still takes records in.

use crate::scripted::{Script, Scripted, script};
use pelton::prelude::*;
use pelton::sim::{Chance, Simulation, replay, simulate};
use pelton::sinks::Collect;
use pelton::{Recording, Tick};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many records there are, by the beginning of the window and the key.
type Counts = BTreeMap<(i64, u64), u64>;

/// A job, drawn.
#[derive(Clone, Debug)]
pub struct Ingestion {
    script: Script,
    ends: u64,
    window: i64,
    simulation: Simulation,
    /// Under which it is replayed.
    other: Simulation,
}

fn key(at: i64) -> u64 {
    at as u64 % 3
}

impl Ingestion {
    /// Draws it.
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "ingestion");
        let ends = 1_000_000 * chance.from_to(1, 8);
        let shards = chance.from_to(1, 5) as usize;
        let mut simulation = || Simulation {
            seed: chance.below(u64::MAX),
            shards,
            records_max: *chance.choose(&[1, 2, 64]),
            ring_bytes: 4_096 << chance.below(3),
            ..Simulation::default()
        };
        let (simulation, other) = (simulation(), simulation());
        let window = chance.magnitude(8_000_000) as i64;
        Ingestion { script: script(&mut chance, ends), ends, window, simulation, other }
    }

    fn job(&self) -> (Job, Collect<(i64, u64, u64)>, Collect<i64>) {
        let (job, rows, late) = (Job::new("ingested"), collect(), collect());
        let records = job.source(Scripted { script: Arc::new(self.script.clone()), ends: self.ends });
        let windows = tumbling(Duration::from_nanos(self.window as u64));
        let keyed = records.ingestion_time().key_by(|at| key(*at)).window(windows);
        let (counts, behind) = keyed.aggregate_with_late(count());
        let _ = counts.map(|row| (row.window.start.0, row.key, row.value)).sink(rows.clone());
        (behind.sink(late.clone()), rows, late)
    }

    /// What must be in the windows when the input was taken in like that.
    fn twin(&self, recording: &Recording) -> Counts {
        let shards = recording.logs.len();
        let mut counts = Counts::new();
        for (shard, log) in recording.logs.iter().enumerate() {
            let mut mine: Vec<_> =
                self.script.iter().skip(shard).step_by(shards).map(|records| records.iter()).collect();
            for entry in log {
                for (taken, records) in entry.taken.iter().zip(&mut mine) {
                    for (_, at) in records.by_ref().take(taken.records) {
                        let start = entry.wall.0.div_euclid(self.window) * self.window;
                        *counts.entry((start, key(*at))).or_default() += 1;
                    }
                }
            }
        }
        counts
    }

    /// Runs it, and runs it again from its ticks.
    ///
    /// # Errors
    /// What differs from the twin.
    pub fn run(&self) -> Result<(), String> {
        let fails = |error: pelton::JobError| format!("{self:?}: {error}");
        let (job, rows, late) = self.job();
        let recording = simulate(&job, &self.simulation).map_err(fails)?;
        if let Some(what) = fallen(&recording) {
            return Err(format!("{self:?}: {what}"));
        }
        let expected = self.twin(&recording);
        self.compare(&expected, &rows, &late)?;
        let (job, rows, late) = self.job();
        replay(&job, &recording, &self.other).map_err(fails)?;
        self.compare(&expected, &rows, &late).map_err(|what| format!("replayed: {what}"))
    }

    fn compare(
        &self,
        expected: &Counts,
        rows: &Collect<(i64, u64, u64)>,
        late: &Collect<i64>,
    ) -> Result<(), String> {
        let (rows, late) = (rows.take(), late.take());
        let found: Counts = rows.iter().map(|(start, key, count)| ((*start, *key), *count)).collect();
        // A window that closed twice would be one of them here.
        if found == *expected && rows.len() == found.len() && late.is_empty() {
            return Ok(());
        }
        Err(format!("{self:?}: expected {expected:?}, found {rows:?}, and late {late:?}"))
    }
}

/// The first tick of which an earlier time was written down than of the one before.
fn fallen(recording: &Recording) -> Option<String> {
    for (shard, log) in recording.logs.iter().enumerate() {
        let mut last = (Tick(0), EventTime::MIN);
        for entry in log {
            if entry.wall < last.1 {
                let (tick, wall) = (entry.tick.0, entry.wall.0);
                return Some(format!(
                    "shard {shard}: tick {tick} is of {wall}, and the one before of {last:?}"
                ));
            }
            last = (entry.tick, entry.wall);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_ingestion_time_follow_from_what_was_written_down() {
        let mut windows = 0;
        for seed in 0..200 {
            let drawn = Ingestion::draw(seed);
            drawn.run().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
            let (job, rows, _) = drawn.job();
            simulate(&job, &drawn.simulation).unwrap();
            windows += rows.take().len();
        }
        assert!(windows > 2_000, "{windows} windows of 200 jobs");
    }

    /// The twin would see a clock that is read anew.
    #[test]
    fn another_reading_gives_other_windows() {
        let differs = |seed| {
            let drawn = Ingestion::draw(seed);
            let (job, rows, late) = drawn.job();
            let mut recording = simulate(&job, &drawn.simulation).unwrap();
            let expected = drawn.twin(&recording);
            drawn.compare(&expected, &rows, &late).unwrap();
            let entries = recording.logs.iter_mut().flatten();
            entries.for_each(|entry| entry.wall.0 += 7_000_000);
            let (job, rows, late) = drawn.job();
            replay(&job, &recording, &drawn.other).unwrap();
            drawn.compare(&expected, &rows, &late).is_err()
        };
        assert!((0..50).filter(|seed| differs(*seed)).count() > 25);
    }
}
