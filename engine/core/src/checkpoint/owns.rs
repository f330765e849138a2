//! Which of the keys that come back from a checkpoint live on this shard.

/// Says of the hash of a key whether it lives here.
#[derive(Clone, Copy)]
pub enum Owns<'a> {
    /// All of them do: the job has the shards that it had. Nothing needs to be hashed to know it.
    All,
    /// Those for which it is true.
    Some(&'a dyn Fn(u64) -> bool),
}

impl Owns<'_> {
    /// Whether the key whose hash is `hash` lives here.
    #[inline(always)]
    pub(crate) fn key(self, hash: impl FnOnce() -> u64) -> bool {
        match self {
            Owns::All => true,
            Owns::Some(owns) => owns(hash()),
        }
    }
}
