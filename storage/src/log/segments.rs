//! The segments of an open log: which are in use, and the next one, made ready ahead of need.
//!
//! The life of a segment file, each step of which leaves something that recovery understands:
//!
//! 1. made: a new, empty `spare-new-N.log`, and the directory synced (the only steps that block, for as long as the file system takes);
//! 2. filled with zeros, 256 KiB at a time, synced every MiB, no faster than twice the rate at which the current segment fills;
//! 3. given the header of segment N, synced; from here on it *is* segment N, whatever its name;
//! 4. renamed to `seg-N.log`; the log may go on in it;
//! 5. retired: a group that names a later segment as the first one in use has been written (and synced);
//! 6. renamed to `spare-K.log`, and used again from step 3, or removed if there are enough.
//!
//! Steps 2 and 3 are writes of the log's own writer, one at a time. Renaming costs some microseconds.

use crate::StorageError;
use crate::bounds::SPARES_MAX;
use crate::bounds::{FILL_AHEAD_BYTES, FILL_BYTES, FILL_SYNC_BYTES};
use crate::disk::{Disk, DiskFile, How, Source, WriteId, Writer};
use crate::log::Durability;
use crate::segment::{Identity, PAGE, SegmentHeader, live_name, new_name, spare_name};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that waits to be used.
pub(crate) struct Spare {
    pub(crate) name: String,
    /// How much of it was written once.
    pub(crate) filled: u64,
}

/// A segment in use.
pub(crate) struct Live {
    pub(crate) number: u64,
    /// The tick of its last entry, or of the last one before it.
    pub(crate) last_tick: u64,
}

/// An open segment.
pub(crate) struct Open {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

enum Next {
    None,
    Filling { file: Arc<dyn DiskFile>, name: String, filled: u64, under_way: u64 },
    Heading { file: Arc<dyn DiskFile>, name: String },
    Ready(Open),
}

pub(crate) struct Segments {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) durability: Durability,
    boot: u64,
    ring: u64,
    /// In order; the last is the one that is appended to, or the next one when that is ready.
    pub(crate) live: VecDeque<Live>,
    /// The one that is appended to.
    pub(crate) current: Open,
    next: Next,
    pub(crate) spares: VecDeque<Spare>,
    /// No longer wanted, but not yet known to be so on disk.
    retired: VecDeque<u64>,
    /// The oldest segment that is wanted.
    pub(crate) first: u64,
    zeros: Option<Vec<u8>>,
    page: Option<Vec<u8>>,
    pub(crate) recycled: u64,
}

