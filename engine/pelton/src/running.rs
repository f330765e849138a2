//! A job on its cores: progress, stopping, waiting.

mod endings;
mod progress;
mod recorded;

pub(crate) use self::endings::Endings;
use self::endings::outcome;
pub use self::progress::Progress;
use self::recorded::{Recorded, ShardRecord};
use crate::JobError;
use crate::durability;
use crate::job::JobPlan;
use crate::signals;
use crate::waiting::Waits;
use pelton_core::ShardId;
use pelton_core::ingress::source::FailureOfJob;
use pelton_core::sink::Outcome;
use pelton_core::stage::build::ShardBuilder;
use pelton_core::stage::wiring::{Wiring, wire};
use pelton_core::state::memory::Memory;
use pelton_core::stats::{Counts, ShardStats};
use pelton_runtime::config::{Config, Durability};
use pelton_runtime::durability::{CheckpointDone, DurableJob, Mailbox, Request, Started, start};
use pelton_runtime::sim::Recording;
use pelton_runtime::{Duty, MemoryBudget, StartError, Stop, Stopper, Watch, clock, launch, on_core, sizes};
use std::error::Error;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A job that has been started.
#[derive(Debug)]
pub struct Running {
    inner: pelton_runtime::Running,
    /// After the cores: they must be gone before the data directory is given up.
    durable: Option<DurableJob>,
    stats: Vec<Arc<ShardStats>>,
    waits: Waits,
    records: Arc<Mutex<Vec<ShardRecord>>>,
    notes: Vec<String>,
}

/// Whom to ask of a run.
type Run = (Watch, Option<Arc<Mailbox>>);

/// Tells the sources how to wake the engine, and where they learn why it failed.
fn attach(plan: &JobPlan, cores: &pelton_runtime::Running, durable: Option<&DurableJob>) {
    let bells = cores.bells();
    let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(move || bells.ring_all());
    let (cores, mailbox) = (cores.watch(), durable.map(|durable| durable.mailbox().clone()));
    let failure: FailureOfJob = Arc::new(move || {
        failure(&cores, mailbox.as_deref()).map(|error| Arc::new(error) as Arc<dyn Error + Send + Sync>)
    });
    plan.sources.iter().for_each(|source| (source.attach)(wake.clone(), failure.clone()));
}

/// Why the job has failed, if it has: what `wait` returns in the end.
fn failure(cores: &Watch, mailbox: Option<&Mailbox>) -> Option<JobError> {
    let stored = mailbox.and_then(Mailbox::failure).map(JobError::Storage);
    stored.or_else(|| cores.failure().map(JobError::Run))
}

impl Running {
    pub(crate) fn start(plan: &JobPlan, config: &Config, record: bool) -> Result<Running, JobError> {
        plan.check()?;
        sizes::check(config.shards, config.key_groups, config.ring_bytes)?;
        // Once for all of it, so that the cores and the log's disk agree.
        let driver = config.choose_driver().map_err(StartError::IoUring)?;
        let config = &Config { driver: driver.kind, ..config.clone() };
        let mut notes: Vec<String> = driver.note.into_iter().collect();
        let endings = Endings::attach(plan);
        if config.durability != Durability::None && !record {
            durability::check(plan)?;
            let Started { cores: inner, stats, durable } = start(&plan.blueprint(), config)?;
            endings.begun(inner.watch(), Some(durable.mailbox().clone()));
            attach(plan, &inner, Some(&durable));
            notes.extend_from_slice(durable.notes());
            let (durable, waits) = (Some(durable), Waits::of(plan));
            return Ok(Running { inner, durable, stats, waits, records: Arc::default(), notes });
        }
        let memory: Arc<dyn Memory> = Arc::new(MemoryBudget::new(config.memory_bytes));
        let graph = plan.graph(config.shards);
        let wirings = wire(&graph, &sizes::of(config), &*memory).map_err(|error| JobError::Memory {
            rings: graph.rings(config.shards),
            ring_bytes: config.ring_bytes,
            error,
        })?;
        let stats = wirings.iter().map(Wiring::stats).collect();
        let wirings: Mutex<Vec<Option<Wiring>>> = Mutex::new(wirings.into_iter().map(Some).collect());
        let records = Arc::new(Mutex::new(Vec::new()));
        let (builders, kept) = (plan.builders.clone(), record.then(|| records.clone()));
        let build = move |id: ShardId| {
            let mut wirings = wirings.lock().unwrap_or_else(PoisonError::into_inner);
            let wiring = wirings[usize::from(id.0)].take().unwrap_or_else(|| panic!("{id:?} is built once"));
            drop(wirings);
            let mut builder = ShardBuilder::new(wiring, memory.clone());
            if kept.is_some() {
                builder.record();
            }
            builders.iter().for_each(|build| build(&mut builder));
            let shard = builder.finish();
            Ok(match &kept {
                None => Box::new(shard) as Box<dyn Duty>,
                Some(records) => Box::new(Recorded { shard: Some(shard), records: records.clone() }),
            })
        };
        let inner = launch(config, Arc::new(build))?;
        endings.begun(inner.watch(), None);
        attach(plan, &inner, None);
        Ok(Running { inner, durable: None, stats, waits: Waits::of(plan), records, notes })
    }

