//! One seed: what is drawn from it, the run, and what must hold in the end.

use crate::changed::{self, History};
use crate::data::{Data, Event};
use crate::database::Database;
use crate::jobs::{Family, Shape};
use crate::names::Shown;
use crate::output::Output;
use crate::parts::{self, Parts};
use crate::producers::{Producers, Sending};
use clap::ValueEnum;
use pelton::config::Durability;
use pelton::prelude::*;
use pelton::sim::{
    Chance, CrashReport, Environment, Faults, Mistake, Moment, OUTPUT, RunEnd, Scenario, Simulated,
    crash_test_changed,
};
use pelton::sources::Source;
use pelton::{Delivery, Tick};
use std::collections::{BTreeMap, BTreeSet};

/// Of rows that differ, so many are told.
const ROWS_TOLD: usize = 4;

/// A mistake on purpose, in what is around the engine: if it is not found, the simulator is blind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Canary {
    /// Ticks count as durable before they are flushed: the disk says of a flush that it is done, and does nothing.
    Unflushed,
    /// The first entry of a log is not replayed.
    Skipped,
    /// A file that could not be renamed is taken for one that was.
    Unnamed,
    /// The clock is read anew for what is replayed.
    Reread,
    /// A sink that keeps rows is not taken back with the job when that goes back to a savepoint.
    Untaken,
    /// What cannot be read is taken for something that is not there.
    Absent,
    /// A checkpoint counts before the files that it counts on are durable.
    Unsynced,
    /// The position of a part is written before the rows that it counts.
    Early,
    /// Operators of a changed job are found by where they stand.
    Placed,
}

impl Canary {
    /// If it is one in how the job recovers.
    fn mistake(self) -> Option<Mistake> {
        match self {
            Canary::Unflushed
            | Canary::Unnamed
            | Canary::Untaken
            | Canary::Absent
            | Canary::Unsynced
            | Canary::Early
            | Canary::Placed => None,
            Canary::Skipped => Some(Mistake::Skipped),
            Canary::Reread => Some(Mistake::Reread),
        }
    }
}

/// Everything that is drawn before a run.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The mistake that is to be found.
    pub canary: Option<Canary>,
    /// Runs and sizes.
    pub scenario: Scenario,
    /// The records.
    pub data: Data,
    /// The job.
    pub shape: Shape,
    /// Partitions of the source, if it can be read again.
    pub partitions: usize,
    /// The producers, if there are any.
    pub sending: Option<Sending>,
    /// How each sink is delivered to.
    pub deliveries: Vec<Delivery>,
    /// Its rows go to files on the disk that the job is on.
    pub filed: bool,
    /// Its program changes from one run to the next.
    pub changed: bool,
}

