//! The writing end of a subscription on one shard.
//!
//! What it notes at a checkpoint is the rows that have not been acknowledged, in its order:
//!
//! ```text
//!  | rows | bytes: for each  | tick | shard | seq | event time | bytes: the archived row | |      numbers and bytes of notes
//! ```

use super::queue::{Kept, Queue, bytes_of};
use crate::row::Row;
use pelton_core::checkpoint::notes::{Noted, Notes};
use pelton_core::record::rows::{decode_one, encode_one};
use pelton_core::sink::{Delivery, Recalled, SinkNotes, SinkWriter};
use pelton_core::state::blocks::BlockQueue;
use pelton_core::state::charge::Charge;
use pelton_core::state::memory::Memory;
use pelton_core::{EventTime, Fault, OutOfMemory, Record, ShardId, Tick};
use std::fmt;
use std::sync::Arc;

/// The writing end of [`Subscriber`](super::Subscriber) on one shard.
pub struct SubscriberWriter<T> {
    queue: Arc<Queue<T>>,
    shard: ShardId,
    tick: BlockQueue<(EventTime, T)>,
    /// Rows of complete ticks that have not been released to the service.
    batch: BlockQueue<Row<T>>,
    /// What the rows of both take, and whether there was no room for one; it was dropped, and the job stops.
    charge: Charge,
    refused: Option<OutOfMemory>,
}

impl<T> SubscriberWriter<T> {
    pub(super) fn new(queue: Arc<Queue<T>>, shard: ShardId) -> Self {
        queue.enter(shard);
        let (tick, batch, charge) = (BlockQueue::new(), BlockQueue::new(), Charge::default());
        SubscriberWriter { queue, shard, tick, batch, charge, refused: None }
    }
}

fn read_rows<T: Record>(
    bytes: &[u8],
    coordinator: ShardId,
    into: &mut BlockQueue<Kept<T>>,
) -> Result<(), Fault> {
    let bad =
        |what: &str| Fault::Restore { message: format!("a checkpoint's notes of a subscription: {what}") };
    let mut outer = Noted::new(bytes);
    let (count, mut noted) = (outer.number()?, Noted::new(outer.bytes()?));
    for _ in 0..count {
        let tick = Tick(noted.number()?);
        let shard =
            u16::try_from(noted.number()?).map_err(|_| bad("a row is of a shard that there cannot be"))?;
        let (seq, at, row) = (noted.number()?, noted.time()?, decode_one(noted.bytes()?)?);
        into.push_back(Kept::new(coordinator, Row { tick, shard: ShardId(shard), seq, at, row }));
    }
    if noted.is_empty() && outer.is_empty() { Ok(()) } else { Err(bad("they are longer than they say")) }
}

impl<T: Record + Clone + Send> SinkWriter<T> for SubscriberWriter<T> {
    fn count_in(&mut self, memory: &Arc<dyn Memory>) {
        self.charge.begin(memory);
        self.queue.count_in(memory);
    }

    fn heap_bytes(&self, row: &T) -> usize {
        row.heap_bytes()
    }

    fn write(&mut self, at: EventTime, row: T) {
        let bytes = bytes_of(&row);
        match self.charge.add(bytes) {
            Ok(()) => self.tick.push_back((at, row)),
            Err(refused) => {
                self.charge.sub(bytes);
                self.refused.get_or_insert(refused);
            }
        }
    }

    fn commit(&mut self, tick: Tick) -> Result<(), Fault> {
        if let Some(refused) = &self.refused {
            return Err(refused.clone().into());
        }
        let (shard, mut seq) = (self.shard, 0);
        self.tick.take_all(|(at, row)| {
            self.batch.push_back(Row { tick, shard, seq, at, row });
            seq += 1;
        });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let shard = self.shard;
        if !self.batch.is_empty() {
            let rows = std::iter::from_fn(|| self.batch.pop_front()).map(|row| Kept::new(shard, row));
            self.queue.put(rows, &mut self.charge);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.flush()
    }

    fn note(&mut self, notes: &mut SinkNotes) -> Result<(), Fault> {
        self.flush()?;
        let (mut rows, mut count, mut bytes) = (Notes::default(), 0, Vec::new());
        self.queue.each_kept(self.shard, |row| -> Result<(), Fault> {
            bytes.clear();
            encode_one(&mut bytes, &row.row)?;
            rows.number(row.tick.0);
            rows.number(u64::from(row.shard.0));
            rows.number(row.seq);
            rows.time(row.at);
            rows.bytes(&bytes);
            count += 1;
            Ok(())
        })?;
        notes.notes.number(count);
        notes.notes.bytes(rows.as_slice());
        Ok(())
    }

    fn recall(&mut self, recalled: &Recalled<'_>) -> Result<Tick, Fault> {
        self.queue.recall(recalled.is_rescale, || {
            let mut rows = BlockQueue::new();
            // Shown at most once: what was not handled is not shown again.
            let again = recalled.delivery != Delivery::AtMostOnce;
            for (shard, bytes) in recalled.shards.iter().enumerate().filter(|_| again) {
                // Where the shards are others now, there is one at any rate.
                let coordinator = if recalled.mine.is_some() { ShardId(shard as u16) } else { ShardId(0) };
                read_rows(bytes, coordinator, &mut rows)?;
            }
            Ok::<_, Fault>(rows)
        })?;
        // Of the tick of the last row that was handled there may be more: it is made again, and left out row by row.
        let handled =
            self.queue.handled(self.shard).map_or(Tick(0), |(tick, _)| Tick(tick.0.saturating_sub(1)));
        Ok(recalled.checkpoint.max(handled))
    }
}

impl<T> Drop for SubscriberWriter<T> {
    fn drop(&mut self) {
        self.queue.leave();
    }
}

impl<T> fmt::Debug for SubscriberWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriberWriter").field("shard", &self.shard).finish_non_exhaustive()
    }
}
