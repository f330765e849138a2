//! How a state saves itself: what it put aside, the rest in bounded steps, and a header at last.
//!
//! 1. [`freeze`](Saver::freeze) begins a checkpoint; the state freezes its arrays and writes a header that says
//!    what they are.
//! 2. While records keep coming, chunks that are about to change are [put aside](Saver::put_aside), in blocks of
//!    memory that are used again. In the worst case everything changes before anything is written, and what is
//!    aside is as large as what was frozen.
//! 3. Each [`Step`] hands over a bounded part: what is aside, then chunk after chunk of the arrays, then the header with the number of the
//!    blocks that there should be.
//!
//! ```text
//!  aside    | table u32 | chunk u32 | len u32 | 1: the same as before u32 | bytes |
//! ```
//!
//! Arrays are numbered when they are first frozen; the header is table 0. A number is never used again.

use crate::bounds::SKIP_ROWS;
use crate::bounds::{ASIDE_BYTES, ASIDE_SPARE_MAX, SAVE_BYTES_MAX, SAVE_ROWS_MAX};
use crate::checkpoint::notes::Notes;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::fault::{Fault, OutOfMemory};
use crate::state::memory::{Buf, Memory};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Bytes before each chunk that is aside.
const HEADER: usize = 16;

/// Chunks that were copied before they changed, in the order in which they were.
struct Aside {
    full: VecDeque<Buf<u8>>,
    /// Bytes of the first one that have been handed over.
    taken: usize,
    spare: Vec<Buf<u8>>,
    /// The most blocks that were in use at a time since the last freeze, and between the two before.
    most: (usize, usize),
    memory: Arc<dyn Memory>,
}

impl Aside {
    fn push(&mut self, table: u32, chunk: u32, bytes: &[u8], same: bool) -> Result<(), OutOfMemory> {
        let needed = HEADER + bytes.len();
        // A block is never grown: it would have to be copied.
        let begun = self.full.back().is_some_and(|block| block.capacity() - block.len() >= needed);
        if !begun {
            let mut block = self.spare.pop().unwrap_or_else(|| Buf::new(self.memory.clone()));
            block.reserve(needed.max(ASIDE_BYTES))?;
            self.full.push_back(block);
            self.most.0 = self.most.0.max(self.full.len());
        }
        if let Some(block) = self.full.back_mut() {
            for word in [table, chunk, bytes.len() as u32, u32::from(same)] {
                block.extend_from_slice(&word.to_le_bytes());
            }
            block.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// The first that was not handed over yet: its table, its chunk, its bytes, and whether it is the same as before.
    fn first(&self) -> Option<(u32, u32, &[u8], bool)> {
        let rest = self.full.front()?.get(self.taken..)?;
        let (header, rest) = rest.split_at_checked(HEADER)?;
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        Some((word(0), word(4), &rest[..word(8) as usize], word(12) != 0))
    }

    /// The first has been handed over.
    fn advance(&mut self, bytes: usize) {
        self.taken += HEADER + bytes;
        if self.full.front().is_some_and(|block| self.taken == block.len()) {
            self.taken = 0;
            let block = self.full.pop_front();
            self.let_go(block);
        }
    }

    fn let_go(&mut self, block: Option<Buf<u8>>) {
        if let Some(mut block) = block
            && self.spare.len() < ASIDE_SPARE_MAX
        {
            block.clear();
            self.spare.push(block);
        }
    }

    /// A checkpoint begins. What the last two had no use for goes back.
    fn clear(&mut self) {
        self.taken = 0;
        while let Some(block) = self.full.pop_front() {
            self.let_go(Some(block));
        }
        self.spare.truncate(self.most.0.max(self.most.1));
        self.most = (0, self.most.0);
    }
}

/// A header with the number of the blocks that belong to it.
pub(crate) fn with_blocks(mut header: Notes, blocks: u64) -> Notes {
    header.number(blocks);
    header
}

/// What a state needs to save itself.
pub(crate) struct Saver {
    /// Freezes so far.
    epoch: u32,
    /// The last freeze of which all was saved; 0 if there is none. It is told at the next freeze.
    saved: u32,
    /// Whether a freeze is being saved, and what it may refer to.
    active: bool,
    since: u32,
    header: Option<Notes>,
    /// Blocks that have been handed over of it.
    blocks: u64,
    /// Numbers that have been given to arrays.
    numbers: u32,
    aside: Aside,
    scratch: Vec<u8>,
}

impl Saver {
    pub(crate) fn new(memory: &Arc<dyn Memory>) -> Self {
        let aside = Aside {
            full: VecDeque::new(),
            taken: 0,
            spare: Vec::new(),
            most: (0, 0),
            memory: memory.clone(),
        };
        let (epoch, saved, active, since, numbers) = (0, 0, false, 0, 0);
        Saver { epoch, saved, active, since, header: None, blocks: 0, numbers, aside, scratch: Vec::new() }
    }

    /// The number of the last freeze; 0 before the first.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What was not changed since this freeze is the same as in the checkpoint before.
    pub(crate) fn since(&self) -> u32 {
        self.since
    }

    /// A number for an array.
    pub(crate) fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    /// A checkpoint begins; `last_counts` says that the one before was saved to its end, by all that have a part in it.
    pub(crate) fn freeze(&mut self, full: bool, last_counts: bool) {
        if last_counts {
            self.saved = self.epoch;
        }
        self.aside.clear();
        self.epoch += 1;
        self.blocks = 0;
        self.since = if full { 0 } else { self.saved };
        self.active = true;
    }

    /// What the operator writes first.
    pub(crate) fn set_header(&mut self, header: Notes) {
        self.header = Some(header);
    }

    /// Keeps a chunk as it is until the next step.
    pub(crate) fn put_aside(
        &mut self,
        table: u32,
        chunk: u32,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.scratch.clear();
        encode(&mut self.scratch)?;
        Ok(self.aside.push(table, chunk, &self.scratch, false)?)
    }

    /// Notes until the next step that a chunk was what it was in the checkpoint before.
    pub(crate) fn same_aside(&mut self, table: u32, chunk: u32) -> Result<(), OutOfMemory> {
        self.aside.push(table, chunk, &[], true)
    }

    /// A bounded part of what is to be saved; none if there is nothing.
    pub(crate) fn step<'a>(&'a mut self, section: Section, out: &'a mut dyn SnapshotOut) -> Option<Step<'a>> {
        let (rows, bytes) = (SAVE_ROWS_MAX, SAVE_BYTES_MAX);
        self.active.then_some(Step { saver: self, section, out, rows, bytes })
    }
}

/// A bounded part of the saving of an operator.
pub(crate) struct Step<'a> {
    saver: &'a mut Saver,
    section: Section,
    out: &'a mut dyn SnapshotOut,
    rows: usize,
    bytes: usize,
}

impl Step<'_> {
    fn id(&self, table: u32, chunk: u32) -> BlockId {
        BlockId { section: self.section, table, chunk }
    }

