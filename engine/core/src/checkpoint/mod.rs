//! What a shard does for a checkpoint, for a restore from one, and for key groups that move.
//!
//! 1. A stage freezes after the checkpoint's tick; what is about to change is copied first (`watch`).
//! 2. It is written a piece at a time, as blocks of a [`snapshot`] (`saver`), beside what operators note of themselves ([`notes`]).
//! 3. A restore reads the blocks back, and takes the rows of the key groups that live on this shard (`owns`).
//! 4. Key groups that move leave one shard for another between two ticks ([`moving`], `leaving`).

pub(crate) mod announced;
pub(crate) mod leaving;
pub mod moving;
pub mod notes;
pub(crate) mod owns;
pub(crate) mod saver;
pub mod snapshot;
pub(crate) mod watch;
