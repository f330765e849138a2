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
//!
//! A record whose time is far ahead of its partition is counted and moves nothing: see [`early`]. That costs a record one comparison, and so does
//! the other way round: one that is older than what its partition's watermark has come to is pushed on as [overdue](Link::overdue), with that watermark.

mod early;
mod kind;
mod progress;

pub use self::kind::WatermarkKind;
use self::progress::Progress;

use crate::checkpoint::notes::{Earlier, Notes, Part};
use crate::fault::Fault;
use crate::ids::{EventTime, Nanos};
use crate::ingress::Taken;
use crate::operator::fork::SideOutput;
use crate::operator::push::{Link, Pipe, Push, TickEnd};
use crate::stage::context::{IDLE, StageContext};
use crate::stats::HeardState;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

/// Gives each record its event time and generates the watermark. Early records go to `early`, if they are `APART`, and with the others if not.
///
/// `APART` is a constant, since a record that may be put aside has to be there whole: where none is, the compiler leaves out every field
/// that the chain does not read. It cost `hop_max`, whose source makes its records, a quarter of its
/// throughput.
pub struct AssignTimestamps<T, F, N, const APART: bool> {
    f: F,
    next: N,
    early: SideOutput<T>,
    generator: Generator,
}

/// The watermark generator of a [`AssignTimestamps`], apart from it since it is the same for all records and chains.
struct Generator {
    timing: WatermarkKind,
    /// Its number in the job.
    index: usize,
    context: Rc<StageContext>,
    watermark: Rc<Cell<EventTime>>,
    /// The newest time of the partition in hand, early ones aside; of a watermark that does not follow the times, the watermark itself.
    newest: EventTime,
    /// A record that is less than this behind the newest time, and not before it, says nothing new: it is neither early nor overdue. 0 as long as all
    /// have to be looked at.
    within: u64,
    /// Whether the watermark follows the times.
    follows: bool,
    /// A record from this time on may be early, and has to be looked at: any, if it is the first since the last mark.
    limit: EventTime,
    /// Records have come since the last mark.
    heard: bool,
    /// What those behind were told: see [`Link::overdue`].
    told: Option<EventTime>,
    partitions: Vec<Progress>,
    /// The place of the partition that was looked up last: they come in turn.
    place: usize,
    /// Where the shard's counters have the first of them.
    line: usize,
}

/// What a look at a record says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Usual,
    /// It may be overdue, or has to be told apart from one that was.
    Behind,
    Early,
}

impl<T, F, N, const APART: bool> AssignTimestamps<T, F, N, APART> {
    /// Generator `index` of the job, behind these source partitions of this shard: their numbers here, and their names in the job.
    pub fn new(
        f: F,
        timing: WatermarkKind,
        index: usize,
        partitions: Vec<(usize, u64)>,
        context: Rc<StageContext>,
        next: N,
        early: SideOutput<T>,
    ) -> Self {
        AssignTimestamps { f, next, early, generator: Generator::new(timing, index, partitions, context) }
    }
}

impl Generator {
    fn new(
        timing: WatermarkKind,
        index: usize,
        partitions: Vec<(usize, u64)>,
        context: Rc<StageContext>,
    ) -> Self {
        let watermark = context.generator(index);
        let partitions: Vec<Progress> = partitions.into_iter().map(Progress::silent).collect();
        if partitions.is_empty() {
            // A shard without a partition has nothing that could come late.
            watermark.set(EventTime::MAX);
        }
        let line =
            context.stats.heard.iter().position(|line| line.generator == index).unwrap_or(usize::MAX / 2);
        Generator {
            timing,
            index,
            watermark,
            context,
            newest: EventTime::MIN,
            within: 0,
            follows: matches!(timing, WatermarkKind::Bounded { .. }),
            limit: EventTime::MIN,
            heard: false,
            told: None,
            partitions,
            place: 0,
            line,
        }
    }

    /// The place of the partition in hand, if the generator hears it.
    fn place(&mut self) -> Option<usize> {
        let (partition, count) = (self.context.partition.get(), self.partitions.len());
        let mut places = (0..count).map(|step| (self.place + step) % count);
        let found = places.find(|place| self.partitions[*place].partition == partition)?;
        self.place = found;
        Some(found)
    }

