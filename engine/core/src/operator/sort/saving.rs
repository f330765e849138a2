//! The records that wait, in a checkpoint, and back.
//!
//! ```text
//!  header   | passed | arrivals | table | rows |
//!  table    rows (time, arrival, hash of the key, record), in the order of their places
//! ```
//!
//! All numbers are those of [`Notes`]. All shards freeze after the same tick, and with it they had the same
//! watermark: `passed` is the same in all headers. Arrivals were counted on each shard by itself; where records of
//! several meet they are counted anew, in the order (arrival on the earlier shard, earlier shard), so that those of
//! one shard keep their order and there are no two alike.

use super::{Due, SortOperator, Waiting};
use crate::checkpoint::leaving::Leaving;
use crate::checkpoint::notes::{Noted, Notes};
use crate::checkpoint::owns::Owns;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::fault::Fault;
use crate::operator::push::Push;
use crate::record::Record;
use crate::record::key::Key;
use crate::record::rows::decode;
use crate::state::memory::Buf;
use alloc::vec::Vec;
use core::cmp::Ordering;

impl<K, T, C, N> SortOperator<K, T, C, N>
where
    K: Key,
    T: Record,
    C: Fn(&T, &T) -> Ordering + 'static,
    N: Push<T>,
{
    pub(super) fn freeze_waiting(&mut self, full: bool) {
        self.saver.freeze(full);
        let mut header = self.header();
        header.number(self.waiting.freeze(&mut self.saver).into());
        header.number(self.waiting.len() as u64);
        self.saver.set_header(header);
    }

    fn header(&self) -> Notes {
        let mut header = Notes::default();
        header.time(self.passed);
        header.number(self.arrivals);
        header
    }

    pub(super) fn save_waiting(
        &mut self,
        section: Section,
        out: &mut dyn SnapshotOut,
    ) -> Result<bool, Fault> {
        let Some(mut step) = self.saver.step(section, out) else { return Ok(true) };
        if !step.begin() || !self.waiting.sweep(&mut step)? {
            return Ok(false);
        }
        Ok(step.end())
    }

    pub(super) fn restore_block(
        &mut self,
        block: BlockId,
        bytes: &[u8],
        owns: Owns<'_>,
    ) -> Result<(), Fault> {
        if block.table == 0 {
            return self.restore_header(&mut Noted::new(bytes));
        }
        let rows = decode::<Waiting<T>>(bytes)?;
        let (count, before) = (rows.left(), self.waiting.len());
        let expected = self.announced.take(block, count)?;
        for row in rows {
            let row = row?;
            if owns.key(|| row.hash) {
                let arrival = row.arrival;
                let place = self.waiting.add(row, &mut self.saver)?;
                if let Some(origins) = &mut self.origins {
                    origins.reserve(1)?;
                    origins.push((arrival, expected.place, place));
                }
            }
        }
        if expected.is_first {
            self.waiting.reserve(expected.room(count, self.waiting.len() - before))?;
        }
        Ok(())
    }

    fn restore_header(&mut self, header: &mut Noted<'_>) -> Result<(), Fault> {
        self.announced.end()?;
        if self.waiting.len() > 0 && self.origins.is_none() {
            let mut origins = Buf::new(self.memory.clone());
            origins.reserve(self.waiting.len())?;
            self.waiting.iter().for_each(|(place, waiting)| origins.push((waiting.arrival, 0, place)));
            self.origins = Some(origins);
        }
        self.earlier += 1;
        self.passed = self.passed.max(header.time()?);
        self.arrivals = self.arrivals.max(header.number()?);
        self.announced.announce(header.number()? as u32, self.earlier, header.number()?)
    }

    /// Every block has been taken back.
    pub(super) fn end_restore(&mut self) -> Result<(), Fault> {
        self.announced.end()?;
        self.earlier = 0;
        if let Some(mut origins) = self.origins.take() {
            origins.sort_unstable();
            for (before, &(arrival, _, place)) in origins.iter().enumerate() {
                let counted = before as u64 + 1;
                if arrival != counted {
                    self.waiting.change(place, &mut self.saver)?.arrival = counted;
                }
            }
            self.arrivals = origins.len() as u64;
        }
        self.arrange()
    }

    /// Puts what waits in order.
    fn arrange(&mut self) -> Result<(), Fault> {
        self.due.clear();
        let due = self.waiting.iter().map(|(place, waiting)| Due { at: waiting.at, place });
        Ok(self.due.extend(self.waiting.len(), due, Self::before(&self.compare, &self.waiting))?)
    }

    /// Takes the records out whose key's hash moves, as blocks that the operator of another shard
    /// [restores](crate::operator::Operator::restore). Between two ticks. Costs a pass over the state.
    ///
    /// # Errors
    /// When there is no memory to put the others in order, or a record refuses to be archived.
    pub(crate) fn extract_rows(
        &mut self,
        section: Section,
        moves: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<(BlockId, Vec<u8>)>, Fault> {
        let moved = self.waiting.iter().filter(|(_, waiting)| moves(waiting.hash));
        let (places, moved): (Vec<u32>, Vec<&Waiting<T>>) = moved.unzip();
        let (mut leaving, mut header) = (Leaving::new(section), self.header());
        header.number(leaving.table(&moved)?.into());
        header.number(moved.len() as u64);
        for place in places {
            self.waiting.take(place, &mut self.saver)?;
        }
        self.arrange()?;
        Ok(leaving.end(&header))
    }
}
