//! Key groups that move from shard to shard at a tick, while the job runs.
//!
//! 1. At the tick every sender begins to send by the new router, stage by stage, as each comes there.
//! 2. A stage that has done everything through the tick takes out the rows of the keys that go, and hands them over: a bounded number of them in
//!    each step, for one shard after the other.
//! 3. It takes those that come, of one shard after the other, as these give them, again a bounded number in each step. No shard gives much
//!    more than the other has taken.
//! 4. When all have come, what is derived from its state is made anew, in steps too. Only then it begins the next tick.
//!
//! So every record of a key meets the state of that key, and what comes out is the same wherever the key lives. A stage waits for other shards
//! of the same stage only, and those need nothing of it any more: all that comes before the tick is in their rings. Givers and takers do not
//! wait for each other in a circle, since all go in the order of the shards: of all that are under way, what comes from the lowest shard for the
//! lowest can always be given and taken.
//!
//! Rows on their way count against `memory`, as bytes of their blocks. Where there is no room for more, a giver waits until what is there has been
//! taken; only what a taker waits for, having nothing else to take, is given at any rate, a step's worth of it, or nobody would go on.
//!
//! Whatever else a shard does it goes on doing between these steps, and no step looks at more of what stays than it takes to find what goes.

use crate::bounds::{MOVE_BYTES_MAX, MOVE_ROWS_MAX};
use crate::checkpoint::snapshot::BlockId;
use crate::exchange::router::Router;
use crate::ids::{ShardId, StageId, Tick};
use crate::state::charge::Charge;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Rows on their way: of which operator of the stage, and as which block.
pub type MovedBlocks = Vec<(usize, BlockId, Vec<u8>)>;

/// Some of them, which count against the memory limit until they are dropped.
#[derive(Debug, Default)]
pub struct MovedBatch {
    /// The rows.
    pub blocks: MovedBlocks,
    /// What they take.
    charge: Charge,
}

impl MovedBatch {
    /// A batch of what is given in a step, charged as far as `charge` goes: what is out of a table cannot be refused any more.
    pub fn new(blocks: MovedBlocks, mut charge: Charge) -> Self {
        let _ = charge.add(blocks.iter().map(|(_, _, bytes)| bytes.capacity()).sum());
        MovedBatch { blocks, charge }
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.charge.bytes()
    }
}

/// Whether the same rows come. What is charged for them is nobody's business.
impl PartialEq for MovedBatch {
    fn eq(&self, other: &Self) -> bool {
        self.blocks == other.blocks
    }
}

impl Eq for MovedBatch {}

/// What there is for a shard to take.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Some of what a shard gave.
    Some(MovedBatch),
    /// Nothing yet.
    Nothing,
    /// All shards have given all, and that has been taken.
    All,
}

/// Where shards hand rows over to each other.
pub trait Handover: Send + Sync {
    /// Whether `to` has taken enough of what `from` has given it for more. `fits` says whether there is memory for what is given in a step; without
    /// it there is room only where `to` has nothing else to take before that.
    fn has_room(&self, stage: StageId, from: ShardId, to: ShardId, fits: &mut dyn FnMut() -> bool) -> bool;

    /// `from` gives `to` some of what it has for it in a stage; `is_last` says that that was all, be it nothing. It does so for all shards but
    /// itself, in their order.
    fn give(&self, stage: StageId, from: ShardId, to: ShardId, batch: MovedBatch, is_last: bool);

    /// What comes next for `to` in a stage: as it was given, and first all of the first shard, then all of the next.
    fn take(&self, stage: StageId, to: ShardId) -> Taken;
}

/// A move of key groups.
#[derive(Clone)]
pub struct Move {
    /// What comes after this tick goes by the new router.
    pub tick: Tick,
    /// Where keys live from then on.
    pub router: Arc<Router>,
    /// Where rows change hands.
    pub handover: Arc<dyn Handover>,
    /// About as many of them as are taken out in a step: [`STEP_ROWS`], or fewer to see more steps. What comes of the move is the same.
    pub step_rows: usize,
}

/// Rows that a step takes out, at most.
pub const STEP_ROWS: usize = MOVE_ROWS_MAX;
/// Bytes of them, at most; a leaf that was begun goes whole.
pub const STEP_BYTES: usize = MOVE_BYTES_MAX;
