//! Those who send.

use super::known::Known;
use super::log::{HEAD, RECORD_HEAD};
use super::shared::{Control, InletState};
use super::stripe::{Head, Queue, Stripes, bytes_of};
use super::{Inlet, InletError, TRANSACTION_BYTES_MAX, Transaction, TrySendError};
use pelton_core::record::heap::owned;
use pelton_core::record::rows::encode_one;
use pelton_core::{Fault, Record};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One sender of records, who numbers them; made by [`Inlet::producer`](super::Inlet::producer). There is one of each id at a time; dropped,
/// it can be made again, and goes on.
///
/// A service that must lose nothing keeps each record with its number until it is [acknowledged](Self::acknowledged), and after a
/// restart [sends it again](Self::send_numbered) under that number.
///
/// Producers on different threads hardly meet: each sends into a queue that it shares with few others or none.
pub struct Producer<T> {
    shared: Arc<InletState<T>>,
    known: Arc<Known>,
    run: u64,
    /// Its id is as if it had never been.
    retired: bool,
    /// The most bytes of a transaction.
    bytes_max: usize,
    /// The records in hand, in the form of the log, and what they own on the heap.
    pub(super) bytes: Vec<u8>,
    own: usize,
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
    /// The producer `id`, for which a run is there that is live.
    pub(super) fn register(
        shared: &Arc<InletState<T>>,
        control: &mut Control,
        id: &str,
    ) -> Result<Self, InletError> {
        let (known, retires) = control.directory.hold(id, control.producers_max)?;
        if retires {
            shared.retiring.store(true, Ordering::Release);
        }
        shared.join();
        // With its first transaction goes its name.
        let bytes_max = control.logged_max.saturating_sub(HEAD + id.len()).min(TRANSACTION_BYTES_MAX);
        let shared = shared.clone();
        let (run, bytes) = (control.run, Vec::new());
        Ok(Producer { shared, known, run, retired: false, bytes_max, bytes, own: 0 })
    }

    /// A handle to its inlet.
    pub fn inlet(&self) -> Inlet<T> {
        Inlet::of(&self.shared)
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
        self.queue().check(self.run)?;
        Ok(self.known.last() + 1)
    }

    /// Sends a record and returns its number, sleeping while the inlet is full.
    ///
    /// # Errors
    /// When the job has ended or was started again, the input is closed, or the record is too large; and where it would have to wait for the
    /// engine on one of the engine's own threads.
    pub fn send(&mut self, record: T) -> Result<u64, InletError> {
        self.clear();
        self.encode(&record)?;
        self.push(1, [record])
    }

