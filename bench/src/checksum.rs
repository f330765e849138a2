//! What a run has produced, as two numbers: how many result rows, and the wrapping sum of one term per row.
//!
//! A sum does not depend on the order of the rows, so every sharding and every engine must reach the same one,
//! while a lost, doubled or altered row changes it. The terms below nest `mix` so that swapping two fields, or
//! moving a value from one row to another, shows as well.

use crate::mix;

/// Result rows counted and summed. Two of them merge into one by adding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many rows.
    pub rows: u64,
    /// The wrapping sum of the rows' terms.
    pub checksum: u64,
}

impl Tally {
    /// Counts one row with its term.
    #[inline]
    pub fn add(&mut self, term: u64) {
        self.rows += 1;
        self.checksum = self.checksum.wrapping_add(term);
    }

    /// Adds what another part of the run has produced.
    pub fn merge(self, other: Tally) -> Tally {
        Tally { rows: self.rows + other.rows, checksum: self.checksum.wrapping_add(other.checksum) }
    }
}

/// A row of `tumble_count` or `lat_tumble`: key, window end in ms, count and sum.
#[inline]
pub fn tumble_term(key: u64, end_ms: u64, count: u64, sum: u64) -> u64 {
    mix(key ^ mix(end_ms) ^ mix(count) ^ mix(sum))
}

/// A row of `hop_max`: window end in ms, the largest count, and how many keys have it.
#[inline]
pub fn hop_max_term(end_ms: u64, max: u64, keys: u64) -> u64 {
    mix(end_ms ^ mix(max) ^ mix(keys))
}

/// A row of `filter_map`: auction, price and event time in ms.
#[inline]
pub fn filter_map_term(auction: u64, price: u64, time_ms: u64) -> u64 {
    mix(auction ^ mix(price) ^ mix(time_ms))
}

/// A row of `window_join`: user, window end in ms, and how many pairs.
#[inline]
pub fn window_join_term(user: u64, end_ms: u64, pairs: u64) -> u64 {
    mix(user ^ mix(end_ms) ^ mix(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_adding_row_by_row() {
        let (mut all, mut left, mut right) = (Tally::default(), Tally::default(), Tally::default());
        for i in 0..10 {
            all.add(mix(i));
            if i % 3 == 0 { left.add(mix(i)) } else { right.add(mix(i)) }
        }
        assert_eq!(left.merge(right), all);
        assert_eq!(right.merge(left), all);
    }

    #[test]
    fn a_term_notices_swapped_fields() {
        assert_ne!(tumble_term(1, 2, 3, 4), tumble_term(1, 2, 4, 3).wrapping_add(1));
        assert_ne!(filter_map_term(1, 2, 3), filter_map_term(2, 1, 3));
        assert_ne!(hop_max_term(1, 2, 3), hop_max_term(2, 1, 3));
    }
}
