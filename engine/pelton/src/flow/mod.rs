//! Flows: what a stream is made of, as values that every shard builds its own operators from.
//!
//! A flow is to a stream what an adaptor is to an iterator: a small struct around the one before it. When the stream ends in a
//! sink or an exchange, each shard *instantiates* the flow: from the end back to the root, so that the whole stretch becomes one
//! monomorphised chain. You meet these types in signatures and error messages only.

mod deduplicated;
mod input;
mod processed;
mod root;
mod sessions;
mod sorted;
mod stateless;
mod window_joined;

pub use deduplicated::Deduplicated;
pub use input::{InChain, OperatorInput};
pub use processed::Processed;
pub use root::{Aggregated, Forked, Joined, Rebalanced, RebalancedArchived, SourceRoot};
pub use sessions::InSessions;
pub use sorted::Sorted;
pub(crate) use stateless::Generator;
pub use stateless::{Filtered, FlatMapped, Ingested, Inspected, Mapped, Stamped};
pub use window_joined::WindowJoined;

use pelton_core::operator::push::Push;
use pelton_core::stage::build::ShardBuilder;

/// A stretch of a stream between a root (a source, an exchange, a fork) and where it ends.
pub trait Flow: Clone + Send + Sync + 'static {
    /// What flows out.
    type Item: 'static;

    /// Builds this stretch on one shard, pushing into `next`.
    fn instantiate(&self, shard: &mut ShardBuilder, next: impl Push<Self::Item>);
}
