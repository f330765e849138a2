//! Behind a deduplication.

use super::Flow;
use super::root::Marker;
use crate::settings::Label;
use crate::stream::Timed;
use pelton_core::exchange::partition::Keyed;
use pelton_core::operator::push::Push;
use pelton_core::operator::{DeduplicateOperator, Port};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{EdgeId, Key, Record};
use std::marker::PhantomData;

/// Behind [`deduplicate`](crate::Keyed::deduplicate) by keys of `K`; `S` is what came before.
pub struct Deduplicated<S, K> {
    pub(crate) edge: EdgeId,
    /// Nanoseconds.
    pub(crate) horizon: i64,
    /// The queue that late records go to.
    pub(crate) late: Option<usize>,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(S, K)>,
}

impl<S: Flow<Item: Record>, K: Key> Flow for Deduplicated<S, K> {
    type Item = S::Item;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<S::Item>) {
        let (edge, horizon, name) = (self.edge, self.horizon, self.label.get());
        let late = shard.side_output(self.late);
        let port = Port::of::<Keyed<K, S::Item>>(edge);
        shard.add_operator(&[port], name, |at| {
            DeduplicateOperator::<K, S::Item, _>::new(horizon, at, next, late)
        });
    }
}

impl<S, K> Clone for Deduplicated<S, K> {
    fn clone(&self) -> Self {
        let Deduplicated { edge, horizon, late, ref label, .. } = *self;
        Deduplicated { edge, horizon, late, label: label.clone(), marker: PhantomData }
    }
}

impl<S: Timed, K> Timed for Deduplicated<S, K> where Deduplicated<S, K>: Flow {}
