//! Writing groups: one at a time, in order, looked at in small steps; and the end of it, when all of it has to be on
//! disk.

use super::{Durability, Log};
use crate::StorageError;
use crate::bounds::{GROUP_BYTES_ENOUGH, GROUP_TURNS_MAX, LOG_SYNC_WAIT};
use crate::disk::{Completed, How, Source, WriteId};
use crate::entry::HEADER;
use crate::mark::Kept;
use crate::segment::{PAGE, SegmentHeader, live_name};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const GROUP_WRITE: WriteId = WriteId(1);
const SEGMENT_WRITE: WriteId = WriteId(2);

impl Log {
    /// Looks at completions, submits what is to be written, and gets the next segment ready. True when something moved.
    ///
    /// `released` is the tick through which output was released; it goes into the next group.
    ///
    /// # Errors
    /// When a write or sync has failed, now or before, or there is no room for the next segment.
    pub fn turn(&mut self, released: u64) -> Result<bool, StorageError> {
        self.turn_if(released, true)
    }

    /// As [`turn`](Self::turn); but unless it is `urgent`, a group is submitted only when it has become large, whatever the durability.
    ///
    /// # Errors
    /// As for [`turn`](Self::turn).
    pub fn turn_if(&mut self, released: u64, urgent: bool) -> Result<bool, StorageError> {
        self.released = self.released.max(released);
        let urgent = urgent && self.segments.durability == Durability::Disk;
        self.guarded(|log| log.step(urgent))
    }

    /// The tick of the first entry that is not durable yet. Always `None` with [`Durability::Process`].
    pub fn pending(&self) -> Option<u64> {
        if self.segments.durability == Durability::Process {
            return None;
        }
        let in_flight = self.in_flight.as_ref().and_then(|(group, _)| group.first_tick);
        let closed = self.closed.as_ref().and_then(|group| group.first_tick);
        in_flight.or(closed).or(self.open.as_ref().and_then(|open| open.first_tick))
    }

    /// Whether a group is being written.
    pub fn in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Sleeps in the kernel until a write completes, but no longer than `longest`; returns at once if none is under
    /// way.
    ///
    /// # Errors
    /// When waiting fails, or the log is poisoned.
    pub fn wait(&mut self, longest: Duration) -> Result<(), StorageError> {
        self.guarded(|log| {
            if log.writer.in_flight() == 0 {
                return Ok(());
            }
            let waited = log.writer.wait(longest);
            waited.map_err(|error| StorageError::io("wait for writes in", &log.segments.directory, error))
        })
    }

    /// One turn. `urgent` writes what is there, however little it is.
    fn step(&mut self, urgent: bool) -> Result<bool, StorageError> {
        let mut moved = self.reap()?;
        if self.in_flight.is_none() && self.is_time(urgent) {
            moved |= self.submit()?;
        }
        moved |= self.segments.release(self.first_written)?;
        let consumed = self.head.saturating_sub(self.segments.identity.base(self.segments.current.number));
        moved |= self.segments.prepare(&mut *self.writer, SEGMENT_WRITE, consumed)?;
        Ok(moved)
    }

    /// Says outside of the log how far it is kept.
    pub(super) fn mark(&mut self, kind: Durability) -> Result<(), StorageError> {
        let kept = Kept { position: self.written, tick: self.written_tick };
        // What stands there of the others is of the log's own kind.
        let others = self.positions.as_ref().filter(|_| kind == self.segments.durability);
        self.mark.write(kept, self.durable, kind, others)?;
        if let Some(positions) = &self.positions {
            positions[usize::from(self.segments.identity.shard)].store(self.written, Ordering::Release);
        }
        Ok(())
    }

    /// Whether anything is not written yet.
    fn is_under_way(&self) -> bool {
        self.open.is_some() || self.closed.is_some() || self.in_flight.is_some()
    }

