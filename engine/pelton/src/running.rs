//! A job on its cores: progress, stopping, waiting.

use crate::error::JobError;
use crate::job::Plan;
use crate::survive::{self, Started, Surviving};
use pelton_core::bounds::{RING_BYTES_MIN, SHARDS_MAX};
use pelton_core::build::{ShardBuilder, Sizes, Wiring, wire};
use pelton_core::memory::Memory;
use pelton_core::source::FailureOfJob;
use pelton_core::stats::{Counts, ShardStats};
use pelton_core::{Fault, IngressEntry, Nanos, Shard, ShardId, Step, TickBudget};
use pelton_runtime::config::{Config, Durability};
use pelton_runtime::survive::{CheckpointDone, Desk, Wish};
use pelton_runtime::{CoreStats, Duty, MemoryBudget, Position, StartError, Stop, Stopper, launch, on_core};
use std::error::Error;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A job that has been started.
#[derive(Debug)]
pub struct Running {
    inner: pelton_runtime::Running,
    /// After the cores: they must be gone before the data directory is given up.
    surviving: Option<Surviving>,
    stats: Vec<Arc<ShardStats>>,
    records: Arc<Mutex<Vec<ShardRecord>>>,
    notes: Vec<String>,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The sum over the shards.
    pub total: Counts,
    /// Each shard.
    pub shards: Vec<Counts>,
    /// Each core.
    pub cores: Vec<CoreStats>,
}

/// What a recorded run left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The ingress log of each shard.
    pub logs: Vec<Vec<IngressEntry>>,
    /// A digest of each shard's state after every tick.
    pub traces: Vec<u64>,
}

#[derive(Debug)]
struct ShardRecord {
    shard: ShardId,
    log: Vec<IngressEntry>,
    trace: u64,
}

/// A shard that leaves its log behind when it has finished.
struct Recorded {
    shard: Option<Shard>,
    records: Arc<Mutex<Vec<ShardRecord>>>,
}

impl Duty for Recorded {
    fn step(&mut self, now: Nanos) -> Result<Step, Fault> {
        let Some(shard) = &mut self.shard else {
            return Ok(Step { work: 0, published: false, finished: true });
        };
        let step = shard.step(now)?;
        if let Some(shard) = self.shard.take_if(|_| step.finished) {
            let (id, trace) = (shard.id(), shard.trace());
            let record = ShardRecord { shard: id, trace, log: shard.into_log() };
            self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        }
        Ok(step)
    }

    fn drain(&mut self) {
        if let Some(shard) = &mut self.shard {
            shard.drain();
        }
    }

    fn position(&self) -> Position {
        self.shard.as_ref().map_or_else(Position::default, Duty::position)
    }
}

/// Refuses what the engine would otherwise assert.
pub(crate) fn check_sizes(shards: usize, key_groups: u32, ring_bytes: usize) -> Result<(), JobError> {
    let problem = if shards == 0 || shards > SHARDS_MAX {
        format!("{shards} shards: there must be 1 to {SHARDS_MAX}")
    } else if (key_groups as usize) < shards {
        format!("{key_groups} key groups for {shards} shards: every shard needs one")
    } else if !ring_bytes.is_power_of_two() || ring_bytes < RING_BYTES_MIN {
        format!("rings of {ring_bytes} bytes: the size must be a power of two of at least {RING_BYTES_MIN}")
    } else {
        return Ok(());
    };
    Err(JobError::Size { problem })
}

/// The sizes that a configuration gives a job.
pub(crate) fn sizes(config: &Config) -> Sizes {
    Sizes {
        shards: config.shards as u16,
        key_groups: config.key_groups,
        ring_bytes: config.ring_bytes,
        tick: TickBudget {
            records_max: config.tick.records_max,
            interval_idle_nanos: config.tick.interval_idle_us * 1_000,
            interval_busy_nanos: config.tick.interval_busy_us * 1_000,
        },
        tick_bytes_max: config.tick.bytes_max,
    }
}

