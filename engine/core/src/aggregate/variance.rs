//! The variance of a field, and the standard deviation.

use super::rounding::root;
use super::{Aggregate, Moments, Varies};
use alloc::borrow::Cow;

macro_rules! variance {
    ($(#[$doc:meta])* $function:ident, $type:ident, $out:ty, |$moments:ident| $finish:expr) => {
        #[doc = concat!("Made by [`", stringify!($function), "`].")]
        #[derive(Clone, Copy, Debug)]
        pub struct $type<F>(F);

        $(#[$doc])*
        pub fn $function<F>(f: F) -> $type<F> {
            $type(f)
        }

        impl<T, V: Varies, F: Fn(&T) -> V + Clone + Send + Sync + 'static> Aggregate<T> for $type<F> {
            type Item = V;
            type Acc = V::Moments;
            type Out = $out;

            fn kind(&self) -> Cow<'static, str> {
                stringify!($function).into()
            }

            #[inline(always)]
            fn item(&self, record: &T) -> V {
                (self.0)(record)
            }
            fn empty(&self) -> V::Moments {
                V::Moments::default()
            }
            #[inline(always)]
            fn add(&self, acc: &mut V::Moments, item: V) {
                acc.add(item);
            }
            fn merge(&self, acc: &mut V::Moments, other: &V::Moments) {
                acc.merge(other);
            }
            fn finish(&self, $moments: &V::Moments) -> $out {
                $finish
            }
        }
    };
}

/// With Bessel's correction, which one number alone does not have.
fn sample<V: Varies>(moments: &V::Moments) -> Option<f64> {
    let others = moments.count().saturating_sub(1);
    (others > 0).then(|| moments.spread(others))
}

