//! The sum of a field.

use super::{Aggregate, Number};

/// Made by [`sum`].
#[derive(Clone, Copy, Debug)]
pub struct Sum<F>(F);

/// The sum of `f(record)`. Integers wrap; floats are summed exactly, and the sum is rounded at the end (an `f32` sum
/// by way of `f64`).
///
/// ```
/// use pelton_core::{Aggregate, aggregate::sum};
/// let total = sum(|price: &u64| *price);
/// let mut acc = total.empty();
/// total.add(&mut acc, total.item(&7));
/// total.add(&mut acc, total.item(&5));
/// assert_eq!(total.finish(&acc), 12);
/// ```
pub fn sum<F>(f: F) -> Sum<F> {
    Sum(f)
}

impl<T, V: Number, F: Fn(&T) -> V + Clone + Send + Sync + 'static> Aggregate<T> for Sum<F> {
    type Item = V;
    type Acc = V::Sum;
    type Out = V;

    #[inline(always)]
    fn item(&self, record: &T) -> V {
        (self.0)(record)
    }
    fn empty(&self) -> V::Sum {
        V::Sum::default()
    }
    #[inline(always)]
    fn add(&self, acc: &mut V::Sum, item: V) {
        item.add(acc);
    }
    fn merge(&self, acc: &mut V::Sum, other: &V::Sum) {
        V::merge(acc, other);
    }
    fn finish(&self, acc: &V::Sum) -> V {
        V::total(acc)
    }
}
