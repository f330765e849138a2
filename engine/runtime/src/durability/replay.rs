//! Replays: what a job did, tick by tick, from what it left in its data directory. Users find this in `pelton::replay`.
//!
//! State is rebuilt from the newest checkpoint before the first tick wanted, and everything that the log holds is taken in again, on one
//! thread. Nothing reaches a sink, and nothing in the directory changes. After each tick the state of each stage is hashed; where the run
//! itself [logged such hashes](crate::config::LogConfig::hash_ticks), the two are compared.

use super::{LogReplay, Mailbox, OpenError, Replayed, Restored, StateHash, difference, router, storage};
use crate::blueprint::Blueprint;
use crate::config::Config;
use crate::{JobError, sizes};
use pelton_core::checkpoint::moving::STEP_ROWS;
use pelton_core::checkpoint::snapshot::Checkpoint as _;
use pelton_core::ingress::input_log;
use pelton_core::stage::build::ShardBuilder;
use pelton_core::stage::wiring::wire_by;
use pelton_core::state::memory::{HeapMemory, Memory};
use pelton_core::{Beginning, Nanos, RestoreFrom, Shard, ShardId, StageId, Tick};
use pelton_storage::disk::{Blocking, Disk};
use pelton_storage::{Durability, Kind, LogOptions, LogReader, Manifest, log_directory};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Reads the manifest of a data directory.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn manifest(data: &Path) -> Result<Manifest, JobError> {
    let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
    let manifest = Manifest::load(&disk, data).map_err(storage)?;
    manifest.ok_or_else(|| JobError::Storage(format!("{}: no job has kept anything there", data.display())))
}

/// Replays a job from the data directory `data`, and shows `each` the state after every tick from `from` to `to`, in the order (tick,
/// shard, stage). The job must be the one whose data it is; of `config` only sizes count.
///
/// # Errors
/// When the data is another job's, damaged, or no longer reaches back to `from`.
pub fn replay(
    blueprint: &Blueprint<'_>,
    config: &Config,
    data: &Path,
    from: Tick,
    to: Tick,
    mut each: impl FnMut(&StateHash),
) -> Result<Replayed, JobError> {
    let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
    let manifest = manifest(data)?;
    let shape = blueprint.shape(usize::from(manifest.shards), manifest.key_groups);
    if let Some(difference) = difference(&manifest, &shape) {
        return Err(JobError::Open(OpenError::OtherJob { path: data.to_owned(), difference }));
    }
    sizes::check(usize::from(manifest.shards), manifest.key_groups, config.ring_bytes)?;
    let fits = |checkpoint: &&pelton_storage::Checkpoint| {
        let is_here = checkpoint.generation == manifest.generation && !checkpoint.superseded;
        (is_here || Some(checkpoint.number) == manifest.base) && checkpoint.tick < from.0.max(1)
    };
    let begin = manifest.checkpoints.iter().filter(fits).max_by_key(|checkpoint| checkpoint.tick);
    let restored = begin.map(|begin| {
        let directory = data.join("checkpoint");
        let restored = Restored::open(&disk, &directory, begin, manifest.log_id)?;
        restored.for_job(manifest.job_of(begin.generation), &manifest.job, data)
    });
    let restored = restored.transpose().map_err(storage)?;
    let after = restored.as_ref().map_or(Tick(0), |restored| restored.tick());
    let logs = Logs { disk: &disk, data, manifest: &manifest };
    logs.check_reach(after)?;
    let (mut recorded, mut times) = (BTreeMap::new(), BTreeMap::new());
    let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
    let mut sizes = sizes::resized(&sizes::of(config), manifest.shards);
    sizes.key_groups = manifest.key_groups;
    let graph = blueprint.graph_with(&manifest.job);
    let router = router(&manifest, restored.as_ref().map(|restored| restored.tick()));
    // Moves before the oldest checkpoint are not kept.
    let here = manifest.checkpoints.iter().filter(|other| other.generation == manifest.generation);
    if let Some(oldest) = here.min_by_key(|other| other.tick).filter(|oldest| oldest.tick > after.0)
        && oldest.owners != router.owners()
    {
        return Err(JobError::Storage(format!(
            "{}: key groups had moved before the checkpoint at tick {}, and where they were then is not kept; ask for later ticks",
            data.display(),
            oldest.tick
        )));
    }
    let wirings = wire_by(&graph, &sizes, router, &*memory).map_err(|error| JobError::Memory {
        rings: graph.rings(usize::from(manifest.shards)),
        ring_bytes: sizes.ring_bytes,
        error,
    })?;
    let moves = manifest.moves.iter().filter(|moved| moved.tick > after.0 && moved.tick <= to.0);
    let moves = moves.map(|moved| (Tick(moved.tick), moved.owners.clone()));
    let mailbox = Mailbox::new(manifest.shards, manifest.key_groups, moves, STEP_ROWS);
    let mut shards = Vec::new();
    let mut last = after;
    for wiring in wirings {
        let mut builder = ShardBuilder::new(wiring, memory.clone());
        let shard = builder.shard();
        last = last.max(logs.read_hashes(shard, to, &mut recorded, &mut times)?.min(to));
        let replay = LogReplay { reader: logs.reader(shard, after)?, after, through: to };
        builder.inspect(Box::new(replay));
        builder.hash_ticks(1);
        blueprint.build(&mut builder);
        let checkpoint = restored.as_ref().map(|restored| restored as _);
        let from = RestoreFrom { checkpoint, moves: mailbox.moves() };
        shards.push(builder.restore(from).map_err(JobError::Fault)?);
    }
    let beginning = Beginning { replayed_through: last, paused: true };
    let mut shards: Vec<Shard> = shards.into_iter().map(|shard| shard.begin(beginning)).collect();
    let mut replayed = Replayed { checkpoint: begin.map(|begin| begin.number), ..Replayed::default() };
    let mut show = |state: &StateHash| {
        replayed.states += 1;
        replayed.compared += u64::from(state.recorded.is_some());
        replayed.different += u64::from(state.differs());
        each(state);
    };
    step_through(&mut shards, last, |state| {
        if (from..=to).contains(&state.tick) {
            let recorded = recorded.get(&(state.tick, state.shard, state.stage)).copied();
            let taken_in = times.range(..=state.tick).next_back().map(|(_, time)| *time);
            show(&StateHash { recorded, taken_in, ..state });
        }
    })?;
    Ok(replayed)
}

