//! Event time and watermarks: from here on each record has a time, and the stream knows how far it has come.
//!
//! A watermark is kept for each source partition that feeds this operator on this shard, and the least of them counts. A
//! partition that has ended no longer holds it back; nor does one that was silent for the idle limit, measured on the driver's
//! clock, whose readings are part of the input. Where all that have not ended are silent, the shard says that it is [`IDLE`]:
//! nobody waits for it, and when one speaks again its watermark is the old one.
//!
//! What a shard says may therefore fall. It is nothing but the least of its partitions, so the least of what all shards say is the
//! least of all partitions, however they are divided among shards; those who act on that keep it from falling
//! ([`Stage`](crate::stage)). Were it held up here, a partition that comes back would hold others back or not depending on whose
//! shard it shares. `docs/operating/time.md` has the rules.

use crate::context::{IDLE, StageContext};
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos};
use crate::notes::{Earlier, Noted, Notes};
use crate::push::{Pipe, Push, forward};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

/// How a watermark follows from the times that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// No record is older than the newest by more than this many nanoseconds.
    Bounded {
        /// The bound, 0 for a stream in order.
        nanos: i64,
        /// A partition without records for this long on the driver's clock is idle; 0 means never.
        idle_nanos: u64,
    },
    /// The source itself says how far it is.
    Source,
    /// Event time is the wall clock; the watermark follows it in whole milliseconds, from one tick to the next.
    Clock,
}

impl Timing {
    /// Whether a clock or the source itself has a part in it. Only stage 0 has those: what they say is in the ingress log.
    pub fn belongs_to_sources(&self) -> bool {
        matches!(self, Timing::Clock | Timing::Source | Timing::Bounded { idle_nanos: 1.., .. })
    }
}

/// Gives each record its event time and generates the watermark.
pub struct Stamp<F, N> {
    f: F,
    next: N,
    timing: Timing,
    /// Its number in the job.
    index: usize,
    context: Rc<StageContext>,
    watermark: Rc<Cell<EventTime>>,
    /// The newest time since the last mark.
    newest: EventTime,
    partitions: Vec<Progress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    /// Counted within this shard.
    partition: usize,
    /// Its name in the job, whichever shard reads it.
    name: u64,
    watermark: EventTime,
    heard: Nanos,
    idle: bool,
    done: bool,
}

impl Progress {
    fn note(&self, notes: &mut Notes) {
        notes.number(self.name);
        notes.time(self.watermark);
        notes.number(self.heard.0);
        notes.number(u64::from(self.idle) | u64::from(self.done) << 1);
    }

    fn read(notes: &mut Noted<'_>) -> Result<Self, Fault> {
        let (name, watermark, heard) = (notes.number()?, notes.time()?, Nanos(notes.number()?));
        let flags = notes.number()?;
        Ok(Progress { partition: 0, name, watermark, heard, idle: flags & 1 != 0, done: flags & 2 != 0 })
    }
}

impl<F, N> Stamp<F, N> {
    /// Generator `index` of the job, behind these source partitions of this shard: their numbers here, and their names in the job.
    pub fn new(
        f: F,
        timing: Timing,
        index: usize,
        partitions: impl IntoIterator<Item = (usize, u64)>,
        context: Rc<StageContext>,
        next: N,
    ) -> Self {
        let (watermark, heard) = (EventTime::MIN, Nanos(0));
        let silent =
            |(partition, name)| Progress { partition, name, watermark, heard, idle: false, done: false };
        let watermark = context.generator(index);
        let partitions: Vec<Progress> = partitions.into_iter().map(silent).collect();
        if partitions.is_empty() {
            // A shard without a partition has nothing that could come late.
            watermark.set(EventTime::MAX);
        }
        Stamp { f, next, timing, index, watermark, context, newest: EventTime::MIN, partitions }
    }

    fn progress(&mut self) {
        let now = self.context.now.get();
        let index = self.context.partition.get();
        let Some(partition) = self.partitions.iter_mut().find(|p| p.partition == index) else { return };
        let before = *partition;
        let heard = self.newest > EventTime::MIN;
        if partition.heard == Nanos(0) || heard {
            partition.heard = now;
        }
        partition.done = self.context.partition_done.get();
        let seen = match self.timing {
            Timing::Source => self.context.partition_watermark.get(),
            // Moves when the tick ends: whether there is one must not depend on it.
            Timing::Clock => EventTime::MIN,
            Timing::Bounded { nanos, idle_nanos } => {
                // Silence means something only where the partition was asked; until then it is what it was.
                if self.context.partition_asked.get() {
                    partition.idle = idle_nanos > 0 && now.0.saturating_sub(partition.heard.0) >= idle_nanos;
                }
                if heard { self.newest.minus(nanos) } else { EventTime::MIN }
            }
        };
        // Only the end of the input closes the last window that there can be.
        partition.watermark = partition.watermark.max(seen.min(IDLE.minus(1)));
        self.newest = EventTime::MIN;
        if *partition != before {
            self.context.noticed.set(true);
        }
        let least = Self::least(&self.partitions);
        self.watermark.set(least);
    }

