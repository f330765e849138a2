//! Aggregates of windows that have a method of their own, beside those in [`keyed`](crate::keyed).

use crate::aggregate;
use crate::flow::OperatorInput;
use crate::grouping::Grouping;
use crate::keyed::{InputOf, Rows, WindowedStream};
use crate::stream::Timed;
use pelton_core::Key;
use pelton_core::aggregate::{Aggregate, Measured, Ranked};

/// The item that an aggregate sends of a record.
type ItemOf<A, T> = <A as Aggregate<T>>::Item;

impl<F, K, P, H> WindowedStream<F, P, H>
where
    F: Timed,
    K: Key,
    P: Fn(&F::Item) -> K + Clone + Send + Sync + 'static,
    H: Grouping,
{
    /// How many different `f` there are: `aggregate(distinct(f))`. All values are kept until the window closes; see
    /// [`distinct`](aggregate::distinct()).
    ///
    /// ```
    /// use pelton::prelude::*;
    ///
    /// let rows = collect();
    /// Job::new("buyers")
    ///     .source(from_iter(|| [(1i64, "ann"), (2, "bob"), (3, "ann")]))
    ///     .event_time(|(second, _)| EventTime::from_secs(*second), in_order())
    ///     .key_by(|_| ())
    ///     .window(tumbling(secs(10)))
    ///     .distinct(|(_, buyer)| buyer.to_string())
    ///     .sink(rows.clone())
    ///     .run()?;
    /// assert_eq!(rows.take()[0].value, 2);
    /// # Ok::<(), pelton::JobError>(())
    /// ```
    #[track_caller]
    pub fn distinct<V, S>(self, f: S) -> Rows<F, K, aggregate::Distinct<S>, P, H>
    where
        V: Key,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        InputOf<F, P, H>: OperatorInput<K, F::Item, ItemOf<aggregate::Distinct<S>, F::Item>>,
    {
        self.aggregate(aggregate::distinct(f))
    }

    /// About how many different `f` there are, in 4 KiB at most: `aggregate(approx_distinct(f))`. See
    /// [`approx_distinct`](aggregate::approx_distinct()).
    #[track_caller]
    pub fn approx_distinct<V, S>(self, f: S) -> Rows<F, K, aggregate::ApproxDistinct<S>, P, H>
    where
        V: Key,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        InputOf<F, P, H>: OperatorInput<K, F::Item, u64>,
    {
        self.aggregate(aggregate::approx_distinct(f))
    }

    /// Quantiles of `f`, to 0.4 %: `aggregate(quantiles(f, at))`. See [`quantiles`](aggregate::quantiles()).
    #[track_caller]
    pub fn quantiles<V, S, const N: usize>(
        self,
        f: S,
        at: [f64; N],
    ) -> Rows<F, K, aggregate::Quantiles<S, N>, P, H>
    where
        V: Measured,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        InputOf<F, P, H>: OperatorInput<K, F::Item, ItemOf<aggregate::Quantiles<S, N>, F::Item>>,
    {
        self.aggregate(aggregate::quantiles(f, at))
    }

    /// The `k` greatest `f`, the greatest first: `aggregate(top_k(k, f))`.
    #[track_caller]
    pub fn top_k<V, S>(self, k: usize, f: S) -> Rows<F, K, aggregate::TopK<S>, P, H>
    where
        V: Ranked,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        InputOf<F, P, H>: OperatorInput<K, F::Item, ItemOf<aggregate::TopK<S>, F::Item>>,
    {
        self.aggregate(aggregate::top_k(k, f))
    }

    /// The `k` most frequent `f`, with their numbers: `aggregate(most_frequent(k, f))`. All values are counted until the window closes.
    #[track_caller]
    pub fn most_frequent<V, S>(self, k: usize, f: S) -> Rows<F, K, aggregate::MostFrequent<S>, P, H>
    where
        V: Key,
        S: Fn(&F::Item) -> V + Clone + Send + Sync + 'static,
        InputOf<F, P, H>: OperatorInput<K, F::Item, ItemOf<aggregate::MostFrequent<S>, F::Item>>,
    {
        self.aggregate(aggregate::most_frequent(k, f))
    }
}
