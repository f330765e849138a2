//! Sums of unsigned integers of up to 64 bits, in 64 bits: they are the most frequent, and a wider state makes every row of a table larger.

use super::number::Adds;
use crate::record::struct_record;
use rkyv::{Archive, Deserialize, Serialize};

/// A sum of `u64`s or of smaller integers. It stops at 2^64 - 1, which therefore means that or more: adding in this way is associative,
/// so which numbers came first cannot show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct UnsignedSum {
    sum: u64,
}
struct_record!(UnsignedSum { sum: u64 });

impl UnsignedSum {
    /// The sum, if it is known.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<u64> {
        (self.sum < u64::MAX).then_some(self.sum)
    }
}

macro_rules! adds {
    ($($type:ident)*) => { $(
        impl Adds<$type> for UnsignedSum {
            #[inline(always)]
            fn add(&mut self, value: $type) {
                self.sum = self.sum.saturating_add(u64::from(value));
            }
            #[inline(always)]
            fn merge(&mut self, other: &Self) {
                self.sum = self.sum.saturating_add(other.sum);
            }
        }
    )* };
}
adds!(u8 u16 u32 u64);

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[u64]) -> UnsignedSum {
        let mut sum = UnsignedSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    #[test]
    fn it_knows_all_sums_but_the_largest() {
        assert_eq!(sum(&[]).get(), Some(0));
        assert_eq!(sum(&[u64::MAX - 3, 2]).get(), Some(u64::MAX - 1));
        for beyond in [&[u64::MAX][..], &[u64::MAX - 1, 1], &[1, u64::MAX], &[u64::MAX, u64::MAX, 0]] {
            assert_eq!(sum(beyond).get(), None);
        }
    }

    #[test]
    fn no_order_and_no_grouping_shows() {
        let values = [u64::MAX / 2, 7, u64::MAX / 2, 1, 0, 9];
        for cut in 0..=values.len() {
            let (left, right) = values.split_at(cut);
            let mut merged = sum(right);
            Adds::<u64>::merge(&mut merged, &sum(left));
            assert_eq!(merged, sum(&values));
        }
    }
}
