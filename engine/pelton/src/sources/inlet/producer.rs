//! Those who send.

use super::log::{HEAD, RECORD_HEAD};
use super::shared::{Head, Known, Shared, State, UnlockAndWake};
use super::{InletError, PRODUCERS_MAX, TRANSACTION_BYTES_MAX, Transaction, TrySendError};
use pelton_core::rows::encode_one;
use pelton_core::{Fault, Record};
use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// One sender of records, who numbers them; made by [`Inlet::producer`](super::Inlet::producer). There is one of each id at a time; dropped,
/// it can be made again, and goes on.
///
/// A service that must lose nothing keeps each record with its number until it is [acknowledged](Self::acknowledged), and after a
/// restart [sends it again](Self::send_numbered) under that number.
pub struct Producer<T> {
    pub(super) shared: Arc<Shared<T>>,
    id: Arc<str>,
    /// Its place in the table.
    place: usize,
    run: u64,
    /// The most bytes of a transaction.
    bytes_max: usize,
    /// The records in hand, in the form of the log.
    pub(super) bytes: Vec<u8>,
}

/// What came of a record that was sent under a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    New,
    /// The engine has it, or another one of that number, and it was dropped.
    Duplicate,
}

impl<T: Record + Send> Producer<T> {
    pub(super) fn register(
        shared: &Arc<Shared<T>>,
        state: &mut State<T>,
        id: &str,
    ) -> Result<Self, InletError> {
        let place = match state.by_id.get(id) {
            Some(place) => *place,
            None if state.producers.len() >= PRODUCERS_MAX => return Err(InletError::TooMany),
            None => {
                let id: Arc<str> = id.into();
                state.by_id.insert(id.clone(), state.producers.len());
                state.producers.push(Known { id, last: 0, acknowledged: 0, in_use: false });
                state.producers.len() - 1
            }
        };
        let known = &mut state.producers[place];
        if known.in_use {
            return Err(InletError::InUse { id: id.to_owned() });
        }
        known.in_use = true;
        let id = known.id.clone();
        state.handles += 1;
        // With its first transaction goes its name.
        let bytes_max = state.logged_max.saturating_sub(HEAD + id.len()).min(TRANSACTION_BYTES_MAX);
        Ok(Producer { shared: shared.clone(), id, place, run: state.run, bytes_max, bytes: Vec::new() })
    }

    /// The most bytes that a transaction of this producer may have, counted as for
    /// [`TRANSACTION_BYTES_MAX`]: less than that if the segments of the job's log are small.
    pub fn transaction_bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The number that the next record gets: one more than the last that was sent, or, after a restart of the process, than the last that
    /// the engine has.
    ///
    /// # Errors
    /// When the job has ended, or was started again.
    pub fn next_sequence(&self) -> Result<u64, InletError> {
        let state = self.shared.lock();
        state.check(self.run)?;
        Ok(state.producers[self.place].last + 1)
    }

    /// Sends a record and returns its number, sleeping while the inlet is full.
    ///
    /// # Errors
    /// When the job has ended or was started again, or the record is too large.
    pub fn send(&mut self, record: T) -> Result<u64, InletError> {
        self.bytes.clear();
        self.encode(&record)?;
        self.push(1, [record])
    }

    /// Sends a record and returns its number, or gives the record back at once.
    ///
    /// # Errors
    /// When the inlet is full, in which case it is for the service to say what gives, and as for [`send`](Self::send).
    pub fn try_send(&mut self, record: T) -> Result<u64, TrySendError<T>> {
        self.bytes.clear();
        if let Err(error) = self.encode(&record) {
            return Err(TrySendError::Failed(record, error));
        }
        let state = self.shared.lock();
        if let Err(error) = state.check(self.run) {
            return Err(TrySendError::Failed(record, error));
        }
        if !state.has_room(1, self.shared.capacity, None) {
            return Err(TrySendError::Full(record));
        }
        Ok(self.enter(state, 1, [record]))
    }

    /// Sends a record under a number: a new one under the next, or one that may have been sent before under its own. Sleeps as `send` does.
    ///
    /// # Errors
    /// When numbers before it are missing, and as for [`send`](Self::send).
    pub fn send_numbered(&mut self, sequence: u64, record: T) -> Result<Sent, InletError> {
        if self.has(sequence, 1)? {
            return Ok(Sent::Duplicate);
        }
        self.send(record).map(|_| Sent::New)
    }

