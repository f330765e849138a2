//! Aggregates: what a window keeps of its records.
//!
//! An aggregate is split so that little travels: [`item`](Aggregate::item) is taken at the sender, and only it crosses the
//! exchange. Everything here is independent of the order of arrival, floats included (see [`ExactSum`]), so a
//! result does not depend on the number of shards or the cut into ticks.
//!
//! What is added up, and what is compared, is the same everywhere:
//!
//! - integers never wrap: see [`Number`];
//! - floats are ordered as `-inf < ... < -0.0 < 0.0 < ... < inf < NaN`, whatever the sign of the NaN: see [`Ranked`].

mod avg;
mod carried;
#[cfg(test)]
mod check;
mod collect;
mod count;
mod count_if;
mod distinct;
mod entries;
mod exact;
mod extreme;
mod extreme_at;
mod extreme_by;
mod filtered;
mod frequent;
mod moments;
mod number;
mod pre_aggregated;
mod quantiles;
mod rounded;
mod rounding;
mod sum;
mod top;
mod tuple;
mod unsigned;
mod variance;
mod wide;

pub use avg::{Avg, avg};
pub use carried::CarriedSum;
pub use collect::{ByRank, CollectList, CollectMap, collect_list, collect_map, count_by};
pub use count::{Count, count};
pub use count_if::{CountIf, count_if};
pub use distinct::{CollectSet, Distinct, collect_set, distinct};
pub use entries::Entries;
pub use exact::ExactSum;
pub use extreme::{Max, Min, Ranked, max, min};
pub use extreme_at::{ArgMax, ArgMin, arg_max, arg_min};
pub use extreme_by::{MaxBy, MinBy, max_by, min_by};
pub use filtered::{Matching, MatchingOrDefault, filtered};
pub use frequent::{MostFrequent, most_frequent};
pub use moments::{FloatMoments, IntegerMoments, Moments, Varies};
pub use number::{Adds, Number, Overflow};
pub use pre_aggregated::{Partial, PreAggregated, pre_aggregated};
pub use quantiles::{Measured, Quantiles, quantiles};
pub use rounded::{Rounded, RoundedSum};
pub use sum::{Sum, sum};
pub use top::{BottomK, BottomKBy, TopK, TopKBy, bottom_k, bottom_k_by, top_k, top_k_by};
pub use unsigned::UnsignedSum;
pub use variance::{StddevPop, StddevSamp, VarPop, VarSamp, stddev_pop, stddev_samp, var_pop, var_samp};
pub use wide::WideSum;

use crate::record::{Archived, Record, read};
use alloc::borrow::Cow;

/// What to keep of the records of one key and window.
///
/// `add` and `merge` must be commutative and associative in effect: the engine adds in an order that depends on the cut of the
/// stream into ticks, and merges the panes of a hopping window, and what shards have [added up before](pre_aggregated()), which `window_all` always does. So
/// records that were added to several of what [`empty`](Self::empty) gives, and then merged, have to come to the same as if they had been added to one.
///
/// ```
/// use pelton::Aggregate;
///
/// /// Whether any request failed.
/// #[derive(Clone)]
/// struct AnyFailed;
///
/// impl Aggregate<u16> for AnyFailed {
///     type Item = bool;
///     type Acc = bool;
///     type Out = bool;
///     fn item(&self, status: &u16) -> bool { *status >= 500 }
///     fn empty(&self) -> bool { false }
///     fn add(&self, acc: &mut bool, failed: bool) { *acc |= failed }
///     fn merge(&self, acc: &mut bool, other: &bool) { *acc |= other }
///     fn finish(&self, acc: &bool) -> bool { *acc }
/// }
///
/// let mut acc = AnyFailed.empty();
/// AnyFailed.add(&mut acc, AnyFailed.item(&503));
/// assert!(AnyFailed.finish(&acc));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not aggregate records of type `{T}`",
    note = "use `count()`, `sum(|r| r.field)`, `min`, `max`, `avg`, `max_by`, another one of `pelton::aggregate`, a tuple of them, or your own `Aggregate`"
)]
pub trait Aggregate<T>: Clone + Send + Sync + 'static {
    /// The part of a record that crosses the exchange.
    type Item: Record;
    /// What is kept for each key and window.
    type Acc: Record + Clone;
    /// The result.
    type Out;

    /// What it computes, for people and for the comparison of a job with the one that left its state: a sum is not taken for a maximum, though
    /// both keep a number. All of one's own are `custom` unless they say more; what is said must not change from one version to the next.
    fn kind(&self) -> Cow<'static, str> {
        "custom".into()
    }

    /// Takes from a record what this aggregate needs.
    fn item(&self, record: &T) -> Self::Item;
    /// As [`item`](Self::item), of a record that nobody needs any more: the engine asks this one. What is moved need not be copied.
    #[inline(always)]
    fn take_item(&self, record: T) -> Self::Item {
        self.item(&record)
    }
    /// The state before any record.
    fn empty(&self) -> Self::Acc;
    /// Adds one record's item.
    fn add(&self, acc: &mut Self::Acc, item: Self::Item);
    /// As [`add`](Self::add), of an item that lies in the memory in which it came: the engine asks this one. By default the item is
    /// rebuilt, with its text and lists; an aggregate that drops most of them looks first, and rebuilds what it keeps
    /// ([`read`]).
    #[inline(always)]
    fn add_archived(&self, acc: &mut Self::Acc, item: &Archived<Self::Item>) {
        self.add(acc, read(item));
    }
    /// Adds a record: `add(acc, take_item(record))`, which it is by default. [`pre_aggregated`] asks this one, on the shard that has the record. An
    /// aggregate that drops most records looks first, and takes the item of what it keeps.
    #[inline(always)]
    fn add_record(&self, acc: &mut Self::Acc, record: T) {
        self.add(acc, self.take_item(record));
    }
    /// Adds everything that `other` holds.
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc);
    /// The result for what was added, which is at least one record.
    fn finish(&self, acc: &Self::Acc) -> Self::Out;
    /// As [`finish`](Self::finish), for an aggregate whose result may not exist: the engine asks this one. By default there is one always.
    ///
    /// # Errors
    /// When `Out` cannot hold the result. The job stops, and says so with the operator and the key.
    #[inline(always)]
    fn try_finish(&self, acc: &Self::Acc) -> Result<Self::Out, Overflow> {
        Ok(self.finish(acc))
    }

    /// Whether items are of several records, which `absorb` adds: [`PreAggregated`] alone.
    #[doc(hidden)]
    const PRE_AGGREGATES: bool = false;
    /// Adds one more record to an item.
    #[doc(hidden)]
    fn absorb(&self, _: &mut Self::Item, _: T) {
        unreachable!("an item is of one record");
    }
    /// Of how many records an item is.
    #[doc(hidden)]
    #[inline(always)]
    fn records(&self, _: &Archived<Self::Item>) -> u64 {
        1
    }
}