    /// Sends a record and returns its number, or gives the record back at once.
    ///
    /// # Errors
    /// When the inlet is full, or the job's memory, in which case it is for the service to say what gives, and as for [`send`](Self::send).
    pub fn try_send(&mut self, record: T) -> Result<u64, TrySendError<T>> {
        self.clear();
        if let Err(error) = self.encode(&record) {
            return Err(TrySendError::Failed(record, error));
        }
        let (mut queue, bytes) = (self.queue(), self.bytes_in_hand(1));
        if let Err(error) = queue.check(self.run) {
            return Err(TrySendError::Failed(record, error));
        }
        if !queue.has_room(1, bytes, self.shared.capacity, &self.known) {
            return Err(TrySendError::Full(record));
        }
        Ok(self.enter(queue, 1, [record]))
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
        self.clear();
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

    /// The records with numbers through this one are as durable as the job's `durability` promises: the producer may forget them.
    pub fn acknowledged(&self) -> u64 {
        self.known.acknowledged()
    }

    /// Waits until the records through `sequence` are durable.
    ///
    /// # Errors
    /// When they do not within `longest`, or the job has ended first: then they may be durable or not, and are to be sent again. And where it would
    /// have to wait on one of the engine's own threads.
    pub fn wait_acknowledged(&self, sequence: u64, longest: Duration) -> Result<(), InletError> {
        if self.known.wait(sequence, Instant::now().checked_add(longest))? {
            return Ok(());
        }
        let same = self.shared.control().run == self.run;
        Err(if same { self.shared.ended() } else { InletError::Restarted })
    }

    /// Gives up the producer's id, once everything that it has sent is acknowledged, for which it waits: the inlet forgets it, and it takes up no
    /// room any more. A producer of this id that is made later begins at 1, like one that has never been.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let (orders, source) = inlet::<i64>(1_024);
    /// let running = Job::new("orders").source(source).sink(for_each(drop)).start()?;
    /// for session in 0..100_000 {
    ///     let mut producer = orders.producer(&format!("session-{session}"))?;
    ///     producer.send(session)?;
    /// #   if session > 20 { break }
    ///     producer.retire(Duration::from_secs(10))?;
    /// }
    /// orders.close();
    /// running.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`wait_acknowledged`](Self::wait_acknowledged); the id is known then as before.
    pub fn retire(mut self, longest: Duration) -> Result<(), InletError> {
        self.wait_acknowledged(self.known.last(), longest)?;
        let mut control = self.shared.control();
        if control.run != self.run {
            return Err(InletError::Restarted);
        }
        control.directory.retire(self.known.place);
        self.shared.retiring.store(true, Ordering::Release);
        drop(control);
        self.retired = true;
        self.shared.stripes.wake();
        Ok(())
    }

    /// No record is in hand.
    fn clear(&mut self) {
        self.bytes.clear();
        self.own = 0;
    }

    /// What the `count` records in hand take in a queue.
    fn bytes_in_hand(&self, count: usize) -> usize {
        bytes_of::<T>(count, self.own, self.bytes.len())
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
        self.own += owned(record);
        Ok(())
    }

    /// Whether the engine has the `count` records from `first` on, all of which it then drops; if not, they are the next.
    pub(super) fn has(&mut self, first: u64, count: usize) -> Result<bool, InletError> {
        let mut queue = self.queue();
        queue.check(self.run)?;
        let known = self.known.last();
        let last = first.saturating_add(count as u64 - 1);
        if first == 0 || first > known + 1 {
            return Err(InletError::Gap { expected: known + 1, found: first });
        }
        if first <= known && last > known {
            return Err(InletError::Divided { first, last, known });
        }
        let duplicate = last <= known;
        if duplicate {
            queue.counts.duplicates += count as u64;
        }
        Ok(duplicate)
    }

    /// Sends the records in hand when there is room; returns the number of the last.
    pub(super) fn push(
        &mut self,
        count: usize,
        records: impl IntoIterator<Item = T>,
    ) -> Result<u64, InletError> {
        let mut queue = self.queue();
        if count == 0 {
            return queue.check(self.run).map(|()| self.known.last());
        }
        let (mut waits, bytes) = (false, self.bytes_in_hand(count));
        loop {
            let mut checked = queue.check(self.run);
            let room = queue.has_room(count, bytes, self.shared.capacity, &self.known);
            if checked.is_ok() && !room && pelton_runtime::on_core() {
                checked = Err(InletError::OnCore);
            }
            if checked.is_err() || room {
                if waits {
                    queue.leave_line(&self.known);
                }
                return checked.map(|()| self.enter(queue, count, records));
            }
            if !waits {
                waits = true;
                queue.line.push_back(self.known.clone());
            }
            queue = self.known.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn enter(
        &self,
        queue: MutexGuard<'_, Queue<T>>,
        count: usize,
        records: impl IntoIterator<Item = T>,
    ) -> u64 {
        let (producer, before) = (self.known.place, self.known.last());
        let head = Head { producer, first: before + 1, count: count as u32, bytes: self.bytes.len() };
        let last = before + count as u64;
        self.known.last.store(last, Ordering::Relaxed);
        self.shared.stripes.enter(queue, head, records, &self.bytes, self.own, self.shared.capacity);
        last
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.shared.stripes.lock(Stripes::<T>::of(self.known.place))
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        let mut control = self.shared.control();
        if control.run == self.run && !self.retired {
            control.directory.release(self.known.place);
        }
        drop(control);
        self.shared.leave();
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("id", &self.known.id).finish_non_exhaustive()
    }
}
