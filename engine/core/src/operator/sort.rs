//! Sorting by event time: records are held back until no earlier one can come.
//!
//! A record enters once through a frame and waits in a heap. When the watermark passes its time it leaves, in
//! the order (event time, the order given for ties, arrival). The watermark is a bound on all that is still
//! to come, so what has left is in order for good. Records that compare as equal at one time leave as they
//! arrived, in the merge order of ticks; an order in which only equal records are equal makes the result the
//! same for any number of shards and any cut into ticks.
//!
//! A record costs O(log n) moves on its way in and again on its way out, n being what the watermark has not
//! passed. Releasing is bounded by the step. A record that comes after the watermark has passed its time is
//! late: it cannot be put in its place any more, is counted, and goes into the late output.

mod saving;

use crate::bounds::FIRE_ROWS_MAX;
use crate::checkpoint::announced::Announced;
use crate::checkpoint::owns::Owns;
use crate::checkpoint::saver::Saver;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::exchange::frame::Frame;
use crate::exchange::hash::{fold, join};
use crate::exchange::partition::{ArchivedKeyed, Keyed};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::Operator;
use crate::operator::fork::SideOutput;
use crate::operator::push::{Link, Pipe, Push};
use crate::record::key::Key;
use crate::record::{Record, digest, is_fixed, read, struct_record};
use crate::stage::build::OperatorContext;
use crate::stage::context::StageContext;
use crate::state::heap::Heap;
use crate::state::memory::{Buf, Memory};
use crate::state::slots::Slots;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::marker::PhantomData;
use rkyv::{Archive, Deserialize, Serialize};

/// A record that waits.
#[derive(Archive, Serialize, Deserialize)]
struct Waiting<T> {
    at: i64,
    /// How many came before it.
    arrival: u64,
    /// That of the key, which says where the record lives.
    hash: u64,
    record: T,
}
struct_record!(Waiting<T> { at: i64, arrival: u64, hash: u64, record: T });

/// When a record may leave, and its place among those that wait. Records stay where they are while these are put in
/// order.
#[derive(Clone, Copy)]
struct Due {
    at: i64,
    place: u32,
}

/// The sorting operator behind an exchange by `K`. `C` compares records of equal times; sorted ones go to
/// `next`, late ones to `late`.
pub struct SortOperator<K, T, C, N> {
    compare: C,
    waiting: Slots<Waiting<T>>,
    due: Heap<Due>,
    arrivals: u64,
    /// Everything before this has left.
    passed: EventTime,
    may_wait: bool,
    next: N,
    late: SideOutput<T>,
    context: Rc<StageContext>,
    saver: Saver,
    /// What is still to come of a checkpoint that is being restored; how many earlier shards began to come; and of
    /// each record, where those of several meet, (arrival, earlier shard, place).
    announced: Announced<u32>,
    earlier: u32,
    origins: Option<Buf<(u64, u32, u32)>>,
    memory: Arc<dyn Memory>,
    _keys: PhantomData<K>,
}

impl<K, T, C, N> SortOperator<K, T, C, N>
where
    K: Key,
    T: Record,
    C: Fn(&T, &T) -> Ordering + 'static,
    N: Push<T>,
{
    /// An operator that holds nothing yet.
    pub fn new(compare: C, at: OperatorContext, next: N, late: SideOutput<T>) -> Self {
        SortOperator {
            compare,
            waiting: Slots::new(at.memory.clone()),
            due: Heap::new(at.memory.clone()),
            arrivals: 0,
            passed: EventTime::MIN,
            may_wait: at.may_wait,
            next,
            late,
            context: at.context,
            saver: Saver::new(&at.memory),
            announced: Announced::new(),
            earlier: 0,
            origins: None,
            memory: at.memory,
            _keys: PhantomData,
        }
    }

    fn before<'a>(
        compare: &'a C,
        waiting: &'a Slots<Waiting<T>>,
    ) -> impl Fn(&Due, &Due) -> bool + use<'a, K, T, C, N> {
        move |a, b| match a.at.cmp(&b.at) {
            Ordering::Equal => {
                let (a, b) = (&waiting[a.place], &waiting[b.place]);
                compare(&a.record, &b.record).then(a.arrival.cmp(&b.arrival)).is_lt()
            }
            order => order.is_lt(),
        }
    }

    fn add(&mut self, hash: u64, keyed: &ArchivedKeyed<K, T>) -> Result<(), Fault> {
        let (at, record) = (EventTime(keyed.at.into()), read(&keyed.item));
        if at < self.passed {
            self.context.stats.late.add(1);
            self.late.push(at, record);
            return Ok(());
        }
        self.arrivals += 1;
        let waiting = Waiting { at: at.0, arrival: self.arrivals, hash, record };
        let place = self.waiting.add(waiting, &mut self.saver)?;
        Ok(self.due.push(Due { at: at.0, place }, Self::before(&self.compare, &self.waiting))?)
    }
}