impl Configuration {
    /// Draws it.
    pub fn draw(seed: u64, canary: Option<Canary>) -> Self {
        let mut chance = Chance::new(seed, "configuration");
        let data = Data::draw(&mut Chance::new(seed, "data"));
        let mut sent = Chance::new(seed, "sending");
        let sending = sent.happens(400).then(|| Sending::draw(&mut sent));
        let behind = sending.as_ref().map_or(0, Sending::places_behind);
        let shape = Shape::draw(&mut Chance::new(seed, "job"), &data, behind);
        let most = chance.from_to(1, 8);
        let least = if chance.happens(500) { most } else { chance.from_to(1, most) };
        let restores = *Chance::new(seed, "restores").choose(&[0, 500, 900]);
        let drawn =
            unreadable(&mut Chance::new(seed, "reads"), faults(&mut Chance::new(seed, "faults"), most));
        let scenario = Scenario {
            seed,
            crashes: chance.below(7) as u32,
            // In a few steps no savepoint comes about.
            steps_max: (50 << chance.below(8)).max(if restores > 0 { 1_600 } else { 0 }),
            shards: least as usize..=most as usize,
            key_groups: most.max(chance.magnitude(256)) as u32,
            ring_bytes: 4_096 << chance.below(4),
            records_max: chance.magnitude(100) as usize,
            durability: if chance.happens(500) { Durability::Disk } else { Durability::Process },
            segment_bytes: 65_536 << chance.below(2),
            hash_ticks: if chance.happens(700) { 0 } else { chance.magnitude(50) },
            checkpoint_ns: if chance.happens(300) { 0 } else { 100_000 << chance.below(12) },
            keep: chance.from_to(1, 3) as usize,
            commands: (*chance.choose(&[0, 2, 20])).max(if restores > 0 { 60 } else { 0 }),
            restores,
            faults: Faults {
                false_syncs: canary == Some(Canary::Unflushed),
                false_renames: if canary == Some(Canary::Unnamed) { 50 } else { 0 },
                false_absence: canary == Some(Canary::Absent),
                late_in: (canary == Some(Canary::Early)).then(|| ".rows".to_owned()),
                ..drawn
            },
            mistake: canary.and_then(Canary::mistake),
        };
        let deliveries =
            [Delivery::ExactlyOnce, Delivery::ExactlyOnce, Delivery::AtLeastOnce, Delivery::AtMostOnce];
        let deliveries = (0..shape.sinks()).map(|_| *chance.choose(&deliveries)).collect();
        Configuration {
            canary,
            scenario,
            data,
            shape,
            partitions: chance.from_to(1, 5) as usize,
            sending,
            deliveries,
            filed: false,
            changed: false,
        }
    }

    fn jobs<S: Source<Item = Event> + Clone>(&self, source: S, outputs: &[Output]) -> Vec<Job> {
        if self.changed {
            self.programs().programs(&source, outputs)
        } else {
            vec![self.shape.job(source, outputs)]
        }
    }

    /// The same, with files for all databases, and a disk that does wrong to these too.
    pub fn filed(&self) -> Self {
        let mut filed = Configuration { filed: true, ..self.clone() };
        filed.deliveries.fill(Delivery::ExactlyOnce);
        let mut chance = Chance::new(self.scenario.seed, "files");
        let faults = &mut filed.scenario.faults;
        if chance.happens(500) {
            OUTPUT.clone_into(&mut faults.unread_in);
        }
        if chance.happens(500) && faults.bit_flips > 0 {
            faults.flip_in = vec![(*chance.choose(&[".rows", ".position"])).to_owned()];
            faults.flip_written = false;
        }
        filed
    }
}

fn faults(chance: &mut Chance, shards: u64) -> Faults {
    let mut faults = Faults { slow: 0..chance.magnitude(64) as u32, ..Faults::default() };
    faults.short_write = *chance.choose(&[0, 20, 300]);
    faults.sync_error = *chance.choose(&[0, 0, 2, 20]);
    faults.write_error = *chance.choose(&[0, 0, 2, 20]);
    // What is drawn below stays what it was.
    let mut changes = chance.clone();
    changes.skip(100);
    faults.blocking_write_error = *changes.choose(&[0, 5, 50]);
    faults.name_error = *changes.choose(&[0, 5, 50]);
    if chance.happens(200) {
        faults.full_at_bytes = Some(65_536 * chance.from_to(1, 6 * shards));
    }
    if chance.happens(100) {
        faults.bit_flips = chance.magnitude(8) as u32;
        // Marks and logs are damaged apart from each other: together they are two faults at once.
        let place = *chance.choose(&[".snap", "MANIFEST", "seg-", ".durable"]);
        faults.flip_in = vec![place.to_owned()];
        // After the loss of power a log's last group may be dropped if it is damaged: then no bits turn over in what was logged.
        faults.flip_written = place == "seg-";
    }
    faults
}

/// The same, with reads that fail, but not where bits turn over as well: what a job says would have two causes.
fn unreadable(chance: &mut Chance, mut faults: Faults) -> Faults {
    if faults.bit_flips == 0 {
        faults.read_error = *chance.choose(&[0, 2, 5, 20]);
        faults.short_read = *chance.choose(&[0, 2, 5, 20]);
        (*chance.choose(&["", "", "seg-", ".snap", "MANIFEST", ".durable"]))
            .clone_into(&mut faults.unread_in);
    }
    faults
}

