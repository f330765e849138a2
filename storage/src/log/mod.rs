//! The log of a shard: entries appended in memory, written and made durable in groups.
//!
//! ```text
//!              written                    head
//!                 v                         v
//!  ring     ------[ in flight | closed | open ]------>     one segment long, position p at p % segment bytes
//!                 |           |
//!                 v           v one write at a time, linked with fdatasync
//!  files    [ segment n                ][ segment n + 1        ]
//! ```
//!
//! [`Log::append`] copies an entry into the staging ring and computes its CRC32C: no system call, no allocation, no waiting. [`Log::turn`]
//! does the rest in small steps, and never waits for the disk: it looks at completions, submits the next group when none is in flight (what
//! is appended meanwhile forms the one after it), and gets the next segment ready ahead of need. Only making a new file blocks, for as long
//! as the file system takes to create it and sync its directory; recycled files do not need that.
//!
//! What is promised: with [`Durability::Disk`] an entry that [`Log::pending`] no longer counts survives the loss of power; with
//! [`Durability::Process`] every appended entry survives the death of the process, as long as the machine lives. After any failed write or
//! sync the log is poisoned: every call answers with that error, and nothing is acknowledged any more. Nothing is ever tried twice.
//!
//! One thread owns a log. This module never reads what it wrote; `recover` and `reader` do.

mod ring;
mod segments;
mod stats;

pub(crate) use ring::Ring;
pub(crate) use segments::{Live, Segments, Spare};
pub use stats::{COMMIT_BUCKETS, LogStats};

use crate::StorageError;
use crate::disk::{Completed, Disk, DiskFile, Source, WriteId, Writer};
use crate::entry::{self, ALIGN, HEADER, Kind, PAD};
use crate::group::{self, GROUP_BYTES, LAST_OF_SEGMENT, Opening, PAD_BYTES};
use crate::recover::{self, Recovered};
use crate::segment::{Identity, PAGE, live_name};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Unwritten bytes that make a group with [`Durability::Process`].
const PROCESS_GROUP_BYTES: u64 = 256 << 10;
/// Turns after which a smaller group is written all the same.
const PROCESS_GROUP_TURNS: u32 = 1 << 14;
/// How long one call to the kernel may sleep while [`Log::sync`] waits.
const SYNC_WAIT: Duration = Duration::from_millis(100);

const GROUP_WRITE: WriteId = WriteId(1);
const SEGMENT_WRITE: WriteId = WriteId(2);

/// What an entry survives. Jobs without durability have no log.
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
    /// What entries survive. It may change from one start to the next.
    pub durability: Durability,
    /// Bytes of a segment, a multiple of 4 KiB from [`LogOptions::SEGMENT_BYTES_MIN`] to [`LogOptions::SEGMENT_BYTES_MAX`]; never changes.
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
        (self.segment_bytes / 2 - PAGE) as usize
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

    /// The name of the log's staging ring.
    pub(crate) fn ring_name(&self) -> String {
        format!("log-g{:04}-shard-{:04}", self.generation, self.shard)
    }
}

/// A log that is open for appending.
///
/// ```
/// use pelton_storage::disk::{Disk, Faults, Simulated};
/// use pelton_storage::{Durability, Kind, Log, LogOptions, LogReader};
/// use std::{path::Path, sync::Arc, time::Duration};
///
/// let disk: Arc<dyn Disk> = Arc::new(Simulated::new(1, Faults::default()));
/// let directory = Path::new("/data/log/g0000/shard-0000");
/// let options = LogOptions { durability: Durability::Disk, segment_bytes: 1 << 20, id: 7, generation: 0, shard: 0 };
///
/// let (mut log, recovered) = Log::open(&disk, directory, &options)?;
/// assert_eq!(recovered.entries, 0);
/// log.append(1, Kind::Tick, b"hello");
/// assert_eq!(log.pending(), Some(1));
/// while log.pending().is_some() {
///     log.turn(0)?;
///     log.wait(Duration::from_micros(20))?;
/// }
///
/// let mut reader = LogReader::open(&disk, directory, &options, 0)?;
/// assert_eq!(reader.next()?.unwrap().payload, b"hello");
/// # Ok::<(), pelton_storage::StorageError>(())
/// ```
pub struct Log {
    ring: Ring,
    seed: u32,
    /// Position of the next entry.
    head: u64,
    /// Where an entry with its PAD has to end so as to fit into the open group; 0 if none is open.
    end_here: u64,
    last_tick: u64,
    open: Option<Filling>,
    closed: Option<Closed>,
    in_flight: Option<(Closed, Instant)>,
    /// Everything before this is in the segment files.
    written: u64,
    sequence: u64,
    previous: u64,
    released: u64,
    /// The oldest segment in use, as far as the disk knows.
    first_written: u64,
    /// Nothing was appended since an empty group was written.
    sealed: bool,
    turns: u32,
    segments: Segments,
    writer: Box<dyn Writer>,
    failed: Option<StorageError>,
    stats: LogStats,
}

