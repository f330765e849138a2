//! Where the shards of a process hand rows over to each other when key groups move.

use pelton_core::checkpoint::moving::{Handover, MovedBlocks};
use pelton_core::{ShardId, StageId};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The rows of one move that are on their way. A lock, for it is used a few times in a move.
pub(crate) struct Migration {
    shards: u16,
    /// By stage, receiver and giver.
    given: Mutex<BTreeMap<(StageId, ShardId, ShardId), MovedBlocks>>,
}

impl Migration {
    pub(crate) fn new(shards: u16) -> Self {
        Migration { shards, given: Mutex::default() }
    }
}

impl Handover for Migration {
    fn give(&self, stage: StageId, from: ShardId, to: ShardId, blocks: MovedBlocks) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let before = given.insert((stage, to, from), blocks);
        assert!(before.is_none(), "a shard gives once");
    }

    fn take(&self, stage: StageId, to: ShardId) -> Option<MovedBlocks> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = (stage, to, ShardId(0))..=(stage, to, ShardId(u16::MAX));
        if given.range(mine.clone()).count() + 1 < usize::from(self.shards) {
            return None;
        }
        let keys: Vec<_> = given.range(mine).map(|(key, _)| *key).collect();
        Some(keys.iter().filter_map(|key| given.remove(key)).flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::checkpoint::snapshot::{BlockId, Section};

    #[test]
    fn rows_are_taken_when_all_others_have_given_in_the_order_of_the_givers() {
        let migration = Migration::new(3);
        let block = |n: u8| vec![(0, BlockId { section: Section(7), table: 0, chunk: n.into() }, vec![n])];
        let (stage, me) = (StageId(1), ShardId(1));
        assert!(migration.take(stage, me).is_none());
        migration.give(stage, ShardId(2), me, block(2));
        migration.give(StageId(2), ShardId(0), me, block(9));
        migration.give(stage, ShardId(0), ShardId(2), block(9));
        assert!(migration.take(stage, me).is_none(), "shard 0 has not spoken");
        migration.give(stage, ShardId(0), me, Vec::new());
        let taken = migration.take(stage, me).unwrap();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].2, [2]);
        assert!(Migration::new(1).take(stage, ShardId(0)).is_some_and(|blocks| blocks.is_empty()), "alone");
    }
}
