//! Sinks: where a stream ends.
//!
//! Each shard writes through a writer of its own, in the order (tick, row). The rows of a tick are committed together, so
//! (tick, shard, number of the row in its tick) names a row for good: a replay of the same input gives it the same name.

use crate::context::StageContext;
use crate::fault::Fault;
use crate::ids::{EventTime, ShardId, Tick};
use crate::push::{Pipe, Push};
use alloc::rc::Rc;
use core::marker::PhantomData;

/// A place for rows of type `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sink for rows of type `{T}`",
    note = "`collect()`, `fold(..)` and `for_each(..)` are sinks; their row type must be the stream's"
)]
pub trait Sink<T>: Clone + Send + Sync + 'static {
    /// What one shard writes through.
    type Writer: SinkWriter<T>;

    /// The writer of `shard`, made on that shard's thread.
    fn open(&self, shard: ShardId) -> Self::Writer;
}

/// The writing end of a sink on one shard.
pub trait SinkWriter<T>: 'static {
    /// Takes one row of the tick in progress.
    fn write(&mut self, at: EventTime, row: T);

    /// The tick, in which at least one row was written, is complete.
    ///
    /// # Errors
    /// When the rows could not be kept; the job stops.
    fn commit(&mut self, tick: Tick) -> Result<(), Fault>;

    /// Nothing more will be written.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    fn close(&mut self) -> Result<(), Fault>;
}

/// The end of a chain in a sink.
pub struct ToSink<T, W> {
    writer: W,
    rows: u64,
    context: Rc<StageContext>,
    _rows: PhantomData<T>,
}

impl<T, W> ToSink<T, W> {
    /// Writes what is pushed to `writer`.
    pub fn new(writer: W, context: Rc<StageContext>) -> Self {
        ToSink { writer, rows: 0, context, _rows: PhantomData }
    }
}

impl<T: 'static, W: SinkWriter<T>> Push<T> for ToSink<T, W> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, row: T) {
        self.rows += 1;
        self.writer.write(at, row);
    }
}

impl<T: 'static, W: SinkWriter<T>> Pipe for ToSink<T, W> {
    fn mark(&mut self) {}
    fn seal(&mut self) {
        if self.rows > 0 {
            self.context.stats.rows_out.add(self.rows);
            self.rows = 0;
            if let Err(fault) = self.writer.commit(self.context.tick.get()) {
                self.context.fail(fault);
            }
        }
    }
    fn flush(&mut self) {}
    fn room(&mut self) -> usize {
        usize::MAX
    }
    fn can_seal(&mut self) -> bool {
        true
    }
    fn finish(&mut self) {
        if let Err(fault) = self.writer.close() {
            self.context.fail(fault);
        }
    }
}
