//! Behind sessions.

use super::Flow;
use super::input::OperatorInput;
use super::root::Marker;
use crate::settings::Label;
use crate::stream::Timed;
use pelton_core::operator::push::Push;
use pelton_core::operator::{ProcessOperator, Sessions};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::{Aggregate, EdgeId, Key, Windowed};
use std::marker::PhantomData;

/// Behind sessions: rows of `A` over records of `T`, by key `K`, or the items of records that came too late for theirs; `I` is how they get here.
pub struct InSessions<T, K, A, I = EdgeId> {
    pub(crate) input: I,
    pub(crate) gap: i64,
    pub(crate) aggregate: A,
    pub(crate) label: Label,
    pub(crate) marker: Marker<(T, K)>,
}

impl<T, K, A, I> Flow for InSessions<T, K, A, I>
where
    T: 'static,
    K: Key,
    A: Aggregate<T, Out: 'static>,
    I: OperatorInput<K, T, A::Item>,
{
    type Item = Result<Windowed<K, A::Out>, A::Item>;

    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<Self::Item>) {
        let (sessions, takes) =
            (Sessions::<T, A>::new(self.aggregate.clone(), self.gap), self.aggregate.clone());
        self.input.add(
            shard,
            self.label.get(),
            move |record| takes.take_item(record),
            |at| ProcessOperator::<K, A::Item, _, _>::new(sessions, at, next),
        );
    }
}

impl<T, K, A: Clone, I: Clone> Clone for InSessions<T, K, A, I> {
    fn clone(&self) -> Self {
        InSessions {
            input: self.input.clone(),
            gap: self.gap,
            aggregate: self.aggregate.clone(),
            label: self.label.clone(),
            marker: PhantomData,
        }
    }
}

impl<T, K, A, I> Timed for InSessions<T, K, A, I> where InSessions<T, K, A, I>: Flow {}
