//! A shard that came back goes on before the large tables among its state can be looked up.
//!
//! Their rows are there, but building the index of ten million keys takes longer than all else that a restart does. So
//! it is put off: records that belong to such a table are put aside, in their order, and the index is built in bounded
//! parts when there is nothing else to do. Then what was put aside is added, and the pane is like any other.
//!
//! ```text
//!  restored    rows, no index       records are put aside
//!  indexed     rows, index          what is aside is added, older records before newer ones; new ones are put aside
//!  caught up   rows, index          records are added at once
//! ```
//!
//! Nothing shows it. What a pane lets out, a checkpoint, keys that move and a digest wait until it has caught up, and
//! whether a record is late depends on the closed windows alone. If very many records are aside, each further few of
//! them pay for a part.

use super::WindowOperator;
use crate::aggregate::Aggregate;
use crate::bounds::BATCH;
use crate::exchange::partition::ArchivedKeyed;
use crate::fault::{Fault, OutOfMemory};
use crate::operator::push::Push;
use crate::record::key::Key;
use crate::record::read;
use crate::state::memory::{Buf, Memory};
use crate::window::Windowed;
use alloc::sync::Arc;

/// A table of no more keys than this is indexed at once: it takes less than a millisecond. In tests all are put off.
const AT_ONCE_KEYS: usize = if cfg!(test) { 0 } else { 32 << 10 };
/// Records that are put aside before further ones pay for it.
const ASIDE_MAX: usize = if cfg!(test) { 256 } else { 256 << 10 };
/// Records that are added in a part.
const PART_RECORDS: usize = 8 * BATCH;

/// What is to be added to a table that cannot be looked up yet, or not without what came before it.
pub(super) struct Behind<K, I> {
    /// In the order in which they came.
    newer: Buf<(K, I)>,
    /// Those before them, the last one first.
    older: Buf<(K, I)>,
}

impl<K, I> Behind<K, I> {
    fn new(memory: &Arc<dyn Memory>) -> Self {
        Behind { newer: Buf::new(memory.clone()), older: Buf::new(memory.clone()) }
    }

    fn push(&mut self, key: K, item: I) -> Result<(), OutOfMemory> {
        self.newer.reserve(1)?;
        self.newer.push((key, item));
        Ok(())
    }

    /// The next ones, the first one last.
    fn next(&mut self) -> &mut Buf<(K, I)> {
        if self.older.is_empty() {
            core::mem::swap(&mut self.older, &mut self.newer);
            self.older.reverse();
        }
        &mut self.older
    }
}

impl<T, K, A, N> WindowOperator<T, K, A, N>
where
    T: 'static,
    K: Key,
    A: Aggregate<T>,
    N: Push<Windowed<K, A::Out>>,
{
    /// Tables have come back: those that are large are behind from now on.
    pub(super) fn fall_behind(&mut self) -> Result<(), Fault> {
        for pane in &mut self.panes {
            if pane.table.missing() > AT_ONCE_KEYS {
                pane.behind.get_or_insert_with(|| Behind::new(&self.memory));
                // Asks for the memory: a start that has not enough of it fails at once.
                pane.table.index_some()?;
            } else {
                pane.table.index()?;
            }
        }
        Ok(())
    }

    /// Puts a record of a pane that is behind aside.
    #[cold]
    #[inline(never)]
    pub(super) fn put_off(&mut self, pane: usize, keyed: &ArchivedKeyed<K, A::Item>) -> Result<(), Fault> {
        let Some(behind) = &mut self.panes[pane].behind else { unreachable!("the pane is behind") };
        behind.push(read(&keyed.key), read(&keyed.item))?;
        let aside = behind.newer.len() + behind.older.len();
        if aside > ASIDE_MAX && aside.is_multiple_of(BATCH) {
            self.catch_up_pane(pane)?;
        }
        Ok(())
    }

    /// The first pane of the window with this end that is behind.
    pub(super) fn behind_of(&self, end: i128) -> Option<usize> {
        self.panes_of(end).find(|&pane| self.panes[pane].behind.is_some())
    }

    /// Does a part of what is put off; true when nothing is left.
    pub(super) fn catch_up_some(&mut self) -> Result<bool, Fault> {
        match self.panes.iter().position(|pane| pane.behind.is_some()) {
            Some(pane) => self.catch_up_pane(pane).map(|()| false),
            None => Ok(true),
        }
    }

    /// Does all that is put off. After a failure the operator fails.
    pub(super) fn catch_up_now(&mut self) {
        loop {
            match self.catch_up_some() {
                Ok(false) => {}
                Ok(true) => return,
                Err(fault) => return self.context.fail(fault),
            }
        }
    }

    /// Does a part of what is put off of a pane.
    pub(super) fn catch_up_pane(&mut self, pane: usize) -> Result<(), Fault> {
        let pane = &mut self.panes[pane];
        let (Some(behind), table) = (&mut pane.behind, &mut pane.table) else { return Ok(()) };
        if !table.index_some()? {
            return Ok(());
        }
        let next = behind.next();
        if next.is_empty() {
            pane.behind = None;
            return Ok(());
        }
        let mut hashes = [0; BATCH];
        for _ in 0..PART_RECORDS / BATCH {
            let batch = next.len().min(BATCH);
            table.reserve(batch)?;
            for (hash, (key, _)) in hashes.iter_mut().zip(next.iter().rev().take(batch)) {
                *hash = key.hash();
                table.prefetch(*hash);
            }
            for hash in &hashes[..batch] {
                let Some((key, item)) = next.pop() else { break };
                let at = table.place(*hash, |k| *k == key, || key.clone(), || self.aggregate.empty());
                if table.is_watched() {
                    table.touch(at, &mut self.saver)?;
                }
                self.aggregate.add(table.value_mut(at), item);
            }
        }
        Ok(())
    }
}
