//! A file among several partitions, and what the partitions of one run share.
//!
//! The file is cut into chunks of 1 MiB, and partition `p` of `P` takes chunks `p`, `p + P`, `p + 2P` ... So the partitions go through the file
//! side by side: where it is ordered by time, their times stay close together, and a window waits for little. A line belongs to the chunk in
//! which it begins.
//!
//! ```text
//!  chunk      |       0        |       1        |       2        |
//!  lines      |aaaaaa\nbbbbb\ncc|ccccc\nddd\neeee|eeeeeeee\nffff\n|ggg
//!  belongs to  a, b, c: 0        d, e: 1          f: 2             g: 3
//! ```
//!
//! A partition begins to read one byte before its chunk and passes over everything up to the first line end: if that byte is one, a line
//! begins with the chunk. It reads on beyond the end of the chunk until its last line is whole. A file is read as far as it reached when the run
//! began; only the last line may go on beyond that.
//!
//! Nobody counts lines before they are asked for: the number of a line is that of the lines before its chunk, which whoever read them
//! has noted, and of those who are behind it is counted.

use crate::bounds::CHUNKS_AHEAD_MAX;
use memchr::memchr_iter;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes of a chunk. Part of what a checkpoint holds: see `place.rs`.
pub(crate) const CHUNK_BYTES: u64 = 1 << 20;
/// Stands for a chunk whose lines nobody has counted.
const UNKNOWN: u32 = u32::MAX;

/// How many lines one partition has read, and what they were.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) empty: AtomicU64,
    pub(crate) malformed: AtomicU64,
}

/// What the partitions of one run share.
#[derive(Debug)]
pub(crate) struct Run {
    parts: Vec<Part>,
    /// How far the file is read.
    end: OnceLock<u64>,
    /// Lines that begin in each chunk.
    lines: Mutex<Vec<u32>>,
    /// Malformed lines that were reported though nobody asked.
    shown: AtomicU32,
}

#[derive(Debug)]
struct Part {
    opened: AtomicBool,
    /// The chunk that the partition is at; one that is not open holds nobody back.
    chunk: AtomicU64,
    counters: Counters,
}

impl Run {
    fn new(of: usize) -> Self {
        let part = || Part { opened: false.into(), chunk: u64::MAX.into(), counters: Counters::default() };
        let parts = (0..of).map(|_| part()).collect();
        Run { parts, end: OnceLock::new(), lines: Mutex::default(), shown: AtomicU32::new(0) }
    }

    /// The run that partition `index` of `of` is a part of: a new one when the one before had that partition already.
    pub(crate) fn join(current: &Mutex<Arc<Run>>, index: usize, of: usize) -> Arc<Run> {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.parts.len() != of || current.parts[index].opened.swap(true, Relaxed) {
            *current = Arc::new(Run::new(of));
            current.parts[index].opened.store(true, Relaxed);
        }
        current.clone()
    }

    /// A run that nothing has joined.
    pub(crate) fn none() -> Mutex<Arc<Run>> {
        Mutex::new(Arc::new(Run::new(0)))
    }

    pub(crate) fn counters(&self, index: usize) -> &Counters {
        &self.parts[index].counters
    }

    pub(crate) fn all_counters(&self) -> impl Iterator<Item = &Counters> {
        self.parts.iter().map(|part| &part.counters)
    }

    /// How far the file is read: as far as some partition has fixed it, or as it reaches now.
    pub(crate) fn end(&self, bytes: u64) -> u64 {
        *self.end.get_or_init(|| bytes)
    }

    /// An earlier run read the file as far as `end`.
    pub(crate) fn recall_end(&self, end: u64) -> Result<(), String> {
        match *self.end.get_or_init(|| end) {
            same if same == end => Ok(()),
            other => Err(format!(
                "one of its partitions reads it as far as byte {end}, where it ended when the job began, and another as far as byte {other}: \
                 it has grown meanwhile; start again, or cut it to {end} bytes"
            )),
        }
    }

    /// Partition `index` is at `chunk` now, or, with the largest number, at its end.
    pub(crate) fn set_chunk(&self, index: usize, chunk: u64) {
        self.parts[index].chunk.store(chunk, Relaxed);
    }

