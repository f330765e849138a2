//! Records from the service that Pelton is embedded in.

use pelton_core::source::{Partition, Poll, Polled, Source};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Locked queue ends, shared by senders and the one partition. The lock is taken once per batch by the engine, and once per record by a
/// sender; it is held for a push or a swap.
struct Shared<T> {
    queue: Mutex<Queue<T>>,
    capacity: usize,
    wake: OnceLock<Arc<dyn Fn() + Send + Sync>>,
}

struct Queue<T> {
    records: Vec<T>,
    senders: usize,
}

/// The reading end, a source of one partition; made by [`channel`].
pub struct Channel<T> {
    shared: Arc<Shared<T>>,
}

/// The writing end; a clone writes to the same channel. The channel ends when all of them are dropped.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The channel holds `capacity` records already; here is the one that did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrySendError<T>(pub T);

/// A bounded channel into a job, for services that embed the engine: any thread may send.
///
/// Not replayable: a job with it can be recorded, but a replay needs the records from elsewhere.
///
/// ```
/// use pelton::prelude::*;
///
/// let (orders, source) = channel(1_024);
/// let total = fold(0u64, |sum, price| *sum += price, |a, b| a + b);
/// let running = Job::new("orders").source(source).sink(total.clone()).start(&Config::default())?;
/// for price in [5, 7] {
///     orders.send(price);
/// }
/// drop(orders);
/// running.wait()?;
/// assert_eq!(total.take(), 12);
/// # Ok::<(), pelton::JobError>(())
/// ```
///
/// # Panics
/// When the capacity is 0.
pub fn channel<T: Send + 'static>(capacity: usize) -> (Sender<T>, Channel<T>) {
    assert!(capacity > 0, "a channel without room");
    let queue = Mutex::new(Queue { records: Vec::with_capacity(capacity), senders: 1 });
    let shared = Arc::new(Shared { queue, capacity, wake: OnceLock::new() });
    (Sender { shared: shared.clone() }, Channel { shared })
}

impl<T> Sender<T> {
    /// Sends a record, or gives it back when the channel is full. Wakes the engine where it sleeps.
    ///
    /// # Errors
    /// When the channel is full: the engine is behind, and it is for the service to say what gives.
    pub fn try_send(&self, record: T) -> Result<(), TrySendError<T>> {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.records.len() >= self.shared.capacity {
            return Err(TrySendError(record));
        }
        queue.records.push(record);
        drop(queue);
        self.wake();
        Ok(())
    }

    /// Sends a record, waiting while the channel is full.
    pub fn send(&self, record: T) {
        let mut record = record;
        while let Err(TrySendError(back)) = self.try_send(record) {
            record = back;
            std::thread::yield_now();
        }
    }

    fn wake(&self) {
        if let Some(wake) = self.shared.wake.get() {
            wake();
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).senders -= 1;
        self.wake();
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
        ChannelPartition { shared: self.shared.clone(), taken: Vec::new().into_iter() }
    }

    fn attach(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        // A job that is started again keeps the first; the doorbell of a job that has ended wakes nobody.
        let _ = self.shared.wake.set(wake);
    }
}

/// The one partition of a [`Channel`].
pub struct ChannelPartition<T> {
    shared: Arc<Shared<T>>,
    taken: std::vec::IntoIter<T>,
}

impl<T: Send + 'static> Partition for ChannelPartition<T> {
    type Item = T;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(T)) -> Polled {
        for _ in 0..poll.records_max {
            let Some(record) = self.taken.next() else {
                let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if queue.records.is_empty() {
                    return if queue.senders == 0 { Polled::Done } else { Polled::Open };
                }
                let empty = Vec::with_capacity(self.shared.capacity);
                self.taken = std::mem::replace(&mut queue.records, empty).into_iter();
                continue;
            };
            out(record);
        }
        Polled::Open
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
