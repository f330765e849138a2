//! Sources: where records enter, partition by partition.

use crate::bounds::REPLAY_PAUSES_MAX;
use crate::checkpoint::notes::{Noted, Notes};
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos, Tick};
use crate::ingress::Taken;
use crate::operator::push::{Link, Pipe, Push};
use crate::record::schema::Schema;
use crate::stage::context::StageContext;
use crate::state::memory::Memory;
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;

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

    /// Whether its records can be had again after the process is gone: because they can be read again, or because the partitions log them.
    /// A job with durability refuses a source of which neither is true.
    fn is_replayable(&self) -> bool {
        false
    }

    /// Of what kind it is, which says what its positions mean: a job that has another kind of source where it had this one is refused, since it
    /// would go on somewhere else. All of one's own are `custom` unless they say more; what is said must not change from one version to the next.
    fn kind(&self) -> Cow<'static, str> {
        "custom".into()
    }

    /// The schema of its records, if partitions log them: a job whose records have become others is then refused, since it would
    /// read them wrongly.
    fn schema(&self) -> Option<&'static Schema> {
        None
    }

    /// Takes what wakes the engine when records arrive from outside of it; sources that are only polled ignore it.
    fn attach(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        let _ = wake;
    }

    /// Takes what says why the job failed, for those outside of the engine who would otherwise learn only that it is gone.
    fn attach_failure(&self, failure: FailureOfJob) {
        let _ = failure;
    }
}

/// Says why the job has failed; nothing as long as it has not.
pub type FailureOfJob = Arc<dyn Fn() -> Option<Arc<dyn Error + Send + Sync>> + Send + Sync>;

/// What a read may take, and what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The driver's clock when the step began.
    pub now: Nanos,
    /// The tick that the records will be of, should there be any.
    pub tick: Tick,
    /// The most records to yield; more is a mistake, unless what is yielded must not be divided.
    pub records_max: usize,
    /// The most bytes to log; 0 where the job has no durability.
    pub logged_max: usize,
}

/// What a partition is told before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenContext {
    /// The most bytes that it will ever be let log in one tick; `usize::MAX` where the job has no durability. What is larger, and cannot be
    /// divided, has to be refused.
    pub logged_max: usize,
    /// Whether the run only recovers what other shards left, and takes in nothing: another run follows it at once.
    pub is_rescale: bool,
}

/// What a partition says after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// There may be more.
    Open,
    /// There is more, for which so many bytes have to be logged in one tick, and that is more than `logged_max`. They are set aside, if they
    /// are no more than the [open](OpenContext) allows; then it is the partition's turn.
    Waits(usize),
    /// There will be no more, ever.
    Done,
}

/// One partition of a source.
pub trait Partition: 'static {
    /// What it yields.
    type Item;

    /// What waits here for the engine counts against `memory`, as soon as the partition is opened: for partitions that others send into, who wait
    /// then, or are refused, when there is no more.
    fn count_in(&mut self, memory: &Arc<dyn Memory>) {
        let _ = memory;
    }

    /// Says what holds for the whole run, before anything else is asked.
    fn begin(&mut self, open: OpenContext) {
        let _ = open;
    }

    /// Hands what is there, at most `poll.records_max` records, to `out`; never waits.
    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(Self::Item)) -> Polled;

    /// How far the partition is, for streams timed by `from_source()`: no later record is older. Asked after each read.
    fn watermark(&self) -> EventTime {
        EventTime::MIN
    }

    /// As [`poll`](Self::poll), in a job with durability: what is written to `log` comes back to [`replay`](Self::replay) after a restart. A partition
    /// that can read its records again writes nothing, which is the default.
    fn poll_logged(&mut self, poll: Poll, log: &mut Vec<u8>, out: &mut impl FnMut(Self::Item)) -> Polled {
        let _ = log;
        self.poll(poll, out)
    }

    /// Yields the `poll.records_max` records again that it yielded when it wrote `logged`. The default reads on.
    ///
    /// # Errors
    /// When they cannot be had.
    fn replay(&mut self, poll: Poll, logged: &[u8], out: &mut impl FnMut(Self::Item)) -> Result<(), String> {
        let _ = logged;
        let (mut records, mut pauses) = (0, 0);
        while records < poll.records_max {
            let rest = Poll { records_max: poll.records_max - records, ..poll };
            let mut yielded = 0;
            let polled = self.poll(rest, &mut |record| {
                yielded += 1;
                out(record);
            });
            records += yielded;
            pauses = if yielded > 0 { 0 } else { pauses + 1 };
            if records < poll.records_max && (polled == Polled::Done || pauses > REPLAY_PAUSES_MAX) {
                return Err(format!("{records} of {} records can be read again", poll.records_max));
            }
        }
        Ok(())
    }

    /// What [`resume`](Self::resume) needs to be quick, noted at a checkpoint; nothing by default.
    fn position(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Goes on behind the first `records` records, of which `position` was noted. The default reads and drops them.
    ///
    /// # Errors
    /// When the source is not what it was.
    fn resume(&mut self, records: u64, position: &[u8]) -> Result<(), String> {
        let _ = position;
        let mut left = records;
        let poll = Poll { now: Nanos(0), tick: Tick(0), records_max: 0, logged_max: 0 };
        while left > 0 {
            let records_max = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 16);
            self.replay(Poll { records_max, ..poll }, &[], &mut drop)?;
            left -= records_max as u64;
        }
        Ok(())
    }

    /// Everything of ticks up to `through` will be durable: those who sent it may be told. Called when that has risen.
    fn released(&mut self, through: Tick) {
        let _ = through;
    }

    /// The job is to stop in order: from now on whoever sends records to the partition is refused. What was accepted before is
    /// still to be yielded. Sources that nobody sends to ignore it.
    fn refuse(&mut self) {}

    /// Whether the partition has accepted records that it has not yielded yet. A job that stops in order reads it until it has
    /// none; a source that nobody sends to never has any.
    fn holds(&self) -> bool {
        false
    }

    /// Why the partition said that it is done, if it failed. Asked then; the job stops with what it says.
    fn failure(&mut self) -> Option<String> {
        None
    }
}

