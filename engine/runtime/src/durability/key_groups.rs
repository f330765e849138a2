//! Where the shards of a process hand rows over to each other when key groups move.

use crate::bounds::MOVING_BATCHES_MAX;
use pelton_core::checkpoint::moving::{Handover, MovedBatch, Taken};
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
    batches: BTreeMap<(StageId, ShardId, ShardId), (VecDeque<MovedBatch>, bool)>,
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

impl Given {
    /// The shard whose rows `to` takes first.
    fn giver(&self, stage: StageId, to: ShardId) -> ShardId {
        let done = self.done.get(&(stage, to)).copied().unwrap_or(0);
        // Its own place among them is passed over.
        ShardId(done + u16::from(done >= to.0))
    }
}

impl Handover for Migration {
    fn has_room(&self, stage: StageId, from: ShardId, to: ShardId, fits: &mut dyn FnMut() -> bool) -> bool {
        let given = self.given();
        let on_their_way = given.batches.get(&(stage, to, from)).map_or(0, |(batches, _)| batches.len());
        // One after the other gives without memory for it: the lowest that has not given all does so to one that is done with those below it, so
        // all come to an end.
        let is_awaited = || on_their_way == 0 && given.giver(stage, to) == from;
        on_their_way < MOVING_BATCHES_MAX && (fits() || is_awaited())
    }

    fn give(&self, stage: StageId, from: ShardId, to: ShardId, batch: MovedBatch, is_last: bool) {
        let mut given = self.given();
        let (batches, is_complete) = given.batches.entry((stage, to, from)).or_default();
        assert!(!*is_complete, "a shard that has given all gives nothing more");
        *is_complete = is_last;
        batches.extend(Some(batch).filter(|batch| !batch.blocks.is_empty()));
    }

    fn take(&self, stage: StageId, to: ShardId) -> Taken {
        let mut given = self.given();
        loop {
            if given.done.get(&(stage, to)).copied().unwrap_or(0) + 1 >= self.shards {
                return Taken::All;
            }
            let from = given.giver(stage, to);
            let Some((batches, is_complete)) = given.batches.get_mut(&(stage, to, from)) else {
                return Taken::Nothing;
            };
            if let Some(batch) = batches.pop_front() {
                return Taken::Some(batch);
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
    use crate::MemoryBudget;
    use pelton_core::checkpoint::moving::STEP_BYTES;
    use pelton_core::checkpoint::snapshot::{BlockId, Section};
    use pelton_core::state::charge::Charge;
    use pelton_core::state::memory::Memory;
    use std::sync::Arc;

    fn block(n: u8) -> MovedBatch {
        batch(vec![n], Charge::default())
    }

    fn batch(bytes: Vec<u8>, charge: Charge) -> MovedBatch {
        let id = BlockId { section: Section(7), table: 0, chunk: bytes[0].into() };
        MovedBatch::new(vec![(0, id, bytes)], charge)
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
        migration.give(stage, ShardId(0), me, MovedBatch::default(), true);
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
            assert!(migration.has_room(stage, from, to, &mut || true));
            migration.give(stage, from, to, block(n as u8), false);
        }
        assert!(!migration.has_room(stage, from, to, &mut || true));
        assert!(migration.has_room(stage, to, from, &mut || true));
        assert_eq!(migration.take(stage, to), Taken::Some(block(0)));
        assert!(migration.has_room(stage, from, to, &mut || true));
    }

    /// Whoever is slow, and however little memory there is: all is given and taken, in order, and what is on its way stays within the limit, or is
    /// a step's worth for each taker beyond it.
    #[test]
    fn with_little_memory_less_is_on_its_way_and_all_of_it_comes() {
        const STEPS: u8 = 40;
        let stage = StageId(1);
        for seed in 0..60u64 {
            let shards = 2 + (seed % 5) as u16;
            let limit = [0, STEP_BYTES, 3 * STEP_BYTES, usize::MAX][seed as usize / 5 % 4];
            let memory = MemoryBudget::new(limit as u64);
            let counted: Arc<dyn Memory> = Arc::new(memory.clone());
            let migration = Migration::new(shards);
            // For each shard whom it gives to, and which step; and what it has taken.
            let mut givers: Vec<(u16, u8)> = vec![(0, 0); shards.into()];
            let (mut taken, mut done) = (vec![Vec::new(); shards.into()], vec![false; shards.into()]);
            let (mut word, mut waits) = (seed, 0);
            for turn in 0.. {
                assert!(turn < 1_000_000, "seed {seed}: nobody goes on");
                word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let me = (word >> 33) as usize % usize::from(shards);
                let from = ShardId(me as u16);
                if (word >> 60) % 4 > 0 && givers[me].0 < shards {
                    let (to, step) = givers[me];
                    let mut charge = Charge::default();
                    charge.begin(&counted);
                    if to == from.0 {
                        givers[me] = (to + 1, 0);
                    } else if migration
                        .has_room(stage, from, ShardId(to), &mut || charge.fits(STEP_BYTES).is_ok())
                    {
                        let is_last = step + 1 == STEPS;
                        migration.give(
                            stage,
                            from,
                            ShardId(to),
                            batch(vec![step; STEP_BYTES], charge),
                            is_last,
                        );
                        givers[me] = if is_last { (to + 1, 0) } else { (to, step + 1) };
                    } else {
                        waits += 1;
                    }
                } else {
                    match migration.take(stage, from) {
                        Taken::Some(batch) => {
                            assert_eq!(batch.bytes(), STEP_BYTES);
                            taken[me].push(batch.blocks[0].2[0]);
                        }
                        Taken::Nothing => {}
                        Taken::All => done[me] = true,
                    }
                }
                let given = migration.given();
                let on_their_way: usize = given.batches.values().map(|(batches, _)| batches.len()).sum();
                assert!(
                    on_their_way * STEP_BYTES <= limit.saturating_add(usize::from(shards) * STEP_BYTES),
                    "seed {seed}: {on_their_way} steps, with room for {limit} bytes"
                );
                if done.iter().all(|done| *done) {
                    break;
                }
            }
            let each = (1..shards).flat_map(|_| 0..STEPS).collect::<Vec<_>>();
            assert!(taken.iter().all(|taken| *taken == each), "seed {seed}");
            assert_eq!(memory.in_use(), 0, "seed {seed}");
            assert_eq!(waits > 0, limit < usize::MAX, "seed {seed}: {waits} waits");
        }
    }
}
