//! Chance from a seed: streams by name, so that one more draw in one place leaves all others as they were.

use pelton_core::exchange::hash;

/// A stream of random numbers: a counter, hashed with a seed and a name.
///
/// ```
/// use pelton::sim::Chance;
/// let (mut one, mut same) = (Chance::new(7, "producers"), Chance::new(7, "producers"));
/// assert_eq!(one.below(1_000), same.below(1_000));
/// ```
#[derive(Clone, Debug)]
pub struct Chance {
    key: u64,
    drawn: u64,
}

impl Chance {
    /// The stream `name` of a seed.
    pub fn new(seed: u64, name: &str) -> Self {
        Chance { key: hash::join(seed, hash::bytes(name.as_bytes())), drawn: 0 }
    }

    fn next(&mut self) -> u64 {
        self.drawn += 1;
        // Folded once more: one multiplication leaves so much order in a counter that a schedule can leave a shard out for good.
        hash::fold(hash::join(self.key, self.drawn))
    }

    /// Passes over some draws.
    pub fn skip(&mut self, draws: u64) {
        self.drawn += draws;
    }

    /// A number below `bound`; 0 if there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn from_to(&mut self, low: u64, high: u64) -> u64 {
        match high.saturating_sub(low).checked_add(1) {
            Some(numbers) => low + self.below(numbers),
            None => self.next(),
        }
    }

    /// A number from 1 to `high`, of which every order of magnitude is as likely as any other.
    pub fn magnitude(&mut self, high: u64) -> u64 {
        let bits = self.below(u64::from(64 - high.leading_zeros()));
        ((1 << bits) + self.below(1 << bits)).min(high)
    }

    /// True `per_mille` times in a thousand.
    pub fn happens(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }

    /// One of several.
    ///
    /// # Panics
    /// When there are none.
    pub fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}
