//! Streams that are processed by a function with a state for each key and timers.

use crate::flow::{Flow, Processed};
use crate::keyed::Keyed;
use crate::stream::Stream;
use pelton_core::operator::ProcessFunction;
use pelton_core::state::timers::Timer;
use pelton_core::{Key, Record};
use pelton_runtime::plan::{NodeNumbers, PlanNode, RowSchema};
use std::marker::PhantomData;

impl<F, K, P> Keyed<F, P>
where
    F: Flow<Item: Record>,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
{
    /// Calls `function` for each record, with the state and the timers of its key: what windows and aggregates cannot say.
    ///
    /// Timers fire as a tick completes, and so after all of its records, some of which may be ahead of the watermark: whoever wants the same rows
    /// whatever the ticks compares times, as the example does, and where records of a key are out of order [sorts](Self::sort) before.
    ///
    /// Rows come in the order of the records and timers that they are of; across keys that is the merge order of ticks. What the function keeps
    /// of a key is part of checkpoints and moves with the key.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// #[pelton::record]
    /// struct Click { user: u64, at: i64 }
    ///
    /// /// How many clicks a user made before a minute without any.
    /// #[derive(Clone)]
    /// struct Visits;
    ///
    /// impl ProcessFunction<u64, Click> for Visits {
    ///     type State = (u64, EventTime); // clicks of this visit, and when it is over
    ///     type Out = (u64, u64);
    ///
    ///     fn record(&self, _: Click, user: &mut KeyContext<'_, u64, Self::State, Self::Out>) {
    ///         let time = user.time();
    ///         // A record may be ahead of the watermark, and then the timer of the visit before has not fired yet.
    ///         let over = user.state().filter(|(_, ends)| *ends <= time);
    ///         let clicks = if over.is_some() { 0 } else { user.state().map_or(0, |(clicks, _)| clicks) };
    ///         *user.state() = Some((clicks + 1, time + secs(60)));
    ///         user.set_timer(time + secs(60), 0);
    ///         if let Some((clicks, ends)) = over {
    ///             let row = (*user.key(), clicks);
    ///             user.emit_at(ends, row);
    ///         }
    ///     }
    ///
    ///     fn timer(&self, timer: FiredTimer, user: &mut KeyContext<'_, u64, Self::State, Self::Out>) {
    ///         // Not one of a click that others have followed.
    ///         if let Some((clicks, _)) = user.state().take_if(|(_, ends)| *ends == timer.at) {
    ///             let row = (*user.key(), clicks);
    ///             user.emit(row);
    ///         }
    ///     }
    /// }
    ///
    /// let rows = collect();
    /// let clicks = [(1, 0), (1, 30), (2, 40), (1, 200)];
    /// Job::new("visits")
    ///     .source(from_iter(move || clicks.map(|(user, at)| Click { user, at })))
    ///     .event_time(|click| EventTime::from_secs(click.at), in_order())
    ///     .key_by(|click| click.user)
    ///     .process(Visits)
    ///     .sink(rows.clone())
    ///     .run()?;
    /// let mut rows = rows.take();
    /// rows.sort();
    /// assert_eq!(rows, [(1, 1), (1, 2), (2, 1)]);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    #[track_caller]
    pub fn process<U: ProcessFunction<K, F::Item>>(self, function: U) -> Stream<Processed<F, K, U>> {
        let (job, edge, mut place, input) = self.send_whole("process");
        let by = RowSchema::of::<K>;
        let node = PlanNode::new("process", place.stage)
            .input(input)
            .rows(RowSchema::named::<U::Out>())
            .state("state", by(), RowSchema::of::<Option<U::State>>())
            .state("timers in event time", by(), RowSchema::of::<Timer<K>>())
            .state("timers in processing time", by(), RowSchema::of::<Timer<K>>())
            .bounded_by("what the function keeps, and its timers")
            .numbers(NodeNumbers { edges: vec![edge], ..NodeNumbers::default() });
        let node = match U::PROCESSING_TIMERS {
            true => node.beyond_records("timers fire by the clock, whose readings the log keeps"),
            false => node,
        };
        let mut plan = job.plan();
        plan.begin(&mut place, node);
        plan.waits.push((place.stage, place.label.clone()));
        if U::PROCESSING_TIMERS {
            plan.graph.timers.push(place.stage);
        }
        drop(plan);
        let flow = Processed { edge, function, label: place.label.clone(), marker: PhantomData };
        Stream { job, flow, place }
    }
}
