//! What the header of a checkpoint announced, held against the blocks that follow it.
//!
//! The header of an operator on an earlier shard comes before its tables, and says of each what it is and how many
//! rows it has. A block that was not announced is an error, and so is a row that is missing when the next shard
//! begins or all is over.

use crate::checkpoint::snapshot::BlockId;
use crate::fault::Fault;
use alloc::format;
use alloc::vec::Vec;

struct Announcement<P> {
    table: u32,
    place: P,
    rows: usize,
    left: usize,
}

/// The tables of one earlier shard; `P` says what each is.
pub(crate) struct Announced<P> {
    tables: Vec<Announcement<P>>,
}

/// A block that was announced.
pub(crate) struct Expected<P> {
    pub(crate) place: P,
    /// Rows of its table that come after it.
    pub(crate) rest: usize,
    /// Whether it is the first of its table.
    pub(crate) is_first: bool,
}

impl<P> Expected<P> {
    /// Rows to make room for, judging from the first block: `owned` of its `rows` stay here. A little more than that,
    /// as a table goes on growing.
    pub(crate) fn room(&self, rows: usize, owned: usize) -> usize {
        let rest = self.rest as u128 * owned as u128 / rows.max(1) as u128;
        rest as usize + rest as usize / 8
    }
}

impl<P: Copy> Announced<P> {
    pub(crate) fn new() -> Self {
        Announced { tables: Vec::new() }
    }

    /// The header says that there is a table of `rows` rows. Table 0 is none.
    pub(crate) fn announce(&mut self, table: u32, place: P, rows: u64) -> Result<(), Fault> {
        // As many as a table can have.
        let rows = u32::try_from(rows).map_err(|_| fault(&format!("table {table} of {rows} rows")))? as usize;
        if table > 0 {
            self.tables.push(Announcement { table, place, rows, left: rows });
        }
        Ok(())
    }

    /// A block of `rows` rows has come.
    pub(crate) fn take(&mut self, block: BlockId, rows: usize) -> Result<Expected<P>, Fault> {
        let announced = self.tables.iter_mut().find(|announced| announced.table == block.table);
        let announced = announced.filter(|announced| rows <= announced.left);
        let Some(announced) = announced else {
            return Err(fault(&format!("{block:?} with {rows} rows was not announced")));
        };
        let is_first = announced.left == announced.rows;
        announced.left -= rows;
        Ok(Expected { place: announced.place, rest: announced.left, is_first })
    }

    /// All of the earlier shard has come.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.tables.iter().find(|announced| announced.left > 0) {
            Some(short) => Err(fault(&format!(
                "{} of {} rows of table {} are missing",
                short.left, short.rows, short.table
            ))),
            None => {
                self.tables.clear();
                Ok(())
            }
        }
    }
}

#[cold]
fn fault(what: &str) -> Fault {
    Fault::Restore { message: format!("the state of an operator is incomplete or of another job: {what}") }
}
