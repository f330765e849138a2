//! The state of an operator, and all that checkpoints, restarts and moves of key groups do with it.
//!
//! An operator asks its store for state of some kind, once, as it is built, and goes on with a handle. Whatever is frozen, saved, restored or
//! moved is done by the store, in the same way for every operator.

use crate::bounds::MOVE_BYTES_MAX;
use crate::checkpoint::notes::Notes;
use crate::checkpoint::owned::Owned;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::fault::Fault;
use crate::ids::ShardId;
use crate::record::Record;
use crate::record::key::Key;
use crate::state::arena::Arena;
use crate::state::bag::Bag;
use crate::state::memory::Memory;
use crate::state::ordered::{Ordered, Ordering};
use crate::state::risen::Risen;
use crate::state::slab::Slabs;
use crate::state::timers::Timers;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Rows on their way to another shard.
pub type MovedBlocks = Vec<(BlockId, Vec<u8>)>;

/// A bounded part of what leaves a store, and where that goes on.
pub(crate) struct Extraction {
    state: usize,
    section: Section,
    /// Where the state goes on: it begins at (0, 0).
    pub(crate) at: (usize, usize),
    rows: usize,
    bytes: usize,
    step_rows: usize,
    blocks: MovedBlocks,
}

impl Extraction {
    /// About so many rows in a step.
    pub(crate) fn of(step_rows: usize) -> Self {
        let (state, section, at) = (0, Section(0), (0, 0));
        Extraction {
            state,
            section,
            at,
            rows: step_rows,
            bytes: MOVE_BYTES_MAX,
            step_rows,
            blocks: Vec::new(),
        }
    }

    /// Whether there is time for anything more.
    pub(crate) fn has_time(&self) -> bool {
        self.rows > 0 && self.bytes > 0
    }

    /// Something was looked at, with `rows` rows' worth of time.
    pub(crate) fn count(&mut self, rows: usize) {
        self.rows = self.rows.saturating_sub(rows);
    }

    /// A block of `rows` rows leaves.
    pub(crate) fn block(&mut self, table: u32, chunk: u32, rows: usize, bytes: Vec<u8>) {
        self.count(rows);
        self.bytes = self.bytes.saturating_sub(bytes.len());
        self.blocks.push((BlockId { section: self.section, table, chunk }, bytes));
    }

    /// What follows is told by a header.
    pub(crate) fn header(&mut self, header: &Notes) {
        self.block(0, 0, 0, header.as_slice().to_vec());
    }

    /// What has left in this step; the next one begins.
    pub(crate) fn take(&mut self) -> MovedBlocks {
        (self.rows, self.bytes) = (self.step_rows, MOVE_BYTES_MAX);
        core::mem::take(&mut self.blocks)
    }
}

/// State of one kind, as the store sees it.
pub(crate) trait State {
    /// A checkpoint begins: what there is now is what [`save`](Self::save) writes, whatever happens to it meanwhile. Takes no time to speak of.
    /// Called between two ticks; `full` says that nothing that was saved before counts, `last_counts` that the last checkpoint was saved by all
    /// that have a part in it.
    fn freeze(&mut self, full: bool, last_counts: bool);

    /// Writes a bounded part of what was frozen to `out`, as blocks of `section`; true when all is written.
    fn save(&mut self, section: Section, out: &mut dyn SnapshotOut) -> Result<bool, Fault>;

