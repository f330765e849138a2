//! Which log, and how it is kept.

use crate::segment::{self, Identity, PAGE, SegmentHeader};

/// What an entry is safe from. Jobs without durability have no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The process: entries are in memory that outlives it.
    Process = 1,
    /// The machine: entries are on disk, and the disk was told to keep them.
    Disk = 2,
}

/// Which log, and how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// What entries are safe from. It may change from one start to the next.
    pub durability: Durability,
    /// Bytes of a segment, a multiple of 4 KiB from [`LogOptions::SEGMENT_BYTES_MIN`] to
    /// [`LogOptions::SEGMENT_BYTES_MAX`]; never changes.
    pub segment_bytes: u64,
    /// The job's log.
    pub id: u128,
    /// Counts changes of the number of shards.
    pub generation: u32,
    /// The shard.
    pub shard: u16,
}

impl LogOptions {
    /// The smallest segment; meant for tests.
    pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
    /// The largest segment.
    pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
    /// What a segment has if there is no reason for another size.
    pub const SEGMENT_BYTES: u64 = 64 << 20;

    /// The largest payload that the log can be trusted to take sooner or later, whatever was appended before.
    pub fn payload_bytes_max(&self) -> usize {
        (self.segment_bytes / 2).saturating_sub(PAGE) as usize
    }

    pub(crate) fn identity(&self) -> Identity {
        let bytes = self.segment_bytes;
        assert!(
            bytes.is_multiple_of(PAGE)
                && (Self::SEGMENT_BYTES_MIN..=Self::SEGMENT_BYTES_MAX).contains(&bytes),
            "segments of {bytes} bytes"
        );
        Identity { id: self.id, generation: self.generation, shard: self.shard, segment_bytes: bytes }
    }

    /// The header of segment `number`, written in the boot of that id, with the number of the staging ring.
    pub(crate) fn header(&self, number: u64, boot_id: &str, ring: u64) -> SegmentHeader {
        let boot = match self.durability {
            Durability::Process => segment::boot(boot_id),
            Durability::Disk => 0,
        };
        SegmentHeader { identity: self.identity(), number, durability: self.durability, boot, ring }
    }
}
