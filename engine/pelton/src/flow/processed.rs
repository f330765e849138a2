//! Behind a process function.

use super::Flow;
use super::input::OperatorInput;
use super::root::Marker;
use crate::settings::Label;
use crate::stream::Timed;
use pelton_core::operator::push::Push;
use pelton_core::operator::{ProcessFunction, ProcessOperator};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{EdgeId, Key, Record};
use std::marker::PhantomData;

/// Behind [`process`](crate::Keyed::process), by keys of `K`; `S` is what came before, and `I` how it gets here.
pub struct Processed<S, K, P, I = EdgeId> {
    pub(crate) input: I,
    pub(crate) function: P,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(S, K)>,
}

impl<S, K, P, I> Flow for Processed<S, K, P, I>
where
    S: Flow<Item: Record>,
    K: Key,
    P: ProcessFunction<K, S::Item>,
    I: OperatorInput<K, S::Item, S::Item>,
{
    type Item = P::Out;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<P::Out>) {
        let function = self.function.clone();
        self.input.add(
            shard,
            self.label.get(),
            |record| record,
            |at| ProcessOperator::<K, S::Item, P, _>::new(function, at, next),
        );
    }
}

impl<S, K, P: Clone, I: Clone> Clone for Processed<S, K, P, I> {
    fn clone(&self) -> Self {
        let Processed { input, function, label, .. } = self;
        Processed {
            input: input.clone(),
            function: function.clone(),
            label: label.clone(),
            marker: PhantomData,
        }
    }
}

impl<S: Timed, K, P, I> Timed for Processed<S, K, P, I> where Processed<S, K, P, I>: Flow {}
