//! The checksum term of one result row: every field of the row, in order, text included.
//!
//! A term is a chain of `mix` over the fields, text entering as its XXH3 hash. Both are fixed forever, so a checksum
//! can be compared between runs, shard counts and engines. The order of rows does not count (a `Tally` sums their
//! terms), the order of fields within a row does.

use pelton::prelude::*;
use pelton::sinks::Fold;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Tally, mix};

/// Stands for SQL's NULL in a row, so that an absent field and an empty one differ.
const NULL: u64 = 0x4E55_4C4C_4E55_4C4C;

/// The term of one row, built field by field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row(u64);

impl Row {
    /// A row without fields.
    pub(super) fn new() -> Row {
        Row(0)
    }

    /// Appends a number.
    pub(super) fn int(self, field: u64) -> Row {
        Row(mix(self.0 ^ field))
    }

    /// Appends text.
    pub(super) fn text(self, field: &str) -> Row {
        self.int(xxh3_64(field.as_bytes()))
    }

    /// Appends text that may be NULL.
    pub(super) fn nullable(self, field: Option<&str>) -> Row {
        match field {
            Some(text) => self.text(text),
            None => self.int(NULL),
        }
    }

    /// What a `Tally` adds.
    pub(super) fn term(self) -> u64 {
        self.0
    }
}

/// A sink that counts and sums rows.
pub(super) fn answer() -> Fold<
    Tally,
    impl Fn(&mut Tally, Row) + Copy + Send + Sync,
    impl Fn(Tally, Tally) -> Tally + Copy + Send + Sync,
> {
    fold(Tally::default(), |tally: &mut Tally, row: Row| tally.add(row.term()), Tally::merge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_tells_order_text_and_null_apart() {
        assert_ne!(Row::new().int(7).int(8).term(), Row::new().int(8).int(7).term());
        assert_ne!(Row::new().text("ab").term(), Row::new().text("ba").term());
        assert_ne!(Row::new().nullable(None).term(), Row::new().nullable(Some("")).term());
        assert_eq!(Row::new().nullable(Some("a")).term(), Row::new().text("a").term());
    }
}