    /// Whether one who is at `chunk` should wait for the others.
    pub(crate) fn is_ahead(&self, chunk: u64) -> bool {
        self.parts.iter().any(|part| part.chunk.load(Relaxed).saturating_add(CHUNKS_AHEAD_MAX) < chunk)
    }

    /// Whether one more malformed line is to be reported though nobody asked, of `most` in all.
    pub(crate) fn shows_one_more(&self, most: u32) -> bool {
        self.shown.load(Relaxed) < most && self.shown.fetch_add(1, Relaxed) < most
    }

    /// Notes how many lines begin in a chunk.
    pub(crate) fn note_lines(&self, chunk: u64, lines: u64) {
        let mut noted = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let at = chunk as usize;
        if noted.len() <= at {
            noted.resize(at + 1, UNKNOWN);
        }
        // A chunk has fewer bytes.
        noted[at] = lines as u32;
    }

    /// How many lines begin in a chunk before others that are being read: as noted, or counted now.
    fn lines_in(&self, file: &File, chunk: u64) -> io::Result<u64> {
        let noted = self.lines.lock().unwrap_or_else(PoisonError::into_inner).get(chunk as usize).copied();
        if let Some(lines) = noted.filter(|lines| *lines != UNKNOWN) {
            return Ok(lines.into());
        }
        // Line ends from the byte before the chunk on: a line begins behind each.
        let mut bytes = vec![0; CHUNK_BYTES as usize];
        let lines = match chunk {
            0 => {
                file.read_exact_at(&mut bytes[1..], 0)?;
                1 + memchr_iter(b'\n', &bytes[1..]).count()
            }
            _ => {
                file.read_exact_at(&mut bytes, chunk * CHUNK_BYTES - 1)?;
                memchr_iter(b'\n', &bytes).count()
            }
        };
        self.note_lines(chunk, lines as u64);
        Ok(lines as u64)
    }

    /// How many lines begin before `chunk`; `known` is what was found for an earlier one.
    pub(crate) fn lines_before(&self, file: &File, chunk: u64, known: &mut (u64, u64)) -> io::Result<u64> {
        while known.0 < chunk {
            known.1 += self.lines_in(file, known.0)?;
            known.0 += 1;
        }
        Ok(known.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_begins_when_a_partition_is_opened_again() {
        let current = Run::none();
        let (a, b) = (Run::join(&current, 0, 2), Run::join(&current, 1, 2));
        assert!(Arc::ptr_eq(&a, &b));
        let again = Run::join(&current, 1, 2);
        assert!(!Arc::ptr_eq(&a, &again) && Arc::ptr_eq(&again, &Run::join(&current, 0, 2)));
        assert_eq!(Run::join(&current, 0, 3).parts.len(), 3);
        a.counters(0).records.store(7, Relaxed);
        assert_eq!(again.counters(0).records.load(Relaxed), 0, "nothing of an earlier run is counted");
    }

    #[test]
    fn one_who_is_far_ahead_waits_and_nobody_waits_for_one_who_is_not_there() {
        let current = Run::none();
        let run = Run::join(&current, 0, 3);
        run.set_chunk(0, 1_000);
        assert!(!run.is_ahead(1_000), "the others are not open");
        run.set_chunk(1, 1_000 - CHUNKS_AHEAD_MAX);
        assert!(!run.is_ahead(1_000));
        run.set_chunk(2, 1_000 - CHUNKS_AHEAD_MAX - 1);
        assert!(run.is_ahead(1_000) && !run.is_ahead(999));
        run.set_chunk(2, u64::MAX);
        assert!(!run.is_ahead(1_000));
    }

    #[test]
    fn the_end_is_fixed_once() {
        let run = Run::new(2);
        assert_eq!((run.end(7), run.end(9)), (7, 7));
        assert!(run.recall_end(7).is_ok());
        assert!(run.recall_end(8).unwrap_err().contains("it has grown meanwhile"));
        let run = Run::new(2);
        assert!(run.recall_end(5).is_ok());
        assert_eq!(run.end(9), 5);
    }
}
