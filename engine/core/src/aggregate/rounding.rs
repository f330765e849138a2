//! Exact fractions of long integers, rounded once, and square roots.

use super::exact::divide;

/// Words of the longest numerator: a square of an exact sum of floats has 68, and three more are for the bits of the quotient.
const WORDS: usize = 72;
/// Words by which the numerator is put up before it is divided, so that the quotient has more bits than an `f64` whatever the divisors: no count
/// comes to 2^64, so what is divided by has at most 128 bits.
const PUT_UP: usize = 3;

/// `(count * squares - sum * sum) / (count * other)`, in units of 2^`lowest`, rounded to the nearest `f64`, ties to even. The numbers have their lowest
/// word first. The numerator must not be negative, which for a sum and a sum of squares it never is.
pub(super) fn spread(sum: &[u64], squares: &[u64], count: u64, other: u64, lowest: i32) -> f64 {
    let mut buffer = [0; WORDS];
    let len = PUT_UP + (2 * sum.len()).max(squares.len() + 1);
    let words = &mut buffer[..len];
    let mut carry = 0;
    for (word, part) in words[PUT_UP..].iter_mut().zip(squares.iter().chain([&0])) {
        let product = u128::from(*part) * u128::from(count) + u128::from(carry);
        (*word, carry) = (product as u64, (product >> 64) as u64);
    }
    assert_eq!(carry, 0, "a word more holds the product");
    for (at, left) in sum.iter().enumerate().filter(|(_, left)| **left > 0) {
        subtract(&mut words[PUT_UP + at..], sum, *left);
    }
    let rest = divide(words, count);
    let further = divide(words, other);
    round(words, rest > 0 || further > 0, lowest - 64 * PUT_UP as i32)
}

/// Takes `times * part` off the number.
fn subtract(words: &mut [u64], part: &[u64], times: u64) {
    let (mut carry, mut borrow) = (0, false);
    for (word, part) in words.iter_mut().zip(part.iter().chain(core::iter::repeat(&0))) {
        let product = u128::from(*part) * u128::from(times) + u128::from(carry);
        carry = (product >> 64) as u64;
        (*word, borrow) = word.borrowing_sub(product as u64, borrow);
    }
    assert!(!borrow && carry == 0, "the square of a sum is no more than the count times the sum of squares");
}

/// The nearest `f64` to the number in units of 2^`lowest`, and a bit more where there is a `rest`.
fn round(words: &[u64], rest: bool, lowest: i32) -> f64 {
    let Some(top) = words.iter().rposition(|&word| word != 0) else {
        return 0.0;
    };
    let highest = top * 64 + 63 - words[top].leading_zeros() as usize;
    // The lowest bit that is kept: of 53, or of as many as a subnormal has.
    let first = (highest as i32 - 52).max(-1074 - lowest);
    assert!(first > 0, "a quotient has more bits than an f64");
    let first = first as usize;
    if first > highest + 1 {
        return 0.0;
    }
    let bit = |at: usize| words.get(at / 64).map_or(0, |word| word >> (at % 64) & 1);
    let mantissa = (first..=highest).rev().fold(0, |bits, at| bits << 1 | bit(at));
    let below = first - 1;
    let sticky = rest
        || words[..below / 64].iter().any(|&word| word != 0)
        || words[below / 64] & ((1 << (below % 64)) - 1) != 0;
    let mantissa = mantissa + u64::from(bit(below) == 1 && (sticky || mantissa & 1 == 1));
    // In both cases a mantissa that rounds up to one bit more carries into the exponent, as it should.
    let exponent = highest as i32 + lowest + 1023;
    if exponent <= 0 {
        f64::from_bits(mantissa)
    } else if exponent >= 0x7ff {
        f64::INFINITY
    } else {
        f64::from_bits(((exponent as u64 - 1) << 52) + mantissa)
    }
}

/// The square root of what is not negative, rounded to the nearest `f64`. `core` has none.
pub(super) fn root(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    assert!(value > 0.0, "no root of {value}");
    let (bits, shift) = super::exact::parts(value);
    // 53 bits, whatever it was: value = bits * 2^exponent.
    let zeros = bits.leading_zeros() - 11;
    let (bits, exponent) = (bits << zeros, shift as i32 + super::exact::LOWEST - zeros as i32);
    // 107 or 108 bits with an even exponent, so that the root has 54: one more than is kept.
    let up = 54 + (exponent & 1);
    let square = u128::from(bits) << up;
    let root = square.isqrt();
    let mantissa = root as u64 >> 1;
    let rounded = mantissa + (root as u64 & 1 & u64::from(root * root != square || mantissa & 1 == 1));
    let exponent = (exponent - up) / 2 + 1 + 52 + 1023;
    f64::from_bits(((exponent as u64 - 1) << 52) + rounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::fold;

    #[test]
    fn roots_are_those_of_the_processor() {
        let some =
            [0.0, 1.0, 2.0, 4.0, 5e-324, 1e-323, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY, 0.1, 1e300];
        let random = (0..100_000u64).map(|n| f64::from_bits(fold(n) >> 1)).filter(|value| !value.is_nan());
        let squares = (0..10_000u64).map(|n| (fold(n) >> 38) as f64).map(|root| root * root);
        let beside = (0..10_000u64).map(|n| ((fold(n) >> 38) as f64).powi(2).next_up());
        for value in some.into_iter().chain(random).chain(squares).chain(beside) {
            assert_eq!(root(value).to_bits(), value.sqrt().to_bits(), "{value:e}");
        }
        assert!(root(f64::NAN).is_nan());
    }

    #[test]
    fn fractions_are_rounded_once() {
        // With no sum it is squares / other: what integers say of it.
        for n in 0..50_000u64 {
            let (square, other) = (fold(n) >> (n % 60), 1 + fold(n + 1) % 1_000_000);
            let wide = u128::from(square) << 64;
            let exact = (wide / u128::from(other)) | u128::from(!wide.is_multiple_of(u128::from(other)));
            let expected = exact as f64 / (1u128 << 64) as f64;
            // The quotient of integers has bits enough where it is large.
            if exact >> 60 > 0 {
                assert_eq!(spread(&[0], &[square], 1, other, 0), expected, "{square} / {other}");
            }
        }
        assert_eq!(spread(&[0], &[1], 1, 1, -1074), 5e-324);
        assert_eq!(spread(&[0], &[1], 1, 1, -1075).to_bits(), 0, "half of the least is a tie, and 0 is even");
        assert_eq!(spread(&[0], &[3], 1, 1, -1075), 1e-323, "1.5 of the least is a tie, and 2 is even");
        assert_eq!(spread(&[0], &[3], 1, 1, -1076), 5e-324);
        assert_eq!(spread(&[0], &[1], 1, 1, -2_000), 0.0);
        assert_eq!(spread(&[0], &[u64::MAX], 1, 1, -1_022 - 64), f64::MIN_POSITIVE, "from below");
        assert_eq!(spread(&[0], &[1], 1, 1, 1_023), 2f64.powi(1_023));
        assert_eq!(spread(&[0], &[u64::MAX], 1, 1, 1_023 - 63), f64::INFINITY, "rounded up");
        assert_eq!(spread(&[0], &[1], 1, 1, 1_024), f64::INFINITY);
        assert_eq!(spread(&[6], &[36], 1, 1, 0), 0.0);
    }
}
