//! The jobs of the workloads, one to a file, written as a user of the engine would write them.
//!
//! Each `prepare` builds a job, ready to start, from sources and sinks of the public API. Records are ordinary
//! structs and keys are hashed; nothing is packed, and nothing knows how many keys there are.

pub mod filter_map;
pub mod hop_max;
pub mod lat_tumble;
pub mod tumble_count;
pub mod window_join;
