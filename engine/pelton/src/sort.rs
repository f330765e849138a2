//! Sorting a stream by event time.

use crate::flow::{Flow, OperatorInput, Sorted};
use crate::grouping::{ByExchange, Grouped, Grouping};
use crate::keyed::{InputOf, Keyed, WithLate};
use crate::stream::{Stream, Timed};
use pelton_core::{Key, Record};
use pelton_runtime::plan::{NodeNumbers, PlanNode, RowSchema};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// How records of one time are ordered when it is by themselves.
pub type ByOrd<T> = fn(&T, &T) -> Ordering;

/// The stream of sorted records of `F`, by keys of `K`, which `P` takes from a record, and with ties broken by `C`.
pub type SortedBy<F, K, C, P, H> = Stream<Sorted<F, K, C, InputOf<F, P, H>>>;

/// As [`SortedBy`], where records of one time are in their own order.
pub type Ordered<F, K, P, H> = SortedBy<F, K, ByOrd<<F as Flow>::Item>, P, H>;

/// All records of `F` in one order.
pub type OrderedTogether<F> = Ordered<F, (), Together<<F as Flow>::Item>, ByExchange>;

/// What brings all records together.
pub type Together<T> = fn(&T);

impl<F: Timed<Item: Record>> Stream<F> {
    /// All records in the order of their event times, those of one time in their own order. A record waits
    /// until the watermark has passed its time.
    ///
    /// There is one order for the whole stream, so all of it meets on one shard. Where an order for each key
    /// is enough, sort behind [`key_by`](Stream::key_by), which uses all of them.
    ///
    /// Records that come after the watermark has passed their time are counted and dropped; see
    /// [`sort_with_late`](Self::sort_with_late).
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let readings = from_iter(|| [(20, 'c'), (10, 'b'), (10, 'a'), (30, 'd')]);
    /// let rows = collect();
    /// Job::new("readings")
    ///     .source(readings)
    ///     .event_time(|(ms, _)| EventTime::from_millis(*ms), out_of_order(millis(15)))
    ///     .sort()
    ///     .sink(rows.clone())
    ///     .run()?;
    /// assert_eq!(rows.take(), [(10, 'a'), (10, 'b'), (20, 'c'), (30, 'd')]);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    #[track_caller]
    pub fn sort(self) -> OrderedTogether<F>
    where
        F::Item: Ord,
    {
        self.together().sort()
    }

    /// As [`sort`](Self::sort), with `compare` for records of one time. Those that compare as equal come in
    /// the order in which they were taken in, which depends on the number of shards; leave none that differ.
    #[track_caller]
    pub fn sort_by<C>(self, compare: C) -> Stream<Sorted<F, (), C>>
    where
        C: Fn(&F::Item, &F::Item) -> Ordering + Clone + Send + Sync + 'static,
    {
        self.together().sort_by(compare)
    }

    /// As [`sort`](Self::sort), with the late records as a second stream.
    #[track_caller]
    pub fn sort_with_late(self) -> WithLate<OrderedTogether<F>, F>
    where
        F::Item: Ord,
    {
        self.together().sort_with_late()
    }

    #[track_caller]
    fn together(self) -> Keyed<F, Together<F::Item>> {
        self.key_by(|_| ())
    }
}

impl<F, K, P, H> Keyed<F, P, H>
where
    F: Timed<Item: Record>,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    H: Grouping<Input<F, P>: OperatorInput<K, F::Item, F::Item>>,
{
    /// The records of each key in the order of their event times, those of one time in their own order;
    /// otherwise as [`Stream::sort`].
    #[track_caller]
    pub fn sort(self) -> Ordered<F, K, P, H>
    where
        F::Item: Ord,
    {
        self.sort_by(<F::Item as Ord>::cmp)
    }

    /// As [`sort`](Self::sort), with `compare` for records of one time; see [`Stream::sort_by`].
    #[track_caller]
    pub fn sort_by<C>(self, compare: C) -> SortedBy<F, K, C, P, H>
    where
        C: Fn(&F::Item, &F::Item) -> Ordering + Clone + Send + Sync + 'static,
    {
        self.sorted(compare, None)
    }

    /// As [`sort`](Self::sort), with the late records as a second stream.
    #[track_caller]
    pub fn sort_with_late(self) -> WithLate<Ordered<F, K, P, H>, F>
    where
        F::Item: Ord,
    {
        let queue = self.stream.job.plan().next_queue();
        let sorted = self.sorted(<F::Item as Ord>::cmp as ByOrd<F::Item>, Some(queue));
        let late = sorted.late(queue);
        (sorted, late)
    }

    #[track_caller]
    fn sorted<C>(self, compare: C, late: Option<usize>) -> SortedBy<F, K, C, P, H> {
        let Grouped { job, input, mut place, reads, numbers } = H::whole(self, "sort");
        let node = PlanNode::new("sort", place.stage)
            .input(reads)
            .rows(RowSchema::of::<F::Item>())
            .state("waiting", RowSchema::of::<K>(), RowSchema::of::<F::Item>())
            .bounded_by("the records that the watermark has not passed")
            .numbers(NodeNumbers { queues: late.into_iter().collect(), ..numbers });
        job.plan().begin(&mut place, node);
        job.plan().waits.push((place.stage, place.label.clone()));
        let flow = Sorted { input, compare, late, label: place.label.clone(), marker: PhantomData };
        Stream { job, flow, place }
    }
}
