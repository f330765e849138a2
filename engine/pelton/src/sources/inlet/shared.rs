//! What producers and the one partition share.
//!
//! A producer takes the lock once for a transaction, the engine once for all that wait; it is held for a copy of bytes or a swap.

use super::InletError;
use crate::error::JobFailure;
use pelton_core::source::FailureOfJob;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
    /// Signalled when the engine has made room or will make none any more, and when it has recovered.
    pub(super) room: Condvar,
    /// Signalled when more is acknowledged.
    pub(super) acknowledged: Condvar,
    pub(super) capacity: usize,
}

pub(super) struct State<T> {
    pub(super) batch: Batch<T>,
    pub(super) producers: Vec<Known>,
    pub(super) by_id: BTreeMap<Arc<str>, usize>,
    /// Inlets and producers that are held by anybody.
    pub(super) handles: usize,
    /// Counts the runs of the job: what was made for one is of no use in the next.
    pub(super) run: u64,
    /// Bytes that the partition can log in one tick, in this run.
    pub(super) logged_max: usize,
    /// Those who wait for room, in the order in which they came, and the number of the one who comes next.
    pub(super) line: VecDeque<u64>,
    pub(super) next_in_line: u64,
    pub(super) phase: Phase,
    pub(super) counts: InletCounts,
    pub(super) wake: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Says why the job has failed, if it has.
    pub(super) failure: Option<FailureOfJob>,
}

/// How far a job that reads the inlet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none yet.
    Waiting,
    /// It takes up what an earlier run left.
    Recovering,
    /// It takes in what is sent.
    Live,
    /// It takes in no more.
    Ended,
}

/// What is known of a producer.
pub(super) struct Known {
    pub(super) id: Arc<str>,
    /// Its last number.
    pub(super) last: u64,
    /// Its records through this one survive.
    pub(super) acknowledged: u64,
    /// Whether somebody has it in hand.
    pub(super) in_use: bool,
}

/// Transactions on their way, in order.
pub(super) struct Batch<T> {
    pub(super) heads: VecDeque<Head>,
    /// The records of all of them, and the same in the form of the log.
    pub(super) records: VecDeque<T>,
    pub(super) bytes: Vec<u8>,
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
        Batch { heads: VecDeque::new(), records: VecDeque::new(), bytes: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.records.clear();
        self.bytes.clear();
    }
}

impl<T> Shared<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State {
            batch: Batch::new(),
            producers: Vec::new(),
            by_id: BTreeMap::new(),
            handles: 1,
            run: 0,
            logged_max: usize::MAX,
            line: VecDeque::new(),
            next_in_line: 0,
            phase: Phase::Waiting,
            counts: InletCounts::default(),
            wake: None,
            failure: None,
        };
        Shared { state: Mutex::new(state), room: Condvar::new(), acknowledged: Condvar::new(), capacity }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a>(
        &self,
        signal: &Condvar,
        state: MutexGuard<'a, State<T>>,
        longest: Duration,
    ) -> MutexGuard<'a, State<T>> {
        signal.wait_timeout(state, longest).unwrap_or_else(PoisonError::into_inner).0
    }

    /// A handle is dropped.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.handles -= 1;
        state.unlock_and_wake();
    }
}

impl<T> State<T> {
    /// Whether what was made in run `run` may still send.
    pub(super) fn check(&self, run: u64) -> Result<(), InletError> {
        match self.phase {
            _ if self.run != run => Err(InletError::Restarted),
            Phase::Ended => Err(self.ended()),
            _ => Ok(()),
        }
    }

    /// The error of a job that takes in no more: its own, if it failed.
    pub(super) fn ended(&self) -> InletError {
        let failure = self.failure.as_ref().and_then(|failure| failure());
        failure.map_or(InletError::Closed, |error| InletError::Failed(JobFailure::new(error)))
    }

    /// Whether `count` more records fit, and nobody came before who waits for room: `me` is the number of one who waits. What is larger than
    /// the whole inlet fits when that is empty; were there no order, smaller ones could keep it from ever being that.
    pub(super) fn has_room(&self, count: usize, capacity: usize, me: Option<u64>) -> bool {
        let first = self.line.front().is_none_or(|first| Some(*first) == me);
        first && (self.batch.records.is_empty() || self.batch.records.len() + count <= capacity)
    }

    /// Joins those who wait for room.
    pub(super) fn join_line(&mut self) -> u64 {
        let me = self.next_in_line;
        self.next_in_line += 1;
        self.line.push_back(me);
        me
    }

    /// Leaves them, with or without having had any.
    pub(super) fn leave_line(&mut self, me: u64) {
        self.line.retain(|number| *number != me);
    }
}

/// Waking may take a system call, and is none of the lock's business.
pub(super) trait UnlockAndWake {
    fn unlock_and_wake(self);
}

impl<T> UnlockAndWake for MutexGuard<'_, State<T>> {
    fn unlock_and_wake(self) {
        let wake = self.wake.clone();
        drop(self);
        if let Some(wake) = wake {
            wake();
        }
    }
}
