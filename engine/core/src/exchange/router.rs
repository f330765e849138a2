//! Which shard a key belongs to: its hash chooses a key group, and each key group belongs to a shard.

use crate::ids::ShardId;
use alloc::vec::Vec;

/// Which shard owns a hash: hash -> key group -> shard.
///
/// The number of key groups is fixed for the life of a job's state; the shard of a group is not.
#[derive(Clone, Debug)]
pub struct Router {
    owners: Vec<u16>,
}

impl Router {
    /// `groups` key groups in contiguous ranges over `shards` shards.
    ///
    /// # Panics
    /// When there are no shards, or fewer groups than shards.
    pub fn new(groups: u32, shards: u16) -> Self {
        assert!(shards > 0 && groups >= u32::from(shards), "every shard needs a key group");
        let owner = |group: u32| (u64::from(group) * u64::from(shards) / u64::from(groups)) as u16;
        Router { owners: (0..groups).map(owner).collect() }
    }

    /// Key groups that belong to these shards.
    ///
    /// # Panics
    /// When there are none.
    pub fn with_owners(owners: Vec<u16>) -> Self {
        assert!(!owners.is_empty(), "there is no key group");
        Router { owners }
    }

    /// The shard of each key group.
    pub fn owners(&self) -> &[u16] {
        &self.owners
    }

    /// The key group of `hash`.
    #[inline(always)]
    pub fn group(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.owners.len() as u128) >> 64) as usize
    }

    /// The shard that owns `hash`.
    #[inline(always)]
    pub fn shard(&self, hash: u64) -> ShardId {
        ShardId(self.owners[self.group(hash)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::fold;

    #[test]
    fn groups_are_spread_evenly_for_dense_keys() {
        for shards in [1, 2, 3, 4, 8] {
            let router = Router::new(1024, shards);
            let mut counts = alloc::vec![0u32; shards as usize];
            (0..80_000).for_each(|key| counts[router.shard(fold(key)).0 as usize] += 1);
            let fair = 80_000 / u32::from(shards);
            assert!(counts.iter().all(|&n| n > fair * 95 / 100 && n < fair * 105 / 100), "{counts:?}");
        }
    }
}
