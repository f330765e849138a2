//! A job through several lives, on one thread and one disk in memory.
//!
//! 1. A life begins as on a real machine: the data directory is opened, other shards' state is taken up, the newest whole checkpoint is
//!    restored. Any of it may be where the life ends.
//! 2. Shards are stepped in bursts, the keeper of checkpoints is turned, the world gets on, in an order drawn from the seed.
//! 3. A life ends between two steps, or between two operations of the disk; or the job is suspended, if nothing else ends it before that is done,
//!    and goes on in any mode. The last one is left alone and comes to the end of the input.
//!
//! After each step: what survives never falls, and no shard has released more than that.

use super::skipping::skip_first;
use super::wall::WallClock;
use super::world::Nobody;
use super::{Chance, Death, Failure, Faults, Moment, Problem, Scenario, Survived, World};
use crate::bounds::QUIET_STEPS_MAX;
use crate::config::Durability;
use crate::error::JobError;
use crate::job::{Job, Plan};
use crate::running::check_sizes;
use crate::survive::{Rig, check, shape, take_up};
use pelton_core::memory::{HeapMemory, Memory};
use pelton_core::{Fault, Nanos, Tick, hash};
use pelton_runtime::Duty as _;
use pelton_runtime::survive::{KeeperOptions, OpenError, Opened, SurvivalOptions, Task, Wish};
use pelton_storage::disk::{Crash, Disk, Simulated};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Where the job's data are, on the simulated disk.
const DATA: &str = "/data/job";

/// Runs the job through the lives of a scenario, until it has come to the end of its input.
///
/// A row of an at-least-once sink may be shown in several lives, always under the same name; of the rows by name there must be exactly those
/// of a job that nothing happened to.
///
/// ```
/// use pelton::prelude::*;
/// use pelton::sim::{Scenario, survive};
/// use std::collections::BTreeMap;
///
/// let rows = collect();
/// let job = Job::new("count")
///     .source(generate(|w, of| (w as u64..2_000).step_by(of)).partitions(3))
///     .event_time(|n| EventTime::from_millis(*n as i64), in_order())
///     .key_by(|n| n % 10)
///     .window(tumbling(secs(1)))
///     .count()
///     .sink(rows.clone());
/// for seed in 0..3 {
///     survive(&job, &Scenario { seed, ..Scenario::default() })?;
///     let named: BTreeMap<_, _> =
///         rows.take_named().into_iter().map(|row| ((row.tick, row.shard, row.seq), row.row)).collect();
///     assert_eq!(named.len(), 20);
///     assert!(named.values().all(|row| row.value == 100));
/// }
/// # Ok::<(), pelton::sim::Failure>(())
/// ```
///
/// # Errors
/// When a promise was broken, with the place where that was seen.
///
/// # Panics
/// When the job, or the engine, panics.
pub fn survive(job: &Job, scenario: &Scenario) -> Result<Survived, Failure> {
    survive_in(job, scenario, &mut Nobody)
}

/// As [`survive`], with a world around the job that sends, receives and looks on.
///
/// # Errors
/// As for [`survive`], and when the world says so.
///
/// # Panics
/// As for [`survive`].
pub fn survive_in(job: &Job, scenario: &Scenario, world: &mut dyn World) -> Result<Survived, Failure> {
    let mut plan = job.plan();
    let whole = plan.plantings.len();
    if scenario.skips {
        plan.plantings.push(Arc::new(skip_first));
    }
    let mut lives = Lives::new(&plan, scenario, world);
    let survived = lives.run().map_err(|problem| {
        let Lives { life, step, ref mut count, .. } = lives;
        Failure { seed: scenario.seed, life, step, problem, story: std::mem::take(&mut count.story) }
    });
    let survived = survived.map(|()| std::mem::take(&mut lives.count));
    plan.plantings.truncate(whole);
    survived
}

/// Why a life is over before its end.
enum Halt {
    /// As it was drawn.
    Dead,
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
            Halt::Dead => Problem::Broken("a life ended that was to be left alone".to_owned()),
            Halt::Job(error) => Problem::Job(Box::new(error)),
            Halt::Broken(what) => Problem::Broken(what),
        }
    }
}