/// Tells the sources how to wake the engine, and where they learn why it failed.
fn attach(plan: &Plan, cores: &pelton_runtime::Running, surviving: Option<&Surviving>) {
    let bells = cores.bells();
    let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || bells.ring_all());
    let (cores, desk) = (cores.stopper(), surviving.map(|surviving| surviving.desk().clone()));
    let failure: FailureOfJob = Arc::new(move || {
        failure(&cores, desk.as_deref()).map(|error| Arc::new(error) as Arc<dyn Error + Send + Sync>)
    });
    plan.sources.iter().for_each(|source| (source.attach)(wake.clone(), failure.clone()));
}

/// Why the job has failed, if it has: what `wait` returns in the end.
fn failure(cores: &Stopper, desk: Option<&Desk>) -> Option<JobError> {
    let stored = desk.and_then(Desk::failure).map(JobError::Storage);
    stored.or_else(|| cores.failure().map(JobError::Run))
}

impl Running {
    pub(crate) fn start(plan: &Plan, config: &Config, record: bool) -> Result<Running, JobError> {
        plan.check()?;
        check_sizes(config.shards, config.key_groups, config.ring_bytes)?;
        // Once for all of it, so that the cores and the log's disk agree.
        let driver = config.choose_driver().map_err(StartError::IoUring)?;
        let config = &Config { driver: driver.kind, ..config.clone() };
        let mut notes: Vec<String> = driver.note.into_iter().collect();
        if config.durability != Durability::None && !record {
            let Started { cores: inner, stats, surviving } = survive::start(plan, config)?;
            attach(plan, &inner, Some(&surviving));
            notes.extend_from_slice(surviving.notes());
            return Ok(Running { inner, surviving: Some(surviving), stats, records: Arc::default(), notes });
        }
        let memory: Arc<dyn Memory> = Arc::new(MemoryBudget::new(config.memory_bytes));
        let graph = plan.graph(config.shards);
        let wirings = wire(&graph, &sizes(config), &*memory).map_err(|error| JobError::Memory {
            rings: graph.rings(config.shards),
            ring_bytes: config.ring_bytes,
            error,
        })?;
        let stats = wirings.iter().map(Wiring::stats).collect();
        let wirings: Mutex<Vec<Option<Wiring>>> = Mutex::new(wirings.into_iter().map(Some).collect());
        let records = Arc::new(Mutex::new(Vec::new()));
        let (plantings, kept) = (plan.plantings.clone(), record.then(|| records.clone()));
        let build = move |id: ShardId| {
            let mut wirings = wirings.lock().unwrap_or_else(PoisonError::into_inner);
            let wiring = wirings[usize::from(id.0)].take().unwrap_or_else(|| panic!("{id:?} is built once"));
            drop(wirings);
            let mut builder = ShardBuilder::new(wiring, memory.clone());
            if kept.is_some() {
                builder.record();
            }
            plantings.iter().for_each(|planting| planting(&mut builder));
            let shard = builder.finish();
            Ok(match &kept {
                None => Box::new(shard) as Box<dyn Duty>,
                Some(records) => Box::new(Recorded { shard: Some(shard), records: records.clone() }),
            })
        };
        let inner = launch(config, Arc::new(build))?;
        attach(plan, &inner, None);
        Ok(Running { inner, surviving: None, stats, records, notes })
    }

    /// Has the job, which must survive, save its state now, after one tick on all shards, while it runs on; returns when that is done.
    /// With a name it becomes a savepoint, which is kept until it is deleted, and from which a job can be started with another number of
    /// shards: see [`Config::restore`].
    ///
    /// # Errors
    /// When the job keeps nothing, has ended, or the state could not be saved.
    pub fn checkpoint(&self, name: Option<&str>) -> Result<CheckpointDone, JobError> {
        let Some(surviving) = &self.surviving else {
            return Err(JobError::Storage("a job without `durability` has no checkpoints".to_owned()));
        };
        self.ask(surviving, "checkpoint", Wish::Checkpoint(name.map(str::to_owned)))
    }

