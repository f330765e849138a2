//! What a shard does for a checkpoint, for a restore from one, and for key groups that move.
//!
//! 1. A stage freezes after the checkpoint's tick; what is about to change is copied first (`watch`, and `keyed/saving` of the state).
//! 2. It is written a piece at a time, as blocks of a [`snapshot`] (`saver`), beside what chains note of themselves ([`notes`]).
//! 3. A restore reads the blocks of the key groups that live on this shard (`owned`).
//! 4. Key groups that move leave one shard for another between two ticks ([`moving`]).

pub mod moving;
pub mod notes;
pub(crate) mod owned;
pub(crate) mod saver;
pub mod snapshot;
pub(crate) mod watch;