struct Lives<'a> {
    plan: &'a Plan,
    scenario: &'a Scenario,
    world: &'a mut dyn World,
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
    deaths: Chance,
    suspensions: Chance,
    sizes: Chance,
    /// When a shard that has finished is there no more: at once on a real core, at any time for those who look at it from another one.
    departures: Chance,
    // The life at hand.
    life: u32,
    step: u64,
    shards: usize,
    death: Death,
    dies_at: Option<u64>,
    /// Whether the job of this run is ever suspended, and the step from which on the shards of this life hear of that.
    suspends: bool,
    suspends_at: Option<u64>,
    /// It has ended, and who is outside knows.
    is_over: bool,
    /// The life before was suspended.
    clean: bool,
    /// Power was lost, and no life has come as far as its beginning since.
    behind: bool,
    /// What this life survives.
    durability: Durability,
    /// The disk may fail.
    fails: bool,
    survives: Tick,
    quiet: u32,
    checkpoint: u64,
    count: Survived,
}

impl<'a> Lives<'a> {
    fn new(plan: &'a Plan, scenario: &'a Scenario, world: &'a mut dyn World) -> Self {
        let chance = |name| Chance::new(scenario.seed, name);
        Lives {
            plan,
            scenario,
            world,
            disk: Simulated::new(scenario.seed, Faults::default()),
            memory: Arc::new(HeapMemory),
            log_id: u128::from(hash::join(scenario.seed, 1)) << 64 | u128::from(hash::join(scenario.seed, 2)),
            now: Nanos(1),
            wall: WallClock::new(scenario.seed),
            schedule: chance("schedule"),
            pace: chance("pace"),
            outside: chance("outside"),
            commands: chance("commands"),
            moves: chance("moves"),
            deaths: chance("deaths"),
            suspensions: chance("suspensions"),
            sizes: chance("sizes"),
            departures: chance("departures"),
            life: 0,
            step: 0,
            shards: 0,
            death: Death::Stopped,
            dies_at: None,
            suspends: chance("suspends").happens(500),
            suspends_at: None,
            is_over: false,
            clean: false,
            behind: false,
            durability: scenario.durability,
            fails: false,
            survives: Tick(0),
            quiet: 0,
            checkpoint: 0,
            count: Survived::default(),
        }
    }

    fn run(&mut self) -> Result<(), Problem> {
        self.plan.check().and_then(|()| check(self.plan)).map_err(|error| Problem::Job(Box::new(error)))?;
        loop {
            let last = self.life >= self.scenario.deaths;
            self.begin(last);
            let lived = self.live();
            self.trace(self.disk.snapshot());
            match lived {
                Ok(()) => break,
                Err(Halt::Dead) if !last => {}
                Err(Halt::Job(error)) if is_of_the_disk(&error) && (self.fails || self.count.flips > 0) => {
                    if self.count.flips > 0 {
                        self.tell(format!("refused: {error}"));
                        self.count.refused = Some(error.to_string());
                        break;
                    }
                    self.tell(format!("the job stopped: {error}"));
                    self.count.errors += 1;
                }
                Err(halt) => return Err(halt.into()),
            }
            self.life += 1;
        }
        Ok(())
    }

    fn tell(&mut self, what: String) {
        self.count.story.push(format!("life {}, step {}: {what}", self.life, self.step));
    }

    fn trace(&mut self, word: u64) {
        self.count.trace = hash::join(self.count.trace, word);
    }

