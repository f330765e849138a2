//! A database outside of the process: what a job shows to it stays when the job dies, if it has arrived.
//!
//! ```text
//!  commit      the row is seen, under its name (tick, shard, number): the same name must always mean the same row
//!  flush       the rows of the ticks are on their way
//!  a turn      some of what is on its way arrives: rows and the tick that they were of, in one go
//!  death       some more arrives, the rest is lost
//!  checkpoint  everything that was shown arrives before it counts
//!  savepoint   the job goes back to it: rows of later ticks are taken back, by the sink itself if it is transactional
//! ```

use crate::names::{Name, Names, Shown};
use pelton::core::checkpoint::notes::Noted;
use pelton::core::sink::{Recalled, SinkNotes};
use pelton::sim::Chance;
use pelton::sinks::{Sink, SinkWriter};
use pelton::{Delivery, EventTime, Fault, ShardId, Tick};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The rows of a tick on one shard.
type Batch = (u16, Tick, Vec<Shown>);

/// A database; a clone is a handle to the same one.
#[derive(Clone)]
pub struct Database {
    delivery: Delivery,
    /// A mistake that is to be found: it stays as it is when the job goes back to a savepoint.
    stays: bool,
    tables: Arc<Mutex<Tables>>,
}

#[derive(Default)]
struct Tables {
    /// Every row that was ever shown.
    names: Names,
    /// The history of the job that it has rows of.
    generation: u32,
    arriving: VecDeque<Batch>,
    rows: Vec<(Name, Shown)>,
    /// Through which tick the rows of a shard have arrived.
    through: BTreeMap<u16, Tick>,
}

impl Tables {
    fn arrive(&mut self, (shard, tick, rows): Batch) {
        self.through.insert(shard, tick);
        self.rows.extend(rows.into_iter().zip(0..).map(|(row, seq)| ((tick, shard, seq), row)));
    }

    /// Rows of ticks behind this one are taken back.
    fn take_back(&mut self, to: Tick) {
        self.names.take_back(to);
        self.rows.retain(|((tick, ..), _)| *tick <= to);
        self.through.values_mut().for_each(|through| *through = to.min(*through));
    }

    /// Everything of a shard arrives.
    fn arrive_all(&mut self, shard: u16) {
        let (mine, others) =
            std::mem::take(&mut self.arriving).into_iter().partition(|batch| batch.0 == shard);
        self.arriving = others;
        VecDeque::into_iter(mine).for_each(|batch| self.arrive(batch));
    }
}

impl Database {
    /// An empty one.
    pub fn new(delivery: Delivery, stays: bool) -> Self {
        Database { delivery, stays, tables: Arc::default() }
    }

    /// How rows are delivered to it.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job has gone back to a savepoint. Where it is shown rows and no more, it is for people to take them back.
    pub fn went_back(&self, to: Tick) {
        if self.delivery != Delivery::ExactlyOnce {
            self.tables().take_back(to);
        }
    }

    /// A program that has not this sink goes on from an earlier tick: whoever looks at the rows takes them back.
    pub fn taken_back(&self, to: Tick) {
        self.tables().take_back(to);
    }

    /// Shards begin, and nothing is durable yet as far as they know.
    pub fn began(&self) {
        self.tables().names.began();
    }

    /// Some of what is on its way arrives.
    pub fn turn(&self, chance: &mut Chance) {
        let mut tables = self.tables();
        for _ in 0..chance.below(8) {
            let Some(batch) = tables.arriving.pop_front() else { break };
            tables.arrive(batch);
        }
    }

    /// The process has died: of what was on its way, some arrives.
    pub fn ended(&self, chance: &mut Chance) {
        let mut tables = self.tables();
        let arrive = chance.below(tables.arriving.len() as u64 + 1) as usize;
        let mut arriving = std::mem::take(&mut tables.arriving);
        arriving.drain(..arrive).for_each(|batch| tables.arrive(batch));
    }

    /// What must not be, if it is.
    pub fn check(&self, durable_through: Tick) -> Result<(), String> {
        let through = if self.delivery == Delivery::AtMostOnce { Tick::END } else { durable_through };
        self.tables().names.check(through)
    }

    /// All rows, in the order in which they arrived.
    pub fn rows(&self) -> Vec<(Name, Shown)> {
        self.tables().rows.clone()
    }

    /// Rows that were shown, by their names.
    pub fn seen(&self) -> BTreeMap<Name, Shown> {
        self.tables().names.seen().clone()
    }
}

impl Sink<Shown> for Database {
    type Writer = Writer;

    fn open(&self, shard: ShardId) -> Writer {
        let (rows, batches) = (Vec::new(), VecDeque::new());
        let (shard, shown, found, database) = (shard.0, Tick(0), None, self.clone());
        Writer { shard, rows, shown, batches, found, database }
    }

    fn is_transactional(&self) -> bool {
        self.delivery == Delivery::ExactlyOnce
    }
}

/// The writing end on one shard.
pub struct Writer {
    shard: u16,
    /// Of the tick in progress.
    rows: Vec<Shown>,
    /// The last tick of which it was shown rows.
    shown: Tick,
    batches: VecDeque<Batch>,
    /// The history and the checkpoint that a start which is not certain yet goes on from.
    found: Option<(u32, Tick)>,
    database: Database,
}

impl SinkWriter<Shown> for Writer {
    fn write(&mut self, _: EventTime, row: Shown) {
        self.rows.push(row);
    }

    fn commit(&mut self, tick: Tick) -> Result<(), Fault> {
        let rows = std::mem::take(&mut self.rows);
        self.shown = tick;
        // What is shown before it is durable may be computed anew under another name, and another row under its own.
        if self.database.delivery != Delivery::AtMostOnce {
            self.database.tables().names.show(tick, self.shard, &rows);
        }
        self.batches.push_back((self.shard, tick, rows));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.database.tables().arriving.append(&mut self.batches);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.flush()?;
        self.database.tables().arrive_all(self.shard);
        Ok(())
    }

    fn note(&mut self, notes: &mut SinkNotes) -> Result<(), Fault> {
        self.flush()?;
        notes.notes.number(self.shown.0);
        let (database, shard) = (self.database.clone(), self.shard);
        notes.syncs.push(Box::new(move || {
            database.tables().arrive_all(shard);
            Ok(())
        }));
        Ok(())
    }

    fn recall(&mut self, recalled: &Recalled<'_>) -> Result<Tick, Fault> {
        let mut tables = self.database.tables();
        for noted in &recalled.shards {
            let (shown, checkpoint) = (Noted::new(noted).number()?, recalled.checkpoint.0);
            if shown > checkpoint {
                // Whoever goes on from such a note has rows twice.
                let conflict = format!(
                    "rows of tick {shown} had been shown when the sink noted what it keeps at {checkpoint}"
                );
                tables.names.is_broken(conflict);
            }
        }
        self.found = Some((recalled.generation, recalled.checkpoint));
        let through = tables.through.get(&self.shard).copied().unwrap_or_default();
        // Of another history only what the checkpoint knows of counts.
        let counts = tables.generation == recalled.generation || self.database.stays;
        Ok(if counts { through.max(recalled.checkpoint) } else { recalled.checkpoint })
    }

    fn begin(&mut self) -> Result<(), Fault> {
        let Some((generation, checkpoint)) = self.found.take() else { return Ok(()) };
        let mut tables = self.database.tables();
        let is_other = std::mem::replace(&mut tables.generation, generation) != generation;
        if is_other && self.database.delivery == Delivery::ExactlyOnce && !self.database.stays {
            tables.take_back(checkpoint);
        }
        Ok(())
    }
}
