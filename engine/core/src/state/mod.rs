//! What operators keep their state in: tables of keys, heaps, slots, and the memory under them.
//!
//! Owned by one operator on one shard. Nothing here reads a clock, and no order of a hash index ever reaches an output: rows leave in the
//! order that `order` sorts them into.

pub(crate) mod heap;
pub mod memory;
pub(crate) mod order;
pub mod prefetch;
pub(crate) mod slots;
pub mod table;
