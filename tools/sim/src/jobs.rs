//! The jobs that are simulated, each with a naive twin: the same result from the same records, in one thread and a few lines.

use crate::data::{Data, Event, REPEATED_WITHIN};
use crate::functions::{Alarm, Remember, remembered};
use crate::names::{Name, Shown};
use crate::output::Output;
use pelton::prelude::*;
use pelton::sim::Chance;
use pelton::sources::Source;
use std::collections::{BTreeMap, BTreeSet};

/// What kind of job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Records by key, counted in windows.
    Count,
    /// The greatest value by key in windows that overlap.
    HoppingMax,
    /// The first record of each number.
    Distinct,
    /// Records in the order of time, by key.
    SortedByKey,
    /// Records in the order of time, all of them.
    Sorted,
    /// The key with the most records in each window.
    Hottest,
    /// Spread over the shards, then added up by key.
    Rebalanced,
    /// Forked, changed, brought together where they were, and added up; a side output beside it.
    Joined,
    /// The same, one half of it having gone through another stage.
    JoinedLater,
    /// Windows of the time at which records entered.
    Ingested,
    /// Nothing but records, as they are.
    Copied,
    /// Records of even and of odd values that meet by key in windows that may overlap.
    WindowJoined,
    /// A timer of either clock for each record, and what was kept of its key.
    Timed,
    /// What was kept of a key for a while, behind a sort and within its chain.
    Remembered,
}

/// What is drawn from. What a seed means must not change, so whatever is added takes the place of some of one that it goes beyond.
const FAMILIES: [Family; 13] = [
    Family::Count,
    Family::HoppingMax,
    Family::Distinct,
    Family::SortedByKey,
    Family::Sorted,
    Family::Hottest,
    Family::Rebalanced,
    Family::Joined,
    Family::JoinedLater,
    Family::Ingested,
    Family::Copied,
    Family::WindowJoined,
    Family::Timed,
];

/// A job, drawn.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What kind of job.
    pub family: Family,
    /// Milliseconds of a window.
    pub window_ms: i64,
    /// Windows that a hopping one consists of.
    pub hops: i64,
    /// Records that stay together where they are spread.
    pub chunk: usize,
    /// How far records may be behind others.
    pub disorder_ms: i64,
}

impl Shape {
    /// Draws a job for such records, which may come so many places behind others.
    pub fn draw(chance: &mut Chance, data: &Data, places_behind: u64) -> Self {
        let places = places_behind + REPEATED_WITHIN;
        let mut shape = Shape {
            family: *chance.choose(&FAMILIES),
            window_ms: data.step_ms * chance.magnitude(200) as i64,
            hops: chance.from_to(1, 5) as i64,
            chunk: chance.magnitude(8) as usize,
            disorder_ms: data.jitter_ms + data.step_ms * places as i64 + 1,
        };
        if shape.family == Family::SortedByKey && shape.hops > 2 {
            shape.family = Family::Remembered;
        }
        shape
    }

    /// Sinks of the job.
    pub fn sinks(&self) -> usize {
        if self.family == Family::Joined { 2 } else { 1 }
    }

