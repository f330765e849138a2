//! Bytes that survive, and the memory they are mapped in.
//!
//! The bottom layer: it knows nothing of records, ticks or shards. Today it holds [`Region`], the anonymous memory
//! that rings and state tables live in.

mod region;

pub use region::{HUGE_PAGE_BYTES, Region};
