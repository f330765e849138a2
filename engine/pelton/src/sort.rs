//! Sorting a stream by event time.

use crate::flow::{Flow, Sorted};
use crate::keyed::{Keyed, Late};
use crate::stream::{Stream, Timed};
use pelton_core::{Key, Record};
use pelton_runtime::plan::{NodeNumbers, PlanNode, RowSchema};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// How records of one time are ordered when it is by themselves.
pub type ByOrd<T> = fn(&T, &T) -> Ordering;

/// The stream of sorted records of `F`, by keys of `K`.
pub type Ordered<F, K> = Stream<Sorted<F, K, ByOrd<<F as Flow>::Item>>>;

/// What brings all records together.
type Together<T> = fn(&T);

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
    pub fn sort(self) -> Ordered<F, ()>
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
    pub fn sort_with_late(self) -> (Ordered<F, ()>, Late<F>)
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

impl<F, K, P> Keyed<F, P>
where
    F: Timed<Item: Record>,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
{
    /// The records of each key in the order of their event times, those of one time in their own order;
    /// otherwise as [`Stream::sort`].
    #[track_caller]
    pub fn sort(self) -> Ordered<F, K>
    where
        F::Item: Ord,
    {
        self.sort_by(<F::Item as Ord>::cmp)
    }

    /// As [`sort`](Self::sort), with `compare` for records of one time; see [`Stream::sort_by`].
    #[track_caller]
    pub fn sort_by<C>(self, compare: C) -> Stream<Sorted<F, K, C>>
    where
        C: Fn(&F::Item, &F::Item) -> Ordering + Clone + Send + Sync + 'static,
    {
        self.sorted(compare, None)
    }

    /// As [`sort`](Self::sort), with the late records as a second stream.
    #[track_caller]
    pub fn sort_with_late(self) -> (Ordered<F, K>, Late<F>)
    where
        F::Item: Ord,
    {
        let queue = self.stream.job.plan().next_queue();
        let sorted = self.sorted(<F::Item as Ord>::cmp as ByOrd<F::Item>, Some(queue));
        let late = sorted.late(queue);
        (sorted, late)
    }

    #[track_caller]
    fn sorted<C>(self, compare: C, late: Option<usize>) -> Stream<Sorted<F, K, C>> {
        let (job, edge, mut place, input) = self.send_whole("sort");
        let node = PlanNode::new("sort", place.stage)
            .input(input)
            .rows(RowSchema::of::<F::Item>())
            .state("waiting", RowSchema::of::<K>(), RowSchema::of::<F::Item>())
            .bounded_by("the records that the watermark has not passed")
            .numbers(NodeNumbers {
                edges: vec![edge],
                queues: late.into_iter().collect(),
                ..NodeNumbers::default()
            });
        job.plan().begin(&mut place, node);
        job.plan().waits.push((place.stage, place.label.clone()));
        let flow = Sorted { edge, compare, late, label: place.label.clone(), marker: PhantomData };
        Stream { job, flow, place }
    }
}