/// The environment of the job.
struct Outside {
    outputs: Vec<Output>,
    producers: Option<Producers>,
    /// What a producer has seen that must not be.
    broken: Result<(), String>,
    history: History,
    chance: Chance,
}

impl Environment for Outside {
    fn may_go_back(&self) -> bool {
        self.producers.as_ref().is_none_or(Producers::may_go_back)
    }

    fn went_back(&mut self, to: Tick) {
        self.producers.iter_mut().for_each(Producers::went_back);
        self.outputs.iter().for_each(|output| output.went_back(to));
    }

    fn program(&mut self, program: usize, base: Tick) {
        self.history.began(program, base);
        if let Some(extra) = self.outputs.get(changed::EXTRA).filter(|_| !changed::has_extra(program)) {
            extra.taken_back(base);
        }
    }

    fn began(&mut self, _: &Moment) {
        self.outputs.iter().for_each(Output::began);
    }

    fn turn(&mut self, moment: &Moment) {
        if let Some(producers) = &mut self.producers
            && self.broken.is_ok()
        {
            self.broken = producers.turn(moment);
        }
        self.outputs.iter().for_each(|output| output.turn(&mut self.chance));
    }

    fn check(&mut self, moment: &Moment) -> Result<(), String> {
        self.broken.clone()?;
        self.outputs.iter().try_for_each(|output| output.check(moment.durable_through))
    }

    fn ended(&mut self, run_end: RunEnd) {
        self.producers.iter_mut().for_each(Producers::ended);
        self.outputs.iter().for_each(|output| output.ended(run_end, &mut self.chance));
    }
}

/// Where the rows go.
fn outputs(configuration: &Configuration, disk: &Simulated) -> Vec<Output> {
    let Configuration { canary, deliveries, filed, scenario, .. } = configuration;
    let mistake = (*canary == Some(Canary::Unsynced)).then_some(parts::Mistake::Unsynced);
    let flips = scenario.faults.bit_flips > 0;
    let output = |(number, delivery): (usize, &Delivery)| match filed {
        true => Output::Parts(Parts::new(disk, number, mistake, flips)),
        false => Output::Database(Database::new(*delivery, *canary == Some(Canary::Untaken))),
    };
    deliveries.iter().enumerate().map(output).collect()
}

/// Runs it.
///
/// # Errors
/// What must not be.
pub fn run(configuration: &Configuration) -> Result<CrashReport, String> {
    let Configuration { scenario, data, shape, partitions, sending, .. } = configuration;
    let disk = Simulated::new(scenario.seed, Faults::default());
    let outputs = outputs(configuration, &disk);
    let records = data.records;
    let (producers, jobs) = match sending {
        Some(sending) => {
            let (producers, source) = Producers::new(sending, data, scenario.seed);
            (Some(producers), configuration.jobs(source, &outputs))
        }
        None => {
            let yielded = data.clone();
            let source = generate(move |w, of| {
                let data = yielded.clone();
                (w as u64..records).step_by(of).map(move |place| data.at(place))
            });
            (None, configuration.jobs(source.partitions(*partitions), &outputs))
        }
    };
    let chance = Chance::new(scenario.seed, "databases");
    let history = History::default();
    let mut outside = Outside { outputs: outputs.clone(), producers, broken: Ok(()), history, chance };
    let drop_state = if configuration.changed { configuration.programs().drop_state() } else { Vec::new() };
    let outcome = crash_test_changed(&jobs, &drop_state, scenario, &mut outside, disk)
        .map_err(|failure| format!("{failure}\n{}", failure.story.join("\n")))?;
    let events: Vec<_> = (0..records).map(|place| data.at(place)).collect();
    let expected = if configuration.changed {
        configuration.programs().twin(&events, &outside.history, &outputs)
    } else {
        shape.twin(&events)
    };
    for (number, (output, expected)) in outputs.iter().zip(expected).enumerate() {
        // What came and went cannot be told before all of the others has been shown.
        if configuration.changed && number == changed::EXTRA && outcome.refused.is_some() {
            continue;
        }
        let ended = outcome.refused.is_none();
        let compared = compare(configuration, output, expected, ended);
        compared
            .map_err(|what| format!("in the end, sink {number}: {what}\n{}", outcome.story.join("\n")))?;
    }
    if let Some(producers) = &outside.producers
        && shape.family == Family::Copied
        && data.repeated == 0
    {
        undivided(producers, &outputs[0])?;
    }
    Ok(outcome)
}