    /// Draws what the next life is like.
    fn begin(&mut self, last: bool) {
        let Scenario { ref shards, ref faults, steps_max, .. } = *self.scenario;
        self.count.lives += 1;
        self.suspends_at = (self.suspends && !last && self.suspensions.happens(500))
            .then(|| self.suspensions.magnitude(steps_max));
        if std::mem::take(&mut self.clean) && self.suspensions.happens(500) {
            self.durability = match self.durability {
                Durability::Process => Durability::Disk,
                Durability::Disk | Durability::None => Durability::Process,
            };
        }
        let durability = self.durability;
        (self.step, self.survives, self.quiet, self.dies_at, self.is_over) = (0, Tick(0), 0, None, false);
        let before = self.shards;
        if before == 0 || self.sizes.happens(400) {
            self.shards = self.sizes.from_to(*shards.start() as u64, *shards.end() as u64) as usize;
        }
        self.count.rescaled += u32::from(before != 0 && before != self.shards);
        self.death = match (self.deaths.below(6), durability) {
            (0, _) => Death::Stopped,
            (1..=3, Durability::Disk) => Death::PowerLost,
            _ => Death::Killed,
        };
        let (errors, full) = (self.deaths.happens(300), self.deaths.happens(100));
        // Without bits that turn over: they have their moment at a death.
        let mut faults = Faults { bit_flips: 0, ..faults.clone() };
        if last || !errors {
            (faults.sync_error, faults.write_error) = (0, 0);
        }
        if last || !full {
            faults.full_at_bytes = None;
        }
        self.fails = faults.sync_error + faults.write_error > 0 || faults.full_at_bytes.is_some();
        self.disk.set_faults(faults);
        self.disk.stop_after(u64::MAX >> 1);
        if last {
            return;
        }
        if self.death != Death::Stopped && self.deaths.happens(300) {
            self.disk.stop_after(self.deaths.magnitude(steps_max / 4 + 1));
        } else {
            self.dies_at = Some(self.deaths.magnitude(steps_max));
        }
    }

    /// The process ends. Whatever it held is still there, so that nothing of it is carried out that was only begun.
    fn die(&mut self) {
        let faults = &self.scenario.faults;
        // After the loss of power the mark of a log may be behind its last group, and what is damaged then can be taken for cut short: until a life
        // has looked at all of it and written the mark anew.
        self.behind |= self.death == Death::PowerLost;
        let is_decided = !self.behind || !faults.flip_written;
        let hard = matches!(self.death, Death::Killed | Death::PowerLost) && is_decided;
        let flips = faults.bit_flips > 0 && hard && self.deaths.happens(250);
        if flips {
            self.count.flips += 1;
            self.disk.set_faults(faults.clone());
        }
        self.tell(format!("{:?}{}", self.death, if flips { ", and bits turn over" } else { "" }));
        match self.death {
            Death::Killed => self.disk.crash(Crash::Process),
            Death::PowerLost => self.disk.crash(Crash::Power),
            // The next life is on this machine, on this one after a restart, or on another one with the same directory.
            Death::Suspended if self.suspensions.happens(500) => self.disk.crash(Crash::Power),
            Death::Stopped | Death::Suspended => {}
        }
        match self.death {
            Death::Suspended => self.count.suspended += 1,
            Death::Killed => self.count.killed += 1,
            Death::PowerLost => self.count.power_lost += 1,
            Death::Stopped => self.count.stopped += 1,
        }
        self.is_over = true;
        self.world.died(self.death);
    }

    /// One life. If it ends early the death has been died.
    fn live(&mut self) -> Result<(), Halt> {
        let begun = self.take_up();
        let (mut rig, opened) = match begun {
            Ok(begun) => begun,
            Err(Halt::Job(_)) if !self.is_over && self.disk.has_ended() => {
                self.die();
                return Err(Halt::Dead);
            }
            Err(halt) => {
                // A job that refused to begin has ended as well, and what it had under way is lost: who is outside has to know.
                if !std::mem::replace(&mut self.is_over, true) {
                    self.world.died(Death::Stopped);
                }
                return Err(halt);
            }
        };
        rig.desk.said().into_iter().for_each(|note| self.tell(note));
        self.behind = false;
        self.checkpoint = rig.keeper.manifest().checkpoints.last().map_or(0, |last| last.number);
        self.world.began(&self.moment(&rig));
        let mut told = vec![false; rig.survivors.len()];
        while !rig.is_finished() {
            self.burst(&mut rig, Some(&mut told))?;
        }
        rig.desk.close();
        let suspended = rig.desk.is_suspended();
        if suspended && !rig.desk.all_closed() {
            return Err(Halt::Broken("all shards have finished, and not all logs are closed".to_owned()));
        }
        if !suspended && rig.desk.survives() != Tick::END {
            return Err(Halt::Broken(format!(
                "all shards have finished, and {} survives",
                rig.desk.survives().0
            )));
        }
        let finished = rig.keeper.finish();
        if self.disk.has_ended() {
            self.die();
            return Err(Halt::Dead);
        }
        if let Err(error) = finished {
            self.die();
            return Err(Halt::Job(JobError::Storage(error.to_string())));
        }
        if !suspended {
            return Ok(());
        }
        drop((rig, opened));
        (self.death, self.clean) = (Death::Suspended, true);
        self.die();
        Err(Halt::Dead)
    }

