//! Naive twins: each workload once more as a plain single-threaded program over `BTreeMap`.
//!
//! They decide whether a run of the engine was right, so they are written to be read, not to be fast, and share
//! nothing with the engine but the generated events. They run after the measured part; the counts that are run
//! every day have their results in a table beside the workload, where the twins' own tests check them.

pub mod filter_map;
pub mod hop_max;
pub mod lat_tumble;
pub mod tumble_count;
pub mod window_join;
