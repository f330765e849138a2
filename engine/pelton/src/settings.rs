//! What is said of a stream and holds for all that comes of it: how its rows are to be delivered, and what it is called.
//!
//! Every method that makes streams of a stream hands these on, however many exchanges, forks and windows lie between the word and the sink.
//! Where two streams meet that were told different things, neither is guessed at: it has to be said again behind the union.

use pelton_core::sink::Delivery;
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(test)]
mod tests;

/// What was said about the delivery of a stream's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivering {
    /// Nothing: the sink does what it can.
    Unsaid,
    /// How it is to be.
    Said(Delivery),
    /// Different things, of the two streams of a union.
    Disputed,
}

impl Delivering {
    /// What holds for the union of two streams.
    pub(crate) fn and(self, other: Self) -> Self {
        if self == other { self } else { Delivering::Disputed }
    }
}

/// What the stretch of a stream from one exchange, fork or source to the next is called in reports. The stretch is called by its beginning
/// until somebody says otherwise, and shards ask when they instantiate it.
#[derive(Clone, Debug)]
pub(crate) struct Label(Arc<Mutex<String>>);

impl Label {
    pub(crate) fn new(name: &str) -> Self {
        Label(Arc::new(Mutex::new(name.to_owned())))
    }

    pub(crate) fn set(&self, name: &str) {
        name.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
