//! Floats added without rounding, so that the order of addition cannot show.
//!
//! The sum is kept as one long two's-complement integer that counts units of 2^-1074, the smallest step of an `f64`, wide enough for
//! 2^63 of the largest values (U. Kulisch, "Computer Arithmetic and Validity", 2008: the long accumulator). Adding touches two or
//! three of its words. [`total`](ExactSum::total) rounds once, to nearest even. Costs 296 bytes for each key.

use crate::record::struct_record;
use rkyv::{Archive, Deserialize, Serialize};

/// 2,098 bits of values and 63 of carries, in whole words.
pub(super) const WORDS: usize = 34;
/// The exponent of the accumulator's lowest bit.
pub(super) const LOWEST: i32 = -1074;

/// An exact sum of `f64`s.
///
/// ```
/// use pelton::aggregate::ExactSum;
/// let mut sum = ExactSum::default();
/// for value in [1e100, 1.0, -1e100] {
///     sum.add(value);
/// }
/// assert_eq!(sum.total(), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ExactSum {
    words: [u64; WORDS],
    /// Infinities and NaNs seen: they decide the result whatever else was added.
    infinite: u64,
    negative_infinite: u64,
    nan: u64,
}
struct_record!(ExactSum { words: [u64; WORDS], infinite: u64, negative_infinite: u64, nan: u64 });

impl Default for ExactSum {
    fn default() -> Self {
        ExactSum { words: [0; WORDS], infinite: 0, negative_infinite: 0, nan: 0 }
    }
}

impl ExactSum {
    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.nan += u64::from(value.is_nan());
            self.infinite += u64::from(value == f64::INFINITY);
            self.negative_infinite += u64::from(value == f64::NEG_INFINITY);
            return;
        }
        let (mantissa, shift) = parts(value);
        let wide = u128::from(mantissa) << (shift % 64);
        let (mut at, parts) = (shift / 64, [wide as u64, (wide >> 64) as u64]);
        let negative = value.is_sign_negative();
        let mut carry = false;
        for part in parts {
            (self.words[at], carry) = step(self.words[at], part, carry, negative);
            at += 1;
        }
        while carry && at < WORDS {
            (self.words[at], carry) = step(self.words[at], 0, carry, negative);
            at += 1;
        }
    }

    /// Adds everything that another sum holds.
    pub fn merge(&mut self, other: &ExactSum) {
        let mut carry = false;
        for (word, part) in self.words.iter_mut().zip(other.words) {
            (*word, carry) = step(*word, part, carry, false);
        }
        self.infinite += other.infinite;
        self.negative_infinite += other.negative_infinite;
        self.nan += other.nan;
    }

    /// The sum, rounded to the nearest `f64`, ties to even. A sum of zeros is `0.0`, also of negative ones.
    pub fn total(&self) -> f64 {
        self.mean(1)
    }

    /// The sum divided by `count`, rounded to the nearest `f64`, ties to even: also where the sum itself is beyond the range. A `count` of 0 gives
    /// NaN.
    ///
    /// ```
    /// use pelton::aggregate::ExactSum;
    /// let mut sum = ExactSum::default();
    /// sum.add(f64::MAX);
    /// sum.add(f64::MAX);
    /// assert_eq!(sum.mean(2), f64::MAX);
    /// ```
    pub fn mean(&self, count: u64) -> f64 {
        if count == 0 {
            return f64::NAN;
        }
        match (self.nan > 0, self.infinite > 0, self.negative_infinite > 0) {
            (true, _, _) | (_, true, true) => return f64::NAN,
            (_, true, _) => return f64::INFINITY,
            (_, _, true) => return f64::NEG_INFINITY,
            _ => {}
        }
        let (negative, mut words) = self.magnitude();
        // What is left of the division counts as a part of the lowest bit.
        let rest = if count == 1 { 0 } else { divide(&mut words, count) };
        let top = words.iter().rposition(|&word| word != 0).unwrap_or(0);
        let highest = (top * 64 + 63).saturating_sub(words[top].leading_zeros() as usize);
        let magnitude = if highest < 53 {
            // At most 53 bits: exact but for the rest, be it subnormal or not.
            let (twice, one) = (u128::from(rest) * 2, u128::from(count));
            let up = twice > one || twice == one && words[0] & 1 == 1;
            f64::from_bits(words[0] + u64::from(up))
        } else {
            let bit = |at: usize| words[at / 64] >> (at % 64) & 1;
            let first = highest - 52;
            let mantissa = (first..=highest).rev().fold(0, |bits, at| bits << 1 | bit(at));
            let below = first - 1;
            let sticky = rest > 0
                || words[..below / 64].iter().any(|&w| w != 0)
                || words[below / 64] & ((1 << (below % 64)) - 1) != 0;
            let up = bit(below) == 1 && (sticky || mantissa & 1 == 1);
            // The exponent field of bit `highest`; a mantissa that rounds up to 2^53 carries into it, as it should.
            let exponent = (highest as i32 + LOWEST + 1023) as u64;
            if exponent >= 0x7ff {
                f64::INFINITY
            } else {
                f64::from_bits((exponent << 52 | mantissa & ((1 << 52) - 1)) + u64::from(up))
            }
        };
        if negative && magnitude != 0.0 { -magnitude } else { magnitude }
    }

    /// Whether the finite part is below zero, and how far it is from there, in units of 2^[`LOWEST`].
    pub(super) fn magnitude(&self) -> (bool, [u64; WORDS]) {
        let negative = self.words[WORDS - 1] >> 63 == 1;
        let mut words = self.words;
        if negative {
            let mut carry = true;
            for word in &mut words {
                (*word, carry) = step(!*word, 0, carry, false);
            }
        }
        (negative, words)
    }

    /// Whether no infinity and no NaN was added.
    pub(super) fn is_finite(&self) -> bool {
        self.nan == 0 && self.infinite == 0 && self.negative_infinite == 0
    }
}

