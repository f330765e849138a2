//! Sums of integers of 128 bits: 192 bits, in two's complement, so that 2^63 of them fit.

use super::number::Adds;
use crate::record::struct_record;
use rkyv::{Archive, Deserialize, Serialize};

/// A sum of `u128`s or `i128`s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct WideSum {
    low: u128,
    high: i64,
}
struct_record!(WideSum { low: u128, high: i64 });

impl WideSum {
    #[inline]
    fn carry(&mut self, low: u128, high: i64) {
        let (low, carry) = self.low.overflowing_add(low);
        self.low = low;
        self.high += high + i64::from(carry);
    }

    /// The nearest `f64` but for one rounding in between, for what is too large to be told exactly.
    pub(super) fn approximate(&self) -> f64 {
        let unit = (1u128 << 64) as f64;
        self.high as f64 * unit * unit + self.low as f64
    }
}

impl Adds<u128> for WideSum {
    #[inline]
    fn add(&mut self, value: u128) {
        self.carry(value, 0);
    }
    #[inline]
    fn merge(&mut self, other: &Self) {
        self.carry(other.low, other.high);
    }
}

impl Adds<i128> for WideSum {
    #[inline]
    fn add(&mut self, value: i128) {
        self.carry(value as u128, (value >> 127) as i64);
    }
    #[inline]
    fn merge(&mut self, other: &Self) {
        self.carry(other.low, other.high);
    }
}

impl TryFrom<WideSum> for u128 {
    type Error = ();
    fn try_from(sum: WideSum) -> Result<u128, ()> {
        if sum.high == 0 { Ok(sum.low) } else { Err(()) }
    }
}

impl TryFrom<WideSum> for i128 {
    type Error = ();
    fn try_from(sum: WideSum) -> Result<i128, ()> {
        let value = sum.low as i128;
        if sum.high == (value >> 127) as i64 { Ok(value) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum<T: Copy>(values: &[T]) -> WideSum
    where
        WideSum: Adds<T>,
    {
        let mut sum = WideSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    #[test]
    fn what_fits_in_the_end_may_be_beyond_the_range_on_the_way() {
        assert_eq!(i128::try_from(sum(&[i128::MAX, i128::MAX, i128::MIN, i128::MIN, 5])), Ok(3));
        assert_eq!(i128::try_from(sum(&[i128::MIN, -1, 1])), Ok(i128::MIN));
        assert_eq!(i128::try_from(sum(&[i128::MIN, -1])), Err(()));
        assert_eq!(i128::try_from(sum(&[i128::MAX, 1])), Err(()));
        assert_eq!(i128::try_from(sum(&[-1i128, -2])), Ok(-3));
        assert_eq!(u128::try_from(sum(&[u128::MAX - 1, 1])), Ok(u128::MAX));
        assert_eq!(u128::try_from(sum(&[u128::MAX, 1])), Err(()));
        assert_eq!(u128::try_from(sum(&[-1i128])), Err(()));
        assert_eq!(sum(&[u128::MAX; 4]).approximate(), 4.0 * u128::MAX as f64);
        assert_eq!(sum(&[i128::MIN; 4]).approximate(), 4.0 * i128::MIN as f64);
    }
}