/// The records of a transaction come in one tick.
fn undivided(producers: &Producers, output: &Output) -> Result<(), String> {
    let ticks: BTreeMap<u64, Tick> =
        output.seen().iter().map(|((tick, ..), row)| (row[3] as u64, *tick)).collect();
    for group in producers.groups() {
        let of: BTreeSet<_> = group.iter().map(|place| ticks.get(place)).collect();
        if of.len() > 1 {
            return Err(format!("a transaction of records {group:?} came in ticks {of:?}"));
        }
    }
    Ok(())
}

/// Compares what a sink has with what it should have. Of a run that did not come to its end, nothing may be wrong that is there.
fn compare(
    configuration: &Configuration,
    output: &Output,
    expected: Vec<Shown>,
    ended: bool,
) -> Result<(), String> {
    let (shape, at_most_once) = (&configuration.shape, output.delivery() == Delivery::AtMostOnce);
    let found = output.rows(ended)?;
    if let Some(divided) = shape.divided(&found)
        && !at_most_once
    {
        return Err(divided);
    }
    let (expected, found) = (shape.comparable(expected), shape.comparable(found));
    let whole = ended && !at_most_once;
    difference(shape, &expected, &found, whole)?;
    match shape.disorder(&output.seen()) {
        Some(disorder) if !at_most_once => Err(disorder),
        _ => Ok(()),
    }
}

/// The rows that one has more often than the other.
fn difference(shape: &Shape, expected: &[Shown], found: &[Shown], whole: bool) -> Result<(), String> {
    let mut counts: BTreeMap<Shown, (u64, u64)> = BTreeMap::new();
    expected.iter().for_each(|row| counts.entry(*row).or_default().0 += 1);
    found.iter().for_each(|row| counts.entry(*row).or_default().1 += 1);
    let by_clock = shape.family == Family::Ingested;
    let differs = |(wanted, there): (u64, u64)| whole && there != wanted || !by_clock && there > wanted;
    let mut different =
        counts.into_iter().filter(|(_, counts)| differs(*counts)).map(|(row, (wanted, there))| {
            format!("row {row:?} is expected {wanted} times and there {there} times")
        });
    let first: Vec<String> = different.by_ref().take(ROWS_TOLD).collect();
    if first.is_empty() {
        return Ok(());
    }
    let (expected, found, more) = (expected.len(), found.len(), different.count());
    Err(format!("{expected} rows are expected, and there are {found}: {}; and {more} more", first.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_the_same_run_every_time() {
        for seed in 0..20 {
            let configuration = Configuration::draw(seed, None);
            let (first, second) = (run(&configuration).unwrap(), run(&configuration).unwrap());
            assert_eq!(first, second, "seed {seed}");
            assert!(first.trace != 0);
            let filed = configuration.filed();
            assert_eq!(run(&filed).unwrap(), run(&filed).unwrap(), "seed {seed}, files");
            let changed = configuration.changed();
            assert_eq!(run(&changed).unwrap(), run(&changed).unwrap(), "seed {seed}, programs");
        }
    }

    #[test]
    fn mistakes_are_found() {
        for canary in Canary::value_variants() {
            let fails = |seed| {
                let configuration = Configuration::draw(seed, Some(*canary));
                let fails = |configuration: &Configuration| {
                    let result =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(configuration)));
                    !matches!(result, Ok(Ok(_)))
                };
                fails(&configuration) || fails(&configuration.filed()) || fails(&configuration.changed())
            };
            assert!((0..200).any(fails), "{canary:?}");
        }
    }
}
