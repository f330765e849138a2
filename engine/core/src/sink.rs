//! Sinks: where a stream ends.
//!
//! Each shard writes through a writer of its own, in the order (tick, row). The rows of a tick are committed together, so
//! (tick, shard, number of the row in its tick) names a row for good: a replay of the same input gives it the same name.
//!
//! In a job with durability, rows wait here until their tick is *released*: until the input of every shard through that tick
//! will be durable. What has been shown is then never taken back, and after a restart the same rows come again under the same names. How
//! often each is shown follows from the [`Delivery`].
//!
//! ```text
//!  tick not released yet        held here
//!  tick released                written, committed; then the writer is flushed, once for all ticks released together
//!  row of a released tick       written as it comes; committed and flushed when the tick is sealed
//!  checkpoint                   once its ticks are released, the writer notes what it keeps
//! ```

mod held;

pub use self::held::HeldRows;

use self::held::Held;
use crate::checkpoint::notes::{EarlierParts, Notes, Part};
use crate::fault::Fault;
use crate::ids::{EventTime, ShardId, Tick};
use crate::operator::push::{Link, Pipe, Push, SinkLink, TickEnd};
use crate::record::schema::Schema;
use crate::stage::context::{RunInfo, StageContext};
use crate::state::memory::Memory;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

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

    /// Takes what says how the run ended that is about to begin; for sinks whose rows somebody waits for.
    fn attach(&self, ending: Ending) {
        let _ = ending;
    }

    /// Whether its writers know after a restart which rows they have: only such a sink can deliver exactly once, and does so unless
    /// told otherwise.
    fn is_transactional(&self) -> bool {
        false
    }

    /// The schema of its rows, if writers note whole rows: a job whose rows have become others is then refused, since it would read
    /// them wrongly.
    fn schema(&self) -> Option<&'static Schema> {
        None
    }
}

/// How a run of a job ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Its input has come to its end, and everything that follows from it has been shown.
    Complete,
    /// It was suspended: everything that follows from what was taken in has been shown, and a later run goes on.
    Suspended,
    /// It was stopped at once: rows may be missing.
    Stopped,
    /// It failed, and said this: rows may be missing.
    Failed(Arc<dyn core::error::Error + Send + Sync>),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Complete => f.write_str("the job has come to the end of its input"),
            Outcome::Suspended => f.write_str("the job was suspended"),
            Outcome::Stopped => f.write_str("the job was stopped"),
            Outcome::Failed(error) => write!(f, "the job failed: {error}"),
        }
    }
}

/// Says how the run has ended; nothing as long as it has not.
pub type Ending = Arc<dyn Fn() -> Option<Outcome> + Send + Sync>;

/// How often a row is shown by the sink of a job with durability, if the job is stopped and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    /// Once its input is durable. After a restart nothing of what was taken in before is shown, so what had not been shown by then is lost.
    AtMostOnce,
    /// Once its input is durable. After a restart everything since the last checkpoint is shown again.
    AtLeastOnce,
    /// Once its input is durable. After a restart the sink goes on behind the last row that it has; it must [be transactional](Sink::is_transactional)
    /// which that is.
    ExactlyOnce,
}

/// What a sink has to do before a checkpoint counts, away from the shard's thread.
pub type MakeDurable = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// The same, and whose it is.
pub struct SinkSync {
    /// What the sink is called, for reports.
    pub sink: String,
    /// What it has to do.
    pub run: MakeDurable,
}

/// What sinks keep, being noted for a checkpoint.
#[derive(Default)]
pub struct SinkNotes {
    /// In the order of the sinks.
    pub notes: Notes,
    /// What has to be done before the checkpoint counts: making files durable.
    pub syncs: Vec<MakeDurable>,
    /// What all sinks so far have to do.
    pub(crate) named: Vec<SinkSync>,
}

/// Where a writer goes on.
#[derive(Clone, Debug)]
pub struct Recalled<'a> {
    /// The job's log: what was written by another job's is not to be touched.
    pub log: u128,
    /// Which history of that log: it changes with the number of shards, and when a job goes back to a savepoint. What was kept in another one
    /// counts only as far as the checkpoint says.
    pub generation: u32,
    /// Whether that history begins with this start. If not, what was written in a later one shows that an older copy of the job's data was put
    /// back.
    pub begins: bool,
    /// Whether what was shown behind the checkpoint is given up, since the job goes back to a savepoint. If it begins a history otherwise, from where it
    /// was suspended, nothing was shown behind that, unless an older copy of the job's data was put back.
    pub gives_up: bool,
    /// How often rows are to be shown.
    pub delivery: Delivery,
    /// The checkpoint's tick; 0 before the first.
    pub checkpoint: Tick,
    /// What each shard's writer noted at the checkpoint; nothing before the first.
    pub shards: Vec<&'a [u8]>,
    /// Which of them this writer continues; none if there are now more or fewer shards.
    pub mine: Option<usize>,
    /// Whether the run only recovers what other shards left, with those shards, and another follows it at once: what it writes is the same that
    /// a restart with them would have written, and more is to come.
    pub is_rescale: bool,
}

