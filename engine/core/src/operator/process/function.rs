//! What a user of the process operator writes, and what that can do with a key.

use super::state::KeyedState;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::record::key::Key;
use crate::record::{Archived, Record, read};
use crate::stage::context::StageContext;
use crate::state::timers::{Timer, TimerKind, Timers};

/// The state of the key in hand, as a function is shown it: `&mut Option<V>` for a [`ValueState<V>`](super::ValueState), and so on.
pub type StateOf<'a, K, S> = <S as KeyedState<K>>::Of<'a>;

/// What is done with the records of each key.
///
/// A job has one of it for each shard. What it is to remember belongs into the state: nothing else is saved and moved with the key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not process records of type `{T}` by keys of type `{K}`",
    note = "implement `ProcessFunction<{K}, {T}>` for it"
)]
pub trait ProcessFunction<K: Key, T>: Clone + Send + Sync + 'static {
    /// What is kept for a key: `ValueState<V>`, `MapState<S, V>`, either of them [`Expiring`](super::Expiring), several as a tuple, or `()`.
    type State: KeyedState<K>;
    /// What comes out.
    type Out: 'static;
    /// Whether it sets timers in processing time. A job that does says the time of every tick to all shards.
    const PROCESSING_TIMERS: bool = false;

    /// The state, where there is more to say of it than its kind: how long it lives. Asked for once on each shard.
    fn state(&self) -> Self::State {
        Self::State::default()
    }

    /// A record of a key. Those of one source partition come in its order; late ones come like any other.
    fn record(&self, record: T, state: StateOf<'_, K, Self::State>, key: &mut KeyContext<'_, K, Self::Out>);

    /// As [`record`](Self::record), of a record that lies in the memory in which it came: the engine asks this one. By default the record is
    /// rebuilt, with its text and lists; a function that needs little of them reads that where it lies.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// #[pelton::record]
    /// struct Request { user: u64, path: String, body: String }
    ///
    /// /// How many bytes a user has sent to `/upload`.
    /// #[derive(Clone)]
    /// struct Uploaded;
    ///
    /// impl ProcessFunction<u64, Request> for Uploaded {
    ///     type State = ValueState<u64>;
    ///     type Out = (u64, u64);
    ///
    ///     fn record(&self, request: Request, sent: &mut Option<u64>, user: &mut KeyContext<'_, u64, (u64, u64)>) {
    ///         self.sent(&request.path, request.body.len(), sent, user);
    ///     }
    ///
    ///     // No text is copied.
    ///     fn record_archived(
    ///         &self,
    ///         request: &Archived<Request>,
    ///         sent: &mut Option<u64>,
    ///         user: &mut KeyContext<'_, u64, (u64, u64)>,
    ///     ) {
    ///         self.sent(&request.path, request.body.len(), sent, user);
    ///     }
    /// }
    ///
    /// impl Uploaded {
    ///     fn sent(&self, path: &str, bytes: usize, sent: &mut Option<u64>, user: &mut KeyContext<'_, u64, (u64, u64)>) {
    ///         if path == "/upload" {
    ///             let sum = sent.unwrap_or(0) + bytes as u64;
    ///             *sent = Some(sum);
    ///             user.emit((*user.key(), sum));
    ///         }
    ///     }
    /// }
    ///
    /// let rows = collect();
    /// let requests = ["/", "/upload", "/upload"];
    /// Job::new("uploads")
    ///     .source(from_iter(move || {
    ///         requests.map(|path| Request { user: 7, path: path.to_owned(), body: "x".repeat(100) })
    ///     }))
    ///     .key_by(|request| request.user)
    ///     .process(Uploaded)
    ///     .sink(rows.clone())
    ///     .run()?;
    /// assert_eq!(rows.take(), [(7, 100), (7, 200)]);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    #[inline(always)]
    fn record_archived(
        &self,
        record: &Archived<T>,
        state: StateOf<'_, K, Self::State>,
        key: &mut KeyContext<'_, K, Self::Out>,
    ) where
        T: Record,
    {
        self.record(read(record), state, key);
    }

    /// A timer of a key has fired.
    fn timer(
        &self,
        timer: FiredTimer,
        state: StateOf<'_, K, Self::State>,
        key: &mut KeyContext<'_, K, Self::Out>,
    ) {
        let _ = (timer, state, key);
    }
}

/// A timer that has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiredTimer {
    /// The clock that it waited for.
    pub kind: TimerKind,
    /// The time that it was set for.
    pub at: EventTime,
    /// The tag that it was set with.
    pub tag: u64,
}

/// A key, as a [`ProcessFunction`] sees it: its timers, the times, and the output.
pub struct KeyContext<'a, K, O> {
    pub(super) key: &'a K,
    pub(super) time: EventTime,
    pub(super) now: Now,
    /// While timers fire: the time of the last one of each kind in this tick.
    pub(super) fired: Option<&'a Fired>,
    pub(super) timers: &'a Timers<K>,
    pub(super) out: &'a mut dyn FnMut(EventTime, O),
    pub(super) context: &'a StageContext,
    pub(super) may_wait_for_time: bool,
    /// How far the record is overdue, if it is.
    pub(super) overdue: Option<EventTime>,
}

