//! How many records are of a kind.

use super::Aggregate;
use alloc::borrow::Cow;

/// Made by [`count_if`].
#[derive(Clone, Copy, Debug)]
pub struct CountIf<P>(P);

/// The number of records for which `predicate` is true: 0 if there are none. It is `filtered(predicate, count()).or_default()` in 8 bytes.
///
/// ```
/// use pelton::{Aggregate, aggregate::count_if};
/// let failed = count_if(|status: &u16| *status >= 500);
/// let mut acc = failed.empty();
/// for status in [200, 503, 500] {
///     failed.add(&mut acc, failed.item(&status));
/// }
/// assert_eq!(failed.finish(&acc), 2);
/// ```
pub fn count_if<P>(predicate: P) -> CountIf<P> {
    CountIf(predicate)
}

impl<T, P: Fn(&T) -> bool + Clone + Send + Sync + 'static> Aggregate<T> for CountIf<P> {
    type Item = bool;
    type Acc = u64;
    type Out = u64;

    fn kind(&self) -> Cow<'static, str> {
        "count_if".into()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> bool {
        (self.0)(record)
    }
    fn empty(&self) -> u64 {
        0
    }
    #[inline(always)]
    fn add(&self, acc: &mut u64, item: bool) {
        *acc += u64::from(item);
    }
    fn merge(&self, acc: &mut u64, other: &u64) {
        *acc += other;
    }
    fn finish(&self, acc: &u64) -> u64 {
        *acc
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::check::check;

    #[test]
    fn it_counts_what_matches() {
        let numbers = [1u64, 2, 3, 4, 5];
        assert_eq!(check(&count_if(|n: &u64| n % 2 == 1), &numbers).as_deref(), Some("3"));
        assert_eq!(check(&count_if(|n: &u64| *n > 5), &numbers).as_deref(), Some("0"));
    }
}
