//! Several records that enter together.

use super::{InletError, Producer, Sent};
use pelton_core::Record;
use std::fmt;

/// Records that enter the job in one tick, all or none, on whatever shards they end up; made by [`Producer::begin`].
///
/// They are kept at the producer until [`commit`](Self::commit). Dropped before, or lost with the process, the transaction leaves no trace.
#[must_use = "a transaction that is not committed leaves no trace"]
pub struct Transaction<'a, T> {
    producer: &'a mut Producer<T>,
    records: Vec<T>,
    /// The first thing that went wrong; said at the commit.
    error: Option<InletError>,
}

impl<'a, T: Record + Send> Transaction<'a, T> {
    pub(super) fn new(producer: &'a mut Producer<T>) -> Self {
        Transaction { producer, records: Vec::new(), error: None }
    }

    /// Adds a record. What is wrong with it is said at the commit.
    pub fn send(&mut self, record: T) {
        if self.error.is_none() {
            match self.producer.encode(&record) {
                Ok(()) => self.records.push(record),
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// What is wrong with it so far, and will be said at the commit: a long transaction that has become too large need not be completed.
    pub fn error(&self) -> Option<&InletError> {
        self.error.as_ref()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Sends the records, which are numbered one after the other, and returns the number of the last. Sleeps while the inlet is full; a
    /// transaction larger than the inlet waits until that is empty. Of an empty transaction nothing is sent.
    ///
    /// # Errors
    /// When it is larger than [any may be](Producer::transaction_bytes_max), a record cannot be archived, or the job has ended or was
    /// started again.
    pub fn commit(mut self) -> Result<u64, InletError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.producer.push(self.records.len(), std::mem::take(&mut self.records))
    }

    /// As [`commit`](Self::commit), the first record having the number `first`: the next one, or, if the same transaction may have been sent
    /// before, the one that it had then.
    ///
    /// # Errors
    /// When numbers before it are missing, or it is another transaction than was sent under these numbers, and as for `commit`.
    pub fn commit_numbered(mut self, first: u64) -> Result<Sent, InletError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if self.records.is_empty() || self.producer.has(first, self.records.len())? {
            return Ok(Sent::Duplicate);
        }
        self.commit().map(|_| Sent::New)
    }

    /// Forgets the records, as dropping the transaction does.
    pub fn abort(self) {}
}

impl<T> fmt::Debug for Transaction<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("records", &self.records.len()).finish_non_exhaustive()
    }
}
