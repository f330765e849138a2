//! State that moves to another shard while the job runs, as blocks that its operator there takes in as it takes in
//! those of a checkpoint.

use crate::checkpoint::notes::Notes;
use crate::checkpoint::snapshot::{BlockId, Section};
use crate::fault::Fault;
use crate::record::Record;
use crate::record::rows;
use alloc::vec::Vec;

/// Rows of a block.
const ROWS: usize = 256;

/// Blocks of what leaves.
pub(crate) struct Leaving {
    section: Section,
    blocks: Vec<(BlockId, Vec<u8>)>,
    tables: u32,
}

impl Leaving {
    pub(crate) fn new(section: Section) -> Self {
        Leaving { section, blocks: Vec::new(), tables: 0 }
    }

    /// Adds a table, and returns its number.
    pub(crate) fn table<R: Record>(&mut self, rows: &[&R]) -> Result<u32, Fault> {
        self.tables += 1;
        for (chunk, rows) in rows.chunks(ROWS).enumerate() {
            let mut bytes = Vec::new();
            rows::encode(&mut bytes, rows.iter().copied())?;
            self.blocks
                .push((BlockId { section: self.section, table: self.tables, chunk: chunk as u32 }, bytes));
        }
        Ok(self.tables)
    }

    /// All blocks, the header first.
    pub(crate) fn end(mut self, header: &Notes) -> Vec<(BlockId, Vec<u8>)> {
        let id = BlockId { section: self.section, table: 0, chunk: 0 };
        self.blocks.insert(0, (id, header.as_slice().to_vec()));
        self.blocks
    }
}
