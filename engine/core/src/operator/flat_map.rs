//! One record in, any number out.

use crate::ids::EventTime;
use crate::operator::push::{Link, Pipe, Push};

/// Applies `f` to each record and pushes everything that it yields, all at the record's own event time.
pub struct FlatMap<F, N> {
    f: F,
    next: N,
}

impl<F, N> FlatMap<F, N> {
    /// Pushes each item of `f(record)` into `next`.
    pub fn new(f: F, next: N) -> Self {
        FlatMap { f, next }
    }
}

impl<T, I: IntoIterator, F: Fn(T) -> I + 'static, N: Push<I::Item>> Push<T> for FlatMap<F, N> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, record: T) {
        for item in (self.f)(record) {
            self.next.push(at, item);
        }
    }
}

impl<F: 'static, N: Pipe> Pipe for FlatMap<F, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