    /// The watermark, should the tick end now.
    fn least<'a>(partitions: impl IntoIterator<Item = &'a Progress>) -> EventTime {
        let mut open = partitions.into_iter().filter(|p| !p.done).peekable();
        if open.peek().is_none() {
            return EventTime::MAX;
        }
        let least = open.filter(|p| !p.idle).map(|p| p.watermark).min();
        least.unwrap_or(IDLE)
    }
}

impl<T, F: Fn(&T) -> EventTime + 'static, N: Push<T>> Push<T> for Stamp<F, N> {
    #[inline(always)]
    fn push(&mut self, _: EventTime, record: T) {
        let at = (self.f)(&record);
        self.newest = self.newest.max(at);
        self.next.push(at, record);
    }
}

impl<F: 'static, N: Pipe> Pipe for Stamp<F, N> {
    fn mark(&mut self) {
        self.progress();
        self.next.mark();
    }
    fn note(&mut self, notes: &mut Notes) {
        notes.number(self.partitions.len() as u64);
        self.partitions.iter().for_each(|partition| partition.note(notes));
        self.next.note(notes);
    }

    fn recall(&mut self, earlier: &mut Earlier<'_>) -> Result<(), Fault> {
        let noted = earlier.each(|notes| {
            (0..notes.number()?).map(|_| Progress::read(notes)).collect::<Result<Vec<_>, Fault>>()
        })?;
        // Behind an exchange each shard has a partition of the same name: its own counts, or the one that is furthest behind.
        let mut found: BTreeMap<u64, Progress> = BTreeMap::new();
        let counts = |shard: &usize| earlier.mine.is_none_or(|mine| mine == *shard);
        for progress in
            noted.iter().enumerate().filter(|(shard, _)| counts(shard)).flat_map(|(_, noted)| noted)
        {
            let known = found.entry(progress.name).or_insert(*progress);
            if progress.watermark < known.watermark {
                *known = *progress;
            }
        }
        for partition in &mut self.partitions {
            if let Some(progress) = found.get(&partition.name) {
                *partition = Progress { partition: partition.partition, ..*progress };
            }
        }
        if earlier.mine.is_none() {
            self.watermark.set(Self::least(&self.partitions));
            self.context.restore_known(self.index, &|hears| {
                Self::least(found.values().filter(|progress| hears(progress.name)))
            });
        }
        self.next.recall(earlier)
    }
    fn seal(&mut self) {
        if self.timing == Timing::Clock {
            let now = self.context.wall.get().whole_millis();
            let open = self.partitions.iter_mut().filter(|partition| !partition.done);
            open.for_each(|partition| partition.watermark = partition.watermark.max(now));
            self.watermark.set(Self::least(&self.partitions));
        }
        self.next.seal();
    }
    forward!(but mark, seal, note and recall, next);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;
    use crate::push::Nowhere;
    use alloc::sync::Arc;

    struct Bench {
        stamp: Stamp<fn(&i64) -> EventTime, Nowhere>,
        context: Rc<StageContext>,
    }

    /// A generator behind partitions 0 and 1, with disorder of up to 10 and idle after 100.
    fn bench() -> Bench {
        let context = StageContext::new(ShardId(0), Arc::default());
        let timing = Timing::Bounded { nanos: 10, idle_nanos: 100 };
        let stamp = Stamp::new(
            (|n| EventTime(*n)) as fn(&i64) -> EventTime,
            timing,
            7,
            [(0, 0), (1, 1)],
            context.clone(),
            Nowhere,
        );
        Bench { stamp, context }
    }

    impl Bench {
        /// One tick: at `now` the two partitions yield these, and end if they say `None`.
        fn tick(&mut self, now: u64, given: [Option<&[i64]>; 2]) -> EventTime {
            self.context.now.set(Nanos(now));
            for (partition, records) in given.into_iter().enumerate() {
                records
                    .unwrap_or_default()
                    .iter()
                    .for_each(|&record| self.stamp.push(EventTime::MIN, record));
                self.context.partition.set(partition);
                self.context.partition_done.set(records.is_none());
                self.stamp.mark();
            }
            self.stamp.seal();
            self.context.generator(7).get()
        }
    }

    #[test]
    fn the_least_of_the_partitions_counts() {
        let mut bench = bench();
        assert_eq!(bench.tick(1, [Some(&[50]), Some(&[])]), EventTime::MIN);
        assert_eq!(bench.tick(2, [Some(&[90, 70]), Some(&[40])]), EventTime(30));
        assert_eq!(bench.tick(3, [Some(&[]), Some(&[20])]), EventTime(30), "it never falls");
        assert_eq!(bench.tick(4, [Some(&[]), None]), EventTime(80), "what has ended holds nothing back");
        assert_eq!(bench.tick(5, [None, None]), EventTime::MAX);
    }

    #[test]
    fn idle_partitions_are_not_waited_for_and_come_back() {
        let mut bench = bench();
        assert_eq!(bench.tick(1, [Some(&[50]), Some(&[20])]), EventTime(10));
        assert_eq!(bench.tick(90, [Some(&[60]), Some(&[])]), EventTime(10));
        assert_eq!(bench.tick(101, [Some(&[]), Some(&[])]), EventTime(50), "partition 1 is idle");
        assert_eq!(bench.tick(200, [Some(&[]), Some(&[])]), IDLE, "both are");
        assert_eq!(bench.tick(201, [Some(&[]), Some(&[55])]), EventTime(50), "partition 1 is back, behind");
        assert_eq!(bench.tick(202, [Some(&[80]), Some(&[90])]), EventTime(70));
        assert_eq!(
            bench.tick(400, [None, Some(&[])]),
            IDLE,
            "an idle partition may still speak, though the other has ended"
        );
        assert_eq!(bench.tick(401, [None, Some(&[99])]), EventTime(89));
    }

    /// A tick that is not in the log must leave nothing behind, for a replay does not see it.
    #[test]
    fn what_is_remembered_is_noticed() {
        let mut bench = bench();
        let mut noticed = |now, given: [Option<&[i64]>; 2]| {
            bench.tick(now, given);
            bench.context.noticed.take()
        };
        assert!(noticed(1, [Some(&[]), Some(&[])]), "when it began");
        assert!(!noticed(2, [Some(&[]), Some(&[])]));
        assert!(noticed(3, [Some(&[20]), Some(&[50])]));
        assert!(!noticed(90, [Some(&[]), Some(&[])]));
        assert!(noticed(103, [Some(&[]), Some(&[])]), "idle");
        assert!(!noticed(104, [Some(&[]), Some(&[])]));
        assert!(noticed(105, [None, Some(&[])]), "ended");
        assert!(!noticed(106, [None, Some(&[])]));
    }

    #[test]
    fn a_partition_that_comes_back_counts_in_that_very_tick() {
        let mut bench = bench();
        bench.tick(1, [Some(&[20]), Some(&[20])]);
        assert_eq!(bench.tick(150, [Some(&[30]), Some(&[])]), EventTime(20), "partition 1 is idle");
        assert_eq!(bench.tick(151, [Some(&[500]), Some(&[60])]), EventTime(50));
    }

    /// A partition without a share of the tick says nothing: it does not turn idle, and the tick is not made for it.
    #[test]
    fn a_partition_that_was_not_asked_stays_what_it_was() {
        let mut bench = bench();
        assert_eq!(bench.tick(1, [Some(&[50]), Some(&[20])]), EventTime(10));
        bench.context.partition_asked.set(false);
        bench.context.noticed.set(false);
        assert_eq!(bench.tick(500, [Some(&[]), Some(&[])]), EventTime(10));
        assert!(!bench.context.noticed.get());
        bench.context.partition_asked.set(true);
        assert_eq!(bench.tick(501, [Some(&[60]), Some(&[])]), EventTime(50), "asked, and silent for long");
    }

    #[test]
    fn only_the_end_of_the_input_is_the_end_of_time() {
        let mut bench = bench();
        let late = bench.tick(1, [Some(&[i64::MAX]), Some(&[i64::MAX])]);
        assert!(late < IDLE && late > EventTime(i64::MAX - 20));
        assert_eq!(bench.tick(2, [None, None]), EventTime::MAX);
    }
}
