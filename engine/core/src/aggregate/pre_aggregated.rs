//! Records that are added up on the shard that has them, before they cross.

use super::{Aggregate, Overflow};
use crate::record::{Archived, read, struct_record};
use alloc::borrow::Cow;
use rkyv::{Archive, Deserialize, Serialize};

/// Has the records of a key be added up before they cross the exchange, on each shard and in each tick: what crosses is one row for each key that a
/// tick has, and not one for each record.
///
/// It is for keys that are few, above all for one key for all: the shard that owns it would have everything to do. And for items that are expensive to
/// send, such as text. In a tick the first 256 keys of a shard are added up, and records of others cross one by one; a row is larger than what crosses of a
/// record otherwise, so for keys that are many it does not pay.
///
/// The result is the same. A record that is late counts as one, as ever.
///
/// ```
/// use pelton::aggregate::{count, max, pre_aggregated};
/// use pelton::prelude::*;
///
/// let rows = collect();
/// Job::new("all-orders")
///     .source(from_iter(|| [(1, 250), (2, 70), (3, 990)]))
///     .event_time(|(second, _)| EventTime::from_secs(*second), in_order())
///     .key_by(|_| ())
///     .window(tumbling(secs(60)))
///     .aggregate(pre_aggregated((count(), max(|(_, cents): &(i64, u64)| *cents))))
///     .sink(rows.clone())
///     .run()?;
/// assert_eq!(rows.take()[0].value, (3, 990));
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn pre_aggregated<A>(aggregate: A) -> PreAggregated<A> {
    PreAggregated(aggregate)
}

/// Made by [`pre_aggregated`].
#[derive(Clone, Copy, Debug)]
pub struct PreAggregated<A>(A);

/// What the records of a tick come to for a key.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Partial<V> {
    /// How many there are.
    pub records: u64,
    /// What they come to.
    pub value: V,
}
struct_record!(Partial<V> { records: u64, value: V });

impl<T, A: Aggregate<T>> Aggregate<T> for PreAggregated<A> {
    type Item = Partial<A::Acc>;
    type Acc = A::Acc;
    type Out = A::Out;

    const PRE_AGGREGATES: bool = true;

    fn kind(&self) -> Cow<'static, str> {
        self.0.kind()
    }
    fn item(&self, record: &T) -> Self::Item {
        let mut value = self.0.empty();
        self.0.add(&mut value, self.0.item(record));
        Partial { records: 1, value }
    }
    fn take_item(&self, record: T) -> Self::Item {
        let mut value = self.0.empty();
        self.0.add_record(&mut value, record);
        Partial { records: 1, value }
    }
    fn absorb(&self, item: &mut Self::Item, record: T) {
        item.records += 1;
        self.0.add_record(&mut item.value, record);
    }
    fn records(&self, item: &Archived<Self::Item>) -> u64 {
        item.records.to_native()
    }
    fn empty(&self) -> A::Acc {
        self.0.empty()
    }
    fn add(&self, acc: &mut A::Acc, item: Self::Item) {
        self.0.merge(acc, &item.value);
    }
    fn add_archived(&self, acc: &mut A::Acc, item: &Archived<Self::Item>) {
        self.0.merge(acc, &read(&item.value));
    }
    fn merge(&self, acc: &mut A::Acc, other: &A::Acc) {
        self.0.merge(acc, other);
    }
    fn finish(&self, acc: &A::Acc) -> A::Out {
        self.0.finish(acc)
    }
    fn try_finish(&self, acc: &A::Acc) -> Result<A::Out, Overflow> {
        self.0.try_finish(acc)
    }
}
