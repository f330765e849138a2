//! Bytes that are durable, and the memory they are mapped in.
//!
//! The bottom layer: it knows nothing of records or operators, only of bytes, ticks and shards.

mod bounds;
#[cfg(test)]
mod checkpoint_tests;
pub mod control;
mod directory;
pub mod disk;
mod entry;
mod erase;
mod error;
mod file_system;
mod find;
mod fingerprint;
mod group;
mod inspect;
mod log;
mod manifest;
mod mark;
mod naming;
mod presence;
mod proof;
mod reader;
mod recover;
mod region;
mod rings;
mod room;
mod segment;
mod snapshot;
pub mod staging;
mod verify;
mod walk;

pub use bounds::BLOCK_BYTES;
pub use directory::{DataDirectory, DirectoryOptions, log_directory};
pub use entry::{Entry, Kind};
pub use error::StorageError;
pub use fingerprint::{
    EarlierJob, FINGERPRINT_VERSION, Job, StoredInput, StoredNumbers, StoredOperator, StoredSchema,
    StoredState,
};
pub use inspect::{GroupFacts, LogScan, Look, SegmentFacts};
pub use log::{COMMIT_BUCKETS, Durability, Log, LogOptions, LogStats};
pub use manifest::{Checkpoint, Manifest, Moved};
pub use mark::{Kept, Positions, Witness};
pub use presence::{Presence, presence};
pub use proof::{Proof, proofs};
pub use reader::LogReader;
pub use recover::{Recovered, Torn};
pub use region::{HUGE_PAGE_BYTES, Region};
pub use rings::{RingFile, RingState, remove_ring, remove_rings_below, rings};
pub use snapshot::{
    BlockEntry, SnapshotFile, SnapshotId, SnapshotIndex, SnapshotReader, SnapshotWriter,
    checkpoint_directory, snapshot_path,
};
pub use verify::{Finding, Severity, missing_files, verify};
