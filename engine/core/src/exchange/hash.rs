//! The partition hash and key groups. Both are part of the format of everything that is written: fixed forever.
//!
//! A fixed-width key is folded by one 128-bit multiplication; text goes through XXH3-64 with seed 0. The high bits choose the
//! key group, the low bits the slot in a table, so the two do not correlate.

use crate::ids::ShardId;
use alloc::vec::Vec;

/// The multiplier and the offset of [`fold`]: the golden ratio, and the first digits of pi, made odd.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
const OFFSET: u64 = 0x2432_F6A8_885A_308D;

/// Hashes one 64-bit word.
#[inline(always)]
pub const fn fold(word: u64) -> u64 {
    let product = (word ^ OFFSET) as u128 * MULTIPLIER as u128;
    (product >> 64) as u64 ^ product as u64
}

/// Joins the hash of a further part to the hash of what came before it. Order matters.
#[inline(always)]
pub const fn join(left: u64, right: u64) -> u64 {
    fold(left.rotate_left(23) ^ right)
}

/// Hashes bytes: XXH3-64, seed 0.
pub fn bytes(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

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

    /// A changed value here would strand every key that an older log or checkpoint holds.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(fold(0), 0x38318c8e896ae9a8);
        assert_eq!(fold(1), 0x86680b5708a76544);
        assert_eq!(fold(100000), 0x4b4eff22c40222b7);
        assert_eq!(fold(u64::MAX), 0xb481e80e8d8af181);
        assert_eq!(join(fold(1), fold(2)), 0x1287fe8835e9c4c0);
        assert_eq!(bytes(b""), 0x2d06800538d394c2);
    }

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
