//! Key groups that move: a stage hands their rows over when everything through the tick of the move is done.

use super::Stage;
use crate::checkpoint::moving::Move;
use crate::checkpoint::owned::Owned;
use crate::checkpoint::snapshot::Section;
use crate::fault::Fault;
use crate::ids::{ShardId, StageId};
use alloc::vec::Vec;

impl Stage {
    /// Has key groups move when everything through the move's tick is done.
    pub(crate) fn move_after(&mut self, moving: Move) {
        self.moves.push_back(moving);
    }

    /// Whether a move is still to come or under way.
    pub(crate) fn is_moving(&self) -> bool {
        !self.moves.is_empty()
    }

    /// Does its part of the move that is due; true when that is done.
    pub(super) fn move_keys(&mut self, stage: StageId) -> Result<bool, Fault> {
        let Some(Move { router, handover, .. }) = self.moves.front().cloned() else { return Ok(true) };
        if !self.handed_over {
            self.handed_over = true;
            for to in (0..self.context.run().shards).map(ShardId).filter(|to| *to != self.shard) {
                let mut blocks = Vec::new();
                for (number, store) in self.stores.iter().enumerate() {
                    let section = Section::operator(usize::from(stage.0), number);
                    let rows = store.extract(section, &Owned::new(&router, to))?;
                    blocks.extend(rows.into_iter().map(|(id, bytes)| (number, id, bytes)));
                }
                handover.give(stage, self.shard, to, blocks);
            }
            self.segments.heads.iter_mut().for_each(|operator| operator.reroute(&router));
            self.segments.forks.iter_mut().for_each(|fork| fork.reroute(&router));
        }
        let Some(blocks) = handover.take(stage, self.shard) else { return Ok(false) };
        for (number, id, bytes) in blocks {
            let owned = Owned::new(&router, self.shard);
            if self.stores[number].wants(id, &owned) {
                self.stores[number].restore(id, &bytes, &owned)?;
            }
        }
        self.stores.iter().try_for_each(|store| store.restored())?;
        self.segments.heads.iter_mut().try_for_each(|operator| operator.restored())?;
        self.behind = true;
        self.moves.pop_front();
        self.handed_over = false;
        Ok(true)
    }
}
