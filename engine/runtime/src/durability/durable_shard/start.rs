//! The shard inside of a durable one: restored while the start can still be given up, and then running.

use super::DurableShard;
use crate::durability::input_log::fault;
use pelton_core::{Beginning, Fault, RestoredShard, Shard};

pub(super) enum Inner {
    Restored(RestoredShard),
    Running(Shard),
    /// In between, which nobody sees.
    Beginning,
}

const BEGINNING: &str = "a shard begins within one call";

impl Inner {
    /// The shard, whose turn has come.
    pub(super) fn running(&mut self) -> &mut Shard {
        match self {
            Inner::Running(shard) => shard,
            Inner::Restored(_) => unreachable!("a shard begins with its first step"),
            Inner::Beginning => unreachable!("{BEGINNING}"),
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        matches!(self, Inner::Running(_))
    }

    /// The shard, to be looked at.
    pub(super) fn look(&self) -> &Shard {
        match self {
            Inner::Running(shard) => shard,
            Inner::Restored(shard) => shard,
            Inner::Beginning => unreachable!("{BEGINNING}"),
        }
    }

    pub(super) fn drain(&mut self) {
        match self {
            Inner::Running(shard) => shard.drain(),
            Inner::Restored(shard) => shard.drain(),
            Inner::Beginning => unreachable!("{BEGINNING}"),
        }
    }

    pub(super) fn suspend(&mut self) {
        match self {
            Inner::Running(shard) => shard.suspend(),
            Inner::Restored(shard) => shard.suspend(),
            Inner::Beginning => unreachable!("{BEGINNING}"),
        }
    }
}

impl DurableShard {
    /// The start is certain, for all shards.
    pub(super) fn begin(&mut self) -> Result<(), Fault> {
        self.log.borrow_mut().begin().map_err(fault)?;
        let beginning = Beginning { replayed_through: self.mailbox.last_recovered(), paused: self.paused };
        if let Inner::Restored(shard) = std::mem::replace(&mut self.shard, Inner::Beginning) {
            self.shard = Inner::Running(shard.begin(beginning));
        }
        Ok(())
    }
}
