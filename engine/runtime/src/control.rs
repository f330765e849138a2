//! What the threads of one job tell each other: start together, stop together, and who failed first.
//!
//! 1. Each core builds its shards and reports. Nobody steps before all have and the word was given, so a job that cannot start takes no input.
//! 2. The order (run, drain, suspend, stop now) only ever gets stricter. A core reads it once a cycle.
//! 3. The first failure is kept and stops everybody at once.
//! 4. Each core leaves; the last one ends the job.

use crate::doorbell::Bells;
use crate::error::{RunError, StartError};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the cores are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    Run,
    Drain,
    Suspend,
    StopNow,
}

/// Shared by the cores of a job and whoever holds its handles.
#[derive(Debug)]
pub(crate) struct Control {
    order: AtomicU8,
    bells: Bells,
    state: Mutex<ControlState>,
    changed: Condvar,
}

#[derive(Debug)]
struct ControlState {
    /// Cores that have not reported yet.
    starting: usize,
    /// The word was given.
    begun: bool,
    /// Cores that have not left yet.
    alive: usize,
    /// A core has left with shards that had not finished.
    undone: bool,
    /// Some core could not start, so the others do not wait for it.
    refused: bool,
    start_error: Option<StartError>,
    run_error: Option<RunError>,
}

impl Control {
    pub(crate) fn new(cores: usize, bells: Bells) -> Self {
        let state = ControlState {
            starting: cores,
            begun: false,
            alive: cores,
            undone: false,
            refused: false,
            start_error: None,
            run_error: None,
        };
        Control {
            order: AtomicU8::new(Order::Run as u8),
            bells,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// The order that holds now.
    #[inline]
    pub(crate) fn order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            0 => Order::Run,
            1 => Order::Drain,
            2 => Order::Suspend,
            _ => Order::StopNow,
        }
    }

    /// Gives an order; one that is laxer than the last changes nothing.
    pub(crate) fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        self.bells.ring_all();
    }

    /// A core has built its shards. Returns when all have and the word was given, or there will be none.
    pub(crate) fn ready(&self) {
        let mut state = self.lock();
        state.starting -= 1;
        self.changed.notify_all();
        while !state.begun && !state.refused {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The word: all cores that have built their shards step them from now on.
    pub(crate) fn begin(&self) {
        self.lock().begun = true;
        self.changed.notify_all();
    }

    /// There will be no word: the start was given up.
    pub(crate) fn give_up(&self) {
        self.give(Order::StopNow);
        self.lock().refused = true;
        self.changed.notify_all();
    }

    /// A core cannot start, so none does.
    pub(crate) fn cannot_start(&self, error: StartError) {
        self.give(Order::StopNow);
        let mut state = self.lock();
        state.refused = true;
        state.start_error.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Waits until all cores are ready, or one could not start.
    pub(crate) fn wait_started(&self) -> Result<(), StartError> {
        let mut state = self.lock();
        while state.starting > 0 && !state.refused {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.start_error.take().map_or(Ok(()), Err)
    }

    /// A core failed, so all stop. Only the first failure is kept: later ones may follow from it.
    pub(crate) fn fail(&self, error: RunError) {
        self.lock().run_error.get_or_insert(error);
        self.give(Order::StopNow);
    }

    /// A core is done, whatever the reason.
    pub(crate) fn leave(&self) {
        self.lock().alive -= 1;
        self.changed.notify_all();
    }

    /// A core leaves shards where they are.
    pub(crate) fn leave_undone(&self) {
        self.lock().undone = true;
    }

    /// Whether a core has left shards where they were.
    pub(crate) fn is_undone(&self) -> bool {
        self.lock().undone
    }

    /// Whether every core has left.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().alive == 0
    }

    /// Waits until every core has left, but no longer than `longest`; whether they have.
    pub(crate) fn wait_over(&self, longest: Duration) -> bool {
        let running = |state: &mut ControlState| state.alive > 0;
        let waited = self.changed.wait_timeout_while(self.lock(), longest, running);
        waited.unwrap_or_else(PoisonError::into_inner).0.alive == 0
    }

    /// The first failure.
    pub(crate) fn failure(&self) -> Option<RunError> {
        self.lock().run_error.clone()
    }

    fn lock(&self) -> MutexGuard<'_, ControlState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
