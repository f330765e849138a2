//! Exchanges, seen from the sender: which shard a record goes to, and the channels that take it there.
//!
//! By key: the key's hash chooses the key group and that the shard. By turn: one record, or one chunk, for each shard in turn.
//! Forward: to the same shard, where two stages meet. The choice never depends on anything but the records and their order.

use crate::aggregate::Aggregate;
use crate::bounds::LOAD_SAMPLE;
use crate::checkpoint::notes::{Earlier, Noted, Notes, Part};
use crate::exchange::channel::Channel;
use crate::exchange::ring::Producer;
use crate::exchange::router::Router;
use crate::fault::Fault;
use crate::ids::{EdgeId, EventTime};
use crate::operator::push::{Link, Pipe, Push, TickEnd};
use crate::record::key::Key;
use crate::record::{Record, struct_record};
use crate::stage::context::{StageContext, WatermarkOrigin};
use crate::state::memory::Memory;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
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

/// The channels of one exchange on one sending shard.
pub struct ExchangeWriter {
    channels: Vec<Channel>,
    /// Records until the next sample of which key groups they go to.
    unsampled: u32,
    /// How many records were sent to each key group, where anybody asks; counted in samples.
    loads: Option<Arc<[AtomicU64]>>,
    edge: EdgeId,
    context: Rc<StageContext>,
    origins: Vec<WatermarkOrigin>,
}

impl ExchangeWriter {
    /// Channels of `edge` that carry `T` through `rings`, one for each destination. They say what the watermarks of `origins` come to, and the time
    /// of every tick if somebody behind waits for that.
    pub fn new<T: Record>(
        edge: EdgeId,
        rings: Vec<Producer>,
        memory: &Arc<dyn Memory>,
        context: Rc<StageContext>,
        (origins, is_timed): (Vec<WatermarkOrigin>, bool),
        loads: Option<Arc<[AtomicU64]>>,
    ) -> Self {
        let known = context.known(edge, context.shard);
        let channel = |ring| {
            let mut channel = Channel::new::<T>(ring, memory.clone());
            if is_timed {
                channel.tell_time();
            }
            channel.recall_sent(known);
            channel
        };
        let channels = rings.into_iter().map(channel).collect();
        ExchangeWriter { channels, unsampled: LOAD_SAMPLE, loads, edge, context, origins }
    }

    /// Notes for every so many records which key group one of them went to.
    #[inline(always)]
    pub(crate) fn sample(&mut self, router: &Router, hash: u64) {
        self.unsampled -= 1;
        if self.unsampled == 0 {
            self.unsampled = LOAD_SAMPLE;
            self.note_load(router.group(hash));
        }
    }

    #[cold]
    fn note_load(&self, group: usize) {
        if let Some(load) = self.loads.as_ref().and_then(|loads| loads.get(group)) {
            load.fetch_add(LOAD_SAMPLE.into(), Relaxed);
        }
    }

    #[inline(always)]
    pub(crate) fn push<T: Record>(&mut self, channel: usize, record: &T, hash: u64) {
        if let Err(fault) = self.channels[channel].push(record, hash, self.context.tick_time()) {
            self.context.fail(fault);
        }
    }
}

impl Pipe for ExchangeWriter {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(self);
    }
}

impl Link for ExchangeWriter {
    fn seal(&mut self, end: TickEnd) {
        let now = self.context.tick_time();
        // After the end of the input every watermark is at its maximum.
        let watermark =
            if end.ended { EventTime::MAX } else { self.context.watermark(&self.origins, end.input) };
        let latest = self.context.wall.get();
        self.channels.iter_mut().for_each(|channel| {
            channel.seal(now, latest, watermark);
        });
    }

    fn flush(&mut self) {
        let now = self.context.tick_time();
        self.channels.iter_mut().for_each(|channel| channel.flush(now));
    }

    fn room(&mut self) -> usize {
        self.channels.iter_mut().map(Channel::room).min().unwrap_or(0)
    }

    fn can_seal(&mut self) -> bool {
        self.channels.iter_mut().all(Channel::can_seal)
    }

    fn overdue(&mut self, watermark: Option<EventTime>) {
        self.channels.iter_mut().for_each(|channel| channel.set_overdue(watermark));
    }

    fn part(&self) -> Option<Part> {
        Some(Part::exchange(self.edge))
    }

    fn note(&mut self, notes: &mut Notes) {
        // All channels are told the same watermark.
        notes.time(self.channels.first().map_or(EventTime::MIN, Channel::sent));
    }