    /// Notes for those who look on where the partition at a place is.
    fn tell(&self, place: usize, when: Nanos) {
        let partition = &self.partitions[place];
        let Some(line) = self.context.stats.heard.get(self.line + place) else { return };
        let state = match partition {
            Progress { done: true, .. } => HeardState::Ended,
            Progress { idle: true, .. } => HeardState::Idle,
            _ => HeardState::Counts,
        };
        line.set(partition.watermark, state, when);
    }

    /// Whether a record has to be looked at. Most come in some disorder about the newest time, and one comparison says so.
    #[inline(always)]
    fn is_news(&self, at: EventTime) -> bool {
        // As a number without a sign, which has room for any distance, and in which a newer one is far away.
        self.newest.0.wrapping_sub(at.0) as u64 >= self.within
    }

    /// Looks at a record.
    #[inline(always)]
    fn look(&mut self, at: EventTime) -> Look {
        if at >= self.limit && self.is_early(at) {
            return Look::Early;
        }
        let is_newest = at >= self.newest;
        if is_newest && self.follows {
            self.newest = at;
        }
        if is_newest && self.told.is_none() { Look::Usual } else { Look::Behind }
    }

    /// Whether the record at hand, which lies beyond the limit, is early. Raises the limit if not.
    #[cold]
    #[inline(never)]
    fn is_early(&mut self, at: EventTime) -> bool {
        let Some(place) = self.place() else { return false };
        let (follows, bound) = (self.follows, self.timing.early_nanos());
        let partition = &mut self.partitions[place];
        if !core::mem::replace(&mut self.heard, true) {
            self.newest = if follows { partition.trend.newest } else { partition.watermark };
        }
        let Some(bound) = bound else {
            self.limit = EventTime::MAX;
            self.set_within();
            return false;
        };
        let trend = &mut partition.trend;
        trend.newest = trend.newest.max(self.newest);
        let early = trend.is_early(at, bound);
        self.limit = trend.limit(bound);
        if early {
            // It may be that time goes on elsewhere, and this one is early there.
            self.newest = trend.newest;
            self.context.stats.early.add(1);
        }
        self.set_within();
        early
    }

    /// Which records need not be looked at.
    fn set_within(&mut self) {
        let within = self.timing.within();
        // Without a limit, early ones are being counted. Next to the beginning of time, one at its end would not seem far away.
        let some = self.follows
            && self.told.is_none()
            && self.limit > EventTime::MIN
            && self.newest.0.checked_sub_unsigned(within).is_some();
        self.within = if some { within } else { 0 };
    }

    /// What those behind have to be told before the record at this time, if anything.
    #[cold]
    #[inline(never)]
    fn news_for(&mut self, at: EventTime) -> Option<Option<EventTime>> {
        // As for the watermark: only the end of the input is the end of time.
        let watermark = self.timing.behind(self.newest).min(IDLE.minus(1));
        let overdue = (at < watermark).then_some(watermark);
        (overdue != self.told).then(|| {
            self.have_told(overdue);
            overdue
        })
    }

    /// Those behind take what comes for that now.
    fn have_told(&mut self, overdue: Option<EventTime>) {
        self.told = overdue;
        self.set_within();
    }

