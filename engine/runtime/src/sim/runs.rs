//! A job through several runs, on one thread and one disk in memory.
//!
//! 1. A run begins as on a real machine: the data directory is opened, other shards' state is recovered, the newest whole checkpoint is
//!    restored. Any of it may be where the run ends.
//! 2. Shards are stepped in bursts, the coordinator of checkpoints is turned, the environment gets on, in an order drawn from the seed.
//! 3. A run ends between two steps, or between two operations of the disk; or the job is suspended, if nothing else ends it before that is done,
//!    and goes on in any mode. The last one is left alone and comes to the end of the input.
//!
//! After each step: what is durable never falls, and no shard has released more than that.

use super::cause::{is_of_the_disk, says_what_cannot_be_read};
use super::programs::Programs;
use super::savepoints::Savepoints;
use super::wall::WallClock;
use super::{Chance, CrashReport, Environment, Failure, Faults, Mistake, Moment, Problem, RunEnd, Scenario};
use crate::blueprint::Blueprint;
use crate::bounds::QUIET_STEPS_MAX;
use crate::config::Durability;
use crate::durability::{
    CoordinatorOptions, DurabilityOptions, Harness, OpenError, Opened, Request, Task, rescale, restore,
};
use crate::{Duty as _, JobError, sizes};
use pelton_core::exchange::hash;
use pelton_core::state::memory::{HeapMemory, Memory};
use pelton_core::{ClockReading, Nanos, Tick};
use pelton_storage::disk::{Crash, Disk, Simulated};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Where the job's data are, on the simulated disk.
const DATA: &str = "/data/job";

/// Runs a job through the runs of a scenario, until it has come to the end of its input.
///
/// # Errors
/// When a promise was broken, with the place where that was seen, or when the environment says so.
///
/// # Panics
/// When the job, or the engine, panics.
pub fn crash_test(
    blueprint: Blueprint<'_>,
    scenario: &Scenario,
    environment: &mut dyn Environment,
) -> Result<CrashReport, Failure> {
    crash_test_on(blueprint, scenario, environment, Simulated::new(scenario.seed, Faults::default()))
}

/// As [`crash_test`], on a disk that sinks of the job know as well, and of which nobody has made use yet.
///
/// # Errors
/// As for [`crash_test`].
///
/// # Panics
/// As for [`crash_test`].
#[doc(hidden)]
pub fn crash_test_on(
    blueprint: Blueprint<'_>,
    scenario: &Scenario,
    environment: &mut dyn Environment,
    disk: Simulated,
) -> Result<CrashReport, Failure> {
    crash_test_changed(vec![blueprint], &[], scenario, environment, disk)
}

/// As [`crash_test_on`], with several programs of one job: the first one begins, and where a changed job may, another one goes on. Operators in
/// `drop_state` may be missing in some, or have fewer fields.
///
/// # Errors
/// As for [`crash_test`].
///
/// # Panics
/// As for [`crash_test`], and without a program.
#[doc(hidden)]
pub fn crash_test_changed(
    mut programs: Vec<Blueprint<'_>>,
    drop_state: &[String],
    scenario: &Scenario,
    environment: &mut dyn Environment,
    disk: Simulated,
) -> Result<CrashReport, Failure> {
    assert!(!programs.is_empty(), "there is no program");
    for blueprint in &mut programs {
        blueprint.builders.extend(scenario.mistake.map(Mistake::builder));
    }
    let mut runs = Runs::new(&programs, drop_state, scenario, environment, disk);
    let outcome = runs.run().map_err(|problem| {
        let Runs { run, step, ref mut count, .. } = runs;
        Failure { seed: scenario.seed, run, step, problem, story: std::mem::take(&mut count.story) }
    });
    outcome.map(|()| std::mem::take(&mut runs.count))
}

/// Why a run is over before its end.
enum Halt {
    /// As it was drawn.
    Ended,
    Job(JobError),
    Broken(String),
}

impl From<JobError> for Halt {
    fn from(error: JobError) -> Self {
        Halt::Job(error)
    }
}

impl From<Halt> for Problem {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Ended => Problem::Broken("a run ended that was to be left alone".to_owned()),
            Halt::Job(error) => Problem::Job(Box::new(error)),
            Halt::Broken(what) => Problem::Broken(what),
        }
    }
}

