//! The engine's end: takes transactions into ticks, logs them, and has them again from the log.

use super::known::Known;
use super::log::{self, Entry, HEAD, take, take_u32, take_u64};
use super::shared::{InletState, Phase};
use super::stripe::{Batch, Head};
use super::{PRODUCER_ID_BYTES_MAX, PRODUCERS_MAX};
use crate::bounds::INLET_SHARE;
use crate::ready::{Turns, next_batch};
use pelton_core::ingress::source::{OpenContext, Partition, Poll, Polled};
use pelton_core::record::rows::decode_one;
use pelton_core::state::blocks::BlockQueue;
use pelton_core::state::charge::Share;
use pelton_core::state::memory::Memory;
use pelton_core::{Record, Tick};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The form of [`InletPartition::position`].
const FORM: u32 = 2;

/// A place that has no number in the log.
const NONE: u32 = u32::MAX;

/// The one partition of an [`InletSource`](super::InletSource).
pub struct InletPartition<T> {
    shared: Arc<InletState<T>>,
    run: u64,
    live: bool,
    /// The job stops: producers are refused.
    refusing: bool,
    /// Another run follows this one.
    is_rescale: bool,
    /// Transactions taken from one queue, to be taken in next.
    taken: Batch<T>,
    /// The queues that there is something in, as far as is known.
    turns: Turns,
    /// Producers by their number in the log, numbers that are free, and all names.
    table: Vec<Option<Producing>>,
    free: Vec<u32>,
    names: BTreeSet<Arc<str>>,
    /// For each place among the producers the number in the log, if it has one.
    numbers: Vec<u32>,
    /// What has been taken in and not acknowledged, in the order of the ticks: one for each producer in a tick.
    pending: BlockQueue<Pending>,
}

/// A producer that the log knows.
struct Producing {
    id: Arc<str>,
    last: u64,
    acknowledged: u64,
    /// The tick of its last record.
    used: Tick,
    /// What tells the producer, once the job is live.
    known: Option<Arc<Known>>,
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

/// The room that is left in the log of a tick.
struct Room<'a> {
    log: &'a mut Vec<u8>,
    end: usize,
}

impl Room<'_> {
    fn left(&self) -> usize {
        self.end.saturating_sub(self.log.len())
    }
}

impl<T: Record + Send> InletPartition<T> {
    pub(super) fn open(shared: &Arc<InletState<T>>) -> Self {
        InletPartition {
            shared: shared.clone(),
            run: shared.begin(),
            live: false,
            refusing: false,
            is_rescale: false,
            taken: Batch::new(),
            turns: Turns::default(),
            table: Vec::new(),
            free: Vec::new(),
            names: BTreeSet::new(),
            numbers: Vec::new(),
            pending: BlockQueue::new(),
        }
    }

    /// Everything that an earlier run left has been recovered: producers learn their numbers, and may send.
    fn go_live(&mut self) {
        self.live = true;
        let shared = self.shared.clone();
        let mut control = shared.control();
        if control.run != self.run {
            return;
        }
        self.free = (0..self.table.len() as u32).filter(|n| self.table[*n as usize].is_none()).collect();
        // Who has sent nothing for the longest is the first that makes way for another.
        let used = |number: &u32| self.table[*number as usize].as_ref().map(|producing| producing.used);
        let mut order: Vec<u32> = (0..self.table.len() as u32).filter(|n| used(n).is_some()).collect();
        order.sort_by_key(used);
        for number in order {
            let Some(producing) = &mut self.table[number as usize] else { continue };
            let known = control.directory.recover(&producing.id, producing.last, producing.acknowledged);
            set_number(&mut self.numbers, known.place, number);
            producing.known = Some(known);
        }
        control.phase = if self.refusing { Phase::Stopping } else { Phase::Live };
        drop(control);
        self.shared.changed.notify_all();
    }

    /// Takes what the producers have sent into one of the queues.
    fn refill(&mut self, durable: bool) -> Refilled {
        self.taken.clear();
        // Before the queues: what was sent before the end is in them by then.
        let over = self.shared.is_over(durable);
        let stripes = &self.shared.stripes;
        self.turns.refill(&stripes.ready);
        let (taken, run) = (&mut self.taken, self.run);
        let refilled = next_batch(
            &mut self.turns,
            |stripe| stripes.try_lock(stripe),
            |stripe| stripes.lock(stripe),
            |_, mut queue| {
                if queue.run != run {
                    return Some(Refilled::End);
                }
                queue.listed = false;
                std::mem::swap(&mut queue.batch, taken);
                let first = queue.line.front().cloned();
                drop(queue);
                if let Some(first) = first {
                    first.room.notify_one();
                }
                (!taken.heads.is_empty()).then_some(Refilled::Some)
            },
        );
        refilled.unwrap_or(if over { Refilled::End } else { Refilled::None })
    }

