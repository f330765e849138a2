//! Exchanges, seen from the sender: which shard a record goes to, and the lanes that take it there.
//!
//! By key: the key's hash chooses the key group and that the shard. By turn: one record, or one chunk, for each shard in turn.
//! Forward: to the same shard, where two stages meet. The choice never depends on anything but the records and their order.

use crate::bounds::LOAD_SAMPLE;
use crate::context::{StageContext, WatermarkOrigin};
use crate::fault::Fault;
use crate::hash::Router;
use crate::ids::{EdgeId, EventTime};
use crate::key::Key;
use crate::lane::Lane;
use crate::memory::Memory;
use crate::notes::{Earlier, Noted, Notes};
use crate::push::{Pipe, Push, forward, keeps_nothing};
use crate::record::{Record, struct_record};
use crate::ring::Producer;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rkyv::{Archive, Deserialize, Serialize};

/// A record on its way through an exchange that does not group.
#[derive(Archive, Serialize, Deserialize)]
pub struct Timed<T> {
    /// The event time in nanoseconds.
    pub at: i64,
    /// The record.
    pub record: T,
}
struct_record!(Timed<T> { at: i64, record: T });

/// What an aggregate needs of a record, on its way to the shard that owns the key.
#[derive(Archive, Serialize, Deserialize)]
pub struct Keyed<K, I> {
    /// The event time in nanoseconds.
    pub at: i64,
    /// The key.
    pub key: K,
    /// The part of the record that crosses.
    pub item: I,
}
struct_record!(Keyed<K, I> { at: i64, key: K, item: I });

/// The lanes of one exchange on one sending shard.
pub struct Lanes {
    lanes: Vec<Lane>,
    /// Records until the next sample of which key groups they go to.
    unsampled: u32,
    edge: EdgeId,
    context: Rc<StageContext>,
    origins: Vec<WatermarkOrigin>,
}

impl Lanes {
    /// Lanes of `edge` that carry `T` through `rings`, one for each destination.
    pub fn new<T: Record>(
        edge: EdgeId,
        rings: Vec<Producer>,
        memory: &Arc<dyn Memory>,
        context: Rc<StageContext>,
        origins: Vec<WatermarkOrigin>,
    ) -> Self {
        let known = context.known(edge, context.shard);
        let lane = |ring| {
            let mut lane = Lane::new::<T>(ring, memory.clone());
            lane.recall_sent(known);
            lane
        };
        let lanes = rings.into_iter().map(lane).collect();
        Lanes { lanes, unsampled: LOAD_SAMPLE, edge, context, origins }
    }

    /// Notes for every so many records which key group one of them went to.
    #[inline(always)]
    fn sample(&mut self, router: &Router, hash: u64) {
        self.unsampled -= 1;
        if self.unsampled == 0 {
            self.unsampled = LOAD_SAMPLE;
            self.context.note_load(router.group(hash), LOAD_SAMPLE.into());
        }
    }

    #[inline(always)]
    fn push<T: Record>(&mut self, lane: usize, record: &T, hash: u64) {
        if let Err(fault) = self.lanes[lane].push(record, hash, self.context.tick.get()) {
            self.context.fail(fault);
        }
    }
}

impl Pipe for Lanes {
    fn mark(&mut self) {}

    fn seal(&mut self) {
        let (tick, watermark) = (self.context.tick.get(), self.context.watermark(&self.origins));
        self.lanes.iter_mut().for_each(|lane| {
            lane.seal(tick, watermark);
        });
    }

    fn flush(&mut self) {
        let tick = self.context.tick.get();
        self.lanes.iter_mut().for_each(|lane| lane.flush(tick));
    }

    fn room(&mut self) -> usize {
        self.lanes.iter_mut().map(Lane::room).min().unwrap_or(0)
    }

    fn can_seal(&mut self) -> bool {
        self.lanes.iter_mut().all(Lane::can_seal)
    }

    fn finish(&mut self) {}

    fn note(&mut self, notes: &mut Notes) {
        // All lanes are told the same watermark.
        notes.time(self.lanes.first().map_or(EventTime::MIN, Lane::sent));
    }

