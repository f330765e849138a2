//! All rows in memory, for tests and small results.

use super::Row;
use super::ended::Ended;
use pelton_core::sink::{Ending, Outcome, Sink, SinkWriter};
use pelton_core::{EventTime, Fault, ShardId, Tick};
use std::sync::{Arc, Mutex, PoisonError};

/// A collecting sink; a clone is a handle to the same rows. Made by [`collect`].
#[derive(Debug)]
pub struct Collect<T> {
    rows: Arc<Mutex<Vec<Row<T>>>>,
    ended: Ended,
}

/// Keeps every row. Unbounded: for tests and small results.
///
/// Rows are in memory only. In a job with durability they are kept once their input is durable; after a restart of the process the sink
/// begins empty and is shown everything since the last checkpoint, rows that an earlier process had among them, under the same names: at
/// least once.
///
/// ```
/// use pelton::prelude::*;
/// let rows = collect();
/// Job::new("copy").source(from_iter(|| 0..3)).sink(rows.clone()).run()?;
/// let mut numbers = rows.take();
/// numbers.sort();
/// assert_eq!(numbers, [0, 1, 2]);
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn collect<T>() -> Collect<T> {
    Collect { rows: Arc::default(), ended: Ended::default() }
}

impl<T> Clone for Collect<T> {
    fn clone(&self) -> Self {
        Collect { rows: self.rows.clone(), ended: self.ended.clone() }
    }
}

impl<T> Collect<T> {
    /// How the job has ended, if it has: unless it is [complete](Outcome::Complete), or was [suspended](Outcome::Suspended), rows may be missing.
    ///
    /// ```
    /// use pelton::Outcome;
    /// use pelton::prelude::*;
    /// let rows = collect();
    /// let job = Job::new("fails").source(from_iter(|| 0..3)).map(|n| 6 / (n - 2)).sink(rows.clone());
    /// assert!(job.run().is_err());
    /// assert!(matches!(rows.outcome(), Some(Outcome::Failed(error)) if error.to_string().contains("divide by zero")));
    /// ```
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended.outcome()
    }

    /// Takes the rows so far, in the order (tick, shard, seq). They are all of them if [`Job::run`](crate::Job::run) returned `Ok`; while the job
    /// runs, and if it failed, they are those so far: see [`outcome`](Self::outcome).
    pub fn take(&self) -> Vec<T> {
        self.take_named().into_iter().map(|row| row.row).collect()
    }

    /// Takes the rows so far with their names, in the order (tick, shard, seq).
    pub fn take_named(&self) -> Vec<Row<T>> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        // Their places are sorted and not they, which is the same code for rows of all types.
        let mut places: Vec<Place> =
            rows.iter().enumerate().map(|(place, row)| (row.tick, row.shard, row.seq, place)).collect();
        places.sort_unstable();
        let mut rows: Vec<_> = rows.into_iter().map(Some).collect();
        places.into_iter().filter_map(|(.., place)| rows[place].take()).collect()
    }
}

impl<T: Send + 'static> Sink<T> for Collect<T> {
    type Writer = Collected<T>;
    fn attach(&self, ending: Ending) {
        let _ = self.ended.attach(ending);
    }
    fn open(&self, shard: ShardId) -> Collected<T> {
        Collected { shard, tick: Vec::new(), all: self.rows.clone() }
    }
}

/// The name of a row, and where it is.
type Place = (Tick, ShardId, u64, usize);

/// The writing end of [`Collect`] on one shard.
#[derive(Debug)]
pub struct Collected<T> {
    shard: ShardId,
    tick: Vec<(EventTime, T)>,
    all: Arc<Mutex<Vec<Row<T>>>>,
}

impl<T: Send + 'static> SinkWriter<T> for Collected<T> {
    fn write(&mut self, at: EventTime, row: T) {
        self.tick.push((at, row));
    }

    fn commit(&mut self, tick: Tick) -> Result<(), Fault> {
        let shard = self.shard;
        let rows = self.tick.drain(..).zip(0..).map(|((at, row), seq)| Row { tick, shard, seq, at, row });
        self.all.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
