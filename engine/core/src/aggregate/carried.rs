//! Sums of integers of up to 64 bits: 128 bits, in two's complement, so that 2^63 of them fit.
//!
//! An `i128` would do the same, but it starts at a multiple of 16, which makes most entries of a table larger by half.

use super::number::Adds;
use crate::record::struct_record;
use rkyv::{Archive, Deserialize, Serialize};

/// A sum of `u64`s or `i64`s, or of smaller integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct CarriedSum {
    low: u64,
    high: i64,
}
struct_record!(CarriedSum { low: u64, high: i64 });

impl CarriedSum {
    #[inline(always)]
    fn carry(&mut self, low: u64, high: i64) {
        let (low, carry) = self.low.overflowing_add(low);
        self.low = low;
        self.high += high + i64::from(carry);
    }

    /// The sum.
    #[inline(always)]
    pub(super) fn get(&self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }
}

macro_rules! adds {
    ($($type:ident: |$value:ident| $low:expr, $high:expr;)*) => { $(
        impl Adds<$type> for CarriedSum {
            #[inline(always)]
            fn add(&mut self, $value: $type) {
                self.carry($low, $high);
            }
            #[inline(always)]
            fn merge(&mut self, other: &Self) {
                self.carry(other.low, other.high);
            }
        }
    )* };
}
adds! {
    u8: |value| u64::from(value), 0;
    u16: |value| u64::from(value), 0;
    u32: |value| u64::from(value), 0;
    u64: |value| value, 0;
    i8: |value| value as u64, i64::from(value) >> 63;
    i16: |value| value as u64, i64::from(value) >> 63;
    i32: |value| value as u64, i64::from(value) >> 63;
    i64: |value| value as u64, value >> 63;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_adds_as_128_bits_do() {
        let signed = [i64::MAX, i64::MAX, i64::MIN, -1, 0, 5, i64::MIN, i64::MIN, -7];
        let (mut sum, mut same) = (CarriedSum::default(), 0i128);
        for value in signed {
            sum.add(value);
            same += i128::from(value);
            assert_eq!(sum.get(), same);
        }
        let mut sum = CarriedSum::default();
        for count in 1..=5u32 {
            sum.add(u64::MAX);
            assert_eq!(sum.get(), i128::from(u64::MAX) * i128::from(count));
        }
    }

    #[test]
    fn small_numbers_keep_their_sign() {
        let mut sum = CarriedSum::default();
        sum.add(i8::MIN);
        sum.add(-1i16);
        sum.add(i32::MIN);
        sum.add(3u8);
        assert_eq!(sum.get(), -128 - 1 - (1 << 31) + 3);
        let other = sum;
        Adds::<i64>::merge(&mut sum, &other);
        assert_eq!(sum.get(), 2 * other.get());
    }

    #[test]
    fn a_count_and_a_sum_of_a_number_take_32_bytes_with_it() {
        assert_eq!(size_of::<(u64, (u64, CarriedSum))>(), 32);
    }
}
