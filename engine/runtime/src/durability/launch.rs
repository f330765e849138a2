//! Starting a job with durability on its cores.

use super::restore::{self, NotBegun};
use super::{
    Commands, Coordinator, CoordinatorOptions, DurabilityOptions, DurableShard, Mailbox, Opened, Restored,
    Task, UnderWay, rescale, storage,
};
use crate::blueprint::Blueprint;
use crate::bounds::{COMMANDS_INTERVAL_NS, KEEPER_INTERVAL, LATE_INTERVALS, LATE_NS_MAX};
use crate::config::{Config, DriverKind, Durability};
use crate::{
    Bells, Duty, JobError, MemoryBudget, OnCore, Running as Cores, StartError, clock, panics, prepare, sizes,
};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::stage::wiring::{Wiring, wire_by};
use pelton_core::state::memory::Memory;
use pelton_core::stats::ShardStats;
use pelton_core::{Nanos, ShardId};
use pelton_storage::LogOptions;
use pelton_storage::disk::{Blocking, Disk, Uring};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// A checkpoint, or a move of key groups, that takes too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateCheckpoint {
    /// For how long it has been under way.
    pub taken: Duration,
    /// The shards that have not done their part yet. If there are none it waits for the disk, or for a sink that has to make durable what it was
    /// shown.
    pub waits_for: Vec<ShardId>,
}

/// What a running job with durability has besides its cores.
pub struct DurableJob {
    mailbox: Arc<Mailbox>,
    /// Nothing comes of it if it panicked; the mailbox knows why. Nor if the job did not begin.
    coordinator: Option<JoinHandle<Option<Coordinator>>>,
    /// A checkpoint that takes longer than this is late.
    late_ns: u64,
    /// The lock on the data directory is held as long as this lives.
    opened: Opened,
    notes: Vec<String>,
}

impl DurableJob {
    /// Where checkpoints are asked for.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// The checkpoint that takes too long, if one does.
    pub fn late(&self) -> Option<LateCheckpoint> {
        let UnderWay { begun, waits_for } = self.mailbox.under_way()?;
        let taken = clock::now().0.saturating_sub(begun);
        (taken >= self.late_ns).then(|| LateCheckpoint { taken: Duration::from_nanos(taken), waits_for })
    }

    /// What is odd about the place that the data is in.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The job is over. If it ended well, the manifest says so.
    ///
    /// # Errors
    /// When something that had to be durable could not be read or written, in the run or now.
    pub fn close(&mut self, well: bool) -> Result<(), JobError> {
        self.mailbox.close();
        let Some(thread) = self.coordinator.take() else { return Ok(()) };
        let kept = thread.join().unwrap_or_else(|_| None);
        if let Some(message) = self.mailbox.failure() {
            return Err(JobError::Storage(message));
        }
        let Some(mut coordinator) = kept else { return Ok(()) };
        // The logs of a job that came to the end of its input, or was suspended, are written out.
        if well && self.mailbox.all_closed() { coordinator.finish().map_err(storage) } else { Ok(()) }
    }
}

impl fmt::Debug for DurableJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableJob").field("data", &self.opened.data.path()).finish_non_exhaustive()
    }
}

impl Drop for DurableJob {
    fn drop(&mut self) {
        // Nobody is left who could be told.
        let _ = self.close(false);
    }
}

/// A job on its cores, with what makes it durable.
pub struct Started {
    /// The cores.
    pub cores: Cores,
    /// What each shard counts.
    pub stats: Vec<Arc<ShardStats>>,
    /// The rest.
    pub durable: DurableJob,
}

/// Starts the job: recovers what is there, and goes on.
///
/// # Errors
/// When the configuration is no job's with durability, what is in the data directory cannot be recovered, or the cores cannot be started.
pub fn start(blueprint: &Blueprint<'_>, config: &Config) -> Result<Started, JobError> {
    let mut opened = open(blueprint, config)?;
    let memory: Arc<dyn Memory> = Arc::new(MemoryBudget::new(config.memory_bytes));
    if let Task::Rescale { shards } = opened.task() {
        rescale(blueprint, config, &memory, &mut opened, shards)?;
    }
    restore::begin(opened, |opened, checkpoint| attempt(blueprint, config, &memory, opened, checkpoint))
}