    /// Writes down which ids are retired, as far as there is room. Their producers have been acknowledged everything that they sent.
    fn retire(&mut self, mut room: Option<&mut Room<'_>>) {
        if !self.shared.retiring.load(Ordering::Relaxed) {
            return;
        }
        let shared = self.shared.clone();
        shared.retiring.store(false, Ordering::Relaxed);
        let mut control = shared.control();
        if control.run != self.run {
            return;
        }
        while let Some(place) = control.directory.retiring() {
            let number = self.numbers.get(place).copied().unwrap_or(NONE);
            if number != NONE {
                if let Some(room) = &mut room {
                    if room.left() < HEAD {
                        // The rest has to wait for a tick with more room.
                        shared.retiring.store(true, Ordering::Relaxed);
                        return;
                    }
                    log::put_retired(room.log, number);
                }
                if let Some(producing) = self.table[number as usize].take() {
                    self.names.remove(&producing.id);
                }
                self.free.push(number);
                self.numbers[place] = NONE;
            }
            control.directory.retired();
        }
    }

    /// The producer's number in the log. A new one is named there first, if its name and `bytes` more fit; if not, says what they come to.
    fn number(&mut self, place: usize, bytes: usize, mut room: Option<&mut Room<'_>>) -> Result<u32, Polled> {
        let fits = |room: &Option<&mut Room<'_>>, bytes: usize| match room {
            Some(room) if bytes > room.left() => Err(Polled::Waits(bytes)),
            _ => Ok(()),
        };
        if let Some(&number) = self.numbers.get(place).filter(|number| **number != NONE) {
            return fits(&room, bytes).map(|()| number);
        }
        // Those that made way for it come first.
        self.retire(room.as_deref_mut());
        // Gone if another run of the job has begun.
        let known = self.shared.control().directory.get(place).cloned().ok_or(Polled::Open)?;
        let name = HEAD + known.id.len();
        fits(&room, name + bytes)?;
        if self.names.contains(&known.id) || self.free.is_empty() && self.table.len() == PRODUCERS_MAX {
            // They had no room. No more is asked for than the transaction needs, which is no more than there ever is: the next tick writes down
            // as many as fit into that.
            return Err(Polled::Waits(name + bytes));
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.table.push(None);
            self.table.len() as u32 - 1
        });
        if let Some(room) = room {
            log::put_name(room.log, number, &known.id);
        }
        self.names.insert(known.id.clone());
        set_number(&mut self.numbers, place, number);
        let id = known.id.clone();
        self.table[number as usize] =
            Some(Producing { id, last: 0, acknowledged: 0, used: Tick(0), known: Some(known) });
        Ok(number)
    }

    fn producing(&mut self, number: u32) -> &mut Producing {
        self.table[number as usize].as_mut().unwrap_or_else(|| panic!("producer number {number} has a name"))
    }

    fn note_pending(&mut self, tick: Tick, producer: u32, last: u64) {
        match self.pending.back_mut().filter(|back| back.tick == tick && back.producer == producer) {
            Some(back) => back.last = last,
            None => self.pending.push_back(Pending { tick, producer, last }),
        }
    }

    fn take_in(&mut self, poll: Poll, log: Option<&mut Vec<u8>>, out: &mut impl FnMut(T)) -> Polled {
        if !self.live {
            self.go_live();
        }
        let durable = log.is_some();
        let mut room = log.map(|log| {
            let end = log.len().saturating_add(poll.logged_max);
            Room { log, end }
        });
        self.retire(room.as_mut());
        let mut records = 0;
        while records < poll.records_max {
            let Some(&Head { producer, first, count, bytes }) = self.taken.heads.front() else {
                match self.refill(durable) {
                    Refilled::Some => continue,
                    Refilled::None => break,
                    Refilled::End => return Polled::Done,
                }
            };
            // A transaction is never divided; alone it may be larger than what was asked for.
            if records > 0 && records + count as usize > poll.records_max {
                break;
            }
            // Without room for it in the log it waits for a tick that has more.
            let number = match self.number(producer, HEAD + bytes, room.as_mut()) {
                Ok(number) => number,
                Err(polled) => return polled,
            };
            let taken = &mut self.taken;
            match &mut room {
                Some(room) => log::put_records(room.log, number, first, count, &mut taken.bytes, bytes),
                None => taken.bytes.take_slices(bytes, |_| ()),
            }
            taken.heads.pop_front();
            std::iter::from_fn(|| taken.records.pop_front()).take(count as usize).for_each(&mut *out);
            records += count as usize;
            let producing = self.producing(number);
            assert_eq!(producing.last + 1, first, "a producer's numbers have no gaps");
            producing.last += u64::from(count);
            producing.used = poll.tick;
            let last = producing.last;
            self.note_pending(poll.tick, number, last);
        }
        Polled::Open
    }

    /// Another producer, as the log has it or a checkpoint: under a number that is free.
    fn name(&mut self, producer: u32, id: &str) -> Result<&mut Producing, String> {
        let number = producer as usize;
        if number == self.table.len() && number < PRODUCERS_MAX {
            self.table.push(None);
        }
        let free = self.table.get(number).is_some_and(Option::is_none);
        if !free || id.is_empty() || id.len() > PRODUCER_ID_BYTES_MAX || self.names.contains(id) {
            return Err(format!("producer number {producer} cannot be `{id}`"));
        }
        let id: Arc<str> = id.into();
        self.names.insert(id.clone());
        let producing = Producing { id, last: 0, acknowledged: 0, used: Tick(0), known: None };
        Ok(self.table[number].insert(producing))
    }
}

