//! What producers and the one partition share.
//!
//! A producer takes the lock of its queue once for a transaction. The lock on what is known of producers is taken when one is made or dropped,
//! by the engine when it meets one for the first time, and never for a record. Who holds it may take that of a queue, not the other way round.

use super::known::Directory;
use super::stripe::Stripes;
use super::{InletError, PRODUCERS_MAX};
use pelton_core::state::memory::Memory;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub(super) struct InletState<T> {
    pub(super) stripes: Stripes<T>,
    control: Mutex<Control>,
    /// Signalled when the phase has changed.
    pub(super) changed: Condvar,
    /// Records of each queue.
    pub(super) capacity: usize,
    /// Inlets and producers that are held by anybody.
    handles: AtomicUsize,
    /// Whether the input has been closed, and all queues with it.
    closed: AtomicBool,
    /// Whether there are ids to be retired that the engine has not seen.
    pub(super) retiring: AtomicBool,
}

pub(super) struct Control {
    pub(super) directory: Directory,
    /// Counts the runs of the job.
    pub(super) run: u64,
    /// Bytes that the partition can log in one tick, in this run.
    pub(super) logged_max: usize,
    pub(super) phase: Phase,
    /// Whether the input is to end.
    pub(super) closed: bool,
    /// How many ids the inlet remembers.
    pub(super) producers_max: usize,
}

/// How far a job that reads the inlet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none yet.
    Waiting,
    /// It recovers what an earlier run left.
    Recovering,
    /// It takes in what is sent.
    Live,
    /// It takes in what was sent, and refuses what is new.
    Stopping,
    /// It takes in no more.
    Ended,
}

impl<T> InletState<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let control = Control {
            directory: Directory::default(),
            run: 0,
            logged_max: usize::MAX,
            phase: Phase::Waiting,
            closed: false,
            producers_max: PRODUCERS_MAX,
        };
        InletState {
            stripes: Stripes::new(),
            control: Mutex::new(control),
            changed: Condvar::new(),
            capacity,
            handles: AtomicUsize::new(1),
            closed: AtomicBool::new(false),
            retiring: AtomicBool::new(false),
        }
    }

    /// What waits counts against the memory of the job that reads the inlet.
    pub(super) fn count_in(&self, memory: &Arc<dyn Memory>) {
        self.stripes.change(|queue| queue.batch.charge.begin(memory));
    }

    pub(super) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle is made.
    pub(super) fn join(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// A handle is dropped.
    pub(super) fn leave(&self) {
        if self.handles.fetch_sub(1, Ordering::Release) == 1 {
            self.stripes.wake();
        }
    }

    /// A run begins: what was made for earlier ones is of no use any more. Returns its number.
    pub(super) fn begin(&self) -> u64 {
        let mut control = self.control();
        control.run += 1;
        control.phase = Phase::Recovering;
        let (run, closed) = (control.run, control.closed);
        self.stripes.change(|queue| {
            queue.batch.clear();
            queue.counts = Default::default();
            (queue.run, queue.closed, queue.listed, queue.failure) = (run, closed, false, None);
        });
        // Whoever waits for an earlier run has to be told.
        std::mem::take(&mut control.directory).each().for_each(|known| known.end());
        drop(control);
        self.changed.notify_all();
        run
    }

    /// The error of a job that takes in no more: its own, if it failed.
    pub(super) fn ended(&self) -> InletError {
        self.stripes.lock(0).ended()
    }

    /// Run `run`, if it is the current one, takes in no more, and the inlet is in `phase` from now on.
    pub(super) fn end(&self, run: u64, phase: Phase) {
        let mut control = self.control();
        if control.run == run {
            control.phase = phase;
            self.stripes.change(|queue| queue.closed = true);
            control.directory.each().for_each(|known| known.end());
        }
        drop(control);
        self.changed.notify_all();
    }

    /// The job of run `run` is to stop: it refuses what is new. Whoever waits for an acknowledgement may still get it.
    pub(super) fn refuse(&self, run: u64) {
        let mut control = self.control();
        if control.run == run {
            if control.phase == Phase::Live {
                control.phase = Phase::Stopping;
            }
            self.stripes.change(|queue| queue.closed = true);
        }
        drop(control);
        self.changed.notify_all();
    }

    /// The input ends behind what was sent so far.
    pub(super) fn close(&self) {
        let mut control = self.control();
        control.closed = true;
        self.stripes.change(|queue| queue.closed = true);
        drop(control);
        // Who sees this sees everything that was accepted.
        self.closed.store(true, Ordering::Release);
        self.changed.notify_all();
        self.stripes.wake();
    }

    /// Whether nothing will be sent any more that is not in the queues, as far as a job goes that is `durable` or not.
    pub(super) fn is_over(&self, durable: bool) -> bool {
        self.closed.load(Ordering::Acquire) || !durable && self.handles.load(Ordering::Acquire) == 0
    }
}
