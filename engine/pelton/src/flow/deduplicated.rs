//! Behind a deduplication.

use super::Flow;
use super::input::OperatorInput;
use super::root::Marker;
use crate::settings::Label;
use crate::stream::Timed;
use pelton_core::operator::DeduplicateOperator;
use pelton_core::operator::push::Push;
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{EdgeId, Key, Record};
use std::marker::PhantomData;

/// Behind [`deduplicate`](crate::Keyed::deduplicate) by keys of `K`; `S` is what came before, and `I` how it gets here.
pub struct Deduplicated<S, K, I = EdgeId> {
    pub(crate) input: I,
    /// Nanoseconds.
    pub(crate) horizon: i64,
    /// The queue that late records go to.
    pub(crate) late: Option<usize>,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(S, K)>,
}

impl<S, K, I> Flow for Deduplicated<S, K, I>
where
    S: Flow<Item: Record>,
    K: Key,
    I: OperatorInput<K, S::Item, S::Item>,
{
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        let (horizon, late) = (self.horizon, shard.side_output(self.late));
        self.input.add(
            shard,
            self.label.get(),
            |record| record,
            |at| DeduplicateOperator::<K, S::Item, _>::new(horizon, at, next, late),
        );
    }
}

impl<S, K, I: Clone> Clone for Deduplicated<S, K, I> {
    fn clone(&self) -> Self {
        let Deduplicated { ref input, horizon, late, ref label, .. } = *self;
        Deduplicated { input: input.clone(), horizon, late, label: label.clone(), marker: PhantomData }
    }
}

impl<S: Timed, K, I> Timed for Deduplicated<S, K, I> where Deduplicated<S, K, I>: Flow {}
