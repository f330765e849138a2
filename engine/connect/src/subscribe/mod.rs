//! Rows for a thread of the service that Pelton is embedded in, each with its name.
//!
//! (tick, shard, seq) names a row for good: after a restart the same row comes under the same name. A service that keeps the name of the
//! last row that it has handled, for each shard, together with whatever it made of the row, has handled every row exactly once:
//! [`subscribe_from`] shows it what comes after. [`subscribe`] is for one that keeps nothing: it sees each row at least once.
//!
//! A row waits until it is [acknowledged](Subscription::acknowledge), be it received or not. Rows that still wait at a checkpoint are part of
//! it, so none is lost however long the service takes:
//!
//! ```text
//!  rows of ticks up to the checkpoint    come from the checkpoint, if they were not acknowledged by then
//!  rows of later ticks                   are made again
//!  of both                               those at or before a given position are left out
//! ```
//!
//! Rows of one shard come in the order (tick, seq). Those of several shards come in the order in which they were released, which is not
//! the same in every run.
//!
//! Costs: a lock for each batch of rows released together; a clone of each row received. A sink cannot hold back the engine: there wait as many rows
//! as were made since the last acknowledgement. They count against the job's `memory`, with what they own, and when there is no more of that the job
//! stops and says so. A job without durability does not keep rows that have been received.

mod queue;
mod writer;

#[cfg(test)]
mod tests;

pub use writer::SubscriberWriter;

use crate::row::{Position, Row};
use pelton_core::record::schema::Schema;
use pelton_core::sink::{Ending, Outcome, Sink};
use pelton_core::{Record, ShardId};
use queue::Queue;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why there was no row.
#[derive(Clone)]
pub enum NoRow {
    /// None has come in time.
    Yet,
    /// None is there, and it would have been waited for on one of the engine's own threads, which would make them.
    OnCore,
    /// None will come any more in this run of the job, which has ended so.
    Ended(Outcome),
}

impl fmt::Display for NoRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoRow::Yet => f.write_str("no row has come in time"),
            NoRow::OnCore => f.write_str(
                "no row is there, and a function of a job may not wait for one on the thread that would make it; use try_recv, or \
                 receive on a thread of your own",
            ),
            NoRow::Ended(outcome) => write!(f, "no row will come any more: {outcome}"),
        }
    }
}

impl fmt::Debug for NoRow {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for NoRow {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NoRow::Ended(Outcome::Failed(error)) => Some(&**error),
            NoRow::Ended(_) | NoRow::Yet | NoRow::OnCore => None,
        }
    }
}

/// The service's end: receives rows. Made by [`subscribe`] and [`subscribe_from`]; a clone takes from the same rows.
pub struct Subscription<T> {
    queue: Arc<Queue<T>>,
}

/// The engine's end, a sink. Made by [`subscribe`] and [`subscribe_from`].
pub struct Subscriber<T> {
    queue: Arc<Queue<T>>,
    resumes: bool,
}

/// A sink whose rows a thread receives, and which keeps no position of its own: at least once, in a job with durability.
///
/// ```
/// use pelton::prelude::*;
/// use pelton::Outcome;
/// use pelton::sinks::NoRow;
///
/// let (rows, sink) = subscribe();
/// let running = Job::new("count").source(from_iter(|| 0..3u64)).sink(sink).start()?;
/// let mut sum = 0;
/// loop {
///     match rows.recv(Duration::from_secs(10)) {
///         Ok(row) => {
///             sum += row.row;
///             rows.acknowledge(row.position());
///         }
///         Err(NoRow::Ended(Outcome::Complete)) => break,
///         Err(NoRow::Yet) => println!("still waiting"),
///         Err(other) => return Err(other.into()),
///     }
/// }
/// assert_eq!(sum, 3);
/// running.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn subscribe<T: Record + Clone + Send>() -> (Subscription<T>, Subscriber<T>) {
    make(Vec::new(), false)
}

/// As [`subscribe`], exactly once: `handled` says for each shard which row of it the service handled last; nothing for a shard of which it
/// has handled none, also if it is no shard of the job any more. The job may be started again with another number of shards: what earlier
/// shards left comes first, under their names, and what follows is of later ticks, so that the names stay in order.
pub fn subscribe_from<T: Record + Clone + Send>(
    handled: impl IntoIterator<Item = Position>,
) -> (Subscription<T>, Subscriber<T>) {
    make(handled.into_iter().collect(), true)
}

fn make<T>(handled: Vec<Position>, resumes: bool) -> (Subscription<T>, Subscriber<T>) {
    let queue = Arc::new(Queue::new(handled));
    (Subscription { queue: queue.clone() }, Subscriber { queue, resumes })
}

impl<T: Record + Clone + Send> Subscription<T> {
    /// The next row, waiting for it for at most `longest`.
    ///
    /// # Errors
    /// When none has come in time, or none will: then it says how the job has ended. Where it would have to wait on one of the engine's own
    /// threads it does not.
    pub fn recv(&self, longest: Duration) -> Result<Row<T>, NoRow> {
        self.queue.receive(longest)
    }

    /// The next row, if there is one now.
    ///
    /// # Errors
    /// When there is none, or none will be: then it says how the job has ended.
    pub fn try_recv(&self) -> Result<Row<T>, NoRow> {
        self.queue.receive(Duration::ZERO)
    }

    /// The row of this name, and all before it of its shard, have been handled: they need not be kept.
    pub fn acknowledge(&self, position: Position) {
        self.queue.acknowledge(position);
    }

    /// Rows that wait, received or not, because they have not been acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that these rows take of the job's memory.
    pub fn unacknowledged_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Whether the job has ended, however that was, and every row has been received.
    pub fn is_finished(&self) -> bool {
        self.queue.is_finished()
    }

    /// How the job has ended, if it has. There may still be rows to receive.
    pub fn outcome(&self) -> Option<Outcome> {
        self.queue.outcome()
    }
}

impl<T: Record + Clone + Send> Sink<T> for Subscriber<T> {
    type Writer = SubscriberWriter<T>;

    fn open(&self, shard: ShardId) -> SubscriberWriter<T> {
        SubscriberWriter::new(self.queue.clone(), shard)
    }

    fn attach(&self, ending: Ending) {
        self.queue.attach(ending);
    }

    fn is_transactional(&self) -> bool {
        self.resumes
    }

    fn schema(&self) -> Option<&'static Schema> {
        Some(T::SCHEMA)
    }
}

impl<T> Clone for Subscription<T> {
    fn clone(&self) -> Self {
        Subscription { queue: self.queue.clone() }
    }
}

impl<T> Clone for Subscriber<T> {
    fn clone(&self) -> Self {
        Subscriber { queue: self.queue.clone(), resumes: self.resumes }
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("unacknowledged", &self.queue.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Subscriber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("resumes", &self.resumes).finish_non_exhaustive()
    }
}