/// Steps all shards until they are through, and shows states in the order of ticks.
fn step_through(shards: &mut [Shard], last: Tick, mut show: impl FnMut(StateHash)) -> Result<(), JobError> {
    let mut waiting = BTreeMap::new();
    loop {
        for shard in shards.iter_mut() {
            shard.step(Nanos(1).into()).map_err(JobError::Fault)?;
            let id = shard.id();
            shard.hashes(|stage, tick, hash| {
                waiting.insert((tick, id, stage), hash);
            });
        }
        let completed_through = shards.iter().map(Shard::completed_through).min().unwrap_or(Tick::END);
        while let Some(first) = waiting.first_entry().filter(|first| first.key().0 <= completed_through) {
            let ((tick, shard, stage), hash) = first.remove_entry();
            show(StateHash { tick, shard, stage, hash, recorded: None, taken_in: None });
        }
        if completed_through >= last && shards.iter().all(Shard::is_live) {
            return Ok(());
        }
    }
}

struct Logs<'a> {
    disk: &'a Arc<dyn Disk>,
    data: &'a Path,
    manifest: &'a Manifest,
}

impl Logs<'_> {
    /// Whether the logs hold everything after that tick: what lies before the oldest checkpoint may have been let go.
    fn check_reach(&self, after: Tick) -> Result<(), JobError> {
        let Manifest { generation, checkpoints, .. } = self.manifest;
        let passing =
            checkpoints.iter().filter(|other| other.generation == *generation && other.savepoint.is_none());
        let Some(oldest) = passing.map(|checkpoint| checkpoint.tick).min().filter(|oldest| *oldest > after.0)
        else {
            return Ok(());
        };
        let whole = |shard| {
            let directory = log_directory(self.data, *generation, shard);
            self.disk.list(&directory).is_ok_and(|names| names.iter().any(|name| name == "seg-00000000.log"))
        };
        if (0..self.manifest.shards).all(whole) {
            return Ok(());
        }
        Err(JobError::Storage(format!(
            "{}: what was logged before tick {oldest} has been let go, since there is a checkpoint at that tick; ask for later ticks",
            self.data.display()
        )))
    }

    fn reader(&self, shard: ShardId, after: Tick) -> Result<LogReader, JobError> {
        let generation = self.manifest.generation;
        let directory = log_directory(self.data, generation, shard.0);
        let options = LogOptions {
            durability: if self.manifest.durability == "disk" {
                Durability::Disk
            } else {
                Durability::Process
            },
            segment_bytes: self.manifest.segment_bytes,
            id: self.manifest.log_id,
            generation,
            shard: shard.0,
        };
        LogReader::open(self.disk, &directory, &options, after.0 + 1).map_err(storage)
    }

    /// The hashes that a shard logged, and when its ticks up to `to` were taken in; returns its last tick of input.
    fn read_hashes(
        &self,
        shard: ShardId,
        to: Tick,
        into: &mut BTreeMap<(Tick, ShardId, StageId), u64>,
        times: &mut BTreeMap<Tick, Nanos>,
    ) -> Result<Tick, JobError> {
        let mut reader = self.reader(shard, Tick(0))?;
        let mut last = Tick(0);
        while let Some(entry) = reader.next().map_err(storage)? {
            match (entry.kind, entry.payload) {
                (Kind::Hash, payload) if payload.len() == 24 => {
                    let word = |at: usize| {
                        let mut word = [0; 8];
                        word.copy_from_slice(&payload[at..at + 8]);
                        u64::from_le_bytes(word)
                    };
                    into.insert((Tick(word(8)), shard, StageId(word(0) as u16)), word(16));
                }
                (Kind::Tick, payload) => {
                    last = Tick(entry.tick);
                    if last <= to {
                        let now = input_log::taken_in(payload).ok_or_else(|| {
                            JobError::Storage(format!("the log's entry of tick {} is cut short", entry.tick))
                        })?;
                        times.entry(last).or_insert(now);
                    }
                }
                _ => {}
            }
        }
        Ok(last)
    }
}
