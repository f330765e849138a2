//! Records from the service that Pelton is embedded in.

use crate::error::JobFailure;
use pelton_core::source::{FailureOfJob, Partition, Poll, Polled, Source};
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// What senders and the one partition share. The engine takes the lock once for a batch, a sender once for a record; it is held for a
/// push or a swap.
struct Shared<T> {
    queue: Mutex<Queue<T>>,
    /// Signalled when the engine has made room, or will make none any more.
    room: Condvar,
    capacity: usize,
    wake: OnceLock<Arc<dyn Fn() + Send + Sync>>,
}

struct Queue<T> {
    records: Vec<T>,
    senders: usize,
    /// Whether a job that reads this channel has ended: what is sent would stay here.
    closed: bool,
    /// Says why the job has failed, if it has.
    failure: Option<FailureOfJob>,
}

impl<T> Shared<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }
}

/// The reading end, a source of one partition; made by [`channel`].
pub struct Channel<T> {
    shared: Arc<Shared<T>>,
}

/// The writing end; a clone writes to the same channel. The channel ends when all of them are dropped.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A record that was not sent, given back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The channel is full: the engine is behind.
    Full(T),
    /// The job has ended, or was stopped.
    Closed(T),
    /// The job has failed. Its own error is the source of this one.
    Failed(T, JobFailure),
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Full(_) => f.write_str("the channel is full"),
            SendError::Closed(_) => f.write_str("the job that reads the channel has ended"),
            SendError::Failed(_, failure) => {
                write!(f, "the job that reads the channel has failed: {failure}")
            }
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T> Error for SendError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SendError::Full(_) | SendError::Closed(_) => None,
            SendError::Failed(_, failure) => Some(failure.error()),
        }
    }
}

/// A bounded channel into a job, for services that embed the engine: any thread may send.
///
/// It does not survive: a job with durability refuses it, and takes an [`inlet`](super::inlet) instead. A job with it can be recorded, but a replay
/// needs the records from elsewhere. At `Stop::Now` and `Stop::Drain` what the
/// engine has not taken is lost; drop the senders instead, and the job ends with everything that was sent.
///
/// ```
/// use pelton::prelude::*;
///
/// let (orders, source) = channel(1_024);
/// let total = fold(0u64, |sum, price| *sum += price, |a, b| a + b);
/// let running = Job::new("orders").source(source).sink(total.clone()).start()?;
/// for price in [5, 7] {
///     orders.send(price)?;
/// }
/// drop(orders);
/// running.wait()?;
/// assert_eq!(total.take(), 12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
/// When the capacity is 0.
pub fn channel<T: Send + 'static>(capacity: usize) -> (Sender<T>, Channel<T>) {
    assert!(capacity > 0, "a channel without room");
    let queue = Queue { records: Vec::with_capacity(capacity), senders: 1, closed: false, failure: None };
    let shared = Shared { queue: Mutex::new(queue), room: Condvar::new(), capacity, wake: OnceLock::new() };
    let shared = Arc::new(shared);
    (Sender { shared: shared.clone() }, Channel { shared })
}

impl<T> Sender<T> {
    /// Sends a record, or gives it back at once. Wakes the engine where it sleeps.
    ///
    /// # Errors
    /// When the channel is full, in which case it is for the service to say what gives, or when the job has ended.
    pub fn try_send(&self, record: T) -> Result<(), SendError<T>> {
        self.push(self.shared.queue(), record)
    }

    /// Sends a record, sleeping while the channel is full.
    ///
    /// # Errors
    /// When the job has ended.
    pub fn send(&self, record: T) -> Result<(), SendError<T>> {
        let full = |queue: &mut Queue<T>| queue.records.len() >= self.shared.capacity && !queue.closed;
        let queue = self.shared.room.wait_while(self.shared.queue(), full);
        self.push(queue.unwrap_or_else(PoisonError::into_inner), record)
    }

    fn push(&self, mut queue: MutexGuard<'_, Queue<T>>, record: T) -> Result<(), SendError<T>> {
        if queue.closed {
            let failure = queue.failure.as_ref().and_then(|failure| failure());
            return Err(match failure {
                Some(error) => SendError::Failed(record, JobFailure::new(error)),
                None => SendError::Closed(record),
            });
        }
        if queue.records.len() >= self.shared.capacity {
            return Err(SendError::Full(record));
        }
        queue.records.push(record);
        drop(queue);
        self.shared.wake();
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.queue().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.queue().senders -= 1;
        self.shared.wake();
    }
}

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Self {
        Channel { shared: self.shared.clone() }
    }
}

impl<T: Send + 'static> Source for Channel<T> {
    type Item = T;
    type Partition = ChannelPartition<T>;

    fn partitions(&self, _: usize) -> usize {
        1
    }

    fn open(&self, _: usize, _: usize) -> ChannelPartition<T> {
        let mut queue = self.shared.queue();
        (queue.closed, queue.failure) = (false, None);
        drop(queue);
        let taken = Vec::with_capacity(self.shared.capacity);
        ChannelPartition { shared: self.shared.clone(), taken }
    }

    fn survives(&self) -> bool {
        false
    }

    fn attach(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        // A job that is started again keeps the first: it is then polled, at the least every `idle.park_us`.
        let _ = self.shared.wake.set(wake);
    }

    fn attach_failure(&self, failure: FailureOfJob) {
        self.shared.queue().failure = Some(failure);
    }
}

/// The one partition of a [`Channel`].
pub struct ChannelPartition<T> {
    shared: Arc<Shared<T>>,
    /// A batch of the queue's, the last record first; its storage and the queue's change places.
    taken: Vec<T>,
}

impl<T: Send + 'static> Partition for ChannelPartition<T> {
    type Item = T;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(T)) -> Polled {
        let mut left = poll.records_max;
        while left > 0 {
            let Some(record) = self.taken.pop() else {
                let mut queue = self.shared.queue();
                if queue.records.is_empty() {
                    return if queue.senders == 0 { Polled::Done } else { Polled::Open };
                }
                std::mem::swap(&mut queue.records, &mut self.taken);
                drop(queue);
                self.shared.room.notify_all();
                self.taken.reverse();
                continue;
            };
            out(record);
            left -= 1;
        }
        Polled::Open
    }
}

impl<T> Drop for ChannelPartition<T> {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.room.notify_all();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("capacity", &self.shared.capacity).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("capacity", &self.shared.capacity).finish_non_exhaustive()
    }
}