    fn count(&mut self, rows: usize, bytes: usize) {
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether there is room and time for one more chunk.
    pub(crate) fn goes_on(&self) -> bool {
        self.has_time() && self.out.room()
    }

    /// Whether there is time for anything more.
    pub(crate) fn has_time(&self) -> bool {
        self.rows > 0 && self.bytes > 0
    }

    /// Hands over what is aside; true when that is done.
    pub(crate) fn begin(&mut self) -> bool {
        if !self.goes_on() {
            return false;
        }
        while let Some((table, chunk, bytes, same)) = self.saver.aside.first() {
            if !self.goes_on() {
                return false;
            }
            let (id, len) = (self.id(table, chunk), bytes.len());
            self.saver.blocks += 1;
            if same {
                self.out.same(id)
            } else {
                self.out.block(id, bytes)
            }
            self.count(SKIP_ROWS, len);
            self.saver.aside.advance(len);
        }
        true
    }

    /// A chunk is aside, or was.
    pub(crate) fn skip(&mut self) {
        self.count(SKIP_ROWS, 0);
    }

    /// A chunk is what it was in the checkpoint before.
    pub(crate) fn same(&mut self, table: u32, chunk: u32) {
        self.saver.blocks += 1;
        self.out.same(self.id(table, chunk));
        self.count(SKIP_ROWS, 0);
    }

    /// Hands over a chunk of `rows` rows.
    pub(crate) fn block(
        &mut self,
        table: u32,
        chunk: u32,
        rows: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let id = self.id(table, chunk);
        self.saver.scratch.clear();
        encode(&mut self.saver.scratch)?;
        self.saver.blocks += 1;
        self.out.block(id, &self.saver.scratch);
        self.count(rows, self.saver.scratch.len());
        Ok(())
    }

    /// All has been saved but the header, which says how many blocks there are; true when it is handed over, too.
    pub(crate) fn end(self) -> bool {
        if !self.goes_on() {
            return false;
        }
        if let Some(header) = self.saver.header.take() {
            self.out.block(self.id(0, 0), with_blocks(header, self.saver.blocks).as_slice());
        }
        self.saver.active = false;
        true
    }
}
