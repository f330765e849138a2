//! Which keys a shard has to do with: those that live on it, or those that leave it for another.

use crate::exchange::router::Router;
use crate::ids::ShardId;
use crate::state::keyed::{GROUP_BITS, Stretch};

/// The keys that a router gives to one shard.
#[derive(Clone, Copy)]
pub(crate) struct Owned<'a> {
    router: &'a Router,
    shard: ShardId,
}

impl<'a> Owned<'a> {
    /// The keys of `shard`.
    pub(crate) fn new(router: &'a Router, shard: ShardId) -> Self {
        Owned { router, shard }
    }

    /// Whether the key with this hash is one of them.
    #[inline]
    pub(crate) fn has(&self, hash: u64) -> bool {
        self.router.shard(hash) == self.shard
    }

    /// Whether each key of a stretch is one of them.
    pub(crate) fn has_all(&self, stretch: Stretch) -> bool {
        self.groups(stretch).iter().all(|owner| *owner == self.shard.0)
    }

    /// Whether no key of a stretch is one of them.
    pub(crate) fn has_none(&self, stretch: Stretch) -> bool {
        self.groups(stretch).iter().all(|owner| *owner != self.shard.0)
    }

    /// The owners of all key groups that a stretch may have keys of.
    fn groups(&self, stretch: Stretch) -> &[u16] {
        // Of a position the first bits are the hash's, and no others.
        let free = u64::MAX >> GROUP_BITS;
        let (first, last) = (stretch.prefix & !free, stretch.last() | free);
        &self.router.owners()[self.router.group(first)..=self.router.group(last)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::fold;
    use crate::state::keyed::KeyedTable;
    use crate::state::memory::HeapMemory;
    use crate::state::slab::Slabs;
    use alloc::sync::Arc;

    /// For each leaf of a table what is said of its stretch is true of its keys.
    #[test]
    fn what_is_said_of_a_stretch_is_true_of_its_keys() {
        let mut table = KeyedTable::<u64, ()>::new(Slabs::new(Arc::new(HeapMemory)));
        let mut saver = crate::checkpoint::saver::Saver::new(&(Arc::new(HeapMemory) as _));
        for key in 0..200_000u64 {
            table.place(fold(key), &mut saver, |k| *k == key, || (key, ())).unwrap();
        }
        for groups in [1, 3, 64, 1_000, 1_024, 5_000] {
            for shards in [1, 2, 3, 5].into_iter().filter(|shards| u32::from(*shards) <= groups) {
                let router = Router::new(groups, shards);
                let (mut whole, mut none) = (0, 0);
                for shard in 0..shards {
                    let owned = Owned::new(&router, ShardId(shard));
                    for (stretch, rows) in table.stretches() {
                        let mut has = rows.iter().map(|(key, ())| owned.has(fold(*key)));
                        if owned.has_all(stretch) {
                            whole += 1;
                            assert!(has.all(|has| has));
                        } else if owned.has_none(stretch) {
                            none += 1;
                            assert!(!has.any(|has| has));
                        }
                    }
                }
                let leaves = table.leaves();
                let borders = 2 * usize::from(shards);
                assert!(
                    whole + borders >= leaves
                        && none + borders * usize::from(shards) >= leaves * (usize::from(shards) - 1)
                );
            }
        }
    }
}
