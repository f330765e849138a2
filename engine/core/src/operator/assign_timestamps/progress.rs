//! How far one source partition has come, and what a checkpoint notes of that.

use super::early::Trend;
use crate::checkpoint::notes::{Noted, Notes};
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos};

/// A partition, as the generator in front of it on this shard has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// Counted within this shard.
    pub(super) partition: usize,
    /// Its name in the job, whichever shard reads it.
    pub(super) name: u64,
    pub(super) watermark: EventTime,
    pub(super) trend: Trend,
    pub(super) heard: Nanos,
    pub(super) idle: bool,
    pub(super) done: bool,
}

impl Progress {
    /// Of a partition, by its number here and its name in the job, that has said nothing yet.
    pub(super) fn silent((partition, name): (usize, u64)) -> Self {
        Progress {
            partition,
            name,
            watermark: EventTime::MIN,
            trend: Trend::NONE,
            heard: Nanos(0),
            idle: false,
            done: false,
        }
    }

    pub(super) fn note(&self, notes: &mut Notes) {
        notes.number(self.name);
        notes.time(self.watermark);
        self.trend.note(notes);
        notes.number(self.heard.0);
        notes.number(u64::from(self.idle) | u64::from(self.done) << 1);
    }

    pub(super) fn read(notes: &mut Noted<'_>) -> Result<Self, Fault> {
        let (name, watermark, trend) = (notes.number()?, notes.time()?, Trend::read(notes)?);
        let (heard, flags) = (Nanos(notes.number()?), notes.number()?);
        Ok(Progress {
            partition: 0,
            name,
            watermark,
            trend,
            heard,
            idle: flags & 1 != 0,
            done: flags & 2 != 0,
        })
    }
}
