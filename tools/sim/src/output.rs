//! Where a job's rows go: a database that is outside of the machine, or files on it.

use crate::database::{self, Database};
use crate::names::{Name, Shown};
use crate::parts::{PartWriter, Parts};
use pelton::core::sink::{Recalled, SinkNotes};
use pelton::sim::{Chance, RunEnd};
use pelton::sinks::{Sink, SinkWriter};
use pelton::{Delivery, EventTime, Fault, ShardId, Tick};
use std::collections::BTreeMap;

/// Either; a clone is a handle to the same one.
#[derive(Clone)]
pub enum Output {
    /// A database.
    Database(Database),
    /// Files.
    Parts(Parts),
}

impl Output {
    /// How rows are delivered to it.
    pub fn delivery(&self) -> Delivery {
        match self {
            Output::Database(database) => database.delivery(),
            Output::Parts(_) => Delivery::ExactlyOnce,
        }
    }

    /// The job has gone back to a savepoint. Files go with it by themselves.
    pub fn went_back(&self, to: Tick) {
        if let Output::Database(database) = self {
            database.went_back(to);
        }
    }

    /// A program that has not this sink goes on from an earlier tick.
    pub fn taken_back(&self, to: Tick) {
        if let Output::Database(database) = self {
            database.taken_back(to);
        }
    }

    /// Shards begin.
    pub fn began(&self) {
        match self {
            Output::Database(database) => database.began(),
            Output::Parts(parts) => parts.began(),
        }
    }

    /// Some of what is on its way arrives.
    pub fn turn(&self, chance: &mut Chance) {
        if let Output::Database(database) = self {
            database.turn(chance);
        }
    }

    /// The process has died.
    pub fn ended(&self, run_end: RunEnd, chance: &mut Chance) {
        match self {
            Output::Database(database) => database.ended(chance),
            Output::Parts(parts) => parts.ended(run_end),
        }
    }

    /// What must not be, if it is.
    pub fn check(&self, durable_through: Tick) -> Result<(), String> {
        match self {
            Output::Database(database) => database.check(durable_through),
            Output::Parts(parts) => parts.check(durable_through),
        }
    }

    /// All rows that are there in the end. Where the job would not go on, files are as it has left them: then those that were shown.
    ///
    /// # Errors
    /// When they do not stand where they should.
    pub fn rows(&self, ended: bool) -> Result<Vec<Shown>, String> {
        match self {
            Output::Database(database) if self.delivery() == Delivery::AtLeastOnce => {
                let named: BTreeMap<_, _> = database.rows().into_iter().collect();
                Ok(named.into_values().collect())
            }
            Output::Database(database) => Ok(database.rows().into_iter().map(|(_, row)| row).collect()),
            Output::Parts(parts) if ended => parts.rows(),
            Output::Parts(parts) => Ok(parts.seen().into_values().collect()),
        }
    }

    /// Rows that were shown, by their names.
    pub fn seen(&self) -> BTreeMap<Name, Shown> {
        match self {
            Output::Database(database) => database.seen(),
            Output::Parts(parts) => parts.seen(),
        }
    }
}

impl Sink<Shown> for Output {
    type Writer = Writer;

    fn open(&self, shard: ShardId) -> Writer {
        match self {
            Output::Database(database) => Writer::Database(database.open(shard)),
            Output::Parts(parts) => Writer::Parts(parts.open(shard)),
        }
    }

    fn is_transactional(&self) -> bool {
        match self {
            Output::Database(database) => database.is_transactional(),
            Output::Parts(parts) => parts.is_transactional(),
        }
    }
}

/// The writing end on one shard.
pub enum Writer {
    /// Of a database.
    Database(database::Writer),
    /// Of files.
    Parts(PartWriter),
}

impl Writer {
    fn inner(&mut self) -> &mut dyn SinkWriter<Shown> {
        match self {
            Writer::Database(writer) => writer,
            Writer::Parts(writer) => writer,
        }
    }
}

impl SinkWriter<Shown> for Writer {
    fn write(&mut self, at: EventTime, row: Shown) {
        self.inner().write(at, row);
    }

    fn commit(&mut self, tick: Tick) -> Result<(), Fault> {
        self.inner().commit(tick)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.inner().flush()
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.inner().close()
    }

    fn suspend(&mut self) -> Result<(), Fault> {
        self.inner().suspend()
    }

    fn note(&mut self, notes: &mut SinkNotes) -> Result<(), Fault> {
        self.inner().note(notes)
    }

    fn recall(&mut self, recalled: &Recalled<'_>) -> Result<Tick, Fault> {
        self.inner().recall(recalled)
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.inner().begin()
    }
}
