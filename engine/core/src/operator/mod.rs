//! One file per operator.
//!
//! The stateless ones are [`Push`](crate::push::Push)es, fused into the loop that feeds them. The stateful ones read the frames of
//! an exchange, keep the state of the keys that the shard owns, and act when a tick completes.

pub(crate) mod deduplicate;
pub(crate) mod filter;
pub(crate) mod flat_map;
pub(crate) mod inspect;
pub(crate) mod map;
pub(crate) mod pass;
pub(crate) mod side;
pub(crate) mod sort;
pub(crate) mod stamp;
pub(crate) mod window;

pub use deduplicate::DeduplicateOperator;
pub use filter::Filter;
pub use flat_map::FlatMap;
pub use inspect::Inspect;
pub use map::Map;
pub use pass::Pass;
pub use side::Side;
pub use sort::SortOperator;
pub use stamp::{Stamp, Timing};
pub use window::WindowOperator;

use crate::fault::Fault;
use crate::frame::Frame;
use crate::ids::EventTime;
use crate::push::Pipe;

/// An operator behind an exchange, on one shard.
pub trait Operator: Pipe {
    /// Takes the records of one frame of the tick in progress.
    ///
    /// # Errors
    /// When the state outgrows the memory limit.
    fn frame(&mut self, frame: Frame<'_>) -> Result<(), Fault>;

    /// All frames of the tick have been taken and the input's watermark as of the tick is `watermark`: does a bounded part of
    /// what follows from that, and returns whether it is done.
    ///
    /// # Errors
    /// When a result outgrows the memory limit.
    fn complete(&mut self, watermark: EventTime) -> Result<bool, Fault>;

    /// A digest of the operator's state, equal for equal states.
    fn digest(&self) -> u64;
}