fn open(blueprint: &Blueprint<'_>, config: &Config) -> Result<Opened, JobError> {
    let problem = |problem: &str| JobError::Size { problem: problem.to_owned() };
    let data = config
        .data
        .as_ref()
        .ok_or_else(|| problem("`durability` needs a directory to keep things in: set `data`"))?;
    let durability = match config.durability {
        Durability::Disk => pelton_storage::Durability::Disk,
        Durability::Process => pelton_storage::Durability::Process,
        Durability::None => return Err(problem("a job without durability keeps nothing")),
    };
    let bytes = config.log.segment_bytes;
    let (least, most) = (LogOptions::SEGMENT_BYTES_MIN, LogOptions::SEGMENT_BYTES_MAX);
    if !bytes.is_power_of_two() || !(least..=most).contains(&bytes) {
        let sizes = format!("must be a power of two from {least} to {most} bytes");
        return Err(problem(&format!("segments of {bytes} bytes: the size (`log.segment`) {sizes}")));
    }
    let disk: Arc<dyn Disk> = match config.driver {
        DriverKind::Glommio => Arc::new(Uring::new(config.log.direct)),
        DriverKind::Threads | DriverKind::Auto => Arc::new(Blocking::new()),
    };
    let options = DurabilityOptions {
        durability,
        shards: config.shards as u16,
        segment_bytes: config.log.segment_bytes,
        hash_ticks: config.log.hash_ticks,
        restore: config.restore.clone(),
        drop_state: config.drop_state.clone(),
        log_id: u128::from(draw()) << 64 | u128::from(draw()),
        configuration: BTreeMap::from([("config".to_owned(), format!("{config:?}"))]),
    };
    let shape = blueprint.shape(config.shards, config.key_groups);
    Ok(Opened::open(&disk, data, &shape, options)?)
}

