//! One record in, one out.

use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};

/// Applies `f` to each record.
pub struct Map<F, N> {
    f: F,
    next: N,
}

impl<F, N> Map<F, N> {
    /// Pushes `f(record)` into `next`.
    pub fn new(f: F, next: N) -> Self {
        Map { f, next }
    }
}

impl<T, U, F: Fn(T) -> U + 'static, N: Push<U>> Push<T> for Map<F, N> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        self.next.push(at, (self.f)(record));
    }
}

impl<F: 'static, N: Pipe> Pipe for Map<F, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
