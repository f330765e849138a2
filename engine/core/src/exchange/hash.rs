//! The partition hash. It is part of the format of everything that is written: fixed forever.
//!
//! A fixed-width key is folded by one 128-bit multiplication; text goes through XXH3-64 with seed 0. The high bits choose the
//! key group, the low bits the slot in a table, so the two do not correlate.

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

/// Joins the hash of further bytes to the hash of what came before them.
pub fn join_bytes(left: u64, further: &[u8]) -> u64 {
    join(left, bytes(further))
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
}
