//! The queues that producers send into, and the engine takes from.
//!
//! A producer always uses the same queue, by its place among the producers, so its records stay in order. Each queue holds `capacity` records,
//! and no more than there is room for in the job's memory; one transaction it holds at any rate, so that nobody waits for ever.
//! Who finds no room waits in line, and is woken when he is the first and there may be room: by the engine, which empties a queue at once, or
//! by the one who was before him.

use super::InletError;
use super::known::Known;
use crate::bounds::STRIPES;
use crate::ready::{Padded, Ready};
use pelton_core::ingress::source::FailureOfJob;
use pelton_core::state::blocks::BlockQueue;
use pelton_core::state::charge::Charge;
use pelton_runtime::JobFailure;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Wakes the engine.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// All queues of an inlet.
///
/// Not `crossbeam-channel`: a transaction of many records has to find room as a whole, in the order in which producers came for it, and the
/// engine takes a queue with its records, their bytes and its counts at once.
pub(super) struct Stripes<T> {
    queues: Box<[Padded<Mutex<Queue<T>>>]>,
    pub(super) ready: Ready,
}

/// One queue.
pub(super) struct Queue<T> {
    pub(super) batch: Batch<T>,
    /// The run of the job that it is for.
    pub(super) run: u64,
    /// Whether the engine takes in no more in this run.
    pub(super) closed: bool,
    /// Whether the engine knows that there is something here.
    pub(super) listed: bool,
    /// Those who wait for room, in the order in which they came.
    pub(super) line: VecDeque<Arc<Known>>,
    pub(super) counts: InletCounts,
    wake: Option<Wake>,
    /// Says why the job has failed, if it has.
    pub(super) failure: Option<FailureOfJob>,
}

/// Transactions on their way, in order.
pub(super) struct Batch<T> {
    pub(super) heads: BlockQueue<Head>,
    /// The records of all of them, and the same in the form of the log.
    pub(super) records: BlockQueue<T>,
    pub(super) bytes: BlockQueue<u8>,
    /// What all of it takes.
    pub(super) charge: Charge,
}

/// A transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The producer's place in the table.
    pub(super) producer: usize,
    pub(super) first: u64,
    pub(super) count: u32,
    /// Bytes of its records.
    pub(super) bytes: usize,
}

/// What a transaction takes in a queue: its records, what they `own` on the heap, and their bytes in the form of the log.
pub(super) const fn bytes_of<T>(count: usize, own: usize, archived: usize) -> usize {
    size_of::<Head>() + count * size_of::<T>() + own + archived
}

/// What came of the records that were sent to an inlet since its job was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InletCounts {
    /// Records that were sent.
    pub sent: u64,
    /// Transactions that they came in; a record sent by itself is one.
    pub transactions: u64,
    /// Records that were dropped, because the engine had them.
    pub duplicates: u64,
    /// Records that wait for the engine now.
    pub waiting: u64,
}

impl<T> Batch<T> {
    pub(super) fn new() -> Self {
        Batch {
            heads: BlockQueue::new(),
            records: BlockQueue::new(),
            bytes: BlockQueue::new(),
            charge: Charge::default(),
        }
    }

    /// Nothing is on its way any more.
    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.records.clear();
        self.bytes.clear();
        self.charge.clear();
    }
}

impl<T> Stripes<T> {
    pub(super) fn new() -> Self {
        let queue = || Queue {
            batch: Batch::new(),
            run: 0,
            closed: false,
            listed: false,
            line: VecDeque::new(),
            counts: InletCounts::default(),
            wake: None,
            failure: None,
        };
        Stripes {
            queues: (0..STRIPES).map(|_| Padded(Mutex::new(queue()))).collect(),
            ready: Ready::default(),
        }
    }

    /// The queue of whoever has this place among the producers.
    pub(super) fn of(place: usize) -> usize {
        place % STRIPES
    }

