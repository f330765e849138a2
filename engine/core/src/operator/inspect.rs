//! One record in, the same out, seen on its way.

use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};

/// Shows each record to `f`.
pub struct Inspect<F, N> {
    f: F,
    next: N,
}

impl<F, N> Inspect<F, N> {
    /// Calls `f` with each record before pushing it into `next`.
    pub fn new(f: F, next: N) -> Self {
        Inspect { f, next }
    }
}

impl<T, F: Fn(EventTime, &T) + 'static, N: Push<T>> Push<T> for Inspect<F, N> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        (self.f)(at, &record);
        self.next.push(at, record);
    }
}

impl<F: 'static, N: Pipe> Pipe for Inspect<F, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