/// The writing end of a sink on one shard.
pub trait SinkWriter<T>: 'static {
    /// What waits here counts against `memory`: called once, before anything else, for writers that keep rows until somebody comes for them.
    fn count_in(&mut self, memory: &Arc<dyn Memory>) {
        let _ = memory;
    }

    /// Bytes that a row owns on the heap, which count while it waits to be released. A writer of rows that are [records](crate::Record) says what
    /// [they say](crate::Record::heap_bytes); of others that is not known, and nothing counts but the row itself.
    fn heap_bytes(&self, row: &T) -> usize {
        let _ = row;
        0
    }

    /// Takes one row of the tick in progress.
    fn write(&mut self, at: EventTime, row: T);

    /// The tick, in which at least one row was written, is complete.
    ///
    /// # Errors
    /// When the rows could not be kept; the job stops.
    fn commit(&mut self, tick: Tick) -> Result<(), Fault>;

    /// A number of ticks has been committed, and no more come for now: what is buffered goes out.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Nothing more will be written.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    fn close(&mut self) -> Result<(), Fault>;

    /// The job is suspended: nothing more is written in this run, and a later one goes on.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    fn suspend(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Notes what [`recall`](Self::recall) needs, everything through the checkpoint's tick having been committed.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    fn note(&mut self, notes: &mut SinkNotes) -> Result<(), Fault> {
        let _ = notes;
        Ok(())
    }

    /// Called before the first row in a job with durability. Returns the tick through which the writer has all rows.
    ///
    /// The start may still be given up, and then it must not have changed anything: rows of later ticks that the writer may have are for
    /// [`begin`](Self::begin) to take back.
    ///
    /// # Errors
    /// When what it has is not what it had.
    fn recall(&mut self, recalled: &Recalled<'_>) -> Result<Tick, Fault> {
        Ok(recalled.checkpoint)
    }

    /// The start that [`recall`](Self::recall) was part of is certain: what it did not count, rows of later ticks, is taken back now, before
    /// the first row.
    ///
    /// # Errors
    /// When that cannot be done; the job stops.
    fn begin(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// The end of a chain in a sink.
pub struct ToSink<T, W> {
    writer: W,
    delivery: Delivery,
    /// Rows of the tick in progress that were handed over already.
    rows: u64,
    /// Rows that wait for their tick to be sealed and released.
    held: Held<T>,
    sealed: Tick,
    released: Tick,
    /// Rows through this tick need not be held, as none before them is.
    at_once: Tick,
    /// Rows through this tick were shown by an earlier run.
    shown: Tick,
    /// Everything through this tick was taken in by an earlier run, and is replayed.
    replayed: Tick,
    finished: bool,
    closed: bool,
    /// What it is called in reports.
    name: Rc<str>,
    /// What its notes are called.
    part: Part,
    context: Rc<StageContext>,
}

/// Dropped by a panic in a sink's own code, it says whose that was; otherwise it is forgotten, and costs nothing.
struct Blame<'a> {
    context: &'a StageContext,
    name: &'a Rc<str>,
}

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        self.context.blame_sink(self.name);
    }
}

impl<T: 'static, W: SinkWriter<T>> ToSink<T, W> {
    /// Writes what is pushed to `writer`, which is called `name` in reports.
    ///
    /// `sink` is its number in the job, and what waits is counted in `held`.
    pub fn new(
        mut writer: W,
        delivery: Delivery,
        sink: usize,
        name: String,
        context: Rc<StageContext>,
        held: &HeldRows,
    ) -> Self {
        writer.count_in(&held.memory);
        let holds = context.run().durable;
        let part = Part::sink(context.ids(|ids| ids.sink(sink)));
        ToSink {
            writer,
            delivery,
            rows: 0,
            held: held.rows(),
            sealed: Tick(0),
            released: if holds { Tick(0) } else { Tick::END },
            at_once: if holds { Tick(0) } else { Tick::END },
            shown: Tick(0),
            replayed: Tick(0),
            finished: false,
            closed: false,
            name: name.into(),
            part,
            context,
        }
    }

    /// Runs the writer's code; a panic in it is blamed on this sink.
    #[inline(always)]
    fn on_writer<R>(&mut self, call: impl FnOnce(&mut W) -> R) -> R {
        let blame = Blame { context: &self.context, name: &self.name };
        let result = call(&mut self.writer);
        core::mem::forget(blame);
        result
    }

    /// As [`on_writer`](Self::on_writer), and an error is blamed on it, too.
    fn try_on_writer<R>(&mut self, call: impl FnOnce(&mut W) -> Result<R, Fault>) -> Result<R, Fault> {
        self.on_writer(call).inspect_err(|_| self.context.blame_sink(&self.name))
    }

    /// Keeps a row until it is released, unless it is already, or was shown before. Out of the way of jobs without durability: where rows are
    /// written at once, the compiler then leaves out what of a record no writer looks at.
    #[cold]
    #[inline(never)]
    fn hold(&mut self, at: EventTime, row: T) {
        let tick = self.context.tick.get();
        let replayed = self.delivery == Delivery::AtMostOnce && tick <= self.replayed;
        if tick <= self.shown || replayed {
            self.context.stats.rows_known.add(1);
        } else if tick <= self.released && self.held.is_empty() {
            self.at_once = self.released;
            self.rows += 1;
            self.on_writer(|writer| writer.write(at, row));
        } else {
            self.at_once = Tick(0);
            self.context.flush_requested.set(tick);
            self.held.push(tick, at, row);
            if let Err(refused) = self.held.count_last(|row| self.writer.heap_bytes(row)) {
                self.context.blame_sink(&self.name);
                self.context.fail(refused.into());
            }
        }
    }

    /// Hands over what is sealed and released.
    fn show(&mut self) -> Result<(), Fault> {
        if self.held.is_refused() {
            // The job stops, and what is missing of a tick comes again: no part of it may count.
            return Ok(());
        }
        let through = self.released.min(self.sealed);
        let mut any = false;
        while let Some(tick) = self.held.first().filter(|tick| *tick <= through) {
            let mut rows = 0;
            while let Some((at, row)) = self.held.pop_of(tick, |row| self.writer.heap_bytes(row)) {
                self.on_writer(|writer| writer.write(at, row));
                rows += 1;
            }
            self.context.stats.rows_out.add(rows);
            self.try_on_writer(|writer| writer.commit(tick))?;
            any = true;
        }
        if any {
            self.held.settle()?;
            self.try_on_writer(W::flush)?;
        }
        if self.finished && !self.closed && self.released == Tick::END {
            self.closed = true;
            if !self.context.run().dry_run {
                self.try_on_writer(W::close)?;
            }
        }
        Ok(())
    }

    fn show_or_fail(&mut self) {
        if let Err(fault) = self.show() {
            self.context.fail(fault);
        }
    }
}

