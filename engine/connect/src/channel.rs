//! Records from the service that Pelton is embedded in.

use crate::bounds::{CHANNEL_SPARE_MAX, STRIPES};
use crate::ready::{Padded, Ready, Turns, next_batch};
use pelton_core::ingress::source::{FailureOfJob, Partition, Poll, Polled, Source};
use pelton_core::state::blocks::BlockQueue;
use pelton_runtime::JobFailure;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

/// What senders and the one partition share. The engine takes the lock of a queue once for a batch, a sender once for a record; it is held
/// for a push or a swap.
///
/// Not `crossbeam-channel`: that hands over one record at a time where the engine takes all that there is by swapping two queues, and its
/// receiver cannot be closed, with those woken who wait, and opened again for the next run.
struct ChannelQueues<T> {
    queues: Box<[Padded<Stripe<T>>]>,
    ready: Ready,
    /// Records of each queue.
    capacity: usize,
    /// Senders that there are, and that there ever were: they are dealt to the queues in turn.
    senders: AtomicUsize,
    made: AtomicUsize,
}

struct Stripe<T> {
    queue: Mutex<Queue<T>>,
    /// Signalled when the engine has made room, or will make none any more. One who has had room tells the next.
    room: Condvar,
}

struct Queue<T> {
    records: BlockQueue<T>,
    /// Senders that wait for room.
    waiting: usize,
    /// Whether the engine knows that there is something here.
    listed: bool,
    /// Whether a job that reads this channel has ended: what is sent would stay here.
    closed: bool,
    wake: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Says why the job has failed, if it has.
    failure: Option<FailureOfJob>,
}

impl<T> ChannelQueues<T> {
    fn lock(&self, stripe: usize) -> MutexGuard<'_, Queue<T>> {
        self.queues[stripe].0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self, stripe: usize) -> Option<MutexGuard<'_, Queue<T>>> {
        match self.queues[stripe].0.queue.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Changes every queue, one after the other.
    fn change(&self, mut change: impl FnMut(&mut Queue<T>)) {
        for stripe in 0..STRIPES {
            change(&mut self.lock(stripe));
            self.queues[stripe].0.room.notify_all();
        }
    }

    fn join(self: &Arc<Self>) -> Sender<T> {
        self.senders.fetch_add(1, Ordering::Relaxed);
        let stripe = self.made.fetch_add(1, Ordering::Relaxed) % STRIPES;
        Sender { shared: self.clone(), stripe }
    }
}

/// The reading end, a source of one partition; made by [`channel`].
pub struct Channel<T> {
    shared: Arc<ChannelQueues<T>>,
}

/// The writing end; a clone writes to the same channel. The channel ends when all of them are dropped.
///
/// Records of one sender stay in order, those of different ones come in any: a clone for each thread sends into a queue that it shares with few
/// others or none.
pub struct Sender<T> {
    shared: Arc<ChannelQueues<T>>,
    stripe: usize,
}

/// A record that was not sent, given back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The channel is full: the engine is behind.
    Full(T),
    /// The job has ended, or was stopped.
    Closed(T),
    /// The channel is full, and the call would wait for the engine on one of the engine's own threads: in a function of the job, which would then
    /// stand still.
    OnCore(T),
    /// The job has failed. Its own error is the source of this one.
    Failed(T, JobFailure),
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "the channel is full",
            SendError::Closed(_) => "the job that reads the channel has ended",
            SendError::OnCore(_) => {
                "the channel is full, and to wait on one of the engine's own threads would be to wait for itself: use `try_send` there, \
                 or send from another thread"
            }
            SendError::Failed(_, failure) => {
                return write!(f, "the job that reads the channel has failed: {failure}");
            }
        })
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
            SendError::Full(_) | SendError::Closed(_) | SendError::OnCore(_) => None,
            SendError::Failed(_, failure) => Some(failure.error()),
        }
    }
}

/// A bounded channel into a job, for services that embed the engine: any thread may send. At most `capacity` records wait for the engine in each
/// of 64 queues that senders are spread over, so one sender has so many waiting at most.
///
/// It is not durable: a job with durability refuses it, and takes an [`inlet`](crate::inlet::inlet) instead. A job with it can be recorded, but a replay
/// needs the records from elsewhere. At `Stop::Drain` the engine refuses what is sent from then on, and ends with everything that was sent
/// before; at `Stop::Now`, and at `Stop::Suspend`, what it has not taken is lost.
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
    let queue = || {
        // The capacity is a bound and may be any number: queues grow as they are used.
        let records = BlockQueue::with_spare(CHANNEL_SPARE_MAX);
        Mutex::new(Queue { records, waiting: 0, listed: false, closed: false, wake: None, failure: None })
    };
    let stripe = |_| Padded(Stripe { queue: queue(), room: Condvar::new() });
    let shared = Arc::new(ChannelQueues {
        queues: (0..STRIPES).map(stripe).collect(),
        ready: Ready::default(),
        capacity,
        senders: AtomicUsize::new(0),
        made: AtomicUsize::new(0),
    });
    (shared.join(), Channel { shared })
}

