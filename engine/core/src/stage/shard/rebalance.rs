//! Key groups that move to another shard or come from one, while the job runs and when the moves of an earlier run are made again.

use super::Shard;
use crate::checkpoint::moving::Move;
use crate::fault::Fault;
use crate::ids::Tick;
use crate::stage::Stage;

impl Shard {
    /// Whether key groups can move after `tick`: no stage here has come beyond it. One that closes its last windows has, and one that has ended
    /// keeps nothing that could move. With a barrier at the tick, what is true stays true.
    pub fn can_move_after(&self, tick: Tick) -> bool {
        self.ingress.is_before(tick)
            && self.stages.iter().all(|stage| !stage.ended() && stage.is_before(tick))
    }

    /// Has key groups move to other shards after a tick, if the shard has not come so far yet. Not while a checkpoint is being saved. A
    /// restart has to [make the move again](crate::stage::shard::RestoreFrom::moves), so it must be kept somewhere beforehand.
    pub fn move_groups(&mut self, moving: &Move) -> bool {
        assert!(self.saving.is_none(), "key groups move before or after a checkpoint");
        let in_time = self.acknowledge(moving.tick);
        let moves = self.ingress.reroute(moving.tick, &moving.router) && in_time;
        if moves {
            self.stages.iter_mut().for_each(|stage| stage.move_after(moving.clone()));
        }
        moves
    }

    /// Whether key groups are on their way.
    pub fn is_moving(&self) -> bool {
        !self.moves.is_empty() || self.stages.iter().any(Stage::is_moving)
    }

    /// Whether the shard has begun to hand rows over, and is not done.
    pub fn is_handing_over(&self) -> bool {
        self.stages.iter().any(Stage::is_handing_over)
    }

    /// Makes moves of an earlier run again, where they were made.
    #[cold]
    pub(super) fn move_again(&mut self) -> Result<(), Fault> {
        while let Some(moving) = self.moves.front() {
            if self.ingress.next_replayed()?.is_some_and(|next| next <= moving.tick) {
                return Ok(());
            }
            // Of an input that had ended before, nothing follows.
            self.ingress.reroute(moving.tick, &moving.router);
            self.moves.pop_front();
        }
        Ok(())
    }
}
