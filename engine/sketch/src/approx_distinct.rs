//! How many different values there are, about.

use crate::Registers;
use pelton_core::aggregate::Aggregate;
use pelton_core::record::key::Key;
use std::borrow::Cow;

/// Made by [`approx_distinct`].
#[derive(Clone, Copy, Debug)]
pub struct ApproxDistinct<F>(F);

/// About how many different `f(record)` there are, by a HyperLogLog sketch of 4,096 registers: SQL's `APPROX_COUNT_DISTINCT`. What `f` returns is a
/// [`Key`]; of a float take its `to_bits()`.
///
/// Up to 384 values the result is exact, unless two hashes are alike, of which there is one chance in 2,700. Above that the standard error is 1.6 %:
/// two results in three are as near, and 997 in a thousand within 5 %. It is the same for the same values, whatever their order, the ticks and the
/// shards.
///
/// A key and window takes 4 bytes for each value, and 4 KiB at most, where `distinct` keeps every value. 8 bytes of a record cross, also of text.
///
/// ```
/// use pelton::prelude::*;
///
/// let rows = collect();
/// Job::new("visitors")
///     .source(from_iter(|| (0..100_000u64).map(|n| n * n % 50_021)))
///     .event_time(|_| EventTime::from_secs(1), in_order())
///     .key_by(|_| ())
///     .window(tumbling(secs(60)))
///     .aggregate((distinct(|visitor: &u64| *visitor), approx_distinct(|visitor: &u64| *visitor)))
///     .sink(rows.clone())
///     .run()?;
/// let (exactly, about) = rows.take()[0].value;
/// assert_eq!(exactly, 25_011);
/// assert!(about.abs_diff(exactly) < exactly / 20);
/// # Ok::<(), pelton::JobError>(())
/// ```
pub fn approx_distinct<F>(f: F) -> ApproxDistinct<F> {
    ApproxDistinct(f)
}

/// A key's hash chooses its shard by multiplying, which leaves patterns in it: numbers that follow each other have hashes at equal distances. A sketch
/// takes its bits for random, so they are mixed once more (Austin Appleby's finalizer of MurmurHash3). It never changes, as states are kept.
#[inline]
pub(crate) fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

impl<T, K: Key, F: Fn(&T) -> K + Clone + Send + Sync + 'static> Aggregate<T> for ApproxDistinct<F> {
    type Item = u64;
    type Acc = Registers;
    type Out = u64;

    fn kind(&self) -> Cow<'static, str> {
        "approx_distinct".into()
    }

    #[inline(always)]
    fn item(&self, record: &T) -> u64 {
        mixed((self.0)(record).hash())
    }
    fn empty(&self) -> Registers {
        Registers::default()
    }
    #[inline]
    fn add(&self, acc: &mut Registers, hash: u64) {
        acc.add(hash);
    }
    fn merge(&self, acc: &mut Registers, other: &Registers) {
        acc.merge(other);
    }
    fn finish(&self, acc: &Registers) -> u64 {
        acc.estimate().round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate<K: Key>(keys: impl Iterator<Item = K>) -> u64 {
        let distinct = approx_distinct(|key: &K| key.clone());
        let mut acc = Aggregate::<K>::empty(&distinct);
        keys.for_each(|key| distinct.add(&mut acc, distinct.item(&key)));
        Aggregate::<K>::finish(&distinct, &acc)
    }

    /// Three standard errors; kinds of keys whose hashes have patterns.
    fn check<K: Key>(of: impl Fn(u64) -> K) {
        for count in [1u64, 2, 10, 384] {
            assert_eq!(estimate((0..count).map(&of)), count);
        }
        for count in [385u64, 1_000, 3_000, 10_000, 30_000, 100_000, 500_000] {
            let found = estimate((0..count).map(&of));
            assert!(found.abs_diff(count) as f64 <= count as f64 * 0.049, "{found} for {count}");
        }
    }

    #[test]
    fn it_is_as_near_as_is_said() {
        check(|n| n);
        check(|n| n << 32);
        check(|n| n * 1_000_003);
        check(|n| -(n as i64));
        check(|n| (n / 1_000, n % 1_000));
        check(|n| format!("visitor {n}"));
        check(|n| u128::from(n) << 60);
    }

    /// States are kept, so what a hash is mixed to is a part of their format.
    #[test]
    fn the_mix_never_changes() {
        assert_eq!([0, 1, u64::MAX].map(mixed), [0, 0xb456_bcfc_34c2_cb2c, 0x64b5_720b_4b82_5f21]);
    }
}