variance! {
    /// The variance of `f(record)` over all records: the mean of the squared distances from the mean. SQL's `VAR_POP`.
    ///
    /// It is exact for integers and floats until it is rounded, once: so it does not depend on the order of the records, and loses nothing where the
    /// numbers are large and differ little. One NaN makes it NaN, as does one infinity. A variance beyond the range of `f64` is infinite.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::var_pop};
    /// let variance = var_pop(|celsius: &f64| *celsius);
    /// let mut acc = variance.empty();
    /// for celsius in [1e15 + 1.0, 1e15 + 2.0, 1e15 + 3.0, 1e15 + 4.0] {
    ///     variance.add(&mut acc, celsius);
    /// }
    /// assert_eq!(variance.finish(&acc), 1.25);
    /// ```
    var_pop, VarPop, f64, |moments| moments.spread(moments.count())
}
variance! {
    /// The variance of `f(record)` with the records taken for a sample: divided by one less than their number; `None` of one record. SQL's `VAR_SAMP`,
    /// which many databases call `VARIANCE`. As exact as [`var_pop`].
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::var_samp};
    /// let variance = var_samp(|cents: &u64| *cents);
    /// let mut acc = variance.empty();
    /// variance.add(&mut acc, 2);
    /// assert_eq!(variance.finish(&acc), None);
    /// variance.add(&mut acc, 4);
    /// assert_eq!(variance.finish(&acc), Some(2.0));
    /// ```
    var_samp, VarSamp, Option<f64>, |moments| sample::<V>(moments)
}
variance! {
    /// The standard deviation of `f(record)` over all records: the square root of [`var_pop`], which is rounded once more. SQL's `STDDEV_POP`.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::stddev_pop};
    /// let deviation = stddev_pop(|cents: &i64| *cents);
    /// let mut acc = deviation.empty();
    /// deviation.add(&mut acc, -3);
    /// deviation.add(&mut acc, 3);
    /// assert_eq!(deviation.finish(&acc), 3.0);
    /// ```
    stddev_pop, StddevPop, f64, |moments| root(moments.spread(moments.count()))
}
variance! {
    /// The standard deviation of `f(record)` with the records taken for a sample: the square root of [`var_samp`]; `None` of one record. SQL's
    /// `STDDEV_SAMP`, which many databases call `STDDEV`.
    ///
    /// ```
    /// use pelton::{Aggregate, aggregate::stddev_samp};
    /// let deviation = stddev_samp(|cents: &i64| *cents);
    /// let mut acc = deviation.empty();
    /// for cents in [1, 1, 5, 5, 3] {
    ///     deviation.add(&mut acc, cents);
    /// }
    /// assert_eq!(deviation.finish(&acc), Some(2.0));
    /// ```
    stddev_samp, StddevSamp, Option<f64>, |moments| sample::<V>(moments).map(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::check::check;
    use crate::exchange::hash::fold;
    use alloc::format;
    use alloc::vec::Vec;

    type Four = (f64, Option<f64>, f64, Option<f64>);

    /// All four of the numbers, in whatever order.
    fn of<V: Varies>(numbers: &[V]) -> Four {
        let id = |value: &V| *value;
        let four = (var_pop(id), var_samp(id), stddev_pop(id), stddev_samp(id));
        let mut acc = Aggregate::<V>::empty(&four);
        numbers.iter().for_each(|number| four.add(&mut acc, four.item(number)));
        let found = Aggregate::<V>::finish(&four, &acc);
        assert_eq!(check(&four, numbers), Some(format!("{found:?}")));
        found
    }

    /// By the definition, in integers: numbers small enough that all fits into 128 bits.
    fn twin(numbers: &[i64]) -> (f64, Option<f64>) {
        let count = numbers.len() as i128;
        let sum: i128 = numbers.iter().map(|n| i128::from(*n)).sum();
        let squares: i128 = numbers.iter().map(|n| i128::from(*n) * i128::from(*n)).sum();
        let distance = (count * squares - sum * sum) as u128;
        let divided = |by: i128| {
            let by = by as u128;
            let wide = distance << 40;
            // More bits than an f64 has, so of the rest it only matters whether there is one.
            assert!((wide / by) >> 60 > 0 || wide.is_multiple_of(by));
            ((wide / by) | u128::from(!wide.is_multiple_of(by))) as f64 / (1u64 << 40) as f64
        };
        (divided(count * count), (count > 1).then(|| divided(count * (count - 1))))
    }

    #[test]
    fn integers_and_floats_are_as_the_definition_says() {
        for seed in 0..20u64 {
            let numbers: Vec<i64> =
                (0..2 + seed * 5).map(|n| fold(seed << 20 | n) as i64 >> (28 + seed % 3)).collect();
            let (pop, samp) = twin(&numbers);
            let expected = (pop, samp, pop.sqrt(), samp.map(f64::sqrt));
            assert_eq!(of(&numbers), expected, "seed {seed}");
            // Halves of powers of two scale the result and nothing else.
            let floats: Vec<f64> = numbers.iter().map(|n| *n as f64 / 1_024.0).collect();
            let found = of(&floats);
            assert_eq!((found.0 * 1_048_576.0, found.1.map(|v| v * 1_048_576.0)), (pop, samp), "seed {seed}");
            let apart: Vec<f64> = numbers.iter().map(|n| (n >> 20) as f64 + 2f64.powi(51)).collect();
            let near: Vec<i64> = numbers.iter().map(|n| n >> 20).collect();
            assert_eq!(of(&apart), of(&near), "an offset does not show: seed {seed}");
        }
    }

    #[test]
    fn the_ends_of_the_types() {
        assert_eq!(of(&[7u8]), (0.0, None, 0.0, None));
        assert_eq!(of(&[u8::MAX, 0]), (16_256.25, Some(32_512.5), 127.5, Some(32_512.5f64.sqrt())));
        let quarter = 2f64.powi(126);
        assert_eq!(of(&[u64::MAX, 0]).0, quarter);
        assert_eq!(of(&[i64::MIN, i64::MAX, i64::MIN, i64::MAX]).0, quarter);
        assert_eq!(of(&[i64::MIN; 5]), (0.0, Some(0.0), 0.0, Some(0.0)));
        assert_eq!(of(&[f32::MAX; 3]).0, 0.0);
        assert_eq!(of(&[f64::MAX; 3]), (0.0, Some(0.0), 0.0, Some(0.0)));
        assert_eq!(of(&[f64::MAX, f64::MIN]).0, f64::INFINITY);
        assert_eq!(of(&[1e-170, -1e-170]).0, 0.0, "below the least float");
        assert_eq!(of(&[2f64.powi(-537), -(2f64.powi(-537))]).0, 5e-324);
        assert_eq!(of(&[0.0, -0.0]).0.to_bits(), 0);
    }

    #[test]
    fn one_number_that_is_none_decides() {
        for odd in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let (pop, samp, deviation, of_sample) = of(&[1.0, odd, 2.0]);
            assert!(pop.is_nan() && deviation.is_nan());
            assert!(samp.unwrap().is_nan() && of_sample.unwrap().is_nan());
            assert!(of(&[odd]).0.is_nan() && of(&[odd]).1.is_none());
        }
    }

    #[test]
    fn what_it_costs_is_what_is_said() {
        assert_eq!(size_of::<crate::aggregate::IntegerMoments>(), 48);
        assert_eq!(size_of::<crate::aggregate::FloatMoments>(), 8 + 296 + 536);
    }
}
