//! How a shard with a log starts: it is restored, the start becomes certain, it begins.

use super::Shard;
use crate::checkpoint::moving::Move;
use crate::checkpoint::snapshot::Checkpoint;
use crate::fault::Fault;
use crate::ids::Tick;
use crate::stage::Stage;
use alloc::vec::Vec;
use core::ops::Deref;

/// What a shard goes on from.
pub struct RestoreFrom<'a> {
    /// The checkpoint, if an earlier run made one.
    pub checkpoint: Option<&'a dyn Checkpoint>,
    /// The moves of key groups that an earlier run made after it, in the order of their ticks.
    pub moves: Vec<Move>,
}

/// What a restored shard has to know of the others, and what it is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The last tick in the input log of any shard, which all new ticks come after.
    pub replayed_through: Tick,
    /// Whether it takes in nothing new after that.
    pub paused: bool,
}

/// A shard that stands where an earlier run was, and has not begun: the start can still be given up, and has changed nothing. All shards are
/// restored before the first of them begins.
pub struct RestoredShard(Shard);

impl RestoredShard {
    pub(crate) fn new(mut shard: Shard, from: RestoreFrom<'_>) -> Result<Self, Fault> {
        shard.replay_moves(from.moves);
        shard.restore(from.checkpoint)?;
        Ok(RestoredShard(shard))
    }

    /// The tick through which sinks say that they have rows: the highest of all, for the input that these follow from must be there.
    pub fn kept(&self) -> Tick {
        self.0.kept
    }

    /// See [`Shard::drain`].
    pub fn drain(&mut self) {
        self.0.drain();
    }

    /// See [`Shard::suspend`].
    pub fn suspend(&mut self) {
        self.0.suspend();
    }

    /// The start is certain. With the first step sinks take back what does not count.
    pub fn begin(self, beginning: Beginning) -> Shard {
        let RestoredShard(mut shard) = self;
        shard.ingress.begin(beginning);
        shard.phase = Phase::Begins(beginning.replayed_through);
        shard
    }
}

/// What can be asked of a shard, and not what it does.
impl Deref for RestoredShard {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.0
    }
}

/// Where a shard is between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its sinks have not begun: the first step does that. Ticks through this one were taken in by an earlier run.
    Begins(Tick),
    /// It is stepped.
    Runs,
    /// Its sinks have been told that it is suspended: it is not stepped any more.
    Suspended,
}

impl Shard {
    /// What comes before a step that is the first, or should not be.
    #[cold]
    pub(super) fn enter(&mut self) -> Result<(), Fault> {
        let Phase::Begins(replayed) = core::mem::replace(&mut self.phase, Phase::Runs) else {
            panic!("a suspended shard is not stepped any more")
        };
        self.each_sink(|sink| sink.begin(replayed))
    }

    /// Has the moves of an earlier run made again.
    fn replay_moves(&mut self, moves: Vec<Move>) {
        // The stages know at once: where the input has ended, nothing else keeps them from passing a move's tick.
        for moving in &moves {
            self.stages.iter_mut().for_each(|stage: &mut Stage| stage.move_after(moving.clone()));
        }
        self.moves = moves.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Nanos;
    use crate::ingress::{IngressEntry, TickBudget};
    use crate::stage::build::ShardBuilder;
    use crate::stage::context::RunInfo;
    use crate::stage::graph::Graph;
    use crate::stage::wiring::{Sizes, wire};
    use crate::state::memory::{HeapMemory, Memory};
    use alloc::boxed::Box;
    use alloc::collections::VecDeque;
    use alloc::sync::Arc;

    /// A shard without a source, and so at its end with the first tick.
    fn builder() -> ShardBuilder {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let tick = TickBudget { records_max: 1, interval_idle_nanos: 0, interval_busy_nanos: 0 };
        let sizes = Sizes { shards: 1, key_groups: 1, ring_bytes: 4096, tick, tick_bytes_max: 4096 };
        let wirings = wire(&Graph { stages: 1, ..Graph::default() }, &sizes, &*memory).unwrap();
        ShardBuilder::new(wirings.into_iter().next().unwrap(), memory)
    }

    fn with_log() -> ShardBuilder {
        let mut builder = builder();
        builder.inspect(Box::new(VecDeque::<IngressEntry>::new()));
        builder
    }

    fn begun(paused: bool) -> Shard {
        let restored = with_log().restore(RestoreFrom { checkpoint: None, moves: Vec::new() }).unwrap();
        assert!(!restored.is_live());
        restored.begin(Beginning { replayed_through: Tick(7), paused })
    }

    #[test]
    fn new_ticks_come_after_those_of_all_logs() {
        let mut shard = begun(true);
        shard.step(Nanos(1).into()).unwrap();
        assert!(shard.is_live() && shard.is_quiet());
        assert_eq!(shard.clock(), Tick(7));
        let mut shard = begun(false);
        shard.step(Nanos(1).into()).unwrap();
        assert_eq!((shard.first.tick.get(), shard.clock()), (Tick(8), Tick::END));
    }

    #[test]
    #[should_panic(expected = "a shard with a log is restored before it begins")]
    fn one_with_a_log_is_restored() {
        with_log().finish();
    }

    #[test]
    #[should_panic(expected = "a shard without a log has nothing to be restored from")]
    fn one_without_a_log_is_not() {
        drop(builder().restore(RestoreFrom { checkpoint: None, moves: Vec::new() }));
    }

    #[test]
    #[should_panic(expected = "what a run is like is said before anything of it is built")]
    fn what_has_been_built_has_been_told() {
        let mut builder = builder();
        let context = builder.context(crate::ids::StageId(0));
        assert_eq!(context.run(), RunInfo { shards: 1, ..RunInfo::default() });
        builder.inspect(Box::new(VecDeque::<IngressEntry>::new()));
    }

    #[test]
    #[should_panic(expected = "a suspended shard is not stepped any more")]
    fn after_its_suspension_it_is_not_stepped() {
        let mut shard = begun(true);
        shard.step(Nanos(1).into()).unwrap();
        shard.suspend_sinks().unwrap();
        drop(shard.step(Nanos(2).into()));
    }
}