    fn recall(&mut self, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        let sent = earlier.each(Noted::time)?;
        // With another number of shards, receivers know what follows from what the partitions of this one had reached.
        let known = || self.context.known(self.edge, self.context.shard);
        let sent = earlier.mine.map_or_else(known, |mine| sent[mine]);
        self.lanes.iter_mut().for_each(|lane| lane.recall_sent(sent));
        Ok(())
    }

    keeps_nothing!(but notes);
}

/// The sending end of `key_by`: `key` chooses the shard, `item` is what crosses.
pub struct ByKey<FK, FI> {
    key: FK,
    item: FI,
    router: Arc<Router>,
    lanes: Lanes,
}

impl<FK, FI> ByKey<FK, FI> {
    /// Sends `item(record)` to the owner of `key(record)`.
    pub fn new(key: FK, item: FI, router: Arc<Router>, lanes: Lanes) -> Self {
        ByKey { key, item, router, lanes }
    }
}

impl<T, K: Key, I: Record, FK: Fn(&T) -> K + 'static, FI: Fn(&T) -> I + 'static> Push<T> for ByKey<FK, FI> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        let key = (self.key)(&record);
        let hash = key.hash();
        let shard = self.router.shard(hash);
        self.lanes.sample(&self.router, hash);
        let keyed = Keyed { at: at.0, key, item: (self.item)(&record) };
        self.lanes.push(usize::from(shard.0), &keyed, hash);
    }
}

impl<FK: 'static, FI: 'static> Pipe for ByKey<FK, FI> {
    fn reroute(&mut self, router: &Arc<Router>) {
        self.router = router.clone();
    }

    forward!(but reroute, lanes);
}

/// The sending end of `key_by` where whole records cross: `key` chooses the shard.
pub struct WholeByKey<FK> {
    key: FK,
    router: Arc<Router>,
    lanes: Lanes,
}

impl<FK> WholeByKey<FK> {
    /// Sends each record to the owner of `key(record)`.
    pub fn new(key: FK, router: Arc<Router>, lanes: Lanes) -> Self {
        WholeByKey { key, router, lanes }
    }
}

impl<T: Record, K: Key, FK: Fn(&T) -> K + 'static> Push<T> for WholeByKey<FK> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        let key = (self.key)(&record);
        let hash = key.hash();
        let shard = self.router.shard(hash);
        self.lanes.sample(&self.router, hash);
        self.lanes.push(usize::from(shard.0), &Keyed { at: at.0, key, item: record }, hash);
    }
}

impl<FK: 'static> Pipe for WholeByKey<FK> {
    fn reroute(&mut self, router: &Arc<Router>) {
        self.router = router.clone();
    }

    forward!(but reroute, lanes);
}

/// The sending end of `rebalance`: `chunk` records for each shard in turn, this one first.
pub struct ByTurn {
    chunk: usize,
    left: usize,
    lane: usize,
    lanes: Lanes,
}

impl ByTurn {
    /// Chunks of `chunk` records; a forwarding exchange has one lane and any chunk.
    ///
    /// # Panics
    /// When `chunk` is 0, or there are no lanes.
    pub fn new(chunk: usize, lanes: Lanes) -> Self {
        assert!(
            chunk > 0 && !lanes.lanes.is_empty(),
            "chunks of {chunk} records for {} lanes",
            lanes.lanes.len()
        );
        let lane = usize::from(lanes.context.shard.0) % lanes.lanes.len();
        ByTurn { chunk, left: chunk, lane, lanes }
    }
}

impl<T: Record> Push<T> for ByTurn {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        if self.left == 0 {
            self.left = self.chunk;
            self.lane = (self.lane + 1) % self.lanes.lanes.len();
        }
        self.left -= 1;
        self.lanes.push(self.lane, &Timed { at: at.0, record }, 0);
    }
}

impl Pipe for ByTurn {
    fn note(&mut self, notes: &mut Notes) {
        notes.number(self.left as u64);
        notes.number(self.lane as u64);
        self.lanes.note(notes);
    }

    fn recall(&mut self, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        let turns = earlier.each(|noted| Ok((noted.number()?, noted.number()?)))?;
        if let Some(mine) = earlier.mine {
            let (left, lane) = turns[mine];
            (self.left, self.lane) = (left as usize, lane as usize % self.lanes.lanes.len());
        }
        self.lanes.recall(earlier)
    }

    forward!(but note and recall, lanes);
}
