//! Whether the current thread is one that the engine cannot do without.
//!
//! A call that waits for the engine must not be made from within it: whoever would end the wait waits himself. Functions of a job run on
//! the cores' threads (and those that make a sink's rows safe on the coordinator's), so what waits asks here first, and refuses.

use std::cell::Cell;

thread_local! {
    static ON_CORE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the current thread runs shards of a job, or the coordinator of its checkpoints: it must not wait for a job.
///
/// ```
/// use pelton_runtime::{OnCore, on_core};
///
/// assert!(!on_core());
/// let entered = OnCore::enter();
/// assert!(on_core());
/// drop(entered);
/// assert!(!on_core());
/// ```
#[must_use]
pub fn on_core() -> bool {
    ON_CORE.get()
}

/// The current thread works for a job as long as this lives.
#[derive(Debug)]
#[must_use = "the thread is an engine's only as long as this lives"]
pub struct OnCore {
    before: bool,
    /// It belongs to its thread.
    marker: std::marker::PhantomData<*const ()>,
}

impl OnCore {
    /// From now on the current thread works for a job.
    pub fn enter() -> Self {
        OnCore { before: ON_CORE.replace(true), marker: std::marker::PhantomData }
    }
}

impl Drop for OnCore {
    fn drop(&mut self) {
        ON_CORE.set(self.before);
    }
}
