//! A checkpoint, as the engine sees it: blocks of bytes that leave while records keep coming, and come back after a restart.
//!
//! A shard is *frozen* after a tick: every operator notes what its state is, in no time to speak of, and goes on. Then it is *saved* in
//! bounded steps. An operator whose frozen state is about to change writes the part that changes first (copy on write).
//!
//! ```text
//!  section   which part of the shard: the notes of a stage, an operator, the sinks
//!  table     which table of the operator, by a number of the operator's own
//!  chunk     which part of the table; 0 for all that has no parts
//! ```

#[cfg(test)]
pub(crate) mod held;

use crate::fault::Fault;
use crate::ids::Tick;

/// Which part of a shard a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Section(pub u32);

impl Section {
    /// The notes of stage `stage`: what its chains keep between ticks.
    ///
    /// # Panics
    /// When the stage has a number beyond 65,535: it would be another part's name.
    pub const fn notes(stage: usize) -> Self {
        assert!(stage < 1 << 16, "stages have numbers of 16 bits");
        Section(stage as u32)
    }

    /// What the sinks keep.
    pub const SINKS: Section = Section(1 << 30);

    /// Operator number `operator` of stage `stage`: its first state.
    ///
    /// # Panics
    /// When the stage has a number beyond 32,767, or the operator one beyond 4,095.
    pub const fn operator(stage: usize, operator: usize) -> Self {
        assert!(stage < 1 << 15 && operator < 1 << 12, "stages have numbers of 15 bits and operators of 12");
        Section(1 << 31 | (stage as u32) << 16 | (operator as u32) << 4)
    }

    /// State number `state` of the operator whose first state this is.
    ///
    /// # Panics
    /// When it has a number beyond 15.
    pub const fn state(self, state: usize) -> Self {
        assert!(state < 1 << 4 && self.0 & 0xf == 0, "states have numbers of 4 bits");
        Section(self.0 | state as u32)
    }

    /// The number of the state within its operator.
    pub(crate) const fn state_number(self) -> usize {
        (self.0 & 0xf) as usize
    }
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId {
    /// The part of the shard.
    pub section: Section,
    /// The table.
    pub table: u32,
    /// The part of the table.
    pub chunk: u32,
}

/// Where the blocks of one shard's part of a checkpoint go.
pub trait SnapshotOut {
    /// Whether it takes more blocks now. What is given to it all the same is kept in memory.
    fn room(&self) -> bool;

    /// Takes a block.
    fn block(&mut self, id: BlockId, bytes: &[u8]);

    /// The block is what it was in the last checkpoint. Only after a freeze that was not full.
    fn same(&mut self, id: BlockId);
}

/// Takes one block that was saved.
pub type TakeBlock<'a> = dyn FnMut(BlockId, &[u8]) -> Result<(), Fault> + 'a;

/// A checkpoint to begin from.
pub trait Checkpoint: Send + Sync {
    /// The tick after which it was taken.
    fn tick(&self) -> Tick;

    /// Shards of the run that took it.
    fn shards(&self) -> usize;

    /// Whether a program took it whose operators were others, so that some of what this one keeps may not be in it.
    fn is_of_another_program(&self) -> bool {
        false
    }

    /// Hands every block of a section of an earlier shard that is wanted to `take`, in the order (table, chunk). The others are not read. Whether
    /// a block is wanted is asked once, when those before it have been taken.
    ///
    /// # Errors
    /// When a block cannot be read, or the first error of `take`.
    fn blocks(
        &self,
        shard: usize,
        section: Section,
        wanted: &mut dyn FnMut(BlockId) -> bool,
        take: &mut TakeBlock<'_>,
    ) -> Result<(), Fault>;
}
