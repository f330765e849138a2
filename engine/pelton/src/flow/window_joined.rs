//! Behind a join of two streams in windows.

use super::Flow;
use super::root::Marker;
use crate::settings::Label;
use crate::stream::Timed;
use pelton_core::exchange::partition::Keyed;
use pelton_core::operator::push::Push;
use pelton_core::operator::{JoinKind, Joined, Port, WindowJoinOperator};
use pelton_core::stage::build::ShardBuilder;
use pelton_core::window::Windows;
use pelton_core::{Aggregate, EdgeId, Key};
use std::marker::PhantomData;

/// Behind a [window join](crate::Keyed::join): `A` over records of `T` beside `B` over records of `U`, by key `K`.
pub struct WindowJoined<T, U, K, A, B> {
    pub(crate) edges: [EdgeId; 2],
    pub(crate) kind: JoinKind,
    pub(crate) windows: Windows,
    pub(crate) aggregates: (A, B),
    /// The queues that late items go to.
    pub(crate) late: [Option<usize>; 2],
    pub(crate) label: Label,
    pub(crate) marker: Marker<(T, U, K)>,
}

impl<T, U, K, A, B> Flow for WindowJoined<T, U, K, A, B>
where
    T: 'static,
    U: 'static,
    K: Key,
    A: Aggregate<T, Out: 'static>,
    B: Aggregate<U, Out: 'static>,
{
    type Item = Joined<K, A::Out, B::Out>;
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<Self::Item>) {
        let [left, right] = self.edges;
        let ports = [Port::of::<Keyed<K, A::Item>>(left), Port::of::<Keyed<K, B::Item>>(right)];
        let late = (shard.side_output(self.late[0]), shard.side_output(self.late[1]));
        let (kind, aggregates, windows) = (self.kind, self.aggregates.clone(), self.windows);
        shard.add_operator(&ports, self.label.get(), |at| {
            WindowJoinOperator::<T, U, K, A, B, _>::new(kind, aggregates, windows, at, next, late)
        });
    }
}

impl<T, U, K, A: Clone, B: Clone> Clone for WindowJoined<T, U, K, A, B> {
    fn clone(&self) -> Self {
        let WindowJoined { edges, kind, windows, ref aggregates, late, ref label, .. } = *self;
        let (aggregates, label) = (aggregates.clone(), label.clone());
        WindowJoined { edges, kind, windows, aggregates, late, label, marker: PhantomData }
    }
}

impl<T, U, K, A, B> Timed for WindowJoined<T, U, K, A, B> where WindowJoined<T, U, K, A, B>: Flow {}
