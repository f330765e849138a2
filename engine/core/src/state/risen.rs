//! A number that only rises and is the same on all shards, like the time through which all windows have closed.
//!
//! After a restart with other shards each of them has the highest of all.
//!
//! ```text
//!  header   | high u64 | low u64 | blocks, which are none |
//! ```

use crate::checkpoint::notes::{Noted, Notes};
use crate::checkpoint::owned::Owned;
use crate::checkpoint::saver::with_blocks;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::exchange::hash::{fold, join};
use crate::fault::Fault;
use crate::state::store::{Extraction, State};

/// See the [module](self).
pub struct Risen {
    value: i128,
    frozen: Option<Notes>,
}

impl Risen {
    pub(crate) fn new(value: i128) -> Self {
        Risen { value, frozen: None }
    }

    /// The number.
    #[inline(always)]
    pub(crate) fn get(&self) -> i128 {
        self.value
    }

    /// Raises it to `value`, if that is higher.
    pub(crate) fn raise(&mut self, value: i128) {
        self.value = self.value.max(value);
    }

    fn notes(&self) -> Notes {
        let mut notes = Notes::default();
        notes.number((self.value >> 64) as u64);
        notes.number(self.value as u64);
        notes
    }
}

impl State for Risen {
    fn freeze(&mut self, _: bool, _: bool) {
        self.frozen = Some(with_blocks(self.notes(), 0));
    }

    fn save(&mut self, section: Section, out: &mut dyn SnapshotOut) -> Result<bool, Fault> {
        if !out.room() {
            return Ok(self.frozen.is_none());
        }
        if let Some(notes) = self.frozen.take() {
            out.block(BlockId { section, table: 0, chunk: 0 }, notes.as_slice());
        }
        Ok(true)
    }

    fn wants(&self, _: BlockId, _: &Owned<'_>) -> bool {
        true
    }

    fn restore(&mut self, _: BlockId, bytes: &[u8], _: &Owned<'_>) -> Result<(), Fault> {
        let mut noted = Noted::new(bytes);
        let value = i128::from(noted.number()? as i64) << 64 | i128::from(noted.number()?);
        self.raise(value);
        Ok(())
    }

    fn restored(&mut self) -> Result<bool, Fault> {
        Ok(true)
    }

    fn extract(&mut self, _: &Owned<'_>, _: &mut Extraction) -> Result<bool, Fault> {
        // The other shard has it.
        Ok(true)
    }

    fn digest(&self) -> u64 {
        join(fold((self.value >> 64) as u64), self.value as u64)
    }
}