    /// Begins a transaction. Nothing of it leaves the producer before its commit.
    pub fn begin(&mut self) -> Transaction<'_, T> {
        self.bytes.clear();
        Transaction::new(self)
    }

    /// Sends records as one transaction, and returns the number of the last.
    ///
    /// # Errors
    /// As for [`Transaction::commit`].
    pub fn send_all(&mut self, records: impl IntoIterator<Item = T>) -> Result<u64, InletError> {
        let mut transaction = self.begin();
        records.into_iter().for_each(|record| transaction.send(record));
        transaction.commit()
    }

    /// The records with numbers through this one survive what the job's durability promises: the producer may forget them.
    pub fn acknowledged(&self) -> u64 {
        let state = self.shared.lock();
        if state.run == self.run { state.producers[self.place].acknowledged } else { 0 }
    }

    /// Waits until the records through `sequence` survive.
    ///
    /// # Errors
    /// When they do not within `longest`, or the job has ended first: then they may survive or not, and are to be sent again.
    pub fn wait_acknowledged(&self, sequence: u64, longest: Duration) -> Result<(), InletError> {
        let end = Instant::now().checked_add(longest);
        let mut state = self.shared.lock();
        loop {
            if state.run == self.run && state.producers[self.place].acknowledged >= sequence {
                return Ok(());
            }
            state.check(self.run)?;
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(InletError::TimedOut);
            }
            state = self.shared.wait(&self.shared.acknowledged, state, left);
        }
    }

    /// Appends a record to those in hand; on an error they are what they were.
    pub(super) fn encode(&mut self, record: &T) -> Result<(), InletError> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; RECORD_HEAD]);
        if let Err(fault) = encode_one(&mut self.bytes, record) {
            self.bytes.truncate(start);
            return Err(match fault {
                Fault::Unarchivable { record } => InletError::Unarchivable { record },
                other => unreachable!("archiving a record: {other}"),
            });
        }
        let bytes = HEAD + self.bytes.len();
        if bytes > self.bytes_max {
            self.bytes.truncate(start);
            return Err(InletError::TooLarge { bytes, largest: self.bytes_max });
        }
        let len = (self.bytes.len() - start - RECORD_HEAD) as u32;
        self.bytes[start..start + RECORD_HEAD].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    /// Whether the engine has the `count` records from `first` on, all of which it then drops; if not, they are the next.
    pub(super) fn has(&mut self, first: u64, count: usize) -> Result<bool, InletError> {
        let mut state = self.shared.lock();
        state.check(self.run)?;
        let known = state.producers[self.place].last;
        let last = first.saturating_add(count as u64 - 1);
        if first == 0 || first > known + 1 {
            return Err(InletError::Gap { expected: known + 1, found: first });
        }
        if first <= known && last > known {
            return Err(InletError::Divided { first, last, known });
        }
        let duplicate = last <= known;
        if duplicate {
            state.counts.duplicates += count as u64;
        }
        Ok(duplicate)
    }

    /// Sends the records in hand when there is room; returns the number of the last.
    pub(super) fn push(
        &mut self,
        count: usize,
        records: impl IntoIterator<Item = T>,
    ) -> Result<u64, InletError> {
        let mut state = self.shared.lock();
        let mut waits = None;
        loop {
            let checked = state.check(self.run);
            let room = state.has_room(count, self.shared.capacity, waits);
            if checked.is_err() || room {
                if let Some(me) = waits {
                    state.leave_line(me);
                    // There may be room for the one behind, too.
                    self.shared.room.notify_all();
                }
                return checked.map(|()| self.enter(state, count, records));
            }
            waits = Some(waits.unwrap_or_else(|| state.join_line()));
            state = self.shared.wait(&self.shared.room, state, Duration::MAX);
        }
    }

    fn enter(
        &self,
        mut guard: MutexGuard<'_, State<T>>,
        count: usize,
        records: impl IntoIterator<Item = T>,
    ) -> u64 {
        let state = &mut *guard;
        let known = &mut state.producers[self.place];
        let head = Head {
            producer: self.place,
            first: known.last + 1,
            count: count as u32,
            bytes: self.bytes.len(),
        };
        known.last += count as u64;
        let last = known.last;
        if count > 0 {
            let before = state.batch.records.len();
            state.batch.records.extend(records);
            assert_eq!(
                state.batch.records.len() - before,
                count,
                "a transaction has the records that it counted"
            );
            state.batch.bytes.extend_from_slice(&self.bytes);
            state.batch.heads.push_back(head);
            state.counts.sent += count as u64;
            state.counts.transactions += 1;
            guard.unlock_and_wake();
        }
        last
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.run == self.run {
            state.producers[self.place].in_use = false;
        }
        drop(state);
        self.shared.leave();
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("id", &self.id).finish_non_exhaustive()
    }
}
