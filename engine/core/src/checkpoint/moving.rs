//! Key groups that move from shard to shard at a tick, while the job runs.
//!
//! 1. At the tick every sender begins to send by the new router, stage by stage, as each comes there.
//! 2. A stage that has done everything through the tick takes out the rows of the keys that go, and hands them over.
//! 3. It waits for those that come, of all other shards, and only then begins the next tick.
//!
//! So every record of a key meets the state of that key, and what comes out is the same wherever the key lives. A stage waits for other shards
//! of the same stage only, and those need nothing of it any more: all that comes before the tick is in their rings.

use crate::checkpoint::snapshot::BlockId;
use crate::exchange::router::Router;
use crate::ids::{ShardId, StageId, Tick};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Rows on their way: of which operator of the stage, and as which block.
pub type MovedBlocks = Vec<(usize, BlockId, Vec<u8>)>;

/// Where shards hand rows over to each other.
pub trait Handover: Send + Sync {
    /// `from` gives `to` what it has for it in a stage, be it nothing; once.
    fn give(&self, stage: StageId, from: ShardId, to: ShardId, blocks: MovedBlocks);

    /// Everything for `to` in a stage, in the order of the shards that gave it, once all others have given; once.
    fn take(&self, stage: StageId, to: ShardId) -> Option<MovedBlocks>;
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
}