impl Segments {
    /// A log's segments as recovery found them: those that hold groups, and which is the oldest in use by the last group. The files may
    /// still be there of one that was given up by a group in the staging ring.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        directory: &Path,
        header: &SegmentHeader,
        file: Arc<dyn DiskFile>,
        (mut live, first): (VecDeque<Live>, u64),
        spares: VecDeque<Spare>,
    ) -> Segments {
        let in_use = live.partition_point(|live| live.number < first);
        let retired = live.drain(..in_use).map(|live| live.number).collect();
        assert!(!live.is_empty(), "a log has at least one segment");
        Segments {
            disk,
            directory: directory.to_path_buf(),
            identity: header.identity,
            durability: header.durability,
            boot: header.boot,
            ring: header.ring,
            live,
            current: Open { number: header.number, file },
            next: Next::None,
            spares,
            retired,
            first,
            zeros: Some(vec![0; FILL_BYTES as usize]),
            page: Some(vec![0; PAGE as usize]),
            recycled: 0,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The number that a segment gets that is made ready now.
    fn next_number(&self) -> u64 {
        self.live.back().expect("a log has at least one segment").number + 1
    }

    /// The next segment, if it can be entered.
    #[inline]
    pub(crate) fn ready(&self) -> Option<u64> {
        match &self.next {
            Next::Ready(next) => Some(next.number),
            _ => None,
        }
    }

    /// Goes on in the next segment, which must be ready.
    pub(crate) fn enter(&mut self) {
        let Next::Ready(next) = std::mem::replace(&mut self.next, Next::None) else {
            panic!("a segment was entered before it was ready");
        };
        self.current = next;
    }

    /// Does the next thing that is to be done, if it is time for it; `consumed` says how much of the current segment is used. True if
    /// something was done. Never waits for a write, and starts one at most.
    pub(crate) fn prepare(
        &mut self,
        writer: &mut dyn Writer,
        id: WriteId,
        consumed: u64,
    ) -> Result<bool, StorageError> {
        let segment_bytes = self.identity.segment_bytes;
        match &mut self.next {
            Next::None => self.begin(writer, id).map(|()| true),
            Next::Filling { file, name, filled, under_way } if *under_way == 0 => {
                if *filled >= (2 * consumed).saturating_add(FILL_AHEAD_BYTES) {
                    return Ok(false);
                }
                let mut zeros = self.zeros.take().expect("one write of zeros is under way at a time");
                let step = FILL_BYTES.min(segment_bytes - *filled);
                zeros.resize(step as usize, 0);
                let end = *filled + step;
                let sync = end == segment_bytes || end.is_multiple_of(FILL_SYNC_BYTES);
                let path = self.directory.join(&*name);
                writer
                    .submit(id, file, Source::Owned(zeros), *filled, sync)
                    .map_err(|error| StorageError::io("write", path, error))?;
                *under_way = step;
                Ok(true)
            }
            Next::Filling { .. } | Next::Heading { .. } | Next::Ready(_) => Ok(false),
        }
    }

    /// Steps 1 or 3: takes a spare, or makes a file.
    fn begin(&mut self, writer: &mut dyn Writer, id: WriteId) -> Result<(), StorageError> {
        let number = self.next_number();
        let spare = match self.spares.pop_front() {
            Some(spare) => spare,
            None => {
                let name = new_name(number);
                let path = self.path(&name);
                self.disk.open(&path, How::Create).map_err(|error| self.refused("create", path, error))?;
                self.disk
                    .sync_directory(&self.directory)
                    .map_err(|error| StorageError::io("sync", &self.directory, error))?;
                Spare { name, filled: 0 }
            }
        };
        let path = self.path(&spare.name);
        let file =
            self.disk.open(&path, How::Write).map_err(|error| StorageError::io("open", path, error))?;
        if spare.filled >= self.identity.segment_bytes {
            self.recycled += 1;
            self.head(writer, id, file, spare.name)
        } else {
            self.next = Next::Filling { file, name: spare.name, filled: 0, under_way: 0 };
            Ok(())
        }
    }

    /// Step 3.
    fn head(
        &mut self,
        writer: &mut dyn Writer,
        id: WriteId,
        file: Arc<dyn DiskFile>,
        name: String,
    ) -> Result<(), StorageError> {
        let header = SegmentHeader {
            identity: self.identity,
            number: self.next_number(),
            durability: self.durability,
            boot: self.boot,
            ring: self.ring,
        };
        let mut page = self.page.take().expect("one header is under way at a time");
        header.write(&mut page);
        writer
            .submit(id, &file, Source::Owned(page), 0, true)
            .map_err(|error| StorageError::io("write", self.path(&name), error))?;
        self.next = Next::Heading { file, name };
        Ok(())
    }

    /// A write that `prepare` started has completed.
    pub(crate) fn completed(
        &mut self,
        writer: &mut dyn Writer,
        id: WriteId,
        result: std::io::Result<()>,
        memory: Option<Vec<u8>>,
    ) -> Result<(), StorageError> {
        match std::mem::replace(&mut self.next, Next::None) {
            Next::Filling { file, name, filled, under_way } => {
                self.zeros = Some(memory.unwrap_or_else(|| vec![0; FILL_BYTES as usize]));
                result.map_err(|error| {
                    let needed = self.identity.segment_bytes - filled;
                    self.full(StorageError::io("write", self.path(&name), error), needed)
                })?;
                let filled = filled + under_way;
                if filled == self.identity.segment_bytes {
                    self.head(writer, id, file, name)
                } else {
                    self.next = Next::Filling { file, name, filled, under_way: 0 };
                    Ok(())
                }
            }
            Next::Heading { file, name } => {
                self.page = Some(memory.unwrap_or_else(|| vec![0; PAGE as usize]));
                result.map_err(|error| StorageError::io("write", self.path(&name), error))?;
                let number = self.next_number();
                self.rename(&name, &live_name(number))?;
                let last_tick = self.live.back().map_or(0, |live| live.last_tick);
                self.live.push_back(Live { number, last_tick });
                self.next = Next::Ready(Open { number, file });
                Ok(())
            }
            Next::None | Next::Ready(_) => panic!("a write of a segment completed that nobody had started"),
        }
    }

    /// Notes the tick of an entry in the current segment.
    pub(crate) fn note_last_tick(&mut self, tick: u64) {
        for live in self.live.iter_mut().rev() {
            live.last_tick = tick;
            if live.number == self.current.number {
                break;
            }
        }
    }

    /// Segments whose entries are all before `tick`, and that lie before segment `keep`, are no longer wanted.
    pub(crate) fn retire(&mut self, tick: u64, keep: u64) {
        while let Some(live) = self.live.front() {
            if live.number >= keep || live.last_tick >= tick || self.live.len() == 1 {
                break;
            }
            self.retired.push_back(live.number);
            self.first = live.number + 1;
            self.live.pop_front();
        }
    }

    /// Segments that are no longer wanted, and whose files have not become spares yet.
    pub(crate) fn retired(&self) -> impl Iterator<Item = u64> {
        self.retired.iter().copied()
    }

    /// One retired segment becomes a spare, if the disk knows by now that nothing before segment `first` is wanted.
    pub(crate) fn release(&mut self, first: u64) -> Result<bool, StorageError> {
        let Some(&number) = self.retired.front() else { return Ok(false) };
        if number >= first {
            return Ok(false);
        }
        self.retired.pop_front();
        let name = spare_name(number);
        self.rename(&live_name(number), &name)?;
        self.spares.push_back(Spare { name, filled: self.identity.segment_bytes });
        if self.spares.len() > SPARES_MAX
            && let Some(spare) = self.spares.pop_front()
        {
            let path = self.path(&spare.name);
            self.disk.remove(&path).map_err(|error| StorageError::io("remove", path, error))?;
        }
        Ok(true)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        if from == to {
            return Ok(());
        }
        let from = self.path(from);
        self.disk.rename(&from, &self.path(to)).map_err(|error| StorageError::io("rename", from, error))
    }

    fn refused(&self, action: &'static str, path: PathBuf, error: std::io::Error) -> StorageError {
        self.full(StorageError::io(action, path, error), self.identity.segment_bytes)
    }

    /// Says how much is missing, if that is what is wrong.
    fn full(&self, error: StorageError, missing: u64) -> StorageError {
        match error {
            StorageError::Full { path, free, .. } => StorageError::Full { path, needed: missing, free },
            other => other,
        }
    }
}
