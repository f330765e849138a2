//! What passed, in a checkpoint, and back.
//!
//! ```text
//!  header   | horizon | known | generations | number | table | rows |      for each generation
//!  table    rows (key, time of its record), in the order in which they passed
//! ```
//!
//! All numbers are those of [`Notes`]. Rows never change once they are there, so that while a checkpoint is under way
//! only the last chunk of a table is ever copied. All shards freeze after the same tick, and with it they had the
//! same watermark: `known` is the same in all headers.

use super::{Generation, Seen};
use crate::checkpoint::leaving::Leaving;
use crate::checkpoint::notes::{Noted, Notes};
use crate::checkpoint::owns::Owns;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::fault::Fault;
use crate::record::key::Key;
use crate::record::rows::decode;
use alloc::format;
use alloc::vec::Vec;

impl<K: Key> Seen<K> {
    pub(super) fn freeze(&mut self, full: bool) {
        self.saver.freeze(full);
        // What the checkpoint before did not come to.
        self.spares.forget();
        let mut header = self.header();
        for generation in &mut self.generations {
            header.number(generation.number as u64);
            header.number(generation.passed.freeze(&mut self.saver).into());
            header.number(generation.passed.len() as u64);
        }
        self.saver.set_header(header);
    }

    fn header(&self) -> Notes {
        let mut header = Notes::default();
        header.number(self.horizon as u64);
        header.number(self.known as u64);
        header.number(self.generations.len() as u64);
        header
    }

    pub(super) fn save(&mut self, section: Section, out: &mut dyn SnapshotOut) -> Result<bool, Fault> {
        let Some(mut step) = self.saver.step(section, out) else { return Ok(true) };
        if !step.begin() || !self.spares.sweep(&mut step)? {
            return Ok(false);
        }
        for generation in &mut self.generations {
            if !generation.passed.sweep(&mut step)? {
                return Ok(false);
            }
        }
        Ok(step.end())
    }

    pub(super) fn restore(&mut self, block: BlockId, bytes: &[u8], owns: Owns<'_>) -> Result<(), Fault> {
        if block.table == 0 {
            return self.restore_header(&mut Noted::new(bytes));
        }
        let rows = decode::<(K, i64)>(bytes)?;
        let count = rows.left();
        let expected = self.announced.take(block, count)?;
        let index = self.generation(expected.place);
        let table = &mut self.generations[index].passed;
        let owned = table.restore(rows, count, owns, &mut self.saver)?;
        if expected.is_first {
            table.expect(expected.room(count, owned))?;
        }
        Ok(())
    }

    fn restore_header(&mut self, header: &mut Noted<'_>) -> Result<(), Fault> {
        self.announced.end()?;
        let horizon = header.number()? as i64;
        if horizon != self.horizon {
            let message = format!(
                "the checkpoint is of a job that deduplicates within {horizon} ns, and this one does within {} ns",
                self.horizon
            );
            return Err(Fault::Restore { message });
        }
        self.known = self.known.max(header.number()? as i64);
        for _ in 0..header.number()? {
            let number = header.number()? as i64;
            self.announced.announce(header.number()? as u32, number, header.number()?)?;
        }
        Ok(())
    }

    pub(super) fn restored(&mut self) -> Result<(), Fault> {
        self.announced.end()?;
        for generation in &mut self.generations {
            generation.passed.index()?;
        }
        self.tidy();
        Ok(())
    }

    /// Forgets generations without rows: they live on other shards.
    fn tidy(&mut self) {
        for generation in core::mem::take(&mut self.generations) {
            if generation.passed.is_empty() {
                self.spares.retire(generation.passed);
            } else {
                self.generations.push_back(generation);
            }
        }
    }

    pub(super) fn extract(
        &mut self,
        section: Section,
        moves: &dyn Fn(u64) -> bool,
    ) -> Result<Vec<(BlockId, Vec<u8>)>, Fault> {
        let (mut leaving, mut header) = (Leaving::new(section), self.header());
        for index in 0..self.generations.len() {
            let Generation { number, passed } = &self.generations[index];
            let (moved, stays) = passed.part(moves, &mut self.saver)?;
            header.number(*number as u64);
            header.number(leaving.table(&moved)?.into());
            header.number(moved.len() as u64);
            if !moved.is_empty() {
                let stays = Generation { number: *number, passed: stays };
                let whole = core::mem::replace(&mut self.generations[index], stays);
                self.spares.retire(whole.passed);
            }
        }
        self.tidy();
        Ok(leaving.end(&header))
    }
}
