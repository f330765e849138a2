//! The mean of a field.

use super::{Adds, Aggregate, Number};
use alloc::borrow::Cow;

/// Made by [`avg`].
#[derive(Clone, Copy, Debug)]
pub struct Avg<F>(F);

/// The arithmetic mean of `f(record)`. The sum is exact for integers and floats, and the mean is rounded once: it is the `f64` nearest to the
/// true mean, also where the sum is beyond the range of `f64`. (Only sums of 128-bit integers beyond that range are rounded before.) One NaN
/// makes it NaN, as do infinities of both signs.
///
/// ```
/// use pelton::{Aggregate, aggregate::avg};
/// let mean = avg(|price: &u64| *price);
/// let mut acc = mean.empty();
/// mean.add(&mut acc, 1);
/// mean.add(&mut acc, 2);
/// assert_eq!(mean.finish(&acc), 1.5);
/// ```
pub fn avg<F>(f: F) -> Avg<F> {
    Avg(f)
}

impl<T, V: Number, F: Fn(&T) -> V + Clone + Send + Sync + 'static> Aggregate<T> for Avg<F> {
    type Item = V;
    type Acc = (u64, V::Mean);
    type Out = f64;

    fn kind(&self) -> Cow<'static, str> {
        "avg".into()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> V {
        (self.0)(record)
    }
    fn empty(&self) -> Self::Acc {
        (0, V::Mean::default())
    }
    #[inline(always)]
    fn add(&self, acc: &mut Self::Acc, item: V) {
        acc.0 += 1;
        acc.1.add(item);
    }
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
        acc.0 += other.0;
        acc.1.merge(&other.1);
    }
    fn finish(&self, acc: &Self::Acc) -> f64 {
        V::mean(&acc.1, acc.0)
    }
}
