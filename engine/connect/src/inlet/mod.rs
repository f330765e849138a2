//! Records of a service that must not be lost: numbered by their producers, logged whole, acknowledged once they are durable.
//!
//! A [`Producer`] numbers its records 1, 2, 3 and so on, under an id of the caller's choosing. The engine keeps the last number of each
//! id with its state, so after a restart [`Producer::next_sequence`] says where to go on, and a record sent again under a number that the
//! engine has is dropped. A [`Transaction`] enters in one tick: all of its records take effect together, on all shards, or none does.
//!
//! A record goes through these steps:
//!
//! 1. sent: archived on the producer's thread, and put in the inlet, which is bounded
//! 2. taken in: its tick is given, its bytes are copied to the shard's log, the record itself goes on into the job
//! 3. acknowledged: the log of every shard is durable through that tick ([`Producer::acknowledged`])
//!
//! What is not acknowledged when the process dies may or may not be in the log; the producer sends it again under the same numbers, and
//! each record counts once. A job without durability acknowledges when it takes in.
//!
//! Only [`Inlet::close`] ends the input of a job with durability: a service that panics, or forgets a handle, has not said that there will never
//! be more.
//!
//! Costs: an archived copy of each record, a lock for each send that few others or none want, and one for each batch on the engine's side.

mod error;
mod known;
mod log;
mod partition;
mod producer;
mod shared;
mod stripe;
mod transaction;

#[cfg(test)]
mod tests;

pub use error::{InletError, TrySendError};
pub use partition::InletPartition;
pub use producer::{Producer, Sent};
pub use stripe::InletCounts;
pub use transaction::Transaction;

pub use crate::bounds::{PRODUCER_ID_BYTES_MAX, PRODUCERS_MAX, START_WAIT, TRANSACTION_BYTES_MAX};
use pelton_core::Record;
use pelton_core::ingress::source::{FailureOfJob, Source};
use pelton_core::record::schema::Schema;
use shared::{InletState, Phase};
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// The writing end, of which producers are made; made by [`inlet`]. A clone is a handle to the same inlet.
///
/// [`close`](Self::close) ends the input **for good**: windows close, and after a restart it has ended still. To go on later, stop the job
/// instead. When all handles and producers are dropped, a job with durability waits for nothing until it is stopped, since nobody has said that
/// there will be no more; one without, which has no later runs, ends as if the inlet had been closed.
pub struct Inlet<T> {
    shared: Arc<InletState<T>>,
}

/// The reading end, a source of one partition; made by [`inlet`].
pub struct InletSource<T> {
    shared: Arc<InletState<T>>,
}

/// A bounded way into a job for records that must be durable: at most `capacity` of them wait for the engine in each of 64 queues that producers are
/// spread over, so one producer has so many waiting at most, and as many are on their way into a tick. What waits counts against the job's `memory`,
/// in bytes, with what records own, and takes an eighth of it at most: where there is no more of that the inlet is full before it holds so many,
/// though each queue holds one transaction at any rate.
///
/// Records of one producer stay in order, those of different ones have the order in which the engine takes them in, which goes into the log.
///
/// ```
/// use pelton::prelude::*;
///
/// let (orders, source) = inlet::<i64>(1_024);
/// let total = fold(0, |sum, price| *sum += price, |a, b| a + b);
/// let running = Job::new("orders").source(source).sink(total.clone()).start()?;
///
/// let mut gateway = orders.producer("gateway-1")?;
/// let sequence = gateway.send(5)?;
/// assert_eq!(sequence, 1);
/// let mut transaction = gateway.begin();
/// transaction.send(20);
/// transaction.send(-10);
/// let sequence = transaction.commit()?;
/// gateway.wait_acknowledged(sequence, Duration::from_secs(10))?;
///
/// orders.close();
/// running.wait()?;
/// assert_eq!(total.take(), 15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
/// When the capacity is 0.
pub fn inlet<T: Record + Send>(capacity: usize) -> (Inlet<T>, InletSource<T>) {
    assert!(capacity > 0, "an inlet without room");
    let shared = Arc::new(InletState::new(capacity));
    (Inlet { shared: shared.clone() }, InletSource { shared })
}

impl<T> InletSource<T> {
    /// Remembers at most `most` producers instead of [`PRODUCERS_MAX`]. For a new id the one that nobody has held for the longest makes way, once
    /// it has been acknowledged everything; should it come back, it begins at 1.
    ///
    /// # Panics
    /// When it is 0, or more than [`PRODUCERS_MAX`].
    #[must_use]
    pub fn producers_max(self, most: usize) -> Self {
        assert!((1..=PRODUCERS_MAX).contains(&most), "an inlet remembers 1 to {PRODUCERS_MAX} producers");
        self.shared.control().producers_max = most;
        self
    }
}

