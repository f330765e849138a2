//! Where the shards of a process hand rows over to each other when key groups move.

use crate::bounds::MOVING_BATCHES_MAX;
use pelton_core::checkpoint::moving::{Handover, MovedBlocks, Taken};
use pelton_core::{ShardId, StageId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The rows of one move that are on their way. A lock, for it is used for some thousand rows at a time.
pub(crate) struct Migration {
    shards: u16,
    given: Mutex<Given>,
}

#[derive(Default)]
struct Given {
    /// By stage, receiver and giver, and whether the last has been given.
    batches: BTreeMap<(StageId, ShardId, ShardId), (VecDeque<MovedBlocks>, bool)>,
    /// How many givers a receiver has taken all of.
    done: BTreeMap<(StageId, ShardId), u16>,
}

impl Migration {
    pub(crate) fn new(shards: u16) -> Self {
        Migration { shards, given: Mutex::default() }
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handover for Migration {
    fn has_room(&self, stage: StageId, from: ShardId, to: ShardId) -> bool {
        let on_their_way =
            self.given().batches.get(&(stage, to, from)).map_or(0, |(batches, _)| batches.len());
        on_their_way < MOVING_BATCHES_MAX
    }

    fn give(&self, stage: StageId, from: ShardId, to: ShardId, blocks: MovedBlocks, is_last: bool) {
        let mut given = self.given();
        let (batches, is_complete) = given.batches.entry((stage, to, from)).or_default();
        assert!(!*is_complete, "a shard that has given all gives nothing more");
        *is_complete = is_last;
        batches.extend(Some(blocks).filter(|blocks| !blocks.is_empty()));
    }

    fn take(&self, stage: StageId, to: ShardId) -> Taken {
        let mut given = self.given();
        loop {
            let done = given.done.get(&(stage, to)).copied().unwrap_or(0);
            // Its own place among them is passed over.
            let from = ShardId(done + u16::from(done >= to.0));
            if done + 1 >= self.shards {
                return Taken::All;
            }
            let Some((batches, is_complete)) = given.batches.get_mut(&(stage, to, from)) else {
                return Taken::Nothing;
            };
            if let Some(blocks) = batches.pop_front() {
                return Taken::Some(blocks);
            }
            if !*is_complete {
                return Taken::Nothing;
            }
            *given.done.entry((stage, to)).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_core::checkpoint::snapshot::{BlockId, Section};

    fn block(n: u8) -> MovedBlocks {
        vec![(0, BlockId { section: Section(7), table: 0, chunk: n.into() }, vec![n])]
    }

    #[test]
    fn rows_are_taken_in_the_order_of_the_givers_as_these_give_them() {
        let migration = Migration::new(3);
        let (stage, me) = (StageId(1), ShardId(1));
        assert_eq!(migration.take(stage, me), Taken::Nothing);
        migration.give(stage, ShardId(2), me, block(5), true);
        migration.give(StageId(2), ShardId(0), me, block(9), true);
        migration.give(stage, ShardId(0), ShardId(2), block(9), true);
        assert_eq!(migration.take(stage, me), Taken::Nothing, "shard 0 has not spoken");
        migration.give(stage, ShardId(0), me, block(1), false);
        migration.give(stage, ShardId(0), me, block(2), false);
        assert_eq!(migration.take(stage, me), Taken::Some(block(1)));
        assert_eq!(migration.take(stage, me), Taken::Some(block(2)));
        assert_eq!(migration.take(stage, me), Taken::Nothing, "it has not given all");
        migration.give(stage, ShardId(0), me, Vec::new(), true);
        assert_eq!(migration.take(stage, me), Taken::Some(block(5)));
        assert_eq!(migration.take(stage, me), Taken::All);
        assert_eq!(migration.take(stage, me), Taken::All, "and it stays so");
        assert_eq!(Migration::new(1).take(stage, ShardId(0)), Taken::All, "alone");
    }

    #[test]
    fn no_more_is_on_its_way_than_a_taker_gets_round_to() {
        let migration = Migration::new(2);
        let (stage, from, to) = (StageId(1), ShardId(0), ShardId(1));
        for n in 0..MOVING_BATCHES_MAX {
            assert!(migration.has_room(stage, from, to));
            migration.give(stage, from, to, block(n as u8), false);
        }
        assert!(!migration.has_room(stage, from, to) && migration.has_room(stage, to, from));
        assert_eq!(migration.take(stage, to), Taken::Some(block(0)));
        assert!(migration.has_room(stage, from, to));
    }
}
