//! A job whose program changes from one run to the next, and what each of its operators should have seen.
//!
//! ```text
//!  program   operators, in the order in which they stand
//!  0         copies, counts, greatest
//!  1         extra, greatest of wider records, copies, counts behind an exchange
//!  2         counts of what is left by a filter that takes all, greatest of wider records, copies
//! ```
//!
//! Copies, counts and the greatest of each window are of all records, whatever changed. The windows of `extra` close when those of `counts` do, and are of the
//! records that came while it was there without a break: the names of the copies say in which ticks records came.

use crate::data::Event;
use crate::jobs::{Family, Shape};
use crate::names::{Name, Shown};
use crate::output::Output;
use crate::run::{Canary, Configuration};
use pelton::flow::Flow;
use pelton::prelude::*;
use pelton::sim::Chance;
use pelton::sources::Source;
use pelton::{Delivery, Stream, Tick, Timed};
use std::collections::BTreeMap;

/// Programs of the job.
const PROGRAMS: usize = 3;
/// Sinks of the job, by number.
const COPIES: usize = 0;
const COUNTS: usize = 1;
const GREATEST: usize = 2;
/// The one that only some programs have.
pub const EXTRA: usize = 3;
/// Sinks of all programs.
const SINKS: usize = 4;

/// Whether the program has the operator that comes and goes.
pub fn has_extra(program: usize) -> bool {
    program == 1
}

/// Records as windows keep them after the change: a field more, and in another order.
mod wider {
    /// A record.
    #[pelton::record]
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Event {
        /// Its number.
        pub id: u64,
        /// Once more what is added up; nothing of records from before the change.
        pub more: Option<i64>,
        /// Milliseconds.
        pub at: i64,
        /// What is added up.
        pub value: i64,
        /// What it is grouped by.
        pub key: u64,
    }
}

impl Configuration {
    /// The same, with another job, whose program changes. It comes to be suspended oftener, and all of its rows are known in the end.
    pub fn changed(&self) -> Self {
        let mut changed = Configuration { changed: true, ..self.clone() };
        let mut chance = Chance::new(self.scenario.seed, "changed");
        let deliveries = [Delivery::ExactlyOnce, Delivery::AtLeastOnce];
        changed.deliveries = (0..SINKS).map(|_| *chance.choose(&deliveries)).collect();
        // Rows are compared as they are.
        changed.shape.family = Family::Count;
        // So that it has not come to its end before it has been changed some times.
        changed.data.records += 1_000;
        let scenario = &mut changed.scenario;
        scenario.records_max = scenario.records_max.min(8);
        scenario.crashes = chance.from_to(3, 10) as u32;
        scenario.restores = *chance.choose(&[0, 300, 600]);
        if scenario.restores > 0 {
            scenario.steps_max = scenario.steps_max.max(1_600);
            scenario.commands = scenario.commands.max(60);
        }
        if chance.happens(600) {
            // Many a run is over before it has begun where the disk fails.
            let faults = &mut scenario.faults;
            (faults.sync_error, faults.write_error, faults.full_at_bytes) = (0, 0, None);
            (faults.read_error, faults.short_read) = (0, 0);
            (faults.blocking_write_error, faults.name_error) = (0, 0);
        }
        changed
    }

    /// The programs of a job that changes.
    pub fn programs(&self) -> Changed {
        let Shape { window_ms, disorder_ms, chunk, .. } = self.shape;
        Changed { window_ms, disorder_ms, chunk, placed: self.canary == Some(Canary::Placed) }
    }
}

/// What makes the job.
#[derive(Clone, Copy, Debug)]
pub struct Changed {
    /// Milliseconds of a window.
    pub window_ms: i64,
    /// How far records may be behind others.
    pub disorder_ms: i64,
    /// Records that stay together where they are spread.
    pub chunk: usize,
    /// A mistake that is to be found: operators go by where they stand.
    pub placed: bool,
}

impl Changed {
    /// All its programs, for the same source and sinks.
    pub fn programs<S: Source<Item = Event> + Clone>(&self, source: &S, sinks: &[Output]) -> Vec<Job> {
        (0..PROGRAMS).map(|program| self.program(program, source.clone(), sinks)).collect()
    }

    fn program<S: Source<Item = Event>>(&self, program: usize, source: S, sinks: &[Output]) -> Job {
        let job = Job::new("changed");
        let disorder = out_of_order(millis(self.disorder_ms as u64));
        let records = job.source(source).uid("records").event_time(Event::time, disorder);
        match program {
            0 => {
                let (of_copies, others) = records.fork();
                let (of_counts, of_greatest) = others.fork();
                copied(of_copies, &sinks[COPIES]);
                self.counted(of_counts, "counts", 0, &sinks[COUNTS]);
                let windows = of_greatest.key_by(|e| e.key).window(tumbling(millis(self.window_ms as u64)));
                let greatest = windows.max_by(|e| (e.value, e.id)).uid("greatest");
                let rows = greatest.map(|r| of_window(r.window, r.key, r.value.value, r.value.id));
                shown(rows, "greatest-rows", &sinks[GREATEST]);
            }
            1 => {
                let (of_extra, others) = records.fork();
                self.counted(of_extra, "extra", 0, &sinks[EXTRA]);
                let (of_greatest, others) = others.fork();
                self.greatest(of_greatest, &sinks[GREATEST]);
                let (of_copies, of_counts) = others.fork();
                copied(of_copies, &sinks[COPIES]);
                let spread = of_counts.rebalance_chunks(self.chunk);
                self.counted(spread, "counts", 1, &sinks[COUNTS]);
            }
            _ => {
                let (of_counts, others) = records.fork();
                let all = of_counts.filter(|e| e.at >= 0);
                self.counted(all, "counts", 0, &sinks[COUNTS]);
                let (of_greatest, of_copies) = others.fork();
                self.greatest(of_greatest, &sinks[GREATEST]);
                copied(of_copies, &sinks[COPIES]);
            }
        }
        job
    }