    fn recall(&mut self, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        let sent = earlier.each(Noted::time)?;
        // With another number of shards, receivers know what follows from what the partitions of this one had reached.
        let known = || self.context.known(self.edge, self.context.shard);
        let sent = earlier.mine.map_or_else(known, |mine| sent[mine]);
        self.channels.iter_mut().for_each(|channel| channel.recall_sent(sent));
        Ok(())
    }
}

/// The sending end of `key_by`: `key` chooses the shard, and what `aggregate` needs of a record crosses.
pub struct ByKey<FK, A> {
    key: FK,
    aggregate: A,
    router: Arc<Router>,
    channels: ExchangeWriter,
}

impl<FK, A> ByKey<FK, A> {
    /// Sends what `aggregate` needs of a record to the owner of `key(record)`.
    pub fn new(key: FK, aggregate: A, router: Arc<Router>, channels: ExchangeWriter) -> Self {
        ByKey { key, aggregate, router, channels }
    }
}

impl<T, K: Key, FK: Fn(&T) -> K + 'static, A: Aggregate<T>> Push<T> for ByKey<FK, A> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        let key = (self.key)(&record);
        let hash = key.hash();
        let shard = self.router.shard(hash);
        self.channels.sample(&self.router, hash);
        let keyed = Keyed { at: at.0, key, item: self.aggregate.take_item(record) };
        self.channels.push(usize::from(shard.0), &keyed, hash);
    }
}

impl<FK: 'static, A: 'static> Pipe for ByKey<FK, A> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(self);
        self.channels.each_link(visit);
    }
}

impl<FK: 'static, A: 'static> Link for ByKey<FK, A> {
    fn reroute(&mut self, router: &Arc<Router>) {
        self.router = router.clone();
    }
}

/// The sending end of `key_by` where whole records cross: `key` chooses the shard.
pub struct WholeByKey<FK> {
    key: FK,
    router: Arc<Router>,
    channels: ExchangeWriter,
}

impl<FK> WholeByKey<FK> {
    /// Sends each record to the owner of `key(record)`.
    pub fn new(key: FK, router: Arc<Router>, channels: ExchangeWriter) -> Self {
        WholeByKey { key, router, channels }
    }
}

impl<T: Record, K: Key, FK: Fn(&T) -> K + 'static> Push<T> for WholeByKey<FK> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        let key = (self.key)(&record);
        let hash = key.hash();
        let shard = self.router.shard(hash);
        self.channels.sample(&self.router, hash);
        self.channels.push(usize::from(shard.0), &Keyed { at: at.0, key, item: record }, hash);
    }
}

impl<FK: 'static> Pipe for WholeByKey<FK> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(self);
        self.channels.each_link(visit);
    }
}

impl<FK: 'static> Link for WholeByKey<FK> {
    fn reroute(&mut self, router: &Arc<Router>) {
        self.router = router.clone();
    }
}

/// The sending end of `rebalance`: `chunk` records for each shard in turn, this one first.
pub struct ByTurn {
    chunk: usize,
    left: usize,
    channel: usize,
    channels: ExchangeWriter,
}

impl ByTurn {
    /// Chunks of `chunk` records; a forwarding exchange has one channel and any chunk.
    ///
    /// # Panics
    /// When `chunk` is 0, or there are no channels.
    pub fn new(chunk: usize, channels: ExchangeWriter) -> Self {
        assert!(
            chunk > 0 && !channels.channels.is_empty(),
            "chunks of {chunk} records for {} channels",
            channels.channels.len()
        );
        let channel = usize::from(channels.context.shard.0) % channels.channels.len();
        ByTurn { chunk, left: chunk, channel, channels }
    }
}

impl<T: Record> Push<T> for ByTurn {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        if self.left == 0 {
            self.left = self.chunk;
            self.channel = (self.channel + 1) % self.channels.channels.len();
        }
        self.left -= 1;
        self.channels.push(self.channel, &Timed { at: at.0, record }, 0);
    }
}

impl Pipe for ByTurn {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(self);
        self.channels.each_link(visit);
    }
}

impl Link for ByTurn {
    fn part(&self) -> Option<Part> {
        Some(Part::turn(self.channels.edge))
    }

    fn note(&mut self, notes: &mut Notes) {
        notes.number(self.left as u64);
        notes.number(self.channel as u64);
    }

    fn recall(&mut self, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        let turns = earlier.each(|noted| Ok((noted.number()?, noted.number()?)))?;
        if let Some(mine) = earlier.mine {
            let (left, channel) = turns[mine];
            (self.left, self.channel) = (left as usize, channel as usize % self.channels.channels.len());
        }
        Ok(())
    }
}
