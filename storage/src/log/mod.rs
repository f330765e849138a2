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
//! [`Log::append`] copies an entry into the staging ring and computes its CRC32C: no system call, no allocation, no
//! waiting. [`Log::turn`] does the rest in small steps, and never waits for the disk: it looks at completions, submits
//! the next group when none is in flight (what is appended meanwhile forms the one after it), and gets the next segment
//! ready ahead of need. Only making a new file blocks, for as long as the file system takes to create it and sync its
//! directory; recycled files do not need that.
//!
//! What is promised: with [`Durability::Disk`] an entry that [`Log::pending`] no longer counts outlasts the loss of
//! power; with [`Durability::Process`] every appended entry outlasts the death of the process, as long as the machine
//! lives. After any failed write or sync the log is poisoned: every call answers with that error, and nothing is
//! acknowledged any more. Nothing is ever tried twice. Before an entry counts as durable, the log's mark says so (`mark`).
//!
//! One thread owns a log. This module never reads what it wrote; `recover` and `reader` do.

mod fill;
mod options;
mod ring;
mod segments;
mod stats;
mod write;

pub use options::{Durability, LogOptions};
pub(crate) use ring::{Ring, generation_prefix, log_id, remove_rings, ring_name, ring_path, ring_prefix};
pub(crate) use segments::{Live, Segments, Spare};
pub use stats::{COMMIT_BUCKETS, LogStats};

use crate::StorageError;
use crate::disk::{Disk, DiskFile, Writer};
use crate::entry::{self, ALIGN, HEADER, Kind};
use crate::group::PAD_BYTES;
use crate::mark::{Kept, MarkFile, Positions};
use crate::proof::Proof;
use crate::recover::{self, Recovered};
use crate::segment::{self, Identity, SegmentHeader};
use fill::{Closed, Filling};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

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
    /// Everything before this is in the segment files, and the last tick of that.
    written: u64,
    written_tick: u64,
    sequence: u64,
    previous: u64,
    released: u64,
    /// The oldest segment in use, as far as the disk knows.
    first_written: u64,
    turns: u32,
    /// How far it was kept, outside of it; the files go through `durable` for good, `written` being in the page cache only with
    /// [`Durability::Process`].
    mark: MarkFile,
    durable: Kept,
    positions: Option<Positions>,
    /// What is left to do before the first entry.
    begin: Option<Begin>,
    segments: Segments,
    writer: Box<dyn Writer>,
    failed: Option<StorageError>,
    stats: LogStats,
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
    pub(crate) mark: MarkFile,
    pub(crate) begin: Begin,
}

/// What a log that was opened has yet to do before it is appended to.
pub(crate) struct Begin {
    /// Headers that say how the log is kept from then on.
    pub(crate) headers: Vec<(SegmentHeader, Arc<dyn DiskFile>)>,
    /// The ring was made for the run that begins.
    pub(crate) ring_made: bool,
}

impl Log {
    /// Recovers what is there (making the log if there is nothing), and opens it for appending after its last entry.
    ///
    /// Blocks: it reads and checks all segments in use. A group that was being written when the process or the machine
    /// died, and was never acknowledged, is dropped and erased unless it is complete.
    ///
    /// # Errors
    /// When the disk refuses, and when what is there cannot be trusted: damage, an end before what the log's mark says, a segment
    /// that is missing or belongs to another log, a later version. Nothing that a reader could see is changed then.
    pub fn open(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        options: &LogOptions,
    ) -> Result<(Log, Recovered), StorageError> {
        let (mut log, recovered) = Log::prepare(disk, directory, options, Proof::default())?;
        log.begin()?;
        Ok((log, recovered))
    }

    /// As [`open`](Log::open), but nothing can be appended before [`begin`](Log::begin): a log that is dropped before that is what it
    /// was, whatever the options are. `proof` is what others know of the log.
    ///
    /// # Errors
    /// As for [`open`](Log::open), and when the log ends before what is proven.
    pub fn prepare(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        options: &LogOptions,
        proof: Proof,
    ) -> Result<(Log, Recovered), StorageError> {
        let (start, recovered) = recover::recover(disk, directory, options, proof)?;
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
            written_tick: start.last_tick,
            sequence: start.sequence,
            previous: start.previous,
            released: start.released,
            first_written: start.segments.first,
            turns: 0,
            mark: start.mark,
            durable: Kept { position: start.head, tick: start.last_tick },
            positions: None,
            begin: Some(start.begin),
            ring: start.ring,
            segments: start.segments,
            writer,
            failed: None,
            stats: LogStats::default(),
        };
        Ok((log, recovered))
    }

    /// The log is to be appended to: its files say from now on how it is kept.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin(&mut self) -> Result<(), StorageError> {
        self.guarded(|log| {
            let Some(begin) = &mut log.begin else { return Ok(()) };
            // From now on a header may ask for it.
            begin.ring_made = false;
            let segments = &log.segments;
            for (header, file) in &begin.headers {
                header.put(&**file, &segments.path(&segment::live_name(header.number)))?;
            }
            // No header names the others any more: also what a clean end, or a start, that was cut short has left.
            let Identity { id, generation, shard, .. } = segments.identity;
            let prefix = ring_prefix(id, generation, shard);
            remove_rings(&*segments.disk, &segments.directory, &prefix, &log.ring.name)?;
            log.begin = None;
            Ok(())
        })
    }

    /// Stores how far this log is kept in `positions`, at the index of its shard, and what stands there of the others in its marks.
    pub fn share(&mut self, positions: Positions) {
        let own = &positions[usize::from(self.segments.identity.shard)];
        own.store(self.written, Ordering::Release);
        self.positions = Some(positions);
    }

    /// Through which position the log is on disk for good.
    pub fn durable(&self) -> u64 {
        self.durable.position
    }

    /// The largest payload that `append` takes now; 0 while the ring is full, the next segment is not ready, or the log
    /// is poisoned.
    pub fn room(&self) -> usize {
        if self.failed.is_some() || self.begin.is_some() {
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

    /// Blocks until all is written and durable on disk, whatever the durability. For the end of a job.
    ///
    /// The log's mark says so, durably as well.
    ///
    /// # Errors
    /// As for [`turn`](Log::turn).
    pub fn sync(&mut self) -> Result<(), StorageError> {
        self.guarded(|log| {
            log.drain()?;
            if log.segments.durability == Durability::Process {
                log.sync_files()?;
                log.durable = Kept { position: log.written, tick: log.written_tick };
                log.mark(Durability::Disk)?;
            }
            log.mark.sync()
        })
    }

    /// Ends the log cleanly: all of it is durable on disk then, and nothing is left in memory that outlives the
    /// process.
    ///
    /// With [`Durability::Process`] that is the point: the segments say that they hold everything, and the staging ring
    /// is removed. A log that is dropped without this keeps its ring, and cannot be opened without it before the
    /// machine is restarted. Nothing may be appended any more.
    ///
    /// # Errors
    /// As for [`sync`](Log::sync). The ring is kept then, unless removing it is what failed.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.sync()?;
        if self.segments.durability == Durability::Process {
            self.guarded(|log| log.leave_ring())?;
        }
        Ok(())
    }

    /// Gives up segments all of whose entries are before `tick`. Their files are used again once a later group has told
    /// the disk so.
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
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.begin.as_ref().is_some_and(|begin| begin.ring_made) {
            // It was made for a run that did not begin. Should it stay, it holds nothing.
            let _ = self.segments.disk.remove_staging(&self.ring.name);
        }
    }
}