impl<T: 'static, W: SinkWriter<T>> Push<T> for ToSink<T, W> {
    #[inline(always)]
    fn push(&mut self, at: EventTime, row: T) {
        if self.context.tick.get() <= self.at_once {
            self.rows += 1;
            self.on_writer(|writer| writer.write(at, row));
        } else {
            self.hold(at, row);
        }
    }
}

impl<T: 'static, W: SinkWriter<T>> Pipe for ToSink<T, W> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(self);
    }
}

impl<T: 'static, W: SinkWriter<T>> Link for ToSink<T, W> {
    fn seal(&mut self, _: TickEnd) {
        if self.held.is_refused() {
            return;
        }
        self.sealed = self.context.tick.get();
        if self.rows > 0 {
            self.context.stats.rows_out.add(self.rows);
            self.rows = 0;
            let sealed = self.sealed;
            if let Err(fault) =
                self.try_on_writer(|writer| writer.commit(sealed).and_then(|()| writer.flush()))
            {
                self.context.fail(fault);
            }
        }
        if !self.held.is_empty() {
            self.show_or_fail();
        }
    }

    fn finish(&mut self) {
        self.finished = true;
        self.sealed = Tick::END;
        self.show_or_fail();
    }

    fn release(&mut self, through: Tick) {
        if self.context.run().durable {
            self.released = through;
            self.show_or_fail();
        }
    }

    fn sink(&mut self) -> Option<&mut dyn SinkLink> {
        Some(self)
    }
}

impl<T: 'static, W: SinkWriter<T>> SinkLink for ToSink<T, W> {
    fn note(&mut self, notes: &mut SinkNotes) -> Result<(), Fault> {
        let mut mine = SinkNotes::default();
        self.try_on_writer(|writer| writer.note(&mut mine))?;
        notes.notes.part(self.part, |notes| notes.append(&mine.notes));
        let named = |run| SinkSync { sink: (*self.name).into(), run };
        notes.named.extend(mine.syncs.into_iter().map(named));
        Ok(())
    }

    fn suspend(&mut self) -> Result<(), Fault> {
        if self.closed || self.context.run().dry_run { Ok(()) } else { self.try_on_writer(W::suspend) }
    }

    fn recall(&mut self, earlier: &mut EarlierParts<'_>, checkpoint: Tick) -> Result<Tick, Fault> {
        let (shards, mine) = earlier
            .recall(self.part, |earlier| Ok((earlier.each(|noted| Ok(noted.rest()))?, earlier.mine)))?;
        let RunInfo { log, generation, begins, gives_up, is_rescale, dry_run, .. } = self.context.run();
        if dry_run {
            self.shown = Tick::END;
            return Ok(Tick(0));
        }
        let delivery = self.delivery;
        let recalled =
            Recalled { log, generation, begins, gives_up, delivery, checkpoint, shards, mine, is_rescale };
        let kept = self.try_on_writer(|writer| writer.recall(&recalled))?;
        self.shown = match self.delivery {
            Delivery::AtMostOnce | Delivery::AtLeastOnce => checkpoint,
            Delivery::ExactlyOnce => kept,
        };
        Ok(kept)
    }

    fn begin(&mut self, replayed: Tick) -> Result<(), Fault> {
        self.replayed = replayed;
        if self.context.run().dry_run { Ok(()) } else { self.writer.begin() }
    }
}

#[cfg(test)]
mod tests;
