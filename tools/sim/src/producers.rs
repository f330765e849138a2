//! Services that send: each numbers its records, keeps what is not acknowledged, and sends it again when the job is back.
//!
//! Record `k` of producer `p` of `n` is in place `k * n + p` of the data. No producer gets further ahead of another one than the job allows
//! records to be behind, whatever has to be sent again, so no record is ever late.

use crate::data::{Data, Event};
use pelton::sim::{Chance, Moment};
use pelton::sources::{Inlet, InletError, InletSource, Producer, inlet};
use std::ops::Range;
use std::time::Duration;

/// The value of records that no job must ever see: those of transactions that are not committed.
const POISON: i64 = 1_000_000_000;

/// What the producers are like.
#[derive(Clone, Debug)]
pub struct Sending {
    /// How many there are.
    pub producers: u64,
    /// Records that may wait in the inlet.
    pub capacity: usize,
    /// How many records a producer may be ahead of what others have acknowledged.
    pub ahead: u64,
    /// Records in a transaction at most.
    pub transaction: u64,
    /// Of a thousand sends, before so many a transaction is begun that comes to nothing.
    pub aborted: u32,
}

impl Sending {
    /// Draws what they are like.
    pub fn draw(chance: &mut Chance) -> Self {
        let transaction = chance.magnitude(20);
        Sending {
            producers: chance.from_to(1, 4),
            capacity: chance.magnitude(200) as usize,
            ahead: transaction + chance.magnitude(200),
            transaction,
            aborted: *chance.choose(&[0, 100, 500]),
        }
    }

    /// Places that a record may be behind another.
    pub fn places_behind(&self) -> u64 {
        self.producers * (self.ahead + self.transaction + 1)
    }
}

/// All producers.
pub struct Producers {
    sending: Sending,
    data: Data,
    /// Gone when all is acknowledged.
    inlet: Option<Inlet<Event>>,
    services: Vec<Service>,
    chance: Chance,
}

struct Service {
    id: String,
    number: u64,
    records: u64,
    /// What is sent together: numbers of records, from 1 on.
    groups: Vec<Range<u64>>,
    /// The group to be sent next.
    next: usize,
    /// Records through this one have been sent, in some run.
    sent: u64,
    acknowledged: u64,
    /// What was acknowledged may be given up.
    goes_back: bool,
    connection: Option<Producer<Event>>,
}

impl Producers {
    /// Producers of those records, and the source that they feed.
    pub fn new(sending: &Sending, data: &Data, seed: u64) -> (Self, InletSource<Event>) {
        let (entry, source) = inlet(sending.capacity);
        let mut chance = Chance::new(seed, "producers");
        let mut service = |number: u64| {
            let records = (data.records + sending.producers - 1 - number) / sending.producers;
            let (mut groups, mut first) = (Vec::new(), 1);
            while first <= records {
                let end = (first + chance.from_to(1, sending.transaction)).min(records + 1);
                groups.push(first..end);
                first = end;
            }
            let id = format!("service-{number}");
            let (next, sent, acknowledged, goes_back, connection) = (0, 0, 0, false, None);
            Service { id, number, records, groups, next, sent, acknowledged, goes_back, connection }
        };
        let services = (0..sending.producers).map(&mut service).collect();
        (
            Producers { sending: sending.clone(), data: data.clone(), inlet: Some(entry), services, chance },
            source,
        )
    }

    /// Whether they can send again what the job gives up: an inlet that was closed stays closed.
    pub fn may_go_back(&self) -> bool {
        self.inlet.is_some()
    }

    /// The job has gone back to a savepoint: what it knows of is all that counts as acknowledged.
    pub fn went_back(&mut self) {
        self.services.iter_mut().for_each(|service| service.goes_back = true);
    }