impl<T> Sender<T> {
    /// Sends a record, or gives it back at once. Wakes the engine where it sleeps.
    ///
    /// # Errors
    /// When the channel is full, in which case it is for the service to say what gives, or when the job has ended.
    pub fn try_send(&self, record: T) -> Result<(), SendError<T>> {
        self.push(self.shared.lock(self.stripe), record)
    }

    /// Sends a record, sleeping while the channel is full.
    ///
    /// # Errors
    /// When the job has ended, and where it would have to wait on one of the engine's own threads.
    pub fn send(&self, record: T) -> Result<(), SendError<T>> {
        let mut queue = self.shared.lock(self.stripe);
        let full = |queue: &Queue<T>| queue.records.len() >= self.shared.capacity && !queue.closed;
        let room = &self.shared.queues[self.stripe].0.room;
        if full(&queue) {
            if pelton_runtime::on_core() {
                return Err(SendError::OnCore(record));
            }
            queue.waiting += 1;
            queue = room.wait_while(queue, |queue| full(queue)).unwrap_or_else(PoisonError::into_inner);
            queue.waiting -= 1;
            if queue.waiting > 0 && queue.records.len() + 1 < self.shared.capacity {
                room.notify_one();
            }
        }
        self.push(queue, record)
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
        queue.records.push_back(record);
        if !std::mem::replace(&mut queue.listed, true) {
            self.shared.ready.list(self.stripe);
            let wake = queue.wake.clone();
            drop(queue);
            if let Some(wake) = wake {
                wake();
            }
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.join()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::Release) == 1 {
            let wake = self.shared.lock(self.stripe).wake.clone();
            if let Some(wake) = wake {
                wake();
            }
        }
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
        self.shared.change(|queue| (queue.closed, queue.failure) = (false, None));
        let taken = BlockQueue::with_spare(CHANNEL_SPARE_MAX);
        // What an earlier run left is listed nowhere.
        (0..STRIPES).for_each(|stripe| self.shared.ready.list(stripe));
        ChannelPartition { shared: self.shared.clone(), taken, turns: Turns::default() }
    }

    fn kind(&self) -> Cow<'static, str> {
        "a channel".into()
    }

    fn is_replayable(&self) -> bool {
        false
    }

    fn attach(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.shared.change(|queue| queue.wake = Some(wake.clone()));
        // What came before found nobody to ring for.
        wake();
    }

    fn attach_failure(&self, failure: FailureOfJob) {
        self.shared.change(|queue| queue.failure = Some(failure.clone()));
    }
}

/// The one partition of a [`Channel`].
pub struct ChannelPartition<T> {
    shared: Arc<ChannelQueues<T>>,
    /// A batch of a queue's; its storage and the queue's change places.
    taken: BlockQueue<T>,
    /// The queues that there is something in, as far as is known.
    turns: Turns,
}

impl<T: Send + 'static> ChannelPartition<T> {
    /// Takes what is in one of the queues; whether there is anything, or will never be.
    fn refill(&mut self) -> Option<Polled> {
        // Before the queues: what was sent by those who are gone is in them by then.
        let over = self.shared.senders.load(Ordering::Acquire) == 0;
        let (shared, taken) = (&self.shared, &mut self.taken);
        self.turns.refill(&shared.ready);
        let refilled = next_batch(
            &mut self.turns,
            |stripe| shared.try_lock(stripe),
            |stripe| shared.lock(stripe),
            |stripe, mut queue| {
                queue.listed = false;
                std::mem::swap(&mut queue.records, taken);
                let waiting = queue.waiting > 0;
                drop(queue);
                if waiting {
                    shared.queues[stripe].0.room.notify_one();
                }
                (!taken.is_empty()).then_some(())
            },
        );
        match refilled {
            Some(()) => None,
            None if over => Some(Polled::Done),
            None => Some(Polled::Open),
        }
    }
}

impl<T: Send + 'static> Partition for ChannelPartition<T> {
    type Item = T;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(T)) -> Polled {
        let mut left = poll.records_max;
        while left > 0 {
            let Some(record) = self.taken.pop_front() else {
                if let Some(polled) = self.refill() {
                    return polled;
                }
                continue;
            };
            out(record);
            left -= 1;
        }
        Polled::Open
    }

    fn refuse(&mut self) {
        self.shared.change(|queue| queue.closed = true);
    }

    fn holds(&self) -> bool {
        !self.taken.is_empty() || (0..STRIPES).any(|stripe| !self.shared.lock(stripe).records.is_empty())
    }
}

impl<T> Drop for ChannelPartition<T> {
    fn drop(&mut self) {
        self.shared.change(|queue| queue.closed = true);
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
