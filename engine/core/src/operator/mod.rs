//! One file per operator.
//!
//! The stateless ones are [`Push`](crate::operator::push::Push)es, fused into the loop that feeds them. The stateful ones read the frames of
//! an exchange, keep the state of the keys that the shard owns, and act when a tick completes.

pub(crate) mod assign_timestamps;
pub(crate) mod deduplicate;
pub(crate) mod filter;
pub(crate) mod flat_map;
pub mod fork;
pub(crate) mod inspect;
pub(crate) mod map;
pub(crate) mod pass;
pub mod push;
#[cfg(test)]
mod recovery;
pub(crate) mod side;
pub(crate) mod sort;
pub(crate) mod window;

pub use assign_timestamps::{AssignTimestamps, WatermarkKind};
pub use deduplicate::DeduplicateOperator;
pub use filter::Filter;
pub use flat_map::FlatMap;
pub use inspect::Inspect;
pub use map::Map;
pub use pass::Pass;
pub use side::Side;
pub use sort::SortOperator;
pub use window::WindowOperator;

use crate::exchange::frame::Frame;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::push::Pipe;

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

    /// The least watermark at which something that the operator holds leaves; [`MAX`](EventTime::MAX) if it waits for none. A clock makes a tick
    /// for that, should no record make one.
    fn due(&mut self) -> EventTime {
        EventTime::MAX
    }

    /// Rows of the operator's state came back from a checkpoint, or came or went with key groups: what is derived from the state has to be made
    /// anew. Between two ticks.
    ///
    /// # Errors
    /// When the state is of another operator, or there is no memory for what is derived.
    fn restored(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