/// What came of reading a partition.
pub(crate) struct Read {
    pub(crate) taken: Taken,
    /// Bytes that the partition waits to log; 0 if it waits for none.
    pub(crate) waits: usize,
    /// Whether a generator noted anything new.
    pub(crate) news: bool,
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

    /// Tells the partitions what holds for the whole run.
    fn begin(&mut self, open: OpenContext);

    /// Reads partition `index`, unless it has ended, and has it log to `log` if there is one.
    fn read(&mut self, index: usize, poll: Poll, log: Option<&mut Vec<u8>>) -> Read;

    /// Reads partition `index` as it was read when it gave `taken` and logged `logged`. Returns whether a generator noted anything new.
    fn replay(&mut self, index: usize, poll: Poll, taken: Taken, logged: &[u8]) -> bool;

    /// Tells the partitions that ticks up to `through` will be durable.
    fn released(&mut self, through: Tick);

    /// Notes where each partition is, under the name that the job has for it.
    fn note_positions(&mut self, notes: &mut Notes);

    /// Takes the partitions to where they were.
    fn resume(&mut self, positions: &BTreeMap<u64, Position>) -> Result<(), Fault>;

    /// The job stops in order: has every partition refuse what is new, and leaves those in peace that hold nothing which they have
    /// accepted; if the input `ends`, these have no more. Whether any still holds something.
    fn settle(&mut self, ends: bool) -> bool;
}

/// Where a partition was at a checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    records: u64,
    done: bool,
    own: Vec<u8>,
}

impl Position {
    pub(crate) fn read(noted: &mut Noted<'_>) -> Result<(u64, Position), Fault> {
        let (name, records, done) = (noted.number()?, noted.number()?, noted.number()? != 0);
        Ok((name, Position { records, done, own: noted.bytes()?.to_vec() }))
    }
}

/// The name in the job of partition `index` of the source of that id.
pub(crate) fn partition_name(source: u32, index: usize) -> u64 {
    u64::from(source) << 32 | index as u64
}

/// The reader of a [`Source`].
pub(crate) struct FromSource<P, N> {
    partitions: Vec<Option<P>>,
    /// Those that have ended, as long as some of their records wait to be durable.
    ended: Vec<P>,
    /// Records that each has yielded.
    records: Vec<u64>,
    names: Vec<u64>,
    /// The number of the first of them among all partitions of this shard.
    first: usize,
    /// The job stops in order: only what was accepted is read.
    settling: bool,
    context: Rc<StageContext>,
    next: N,
}

impl<P, N> FromSource<P, N> {
    /// Reads `partitions`, each with its name in the job.
    pub(crate) fn new(
        partitions: Vec<P>,
        names: Vec<u64>,
        first: usize,
        context: Rc<StageContext>,
        next: N,
    ) -> Self {
        let records = alloc::vec![0; partitions.len()];
        FromSource {
            partitions: partitions.into_iter().map(Some).collect(),
            ended: Vec::new(),
            records,
            names,
            first,
            settling: false,
            context,
            next,
        }
    }
}

impl<P: Partition, N: Push<P::Item>> FromSource<P, N> {
    /// The partition has no more. Those who sent it still have to hear that their records are durable.
    fn end(&mut self, index: usize) {
        let partition = self.partitions[index].take();
        if self.context.run().durable {
            self.ended.extend(partition);
        }
    }

