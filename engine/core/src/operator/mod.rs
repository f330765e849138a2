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

use crate::checkpoint::owns::Owns;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::exchange::frame::Frame;
use crate::fault::Fault;
use crate::ids::EventTime;
use crate::operator::push::Pipe;
use alloc::vec::Vec;

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
    fn due(&self) -> EventTime {
        EventTime::MAX
    }

    /// A digest of the operator's state, equal for equal states.
    fn digest(&mut self) -> u64;

    /// A checkpoint begins: what the operator holds now is what [`save`](Self::save) writes, whatever happens to it meanwhile. Takes no time
    /// to speak of. Called between two ticks; `full` says that nothing that was saved before counts.
    fn freeze(&mut self, full: bool);

    /// Writes a bounded part of what was frozen to `out`, as blocks of `section`; true when all is written.
    fn save(&mut self, section: Section, out: &mut dyn SnapshotOut) -> bool;

    /// Takes back a block that was saved; blocks come in the order (table, chunk), those of one earlier shard after those of another. `owns`
    /// says of the hash of a key whether it lives here.
    ///
    /// # Errors
    /// When the block is none of this operator's, or its state does not fit into the memory limit.
    fn restore(&mut self, block: BlockId, bytes: &[u8], owns: Owns<'_>) -> Result<(), Fault>;

    /// Takes the rows out whose key's hash `moves`, as blocks of `section` that the operator of another shard [restores](Self::restore).
    /// Between two ticks, and not while a checkpoint is being saved. Costs a pass over the state.
    ///
    /// # Errors
    /// When what stays does not fit into memory beside what it replaces, or a row refuses to be archived.
    fn extract(
        &mut self,
        section: Section,
        moves: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<(BlockId, Vec<u8>)>, Fault>;

    /// All blocks have been taken back. What would take long with much state, and what nothing is let out of yet, may be put off.
    ///
    /// # Errors
    /// As for [`restore`](Self::restore).
    fn restored(&mut self) -> Result<(), Fault>;

    /// Does a bounded part of what was put off when the state was [restored](Self::restored); true when nothing is left. It does not matter
    /// when it is called, or whether: whatever is let out, saved or compared waits for what it needs.
    ///
    /// # Errors
    /// As for [`restore`](Self::restore).
    fn catch_up(&mut self) -> Result<bool, Fault> {
        Ok(true)
    }
}

/// The methods of [`Operator`] that checkpoints need, for an operator that keeps nothing between ticks.
macro_rules! keeps_no_state {
    () => {
        fn freeze(&mut self, _: bool) {}
        fn save(
            &mut self,
            _: $crate::checkpoint::snapshot::Section,
            _: &mut dyn $crate::checkpoint::snapshot::SnapshotOut,
        ) -> bool {
            true
        }
        fn restore(
            &mut self,
            _: $crate::checkpoint::snapshot::BlockId,
            _: &[u8],
            _: $crate::checkpoint::owns::Owns<'_>,
        ) -> Result<(), $crate::fault::Fault> {
            Ok(())
        }
        fn extract(
            &mut self,
            _: $crate::checkpoint::snapshot::Section,
            _: &dyn Fn(u64) -> bool,
        ) -> Result<
            alloc::vec::Vec<($crate::checkpoint::snapshot::BlockId, alloc::vec::Vec<u8>)>,
            $crate::fault::Fault,
        > {
            Ok(alloc::vec::Vec::new())
        }
        fn restored(&mut self) -> Result<(), $crate::fault::Fault> {
            Ok(())
        }
    };
}
pub(crate) use keeps_no_state;
