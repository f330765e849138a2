//! A call for each row.

use pelton_core::sink::{Sink, SinkWriter};
use pelton_core::{EventTime, Fault, ShardId, Tick};

/// A sink that calls back; made by [`for_each`].
#[derive(Clone, Copy, Debug)]
pub struct ForEach<F>(F);

/// Calls `f` with each row, on the core that made it, as soon as it is made. `f` must not wait: the shard stands still meanwhile.
///
/// In a job with durability it is called once the row's input is durable, and after a restart again for every row since the last
/// checkpoint: at least once. [`subscribe_from`](super::subscribe_from) names the rows, so that those can be told.
///
/// ```
/// use pelton::prelude::*;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
///
/// let seen = Arc::new(AtomicU64::new(0));
/// let count = seen.clone();
/// let job = Job::new("watch").source(from_iter(|| 0..10)).sink(for_each(move |_: i32| {
///     count.fetch_add(1, Ordering::Relaxed);
/// }));
/// job.run()?;
/// assert_eq!(seen.load(Ordering::Relaxed), 10);
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn for_each<T, F: Fn(T)>(f: F) -> ForEach<F> {
    ForEach(f)
}

impl<T, F: Fn(T) + Clone + Send + Sync + 'static> Sink<T> for ForEach<F> {
    type Writer = Self;
    fn open(&self, _: ShardId) -> Self {
        self.clone()
    }
}

impl<T, F: Fn(T) + 'static> SinkWriter<T> for ForEach<F> {
    #[inline(always)]
    fn write(&mut self, _: EventTime, row: T) {
        (self.0)(row);
    }

    fn commit(&mut self, _: Tick) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
