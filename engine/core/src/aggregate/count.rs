//! How many records.

use super::Aggregate;
use alloc::borrow::Cow;

/// Made by [`count`].
#[derive(Clone, Copy, Debug)]
pub struct Count;

/// The number of records.
///
/// ```
/// use pelton::{Aggregate, aggregate::count};
/// let mut acc = Aggregate::<&str>::empty(&count());
/// Aggregate::<&str>::add(&count(), &mut acc, ());
/// assert_eq!(Aggregate::<&str>::finish(&count(), &acc), 1);
/// ```
pub fn count() -> Count {
    Count
}

impl<T> Aggregate<T> for Count {
    type Item = ();
    type Acc = u64;
    type Out = u64;

    fn kind(&self) -> Cow<'static, str> {
        "count".into()
    }

    #[inline(always)]
    fn item(&self, _: &T) {}
    fn empty(&self) -> u64 {
        0
    }
    #[inline(always)]
    fn add(&self, acc: &mut u64, (): ()) {
        *acc += 1;
    }
    fn merge(&self, acc: &mut u64, other: &u64) {
        *acc += other;
    }
    fn finish(&self, acc: &u64) -> u64 {
        *acc
    }
}
