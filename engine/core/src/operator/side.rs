//! One record in, to one of two outputs.

use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};

/// Sends the records for which `f` is true to `side`, the others on to `next`.
pub struct Side<F, N, S> {
    f: F,
    next: N,
    side: S,
}

impl<F, N, S> Side<F, N, S> {
    /// Splits by `f`.
    pub fn new(f: F, next: N, side: S) -> Self {
        Side { f, next, side }
    }
}

impl<T, F: Fn(&T) -> bool + 'static, N: Push<T>, S: Push<T>> Push<T> for Side<F, N, S> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        if (self.f)(&record) {
            self.side.push(at, record);
        } else {
            self.next.push(at, record);
        }
    }
}

impl<F: 'static, N: Pipe, S: Pipe> Pipe for Side<F, N, S> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
        self.side.each_link(visit);
    }
}
