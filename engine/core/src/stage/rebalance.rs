//! Key groups that move: a stage hands their rows over when everything through the tick of the move is done, a bounded number in each step.

use super::Stage;
use crate::checkpoint::moving::{Handover, Move, MovedBatch, STEP_BYTES, Taken};
use crate::checkpoint::owned::Owned;
use crate::checkpoint::snapshot::Section;
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::{ShardId, StageId};
use crate::state::charge::Charge;
use crate::state::store::Extraction;

/// How far a stage is with a move.
pub(super) struct Moving {
    /// The shard that is being given, and the operator whose rows these are; none when all have been given all.
    giving: Option<(ShardId, usize)>,
    extraction: Extraction,
    /// Whether rows may still come.
    is_taking: bool,
    /// The operator that goes on with what follows from that; first its state, then what it derives from it.
    settling: (usize, usize),
}

impl Moving {
    fn new(step_rows: usize) -> Self {
        let giving = Some((ShardId(0), 0));
        Moving { giving, extraction: Extraction::of(step_rows), is_taking: true, settling: (0, 0) }
    }
}

impl Stage {
    /// Has key groups move when everything through the move's tick is done.
    pub(crate) fn move_after(&mut self, moving: Move) {
        self.moves.push_back(moving);
    }

    /// Whether a move is still to come or under way.
    pub(crate) fn is_moving(&self) -> bool {
        !self.moves.is_empty()
    }

    /// Whether a move is under way.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.moving.is_some()
    }

    /// Does a bounded part of the move that is due; true when all of that is done.
    pub(super) fn move_keys(&mut self, stage: StageId) -> Result<bool, Fault> {
        let Some(Move { router, handover, step_rows, .. }) = self.moves.front().cloned() else {
            return Ok(true);
        };
        let mut moving = match self.moving.take() {
            Some(moving) => moving,
            None => {
                self.segments.heads.iter_mut().for_each(|operator| operator.reroute(&router));
                self.segments.forks.iter_mut().for_each(|fork| fork.reroute(&router));
                Moving::new(step_rows)
            }
        };
        self.give_some(stage, &mut moving, &router, &*handover)?;
        if moving.is_taking {
            self.take_some(stage, &mut moving, &router, &*handover)?;
        } else if moving.giving.is_none() && self.settle_some(&mut moving)? {
            self.behind = true;
            self.moves.pop_front();
            return Ok(true);
        }
        self.moving = Some(moving);
        Ok(false)
    }

    /// Takes some of the rows out that go, and gives them away, if there is room for them.
    fn give_some(
        &mut self,
        stage: StageId,
        moving: &mut Moving,
        router: &Router,
        handover: &dyn Handover,
    ) -> Result<(), Fault> {
        let Some((to, operator)) = moving.giving else { return Ok(()) };
        let shards = self.context.run().shards;
        if to == self.shard || to.0 == shards {
            moving.giving = (to.0 < shards).then_some((ShardId(to.0 + 1), 0));
            return Ok(());
        }
        let mut charge = Charge::default();
        if let Some(store) = self.stores.first() {
            charge.begin(&store.memory());
        }
        if !handover.has_room(stage, self.shard, to, &mut || charge.fits(STEP_BYTES).is_ok()) {
            return Ok(());
        }
        let mut is_last = true;
        if let Some(store) = self.stores.get(operator) {
            let section = Section::operator(usize::from(stage.0), operator);
            let is_next = store.extract(section, &Owned::new(router, to), &mut moving.extraction)?;
            moving.giving = Some((to, operator + usize::from(is_next)));
            is_last = is_next && operator + 1 == self.stores.len();
        }
        let blocks = moving.extraction.take();
        if is_last {
            moving.giving = Some((ShardId(to.0 + 1), 0));
        }
        if is_last || !blocks.is_empty() {
            let blocks = blocks.into_iter().map(|(id, bytes)| (operator, id, bytes)).collect();
            handover.give(stage, self.shard, to, MovedBatch::new(blocks, charge), is_last);
        }
        Ok(())
    }

    /// Takes what comes next, if it is there.
    fn take_some(
        &mut self,
        stage: StageId,
        moving: &mut Moving,
        router: &Router,
        handover: &dyn Handover,
    ) -> Result<(), Fault> {
        match handover.take(stage, self.shard) {
            Taken::Some(batch) => batch.blocks.iter().try_for_each(|(operator, id, bytes)| {
                self.stores[*operator].restore_moved(*id, bytes, &Owned::new(router, self.shard))
            }),
            Taken::Nothing => Ok(()),
            Taken::All => {
                moving.is_taking = false;
                Ok(())
            }
        }
    }

    /// Does a part of what follows from rows that came or went; true when that is done.
    fn settle_some(&mut self, moving: &mut Moving) -> Result<bool, Fault> {
        let (stores, operators) = &mut moving.settling;
        if let Some(store) = self.stores.get(*stores) {
            *stores += usize::from(store.settle()?);
            return Ok(false);
        }
        if let Some(operator) = self.segments.heads.get_mut(*operators) {
            *operators += usize::from(operator.restored()?);
            return Ok(false);
        }
        Ok(true)
    }
}
