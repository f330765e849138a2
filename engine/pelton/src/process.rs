//! Streams that are processed by a function with a state for each key and timers.

use crate::flow::{Flow, OperatorInput, Processed};
use crate::grouping::{Grouped, Grouping};
use crate::keyed::{InputOf, Keyed};
use crate::stream::Stream;
use pelton_core::operator::{KeyedState, ProcessFunction};
use pelton_core::state::timers::Timer;
use pelton_core::{Key, Record};
use pelton_runtime::plan::{PlanNode, RowSchema};
use std::borrow::Cow;
use std::marker::PhantomData;

/// The stream of what a function `U` lets out, for records of `F` by keys of `K`, which `P` takes from a record.
pub type Function<F, K, U, P, H> = Stream<Processed<F, K, U, InputOf<F, P, H>>>;

impl<F, K, P, H> Keyed<F, P, H>
where
    F: Flow<Item: Record>,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    H: Grouping<Input<F, P>: OperatorInput<K, F::Item, F::Item>>,
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
    /// /// Clicks of a visit, and when it is over.
    /// type Visit = (u64, EventTime);
    ///
    /// /// How many clicks a user made before a minute without any.
    /// #[derive(Clone)]
    /// struct Visits;
    ///
    /// impl ProcessFunction<u64, Click> for Visits {
    ///     type State = ValueState<Visit>;
    ///     type Out = (u64, u64);
    ///
    ///     fn record(&self, _: Click, visit: &mut Option<Visit>, user: &mut KeyContext<'_, u64, Self::Out>) {
    ///         let time = user.time();
    ///         // A record may be ahead of the watermark, and then the timer of the visit before has not fired yet.
    ///         let over = visit.filter(|(_, ends)| *ends <= time);
    ///         let clicks = if over.is_some() { 0 } else { visit.map_or(0, |(clicks, _)| clicks) };
    ///         *visit = Some((clicks + 1, time + secs(60)));
    ///         user.set_timer(time + secs(60), 0);
    ///         if let Some((clicks, ends)) = over {
    ///             let row = (*user.key(), clicks);
    ///             user.emit_at(ends, row);
    ///         }
    ///     }
    ///
    ///     fn timer(&self, timer: FiredTimer, visit: &mut Option<Visit>, user: &mut KeyContext<'_, u64, Self::Out>) {
    ///         // Not one of a click that others have followed.
    ///         if let Some((clicks, _)) = visit.take_if(|(_, ends)| *ends == timer.at) {
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
    ///
    /// # Panics
    /// When the function has state that [expires](pelton_core::operator::Expiring), and does not say when; or more than 14 states, of which one that
    /// expires is three.
    #[track_caller]
    pub fn process<U>(self, function: U) -> Function<F, K, U, P, H>
    where
        U: ProcessFunction<K, F::Item>,
    {
        let Grouped { job, input, mut place, reads, numbers } = H::whole(self, "process");
        let node = PlanNode::new("process", place.stage).input(reads).numbers(numbers);
        let (node, needs_time) = described::<K, F::Item, U>(node, &function);
        let mut plan = job.plan();
        if needs_time && place.origins.is_empty() {
            plan.timeless.get_or_insert_with(|| place.name.clone());
        }
        plan.begin(&mut place, node);
        plan.waits.push((place.stage, place.label.clone()));
        if U::PROCESSING_TIMERS && !plan.graph.timers.contains(&place.stage) {
            plan.graph.timers.push(place.stage);
        }
        drop(plan);
        let flow = Processed { input, function, label: place.label.clone(), marker: PhantomData };
        Stream { job, flow, place }
    }
}

/// States that a checkpoint has names for in one operator, besides the timers.
const STATES_MAX: usize = 14;

/// What a plan says of a process function, and whether that needs event time.
#[track_caller]
fn described<K: Key, T, U: ProcessFunction<K, T>>(mut node: PlanNode, function: &U) -> (PlanNode, bool) {
    let by = RowSchema::of::<K>;
    let (mut states, mut needs_time) = (Vec::new(), false);
    function.state().describe(&mut states);
    assert!(
        states.len() <= STATES_MAX,
        "a process function keeps {} states, of which one that expires is three, and {STATES_MAX} are the most",
        states.len()
    );
    for (number, state) in states.iter().enumerate() {
        let name =
            if number == 0 { Cow::from(state.name) } else { format!("{} {}", state.name, number + 1).into() };
        let key = state.key.map_or_else(by, RowSchema::Schema);
        node = match state.value {
            Some(value) => node.state(name, key, RowSchema::Schema(value)),
            None => node.state(name, RowSchema::None, RowSchema::Type("a time".to_owned())),
        };
        if let Some(ttl) = state.expires {
            let Some(ttl) = ttl else {
                panic!(
                    "a process function has state that expires, and does not say when: `fn state(&self) -> Self::State` is to return `Expiring::after(..)`"
                )
            };
            needs_time |= ttl.is_of_event_time();
            node = node.setting("time to live", ttl.to_string());
        }
    }
    node = node
        .rows(RowSchema::named::<U::Out>())
        .state("timers in event time", by(), RowSchema::of::<Timer<K>>())
        .state("timers in processing time", by(), RowSchema::of::<Timer<K>>())
        .bounded_by("what the function keeps, and its timers");
    if U::PROCESSING_TIMERS {
        node = node.beyond_records("timers fire by the clock, whose readings the log keeps");
    }
    (node, needs_time)
}
