//! Blocks of a checkpoint in memory, for tests.

use super::{BlockId, SnapshotOut};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub(crate) type Blocks = BTreeMap<BlockId, Vec<u8>>;

/// Those that are the same come from the checkpoint before.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) blocks: Blocks,
    pub(crate) before: Blocks,
    /// Blocks that are taken until there is room no more.
    pub(crate) room: usize,
    /// How many were the same.
    pub(crate) same: usize,
}

impl SnapshotOut for Held {
    fn room(&self) -> bool {
        self.room > 0
    }

    fn block(&mut self, id: BlockId, bytes: &[u8]) {
        assert!(self.room > 0, "{id:?} was given without room for it");
        self.room -= 1;
        assert!(self.blocks.insert(id, bytes.to_vec()).is_none(), "{id:?} twice");
    }

    fn same(&mut self, id: BlockId) {
        self.same += 1;
        let before =
            self.before.get(&id).unwrap_or_else(|| panic!("{id:?} was not in the checkpoint before"));
        assert!(self.blocks.insert(id, before.clone()).is_none(), "{id:?} twice");
    }
}
