//! Behind a sort by event time.

use super::Flow;
use super::input::OperatorInput;
use super::root::Marker;
use crate::settings::Label;
use crate::stream::Timed;
use pelton_core::operator::SortOperator;
use pelton_core::operator::push::Push;
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{EdgeId, Key, Record};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// Behind [`sort`](crate::Stream::sort), by keys of `K` and with ties broken by `C`; `S` is what came before, and `I` how it gets
/// here.
pub struct Sorted<S, K, C, I = EdgeId> {
    pub(crate) input: I,
    pub(crate) compare: C,
    /// The queue that late records go to.
    pub(crate) late: Option<usize>,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(S, K)>,
}

impl<S, K, C, I> Flow for Sorted<S, K, C, I>
where
    S: Flow<Item: Record>,
    K: Key,
    C: Fn(&S::Item, &S::Item) -> Ordering + Clone + Send + Sync + 'static,
    I: OperatorInput<K, S::Item, S::Item>,
{
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        let (compare, late) = (self.compare.clone(), shard.side_output(self.late));
        self.input.add(
            shard,
            self.label.get(),
            |record| record,
            |at| SortOperator::<K, S::Item, _, _>::new(compare, at, next, late),
        );
    }
}

impl<S, K, C: Clone, I: Clone> Clone for Sorted<S, K, C, I> {
    fn clone(&self) -> Self {
        let Sorted { ref input, ref compare, late, ref label, .. } = *self;
        Sorted {
            input: input.clone(),
            compare: compare.clone(),
            late,
            label: label.clone(),
            marker: PhantomData,
        }
    }
}

impl<S: Timed, K, C, I> Timed for Sorted<S, K, C, I> where Sorted<S, K, C, I>: Flow {}