    /// Moves key groups to a shard, after one tick on all shards, while the job runs on; what comes out is the same. Returns when they have
    /// moved. Costs each stage that keeps state a pass over it.
    ///
    /// # Errors
    /// When the job keeps nothing, has ended, or there are no such key groups or no such shard.
    pub fn move_groups(&self, groups: RangeInclusive<u32>, shard: u16) -> Result<CheckpointDone, JobError> {
        let Some(surviving) = &self.surviving else {
            return Err(JobError::Storage("key groups move in a job with `durability`".to_owned()));
        };
        self.ask(surviving, "move_groups", Wish::Move { first: *groups.start(), last: *groups.end(), shard })
    }

    /// Moves key groups so that all shards have about as much to do, going by what was sent to each since the last time. Where nothing is
    /// worth moving, [`moved`](CheckpointDone::moved) is 0.
    ///
    /// # Errors
    /// As for [`move_groups`](Self::move_groups).
    pub fn rebalance(&self) -> Result<CheckpointDone, JobError> {
        let Some(surviving) = &self.surviving else {
            return Err(JobError::Storage("key groups move in a job with `durability`".to_owned()));
        };
        self.ask(surviving, "rebalance", Wish::Balance)
    }

    fn ask(&self, surviving: &Surviving, call: &'static str, wish: Wish) -> Result<CheckpointDone, JobError> {
        if on_core() {
            return Err(JobError::OnCore { call });
        }
        let answer = surviving.desk().command(wish);
        loop {
            if let Some(done) = answer.wait(Duration::from_millis(100)) {
                return done.map_err(JobError::Storage);
            }
            if self.is_finished() {
                let failure = failure(&self.stopper(), Some(surviving.desk()));
                let ended = || JobError::Storage("the job ended before that was done".to_owned());
                return Err(failure.unwrap_or_else(ended));
            }
        }
    }

    /// What is odd about where the job runs and keeps its data, one line each: that plain threads drive it since io_uring is blocked here,
    /// say. For the program to print, or not.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let job = Job::new("numbers").source(from_iter(|| 0..10)).sink(for_each(drop));
    /// let running = job.start()?;
    /// for note in running.notes() {
    ///     eprintln!("note: {note}");
    /// }
    /// running.wait()?;
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How far the job is, now. Cheap: reads counters that the cores write anyway.
    pub fn progress(&self) -> Progress {
        let shards: Vec<Counts> = self.stats.iter().map(|stats| stats.read()).collect();
        let mut total = Counts::default();
        shards.iter().for_each(|counts| total += *counts);
        Progress { total, shards, cores: self.inner.stats() }
    }

    /// Asks the job to stop: `Stop::Drain` ends the sources and lets everything under way complete, `Stop::Now` does not.
    pub fn stop(&self, how: Stop) {
        self.inner.stop(how);
    }

    /// What stops the job from another thread.
    pub fn stopper(&self) -> Stopper {
        self.inner.stopper()
    }

    /// Whether all cores have left.
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    /// Waits for at most `longest`; whether all cores have left.
    pub fn wait_for(&self, longest: Duration) -> bool {
        self.inner.wait_for(longest)
    }

    /// Waits until the job has ended, and returns how far it came.
    ///
    /// # Errors
    /// The first failure: a panic in user code with shard, tick and operator, or a [`Fault`]. On one of the engine's own threads it does not
    /// wait, and the job is stopped as if this had been dropped.
    pub fn wait(self) -> Result<Progress, JobError> {
        if on_core() {
            return Err(JobError::OnCore { call: "wait" });
        }
        while !self.wait_for(Duration::from_secs(3_600)) {}
        let progress = self.progress();
        let Running { inner, surviving, .. } = self;
        let ended = inner.wait();
        if let Some(mut surviving) = surviving {
            surviving.close(ended.is_ok())?;
        }
        ended?;
        Ok(progress)
    }

    pub(crate) fn into_recording(self) -> Result<Recording, JobError> {
        let records = self.records.clone();
        self.wait()?;
        let mut records = std::mem::take(&mut *records.lock().unwrap_or_else(PoisonError::into_inner));
        records.sort_by_key(|record| record.shard);
        let (logs, traces) = records.into_iter().map(|record| (record.log, record.trace)).unzip();
        Ok(Recording { logs, traces })
    }
}
