//! Rows between the shards and the service: first fresh, then received, gone when they are acknowledged.

use super::NoRow;
use crate::bounds::ENDING_WAIT;
use crate::row::{Position, Row};
use pelton_core::sink::{Ending, Outcome};
use pelton_core::state::blocks::BlockQueue;
use pelton_core::state::charge::Charge;
use pelton_core::state::memory::Memory;
use pelton_core::{OutOfMemory, Record, ShardId, Tick};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A row that has not been acknowledged.
pub(super) struct Kept<T> {
    /// The shard whose checkpoints it is part of: not the one that made it, if there were other shards then.
    pub(super) coordinator: ShardId,
    pub(super) row: Row<T>,
    /// What it takes, itself included.
    pub(super) bytes: usize,
}

/// Not `crossbeam-channel`: rows stay after they were received, until they are acknowledged by name, and a checkpoint looks at all of them.
pub(super) struct Queue<T> {
    state: Mutex<QueueState<T>>,
    /// Signalled when there is a row, or will be none any more.
    news: Condvar,
}

struct QueueState<T> {
    fresh: BlockQueue<Kept<T>>,
    /// What all rows take.
    charge: Charge,
    /// By the shard that made them, in order.
    received: BTreeMap<ShardId, BlockQueue<Kept<T>>>,
    /// For each shard its last row that was handled.
    handled: BTreeMap<ShardId, (Tick, u64)>,
    /// For each shard the last row of it that has been put in since the sequence began, so that none is twice.
    seen: BTreeMap<ShardId, (Tick, u64)>,
    /// Shards that have begun to write in this run, and how many of them have not ended.
    entered: BTreeSet<ShardId>,
    open: usize,
    /// Whether the rows of the checkpoint that this run begins from have been put in.
    recalled: bool,
    /// Whether this run only recovers what other shards left: the next goes on with the same sequence.
    is_rescale: bool,
    /// Says how the run has ended.
    ending: Option<Ending>,
    /// Whether the job has durability, so that a row that was received may be wanted again.
    durable: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(positions: Vec<Position>) -> Self {
        let mut handled = BTreeMap::new();
        for Position { tick, shard, seq } in positions {
            let last = handled.entry(shard).or_insert((tick, seq));
            *last = (*last).max((tick, seq));
        }
        let state = QueueState {
            fresh: BlockQueue::new(),
            charge: Charge::default(),
            received: BTreeMap::new(),
            handled,
            seen: BTreeMap::new(),
            entered: BTreeSet::new(),
            open: 0,
            recalled: false,
            is_rescale: false,
            ending: None,
            durable: false,
        };
        Queue { state: Mutex::new(state), news: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A writer begins. With the first of a run the sequence begins anew: what an earlier run left comes again, if it is wanted. After one that
    /// made way for this it goes on, and one shard keeps what the others left, as the checkpoint between the two does.
    pub(super) fn enter(&self, shard: ShardId) {
        let mut state = self.lock();
        if state.open == 0 || state.entered.contains(&shard) {
            if state.is_rescale {
                state.each().for_each(|kept| kept.coordinator = ShardId(0));
            } else {
                (state.fresh, state.received) = (BlockQueue::new(), BTreeMap::new());
                state.charge.clear();
                state.seen.clear();
            }
            state.entered.clear();
            (state.recalled, state.is_rescale, state.durable) = (false, false, false);
        }
        state.entered.insert(shard);
        state.open += 1;
    }

    /// A writer ends.
    pub(super) fn leave(&self) {
        self.lock().open -= 1;
        self.news.notify_all();
    }

    /// The job has durability, and begins with the rows that its checkpoint held. Every writer has all of them, and the first puts them in: were
    /// it each its own, later rows of a shard could come before earlier ones that another kept for it. `is_rescale` says that another run goes on
    /// where this one ends.
    ///
    /// # Errors
    /// What `read` returns, or that there is no room for the rows.
    pub(super) fn recall<E: From<OutOfMemory>>(
        &self,
        is_rescale: bool,
        read: impl FnOnce() -> Result<BlockQueue<Kept<T>>, E>,
    ) -> Result<(), E> {
        let mut state = self.lock();
        (state.durable, state.is_rescale) = (true, is_rescale);
        if !state.recalled {
            let mut rows = read()?;
            state.recalled = true;
            state.charge.add(rows.iter().map(|kept| kept.bytes).sum())?;
            state.put(std::iter::from_fn(|| rows.pop_front()));
            drop(state);
            self.news.notify_all();
        }
        Ok(())
    }

    /// What waits here counts against `memory`.
    pub(super) fn count_in(&self, memory: &Arc<dyn Memory>) {
        self.lock().charge.begin(memory);
    }

    /// The last row of `shard` that was handled.
    pub(super) fn handled(&self, shard: ShardId) -> Option<(Tick, u64)> {
        self.lock().handled.get(&shard).copied()
    }

    /// Takes rows of a writer, in order, and what was charged for them; those that were handled are left out.
    pub(super) fn put(&self, rows: impl Iterator<Item = Kept<T>>, charge: &mut Charge) {
        let mut state = self.lock();
        state.charge.absorb(charge);
        state.put(rows);
        drop(state);
        self.news.notify_all();
    }

    pub(super) fn acknowledge(&self, position: Position) {
        let mut state = self.lock();
        if !state.durable {
            // Nothing is kept, and the names of another run are of other rows.
            return;
        }
        let through = (position.tick, position.seq);
        let last = state.handled.entry(position.shard).or_insert(through);
        *last = (*last).max(through);
        let QueueState { received, charge, .. } = &mut *state;
        if let Some(rows) = received.get_mut(&position.shard) {
            while let Some(kept) = rows.pop_front_if(|kept| kept.name() <= through) {
                charge.sub(kept.bytes);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        let state = self.lock();
        state.fresh.len() + state.received.values().map(BlockQueue::len).sum::<usize>()
    }

    /// A run is about to begin, and this says how it ends.
    pub(super) fn attach(&self, ending: Ending) {
        self.lock().ending = Some(ending);
    }

    /// Bytes of the rows that wait.
    pub(super) fn bytes(&self) -> usize {
        self.lock().charge.bytes()
    }

    /// How the run has ended, if it has.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.lock().outcome()
    }

    pub(super) fn is_finished(&self) -> bool {
        let state = self.lock();
        state.fresh.is_empty() && state.outcome().is_some()
    }

    /// Shows every row that `coordinator` keeps, in an order that has those of each shard in theirs.
    pub(super) fn each_kept<E>(
        &self,
        coordinator: ShardId,
        mut show: impl FnMut(&Row<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let state = self.lock();
        let rows = state.received.values().flat_map(BlockQueue::iter).chain(state.fresh.iter());
        rows.filter(|kept| kept.coordinator == coordinator).try_for_each(|kept| show(&kept.row))
    }
}

impl<T: Record> Kept<T> {
    pub(super) fn new(coordinator: ShardId, row: Row<T>) -> Self {
        let bytes = bytes_of(&row.row);
        Kept { coordinator, row, bytes }
    }
}

/// What a row takes while it waits.
pub(super) fn bytes_of<T: Record>(row: &T) -> usize {
    size_of::<Kept<T>>() + row.heap_bytes()
}

impl<T> Kept<T> {
    fn name(&self) -> (Tick, u64) {
        (self.row.tick, self.row.seq)
    }
}

impl<T> QueueState<T> {
    fn put(&mut self, rows: impl Iterator<Item = Kept<T>>) {
        for kept in rows {
            let (shard, name) = (kept.row.shard, kept.name());
            let behind = |last: &BTreeMap<_, _>| last.get(&shard).is_none_or(|last| name > *last);
            if behind(&self.handled) && behind(&self.seen) {
                if self.durable {
                    self.seen.insert(shard, name);
                }
                self.fresh.push_back(kept);
            } else {
                self.charge.sub(kept.bytes);
            }
        }
    }

    fn each(&mut self) -> impl Iterator<Item = &mut Kept<T>> {
        self.received.values_mut().flat_map(BlockQueue::iter_mut).chain(self.fresh.iter_mut())
    }

    /// Whether there will be no more rows.
    fn ended(&self) -> bool {
        self.open == 0 && !self.entered.is_empty() && !self.is_rescale
    }

    /// How the run has ended, if it has, and there will be no more rows. Simulated runs only come to their ends.
    fn outcome(&self) -> Option<Outcome> {
        if !self.ended() {
            return None;
        }
        self.ending.as_ref().map_or(Some(Outcome::Complete), |ending| ending())
    }
}

impl<T: Clone> Queue<T> {
    pub(super) fn receive(&self, longest: Duration) -> Result<Row<T>, NoRow> {
        let end = Instant::now().checked_add(longest);
        let mut guard = self.lock();
        loop {
            let state = &mut *guard;
            if let Some(kept) = state.fresh.pop_front() {
                let shard = kept.row.shard;
                if state.handled.get(&shard).is_some_and(|last| kept.name() <= *last) {
                    // Acknowledged before it was received: by one that had it in an earlier run.
                    state.charge.sub(kept.bytes);
                    continue;
                }
                if !state.durable {
                    state.charge.sub(kept.bytes);
                    return Ok(kept.row);
                }
                let row = kept.row.clone();
                state.received.entry(shard).or_default().push_back(kept);
                return Ok(row);
            }
            if let Some(outcome) = state.outcome() {
                return Err(NoRow::Ended(outcome));
            }
            let mut left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(NoRow::Yet);
            }
            if pelton_runtime::on_core() {
                return Err(NoRow::OnCore);
            }
            if state.ended() {
                // Its last writer has gone, and the run is a moment behind.
                left = left.min(ENDING_WAIT);
            }
            guard = self.news.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
