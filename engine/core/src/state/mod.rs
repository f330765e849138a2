//! What operators keep their state in: a [`store`] with the kinds of state that there are, and the memory under them.
//!
//! Owned by one operator on one shard. Nothing here reads a clock, and no order of a hash index ever reaches an output: rows leave in the
//! order that `order` sorts them into.

pub mod arena;
pub mod bag;
pub mod blocks;
pub mod charge;
pub(crate) mod fifo;
pub(crate) mod heap;
pub(crate) mod heap_bytes;
pub mod keyed;
mod leaf;
mod line;
pub mod memory;
pub(crate) mod order;
pub mod ordered;
pub mod prefetch;
pub mod risen;
pub mod slab;
pub(crate) mod slots;
pub mod store;
pub mod timers;