    /// Builds it.
    pub fn job<S: Source<Item = Event>>(&self, source: S, sinks: &[Output]) -> Job {
        let job = Job::new("simulated");
        let records = job.source(source);
        let disorder = out_of_order(millis(self.disorder_ms as u64));
        let windows = tumbling(millis(self.window_ms as u64));
        let sink = sinks[0].clone();
        let delivery = sink.delivery();
        if self.family == Family::Ingested {
            // In the time that a run takes some of them close.
            let windows = tumbling(millis(1 + self.window_ms as u64 % 20));
            let counts = records.ingestion_time().key_by(|e| e.key).window(windows).count();
            return counts.map(|r| row(r.window, r.key, r.value as i64)).deliver(delivery).sink(sink);
        }
        let records = records.event_time(Event::time, disorder);
        match self.family {
            Family::Count => {
                let counts = records.key_by(|e| e.key).window(windows).count();
                counts.map(|r| row(r.window, r.key, r.value as i64)).deliver(delivery).sink(sink)
            }
            Family::HoppingMax => {
                let size = (self.window_ms * self.hops) as u64;
                let windows = hopping(millis(size), millis(self.window_ms as u64));
                let greatest = records.key_by(|e| e.key).window(windows).max(|e| e.value);
                greatest.map(|r| row(r.window, r.key, r.value)).deliver(delivery).sink(sink)
            }
            Family::Distinct => {
                let distinct = records.key_by(|e| e.id).deduplicate(millis(self.window_ms as u64));
                distinct.map(copy).deliver(delivery).sink(sink)
            }
            Family::SortedByKey => records.key_by(|e| e.key).sort().map(copy).deliver(delivery).sink(sink),
            Family::Sorted => records.sort().map(copy).deliver(delivery).sink(sink),
            Family::Hottest => {
                let counts = records.key_by(|e| e.key).window(windows).count();
                let hottest = counts.window_all().max_by(|r| r.value);
                hottest.map(|r| row(r.window, r.value.key, r.value.value as i64)).deliver(delivery).sink(sink)
            }
            Family::Rebalanced => {
                let spread = records.rebalance_chunks(self.chunk).filter(|e| e.value % 3 != 0);
                let sums = spread.key_by(|e| e.key).window(windows).sum(|e| e.value);
                sums.map(|r| row(r.window, r.key, r.value)).deliver(delivery).sink(sink)
            }
            Family::Joined => {
                let (main, side) = records.side_output(|e| e.value < 0);
                let other = sinks[1].clone();
                side.map(copy).deliver(other.delivery()).sink(other);
                let (left, right) = main.fork();
                let both = left
                    .filter(|e| e.value % 2 == 0)
                    .union(right.map(|e| Event { value: e.value * 10, ..e }));
                let sums = both.key_by(|e| e.key).window(windows).sum(|e| e.value);
                sums.map(|r| row(r.window, r.key, r.value)).deliver(delivery).sink(sink)
            }
            Family::JoinedLater => {
                let (left, right) = records.fork();
                let right = right.rebalance_chunks(self.chunk).map(|e| Event { value: e.value * 10, ..e });
                let sums = left.union(right).key_by(|e| e.key).window(windows).sum(|e| e.value);
                sums.map(|r| row(r.window, r.key, r.value)).deliver(delivery).sink(sink)
            }
            Family::WindowJoined => {
                let size = (self.window_ms * self.hops) as u64;
                let (even, odd) = records.side_output(|e| e.value % 2 != 0);
                let joined = even
                    .key_by(|e| e.key)
                    .full_join(odd.key_by(|e| e.key))
                    .window(hopping(millis(size), millis(self.window_ms as u64)))
                    .aggregate(count(), sum(|e: &Event| e.value));
                let rows = joined.map(|r| {
                    let (even, odd) = r.value;
                    sides(r.window.start.as_millis(), r.key, even.map(|n| n as i64), odd)
                });
                rows.deliver(delivery).sink(sink)
            }
            Family::Timed => {
                let rows = records.key_by(|e| e.key).process(Alarm { delay_ms: self.window_ms as u64 });
                rows.deliver(delivery).sink(sink)
            }
            Family::Remembered => {
                let sorted = records.key_by(|e| e.key).sort();
                let remember = Remember { while_ms: self.window_ms as u64 };
                let rows = sorted.keyed_as(|e| e.key).process(remember);
                if self.hops > 3 {
                    return rows.deliver(delivery).sink(sink);
                }
                // Rows of any size that cross: the chain waits for room, the sort in front of it too.
                let long = |row: Shown| (row, "x".repeat(row[0].unsigned_abs() as usize * 37 % 900));
                let rows = rows.map(long).rebalance_chunks(self.chunk).map(|(row, _)| row);
                rows.deliver(delivery).sink(sink)
            }
            Family::Copied | Family::Ingested => records.map(copy).deliver(delivery).sink(sink),
        }
    }

