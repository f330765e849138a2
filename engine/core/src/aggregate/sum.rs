//! The sum of a field.

use super::{Adds, Aggregate, Number, Overflow};
use alloc::borrow::Cow;

/// Made by [`sum`].
#[derive(Clone, Copy, Debug)]
pub struct Sum<F>(F);

/// The sum of `f(record)`: a `u64` for unsigned integers, an `i64` for signed ones, an `f64` for floats; `u128` and `i128` stay what they are.
///
/// Nothing wraps. A sum that its type cannot hold in the end (and 2^64 - 1, which stands for what a `u64` cannot hold) stops the job with an
/// error that names the operator and the key; `sum(|r| i128::from(r.field))` has more room. Floats are added exactly, in whatever order they come, and
/// the sum is rounded once: so `0.1 + 0.2 + -0.3` is the true sum of these three floats. One NaN makes the sum NaN, as do
/// infinities of both signs. A sum of zeros is `0.0`, also of negative ones.
///
/// ```
/// use pelton::{Aggregate, aggregate::sum};
/// let total = sum(|price: &u8| *price);
/// let mut acc = total.empty();
/// total.add(&mut acc, total.item(&200));
/// total.add(&mut acc, total.item(&100));
/// assert_eq!(total.finish(&acc), 300u64);
/// ```
pub fn sum<F>(f: F) -> Sum<F> {
    Sum(f)
}

impl<T, V: Number, F: Fn(&T) -> V + Clone + Send + Sync + 'static> Aggregate<T> for Sum<F> {
    type Item = V;
    type Acc = V::Sum;
    type Out = V::Total;

    fn kind(&self) -> Cow<'static, str> {
        "sum".into()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> V {
        (self.0)(record)
    }
    fn empty(&self) -> V::Sum {
        V::Sum::default()
    }
    #[inline(always)]
    fn add(&self, acc: &mut V::Sum, item: V) {
        acc.add(item);
    }
    fn merge(&self, acc: &mut V::Sum, other: &V::Sum) {
        acc.merge(other);
    }
    fn finish(&self, acc: &V::Sum) -> V::Total {
        V::total(acc).unwrap_or_else(|overflow| panic!("{overflow}"))
    }
    #[inline(always)]
    fn try_finish(&self, acc: &V::Sum) -> Result<V::Total, Overflow> {
        V::total(acc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<V: Number>(values: &[V]) -> Result<V::Total, Overflow> {
        let sum = sum(|value: &V| *value);
        let (mut acc, mut parts) = (sum.empty(), [sum.empty(), sum.empty()]);
        for (number, value) in values.iter().enumerate() {
            sum.add(&mut acc, sum.item(value));
            sum.add(&mut parts[number % 2], sum.item(value));
        }
        let [mut left, right] = parts;
        sum.merge(&mut left, &right);
        assert_eq!(sum.try_finish(&acc).is_ok(), sum.try_finish(&left).is_ok());
        sum.try_finish(&acc)
    }

    #[test]
    fn nothing_wraps() {
        assert_eq!(check(&[1u8; 300]), Ok(300));
        assert_eq!(check(&[i8::MIN; 300]), Ok(-38_400));
        assert_eq!(check(&[u32::MAX; 3]), Ok(3 * u64::from(u32::MAX)));
        assert_eq!(check(&[i64::MAX, 1, -1]), Ok(i64::MAX));
        assert_eq!(check(&[i64::MIN, -1, 1, i64::MAX]), Ok(-1));
        assert_eq!(check(&[u64::MAX - 1]), Ok(u64::MAX - 1));
        assert_eq!(check(&[i128::from(u64::MAX); 2]), Ok(2 * i128::from(u64::MAX)));
        assert_eq!(check(&[u128::MAX]), Ok(u128::MAX));
        assert_eq!(check(&[f32::MAX; 2]), Ok(2.0 * f64::from(f32::MAX)));
        assert_eq!(check(&[0.1, 0.2, -0.3]), Ok(2.7755575615628914e-17));
        assert_eq!(check(&[-0.0, -0.0]).map(f64::to_bits), Ok(0));
    }

    #[test]
    fn what_does_not_fit_says_what_it_is_and_what_to_do() {
        let said = |overflow: Overflow| alloc::format!("{overflow}");
        for beyond in [&[u64::MAX][..], &[u64::MAX, 1]] {
            assert_eq!(
                check(beyond).map_err(said).unwrap_err(),
                "a sum of 18446744073709551615 or more does not fit into `u64`: sum `i128`s, `.sum(|r| i128::from(r.field))`"
            );
        }
        assert!(
            check(&[i64::MIN, -1])
                .map_err(said)
                .unwrap_err()
                .starts_with("a sum of -9223372036854775809 does not fit into `i64`")
        );
        assert!(
            check(&[u128::MAX, 1])
                .map_err(said)
                .unwrap_err()
                .contains("does not fit into `u128`: sum floats")
        );
        assert!(check(&[i128::MIN, -1]).is_err());
    }
}