    /// What may be missing, or have a field less.
    pub fn drop_state(&self) -> Vec<String> {
        let placed = ["window-0", "window-1"].into_iter().filter(|_| self.placed);
        ["extra", "extra-rows", "greatest"].into_iter().chain(placed).map(str::to_owned).collect()
    }

    /// The windows called so, which are the first or the second of their kind.
    fn counted<F: Timed + Flow<Item = Event>>(
        &self,
        records: Stream<F>,
        name: &str,
        place: usize,
        sink: &Output,
    ) {
        let uid = if self.placed { format!("window-{place}") } else { name.to_owned() };
        let windows = records.key_by(|e| e.key).window(tumbling(millis(self.window_ms as u64)));
        let counts = windows.count().uid(&uid);
        shown(counts.map(|r| of_window(r.window, r.key, r.value as i64, 0)), &format!("{name}-rows"), sink);
    }

    fn greatest<F: Timed + Flow<Item = Event>>(&self, records: Stream<F>, sink: &Output) {
        let wide = records.map(|Event { at, key, value, id }| wider::Event {
            id,
            more: Some(value),
            at,
            value,
            key,
        });
        let windows = wide.key_by(|e| e.key).window(tumbling(millis(self.window_ms as u64)));
        let greatest = windows.max_by(|e| (e.value, e.id)).uid("greatest");
        let rows = greatest.map(|r| {
            let wider::Event { id, more, value, .. } = r.value;
            // Nobody expects the least number there is.
            let value = if more.is_none_or(|more| more == value) { value } else { i64::MIN };
            of_window(r.window, r.key, value, id)
        });
        shown(rows, "greatest-rows", sink);
    }

    fn start(&self, at: i64) -> i64 {
        at / self.window_ms * self.window_ms
    }

    /// What each sink should have. That of the operator that comes and goes follows from what the others were shown.
    pub fn twin(&self, events: &[Event], history: &History, outputs: &[Output]) -> Vec<Vec<Shown>> {
        let copies = events.iter().map(|e| [e.at, e.key as i64, e.value, e.id as i64]).collect();
        let mut windows: BTreeMap<(i64, u64), (i64, (i64, u64))> = BTreeMap::new();
        for e in events {
            let first = (0, (e.value, e.id));
            let (count, greatest) = windows.entry((self.start(e.at), e.key)).or_insert(first);
            *count += 1;
            *greatest = (e.value, e.id).max(*greatest);
        }
        let counts = windows.iter().map(|((at, key), (count, _))| [*at, *key as i64, *count, 0]);
        let greatest =
            windows.iter().map(|((at, key), (_, (value, id)))| [*at, *key as i64, *value, *id as i64]);
        let extra = self.extra(history, &outputs[COPIES].seen(), &outputs[COUNTS].seen());
        vec![copies, counts.collect(), greatest.collect(), extra]
    }

    /// For each window that `counts` has shown while `extra` was there: how many of its records came since that was so.
    fn extra(
        &self,
        history: &History,
        copies: &BTreeMap<Name, Shown>,
        counts: &BTreeMap<Name, Shown>,
    ) -> Vec<Shown> {
        let stays = history.of_extra();
        let stay = |tick: Tick| stays.iter().position(|(from, to)| *from < tick && tick <= *to);
        let mut came: BTreeMap<(usize, i64, i64), i64> = BTreeMap::new();
        for ((tick, ..), [at, key, ..]) in copies {
            if let Some(stay) = stay(*tick) {
                *came.entry((stay, self.start(*at), *key)).or_insert(0) += 1;
            }
        }
        let closed = counts.iter().filter_map(|((tick, ..), [at, key, ..])| {
            let count = came.get(&(stay(*tick)?, *at, *key))?;
            Some([*at, *key, *count, 0])
        });
        closed.collect()
    }
}

/// Which program was there in which ticks, of what was not given up.
#[derive(Clone, Debug, Default)]
pub struct History(Vec<(Tick, usize)>);

impl History {
    /// A program begins behind this tick.
    pub fn began(&mut self, program: usize, base: Tick) {
        self.0.retain(|(from, _)| *from < base);
        self.0.push((base, program));
    }

    /// Where the operator that comes and goes was there without a break: behind which ticks, and through which.
    fn of_extra(&self) -> Vec<(Tick, Tick)> {
        let mut stays: Vec<(Tick, Tick)> = Vec::new();
        for (number, (from, program)) in self.0.iter().enumerate() {
            let to = self.0.get(number + 1).map_or(Tick::END, |(next, _)| *next);
            match stays.last_mut() {
                _ if !has_extra(*program) => {}
                Some((_, end)) if end == from => *end = to,
                _ => stays.push((*from, to)),
            }
        }
        stays
    }
}

fn of_window(window: Window, key: u64, value: i64, id: u64) -> Shown {
    [window.start.as_millis(), key as i64, value, id as i64]
}

fn copied<F: Timed + Flow<Item = Event>>(records: Stream<F>, sink: &Output) {
    shown(records.map(|e| [e.at, e.key as i64, e.value, e.id as i64]), "copies-rows", sink);
}

fn shown<F: Flow<Item = Shown>>(rows: Stream<F>, uid: &str, sink: &Output) {
    let _ = rows.deliver(sink.delivery()).sink_with_uid(uid, sink.clone());
}
