//! Ingress of a shard that takes in again what an earlier run, or a recording, had taken in.

use super::{Ingress, IngressEntry};
use crate::fault::Fault;
use crate::ids::{Nanos, Tick};
use crate::ingress::input_log::Replay;
use crate::ingress::source::Poll;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;

/// Where the next tick comes from.
pub(crate) enum Feed {
    /// From the sources as they are.
    Live,
    /// From the sources, and noted.
    Recorded(Vec<IngressEntry>),
    /// From the sources as they were.
    Replayed {
        log: Box<dyn Replay>,
        /// The entry that could not be taken in yet.
        next: Option<IngressEntry>,
    },
}

/// A recorded log, replayed.
impl Replay for VecDeque<IngressEntry> {
    fn next(&mut self) -> Result<Option<IngressEntry>, Fault> {
        Ok(self.pop_front())
    }
}

impl Ingress {
    /// The tick of the next entry that is to be taken in again, if there is one; none when all have been, or nothing is replayed.
    pub(crate) fn next_replayed(&mut self) -> Result<Option<Tick>, Fault> {
        let Feed::Replayed { log, next } = &mut self.feed else { return Ok(None) };
        if next.is_none() {
            *next = log.next()?;
        }
        Ok(next.as_ref().map(|entry| entry.tick))
    }

    /// The entry to take in again; none when the ticks are new ones.
    pub(super) fn recorded(&mut self, now: Nanos) -> Result<Option<IngressEntry>, Fault> {
        let Feed::Replayed { log, next } = &mut self.feed else { return Ok(None) };
        if let Some(entry) = next.take() {
            return Ok(Some(entry));
        }
        if let Some(entry) = log.next()? {
            return Ok(Some(entry));
        }
        self.feed = Feed::Live;
        self.offset = self.latest.0.saturating_sub(now.0);
        self.context.stats.set_clock_offset(self.offset);
        // What was made before was made by another clock.
        self.made = Nanos(0);
        self.tick = self.tick.max(self.replayed);
        self.clocks.publish(self.shard, self.tick);
        Ok(None)
    }

    /// Takes in a tick again.
    pub(super) fn retake(&mut self, entry: IngressEntry) -> Result<(usize, bool), Fault> {
        let partitions = self.segments.heads.iter().map(|reader| reader.partitions()).sum::<usize>();
        if entry.taken.len() != partitions || entry.logged.len() != partitions {
            let (tick, taken) = (entry.tick.0, entry.taken.len());
            let message = format!(
                "the input log's entry of tick {tick} is of {taken} source partitions, and the shard has {partitions}"
            );
            return Err(Fault::Restore { message });
        }
        self.context.tick.set(entry.tick);
        self.now = entry.now;
        self.context.begin_time(entry.wall);
        let (mut number, mut done) = (0, true);
        for reader in 0..self.segments.heads.len() {
            self.segments.running = reader;
            for index in 0..self.segments.heads[reader].partitions() {
                let taken = entry.taken[number];
                let poll =
                    Poll { now: entry.now, tick: entry.tick, records_max: taken.records, logged_max: 0 };
                self.noted |= self.segments.heads[reader].replay(index, poll, taken, &entry.logged[number]);
                self.drain_forks(&taken)?;
                done &= taken.done;
                number += 1;
            }
        }
        self.context.check()?;
        self.turn = (self.turn + 1) % partitions.max(1);
        self.taken.clone_from(&entry.taken);
        self.context.stats.replayed_ticks.add(1);
        self.end_tick(entry.tick, entry.now, done)
    }
}