/// The group that is appended to.
struct Filling {
    opening: Opening,
    first_tick: Option<u64>,
}

/// A group that gets no more entries.
struct Closed {
    start: u64,
    end: u64,
    next: u64,
    first: u64,
    first_tick: Option<u64>,
    file: Arc<dyn DiskFile>,
    number: u64,
}

/// What recovery hands over.
pub(crate) struct Start {
    pub(crate) ring: Ring,
    pub(crate) segments: Segments,
    pub(crate) head: u64,
    pub(crate) last_tick: u64,
    pub(crate) sequence: u64,
    pub(crate) previous: u64,
    pub(crate) released: u64,
    pub(crate) sealed: bool,
}

impl Log {
    /// Recovers what is there (making the log if there is nothing), and opens it for appending after its last entry.
    ///
    /// Blocks: it reads and checks all segments in use. A group that was being written when the process or the machine died, and was never
    /// acknowledged, is dropped and erased unless it is complete.
    ///
    /// # Errors
    /// When the disk refuses, and when what is there cannot be trusted: damage before the last group, a segment that is missing or belongs to
    /// another log, a later version. Nothing that a reader could see is changed then.
    pub fn open(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        options: &LogOptions,
    ) -> Result<(Log, Recovered), StorageError> {
        let (start, recovered) = recover::recover(disk, directory, options)?;
        let writer =
            disk.writer().map_err(|error| StorageError::io("make a writer for", directory, error))?;
        let log = Log {
            seed: options.identity().seed(),
            head: start.head,
            end_here: 0,
            last_tick: start.last_tick,
            open: None,
            closed: None,
            in_flight: None,
            written: start.head,
            sequence: start.sequence,
            previous: start.previous,
            released: start.released,
            first_written: start.segments.first,
            sealed: start.sealed,
            turns: 0,
            ring: start.ring,
            segments: start.segments,
            writer,
            failed: None,
            stats: LogStats::default(),
        };
        Ok((log, recovered))
    }

    /// The largest payload that `append` takes now; 0 while the ring is full, the next segment is not ready, or the log is poisoned.
    pub fn room(&self) -> usize {
        if self.failed.is_some() {
            return 0;
        }
        self.room_here().max(self.room_beyond()).saturating_sub(HEADER as u64) as usize
    }

    /// Appends an entry. Nanoseconds, mostly those of its CRC32C and of copying it.
    ///
    /// Ticks never fall, and the payload must fit: `payload.len() <= room()`, with a `room()` that is not 0.
    #[inline]
    pub fn append(&mut self, tick: u64, kind: Kind, payload: &[u8]) {
        assert!(tick >= self.last_tick, "tick {tick} after tick {}", self.last_tick);
        let bytes = entry::bytes(payload.len()) as u64;
        if self.head + bytes + PAD_BYTES > self.end_here {
            self.make_room(bytes);
        }
        let header = entry::seal(self.seed, self.head, tick, kind as u16, 0, payload);
        let at = self.ring.at(self.head);
        self.ring.memory.write(at, &header);
        let whole = payload.len() / ALIGN * ALIGN;
        self.ring.memory.write(at + HEADER, &payload[..whole]);
        if whole < payload.len() {
            // The last words are written whole, so that no byte of an older entry stays in the padding.
            let mut last = [0; ALIGN];
            last[..payload.len() - whole].copy_from_slice(&payload[whole..]);
            self.ring.memory.write(at + HEADER + whole, &last);
        }
        self.head += bytes;
        self.ring.store_head(self.head);
        self.last_tick = tick;
        if let Some(open) = &mut self.open {
            open.first_tick.get_or_insert(tick);
        }
        self.stats.entries += 1;
        self.stats.bytes += bytes;
    }

    /// Looks at completions, submits what is to be written, and gets the next segment ready. True when something moved.
    ///
    /// `released` is the tick through which output was released; it goes into the next group.
    ///
    /// # Errors
    /// When a write or sync has failed, now or before, or there is no room for the next segment.
    pub fn turn(&mut self, released: u64) -> Result<bool, StorageError> {
        self.released = self.released.max(released);
        self.guarded(|log| log.step(false))
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

    /// Sleeps in the kernel until a write completes, but no longer than `longest`; returns at once if none is under way.
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

    /// Blocks until all is written and durable on disk, whatever the durability. For the end of a job.
    ///
    /// An empty group follows the last entry, so that later damage to any entry is told from a write that was cut short.
    ///
    /// # Errors
    /// As for [`turn`](Log::turn).
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.guarded(|log| {
            log.drain()?;
            if !log.sealed && log.begin_here() {
                log.sealed = true;
                log.drain()?;
            }
            if log.segments.durability == Durability::Process {
                log.sync_files()?;
            }
            Ok(())
        })
    }

