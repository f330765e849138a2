//! The mean of a field.

use super::{Aggregate, Number};

/// Made by [`avg`].
#[derive(Clone, Copy, Debug)]
pub struct Avg<F>(F);

/// The arithmetic mean of `f(record)`. The sum is exact for integers and floats; it is rounded to `f64` and divided
/// at the end, so a sum beyond the range of `f64` has an infinite mean.
///
/// ```
/// use pelton_core::{Aggregate, aggregate::avg};
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
    type Acc = (u64, V::Wide);
    type Out = f64;

    #[inline(always)]
    fn item(&self, record: &T) -> V {
        (self.0)(record)
    }
    fn empty(&self) -> Self::Acc {
        (0, V::Wide::default())
    }
    #[inline(always)]
    fn add(&self, acc: &mut Self::Acc, item: V) {
        acc.0 += 1;
        item.add_wide(&mut acc.1);
    }
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
        acc.0 += other.0;
        V::merge_wide(&mut acc.1, &other.1);
    }
    fn finish(&self, acc: &Self::Acc) -> f64 {
        V::mean(&acc.1, acc.0)
    }
}
