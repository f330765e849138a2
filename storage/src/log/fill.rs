//! The group that is appended to: how it is begun and closed, and what still fits into it.
//!
//! ```text
//!  written                 head                end_here
//!    v                      v                     v
//!    [ GROUP entry entry ...| room for entries | P ]     the segment's end, or the part of the ring that is not written yet
//! ```
//!
//! All of it is arithmetic and copying into the ring; nothing here enters the kernel.

use super::Log;
use crate::disk::DiskFile;
use crate::entry::{self, PAD};
use crate::group::{self, GROUP_BYTES, LAST_OF_SEGMENT, Opening, PAD_BYTES};
use crate::segment::PAGE;
use std::sync::Arc;

/// The group that is appended to.
pub(super) struct Filling {
    pub(super) opening: Opening,
    pub(super) first_tick: Option<u64>,
}

/// A group that gets no more entries.
pub(super) struct Closed {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) next: u64,
    pub(super) first: u64,
    pub(super) first_tick: Option<u64>,
    pub(super) last_tick: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) number: u64,
}

impl Log {
    /// Closes the open group, if there is one.
    pub(super) fn close_group(&mut self, last_of_segment: bool) {
        let Some(open) = self.open.take() else { return };
        assert!(self.closed.is_none(), "two groups wait to be written");
        let identity = self.segments.identity;
        let flags = if last_of_segment { LAST_OF_SEGMENT } else { 0 };
        let pad = entry::seal(self.seed, self.head, open.opening.sequence, PAD, flags, &[]);
        let at = self.ring.at(self.head);
        self.ring.memory.write(at, &pad);
        let used = self.head + PAD_BYTES;
        let end = used.next_multiple_of(PAGE);
        self.ring.memory.zero(at + PAD_BYTES as usize, (end - used) as usize);
        let current = &self.segments.current;
        let start = open.opening.position;
        let next = group::after(&identity, end, last_of_segment);
        self.closed = Some(Closed {
            start,
            end,
            next,
            first: open.opening.first,
            first_tick: open.first_tick,
            last_tick: self.last_tick,
            file: current.file.clone(),
            number: current.number,
        });
        self.previous = start;
        self.head = next;
        self.end_here = 0;
        self.ring.store_head(next);
    }

    /// Makes an open group in which an entry of `bytes` fits, here or in the next segment.
    #[cold]
    pub(super) fn make_room(&mut self, bytes: u64) {
        if bytes <= self.room_here() {
            assert!(self.open.is_none() && self.begin_here(), "room was promised");
            return;
        }
        assert!(
            self.failed.is_none() && bytes <= self.room_beyond(),
            "an entry of {bytes} bytes was appended to a log with room for {}",
            self.room()
        );
        if self.is_in_current() {
            // The segment is left for good, which a group has to say.
            if self.open.is_none() {
                assert!(self.begin_here(), "a segment's last page was not whole");
            }
            self.close_group(true);
        }
        self.segments.note_last_tick(self.last_tick);
        self.segments.enter();
        self.stats.segments += 1;
        assert!(self.begin_here(), "a new segment has room for a group");
    }

    /// Begins a group at the head, if the head is in the current segment.
    pub(super) fn begin_here(&mut self) -> bool {
        if !self.is_in_current() || self.open.is_some() {
            return false;
        }
        // One that was forged may be the largest number; none that was counted ever is.
        self.sequence = self.sequence.wrapping_add(1);
        let opening = Opening {
            position: self.head,
            tick_before: self.last_tick,
            sequence: self.sequence,
            previous: self.previous,
            released: self.released,
            first: self.segments.first,
        };
        self.ring.memory.write(self.ring.at(self.head), &opening.seal(self.seed));
        self.head += GROUP_BYTES;
        self.ring.store_head(self.head);
        self.open = Some(Filling { opening, first_tick: None });
        self.update_end_here();
        true
    }

    /// Whether the head is in the current segment: it is not while the next one has to be waited for.
    fn is_in_current(&self) -> bool {
        self.segments.identity.segment(self.head) == self.segments.current.number
    }

    /// Where the segment ends, or the part of the ring that may be written.
    fn end_of(&self, number: u64) -> u64 {
        let identity = &self.segments.identity;
        identity.base(number + 1).min(self.written + identity.segment_bytes)
    }

    pub(super) fn update_end_here(&mut self) {
        if self.open.is_some() {
            self.end_here = self.end_of(self.segments.identity.segment(self.head));
        }
    }

    /// Bytes of the largest entry that fits into the current segment.
    pub(super) fn room_here(&self) -> u64 {
        if !self.is_in_current() {
            return 0;
        }
        let taken = PAD_BYTES + if self.open.is_some() { 0 } else { GROUP_BYTES };
        self.end_of(self.segments.identity.segment(self.head)).saturating_sub(self.head + taken)
    }

    /// Bytes of the largest entry that fits into the next segment.
    pub(super) fn room_beyond(&self) -> u64 {
        let Some(number) = self.segments.ready() else { return 0 };
        let start = self.segments.identity.start(number);
        self.end_of(number).saturating_sub(start + GROUP_BYTES + PAD_BYTES)
    }
}
