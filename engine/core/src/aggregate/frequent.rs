//! The most frequent values.

use super::Aggregate;
use super::entries::Entries;
use crate::record::key::Key;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Made by [`most_frequent`].
#[derive(Clone, Copy, Debug)]
pub struct MostFrequent<F> {
    k: usize,
    f: F,
}

/// The `k` most frequent `f(record)` with their numbers, exactly, the most frequent first; of several as frequent as each other the least first.
///
/// All values are counted until the window closes, and count against the memory limit: some 25 bytes for each integer, and what texts own.
///
/// ```
/// use pelton::{Aggregate, aggregate::most_frequent};
/// let words = most_frequent(2, |word: &String| word.clone());
/// let mut acc = words.empty();
/// for word in ["fig", "plum", "pear", "plum"] {
///     words.add(&mut acc, word.to_string());
/// }
/// assert_eq!(words.finish(&acc), [("plum".to_string(), 2), ("fig".to_string(), 1)]);
/// ```
///
/// # Panics
/// When `k` is 0.
pub fn most_frequent<F>(k: usize, f: F) -> MostFrequent<F> {
    assert!(k > 0, "most_frequent(0, ..) shows nothing: say how many");
    MostFrequent { k, f }
}

impl<T, K: Key, F: Fn(&T) -> K + Clone + Send + Sync + 'static> Aggregate<T> for MostFrequent<F> {
    type Item = K;
    type Acc = Entries<K, u64>;
    type Out = Vec<(K, u64)>;

    // All are counted, whatever the number that is shown.
    fn kind(&self) -> Cow<'static, str> {
        "most_frequent".into()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> K {
        (self.f)(record)
    }
    fn empty(&self) -> Self::Acc {
        Entries::default()
    }
    #[inline]
    fn add(&self, acc: &mut Self::Acc, item: K) {
        acc.count(item);
    }
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
        acc.add_counts(other);
    }
    fn finish(&self, acc: &Self::Acc) -> Self::Out {
        let mut all: Vec<(&K, u64)> = acc.iter().map(|(value, count)| (value, *count)).collect();
        let order = |(value, count): &(&K, u64), (other, of_other): &(&K, u64)| {
            Reverse(*count).cmp(&Reverse(*of_other)).then_with(|| value.cmp(other))
        };
        if self.k < all.len() {
            all.select_nth_unstable_by(self.k, order);
            all.truncate(self.k);
        }
        all.sort_unstable_by(order);
        all.into_iter().map(|(value, count)| (value.clone(), count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::check::check;
    use crate::exchange::hash::fold;
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::string::{String, ToString};

    #[test]
    fn they_are_the_most_frequent_and_the_least_of_several() {
        for values in [1u64, 5, 60, 1 << 40] {
            let texts: Vec<String> =
                (0..250).map(|n| (fold(n) % values).min(fold(n + 1_000) % values).to_string()).collect();
            let mut counts: BTreeMap<&String, u64> = BTreeMap::new();
            texts.iter().for_each(|text| *counts.entry(text).or_default() += 1);
            let mut all: Vec<(&String, u64)> = counts.into_iter().collect();
            all.sort_by_key(|(text, count)| (Reverse(*count), *text));
            for k in [1, 3, 250] {
                let expected = format!("{:?}", &all[..k.min(all.len())]);
                assert_eq!(check(&most_frequent(k, |text: &String| text.clone()), &texts), Some(expected));
            }
        }
    }
}