struct Runs<'a> {
    blueprints: &'a [Blueprint<'a>],
    drop_state: &'a [String],
    scenario: &'a Scenario,
    environment: &'a mut dyn Environment,
    disk: Simulated,
    memory: Arc<dyn Memory>,
    log_id: u128,
    now: Nanos,
    wall: WallClock,
    // A stream for each source of chance.
    schedule: Chance,
    pace: Chance,
    outside: Chance,
    commands: Chance,
    /// Key groups that move while the job runs; as often as checkpoints are commanded.
    moves: Chance,
    crashes: Chance,
    suspensions: Chance,
    reads: Chance,
    changes: Chance,
    sizes: Chance,
    savepoints: Savepoints,
    programs: Programs,
    /// When a shard that has finished is there no more: at once on a real core, at any time for those who look at it from another one.
    departures: Chance,
    /// How many rows move in a step.
    move_rows: Chance,
    // The run at hand.
    run: u32,
    step: u64,
    shards: usize,
    run_end: RunEnd,
    ends_at: Option<u64>,
    /// Whether the job of this run is ever suspended, and the step from which on the shards of this run hear of that.
    suspends: bool,
    suspends_at: Option<u64>,
    /// It has ended, and who is outside knows.
    is_over: bool,
    /// The run before was suspended.
    clean: bool,
    /// Power was lost, and no run has come as far as its beginning since.
    behind: bool,
    /// What this run is safe from.
    durability: Durability,
    /// The disk may fail.
    fails: bool,
    /// Reads that had failed when the run began.
    failed_before: u64,
    /// The same of writes that block and of names.
    unchanged_before: u64,
    durable_through: Tick,
    quiet: u32,
    checkpoint: u64,
    count: CrashReport,
}

