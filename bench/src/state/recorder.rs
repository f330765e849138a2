//! The sink of the small windows: how late each row is, in one of two histograms.
//!
//! Each shard records by itself; what it has is added to the whole when the job ends.

use super::job::{Row, WINDOW_MS};
use super::source::Touches;
use crate::clock::now_ns;
use crate::hist::Latencies;
use pelton::sinks::{Sink, SinkWriter};
use pelton::{EventTime, Fault, ShardId, Tick};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What rows came to.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Latencies of rows released while a checkpoint was made.
    pub with: Latencies,
    /// The others.
    pub without: Latencies,
    /// Records in the windows that were recorded.
    pub records: u64,
}

/// The sink; a clone is a handle to the same.
#[derive(Clone, Debug)]
pub struct Recorder {
    source: Touches,
    shared: Arc<RecorderState>,
}

#[derive(Debug)]
struct RecorderState {
    /// The ends of the first and the last window that are recorded, in milliseconds.
    from_ms: AtomicU64,
    to_ms: AtomicU64,
    making: AtomicBool,
    /// Writers that have not seen a row behind the last window.
    behind: AtomicUsize,
    all: Mutex<Recorded>,
}

impl Recorder {
    /// A sink that records nothing yet, for events of `source`.
    pub fn new(source: Touches) -> Self {
        let (from_ms, to_ms) = (AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX));
        let (making, behind) = (AtomicBool::new(false), AtomicUsize::new(0));
        let shared = RecorderState { from_ms, to_ms, making, behind, all: Mutex::default() };
        Recorder { source, shared: Arc::new(shared) }
    }

    /// Windows are recorded from one that ends in a moment; returns that end.
    pub fn begin(&self) -> u64 {
        let end = self.soon_ms();
        self.shared.from_ms.store(end, Ordering::Relaxed);
        end
    }

    /// Windows are recorded through one that ends in a moment; returns that end.
    pub fn end(&self) -> u64 {
        let end = self.soon_ms();
        self.shared.to_ms.store(end, Ordering::Relaxed);
        end
    }

    /// Whether all rows of the last window and those before have been released.
    pub fn is_complete(&self) -> bool {
        self.shared.behind.load(Ordering::Relaxed) == 0
    }

    /// An end of a window that no row can have had yet.
    fn soon_ms(&self) -> u64 {
        let now_ms = now_ns().saturating_sub(self.source.start_ns().unwrap_or(0)) / 1_000_000;
        (now_ms + 5 * WINDOW_MS).next_multiple_of(WINDOW_MS)
    }

    /// A checkpoint is being made, or is not any more.
    pub fn set_making(&self, making: bool) {
        self.shared.making.store(making, Ordering::Relaxed);
    }

    /// What was recorded, once the job has ended.
    pub fn take(&self) -> Recorded {
        mem::take(&mut *self.shared.all.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink<Row> for Recorder {
    type Writer = RecorderWriter;

    fn open(&self, _: ShardId) -> RecorderWriter {
        self.shared.behind.fetch_add(1, Ordering::Relaxed);
        RecorderWriter { recorder: self.clone(), mine: Recorded::default(), is_behind: true }
    }
}

/// The writing end of a [`Recorder`] on one shard.
#[derive(Debug)]
pub struct RecorderWriter {
    recorder: Recorder,
    mine: Recorded,
    is_behind: bool,
}

impl SinkWriter<Row> for RecorderWriter {
    fn write(&mut self, _: EventTime, row: Row) {
        let RecorderState { from_ms, to_ms, making, behind, .. } = &*self.recorder.shared;
        let end_ms = row.window.end.as_millis() as u64;
        if end_ms > to_ms.load(Ordering::Relaxed) && self.is_behind {
            self.is_behind = false;
            behind.fetch_sub(1, Ordering::Relaxed);
        }
        if end_ms < from_ms.load(Ordering::Relaxed) || !self.is_behind {
            return;
        }
        let start_ns = self.recorder.source.start_ns().unwrap_or(0);
        let latency = now_ns().saturating_sub(start_ns + end_ms * 1_000_000);
        self.mine.records += row.value;
        let latencies =
            if making.load(Ordering::Relaxed) { &mut self.mine.with } else { &mut self.mine.without };
        latencies.record(latency);
    }

    fn commit(&mut self, _: Tick) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Drop for RecorderWriter {
    fn drop(&mut self) {
        let mut all = self.recorder.shared.all.lock().unwrap_or_else(PoisonError::into_inner);
        let (mine, before) = (mem::take(&mut self.mine), mem::take(&mut *all));
        *all = Recorded {
            with: before.with.merge(&mine.with),
            without: before.without.merge(&mine.without),
            records: before.records + mine.records,
        };
    }
}
