//! Ingress in a checkpoint and in a move of key groups: what is noted of the partitions, and what a start takes back.

use super::Ingress;
use crate::checkpoint::notes::{Earlier, EarlierParts, Notes, Part};
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos, Tick};
use crate::ingress::source::Position;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Ingress {
    /// Begins a checkpoint at `tick`, if it lies ahead: notes where everything is, and is done through that tick.
    pub(crate) fn freeze(&mut self, tick: Tick, notes: &mut Notes) -> bool {
        assert!(self.is_live(), "a checkpoint of a shard that is being replayed");
        self.barrier.acknowledged = tick;
        // A clock may have been taken along to the tick, but none makes it.
        if tick < self.tick {
            return false;
        }
        notes.part(Part::STAGE, |notes| {
            notes.number(self.latest.0);
            notes.time(self.latest_wall);
            notes.number(self.turn as u64);
            notes.number(u64::from(self.ended));
            notes.number(self.marked.len() as u64);
            self.marked.iter().for_each(|watermark| notes.time(*watermark));
        });
        notes.part(Part::POSITIONS, |notes| {
            notes.number(self.segments.heads.iter().map(|reader| reader.partitions() as u64).sum());
            self.segments.heads.iter_mut().for_each(|reader| reader.note_positions(notes));
        });
        notes.part(Part::CONTEXT, |notes| self.context.note(notes, EventTime::MIN));
        self.segments.heads.iter_mut().for_each(|reader| reader.note(notes));
        self.segments.forks.iter_mut().for_each(|fork| fork.note(notes));
        if !self.ended {
            self.tick = tick;
            self.clocks.publish(self.shard, tick);
        }
        true
    }

    /// Whether no tick after that one has been made here.
    pub(crate) fn is_before(&self, tick: Tick) -> bool {
        self.tick <= tick
    }

    /// Key groups move after `tick`, if it lies ahead: is done through that tick.
    pub(crate) fn reroute(&mut self, tick: Tick, router: &Arc<Router>) -> bool {
        self.barrier.acknowledged = self.barrier.acknowledged.max(tick);
        if tick < self.tick {
            return false;
        }
        self.segments.heads.iter_mut().for_each(|reader| reader.reroute(router));
        self.segments.forks.iter_mut().for_each(|fork| fork.reroute(router));
        if !self.ended {
            self.tick = tick;
            self.clocks.publish(self.shard, tick);
        }
        true
    }

    /// Goes on behind a checkpoint at `tick`.
    pub(crate) fn recall(&mut self, tick: Tick, earlier: &mut EarlierParts<'_>) -> Result<(), Fault> {
        earlier.recall(Part::STAGE, |earlier| self.recall_own(earlier))?;
        let positions = earlier.recall(Part::POSITIONS, |earlier| {
            let mut positions = BTreeMap::new();
            earlier.each(|noted| {
                for _ in 0..noted.number()? {
                    let (name, position) = Position::read(noted)?;
                    positions.insert(name, position);
                }
                Ok(())
            })?;
            Ok(positions)
        })?;
        self.segments.heads.iter_mut().try_for_each(|reader| reader.resume(&positions))?;
        earlier.recall(Part::CONTEXT, |earlier| self.context.recall(earlier).map(drop))?;
        self.segments.heads.iter_mut().try_for_each(|reader| reader.recall(earlier))?;
        self.segments.forks.iter_mut().try_for_each(|fork| fork.recall(earlier))?;
        self.tick = tick;
        self.clocks.publish(self.shard, if self.ended { Tick::END } else { tick });
        Ok(())
    }

    fn recall_own(&mut self, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        let noted = earlier.each(|noted| {
            let latest = (Nanos(noted.number()?), noted.time()?);
            let (turn, ended) = (noted.number()?, noted.number()? != 0);
            let marked = (0..noted.number()?).map(|_| noted.time()).collect::<Result<Vec<_>, Fault>>()?;
            Ok((latest, turn, ended, marked))
        })?;
        self.latest = noted.iter().map(|noted| noted.0.0).max().unwrap_or_default();
        self.latest_wall = noted.iter().map(|noted| noted.0.1).max().unwrap_or(EventTime::MIN);
        if let Some(mine) = earlier.mine {
            (self.turn, self.ended) = (noted[mine].1 as usize, noted[mine].2);
            self.marked.clone_from(&noted[mine].3);
        }
        Ok(())
    }
}