impl<'a> Runs<'a> {
    fn new(
        blueprints: &'a [Blueprint<'a>],
        drop_state: &'a [String],
        scenario: &'a Scenario,
        environment: &'a mut dyn Environment,
        disk: Simulated,
    ) -> Self {
        let chance = |name| Chance::new(scenario.seed, name);
        Runs {
            blueprints,
            drop_state,
            scenario,
            environment,
            disk,
            memory: Arc::new(HeapMemory),
            log_id: u128::from(hash::join(scenario.seed, 1)) << 64 | u128::from(hash::join(scenario.seed, 2)),
            now: Nanos(1),
            wall: WallClock::new(scenario.seed),
            schedule: chance("schedule"),
            pace: chance("pace"),
            outside: chance("outside"),
            commands: chance("commands"),
            moves: chance("moves"),
            crashes: chance("deaths"),
            suspensions: chance("suspensions"),
            reads: chance("reads"),
            changes: chance("changes"),
            sizes: chance("sizes"),
            savepoints: Savepoints::new(chance("savepoints")),
            programs: Programs::new(chance("programs"), blueprints.len()),
            departures: chance("departures"),
            move_rows: chance("move rows"),
            run: 0,
            step: 0,
            shards: 0,
            run_end: RunEnd::Stopped,
            ends_at: None,
            // Without it a program hardly ever changes.
            suspends: chance("suspends").happens(500) || blueprints.len() > 1,
            suspends_at: None,
            is_over: false,
            clean: false,
            behind: false,
            durability: scenario.durability,
            fails: false,
            failed_before: 0,
            unchanged_before: 0,
            durable_through: Tick(0),
            quiet: 0,
            checkpoint: 0,
            count: CrashReport::default(),
        }
    }

    fn run(&mut self) -> Result<(), Problem> {
        loop {
            let last = self.run >= self.scenario.crashes;
            self.begin(last);
            let lived = self.live();
            self.count.failed_reads = self.disk.failed_reads();
            self.count.failed_changes = self.disk.failed_changes();
            self.trace(self.disk.snapshot());
            match lived {
                Ok(()) => break,
                Err(Halt::Ended) if !last => {}
                Err(Halt::Job(error)) if is_of_the_disk(&error) && self.explains(&error)? => {
                    if self.count.flips > 0 {
                        self.tell(format!("refused: {error}"));
                        self.count.refused = Some(error.to_string());
                        break;
                    }
                    self.tell(format!("the job stopped: {error}"));
                    let unread = self.count.failed_reads > self.failed_before;
                    *(if unread { &mut self.count.unreadable } else { &mut self.count.errors }) += 1;
                }
                Err(halt) => return Err(halt.into()),
            }
            self.run += 1;
        }
        Ok(())
    }

    /// Whether what was done to the disk in this run, and to what is on it before, explains that the job failed. If all that was done is that
    /// reads failed, it has to say so, and where.
    fn explains(&self, error: &JobError) -> Result<bool, Problem> {
        let unchanged = self.count.failed_changes > self.unchanged_before;
        if self.fails || unchanged || self.count.flips > 0 {
            return Ok(true);
        }
        let unread = self.count.failed_reads > self.failed_before;
        if unread && !says_what_cannot_be_read(error, DATA) {
            return Err(Problem::Broken(format!("a read failed, and the job says: {error}")));
        }
        Ok(unread)
    }

    fn tell(&mut self, what: String) {
        self.count.story.push(format!("run {}, step {}: {what}", self.run, self.step));
    }

    fn trace(&mut self, word: u64) {
        self.count.trace = hash::join(self.count.trace, word);
    }

    /// Draws what the next run is like.
    fn begin(&mut self, last: bool) {
        let Scenario { ref shards, ref faults, steps_max, .. } = *self.scenario;
        self.count.runs += 1;
        self.suspends_at = (self.suspends && !last && self.suspensions.happens(500))
            .then(|| self.suspensions.magnitude(steps_max));
        if std::mem::take(&mut self.clean) && self.suspensions.happens(500) {
            self.durability = match self.durability {
                Durability::Process => Durability::Disk,
                Durability::Disk | Durability::None => Durability::Process,
            };
        }
        let durability = self.durability;
        (self.step, self.durable_through, self.quiet, self.ends_at, self.is_over) =
            (0, Tick(0), 0, None, false);
        let before = self.shards;
        if before == 0 || self.sizes.happens(400) {
            self.shards = self.sizes.from_to(*shards.start() as u64, *shards.end() as u64) as usize;
        }
        self.count.rescaled += u32::from(before != 0 && before != self.shards);
        self.run_end = match (self.crashes.below(6), durability) {
            (0, _) => RunEnd::Stopped,
            (1..=3, Durability::Disk) => RunEnd::PowerLost,
            _ => RunEnd::Killed,
        };
        let (errors, full) = (self.crashes.happens(300), self.crashes.happens(100));
        // Without bits that turn over: they have their moment at a crash.
        let mut faults = Faults { bit_flips: 0, ..faults.clone() };
        if last || !errors {
            (faults.sync_error, faults.write_error) = (0, 0);
        }
        self.failed_before = self.disk.failed_reads();
        if !self.reads.happens(400) || last {
            (faults.read_error, faults.short_read) = (0, 0);
        }
        if !self.changes.happens(250) || last {
            (faults.blocking_write_error, faults.name_error) = (0, 0);
        }
        if last || !full {
            faults.full_at_bytes = None;
        }
        self.fails = faults.sync_error + faults.write_error > 0 || faults.full_at_bytes.is_some();
        self.unchanged_before = self.disk.failed_changes();
        self.disk.set_faults(faults);
        self.disk.stop_after(u64::MAX >> 1);
        if last || self.suspends_at.is_some() && self.programs.wait_for_suspensions() {
            return;
        }
        if self.run_end != RunEnd::Stopped && self.crashes.happens(300) {
            self.disk.stop_after(self.crashes.magnitude(steps_max / 4 + 1));
        } else {
            self.ends_at = Some(self.crashes.magnitude(steps_max));
        }
    }

    /// The process ends. Whatever it held is still there, so that nothing of it is carried out that was only begun.
    fn end_run(&mut self) {
        let faults = &self.scenario.faults;
        // After the loss of power the mark of a log may be behind its last group, and what is damaged then can be taken for cut short: until a run
        // has looked at all of it and written the mark anew.
        self.behind |= self.run_end == RunEnd::PowerLost;
        let is_decided = !self.behind || !faults.flip_written;
        let hard = matches!(self.run_end, RunEnd::Killed | RunEnd::PowerLost) && is_decided;
        let flips = faults.bit_flips > 0 && hard && self.crashes.happens(250);
        if flips {
            self.count.flips += 1;
            self.disk.set_faults(faults.clone());
        }
        self.tell(format!("{:?}{}", self.run_end, if flips { ", and bits turn over" } else { "" }));
        match self.run_end {
            RunEnd::Killed => self.disk.crash(Crash::Process),
            RunEnd::PowerLost => self.disk.crash(Crash::Power),
            // The next run is on this machine, on this one after a restart, or on another one with the same directory.
            RunEnd::Suspended if self.suspensions.happens(500) => self.disk.crash(Crash::Power),
            RunEnd::Stopped | RunEnd::Suspended => {}
        }
        match self.run_end {
            RunEnd::Suspended => self.count.suspended += 1,
            RunEnd::Killed => self.count.killed += 1,
            RunEnd::PowerLost => self.count.power_lost += 1,
            RunEnd::Stopped => self.count.stopped += 1,
        }
        self.is_over = true;
        self.environment.ended(self.run_end);
    }

    /// One run. If it ends early the run has been ended.
    fn live(&mut self) -> Result<(), Halt> {
        let begun = self.rescale();
        let (mut harness, opened, program) = match begun {
            Ok(begun) => begun,
            Err(Halt::Job(_)) if !self.is_over && self.disk.has_ended() => {
                self.end_run();
                return Err(Halt::Ended);
            }
            Err(halt) => {
                // A job that refused to begin has ended as well, and what it had under way is lost: who is outside has to know.
                if !std::mem::replace(&mut self.is_over, true) {
                    self.environment.ended(RunEnd::Stopped);
                }
                return Err(halt);
            }
        };
        harness.mailbox.said().into_iter().for_each(|note| self.tell(note));
        self.behind = false;
        self.checkpoint = harness.coordinator.manifest().checkpoints.last().map_or(0, |last| last.number);
        self.shards_begin(&harness, program);
        let mut told = vec![false; harness.durable_shards.len()];
        while !harness.is_finished() {
            self.burst(&mut harness, Some(&mut told))?;
        }
        harness.mailbox.close();
        let suspended = harness.mailbox.is_suspended();
        if suspended && !harness.mailbox.all_closed() {
            return Err(Halt::Broken("all shards have finished, and not all logs are closed".to_owned()));
        }
        if !suspended && harness.mailbox.durable_through() != Tick::END {
            return Err(Halt::Broken(format!(
                "all shards have finished, and {} is durable",
                harness.mailbox.durable_through().0
            )));
        }
        // Not if a shard had come to the end of the input before.
        let last = harness.coordinator.manifest().checkpoints.last();
        let is_saved = last.is_some_and(|last| harness.mailbox.durable_through() <= Tick(last.tick));
        let finished = harness.coordinator.finish();
        if self.disk.has_ended() {
            self.end_run();
            return Err(Halt::Ended);
        }
        if let Err(error) = finished {
            self.end_run();
            return Err(Halt::Job(JobError::Storage(error.to_string())));
        }
        if !suspended {
            return Ok(());
        }
        drop((harness, opened));
        (self.run_end, self.clean) = (RunEnd::Suspended, true);
        if is_saved {
            self.programs.are_suspended();
        }
        self.end_run();
        Err(Halt::Ended)
    }

    /// Shards begin, and the program that they are of is the directory's.
    fn shards_begin(&mut self, harness: &Harness, program: usize) {
        self.count.changed += u32::from(self.programs.last().is_some_and(|last| last != program));
        if let Some(base) = self.programs.began(program, harness.coordinator.manifest()) {
            self.environment.program(program, base);
        }
        self.environment.began(&self.moment(harness));
    }

    /// Opens the directory with a program that is not refused, and says from which savepoint it goes on, and with which program.
    fn open(&mut self) -> Result<(Opened, Option<String>, usize), Halt> {
        let scenario = self.scenario;
        sizes::check(self.shards, scenario.key_groups, scenario.ring_bytes)?;
        let restores = if self.environment.may_go_back() { scenario.restores } else { 0 };
        let in_doubt = self.savepoints.is_in_doubt();
        let restore = self.savepoints.ask(restores);
        let options = DurabilityOptions {
            durability: match self.durability {
                Durability::Disk => pelton_storage::Durability::Disk,
                Durability::Process => pelton_storage::Durability::Process,
                Durability::None => {
                    let problem = "a job without durability keeps nothing".to_owned();
                    return Err(JobError::Size { problem }.into());
                }
            },
            shards: self.shards as u16,
            segment_bytes: scenario.segment_bytes,
            hash_ticks: scenario.hash_ticks,
            restore: restore.clone(),
            drop_state: self.drop_state.to_vec(),
            log_id: self.log_id,
            configuration: BTreeMap::new(),
        };
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let mut program = self.programs.next(restore.is_some(), in_doubt);
        loop {
            let shape = self.blueprints[program].shape(self.shards, scenario.key_groups);
            match Opened::open(&disk, Path::new(DATA), &shape, options.clone()) {
                Ok(opened) => {
                    self.programs.opened(program);
                    if self.programs.change() {
                        self.tell(format!("program {program} is to go on"));
                    }
                    return Ok((opened, restore, program));
                }
                Err(error @ OpenError::OtherJob { .. }) if self.programs.change() => {
                    self.tell(format!("program {program} is refused: {error}"));
                    let next = self.programs.refused(program, restore.is_some(), self.count.flips > 0);
                    program = next.map_err(|why| Halt::Broken(format!("{why}, and was refused: {error}")))?;
                    self.count.refused_changes += 1;
                }
                Err(error) => return Err(JobError::Open(error).into()),
            }
        }
    }

    fn rescale(&mut self) -> Result<(Harness, Opened, usize), Halt> {
        let (scenario, memory) = (self.scenario, self.memory.clone());
        let (mut opened, restore, program) = self.open()?;
        let blueprint = &self.blueprints[program];
        opened.move_in_steps_of(self.move_rows.magnitude(64) as usize);
        let earlier = self.savepoints.opened(&opened.manifest, restore.is_some());
        self.went_back(earlier, "as an earlier run was asked to");
        let coordinator = CoordinatorOptions {
            interval_ns: scenario.checkpoint_ns,
            balance_ns: 0,
            keep: scenario.keep,
            now: String::new,
        };
        if let Task::Rescale { shards } = opened.task() {
            let before = scenario.sizes(usize::from(shards));
            self.tell(format!("{shards} shards' state is recovered, for {}", self.shards));
            let mut first = true;
            let burst = |harness: &mut Harness| {
                if std::mem::take(&mut first) {
                    harness.mailbox.said().into_iter().for_each(|note| self.tell(note));
                    self.shards_begin(harness, program);
                }
                self.burst(harness, None)
            };
            rescale::rescale::<Halt>(blueprint, &before, &memory, &mut opened, coordinator.clone(), burst)?;
        }
        let candidates: Vec<_> = opened.candidates().iter().map(|c| (c.number, c.tick)).collect();
        self.tell(format!(
            "{} shards of generation {} begin, from one of (checkpoint, tick) {candidates:?}",
            self.shards, opened.manifest.generation
        ));
        let sizes = scenario.sizes(self.shards);
        let begun = restore::begin(opened, |mut opened, checkpoint| {
            match Harness::build(
                blueprint,
                &sizes,
                &memory,
                &mut opened,
                checkpoint,
                false,
                coordinator.clone(),
            ) {
                Ok(harness) => Ok((harness, opened)),
                Err(error) => Err(Box::new((error, Some(opened)))),
            }
        });
        (self.durable_through, self.quiet) = (Tick(0), 0);
        let (harness, opened) = begun?;
        let now = self.savepoints.began();
        self.went_back(now, &restore.unwrap_or_default());
        Ok((harness, opened, program))
    }

    /// If the job has gone back to a savepoint, those outside hear of it.
    fn went_back(&mut self, to: Option<Tick>, why: &str) {
        let Some(to) = to else { return };
        self.count.went_back += 1;
        self.tell(format!("the job goes back to tick {}: {why}", to.0));
        self.environment.went_back(to);
    }

    /// A burst of steps of one shard, and what else happens at that time. If it is the end, the run has been ended.
    /// `told` says which shards know that the job is to be suspended.
    fn burst(&mut self, harness: &mut Harness, told: Option<&mut [bool]>) -> Result<(), Halt> {
        let mut burst = self.try_burst(harness, told);
        if let Err(Halt::Job(_)) = &burst {
            if self.disk.has_ended() {
                burst = Err(Halt::Ended);
            } else if let Err(late) = self.stop_late(harness) {
                burst = Err(late);
            }
        }
        if let Err(Halt::Ended | Halt::Job(_)) = burst {
            let mut shards = harness.durable_shards.iter_mut().flatten();
            self.count.cut_moves += u32::from(shards.any(|shard| shard.shard().is_handing_over()));
            self.end_run();
        }
        burst
    }

    fn try_burst(&mut self, harness: &mut Harness, told: Option<&mut [bool]>) -> Result<(), Halt> {
        let shard = self.schedule.below(harness.durable_shards.len() as u64) as usize;
        let due = self.suspends_at.is_some_and(|at| self.step >= at);
        // Shards whose state is recovered by others stay until those have it.
        let departs = told.is_some();
        if let Some(told) = told.map(|told| &mut told[shard]).filter(|told| due && !**told) {
            *told = true;
            self.tell(format!("shard {shard} is to be suspended"));
            if let Some(durable_shard) = &mut harness.durable_shards[shard] {
                durable_shard.suspend();
            }
        }
        for _ in 0..=self.schedule.below(8) {
            if self.ends_at.is_some_and(|at| self.step >= at) {
                return Err(Halt::Ended);
            }
            self.step += 1;
            self.count.steps += 1;
            self.now.0 += 1 + self.pace.below(100_000);
            let step = match harness.step(shard, self.clocks()) {
                Ok(step) => step,
                Err(fault) => {
                    // It must not be stepped again.
                    harness.durable_shards[shard] = None;
                    return Err(JobError::Fault(fault).into());
                }
            };
            self.trace((shard as u64) << 32 | (step.work as u64) << 1 | u64::from(step.published));
            if self.disk.has_ended() {
                return Err(Halt::Ended);
            }
            if step.finished && departs && self.departures.happens(300) {
                harness.durable_shards[shard] = None;
            }
            self.quiet = if step.work > 0 || step.published { 0 } else { self.quiet + 1 };
            self.check(harness)?;
        }
        if self.quiet > QUIET_STEPS_MAX {
            return Err(Halt::Broken("nothing moves any more".to_owned()));
        }
        if self.outside.happens(200) {
            harness.coordinator.turn(self.now.0);
            let last = harness.coordinator.manifest().checkpoints.last().map_or(0, |last| last.number);
            if last > self.checkpoint {
                self.count.checkpoints += 1;
                if harness.mailbox.failure().is_none() && !self.disk.has_ended() {
                    self.savepoints.are(harness.coordinator.manifest());
                }
                self.checkpoint = last;
                let tick = harness.coordinator.manifest().checkpoints.last().map_or(0, |last| last.tick);
                self.tell(format!(
                    "checkpoint {last} at tick {tick}; ticks through {} are durable",
                    harness.mailbox.durable_through().0
                ));
            }
        }
        if self.outside.happens(300) {
            let moment = self.moment(harness);
            self.environment.turn(&moment);
        }
        if self.commands.happens(self.scenario.commands) {
            // Where runs begin from savepoints there must be some.
            let named = if self.scenario.restores > 0 { 700 } else { 300 };
            let name = self.commands.happens(named).then(|| format!("savepoint-{}-{}", self.run, self.step));
            harness.mailbox.command(Request::Checkpoint(name));
        }
        if self.moves.happens(self.scenario.commands) {
            let groups = u64::from(self.scenario.key_groups.max(1));
            let (one, other) = (self.moves.below(groups) as u32, self.moves.below(groups) as u32);
            let shard = self.moves.below(harness.durable_shards.len() as u64) as u16;
            let request = Request::Move { first: one.min(other), last: one.max(other), shard };
            harness.mailbox.command(if self.moves.happens(200) { Request::Balance } else { request });
        }
        if self.disk.has_ended() { Err(Halt::Ended) } else { Ok(()) }
    }

    fn moment(&self, harness: &Harness) -> Moment {
        Moment {
            run: self.run,
            step: self.step,
            now: self.now,
            shards: harness.durable_shards.len(),
            durable_through: harness.mailbox.durable_through(),
            is_live: harness.mailbox.all_live(),
        }
    }

    fn check(&mut self, harness: &Harness) -> Result<(), Halt> {
        let moment = self.moment(harness);
        let (before, durable_through) = (self.durable_through, moment.durable_through);
        if durable_through < before {
            let what =
                format!("ticks through {} was durable, and now only through {}", before.0, durable_through.0);
            return Err(Halt::Broken(what));
        }
        if durable_through > before {
            self.durable_through = durable_through;
            self.trace(durable_through.0);
        }
        if let Some(released) =
            harness.durable_shards.iter().flatten().map(|s| s.released()).find(|r| *r > durable_through)
        {
            let what = format!("tick {} was released, and only {} is durable", released.0, durable_through.0);
            return Err(Halt::Broken(what));
        }
        self.environment.check(&moment).map_err(Halt::Broken)
    }

    fn clocks(&mut self) -> ClockReading {
        ClockReading { now: self.now, wall: Some(self.wall.read(self.now)) }
    }

    /// A shard has failed. The others do not know at once.
    fn stop_late(&mut self, harness: &mut Harness) -> Result<(), Halt> {
        for _ in 0..self.crashes.below(40) {
            let shard = self.schedule.below(harness.durable_shards.len() as u64) as usize;
            self.now.0 += 1 + self.pace.below(100_000);
            match harness.step(shard, self.clocks()) {
                Ok(step) => self.trace(step.work as u64),
                Err(_) => harness.durable_shards[shard] = None,
            }
            self.check(harness)?;
        }
        Ok(())
    }
}