    fn progress(&mut self, taken: &Taken, now: Nanos) -> bool {
        let Some(place) = self.place() else { return false };
        let partition = &mut self.partitions[place];
        let before = *partition;
        let heard = self.heard;
        if self.follows {
            partition.trend.newest = partition.trend.newest.max(self.newest);
        }
        if partition.heard == Nanos(0) || heard {
            partition.heard = now;
        }
        partition.done = taken.done;
        let seen = match self.timing {
            WatermarkKind::Source => taken.watermark,
            // Moves when the tick ends: whether there is one must not depend on it.
            WatermarkKind::Clock => EventTime::MIN,
            WatermarkKind::Bounded { idle_nanos, .. } => {
                // Silence means something only where the partition was asked; until then it is what it was.
                if taken.asked {
                    partition.idle = idle_nanos > 0 && now.0.saturating_sub(partition.heard.0) >= idle_nanos;
                }
                if heard { self.timing.behind(partition.trend.newest) } else { EventTime::MIN }
            }
        };
        // Only the end of the input closes the last window that there can be.
        partition.watermark = partition.watermark.max(seen.min(IDLE.minus(1)));
        (self.newest, self.limit, self.heard) = (EventTime::MIN, EventTime::MIN, false);
        self.within = 0;
        let news = *partition != before;
        if news {
            self.tell(place, now);
        }
        let least = Self::least(&self.partitions);
        self.watermark.set(least);
        news
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

impl Link for Generator {
    fn mark(&mut self, taken: &Taken, now: Nanos) -> bool {
        self.progress(taken, now)
    }

    fn overdue(&mut self, watermark: Option<EventTime>) {
        // Those behind were told the same, of times that records do not have there.
        self.have_told(watermark);
    }

    fn part(&self) -> Option<Part> {
        Some(Part::generator(self.context.ids(|ids| ids.generator(self.index))))
    }

    fn note(&mut self, notes: &mut Notes) {
        notes.number(self.partitions.len() as u64);
        self.partitions.iter().for_each(|partition| partition.note(notes));
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
        (0..self.partitions.len()).for_each(|place| self.tell(place, self.partitions[place].heard));
        if earlier.mine.is_none() {
            self.watermark.set(Self::least(&self.partitions));
            // A partition that nothing was noted of has yet to say something, whoever reads it.
            self.context.restore_known(self.index, &|heard| {
                let of =
                    |name: &u64| found.get(name).copied().unwrap_or_else(|| Progress::silent((0, *name)));
                Self::least(&heard.iter().map(of).collect::<Vec<_>>())
            });
        }
        Ok(())
    }

    fn seal(&mut self, end: TickEnd) {
        if self.timing == WatermarkKind::Clock {
            let wall = self.context.wall.get().whole_millis();
            for place in 0..self.partitions.len() {
                let partition = &mut self.partitions[place];
                if !partition.done && partition.watermark < wall {
                    partition.watermark = wall;
                    self.tell(place, end.now);
                }
            }
            self.watermark.set(Self::least(&self.partitions));
        }
    }
}

impl<T: 'static, F: Fn(&T) -> EventTime + 'static, N: Push<T>, const APART: bool> Push<T>
    for AssignTimestamps<T, F, N, APART>
{
    #[inline(always)]
    fn push(&mut self, _: EventTime, record: T) {
        let at = (self.f)(&record);
        let generator = &mut self.generator;
        if generator.is_news(at) {
            let look = generator.look(at);
            if APART && look == Look::Early {
                self.early.push(at, record);
                return;
            }
            if look != Look::Usual
                && let Some(overdue) = generator.news_for(at)
            {
                self.next.overdue(overdue);
            }
        }
        self.next.push(at, record);
    }
}

impl<T: 'static, F: 'static, N: Pipe, const APART: bool> Pipe for AssignTimestamps<T, F, N, APART> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        visit(&mut self.generator);
        self.next.each_link(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::push::Nowhere;

    struct Bench {
        stamp: AssignTimestamps<i64, fn(&i64) -> EventTime, Nowhere, false>,
        context: Rc<StageContext>,
        /// Whether the partitions are asked.
        asked: bool,
        /// Whether anything new was noted.
        noticed: bool,
    }

    /// A generator behind partitions 0 and 1, with disorder of up to 10 and idle after 100.
    fn bench() -> Bench {
        bench_with(WatermarkKind::Bounded { nanos: 10, idle_nanos: 100, early_nanos: 1_000 })
    }

    fn bench_with(timing: WatermarkKind) -> Bench {
        let context = Rc::new(StageContext::alone());
        let stamp = AssignTimestamps::new(
            (|n| EventTime(*n)) as fn(&i64) -> EventTime,
            timing,
            7,
            [(0, 0), (1, 1)].into(),
            context.clone(),
            Nowhere,
            SideOutput::new(None),
        );
        Bench { stamp, context, asked: true, noticed: false }
    }

    impl Bench {
        /// One tick: at `now` the two partitions yield these, and end if they say `None`.
        fn tick(&mut self, now: u64, given: [Option<&[i64]>; 2]) -> EventTime {
            for (partition, records) in given.into_iter().enumerate() {
                self.context.partition.set(partition);
                records
                    .unwrap_or_default()
                    .iter()
                    .for_each(|&record| self.stamp.push(EventTime::MIN, record));
                let taken = Taken {
                    records: records.unwrap_or_default().len(),
                    watermark: EventTime::MIN,
                    done: records.is_none(),
                    asked: self.asked,
                };
                self.noticed |= self.stamp.mark(&taken, Nanos(now));
            }
            self.stamp.seal(TickEnd { ended: false, input: EventTime::MIN, now: Nanos(now) });
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
        assert_eq!(bench.tick(201, [Some(&[]), Some(&[55])]), EventTime(45), "partition 1 is back, behind");
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
            core::mem::take(&mut bench.noticed)
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
        bench.asked = false;
        bench.noticed = false;
        assert_eq!(bench.tick(500, [Some(&[]), Some(&[])]), EventTime(10));
        assert!(!bench.noticed);
        bench.asked = true;
        assert_eq!(bench.tick(501, [Some(&[60]), Some(&[])]), EventTime(50), "asked, and silent for long");
    }

    /// An early record moves no watermark, and it is a sign of life.
    #[test]
    fn early_records_move_nothing_and_are_counted() {
        let mut bench = bench();
        assert_eq!(bench.tick(1, [Some(&[20, 5_000, 30]), Some(&[7_000])]), EventTime(20));
        assert_eq!(bench.tick(2, [Some(&[40]), Some(&[7_040, 100_000])]), EventTime(30));
        assert_eq!(bench.context.stats.early.get(), 2, "of each partition, seen from where that one is");
        assert_eq!(bench.tick(90, [Some(&[90_000]), Some(&[7_050])]), EventTime(30));
        assert_eq!(bench.tick(150, [Some(&[]), Some(&[7_060])]), EventTime(30), "it was not idle");
        let jump = [9_000; early::AGREE as usize];
        assert_eq!(bench.tick(151, [Some(&jump), None]), EventTime(8_990), "enough of them are believed");
        // The one of 90,000 is among those that agree, since none of the usual came between.
        assert_eq!(bench.context.stats.early.get(), 3 + jump.len() as u64 - 2);
    }

    /// What is early follows from the sequence of the partition's records, however it is cut into ticks.
    #[test]
    fn ticks_have_no_part_in_what_is_early() {
        let times: Vec<i64> = (0..400)
            .map(|n| {
                n * 7
                    + if (10..13).contains(&(n % 31)) { 9_000 } else { 0 }
                    + if n > 200 { 50_000 } else { 0 }
            })
            .collect();
        let run = |cut: usize| {
            let mut bench = bench();
            let ticks = times.chunks(cut).enumerate();
            let last = ticks.map(|(n, times)| bench.tick(n as u64 + 1, [Some(times), None])).last();
            (bench.context.stats.early.get(), last)
        };
        let expected = run(1);
        assert!(expected.0 > 20);
        for cut in [2, 3, 7, 40, 399, 400] {
            assert_eq!(run(cut), expected, "{cut} records in a tick");
        }
    }

    /// As far from each other as times can be.
    #[test]
    fn a_record_at_the_end_of_time_is_newer_than_one_at_its_beginning() {
        for cut in [false, true] {
            let mut bench =
                bench_with(WatermarkKind::Bounded { nanos: 10, idle_nanos: 0, early_nanos: i64::MAX });
            let (first, last) = (i64::MIN + 3, i64::MAX - 2);
            if cut {
                bench.tick(1, [Some(&[first]), None]);
                assert_eq!(bench.tick(2, [Some(&[last]), None]), EventTime(last - 10));
            } else {
                assert_eq!(bench.tick(1, [Some(&[first, last]), None]), EventTime(last - 10));
            }
        }
    }

    #[test]
    fn only_the_end_of_the_input_is_the_end_of_time() {
        let mut bench = bench();
        let late = bench.tick(1, [Some(&[i64::MAX]), Some(&[i64::MAX])]);
        assert!(late < IDLE && late > EventTime(i64::MAX - 20));
        assert_eq!(bench.tick(2, [None, None]), EventTime::MAX);
    }
}