/// The times of the last timers that have fired in a tick, of each kind; none before the first.
#[derive(Clone, Copy, Default)]
pub(super) struct Fired {
    event: Option<EventTime>,
    processing: Option<EventTime>,
}

impl Fired {
    fn last(&self, kind: TimerKind) -> Option<EventTime> {
        match kind {
            TimerKind::Event => self.event,
            TimerKind::Processing => self.processing,
        }
    }

    /// Of one kind.
    pub(super) fn of(&mut self, kind: TimerKind) -> &mut Option<EventTime> {
        match kind {
            TimerKind::Event => &mut self.event,
            TimerKind::Processing => &mut self.processing,
        }
    }
}

/// What the clocks show.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) watermark: EventTime,
    pub(super) time: EventTime,
}

impl<K: Key, O> KeyContext<'_, K, O> {
    /// The key.
    pub fn key(&self) -> &K {
        self.key
    }

    /// The event time of the record, or the time that the timer was set for; for a timer in processing time, the watermark.
    pub fn time(&self) -> EventTime {
        self.time
    }

    /// The watermark of the last tick that completed, or of the one that completes. [`MAX`](EventTime::MAX) at the end of the input.
    pub fn watermark(&self) -> EventTime {
        self.now.watermark
    }

    /// The processing time of the tick: what the wall clock showed as it was made.
    pub fn processing_time(&self) -> EventTime {
        self.now.time
    }

    /// Lets out a row, at [`time`](Self::time).
    pub fn emit(&mut self, row: O) {
        (self.out)(self.time, row);
    }

    /// Lets out a row at a time of its own. One before the watermark may be late for whatever comes next.
    pub fn emit_at(&mut self, at: EventTime, row: O) {
        (self.out)(at, row);
    }

    /// Whether the input has ended. Timers fire then whatever their time, and so do those that they set: a function that sets a timer again and again
    /// has to stop here.
    pub fn has_ended(&self) -> bool {
        self.now.watermark == EventTime::MAX
    }

    /// Has [`timer`](ProcessFunction::timer) called for this key when the watermark is at or past `at`: as the tick completes, if it is there already.
    /// Returns the time that it is set for. A timer is there once for each time and tag, however often it is set.
    ///
    /// That time is `at`, but where timers fire it is later than that of the last one of its kind, by a nanosecond at least, so that a tick ends. One that
    /// would be set behind the end of time is not set.
    ///
    /// At the end of the input all timers fire, and what those set: see [`has_ended`](Self::has_ended).
    pub fn set_timer(&mut self, at: EventTime, tag: u64) -> EventTime {
        self.set(TimerKind::Event, at, tag)
    }

    /// As [`set_timer`](Self::set_timer), for the time of day; the job makes a tick for it when nothing else does.
    pub fn set_processing_timer(&mut self, at: EventTime, tag: u64) -> EventTime {
        if !self.may_wait_for_time {
            let message = alloc::format!(
                "key {}: a timer in processing time was set by a function that does not say so: give it `const PROCESSING_TIMERS: bool = true`",
                self.key.describe()
            );
            self.context.fail(Fault::External { shard: self.context.shard, message });
            return at;
        }
        self.set(TimerKind::Processing, at, tag)
    }

    /// Takes a timer back that is set for `at`; false if it is not set.
    pub fn cancel_timer(&mut self, kind: TimerKind, at: EventTime, tag: u64) -> bool {
        let cancelled = self.timers.cancel(kind, &Timer { at, key: self.key.clone(), tag });
        cancelled.unwrap_or_else(|fault| {
            self.context.fail(fault);
            false
        })
    }

    /// The watermark of its own partition that the record is behind, if it is.
    pub(crate) fn overdue(&self) -> Option<EventTime> {
        self.overdue
    }

    /// So many records are late.
    pub(crate) fn count_late(&self, records: u64) {
        self.context.stats.late.add(records);
    }

    /// A window has closed.
    pub(crate) fn count_window(&self) {
        self.context.stats.windows.add(1);
    }

    /// The job stops.
    pub(crate) fn fail(&self, fault: Fault) {
        self.context.fail(fault);
    }

    fn set(&self, kind: TimerKind, at: EventTime, tag: u64) -> EventTime {
        let last = self.fired.and_then(|fired| fired.last(kind));
        if last == Some(EventTime::MAX) {
            return EventTime::MAX;
        }
        let at = last.map_or(at, |last| at.max(last.plus(1)));
        if let Err(fault) = self.timers.set(kind, Timer { at, key: self.key.clone(), tag }) {
            self.context.fail(fault);
        }
        at
    }
}