/// A number that nobody has drawn before.
fn draw() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn coordinator_options(config: &Config) -> CoordinatorOptions {
    CoordinatorOptions {
        interval_ns: config.checkpoint.interval_s * 1_000_000_000,
        balance_ns: config.balance.interval_s * 1_000_000_000,
        keep: config.checkpoint.keep,
        now,
    }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Recovers what other shards left, as far as it goes, and makes a checkpoint of it.
fn rescale(
    blueprint: &Blueprint<'_>,
    config: &Config,
    memory: &Arc<dyn Memory>,
    opened: &mut Opened,
    shards: u16,
) -> Result<(), JobError> {
    sizes::check(usize::from(shards), config.key_groups, config.ring_bytes)?;
    let before = sizes::resized(&sizes::of(config), shards);
    rescale::rescale(blueprint, &before, memory, opened, coordinator_options(config), |harness| {
        let now = clock::now();
        harness.coordinator.turn(now.0);
        (0..usize::from(shards))
            .try_for_each(|shard| harness.step(shard, now.into()).map(drop).map_err(JobError::Fault))
    })
}

/// Starts the cores from a checkpoint. After a failure the directory is given back, if it can be tried again.
fn attempt(
    blueprint: &Blueprint<'_>,
    config: &Config,
    memory: &Arc<dyn Memory>,
    mut opened: Opened,
    checkpoint: Option<&Arc<Restored>>,
) -> Result<Started, NotBegun> {
    let graph = blueprint.graph_with(&opened.manifest.job);
    let wirings = match wire_by(&graph, &sizes::of(config), opened.router(checkpoint), &**memory) {
        Ok(wirings) => wirings,
        Err(error) => {
            let (rings, ring_bytes) = (graph.rings(config.shards), config.ring_bytes);
            return Err(Box::new((JobError::Memory { rings, ring_bytes, error }, None)));
        }
    };
    let stats = wirings.iter().map(Wiring::stats).collect();
    let mailbox = opened.mailbox(checkpoint);
    let parts: Vec<_> =
        (0..config.shards as u16).map(|shard| opened.parts(shard, &mailbox, checkpoint)).collect();
    let wirings: Mutex<Vec<Option<Wiring>>> = Mutex::new(wirings.into_iter().map(Some).collect());
    let owners = Arc::new(Mutex::new(Vec::new()));
    let (builders, memory, kept) = (blueprint.builders.clone(), memory.clone(), owners.clone());
    let build = move |id: ShardId| {
        let mut wirings = wirings.lock().unwrap_or_else(PoisonError::into_inner);
        let wiring = wirings[usize::from(id.0)].take().unwrap_or_else(|| panic!("{id:?} is built once"));
        drop(wirings);
        let builder = ShardBuilder::new(wiring, memory.clone());
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = builder.router().owners().to_vec();
        let durable_shard = DurableShard::build(builder, parts[usize::from(id.0)].clone(), |builder| {
            builders.iter().for_each(|build| build(builder));
        })?;
        Ok(Box::new(durable_shard) as Box<dyn Duty>)
    };
    let commands = match Commands::new(opened.data.clone(), mailbox.clone()) {
        Ok(commands) => commands,
        Err(error) => return Err(Box::new((storage(error), None))),
    };
    let (hand_over, handed) = channel();
    let bells = Arc::new(Mutex::new(None::<Bells>));
    let (kept, ring) = (mailbox.clone(), bells.clone());
    let tell = move || {
        if let Some(bells) = &*ring.lock().unwrap_or_else(PoisonError::into_inner) {
            bells.ring_all();
        }
    };
    // The thread is there before the job is said to begin; without a coordinator it has nothing to do.
    let thread = thread::Builder::new().name("pelton-coordinator".to_owned()).spawn(move || {
        let coordinator: Coordinator = handed.recv().ok()?;
        watch(coordinator, commands, &kept, tell)
    });
    let thread = match thread {
        Ok(thread) => thread,
        Err(error) => return Err(Box::new((JobError::Start(StartError::Thread(error)), None))),
    };
    let begun = prepare(config, Arc::new(build)).map_err(JobError::from).and_then(|prepared| {
        opened.commit(&mailbox, checkpoint)?;
        Ok(prepared)
    });
    let prepared = match begun {
        Ok(prepared) => prepared,
        Err(error) => {
            drop(hand_over);
            // It holds the directory as long as it lives, and panics nowhere.
            let _ = thread.join();
            let again = matches!(error, JobError::Start(StartError::Build { .. }));
            return Err(Box::new((error, again.then_some(opened))));
        }
    };
    let owners = owners.lock().unwrap_or_else(PoisonError::into_inner).clone();
    *bells.lock().unwrap_or_else(PoisonError::into_inner) = Some(prepared.bells());
    let coordinator = Coordinator::new(
        opened.data.clone(),
        opened.manifest.clone(),
        mailbox.clone(),
        coordinator_options(config),
        owners,
    );
    // It waits for this and for nothing else.
    let _ = hand_over.send(coordinator);
    let cores = prepared.begin();
    let late_ns = match config.checkpoint.interval_s {
        0 => LATE_NS_MAX,
        seconds => seconds.saturating_mul(LATE_INTERVALS * 1_000_000_000).min(LATE_NS_MAX),
    };
    let notes = opened.data.notes().iter().cloned().chain(mailbox.said()).collect();
    let durable = DurableJob { mailbox, coordinator: Some(thread), late_ns, opened, notes };
    Ok(Started { cores, stats, durable })
}

/// The life of the coordinator's thread, which the job needs: should it panic, the job stops and says so.
fn watch(
    coordinator: Coordinator,
    commands: Commands,
    mailbox: &Mailbox,
    tell: impl Fn(),
) -> Option<Coordinator> {
    panics::record_here();
    match panics::catch(|| keep(coordinator, commands, mailbox, &tell)) {
        Ok(coordinator) => Some(coordinator),
        Err(panicked) => {
            mailbox.fail(format!("the thread that keeps checkpoints panicked, which is a bug: {panicked}"));
            // Nobody answers any more.
            mailbox.close();
            tell();
            None
        }
    }
}

/// What that thread does. It is started by a thread that is not pinned.
fn keep(
    mut coordinator: Coordinator,
    mut commands: Commands,
    mailbox: &Mailbox,
    tell: impl Fn(),
) -> Coordinator {
    // What sinks do to make rows durable runs here.
    let _on_core = OnCore::enter();
    let mut listened = Nanos(0);
    while !mailbox.is_closed() {
        let now = clock::now();
        if now.0 - listened.0 >= COMMANDS_INTERVAL_NS {
            listened = now;
            if let Err(error) = commands.turn() {
                mailbox.fail(error.to_string());
                tell();
            }
        }
        if coordinator.turn(now.0) {
            tell();
        } else {
            mailbox.wait_for_news(KEEPER_INTERVAL);
        }
    }
    // The last answers: whoever asked should not wait for ever.
    coordinator.give_up();
    let _ = commands.turn();
    coordinator
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durability::{JobShape, Request};
    use pelton_storage::disk::{Faults, Simulated};
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Whoever waits for a checkpoint hears of it when the thread that makes them dies, and so does the job.
    #[test]
    fn a_coordinator_that_panics_ends_the_job() {
        let disk: Arc<dyn Disk> = Arc::new(Simulated::new(1, Faults::default()));
        let shape =
            JobShape { name: "job".to_owned(), operators: Vec::new(), partitions: vec![1], key_groups: 1 };
        let options = DurabilityOptions {
            durability: pelton_storage::Durability::Disk,
            shards: 0,
            segment_bytes: 64 << 10,
            hash_ticks: 0,
            restore: None,
            drop_state: Vec::new(),
            log_id: 7,
            configuration: BTreeMap::new(),
        };
        let opened = Opened::open(&disk, Path::new("/data/job"), &shape, options).unwrap();
        let mailbox = opened.mailbox(None);
        let commands = Commands::new(opened.data.clone(), mailbox.clone()).unwrap();
        let options = CoordinatorOptions { interval_ns: 0, balance_ns: 0, keep: 1, now };
        let coordinator = Coordinator::new(
            opened.data.clone(),
            opened.manifest.clone(),
            mailbox.clone(),
            options,
            Vec::new(),
        );
        let asked = mailbox.command(Request::Checkpoint(None));
        let (shared, told) = (mailbox.clone(), AtomicBool::new(false));
        let thread = thread::spawn(move || {
            let tell = || assert!(told.swap(true, Ordering::Relaxed), "the bells are broken");
            watch(coordinator, commands, &shared, tell).is_none()
        });
        assert!(thread.join().unwrap(), "nothing comes of it");
        let failure = mailbox.failure().unwrap();
        assert!(failure.contains("the bells are broken") && failure.contains("launch.rs"), "{failure}");
        assert!(asked.get().unwrap().is_err());
        assert!(mailbox.command(Request::Checkpoint(None)).get().unwrap().is_err());
    }
}
