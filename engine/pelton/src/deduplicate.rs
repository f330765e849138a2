//! Dropping duplicates from a grouped stream.

use crate::flow::{Deduplicated, OperatorInput};
use crate::grouping::{Grouped, Grouping};
use crate::keyed::{InputOf, Keyed, WithLate};
use crate::stream::{Stream, Timed};
use pelton_core::{Key, Record};
use pelton_runtime::plan::{NodeNumbers, PlanNode, RowSchema, nanos};
use std::marker::PhantomData;
use std::time::Duration;

/// The stream of first records of `F`, by keys of `K`, which `P` takes from a record.
pub type Distinct<F, K, P, H> = Stream<Deduplicated<F, K, InputOf<F, P, H>>>;

impl<F, K, P, H> Keyed<F, P, H>
where
    F: Timed<Item: Record>,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    H: Grouping<Input<F, P>: OperatorInput<K, F::Item, F::Item>>,
{
    /// The first record of each key: one passes unless a record of its key that passed lies less than
    /// `horizon` away from it in event time, earlier or later. It passes at once, without waiting for the
    /// watermark.
    ///
    /// What passed is remembered until the watermark is one to two horizons past it. Duplicates are counted
    /// and dropped, and so are records so late that what they have to be compared with is forgotten; see
    /// [`deduplicate_with_late`](Self::deduplicate_with_late).
    ///
    /// Of equal duplicates it does not matter which of them passes. Of different ones that come through one
    /// source partition, the first in that partition's order passes; through several, it depends on how they
    /// were cut into ticks.
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let payments = from_iter(|| [(1, 100), (2, 110), (1, 100), (3, 120), (1, 100_000)]);
    /// let rows = collect();
    /// Job::new("payments")
    ///     .source(payments)
    ///     .event_time(|(_id, ms)| EventTime::from_millis(*ms), in_order())
    ///     .key_by(|(id, _ms)| *id)
    ///     .deduplicate(secs(60))
    ///     .sink(rows.clone())
    ///     .run()?;
    /// let mut passed = rows.take();
    /// passed.sort();
    /// assert_eq!(passed, [(1, 100), (1, 100_000), (2, 110), (3, 120)]);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    ///
    /// # Panics
    /// When the horizon is zero.
    #[track_caller]
    pub fn deduplicate(self, horizon: Duration) -> Distinct<F, K, P, H> {
        self.deduplicated(horizon, None)
    }

    /// As [`deduplicate`](Self::deduplicate), with the late records, which may or may not be duplicates, as a
    /// second stream.
    ///
    /// # Panics
    /// When the horizon is zero.
    #[track_caller]
    pub fn deduplicate_with_late(self, horizon: Duration) -> WithLate<Distinct<F, K, P, H>, F> {
        let queue = self.stream.job.plan().next_queue();
        let passed = self.deduplicated(horizon, Some(queue));
        let late = passed.late(queue);
        (passed, late)
    }

    #[track_caller]
    fn deduplicated(self, horizon: Duration, late: Option<usize>) -> Distinct<F, K, P, H> {
        assert!(!horizon.is_zero(), "a horizon of no time");
        let horizon = i64::try_from(horizon.as_nanos()).unwrap_or(i64::MAX);
        let Grouped { job, input, mut place, reads, numbers } = H::whole(self, "deduplicate");
        let node = PlanNode::new("deduplicate", place.stage)
            .input(reads)
            .rows(RowSchema::of::<F::Item>())
            .state("passed", RowSchema::of::<K>(), RowSchema::Type("when".to_owned()))
            .parameter("horizon", nanos(horizon))
            .bounded_by("the keys of one to two horizons")
            .numbers(NodeNumbers { queues: late.into_iter().collect(), ..numbers });
        job.plan().begin(&mut place, node);
        let flow = Deduplicated { input, horizon, late, label: place.label.clone(), marker: PhantomData };
        Stream { job, flow, place }
    }
}