fn set_number(numbers: &mut Vec<u32>, place: usize, number: u32) {
    if numbers.len() <= place {
        numbers.resize(place + 1, NONE);
    }
    numbers[place] = number;
}

impl<T: Record + Send> Partition for InletPartition<T> {
    type Item = T;

    fn count_in(&mut self, memory: &Arc<dyn Memory>) {
        let share = Share::one_in(INLET_SHARE, memory);
        self.shared.count_in(&share);
        self.taken.charge.begin(&share);
    }

    fn begin(&mut self, open: OpenContext) {
        self.is_rescale = open.is_rescale;
        let mut control = self.shared.control();
        if control.run == self.run {
            control.logged_max = open.logged_max;
        }
    }

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(T)) -> Polled {
        let polled = self.take_in(poll, None, out);
        // Nothing will be durable, and nobody will say so: what was taken in is all that there is to wait for.
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
                Entry::Retired { producer } => {
                    let retired = self.table.get_mut(producer as usize).and_then(Option::take);
                    let retired = retired
                        .ok_or_else(|| format!("producer number {producer} is retired, and has no name"))?;
                    self.names.remove(&retired.id);
                    continue;
                }
                Entry::Records { producer, first, count, records } => (producer, first, count, records),
            };
            let Some(producing) = self.table.get_mut(number as usize).and_then(Option::as_mut) else {
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
            producing.used = poll.tick;
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

    /// `| form u32 | producers u32 |`, and for each `| number u32 | last number u64 | tick of its last record u64 | len u32 | id |`, with
    /// numbers ascending.
    fn position(&mut self) -> Vec<u8> {
        let mut position = FORM.to_le_bytes().to_vec();
        position.extend_from_slice(&(self.names.len() as u32).to_le_bytes());
        for (number, producing) in self.table.iter().enumerate() {
            let Some(producing) = producing else { continue };
            position.extend_from_slice(&(number as u32).to_le_bytes());
            position.extend_from_slice(&producing.last.to_le_bytes());
            position.extend_from_slice(&producing.used.0.to_le_bytes());
            position.extend_from_slice(&(producing.id.len() as u32).to_le_bytes());
            position.extend_from_slice(producing.id.as_bytes());
        }
        position
    }

    fn resume(&mut self, _: u64, mut position: &[u8]) -> Result<(), String> {
        let rest = &mut position;
        let (form, producers) = (take_u32(rest)?, take_u32(rest)?);
        if form != FORM {
            return Err(format!(
                "the table of producers is of form {form}, and this program knows form {FORM}"
            ));
        }
        if producers as usize > PRODUCERS_MAX {
            return Err(format!("{producers} producers, of {PRODUCERS_MAX} at most"));
        }
        for _ in 0..producers {
            let number = take_u32(rest)?;
            let (last, used, len) = (take_u64(rest)?, take_u64(rest)?, take_u32(rest)?);
            if last == u64::MAX {
                return Err("a producer has used up its numbers".to_owned());
            }
            let id =
                std::str::from_utf8(take(rest, len as usize)?).map_err(|_| "a producer's name is no text")?;
            if (number as usize) < self.table.len() || number as usize >= PRODUCERS_MAX {
                return Err(format!("the table of producers has number {number} in a wrong place"));
            }
            // Those in between are free.
            self.table.resize_with(number as usize, || None);
            let producing = self.name(number, id)?;
            (producing.last, producing.acknowledged, producing.used) = (last, last, Tick(used));
        }
        if rest.is_empty() { Ok(()) } else { Err("the table of producers is longer than it says".to_owned()) }
    }

    fn refuse(&mut self) {
        self.refusing = true;
        self.shared.refuse(self.run);
    }

    fn holds(&self) -> bool {
        !self.taken.heads.is_empty() || self.shared.stripes.hold(self.run)
    }

    fn released(&mut self, through: Tick) {
        while let Some(Pending { producer, last, .. }) =
            self.pending.pop_front_if(|front| front.tick <= through)
        {
            let producing = self.producing(producer);
            producing.acknowledged = last;
            if let Some(known) = &producing.known {
                known.acknowledge(last);
            }
        }
    }
}

impl<T> Drop for InletPartition<T> {
    fn drop(&mut self) {
        // Whoever waits for a producer waits on, if another run goes on where this one was.
        self.shared.end(self.run, if self.is_rescale { Phase::Waiting } else { Phase::Ended });
    }
}
