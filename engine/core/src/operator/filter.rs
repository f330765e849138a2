//! One record in, one or none out.

use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};

/// Keeps the records for which `f` is true.
pub struct Filter<F, N> {
    f: F,
    next: N,
}

impl<F, N> Filter<F, N> {
    /// Pushes records that satisfy `f` into `next`.
    pub fn new(f: F, next: N) -> Self {
        Filter { f, next }
    }
}

impl<T, F: Fn(&T) -> bool + 'static, N: Push<T>> Push<T> for Filter<F, N> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        if (self.f)(&record) {
            self.next.push(at, record);
        }
    }
}

impl<F: 'static, N: Pipe> Pipe for Filter<F, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
