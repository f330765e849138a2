//! Behind a sort by event time.

use super::Flow;
use super::root::Marker;
use crate::settings::Label;
use crate::stream::Timed;
use pelton_core::exchange::partition::Keyed;
use pelton_core::operator::push::Push;
use pelton_core::operator::{Port, SortOperator};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{EdgeId, Key, Record};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// Behind [`sort`](crate::Stream::sort), by keys of `K` and with ties broken by `C`; `S` is what came before.
pub struct Sorted<S, K, C> {
    pub(crate) edge: EdgeId,
    pub(crate) compare: C,
    /// The queue that late records go to.
    pub(crate) late: Option<usize>,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(S, K)>,
}

impl<S, K, C> Flow for Sorted<S, K, C>
where
    S: Flow<Item: Record>,
    K: Key,
    C: Fn(&S::Item, &S::Item) -> Ordering + Clone + Send + Sync + 'static,
{
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        let (edge, compare, name) = (self.edge, self.compare.clone(), self.label.get());
        let late = shard.side_output(self.late);
        let port = Port::of::<Keyed<K, S::Item>>(edge);
        shard
            .add_operator(&[port], name, |at| SortOperator::<K, S::Item, _, _>::new(compare, at, next, late));
    }
}

impl<S, K, C: Clone> Clone for Sorted<S, K, C> {
    fn clone(&self) -> Self {
        let Sorted { edge, ref compare, late, ref label, .. } = *self;
        Sorted { edge, compare: compare.clone(), late, label: label.clone(), marker: PhantomData }
    }
}

impl<S: Timed, K, C> Timed for Sorted<S, K, C> where Sorted<S, K, C>: Flow {}