/// A finite value as `(bits, shift)`: it is `bits * 2^(shift + LOWEST)`, its sign aside.
pub(super) fn parts(value: f64) -> (u64, usize) {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as usize;
    // A subnormal has exponent 0 and no hidden bit, and counts units of 2^-1074 like exponent 1.
    (bits & ((1 << 52) - 1) | u64::from(exponent > 0) << 52, exponent.saturating_sub(1))
}

/// Divides the number by `by`, and returns the rest.
pub(super) fn divide(words: &mut [u64], by: u64) -> u64 {
    words.iter_mut().rev().fold(0, |rest, word| {
        let part = u128::from(rest) << 64 | u128::from(*word);
        // The rest is below the divisor, so the quotient has one word.
        *word = (part / u128::from(by)) as u64;
        (part % u128::from(by)) as u64
    })
}

fn step(word: u64, part: u64, carry: bool, subtract: bool) -> (u64, bool) {
    if subtract { word.borrowing_sub(part, carry) } else { word.carrying_add(part, carry) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::fold;
    use alloc::vec::Vec;

    fn total(values: impl IntoIterator<Item = f64>) -> f64 {
        let mut sum = ExactSum::default();
        values.into_iter().for_each(|value| sum.add(value));
        sum.total()
    }

    #[test]
    fn one_value_comes_back_bit_for_bit() {
        let specials =
            [0.0, 5e-324, 2.2e-308, 1.0, 1.5, -1.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, f64::EPSILON];
        let random = (0..20_000).map(|i| f64::from_bits(fold(i)));
        for value in specials.into_iter().chain(random).filter(|v| v.is_finite()) {
            assert_eq!(total([value]).to_bits(), value.to_bits(), "{value:e}");
            assert_eq!(total([value, value, -value]).to_bits(), value.to_bits(), "{value:e}");
        }
    }

    #[test]
    fn two_values_round_as_the_processor_rounds() {
        for i in 0..50_000u64 {
            let spread = (fold(i) % 120) as i32 - 60;
            let a = (fold(i + 1) as i64) as f64;
            let b = f64::from_bits(((1023 + spread) as u64) << 52 | fold(i + 2) >> 12);
            assert_eq!(total([a, b]), a + b, "{a:e} + {b:e}");
            assert_eq!(total([a, -b]), a - b, "{a:e} - {b:e}");
        }
    }

    #[test]
    fn order_and_grouping_do_not_show() {
        let values: Vec<f64> =
            (0..500).map(|i| f64::from_bits(fold(i))).filter(|v| v.abs() < 1e300).collect();
        let forward = total(values.iter().copied());
        assert_eq!(total(values.iter().rev().copied()).to_bits(), forward.to_bits());
        let mut halves = [ExactSum::default(), ExactSum::default()];
        values.iter().enumerate().for_each(|(i, &value)| halves[i % 2].add(value));
        let [mut left, right] = halves;
        left.merge(&right);
        assert_eq!(left.total().to_bits(), forward.to_bits());
    }

    #[test]
    fn means_are_rounded_once_and_stay_in_range() {
        let mean = |values: &[f64]| {
            let mut sum = ExactSum::default();
            values.iter().for_each(|value| sum.add(*value));
            sum.mean(values.len() as u64)
        };
        assert_eq!(mean(&[f64::MAX; 7]), f64::MAX);
        assert_eq!(mean(&[f64::MIN, f64::MIN]), f64::MIN);
        assert_eq!(mean(&[f64::MAX, f64::INFINITY]), f64::INFINITY);
        assert_eq!(mean(&[5e-324, 0.0]).to_bits(), 0, "half of the least is a tie, and 0 is even");
        assert_eq!(mean(&[5e-324, 1e-323]), 1e-323, "1.5 of the least is a tie, and 2 is even");
        assert_eq!(mean(&[5e-324, 5e-324, 0.0]), 5e-324);
        assert_eq!(mean(&[-5e-324, 0.0]).to_bits(), 0, "no negative zero");
        assert!(ExactSum::default().mean(0).is_nan());
        for i in 0..50_000u64 {
            // Equal values have themselves as their mean, of however many.
            let (value, count) = (f64::from_bits(fold(i) & !(1 << 62)), 1 + fold(i + 1) % 30);
            let values: Vec<f64> = (0..count).map(|_| value).collect();
            assert_eq!(mean(&values), value + 0.0, "{value:e} x {count}");
            // Two values whose sum the processor rounds: halving is exact.
            let other = value * (1.0 + (fold(i + 2) % 1_000) as f64);
            if other.is_finite() && value.is_normal() && (value / 2.0).is_normal() {
                assert_eq!(mean(&[value, other]), (value + other) / 2.0);
            }
        }
    }

    #[test]
    fn infinities_and_nan_decide() {
        assert_eq!(total([1.0, f64::INFINITY]), f64::INFINITY);
        assert!(total([f64::NEG_INFINITY, f64::INFINITY]).is_nan());
        assert_eq!(total([f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(total([f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
    }
}