impl<K, T, C, N> Operator for SortOperator<K, T, C, N>
where
    K: Key,
    T: Record,
    C: Fn(&T, &T) -> Ordering + 'static,
    N: Push<T>,
{
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Fault> {
        if is_fixed::<Keyed<K, T>>() {
            // SAFETY: the exchange that feeds this operator sends `Keyed<K, T>`.
            let mut records = unsafe { frame.fixed::<ArchivedKeyed<K, T>>() }.iter();
            records.try_for_each(|keyed| self.add(read::<K>(&keyed.key).hash(), keyed))?;
        } else {
            // SAFETY: as above.
            let mut records = unsafe { frame.entries::<ArchivedKeyed<K, T>>() };
            records.try_for_each(|(hash, keyed)| self.add(hash, keyed))?;
        }
        self.context.check()
    }

    fn complete(&mut self, watermark: EventTime) -> Result<bool, Fault> {
        let room = if self.may_wait { self.next.room() } else { usize::MAX };
        let mut budget = room.min(FIRE_ROWS_MAX);
        // At the end of the input everything leaves, the last instant of time included.
        let free = |due: &Due| due.at < watermark.0 || watermark == EventTime::MAX;
        while self.due.peek().is_some_and(free) {
            if budget == 0 {
                self.next.flush();
                self.context.check()?;
                return Ok(false);
            }
            budget -= 1;
            if let Some(due) = self.due.pop(Self::before(&self.compare, &self.waiting)) {
                let waiting = self.waiting.take(due.place, &mut self.saver)?;
                self.next.push(EventTime(waiting.at), waiting.record);
            }
        }
        self.passed = self.passed.max(watermark);
        self.context.check().map(|()| true)
    }

    fn due(&self) -> EventTime {
        self.due.peek().map_or(EventTime::MAX, |due| EventTime(due.at).plus(1))
    }

    fn freeze(&mut self, full: bool) {
        self.freeze_waiting(full);
    }

    fn save(&mut self, section: Section, out: &mut dyn SnapshotOut) -> bool {
        let saved = self.save_waiting(section, out);
        saved.unwrap_or_else(|fault| {
            self.context.fail(fault);
            false
        })
    }

    fn restore(&mut self, block: BlockId, bytes: &[u8], owns: Owns<'_>) -> Result<(), Fault> {
        self.restore_block(block, bytes, owns)
    }

    fn extract(
        &mut self,
        section: Section,
        moves: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<(BlockId, Vec<u8>)>, Fault> {
        self.extract_rows(section, moves)
    }

    fn restored(&mut self) -> Result<(), Fault> {
        self.end_restore()
    }

    fn digest(&mut self) -> u64 {
        let of =
            |waiting: &Waiting<T>| join(join(waiting.at as u64, waiting.arrival), digest(&waiting.record));
        // A sum, so that places do not show.
        self.waiting
            .iter()
            .fold(fold(self.passed.0 as u64), |sum, (_, waiting)| sum.wrapping_add(of(waiting)))
    }
}

impl<K: 'static, T: 'static, C: 'static, N: Pipe> Pipe for SortOperator<K, T, C, N> {
    fn each_link(&mut self, visit: &mut dyn FnMut(&mut dyn Link)) {
        self.next.each_link(visit);
    }
}