    pub(super) fn lock(&self, stripe: usize) -> MutexGuard<'_, Queue<T>> {
        self.queues[stripe].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_lock(&self, stripe: usize) -> Option<MutexGuard<'_, Queue<T>>> {
        match self.queues[stripe].0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Changes every queue, one after the other, and wakes those who wait for room.
    pub(super) fn change(&self, mut change: impl FnMut(&mut Queue<T>)) {
        for stripe in 0..STRIPES {
            let mut queue = self.lock(stripe);
            change(&mut queue);
            let line = queue.line.clone();
            drop(queue);
            line.iter().for_each(|waits| waits.room.notify_one());
        }
    }

    /// Sets what wakes the engine, and wakes it: what came before found nobody to ring for.
    pub(super) fn attach(&self, wake: &Wake) {
        self.change(|queue| queue.wake = Some(wake.clone()));
        wake();
    }

    /// Wakes the engine.
    pub(super) fn wake(&self) {
        let wake = self.lock(0).wake.clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    /// The sum over the queues.
    pub(super) fn counts(&self) -> InletCounts {
        let mut sum = InletCounts::default();
        for stripe in 0..STRIPES {
            let queue = self.lock(stripe);
            sum.sent += queue.counts.sent;
            sum.transactions += queue.counts.transactions;
            sum.duplicates += queue.counts.duplicates;
            sum.waiting += queue.batch.records.len() as u64;
        }
        sum
    }

    /// Whether anything sent in this run has not been taken.
    pub(super) fn hold(&self, run: u64) -> bool {
        (0..STRIPES).any(|stripe| {
            let queue = self.lock(stripe);
            queue.run == run && !queue.batch.heads.is_empty()
        })
    }

    /// Puts a transaction in, and rings for the engine if it does not know yet that something is here. Then the next in line may come.
    pub(super) fn enter(
        &self,
        mut queue: MutexGuard<'_, Queue<T>>,
        head: Head,
        records: impl IntoIterator<Item = T>,
        bytes: &[u8],
        own: usize,
        capacity: usize,
    ) {
        // It has been found room for, or is the only one and stays.
        let _ = queue.batch.charge.add(bytes_of::<T>(head.count as usize, own, bytes.len()));
        let mut count = 0;
        for record in records {
            queue.batch.records.push_back(record);
            count += 1;
        }
        assert_eq!(count, head.count as usize, "a transaction has the records that it counted");
        queue.batch.bytes.extend_from_slice(bytes);
        queue.batch.heads.push_back(head);
        queue.counts.sent += count as u64;
        queue.counts.transactions += 1;
        let first = queue.line.front().filter(|_| queue.batch.records.len() < capacity).cloned();
        let wake = if std::mem::replace(&mut queue.listed, true) {
            None
        } else {
            self.ready.list(Self::of(head.producer));
            queue.wake.clone()
        };
        drop(queue);
        if let Some(first) = first {
            first.room.notify_one();
        }
        // A system call where the engine sleeps, and none of the lock's business.
        if let Some(wake) = wake {
            wake();
        }
    }
}

impl<T> Queue<T> {
    /// Whether what was made in run `run` may still send.
    pub(super) fn check(&self, run: u64) -> Result<(), InletError> {
        match self.closed {
            _ if self.run != run => Err(InletError::Restarted),
            true => Err(self.ended()),
            false => Ok(()),
        }
    }

    /// The error of a job that takes in no more: its own, if it failed.
    pub(super) fn ended(&self) -> InletError {
        let failure = self.failure.as_ref().and_then(|failure| failure());
        failure.map_or(InletError::Closed, |error| InletError::Failed(JobFailure::new(error)))
    }

    /// Whether `count` more records of `me` fit, which take `bytes`, and nobody came before who waits for room. What is larger than the whole queue fits when that is
    /// empty; were there no order, smaller ones could keep it from ever being that.
    pub(super) fn has_room(&mut self, count: usize, bytes: usize, capacity: usize, me: &Arc<Known>) -> bool {
        let first = self.line.front().is_none_or(|first| Arc::ptr_eq(first, me));
        let Batch { records, charge, .. } = &mut self.batch;
        first && (records.is_empty() || records.len() + count <= capacity && charge.fits(bytes).is_ok())
    }

    /// Leaves the line, with or without having had room.
    pub(super) fn leave_line(&mut self, me: &Arc<Known>) {
        self.line.retain(|waits| !Arc::ptr_eq(waits, me));
    }
}
