//! What a stateful operator reads: an exchange, or the chain that it stands in.

use super::Flow;
use pelton_core::exchange::partition::Keyed;
use pelton_core::operator::{Operator, Port};
use pelton_core::stage::build::{OperatorContext, ShardBuilder};
use pelton_core::{EdgeId, Key, Record};

/// Where the rows of an operator come from, which are what it needs, `I`, of records of type `T` by keys of `K`.
pub trait OperatorInput<K: Key, T: 'static, I: Record>: Clone + Send + Sync + 'static {
    /// Adds what `operator` makes, which is called `name`, and whatever there is of the stream in front of it. `item` takes what it needs from a
    /// record, unless that was done on the other side of an exchange.
    #[doc(hidden)]
    fn add<O: Operator>(
        &self,
        shard: &mut ShardBuilder,
        name: String,
        item: impl Fn(T) -> I + 'static,
        operator: impl FnOnce(OperatorContext) -> O,
    );
}

impl<K: Key, T: 'static, I: Record> OperatorInput<K, T, I> for EdgeId {
    fn add<O: Operator>(
        &self,
        shard: &mut ShardBuilder,
        name: String,
        _: impl Fn(T) -> I + 'static,
        operator: impl FnOnce(OperatorContext) -> O,
    ) {
        shard.add_operator(&[Port::of::<Keyed<K, I>>(*self)], name, operator);
    }
}

/// The chain `S`, whose records `P` takes the key from.
#[derive(Clone)]
pub struct InChain<S, P> {
    pub(crate) inner: S,
    pub(crate) key: P,
    /// Which operator within a chain of the job.
    pub(crate) number: usize,
}

impl<S, P, K, I> OperatorInput<K, S::Item, I> for InChain<S, P>
where
    S: Flow,
    P: Fn(&S::Item) -> K + Clone + Send + Sync + 'static,
    K: Key,
    I: Record,
{
    fn add<O: Operator>(
        &self,
        shard: &mut ShardBuilder,
        name: String,
        item: impl Fn(S::Item) -> I + 'static,
        operator: impl FnOnce(OperatorContext) -> O,
    ) {
        let end = shard.add_chained(self.number, name, (self.key.clone(), item), operator);
        self.inner.instantiate(shard, end);
    }
}
