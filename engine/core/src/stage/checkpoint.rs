//! A stage in a checkpoint: it freezes when everything through a tick is done, notes what it keeps, and takes that back at a start.

use super::Stage;
use crate::checkpoint::notes::{Earlier, EarlierParts, Notes, Part};
use crate::fault::Fault;
use crate::ids::{EventTime, Tick};
use alloc::vec::Vec;

impl Stage {
    /// The shard has heard of a checkpoint after `tick`. False if it comes too late.
    pub(crate) fn acknowledge(&mut self, tick: Tick) -> bool {
        self.barrier.acknowledged = tick;
        self.ended() || self.is_before(tick)
    }

    /// Whether the stage has not come beyond `tick`.
    pub(crate) fn is_before(&self, tick: Tick) -> bool {
        self.done <= tick && self.open.is_none_or(|open| open <= tick)
    }

    /// Has the stage freeze when everything through `tick` is done.
    pub(crate) fn freeze_after(&mut self, tick: Tick, full: bool) {
        self.freezing = Some((tick, full));
        if self.ended() {
            self.freeze();
        }
    }

    /// Whether a checkpoint is still to come here.
    pub(crate) fn is_to_freeze(&self) -> bool {
        self.freezing.is_some()
    }

    /// The notes of the checkpoint, once: when the stage has frozen.
    pub(crate) fn frozen(&mut self) -> Option<Notes> {
        self.frozen.take()
    }

    pub(super) fn freeze(&mut self) {
        let Some((_, full)) = self.freezing.take() else { return };
        let mut notes = Notes::default();
        notes.part(Part::STAGE, |notes| {
            notes.time(self.watermark);
            notes.number(u64::from(self.ended()));
            notes.number(self.trace.unwrap_or(0));
            notes.number(self.inputs.len() as u64);
            self.inputs.iter().for_each(|input| notes.time(input.watermark));
            self.ports.iter().flatten().for_each(|watermark| notes.time(*watermark));
        });
        notes.part(Part::CONTEXT, |notes| self.context.note(notes, self.least));
        self.segments.heads.iter_mut().for_each(|operator| operator.note(&mut notes));
        self.segments.forks.iter_mut().for_each(|fork| fork.note(&mut notes));
        self.stores.iter().for_each(|store| store.freeze(full));
        self.frozen = Some(notes);
    }

    /// Goes on behind a checkpoint at `tick`, as far as notes go.
    pub(crate) fn recall(&mut self, tick: Tick, earlier: &mut EarlierParts<'_>) -> Result<(), Fault> {
        earlier.recall(Part::STAGE, |earlier| self.recall_own(tick, earlier))?;
        self.context.watermark.set(self.watermark);
        self.least = earlier.recall(Part::CONTEXT, |earlier| self.context.recall(earlier))?;
        self.segments.heads.iter_mut().try_for_each(|operator| operator.recall(earlier))?;
        self.segments.forks.iter_mut().try_for_each(|fork| fork.recall(earlier))?;
        self.clocks.publish(self.shard, self.done);
        Ok(())
    }

    fn recall_own(&mut self, tick: Tick, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        let noted = earlier.each(|noted| {
            let (watermark, ended, trace) = (noted.time()?, noted.number()? != 0, noted.number()?);
            let inputs = (0..noted.number()?).map(|_| noted.time()).collect::<Result<Vec<_>, Fault>>()?;
            let ports =
                self.ports.iter().flatten().map(|_| noted.time()).collect::<Result<Vec<_>, Fault>>()?;
            Ok((watermark, ended, trace, inputs, ports))
        })?;
        self.done = tick;
        self.is_moved = true;
        match earlier.mine {
            Some(mine) => {
                let (watermark, ended, trace, inputs, _) = &noted[mine];
                self.watermark = *watermark;
                self.trace = self.trace.map(|_| *trace);
                if *ended {
                    self.done = Tick::END;
                }
                let places = self.inputs.iter_mut().zip(inputs);
                places.for_each(|(input, watermark)| input.watermark = *watermark);
            }
            None => {
                // Every sender tells all receivers the same, so what is least anywhere holds for all.
                self.watermark = noted.iter().map(|noted| noted.0).min().unwrap_or(EventTime::MIN);
                // What the partitions of the other shards had reached every shard reads for itself.
                let context = &self.context;
                self.inputs
                    .iter_mut()
                    .for_each(|input| input.watermark = context.known(input.edge, input.source));
            }
        }
        // As the stage's: what is least anywhere holds for all, and mine for me.
        let shards: Vec<&Vec<EventTime>> = match earlier.mine {
            Some(mine) => alloc::vec![&noted[mine].4],
            None => noted.iter().map(|noted| &noted.4).collect(),
        };
        for (at, port) in self.ports.iter_mut().flatten().enumerate() {
            *port = shards.iter().map(|ports| ports[at]).min().unwrap_or(EventTime::MIN);
        }
        Ok(())
    }

    /// Gives a bounded part of the memory back that operators have not needed for a while; true when nothing is left of that.
    pub(crate) fn tidy(&mut self, ends: bool) -> bool {
        let mut done = true;
        for (operator, store) in self.segments.heads.iter_mut().zip(&self.stores) {
            if ends || done {
                done &= operator.tidy(ends) & store.tidy(ends);
            }
        }
        done
    }

    /// Does a bounded part of what operators put off when their state came back; true when nothing is left.
    pub(crate) fn catch_up(&mut self) -> Result<bool, Fault> {
        if self.behind {
            if !self.stores.iter().all(|store| store.catch_up()) {
                return Ok(false);
            }
            self.behind = false;
        }
        Ok(true)
    }
}