    /// The partition has been read: generators note what came of it. Returns whether that was anything new.
    fn note_taken(&mut self, index: usize, taken: Taken, now: Nanos) -> bool {
        self.records[index] += taken.records as u64;
        if taken.done {
            self.end(index);
        }
        self.next.mark(&taken, now)
    }
}

impl<P: Partition, N: Push<P::Item>> Reader for FromSource<P, N> {
    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn is_open(&self, index: usize) -> bool {
        self.partitions[index].is_some()
    }

    fn begin(&mut self, open: OpenContext) {
        self.partitions.iter_mut().flatten().for_each(|partition| partition.begin(open));
    }

    fn read(&mut self, index: usize, poll: Poll, log: Option<&mut Vec<u8>>) -> Read {
        self.context.partition.set(self.first + index);
        let mut asked = poll.records_max > 0;
        let mut waits = 0;
        let mut taken = Taken { records: 0, watermark: EventTime::MAX, done: true, asked };
        if let Some(partition) = &mut self.partitions[index] {
            asked &= !self.settling || partition.holds();
            let next = &mut self.next;
            // Counted in a local, which stays in a register if the partition's loop is inlined here: so each of the two calls has a closure of
            // its own, and what is made of it only one caller.
            let mut records = 0;
            let polled = match log {
                _ if !asked => Polled::Open,
                None => partition.poll(poll, &mut |record| {
                    records += 1;
                    next.push(EventTime::MIN, record);
                }),
                Some(log) => partition.poll_logged(poll, log, &mut |record| {
                    records += 1;
                    next.push(EventTime::MIN, record);
                }),
            };
            if let Polled::Waits(bytes) = polled {
                waits = bytes;
            }
            taken = Taken { records, watermark: partition.watermark(), done: polled == Polled::Done, asked };
            if taken.done
                && let Some(message) = partition.failure()
            {
                self.context.fail(Fault::External { shard: self.context.shard, message });
            }
        }
        let news = self.note_taken(index, taken, poll.now);
        Read { taken, waits, news }
    }

    fn replay(&mut self, index: usize, poll: Poll, taken: Taken, logged: &[u8]) -> bool {
        self.context.partition.set(self.first + index);
        if let Some(partition) = &mut self.partitions[index] {
            let next = &mut self.next;
            let mut records = 0;
            let replayed =
                partition.replay(Poll { records_max: taken.records, ..poll }, logged, &mut |record| {
                    records += 1;
                    next.push(EventTime::MIN, record);
                });
            if replayed.is_ok() {
                assert_eq!(records, taken.records, "a replayed partition must yield what it yielded before");
            }
            if let Err(message) = replayed {
                let message = format!("{}, source partition {index}: {message}", poll.tick);
                self.context.fail(Fault::Restore { message });
            }
        } else if taken.records > 0 {
            let message = format!("{}: source partition {index} had ended before", poll.tick);
            self.context.fail(Fault::Restore { message });
        }
        self.note_taken(index, taken, poll.now)
    }

    fn released(&mut self, through: Tick) {
        let open = self.partitions.iter_mut().flatten();
        open.chain(&mut self.ended).for_each(|partition| partition.released(through));
        if through == Tick::END {
            self.ended.clear();
        }
    }

    fn note_positions(&mut self, notes: &mut Notes) {
        for ((partition, records), name) in self.partitions.iter_mut().zip(&self.records).zip(&self.names) {
            notes.number(*name);
            notes.number(*records);
            notes.number(u64::from(partition.is_none()));
            notes.bytes(&partition.as_mut().map(Partition::position).unwrap_or_default());
        }
    }

    fn resume(&mut self, positions: &BTreeMap<u64, Position>) -> Result<(), Fault> {
        for ((slot, records), name) in self.partitions.iter_mut().zip(&mut self.records).zip(&self.names) {
            let Some(position) = positions.get(name) else { continue };
            *records = position.records;
            if position.done {
                *slot = None;
            }
            if let Some(partition) = slot {
                let resumed = partition.resume(position.records, &position.own);
                resumed.map_err(|message| Fault::Restore {
                    message: format!("partition {} of source {}: {message}", *name as u32, name >> 32),
                })?;
            }
        }
        Ok(())
    }

    fn settle(&mut self, ends: bool) -> bool {
        if !core::mem::replace(&mut self.settling, true) {
            self.partitions.iter_mut().flatten().for_each(Partition::refuse);
        }
        if ends {
            for index in 0..self.partitions.len() {
                if self.partitions[index].as_ref().is_some_and(|partition| !partition.holds()) {
                    self.end(index);
                }
            }
        }
        self.partitions.iter().flatten().any(Partition::holds)
    }
}

impl<P: 'static, N: Pipe> Pipe for FromSource<P, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