    /// Takes completions.
    fn reap(&mut self) -> Result<bool, StorageError> {
        let mut moved = false;
        while let Some(Completed { id, result, memory }) = self.writer.completed() {
            moved = true;
            if id == SEGMENT_WRITE {
                self.segments.completed(&mut *self.writer, id, result, memory)?;
                continue;
            }
            let (group, since) = self.in_flight.take().expect("a group completed that was not in flight");
            if let Err(error) = result {
                return Err(StorageError::io("write", self.path_of(group.number), error));
            }
            self.stats.commit(since.elapsed(), group.end - group.start);
            (self.written, self.written_tick) = (group.next, group.last_tick);
            self.first_written = group.first;
            self.ring.store_written(self.written);
            let kind = self.segments.durability;
            if kind == Durability::Disk {
                self.durable = Kept { position: self.written, tick: self.written_tick };
            }
            // Before anybody is told: what is acknowledged on the strength of this group is known to have been.
            self.mark(kind)?;
            self.update_end_here();
        }
        Ok(moved)
    }

    /// Whether there is something that should be written now.
    fn is_time(&mut self, urgent: bool) -> bool {
        if self.closed.is_some() {
            return true;
        }
        if self.open.is_none() {
            return false;
        }
        if urgent {
            return true;
        }
        self.turns += 1;
        let enough = GROUP_BYTES_ENOUGH.min(self.segments.identity.segment_bytes / 4);
        // What is unwritten must not keep out an entry that the log would otherwise take.
        let largest = self.segments.identity.segment_bytes / 2 - PAGE;
        let short = self.room_here().max(self.room_beyond()) < largest + HEADER as u64;
        short || self.head - self.written >= enough || self.turns >= GROUP_TURNS_MAX
    }

    /// Submits the oldest group that is not written. None is in flight.
    fn submit(&mut self) -> Result<bool, StorageError> {
        if self.closed.is_none() {
            self.close_group(false);
        }
        let Some(group) = self.closed.take() else { return Ok(false) };
        self.turns = 0;
        let identity = self.segments.identity;
        let len = (group.end - group.start) as usize;
        let source = Source::Staging { ring: self.ring.memory.clone(), at: self.ring.at(group.start), len };
        let at = group.start - identity.base(group.number);
        let sync = self.segments.durability == Durability::Disk;
        let submitted = self.writer.submit(GROUP_WRITE, &group.file, source, at, sync);
        submitted.map_err(|error| StorageError::io("write", self.path_of(group.number), error))?;
        self.in_flight = Some((group, Instant::now()));
        Ok(true)
    }

    /// Writes all that is there.
    pub(super) fn drain(&mut self) -> Result<(), StorageError> {
        while self.is_under_way() {
            self.step(true)?;
            if self.in_flight.is_some() {
                let waited = self.writer.wait(LOG_SYNC_WAIT);
                waited.map_err(|error| {
                    StorageError::io("wait for writes in", &self.segments.directory, error)
                })?;
            }
        }
        Ok(())
    }

    /// Makes the segment files durable, which a log that need not outlast the machine does only here. Those that are no longer wanted are
    /// read by recovery, too, as long as they are there.
    pub(super) fn sync_files(&self) -> Result<(), StorageError> {
        let live = self.segments.live.iter().map(|live| live.number);
        for number in self.segments.retired().chain(live) {
            let path = self.path_of(number);
            let file = self.segments.disk.open(&path, How::Write);
            file.and_then(|file| file.sync()).map_err(|error| StorageError::io("sync", path, error))?;
        }
        Ok(())
    }

    /// Says in the segments that they hold everything, and removes the ring. All has been synced.
    pub(super) fn leave_ring(&self) -> Result<(), StorageError> {
        let segments = &self.segments;
        // The header of the newest group counts; an empty log has only headers. That group may stand in a segment that nobody wants any more, if it
        // filled it and the next one is empty.
        let newest = segments.identity.segment(self.previous);
        let live = segments.live.iter().map(|live| live.number);
        for number in segments.retired().chain(live).filter(|number| *number >= newest) {
            let path = self.path_of(number);
            let header = SegmentHeader {
                identity: segments.identity,
                number,
                durability: Durability::Disk,
                boot: 0,
                ring: 0,
            };
            let file = segments.disk.open(&path, How::Write);
            header.put(&*file.map_err(|error| StorageError::io("open", &path, error))?, &path)?;
        }
        let removed = segments.disk.remove_staging(&self.ring.name);
        removed.map_err(|error| StorageError::io("remove the staging ring of", &segments.directory, error))
    }

    fn path_of(&self, number: u64) -> PathBuf {
        self.segments.path(&live_name(number))
    }
}