    /// Has the job, which must have durability, save its state now, after one tick on all shards, while it runs on; returns when that is done.
    /// With a name it becomes a savepoint, which is kept until it is deleted, and from which a job can be started with another number of
    /// shards: see [`Config::restore`].
    ///
    /// # Errors
    /// When the job keeps nothing, has ended, or the state could not be saved.
    pub fn checkpoint(&self, name: Option<&str>) -> Result<CheckpointDone, JobError> {
        let Some(durable) = &self.durable else {
            return Err(JobError::Storage("a job without `durability` has no checkpoints".to_owned()));
        };
        self.ask(durable, "checkpoint", Request::Checkpoint(name.map(str::to_owned)))
    }

    /// Moves key groups to a shard, after one tick on all shards, while the job runs on; what comes out is the same. Returns when they have
    /// moved. Costs each stage that keeps state a pass over it.
    ///
    /// # Errors
    /// When the job keeps nothing, has ended, or there are no such key groups or no such shard.
    pub fn move_groups(&self, groups: RangeInclusive<u32>, shard: u16) -> Result<CheckpointDone, JobError> {
        let Some(durable) = &self.durable else {
            return Err(JobError::Storage("key groups move in a job with `durability`".to_owned()));
        };
        self.ask(durable, "move_groups", Request::Move { first: *groups.start(), last: *groups.end(), shard })
    }

    /// Moves key groups so that all shards have about as much to do, going by what was sent to each since the last time. Where nothing is
    /// worth moving, [`moved`](CheckpointDone::moved) is 0.
    ///
    /// # Errors
    /// As for [`move_groups`](Self::move_groups).
    pub fn rebalance(&self) -> Result<CheckpointDone, JobError> {
        let Some(durable) = &self.durable else {
            return Err(JobError::Storage("key groups move in a job with `durability`".to_owned()));
        };
        self.ask(durable, "rebalance", Request::Balance)
    }

    fn ask(
        &self,
        durable: &DurableJob,
        call: &'static str,
        request: Request,
    ) -> Result<CheckpointDone, JobError> {
        if on_core() {
            return Err(JobError::OnCore { call });
        }
        let answer = durable.mailbox().command(request);
        loop {
            let failure =
                |why| failure(&self.inner.watch(), Some(durable.mailbox())).unwrap_or(JobError::Storage(why));
            if let Some(done) = answer.wait(Duration::from_millis(100)) {
                // If the job has failed, that is why.
                return done.map_err(failure);
            }
            if self.is_finished() {
                return Err(failure("the job ended before that was done".to_owned()));
            }
        }
    }

    /// What is odd about where the job runs, keeps its data, and is configured from, one line each: that plain threads drive it since io_uring
    /// is blocked here, say, or that a variable is no key's. For the program to print, or not.
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

