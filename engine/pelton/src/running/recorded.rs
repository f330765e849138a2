//! Shards of a job whose input is recorded, and what is kept of each.

use pelton_core::{ClockReading, Fault, IngressEntry, Shard, ShardId, Step};
use pelton_runtime::{Duty, Position};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug)]
pub(super) struct ShardRecord {
    pub(super) shard: ShardId,
    pub(super) log: Vec<IngressEntry>,
    pub(super) trace: u64,
}

/// A shard that leaves its log behind when it has finished.
pub(super) struct Recorded {
    pub(super) shard: Option<Shard>,
    pub(super) records: Arc<Mutex<Vec<ShardRecord>>>,
}

impl Duty for Recorded {
    fn step(&mut self, at: ClockReading) -> Result<Step, Fault> {
        let Some(shard) = &mut self.shard else {
            return Ok(Step { work: 0, published: false, finished: true });
        };
        let step = shard.step(at)?;
        if let Some(shard) = self.shard.take_if(|_| step.finished) {
            let (id, trace) = (shard.id(), shard.trace());
            let record = ShardRecord { shard: id, trace, log: shard.into_log() };
            self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        }
        Ok(step)
    }

    fn drain(&mut self) {
        if let Some(shard) = &mut self.shard {
            shard.drain();
        }
    }

    fn position(&self) -> Position {
        self.shard.as_ref().map_or_else(Position::default, Duty::position)
    }
}