    /// They get on.
    pub fn turn(&mut self, _: &Moment) -> Result<(), String> {
        let Some(inlet) = self.inlet.clone().filter(Inlet::is_recovered) else { return Ok(()) };
        for service in &mut self.services {
            service.connect(&inlet, &mut self.chance)?;
        }
        if self.services.iter().all(|service| service.acknowledged == service.records) {
            inlet.close();
            self.inlet = None;
            self.services.iter_mut().for_each(|service| service.connection = None);
            return Ok(());
        }
        let slowest = self.services.iter().filter(|service| service.acknowledged < service.records);
        let limit = slowest.map(|service| service.acknowledged).min().unwrap_or(0) + self.sending.ahead;
        for index in 0..self.services.len() {
            for _ in 0..self.chance.below(6) {
                let service = &mut self.services[index];
                let Some(group) = service.groups.get(service.next).cloned() else { break };
                let (waiting, count) = (inlet.counts().waiting, group.end - group.start);
                let room = waiting == 0 || waiting + count <= self.sending.capacity as u64;
                if group.end > limit + 1 || !room {
                    break;
                }
                let aborts = self.chance.happens(self.sending.aborted);
                service.send(&self.data, self.sending.producers, group, aborts)?;
            }
        }
        Ok(())
    }

    /// The process is gone, and with it the connections.
    pub fn ended(&mut self) {
        self.services.iter_mut().for_each(|service| service.connection = None);
    }

    /// What was sent together, by the numbers of the records' places.
    pub fn groups(&self) -> impl Iterator<Item = Vec<u64>> {
        let producers = self.sending.producers;
        self.services.iter().flat_map(move |service| {
            service
                .groups
                .iter()
                .map(move |group| group.clone().map(|k| (k - 1) * producers + service.number).collect())
        })
    }
}

impl Service {
    /// Connects if need be, and hears what is acknowledged.
    fn connect(&mut self, inlet: &Inlet<Event>, chance: &mut Chance) -> Result<(), String> {
        if self.connection.is_none() {
            let told = |error| format!("{} cannot connect: {error}", self.id);
            let connection = match inlet.producer_within(&self.id, Duration::ZERO) {
                // The job is being suspended: there will be another run.
                Err(InletError::Closed) => return Ok(()),
                connection => connection.map_err(told)?,
            };
            let known = connection.next_sequence().map_err(told)? - 1;
            if std::mem::take(&mut self.goes_back) {
                self.acknowledged = known.min(self.acknowledged);
            }
            if known < self.acknowledged {
                let (id, acknowledged) = (&self.id, self.acknowledged);
                return Err(format!(
                    "{id}: {acknowledged} records were acknowledged, and only {known} are known"
                ));
            }
            if known > 0 && !self.groups.iter().any(|group| group.end == known + 1) {
                return Err(format!("{}: {known} records are known, which divides a transaction", self.id));
            }
            // Either everything again that is not acknowledged, or only what is not known.
            let from = if chance.happens(500) { self.acknowledged } else { known };
            self.next = self.groups.partition_point(|group| group.end <= from + 1);
            self.connection = Some(connection);
        }
        if let Some(connection) = &self.connection {
            self.acknowledged = self.acknowledged.max(connection.acknowledged());
        }
        if self.acknowledged > self.sent {
            return Err(format!(
                "{}: {} records are acknowledged, more than were sent",
                self.id, self.acknowledged
            ));
        }
        Ok(())
    }

    fn send(&mut self, data: &Data, producers: u64, group: Range<u64>, aborts: bool) -> Result<(), String> {
        let told = |error| format!("{} cannot send {group:?}: {error}", self.id);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let event = |k: u64| data.at((k - 1) * producers + self.number);
        if aborts {
            let mut transaction = connection.begin();
            group.clone().for_each(|k| transaction.send(Event { value: POISON, ..event(k) }));
            if group.start.is_multiple_of(2) { transaction.abort() } else { drop(transaction) }
        }
        let sent = if group.end - group.start == 1 {
            connection.send_numbered(group.start, event(group.start))
        } else {
            let mut transaction = connection.begin();
            group.clone().for_each(|k| transaction.send(event(k)));
            transaction.commit_numbered(group.start)
        };
        match sent {
            // The job is being suspended, and takes nothing new: the next run is sent it. A job that refused for any other reason would never come
            // to the end of its input.
            Err(InletError::Closed) => return Ok(()),
            sent => drop(sent.map_err(told)?),
        }
        self.next += 1;
        self.sent = self.sent.max(group.end - 1);
        Ok(())
    }
}
