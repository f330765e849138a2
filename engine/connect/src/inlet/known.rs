//! What an inlet knows of its producers.
//!
//! Producers have places, 0, 1, 2 and so on, for one run of the job; what was made for one run is of no use in the next. An id has its place from
//! when it is first asked for, or was found in what an earlier run left, until it is *retired*: it is then as if it had never been, and its place
//! is given to another. The engine writes that to its log. An id is retired
//!
//! - when its producer says so, having been acknowledged everything ([`Producer::retire`](super::Producer::retire)), or
//! - when a new one is asked for and there are as many as the inlet may know: then the one that nobody has held for the longest.

use super::InletError;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A producer, in one run of the job. Its records are sent by one thread at a time, and acknowledged by the engine.
pub(super) struct Known {
    pub(super) id: Arc<str>,
    pub(super) place: usize,
    /// Its last number; written under the lock of its queue, by whoever holds the producer.
    pub(super) last: AtomicU64,
    /// Its records through this one are durable.
    acknowledged: AtomicU64,
    /// Whether anybody waits for more to be acknowledged.
    awaited: AtomicBool,
    /// The run is over: what is not acknowledged will not be.
    over: AtomicBool,
    gate: Mutex<()>,
    signal: Condvar,
    /// Signalled when it may have room in its queue, for the lock of that queue.
    pub(super) room: Condvar,
}

impl Known {
    pub(super) fn new(id: Arc<str>, place: usize, last: u64, acknowledged: u64) -> Self {
        Known {
            id,
            place,
            last: AtomicU64::new(last),
            acknowledged: AtomicU64::new(acknowledged),
            awaited: AtomicBool::new(false),
            over: AtomicBool::new(false),
            gate: Mutex::default(),
            signal: Condvar::new(),
            room: Condvar::new(),
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Everything through `last` is durable. Takes a lock only where somebody waits.
    pub(super) fn acknowledge(&self, last: u64) {
        // In one order with what a waiter does: either it sees this, or this sees the waiter.
        self.acknowledged.store(last, Ordering::SeqCst);
        if self.awaited.load(Ordering::SeqCst) {
            self.awaited.store(false, Ordering::SeqCst);
            self.tell();
        }
    }

    /// The run is over.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.tell();
    }

    fn tell(&self) {
        drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
        self.signal.notify_all();
    }

    /// Waits until everything through `sequence` is acknowledged, the run is over, or the time is; whether it is acknowledged.
    pub(super) fn wait(&self, sequence: u64, end: Option<Instant>) -> Result<bool, InletError> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            self.awaited.store(true, Ordering::SeqCst);
            if self.acknowledged.load(Ordering::SeqCst) >= sequence {
                return Ok(true);
            }
            if self.over.load(Ordering::SeqCst) {
                return Ok(false);
            }
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(InletError::TimedOut);
            }
            if pelton_runtime::on_core() {
                return Err(InletError::OnCore);
            }
            gate = self.signal.wait_timeout(gate, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// All producers that an inlet knows in one run.
#[derive(Default)]
pub(super) struct Directory {
    /// By place.
    places: Vec<Option<Entry>>,
    free: Vec<usize>,
    by_id: BTreeMap<Arc<str>, usize>,
    /// Those that nobody holds, the one first that nobody has held for the longest.
    idle: BTreeMap<u64, usize>,
    idle_next: u64,
    /// Places whose ids are retired, until the engine has written it down.
    retiring: VecDeque<usize>,
}

struct Entry {
    known: Arc<Known>,
    /// When it became idle, if nobody holds it.
    idle: Option<u64>,
}

impl Directory {
    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, place: usize) -> Option<&Arc<Known>> {
        self.places.get(place)?.as_ref().map(|entry| &entry.known)
    }

    /// All of them.
    pub(super) fn each(&self) -> impl Iterator<Item = &Arc<Known>> {
        self.places.iter().flatten().map(|entry| &entry.known)
    }

    /// A producer that an earlier run knew, which nobody holds.
    pub(super) fn recover(&mut self, id: &Arc<str>, last: u64, acknowledged: u64) -> Arc<Known> {
        let known = self.add(id.clone(), last, acknowledged);
        self.release(known.place);
        known
    }

    fn add(&mut self, id: Arc<str>, last: u64, acknowledged: u64) -> Arc<Known> {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let known = Arc::new(Known::new(id.clone(), place, last, acknowledged));
        self.places[place] = Some(Entry { known: known.clone(), idle: None });
        self.by_id.insert(id, place);
        known
    }

    /// The producer `id`, which nobody may hold. Of `most` ids one is retired for a new one; whether one was.
    pub(super) fn hold(&mut self, id: &str, most: usize) -> Result<(Arc<Known>, bool), InletError> {
        if let Some(place) = self.by_id.get(id) {
            let entry = self.places[*place].as_mut().unwrap_or_else(|| unreachable!("an id has a place"));
            let Some(idle) = entry.idle.take() else { return Err(InletError::InUse { id: id.to_owned() }) };
            self.idle.remove(&idle);
            return Ok((entry.known.clone(), false));
        }
        let retires = self.len() >= most;
        if retires {
            let settled =
                |place: &&usize| self.get(**place).is_some_and(|known| known.acknowledged() == known.last());
            let Some(oldest) = self.idle.values().find(settled).copied() else {
                return Err(InletError::TooMany { most });
            };
            self.retire(oldest);
        }
        Ok((self.add(id.into(), 0, 0), retires))
    }

    /// Nobody holds it any more.
    pub(super) fn release(&mut self, place: usize) {
        if let Some(entry) = &mut self.places[place] {
            entry.idle = Some(self.idle_next);
            self.idle.insert(self.idle_next, place);
            self.idle_next += 1;
        }
    }

    /// Its id is as if it had never been. The place is taken until the engine has written that down.
    pub(super) fn retire(&mut self, place: usize) {
        let Some(Entry { known, idle }) = &mut self.places[place] else { return };
        self.by_id.remove(&known.id);
        if let Some(idle) = idle.take() {
            self.idle.remove(&idle);
        }
        self.retiring.push_back(place);
    }

    /// The first place that is to be retired.
    pub(super) fn retiring(&self) -> Option<usize> {
        self.retiring.front().copied()
    }

    /// The engine has written down that the first is retired.
    pub(super) fn retired(&mut self) {
        if let Some(place) = self.retiring.pop_front() {
            self.places[place] = None;
            self.free.push(place);
        }
    }
}
