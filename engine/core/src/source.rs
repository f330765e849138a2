//! Sources: where records enter, partition by partition.

use crate::context::StageContext;
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos};
use crate::ingress::Taken;
use crate::push::{Pipe, Push, forward};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A source of a job: a number of partitions, each of which one shard reads.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source",
    note = "`generate(..)`, `channel(..)` and the sources of `pelton::connect` are sources"
)]
pub trait Source: Clone + Send + Sync + 'static {
    /// What it yields.
    type Item: 'static;
    /// One partition, living on the thread of the shard that reads it.
    type Partition: Partition<Item = Self::Item>;

    /// How many partitions there are in a job of `shards` shards. Partition `p` is read by shard `p % shards`.
    fn partitions(&self, shards: usize) -> usize;

    /// Opens partition `index` of `of`, on the thread of the shard that reads it.
    fn open(&self, index: usize, of: usize) -> Self::Partition;

    /// Takes what wakes the engine when records arrive from outside of it; sources that are only polled ignore it.
    fn attach(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        let _ = wake;
    }
}

/// What a read may take, and what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The driver's clock when the step began.
    pub now: Nanos,
    /// The most records to yield; more is a mistake.
    pub records_max: usize,
}

/// What a partition says after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// There may be more.
    Open,
    /// There will be no more, ever.
    Done,
}

/// One partition of a source.
pub trait Partition: 'static {
    /// What it yields.
    type Item;

    /// Hands what is there, at most `poll.records_max` records, to `out`; never waits.
    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(Self::Item)) -> Polled;

    /// How far the partition is, for streams timed by `from_source()`: no later record is older. Asked after each read.
    fn watermark(&self) -> EventTime {
        EventTime::MIN
    }

    /// Why the partition said that it is done, if it failed. Asked then; the job stops with what it says.
    fn failure(&mut self) -> Option<String> {
        None
    }
}

/// A source on one shard: its partitions there, and the chain behind them.
pub(crate) trait Reader: Pipe {
    /// Partitions here.
    fn partitions(&self) -> usize;

    /// Partitions here that have not ended.
    fn open(&self) -> usize {
        (0..self.partitions()).filter(|&index| self.is_open(index)).count()
    }

    /// Whether partition `index` has not ended.
    fn is_open(&self, index: usize) -> bool;

    /// Reads partition `index`, unless it has ended; `replay` says what it gave when this tick ran first. What it pauses before
    /// is still to be read then.
    fn read(&mut self, index: usize, poll: Poll, replay: Option<Taken>) -> Taken;

    /// Ends every partition as if it had no more.
    fn close(&mut self);
}

/// The reader of a [`Source`].
pub(crate) struct FromSource<P, N> {
    partitions: Vec<Option<P>>,
    /// The number of the first of them among all partitions of this shard.
    first: usize,
    context: Rc<StageContext>,
    next: N,
}

impl<P, N> FromSource<P, N> {
    pub(crate) fn new(partitions: Vec<P>, first: usize, context: Rc<StageContext>, next: N) -> Self {
        FromSource { partitions: partitions.into_iter().map(Some).collect(), first, context, next }
    }
}

impl<P: Partition, N: Push<P::Item>> Reader for FromSource<P, N> {
    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn is_open(&self, index: usize) -> bool {
        self.partitions[index].is_some()
    }

    fn read(&mut self, index: usize, poll: Poll, replay: Option<Taken>) -> Taken {
        let context = &self.context;
        let asked = replay.map_or(poll.records_max > 0, |then| then.asked);
        let mut taken = Taken { records: 0, watermark: EventTime::MAX, done: true, asked };
        if let Some(partition) = &mut self.partitions[index] {
            let next = &mut self.next;
            // Counted in a local, which stays in a register.
            let mut records = 0;
            let mut take = |record| {
                records += 1;
                next.push(EventTime::MIN, record);
            };
            let polled = if asked { partition.poll(poll, &mut take) } else { Polled::Open };
            assert!(
                records <= poll.records_max,
                "a partition yielded {records} of at most {} records",
                poll.records_max
            );
            taken = Taken { records, watermark: partition.watermark(), done: polled == Polled::Done, asked };
            if taken.done
                && let Some(message) = partition.failure()
            {
                context.fail(Fault::External { shard: context.shard, message });
            }
        }
        if let Some(then) = replay {
            if taken.records < then.records && !taken.done {
                return taken;
            }
            assert_eq!(taken.records, then.records, "a replayed partition must yield what it yielded before");
            taken = then;
        }
        if taken.done {
            self.partitions[index] = None;
        }
        context.partition.set(self.first + index);
        context.partition_watermark.set(taken.watermark);
        context.partition_done.set(taken.done);
        context.partition_asked.set(taken.asked);
        self.next.mark();
        taken
    }

    fn close(&mut self) {
        self.partitions.iter_mut().for_each(|partition| *partition = None);
    }
}

impl<P: 'static, N: Pipe> Pipe for FromSource<P, N> {
    forward!(next);
}
