//! The engine's end: takes transactions into ticks, logs them, and has them again from the log.

use super::log::{self, Entry, HEAD, take, take_u32, take_u64};
use super::shared::{Batch, Head, InletCounts, Known, Phase, Shared};
use super::{PRODUCER_ID_BYTES_MAX, PRODUCERS_MAX};
use pelton_core::rows::decode_one;
use pelton_core::source::{Outset, Partition, Poll, Polled};
use pelton_core::{Record, Tick};
use std::collections::VecDeque;
use std::sync::Arc;

/// The one partition of an [`InletSource`](super::InletSource).
pub struct InletPartition<T> {
    shared: Arc<Shared<T>>,
    run: u64,
    live: bool,
    /// Another run follows this one.
    interim: bool,
    /// Transactions taken from the producers, to be taken in next, and the bytes of them that have been.
    taken: Batch<T>,
    bytes_done: usize,
    /// Producers by their number in the log.
    table: Vec<Producing>,
    /// For each place in the shared table the number in the log, if it has one.
    numbers: Vec<Option<u32>>,
    /// What has been taken in and not acknowledged, in the order of the ticks: one for each producer in a tick.
    pending: VecDeque<Pending>,
}

/// A producer that the log knows.
struct Producing {
    id: Arc<str>,
    /// Its place in the shared table.
    place: usize,
    last: u64,
    acknowledged: u64,
}

struct Pending {
    tick: Tick,
    producer: u32,
    last: u64,
}

/// Whether there was something to take.
#[derive(PartialEq)]
enum Refilled {
    Some,
    None,
    End,
}

impl<T: Record + Send> InletPartition<T> {
    pub(super) fn open(shared: &Arc<Shared<T>>) -> Self {
        let mut state = shared.lock();
        state.run += 1;
        state.phase = Phase::Recovering;
        state.failure = None;
        state.batch.clear();
        state.producers.clear();
        state.by_id.clear();
        state.counts = InletCounts::default();
        let run = state.run;
        drop(state);
        // Whoever waits for an earlier run has to be told.
        shared.room.notify_all();
        shared.acknowledged.notify_all();
        InletPartition {
            shared: shared.clone(),
            run,
            live: false,
            interim: false,
            taken: Batch::new(),
            bytes_done: 0,
            table: Vec::new(),
            numbers: Vec::new(),
            pending: VecDeque::new(),
        }
    }

    /// Everything that an earlier run left has been taken up: producers learn their numbers, and may send.
    fn go_live(&mut self) {
        self.live = true;
        let mut state = self.shared.lock();
        if state.run != self.run {
            return;
        }
        for (place, producing) in self.table.iter_mut().enumerate() {
            producing.place = place;
            let Producing { id, last, acknowledged, .. } = producing;
            state.by_id.insert(id.clone(), place);
            let known = Known { id: id.clone(), last: *last, acknowledged: *acknowledged, in_use: false };
            state.producers.push(known);
            self.numbers.push(Some(place as u32));
        }
        state.phase = Phase::Live;
        drop(state);
        self.shared.room.notify_all();
    }

    /// Takes what the producers have sent.
    fn refill(&mut self) -> Refilled {
        self.taken.bytes.clear();
        self.bytes_done = 0;
        let mut state = self.shared.lock();
        if state.run != self.run {
            return Refilled::End;
        }
        if state.batch.heads.is_empty() {
            return if state.handles == 0 { Refilled::End } else { Refilled::None };
        }
        std::mem::swap(&mut state.batch, &mut self.taken);
        drop(state);
        self.shared.room.notify_all();
        Refilled::Some
    }

    /// The producer's number in the log. A new one is named there first, if its name and `bytes` more fit; if not, says what they come to.
    fn number(
        &mut self,
        place: usize,
        bytes: usize,
        log: Option<(&mut Vec<u8>, usize)>,
    ) -> Result<u32, Polled> {
        let fits = |name: usize| match &log {
            Some((_, room)) if name + bytes > *room => Err(Polled::Waits(name + bytes)),
            _ => Ok(()),
        };
        if self.numbers.len() <= place {
            self.numbers.resize(place + 1, None);
        }
        if let Some(number) = self.numbers[place] {
            return fits(0).map(|()| number);
        }
        // Gone if another run of the job has begun.
        let id = self.shared.lock().producers.get(place).map(|known| known.id.clone());
        let id = id.ok_or(Polled::Open)?;
        fits(HEAD + id.len())?;
        let number = self.table.len() as u32;
        if let Some((log, _)) = log {
            log::put_name(log, number, &id);
        }
        self.table.push(Producing { id, place, last: 0, acknowledged: 0 });
        self.numbers[place] = Some(number);
        Ok(number)
    }

    fn note_pending(&mut self, tick: Tick, producer: u32, last: u64) {
        match self.pending.back_mut().filter(|back| back.tick == tick && back.producer == producer) {
            Some(back) => back.last = last,
            None => self.pending.push_back(Pending { tick, producer, last }),
        }
    }