    /// What each sink has in the end, in any order.
    pub fn twin(&self, events: &[Event]) -> Vec<Vec<Shown>> {
        let start = |e: &Event| e.at / self.window_ms * self.window_ms;
        let mut sums: BTreeMap<(i64, u64), i64> = BTreeMap::new();
        let mut add = |e: &Event, value: i64| *sums.entry((start(e), e.key)).or_insert(0) += value;
        let copies = |events: &mut dyn Iterator<Item = &Event>| events.cloned().map(copy).collect();
        let mut side = None;
        match self.family {
            Family::Distinct => {
                let mut ids = BTreeSet::new();
                return vec![copies(&mut events.iter().filter(|e| ids.insert(e.id)))];
            }
            Family::SortedByKey | Family::Sorted | Family::Copied => return vec![copies(&mut events.iter())],
            Family::HoppingMax => {
                let mut greatest: BTreeMap<(i64, u64), i64> = BTreeMap::new();
                for e in events {
                    for hop in 0..self.hops {
                        let value =
                            greatest.entry((start(e) - hop * self.window_ms, e.key)).or_insert(e.value);
                        *value = e.value.max(*value);
                    }
                }
                return vec![
                    greatest.into_iter().map(|((at, key), value)| [at, key as i64, value, 0]).collect(),
                ];
            }
            Family::WindowJoined => {
                let mut both: BTreeMap<(i64, u64), (Option<i64>, Option<i64>)> = BTreeMap::new();
                for e in events {
                    for hop in 0..self.hops {
                        let (even, odd) = both.entry((start(e) - hop * self.window_ms, e.key)).or_default();
                        match e.value % 2 {
                            0 => *even = Some(even.unwrap_or(0) + 1),
                            _ => *odd = Some(odd.unwrap_or(0) + e.value),
                        }
                    }
                }
                return vec![both.into_iter().map(|((at, key), (l, r))| sides(at, key, l, r)).collect()];
            }
            Family::Timed => {
                let by_time = |e: &Event| [e.at + self.window_ms, e.key as i64, 0, e.id as i64];
                let by_clock = |e: &Event| [0, e.key as i64, 1, e.id as i64];
                let rows: BTreeSet<Shown> = events.iter().flat_map(|e| [by_time(e), by_clock(e)]).collect();
                return vec![rows.into_iter().collect()];
            }
            Family::Remembered => {
                let mut by_key: BTreeMap<u64, Vec<&Event>> = BTreeMap::new();
                events.iter().for_each(|e| by_key.entry(e.key).or_default().push(e));
                return vec![by_key.into_values().flat_map(|of| remembered(of, self.window_ms)).collect()];
            }
            Family::Count | Family::Hottest => events.iter().for_each(|e| add(e, 1)),
            Family::Ingested => {
                let mut counts: BTreeMap<u64, i64> = BTreeMap::new();
                events.iter().for_each(|e| *counts.entry(e.key).or_insert(0) += 1);
                return vec![counts.into_iter().map(|(key, count)| [0, key as i64, count, 0]).collect()];
            }
            Family::Rebalanced => events.iter().filter(|e| e.value % 3 != 0).for_each(|e| add(e, e.value)),
            Family::Joined => {
                side = Some(copies(&mut events.iter().filter(|e| e.value < 0)));
                for e in events.iter().filter(|e| e.value >= 0) {
                    add(e, e.value * if e.value % 2 == 0 { 11 } else { 10 });
                }
            }
            Family::JoinedLater => events.iter().for_each(|e| add(e, e.value * 11)),
        }
        let rows: Vec<Shown> =
            sums.into_iter().map(|((at, key), value)| [at, key as i64, value, 0]).collect();
        let rows = if self.family == Family::Hottest { hottest(&rows) } else { rows };
        [rows].into_iter().chain(side).collect()
    }

    /// What is compared with the twin: rows as they are, but where windows depend on the clock, their sums by key, and timers of the clock without
    /// their times.
    pub fn comparable(&self, mut rows: Vec<Shown>) -> Vec<Shown> {
        if self.family == Family::Ingested {
            let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
            rows.iter().for_each(|row| *counts.entry(row[1]).or_insert(0) += row[2]);
            rows = counts.into_iter().map(|(key, count)| [0, key, count, 0]).collect();
        }
        if self.family == Family::Timed {
            rows.iter_mut().filter(|row| row[2] == 1).for_each(|row| row[0] = 0);
        }
        rows.sort_unstable();
        rows
    }

    /// A window of a key that there are two rows of. Where windows are of the time at which records enter, none of these is late, so it closes once.
    pub fn divided(&self, rows: &[Shown]) -> Option<String> {
        if self.family != Family::Ingested {
            return None;
        }
        let mut windows = BTreeSet::new();
        let twice = rows.iter().find(|row| !windows.insert((row[0], row[1])));
        twice.map(|row| format!("there are two rows of the window of {row:?}"))
    }

    /// The first row that comes before another one that it should follow. Rows in the order of their names.
    pub fn disorder(&self, rows: &BTreeMap<Name, Shown>) -> Option<String> {
        let mut last: BTreeMap<i64, Shown> = BTreeMap::new();
        for (name, row) in rows {
            let group = match self.family {
                Family::SortedByKey => row[1],
                Family::Sorted => 0,
                _ => return None,
            };
            if let Some(before) = last.insert(group, *row)
                && before > *row
            {
                return Some(format!("row {row:?}, {name:?}, comes after {before:?}"));
            }
        }
        None
    }
}

/// A row of a join.
fn sides(at: i64, key: u64, left: Option<i64>, right: Option<i64>) -> Shown {
    [at, key as i64, left.unwrap_or(i64::MIN), right.unwrap_or(i64::MIN)]
}

fn row(window: Window, key: u64, value: i64) -> Shown {
    [window.start.as_millis(), key as i64, value, 0]
}

fn copy(event: Event) -> Shown {
    [event.at, event.key as i64, event.value, event.id as i64]
}

/// The greatest of each window; of several, that of the least key.
fn hottest(rows: &[Shown]) -> Vec<Shown> {
    let mut hottest: BTreeMap<i64, Shown> = BTreeMap::new();
    for row in rows {
        let best = hottest.entry(row[0]).or_insert(*row);
        if row[2] > best[2] {
            *best = *row;
        }
    }
    hottest.into_values().collect()
}