    /// Whether a block may hold anything of keys that are `owned`.
    fn wants(&self, block: BlockId, owned: &Owned<'_>) -> bool;

    /// Takes back what a block holds of keys that are `owned`. Blocks come in the order (table, chunk), those of one earlier shard after those
    /// of another; a header, which is table 0, without the number of blocks at its end.
    fn restore(&mut self, block: BlockId, bytes: &[u8], owned: &Owned<'_>) -> Result<(), Fault>;

    /// All blocks have been taken back, or rows have [left](Self::extract): does a bounded part of what follows from that; true when it is done,
    /// and then again at every call until something else comes or leaves.
    fn restored(&mut self) -> Result<bool, Fault>;

    /// Takes a bounded part of the rows out whose keys are `moving`, as blocks that another shard [restores](Self::restore) in this order; true
    /// when that was all. A header, which is table 0, may come before any block, as often as need be. Between two ticks.
    fn extract(&mut self, moving: &Owned<'_>, step: &mut Extraction) -> Result<bool, Fault>;

    /// Does a bounded part of what was put off when the state came back; true when nothing is left. It does not matter whether it is called.
    fn catch_up(&mut self) -> bool {
        true
    }

    /// Gives a bounded part of the memory back that nobody has needed for a while; true when nothing is left of that. A while `ends`, and
    /// another begins. It changes nothing that can be seen.
    fn tidy(&mut self, ends: bool) -> bool {
        let _ = ends;
        true
    }

    /// Equal for equal state, however it came to be.
    fn digest(&self) -> u64;
}

/// The state of one operator on one shard.
pub struct StateStore {
    memory: Arc<dyn Memory>,
    slabs: Slabs,
    shard: Cell<ShardId>,
    states: RefCell<Vec<Rc<RefCell<dyn State>>>>,
    /// Of each state that blocks are coming of, how many of the earlier shard's there should be besides the header, and how many have been met.
    coming: RefCell<BTreeMap<usize, (u64, u64)>>,
    /// Whether the last checkpoint was saved to its end.
    is_saved: Cell<bool>,
}

impl StateStore {
    /// A store without state. Its memory comes from `memory`, and from `slabs` for what there is much of.
    pub fn new(memory: Arc<dyn Memory>, slabs: Slabs) -> Rc<Self> {
        Rc::new(StateStore {
            memory,
            slabs,
            shard: Cell::new(ShardId(0)),
            states: RefCell::default(),
            coming: RefCell::default(),
            is_saved: Cell::new(false),
        })
    }

    /// The store, on this shard; before any state is made.
    pub(crate) fn on(self: Rc<Self>, shard: ShardId) -> Rc<Self> {
        self.shard.set(shard);
        self
    }

    fn add<S: State + 'static>(&self, state: S) -> Rc<RefCell<S>> {
        let state = Rc::new(RefCell::new(state));
        self.states.borrow_mut().push(state.clone());
        state
    }

    /// Keyed tables under numbers: see [`Arena`].
    pub fn arena<K: Key, V: Record + Clone>(&self) -> Rc<RefCell<Arena<K, V>>> {
        self.add(Arena::new(&self.memory, self.slabs.clone()))
    }

    /// As [`arena`](Self::arena), for what does not outlast a tick: no part of the operator's state.
    pub(crate) fn scratch<K: Key, V: Record + Clone>(&self) -> Arena<K, V> {
        Arena::new(&self.memory, self.slabs.clone())
    }

    /// Rows that wait, in no order: see [`Bag`].
    pub fn bag<T: Record>(&self) -> Rc<RefCell<Bag<T>>> {
        self.add(Bag::new(&self.memory, self.slabs.heap(), self.shard.get()))
    }

    /// Entries in their own order: see [`Ordered`].
    pub fn ordered<E: Ordering>(&self) -> Rc<RefCell<Ordered<E>>> {
        self.add(Ordered::new(&self.memory, self.slabs.heap()))
    }

    /// Timers of keys: see [`Timers`].
    pub fn timers<K: Key>(&self) -> Timers<K> {
        Timers::new(self.ordered(), self.ordered())
    }

    /// A number that only rises: see [`Risen`].
    pub fn risen(&self, first: i128) -> Rc<RefCell<Risen>> {
        self.add(Risen::new(first))
    }

    fn each(
        &self,
        mut call: impl FnMut(usize, &mut dyn State) -> Result<bool, Fault>,
    ) -> Result<bool, Fault> {
        for (number, state) in self.states.borrow().iter().enumerate() {
            if !call(number, &mut *state.borrow_mut())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A checkpoint begins: see [`State::freeze`].
    pub(crate) fn freeze(&self, full: bool) {
        let last_counts = self.is_saved.replace(false);
        self.states.borrow().iter().for_each(|state| state.borrow_mut().freeze(full, last_counts));
    }

    /// Writes a bounded part of what was frozen; true when all is written. The blocks of state number `n` have the `n`th section from `first` on.
    pub(crate) fn save(&self, first: Section, out: &mut dyn SnapshotOut) -> Result<bool, Fault> {
        let saved = self.each(|number, state| state.save(first.state(number), out))?;
        self.is_saved.set(saved);
        Ok(saved)
    }

    /// Sections that the store has blocks of, from `first` on.
    pub(crate) fn sections(&self, first: Section) -> impl Iterator<Item = Section> + use<> {
        (0..self.states.borrow().len()).map(move |number| first.state(number))
    }

    /// There is a block: whether it may hold anything of keys that are `owned`, so that it has to be [restored](Self::restore).
    pub(crate) fn wants(&self, block: BlockId, owned: &Owned<'_>) -> bool {
        if block.table > 0 {
            // One without a header is refused by whoever finds none, in the end here.
            self.coming.borrow_mut().entry(block.section.state_number()).or_default().1 += 1;
        }
        self.states.borrow()[block.section.state_number()].borrow().wants(block, owned)
    }

    /// Takes back what a block holds of keys that are `owned`.
    ///
    /// # Errors
    /// When the block is none of the operator's, or its state does not fit into the memory limit.
    pub(crate) fn restore(&self, block: BlockId, bytes: &[u8], owned: &Owned<'_>) -> Result<(), Fault> {
        let mut bytes = bytes;
        if block.table == 0 {
            let (header, blocks) = bytes.split_last_chunk().ok_or_else(|| missing(block.section, 1, 0))?;
            bytes = header;
            // Those of the shard before have all been.
            let before = self
                .coming
                .borrow_mut()
                .insert(block.section.state_number(), (u64::from_le_bytes(*blocks), 0));
            before.map_or(Ok(()), |before| complete(block.section, before))?;
        }
        self.states.borrow()[block.section.state_number()].borrow_mut().restore(block, bytes, owned)?;
        self.count_heap()
    }

    /// What its state is counted against.
    pub(crate) fn memory(&self) -> Arc<dyn Memory> {
        self.slabs.heap().memory()
    }

    /// Counts what has come and gone of what rows own on the heap, since the last time. At the end of a frame, or of a bounded step.
    ///
    /// # Errors
    /// When the memory limit refuses what has come.
    #[inline]
    pub(crate) fn count_heap(&self) -> Result<(), Fault> {
        Ok(self.slabs.heap().settle()?)
    }

    /// All blocks have been taken back.
    pub(crate) fn restored(&self) -> Result<(), Fault> {
        let coming = core::mem::take(&mut *self.coming.borrow_mut());
        coming.into_iter().try_for_each(|(state, coming)| complete(Section(state as u32), coming))?;
        while !self.settle()? {}
        Ok(())
    }

    /// Does a bounded part of what follows from rows that have [come](Self::restore_moved) or [left](Self::extract); true when nothing is left.
    pub(crate) fn settle(&self) -> Result<bool, Fault> {
        self.each(|_, state| state.restored())
    }

    /// Takes a bounded part of the rows out whose keys are `moving`; true when that was all. The blocks of state number `n` have the `n`th section
    /// from `first` on.
    ///
    /// # Errors
    /// When a row refuses to be archived, or there is no memory to tell what moves from what stays.
    pub(crate) fn extract(
        &self,
        first: Section,
        moving: &Owned<'_>,
        step: &mut Extraction,
    ) -> Result<bool, Fault> {
        let states = self.states.borrow();
        while let Some(state) = states.get(step.state) {
            step.section = first.state(step.state);
            if !state.borrow_mut().extract(moving, step)? {
                return Ok(false);
            }
            (step.state, step.at) = (step.state + 1, (0, 0));
        }
        (step.state, step.at) = (0, (0, 0));
        Ok(true)
    }

    /// Takes what a block holds that another shard has [taken out](Self::extract), as far as the keys are `owned`, which all of them should be.
    ///
    /// # Errors
    /// When the state does not fit into the memory limit.
    pub(crate) fn restore_moved(&self, block: BlockId, bytes: &[u8], owned: &Owned<'_>) -> Result<(), Fault> {
        self.states.borrow()[block.section.state_number()].borrow_mut().restore(block, bytes, owned)?;
        self.count_heap()
    }

    /// Does a bounded part of what was put off when the state came back; true when nothing is left.
    pub(crate) fn catch_up(&self) -> bool {
        self.states.borrow().iter().all(|state| state.borrow_mut().catch_up())
    }

    /// See [`State::tidy`].
    pub(crate) fn tidy(&self, ends: bool) -> bool {
        // All of them hear that a while ends; what follows from that is done one by one.
        let (states, mut done) = (self.states.borrow(), true);
        for state in states.iter() {
            if ends || done {
                done &= state.borrow_mut().tidy(ends);
            }
        }
        done
    }

    /// Equal for equal state.
    pub(crate) fn digest(&self) -> u64 {
        // Times a number of each: what changes sides between two states of one type shows, and digests of several shards still add up.
        let states = self.states.borrow();
        let of = |(number, state): (u64, &Rc<RefCell<dyn State>>)| {
            (2 * number + 1).wrapping_mul(state.borrow().digest())
        };
        (0..).zip(states.iter()).map(of).fold(0, u64::wrapping_add)
    }
}

/// Whether all blocks have been met that there should be.
fn complete(section: Section, (expected, met): (u64, u64)) -> Result<(), Fault> {
    if met == expected { Ok(()) } else { Err(missing(section, expected, met)) }
}

#[cold]
fn missing(section: Section, expected: u64, met: u64) -> Fault {
    let state = section.state_number();
    let message = format!(
        "state {state} of an operator is incomplete or of another job: {met} of {expected} blocks are there, some are missing or too many"
    );
    Fault::Restore { message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{LEAF_BYTES_MAX, MOVE_ROWS_MAX};
    use crate::exchange::hash::fold;
    use crate::exchange::router::Router;
    use crate::state::memory::HeapMemory;

    const SECTION: Section = Section::operator(1, 0);
    const GROUPS: u32 = 64;

    fn store() -> Rc<StateStore> {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        StateStore::new(memory.clone(), Slabs::new(memory))
    }

    /// State of one kind.
    fn filled(kind: usize, rows: u64) -> Rc<StateStore> {
        let store = store();
        match kind {
            0 => {
                let arena = store.arena::<u64, u64>();
                let mut arena = arena.borrow_mut();
                for table in [7, 9] {
                    let at = arena.open(table);
                    let (table, saver) = arena.table_mut(at);
                    for key in 0..rows / 2 {
                        table.place(fold(key), saver, |k| *k == key, || (key, key)).unwrap();
                    }
                }
            }
            1 => {
                let bag = store.bag::<u64>();
                (0..rows).for_each(|row| {
                    bag.borrow_mut().add(fold(row), row).unwrap();
                });
            }
            _ => {
                let timers = store.timers::<u64>();
                for key in 0..rows {
                    let timer = crate::state::timers::Timer { at: crate::EventTime(1), key, tag: 0 };
                    timers.set(crate::state::timers::TimerKind::Event, timer).unwrap();
                }
            }
        }
        store
    }

    /// The steps that a move of so many key groups takes.
    fn steps(kind: usize, rows: u64, groups: u32) -> usize {
        let (from, to) = (filled(kind, rows), filled(kind, 0));
        let whole = from.digest();
        let owners = (0..GROUPS).map(|group| u16::from((20..20 + groups).contains(&group))).collect();
        let router = Router::with_owners(owners);
        let (goes, mut step) = (Owned::new(&router, ShardId(1)), Extraction::of(MOVE_ROWS_MAX));
        let nothing = to.digest();
        let mut count = 0;
        loop {
            let is_done = from.extract(SECTION, &goes, &mut step).unwrap();
            let blocks = step.take();
            let bytes: usize = blocks.iter().map(|(_, bytes)| bytes.len()).sum();
            // A leaf that was begun goes whole.
            assert!(bytes <= MOVE_BYTES_MAX + LEAF_BYTES_MAX + 1_024, "kind {kind}: {bytes} bytes in a step");
            blocks.iter().for_each(|(id, bytes)| to.restore_moved(*id, bytes, &goes).unwrap());
            count += 1;
            if is_done {
                break;
            }
        }
        while !from.settle().unwrap() {}
        while !to.settle().unwrap() {}
        assert_eq!(from.digest().wrapping_add(to.digest()).wrapping_sub(nothing), whole);
        assert_ne!(to.digest(), nothing, "something moved");
        count
    }

    /// For each kind of state: a move is made of steps, each of them bounded, and as many as what moves needs.
    #[test]
    fn a_move_is_made_of_bounded_steps_in_proportion_to_what_moves() {
        for kind in 0..3 {
            let rows = 400_000;
            let [one, four, sixteen] = [1, 4, 16].map(|groups| steps(kind, rows, groups));
            // 6,250 rows, and what it takes to find them.
            assert!(one <= 12, "kind {kind}: {one} steps for a group");
            assert!(four <= 4 * one && sixteen <= 4 * four, "kind {kind}: {one}, {four}, {sixteen} steps");
            assert!(sixteen >= 4 * one, "kind {kind}: {one}, {four}, {sixteen} steps");
        }
    }
}