impl<T> Inlet<T> {
    /// Another handle.
    fn of(shared: &Arc<InletState<T>>) -> Self {
        shared.join();
        Inlet { shared: shared.clone() }
    }

    /// Ends the input **for good**, behind what was sent so far: from now on nothing can be sent, what was is taken in, windows close, and the job
    /// ends when all of its sources have. In later runs of a job with durability the input has ended, too.
    pub fn close(&self) {
        self.shared.close();
    }
}

impl<T: Record + Send> Inlet<T> {
    /// The producer `id`, which goes on where it was: its numbers are known once the job has recovered what an earlier run left, so this
    /// waits until it has. Start the job before, or at the latest within [`START_WAIT`] from another thread.
    ///
    /// # Errors
    /// When no job is started, the job has ended, the input is closed, the producer is in use, the id is empty or too long, or none of
    /// [as many as there may be](InletSource::producers_max) can make way for it. And where it would have to wait on one of the engine's own
    /// threads.
    pub fn producer(&self, id: &str) -> Result<Producer<T>, InletError> {
        self.producer_by(id, Instant::now().checked_add(START_WAIT), None)
    }

    /// As [`producer`](Self::producer), waiting for the job to be started and to recover for at most `longest`.
    ///
    /// # Errors
    /// As for `producer`.
    pub fn producer_within(&self, id: &str, longest: Duration) -> Result<Producer<T>, InletError> {
        let end = Instant::now().checked_add(longest);
        self.producer_by(id, end, end)
    }

    fn producer_by(
        &self,
        id: &str,
        mut started: Option<Instant>,
        recovered: Option<Instant>,
    ) -> Result<Producer<T>, InletError> {
        if id.is_empty() || id.len() > PRODUCER_ID_BYTES_MAX {
            return Err(InletError::BadId { bytes: id.len() });
        }
        let mut control = self.shared.control();
        loop {
            let end = match control.phase {
                _ if control.closed => return Err(InletError::Closed),
                Phase::Live => return Producer::register(&self.shared, &mut control, id),
                Phase::Stopping | Phase::Ended => return Err(self.shared.ended()),
                Phase::Waiting => started,
                Phase::Recovering => {
                    // Should this run only make way for another, that one has as long to begin.
                    started = recovered.or_else(|| Instant::now().checked_add(START_WAIT));
                    recovered
                }
            };
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(match control.phase {
                    Phase::Recovering => InletError::Recovering,
                    _ => InletError::NotStarted,
                });
            }
            if pelton_runtime::on_core() {
                return Err(InletError::OnCore);
            }
            let waited = self.shared.changed.wait_timeout(control, left);
            control = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a job reads the inlet and has recovered everything that an earlier run left.
    pub fn is_recovered(&self) -> bool {
        matches!(self.shared.control().phase, Phase::Live | Phase::Stopping)
    }

    /// What came of everything sent since the job was started.
    pub fn counts(&self) -> InletCounts {
        self.shared.stripes.counts()
    }
}

impl<T> Clone for Inlet<T> {
    fn clone(&self) -> Self {
        Inlet::of(&self.shared)
    }
}

impl<T> Drop for Inlet<T> {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl<T> Clone for InletSource<T> {
    fn clone(&self) -> Self {
        InletSource { shared: self.shared.clone() }
    }
}

impl<T: Record + Send> Source for InletSource<T> {
    type Item = T;
    type Partition = InletPartition<T>;

    fn partitions(&self, _: usize) -> usize {
        1
    }

    fn open(&self, _: usize, _: usize) -> InletPartition<T> {
        InletPartition::open(&self.shared)
    }

    fn kind(&self) -> Cow<'static, str> {
        "an inlet".into()
    }

    fn is_replayable(&self) -> bool {
        true
    }

    fn attach(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.shared.stripes.attach(&wake);
    }

    fn schema(&self) -> Option<&'static Schema> {
        Some(T::SCHEMA)
    }

    fn attach_failure(&self, failure: FailureOfJob) {
        self.shared.stripes.change(|queue| queue.failure = Some(failure.clone()));
    }
}

impl<T> fmt::Debug for Inlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet").field("capacity", &self.shared.capacity).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for InletSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InletSource").field("capacity", &self.shared.capacity).finish_non_exhaustive()
    }
}