    fn take_up(&mut self) -> Result<(Rig, Opened), Halt> {
        let (plan, scenario, memory) = (self.plan, self.scenario, self.memory.clone());
        check_sizes(self.shards, scenario.key_groups, scenario.ring_bytes)?;
        let options = SurvivalOptions {
            durability: match self.durability {
                Durability::Disk => pelton_storage::Durability::Disk,
                Durability::Process => pelton_storage::Durability::Process,
                Durability::None => {
                    let problem = "a job without durability survives nothing".to_owned();
                    return Err(JobError::Size { problem }.into());
                }
            },
            shards: self.shards as u16,
            segment_bytes: scenario.segment_bytes,
            hash_ticks: scenario.hash_ticks,
            restore: None,
            log_id: self.log_id,
            configuration: BTreeMap::new(),
        };
        let shape = shape(plan, self.shards, scenario.key_groups);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let mut opened = Opened::open(&disk, Path::new(DATA), &shape, options).map_err(JobError::Open)?;
        let keeper = KeeperOptions {
            interval_ns: scenario.checkpoint_ns,
            balance_ns: 0,
            keep: scenario.keep,
            now: String::new,
        };
        if let Task::Rescale { shards } = opened.task() {
            let before = scenario.sizes(usize::from(shards));
            self.tell(format!("{shards} shards' state is taken up, for {}", self.shards));
            let mut first = true;
            let burst = |rig: &mut Rig| {
                if std::mem::take(&mut first) {
                    rig.desk.said().into_iter().for_each(|note| self.tell(note));
                    self.world.began(&self.moment(rig));
                }
                self.burst(rig, None)
            };
            take_up::rescale::<Halt>(plan, &before, &memory, &mut opened, keeper.clone(), burst)?;
        }
        let candidates: Vec<_> = opened.candidates().iter().map(|c| (c.number, c.tick)).collect();
        self.tell(format!(
            "{} shards of generation {} begin, from one of (checkpoint, tick) {candidates:?}",
            self.shards, opened.manifest.generation
        ));
        let sizes = scenario.sizes(self.shards);
        let begun = take_up::begin(opened, |mut opened, checkpoint| {
            match Rig::build(plan, &sizes, &memory, &mut opened, checkpoint, false, keeper.clone()) {
                Ok(rig) => Ok((rig, opened)),
                Err(error) => Err(Box::new((error, Some(opened)))),
            }
        });
        (self.survives, self.quiet) = (Tick(0), 0);
        Ok(begun?)
    }

    /// A burst of steps of one shard, and what else happens at that time. If it is the end, the death has been died.
    /// `told` says which shards know that the job is to be suspended.
    fn burst(&mut self, rig: &mut Rig, told: Option<&mut [bool]>) -> Result<(), Halt> {
        let mut burst = self.try_burst(rig, told);
        if let Err(Halt::Job(_)) = &burst {
            if self.disk.has_ended() {
                burst = Err(Halt::Dead);
            } else if let Err(late) = self.stop_late(rig) {
                burst = Err(late);
            }
        }
        if let Err(Halt::Dead | Halt::Job(_)) = burst {
            self.die();
        }
        burst
    }

