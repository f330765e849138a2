//! Exchanges: how records come from the shard that has them to the shard that owns their key.
//!
//! ```text
//!  sender                                                        receiver
//!  partition -> channel, one for each shard -> frame in a ring   stage: merges the rings by (tick, edge, source shard, sequence)
//!               end of the tick: rings are published, then the clock line
//! ```
//!
//! The key's [hash] chooses a key group and that the shard ([`router`]); [`partition`] writes a record into the `channel` to it ([`pre_aggregate`] what many records come to), which archives it into a
//! `frame` of that [`ring`]. A [`clock`] line says through which tick a shard has sent everything, and a [`doorbell`] wakes a shard that sleeps.

pub(crate) mod channel;
pub mod clock;
pub mod doorbell;
pub(crate) mod frame;
pub mod hash;
pub(crate) mod local;
pub mod partition;
pub mod pre_aggregate;
pub mod ring;
pub mod router;
