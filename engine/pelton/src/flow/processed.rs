//! Behind a process function.

use super::Flow;
use super::root::Marker;
use crate::settings::Label;
use crate::stream::Timed;
use pelton_core::exchange::partition::Keyed;
use pelton_core::operator::push::Push;
use pelton_core::operator::{Port, ProcessFunction, ProcessOperator};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{EdgeId, Key, Record};
use std::marker::PhantomData;

/// Behind [`process`](crate::Keyed::process), by keys of `K`; `S` is what came before.
pub struct Processed<S, K, P> {
    pub(crate) edge: EdgeId,
    pub(crate) function: P,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(S, K)>,
}

impl<S, K, P> Flow for Processed<S, K, P>
where
    S: Flow<Item: Record>,
    K: Key,
    P: ProcessFunction<K, S::Item>,
{
    type Item = P::Out;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<P::Out>) {
        let function = self.function.clone();
        let port = Port::of::<Keyed<K, S::Item>>(self.edge);
        shard.add_operator(&[port], self.label.get(), |at| {
            ProcessOperator::<K, S::Item, P, _>::new(function, at, next)
        });
    }
}

impl<S, K, P: Clone> Clone for Processed<S, K, P> {
    fn clone(&self) -> Self {
        let Processed { edge, ref function, ref label, .. } = *self;
        Processed { edge, function: function.clone(), label: label.clone(), marker: PhantomData }
    }
}

impl<S: Timed, K, P> Timed for Processed<S, K, P> where Processed<S, K, P>: Flow {}