    fn try_burst(&mut self, rig: &mut Rig, told: Option<&mut [bool]>) -> Result<(), Halt> {
        let shard = self.schedule.below(rig.survivors.len() as u64) as usize;
        let due = self.suspends_at.is_some_and(|at| self.step >= at);
        // Shards whose state is taken up by others stay until those have it.
        let departs = told.is_some();
        if let Some(told) = told.map(|told| &mut told[shard]).filter(|told| due && !**told) {
            *told = true;
            self.tell(format!("shard {shard} is to be suspended"));
            if let Some(survivor) = &mut rig.survivors[shard] {
                survivor.suspend();
            }
        }
        for _ in 0..=self.schedule.below(8) {
            if self.dies_at.is_some_and(|at| self.step >= at) {
                return Err(Halt::Dead);
            }
            self.step += 1;
            self.count.steps += 1;
            self.now.0 += 1 + self.pace.below(100_000);
            rig.wall_clock(shard, self.now, self.wall.read(self.now));
            let step = match rig.step(shard, self.now) {
                Ok(step) => step,
                Err(fault) => {
                    // It must not be stepped again.
                    rig.survivors[shard] = None;
                    return Err(JobError::Fault(fault).into());
                }
            };
            self.trace((shard as u64) << 32 | (step.work as u64) << 1 | u64::from(step.published));
            if self.disk.has_ended() {
                return Err(Halt::Dead);
            }
            if step.finished && departs && self.departures.happens(300) {
                rig.survivors[shard] = None;
            }
            self.quiet = if step.work > 0 || step.published { 0 } else { self.quiet + 1 };
            self.check(rig)?;
        }
        if self.quiet > QUIET_STEPS_MAX {
            return Err(Halt::Broken("nothing moves any more".to_owned()));
        }
        if self.outside.happens(200) {
            rig.keeper.turn(self.now.0);
            let last = rig.keeper.manifest().checkpoints.last().map_or(0, |last| last.number);
            if last > self.checkpoint {
                self.count.checkpoints += 1;
                self.checkpoint = last;
                let tick = rig.keeper.manifest().checkpoints.last().map_or(0, |last| last.tick);
                self.tell(format!(
                    "checkpoint {last} at tick {tick}; ticks through {} survive",
                    rig.desk.survives().0
                ));
            }
        }
        if self.outside.happens(300) {
            let moment = self.moment(rig);
            self.world.turn(&moment);
        }
        if self.commands.happens(self.scenario.commands) {
            let name = self.commands.happens(300).then(|| format!("savepoint-{}-{}", self.life, self.step));
            rig.desk.command(Wish::Checkpoint(name));
        }
        if self.moves.happens(self.scenario.commands) {
            let groups = u64::from(self.scenario.key_groups.max(1));
            let (one, other) = (self.moves.below(groups) as u32, self.moves.below(groups) as u32);
            let shard = self.moves.below(rig.survivors.len() as u64) as u16;
            let wish = Wish::Move { first: one.min(other), last: one.max(other), shard };
            rig.desk.command(if self.moves.happens(200) { Wish::Balance } else { wish });
        }
        if self.disk.has_ended() { Err(Halt::Dead) } else { Ok(()) }
    }

    fn moment(&self, rig: &Rig) -> Moment {
        Moment {
            life: self.life,
            step: self.step,
            now: self.now,
            shards: rig.survivors.len(),
            survives: rig.desk.survives(),
            is_live: rig.desk.all_live(),
        }
    }

    fn check(&mut self, rig: &Rig) -> Result<(), Halt> {
        let moment = self.moment(rig);
        let (before, survives) = (self.survives, moment.survives);
        if survives < before {
            let what = format!("ticks through {} survived, and now only through {}", before.0, survives.0);
            return Err(Halt::Broken(what));
        }
        if survives > before {
            self.survives = survives;
            self.trace(survives.0);
        }
        if let Some(released) = rig.survivors.iter().flatten().map(|s| s.released()).find(|r| *r > survives) {
            let what = format!("tick {} was released, and only {} survives", released.0, survives.0);
            return Err(Halt::Broken(what));
        }
        self.world.check(&moment).map_err(Halt::Broken)
    }

    /// A shard has failed. The others do not know at once.
    fn stop_late(&mut self, rig: &mut Rig) -> Result<(), Halt> {
        for _ in 0..self.deaths.below(40) {
            let shard = self.schedule.below(rig.survivors.len() as u64) as usize;
            self.now.0 += 1 + self.pace.below(100_000);
            rig.wall_clock(shard, self.now, self.wall.read(self.now));
            match rig.step(shard, self.now) {
                Ok(step) => self.trace(step.work as u64),
                Err(_) => rig.survivors[shard] = None,
            }
            self.check(rig)?;
        }
        Ok(())
    }
}

/// Whether an error says that the disk failed, or that what is on it is not what it was.
fn is_of_the_disk(error: &JobError) -> bool {
    matches!(
        error,
        JobError::Fault(Fault::Storage { .. } | Fault::Restore { .. })
            | JobError::Open(OpenError::Storage(_))
            | JobError::Storage(_)
    )
}
