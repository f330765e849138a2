//! Session windows: what lies close together in the event time of a key, whoever sent it and in whatever order it came.
//!
//! A record opens the stretch from its time to a *gap* later. Stretches that overlap are one session, which ends a gap after its last record and is
//! closed when the watermark has passed that; a record just a gap after the last one begins another.
//!
//! It is a process function like any other, with the open sessions of a key as its state. Each has a timer at its end or before: one that
//! fires before the end, since records have come meanwhile, is set again at the end, so that a record sets no timer but the first of its session.
//!
//! A record that is [overdue](crate::operator::push::Link::overdue) is late if its own stretch ends at or before its partition's watermark `w`. Otherwise it
//! waits until the watermark has come to `w`, so that it meets the sessions that end after that and no others: those that end before may be open
//! now and closed in another run. Until then whatever else may come overlaps or does not, so what becomes of it is a matter of the records alone.

use crate::aggregate::{Aggregate, Overflow};
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::process::{FiredTimer, KeyContext, ProcessFunction, ValueState};
use crate::record::key::Key;
use crate::record::{Archived, read, struct_record};
use crate::window::{Window, Windowed};
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;
use rkyv::{Archive, Deserialize, Serialize};

/// The tags of timers: a session may be over, and what is overdue may come in. Those of one time fire in this order.
const ENDS: u64 = 0;
const ADMITS: u64 = 1;

/// A session that is open.
#[derive(Archive, Serialize, Deserialize, Clone)]
pub struct Session<A> {
    start: i64,
    end: i64,
    acc: A,
}
struct_record!(Session<A> { start: i64, end: i64, acc: A });

/// The sessions of a key.
#[derive(Archive, Serialize, Deserialize, Clone)]
pub struct OpenSessions<A> {
    /// In the order of their times: none overlap.
    open: Vec<Session<A>>,
    /// What is overdue and waits, as sessions of one record, each with the watermark of its partition.
    waiting: Vec<(i64, Session<A>)>,
}
struct_record!(OpenSessions<A> { open: Vec<Session<A>>, waiting: Vec<(i64, Session<A>)> });

/// The function that keeps sessions of `A` over records of type `T`: rows, and the items of late records.
pub struct Sessions<T, A> {
    aggregate: A,
    gap: i64,
    _records: PhantomData<fn(T)>,
}

impl<T, A: Clone> Clone for Sessions<T, A> {
    fn clone(&self) -> Self {
        Sessions { aggregate: self.aggregate.clone(), gap: self.gap, _records: PhantomData }
    }
}

impl<T, A: Aggregate<T>> Sessions<T, A> {
    /// Sessions that end when nothing has come for `gap` nanoseconds.
    ///
    /// # Panics
    /// When the gap is not above zero.
    pub fn new(aggregate: A, gap: i64) -> Self {
        assert!(gap > 0, "a gap above zero");
        Sessions { aggregate, gap, _records: PhantomData }
    }

    /// The session that has the stretch: what overlaps it becomes one. True if there was none.
    fn place<'a>(
        &self,
        open: &'a mut Vec<Session<A::Acc>>,
        start: i64,
        end: i64,
    ) -> (&'a mut Session<A::Acc>, bool) {
        // One that ends at the end of time would end after it.
        let from = open.partition_point(|session| session.end <= start && session.end < i64::MAX);
        let to = from + open[from..].partition_point(|session| session.start < end || end == i64::MAX);
        if from == to {
            open.insert(from, Session { start, end, acc: self.aggregate.empty() });
        }
        let is_new = from == to;
        let (first, others) = open[from..to.max(from + 1)].split_at_mut(1);
        for other in others {
            self.aggregate.merge(&mut first[0].acc, &other.acc);
            first[0].end = other.end;
        }
        first[0].start = first[0].start.min(start);
        first[0].end = first[0].end.max(end);
        if to > from + 1 {
            open.drain(from + 1..to);
        }
        (&mut open[from], is_new)
    }
}

impl<K, T, A> ProcessFunction<K, A::Item> for Sessions<T, A>
where
    K: Key,
    T: 'static,
    A: Aggregate<T, Out: 'static>,
{
    type State = ValueState<OpenSessions<A::Acc>>;
    type Out = Result<Windowed<K, A::Out>, A::Item>;

    fn record(&self, _: A::Item, _: &mut Option<OpenSessions<A::Acc>>, _: &mut KeyContext<'_, K, Self::Out>) {
        unreachable!("items are read where they lie")
    }

    fn record_archived(
        &self,
        item: &Archived<A::Item>,
        state: &mut Option<OpenSessions<A::Acc>>,
        key: &mut KeyContext<'_, K, Self::Out>,
    ) {
        let start = key.time().0;
        let end = start.saturating_add(self.gap);
        let Some(watermark) = key.overdue() else {
            let sessions =
                state.get_or_insert_with(|| OpenSessions { open: Vec::new(), waiting: Vec::new() });
            let (session, is_new) = self.place(&mut sessions.open, start, end);
            self.aggregate.add_archived(&mut session.acc, item);
            if is_new {
                key.set_timer(EventTime(end), ENDS);
            }
            return;
        };
        if end <= watermark.0 {
            key.count_late(self.aggregate.records(item));
            return key.emit(Err(read(item)));
        }
        let mut acc = self.aggregate.empty();
        self.aggregate.add_archived(&mut acc, item);
        let sessions = state.get_or_insert_with(|| OpenSessions { open: Vec::new(), waiting: Vec::new() });
        sessions.waiting.push((watermark.0, Session { start, end, acc }));
        key.set_timer(watermark, ADMITS);
    }

    fn timer(
        &self,
        timer: FiredTimer,
        state: &mut Option<OpenSessions<A::Acc>>,
        key: &mut KeyContext<'_, K, Self::Out>,
    ) {
        let Some(sessions) = state else { return };
        let over = sessions.open.partition_point(|session| session.end <= timer.at.0);
        for Session { start, end, acc } in sessions.open.drain(..over) {
            let window = Window { start: EventTime(start), end: EventTime(end) };
            match self.aggregate.try_finish(&acc) {
                Ok(value) => {
                    let row = Windowed { window, key: key.key().clone(), value };
                    key.emit_at(EventTime(end).minus(1), Ok(row));
                    key.count_window();
                }
                Err(Overflow { message }) => {
                    let key_name = key.key().describe();
                    key.fail(Fault::Overflow { operator: String::new(), key: key_name, message });
                }
            }
        }
        if timer.tag == ADMITS {
            // In the order in which they came: they are few, and which of them meets which does not depend on it.
            for (_, come) in sessions.waiting.extract_if(.., |(watermark, _)| *watermark <= timer.at.0) {
                let (session, is_new) = self.place(&mut sessions.open, come.start, come.end);
                self.aggregate.merge(&mut session.acc, &come.acc);
                if is_new {
                    key.set_timer(EventTime(come.end), ENDS);
                }
            }
        } else if let Some(first) = sessions.open.first() {
            key.set_timer(EventTime(first.end), ENDS);
        }
        if sessions.open.is_empty() && sessions.waiting.is_empty() {
            *state = None;
        }
    }
}