    /// Adds what was odd before the start.
    pub(crate) fn note(&mut self, notes: impl Iterator<Item = String>) {
        self.notes.splice(..0, notes);
    }

    /// How far the job is, now. Cheap: reads counters that the cores write anyway.
    pub fn progress(&self) -> Progress {
        let shards: Vec<Counts> = self.stats.iter().map(|stats| stats.read()).collect();
        let mut total = Counts::default();
        shards.iter().for_each(|counts| total += *counts);
        let late_checkpoint = self.durable.as_ref().and_then(DurableJob::late);
        let waiting = self.waits.read(&self.stats, clock::now());
        let (cores, notes) = (self.inner.stats(), self.notes.clone());
        Progress { total, shards, cores, late_checkpoint, waiting, notes }
    }

    /// Asks the job to stop, and returns at once; [`wait`](Self::wait) says when it has. See [`Stop`] for the ways: a job with durability that is
    /// to go on later is [suspended](Stop::Suspend).
    ///
    /// ```
    /// use pelton::config::{Config, Durability};
    /// use pelton::prelude::*;
    /// use pelton::sources::inlet;
    ///
    /// # let data = std::env::temp_dir().join(format!("pelton-doc-suspend-{}", std::process::id()));
    /// # let _ = std::fs::remove_dir_all(&data);
    /// let config =
    ///     Config { durability: Durability::Disk, data: Some(data.clone()), ..Config::default() };
    /// let (orders, source) = inlet::<u64>(1_024);
    /// let total = fold(0, |sum, price| *sum += price, |a, b| a + b);
    /// let job = Job::new("orders").source(source).sink(total.clone());
    ///
    /// let running = job.start_with(&config)?;
    /// let mut gateway = orders.producer("gateway-1")?;
    /// gateway.send(5)?;
    /// running.stop(Stop::Suspend);
    /// running.wait()?;
    /// assert_eq!(total.take(), 5);
    ///
    /// let running = job.start_with(&config)?;
    /// drop(gateway);
    /// let mut gateway = orders.producer("gateway-1")?;
    /// assert_eq!(gateway.next_sequence()?, 2);
    /// running.stop(Stop::Suspend);
    /// running.wait()?;
    /// # std::fs::remove_dir_all(&data)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stop(&self, how: Stop) {
        self.inner.stop(how);
    }

    /// Has SIGTERM, SIGINT (Ctrl-C) and SIGHUP [suspend](Stop::Suspend) the job, so that [`wait`](Self::wait) returns `Ok` and a later run goes on;
    /// a second of them stops it at once. For the main program of a process: from now on none of them ends it. A handler that the program has
    /// installed before is called, too; SIGHUP stays ignored under `nohup`.
    ///
    /// ```
    /// use pelton::prelude::*;
    /// let job = Job::new("copy").source(from_iter(|| 0..3)).sink(for_each(|n| println!("{n}")));
    /// let running = job.start()?;
    /// running.suspend_on_signals()?;
    /// running.wait()?;
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    ///
    /// # Errors
    /// When the system allows no handler.
    pub fn suspend_on_signals(&self) -> Result<(), JobError> {
        signals::suspend(self.inner.watch(), self.inner.stopper())
    }

    /// What stops the job from another thread.
    pub fn stopper(&self) -> Stopper {
        self.inner.stopper()
    }

    /// How the job has ended, if it has.
    pub fn outcome(&self) -> Option<Outcome> {
        outcome(&self.inner.watch(), self.durable.as_ref().map(|durable| &**durable.mailbox()))
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
    /// The first failure: a panic in user code with shard, tick and operator, or a [`Fault`](crate::Fault). On one of the engine's own threads it does not
    /// wait, and the job is stopped as if this had been dropped.
    pub fn wait(self) -> Result<Progress, JobError> {
        if on_core() {
            return Err(JobError::OnCore { call: "wait" });
        }
        while !self.wait_for(Duration::from_secs(3_600)) {}
        let progress = self.progress();
        let Running { inner, durable, .. } = self;
        let ended = inner.wait();
        if let Some(mut durable) = durable {
            durable.close(ended.is_ok())?;
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
