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