    fn take_in(&mut self, poll: Poll, mut log: Option<&mut Vec<u8>>, out: &mut impl FnMut(T)) -> Polled {
        if !self.live {
            self.go_live();
        }
        let start = log.as_ref().map_or(0, |log| log.len());
        let mut records = 0;
        while records < poll.records_max {
            let Some(&Head { producer, first, count, bytes }) = self.taken.heads.front() else {
                match self.refill() {
                    Refilled::Some => continue,
                    Refilled::None => break,
                    Refilled::End => return Polled::Done,
                }
            };
            // A transaction is never divided; alone it may be larger than what was asked for.
            if records > 0 && records + count as usize > poll.records_max {
                break;
            }
            let place = log.as_deref_mut().map(|log| {
                let room = (start + poll.logged_max).saturating_sub(log.len());
                (log, room)
            });
            // Without room for it in the log it waits for a tick that has more.
            let number = match self.number(producer, HEAD + bytes, place) {
                Ok(number) => number,
                Err(polled) => return polled,
            };
            let archived = &self.taken.bytes[self.bytes_done..self.bytes_done + bytes];
            if let Some(log) = log.as_deref_mut() {
                log::put_records(log, number, first, count, archived);
            }
            self.bytes_done += bytes;
            self.taken.heads.pop_front();
            self.taken.records.drain(..count as usize).for_each(&mut *out);
            records += count as usize;
            let producing = &mut self.table[number as usize];
            assert_eq!(producing.last + 1, first, "a producer's numbers have no gaps");
            producing.last += u64::from(count);
            let last = producing.last;
            self.note_pending(poll.tick, number, last);
        }
        Polled::Open
    }

    fn name(&mut self, producer: u32, id: &str) -> Result<(), String> {
        let known = self.table.iter().any(|producing| &*producing.id == id);
        if producer as usize != self.table.len() || known || id.is_empty() || id.len() > PRODUCER_ID_BYTES_MAX
        {
            return Err(format!("producer number {producer} cannot be `{id}`"));
        }
        let id = id.into();
        self.table.push(Producing { id, place: 0, last: 0, acknowledged: 0 });
        Ok(())
    }
}

impl<T: Record + Send> Partition for InletPartition<T> {
    type Item = T;

    fn begin(&mut self, outset: Outset) {
        self.interim = outset.interim;
        let mut state = self.shared.lock();
        if state.run == self.run {
            state.logged_max = outset.logged_max;
        }
    }

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(T)) -> Polled {
        let polled = self.take_in(poll, None, out);
        // Nothing will survive, and nobody will say so: what was taken in is all that there is to wait for.
        self.released(poll.tick);
        polled
    }

    fn poll_logged(&mut self, poll: Poll, log: &mut Vec<u8>, out: &mut impl FnMut(T)) -> Polled {
        self.take_in(poll, Some(log), out)
    }

    fn replay(&mut self, poll: Poll, logged: &[u8], out: &mut impl FnMut(T)) -> Result<(), String> {
        let mut rest = logged;
        let mut records = 0;
        while let Some(entry) = log::next(&mut rest)? {
            let (number, first, count, mut archived) = match entry {
                Entry::Name { producer, id } => {
                    self.name(producer, id)?;
                    continue;
                }
                Entry::Records { producer, first, count, records } => (producer, first, count, records),
            };
            let Some(producing) = self.table.get_mut(number as usize) else {
                return Err(format!("producer number {number} has no name"));
            };
            let next = producing.last + 1;
            if next != first || first.checked_add(u64::from(count)).is_none() {
                let id = &producing.id;
                return Err(format!("the log of `{id}` goes on with number {first}, and {next} comes next"));
            }
            records += count as usize;
            if records > poll.records_max {
                break;
            }
            producing.last += u64::from(count);
            let last = producing.last;
            for _ in 0..count {
                out(decode_one(log::next_record(&mut archived)?).map_err(|fault| fault.to_string())?);
            }
            if !archived.is_empty() {
                return Err("what the inlet logged is longer than its records".to_owned());
            }
            self.note_pending(poll.tick, number, last);
        }
        if records != poll.records_max {
            return Err(format!("the inlet logged {records} records, and took in {}", poll.records_max));
        }
        Ok(())
    }

    /// `| producers u32 |`, and for each  `| last number u64 | len u32 | id |`.
    fn position(&mut self) -> Vec<u8> {
        let mut position = (self.table.len() as u32).to_le_bytes().to_vec();
        for producing in &self.table {
            position.extend_from_slice(&producing.last.to_le_bytes());
            position.extend_from_slice(&(producing.id.len() as u32).to_le_bytes());
            position.extend_from_slice(producing.id.as_bytes());
        }
        position
    }

    fn resume(&mut self, _: u64, mut position: &[u8]) -> Result<(), String> {
        let rest = &mut position;
        let producers = take_u32(rest)?;
        if producers as usize > PRODUCERS_MAX {
            return Err(format!("{producers} producers, of {PRODUCERS_MAX} at most"));
        }
        for number in 0..producers {
            let (last, len) = (take_u64(rest)?, take_u32(rest)?);
            if last == u64::MAX {
                return Err("a producer has used up its numbers".to_owned());
            }
            let id =
                std::str::from_utf8(take(rest, len as usize)?).map_err(|_| "a producer's name is no text")?;
            self.name(number, id)?;
            let producing = &mut self.table[number as usize];
            (producing.last, producing.acknowledged) = (last, last);
        }
        if rest.is_empty() { Ok(()) } else { Err("the table of producers is longer than it says".to_owned()) }
    }

    fn released(&mut self, through: Tick) {
        if self.pending.front().is_none_or(|pending| pending.tick > through) {
            return;
        }
        let mut state = self.shared.lock();
        while let Some(Pending { producer, last, .. }) =
            self.pending.pop_front_if(|front| front.tick <= through)
        {
            let producing = &mut self.table[producer as usize];
            producing.acknowledged = last;
            if self.live && state.run == self.run {
                state.producers[producing.place].acknowledged = last;
            }
        }
        drop(state);
        self.shared.acknowledged.notify_all();
    }
}

impl<T> Drop for InletPartition<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.run == self.run {
            // Whoever waits for a producer waits on, if another run goes on where this one was.
            state.phase = if self.interim { Phase::Waiting } else { Phase::Ended };
        }
        drop(state);
        self.shared.room.notify_all();
        self.shared.acknowledged.notify_all();
    }
}