    /// Gives up segments all of whose entries are before `tick`. Their files are used again once a later group has told the disk so.
    ///
    /// # Errors
    /// When the log is poisoned.
    pub fn retire_before(&mut self, tick: u64) -> Result<(), StorageError> {
        self.guarded(|log| {
            log.segments.note_last_tick(log.last_tick);
            let keep = log.segments.identity.segment(log.written);
            log.segments.retire(tick, keep);
            Ok(())
        })
    }

    /// What the log has done since it was opened.
    pub fn stats(&self) -> LogStats {
        LogStats { recycled: self.segments.recycled, ..self.stats }
    }

    /// Runs `action`, unless the log is poisoned; an error poisons it.
    fn guarded<T>(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        action(self).inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// One turn. `force` writes what is there, however little it is.
    fn step(&mut self, force: bool) -> Result<bool, StorageError> {
        let mut moved = self.reap()?;
        if self.in_flight.is_none() && self.is_time(force) {
            moved |= self.submit()?;
        }
        moved |= self.segments.release(self.first_written)?;
        let consumed = self.head.saturating_sub(self.segments.identity.base(self.segments.current.number));
        moved |= self.segments.prepare(&mut *self.writer, SEGMENT_WRITE, consumed)?;
        Ok(moved)
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
            self.written = group.next;
            self.first_written = group.first;
            self.ring.store_written(self.written);
            self.update_end_here();
        }
        Ok(moved)
    }

    /// Whether there is something that should be written now.
    fn is_time(&mut self, force: bool) -> bool {
        if self.closed.is_some() {
            return true;
        }
        if self.open.is_none() {
            return false;
        }
        if force || self.segments.durability == Durability::Disk {
            return true;
        }
        self.turns += 1;
        let enough = PROCESS_GROUP_BYTES.min(self.segments.identity.segment_bytes / 4);
        // What is unwritten must not keep out an entry that the log would otherwise take.
        let largest = self.segments.identity.segment_bytes / 2 - PAGE;
        let short = self.room_here().max(self.room_beyond()) < largest + HEADER as u64;
        short || self.head - self.written >= enough || self.turns >= PROCESS_GROUP_TURNS
    }

    /// Submits the oldest group that is not written. None is in flight.
    fn submit(&mut self) -> Result<bool, StorageError> {
        if self.closed.is_none() {
            self.close(false);
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

    /// Closes the open group, if there is one.
    fn close(&mut self, last_of_segment: bool) {
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
    fn make_room(&mut self, bytes: u64) {
        self.sealed = false;
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
            self.close(true);
        }
        self.segments.note_last_tick(self.last_tick);
        self.segments.enter();
        self.stats.segments += 1;
        assert!(self.begin_here(), "a new segment has room for a group");
    }

    /// Begins a group at the head, if the head is in the current segment.
    fn begin_here(&mut self) -> bool {
        if !self.is_in_current() || self.open.is_some() {
            return false;
        }
        self.sequence += 1;
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

    fn update_end_here(&mut self) {
        if self.open.is_some() {
            self.end_here = self.end_of(self.segments.identity.segment(self.head));
        }
    }

    /// Bytes of the largest entry that fits into the current segment.
    fn room_here(&self) -> u64 {
        if !self.is_in_current() {
            return 0;
        }
        let taken = PAD_BYTES + if self.open.is_some() { 0 } else { GROUP_BYTES };
        self.end_of(self.segments.identity.segment(self.head)).saturating_sub(self.head + taken)
    }

    /// Bytes of the largest entry that fits into the next segment.
    fn room_beyond(&self) -> u64 {
        let Some(number) = self.segments.ready() else { return 0 };
        let start = self.segments.identity.start(number);
        self.end_of(number).saturating_sub(start + GROUP_BYTES + PAD_BYTES)
    }

    /// Writes all that is there.
    fn drain(&mut self) -> Result<(), StorageError> {
        while self.open.is_some() || self.closed.is_some() || self.in_flight.is_some() {
            self.step(true)?;
            if self.in_flight.is_some() {
                let waited = self.writer.wait(SYNC_WAIT);
                waited.map_err(|error| {
                    StorageError::io("wait for writes in", &self.segments.directory, error)
                })?;
            }
        }
        Ok(())
    }

    /// Makes the segment files durable, which a log that need not survive the machine does only here.
    fn sync_files(&self) -> Result<(), StorageError> {
        for live in &self.segments.live {
            let path = self.path_of(live.number);
            let file = self.segments.disk.open(&path, crate::disk::How::Write);
            file.and_then(|file| file.sync()).map_err(|error| StorageError::io("sync", path, error))?;
        }
        Ok(())
    }

    fn path_of(&self, number: u64) -> PathBuf {
        self.segments.path(&live_name(number))
    }
}
