//! The state of a HyperLogLog sketch (P. Flajolet and others, 2007), as Apache DataSketches lays it out.
//!
//! A hash is cut into a slot of 26 bits and the number of leading zeros in the other 38, plus one. While there are few of these pairs, the *coupons*,
//! they are kept as they are, sorted: that is exact but for hashes that are alike. When there are more, each of 4,096 registers keeps the largest
//! number of zeros in its slots. Both are a function of the set of hashes, and so are the bytes, whatever the order; that is why the sketch of the
//! library is not kept itself: its lists are in the order of arrival, and so is its usual estimator (HIP).
//!
//! ```text
//!  hash     | zeros, then 1, then what is left: 38 | slot 26: the last 12 are the register |
//!  coupon   | zeros + 1: 6 | slot 26 |
//! ```

use datasketches::hll::HllSketch;
use pelton_core::Record;
use pelton_core::record::Decoder;
use pelton_core::record::heap::owned;
use pelton_core::record::schema::{Field, Schema};
use rkyv::rancor::Failure;
use rkyv::{Archive, Deserialize, Serialize};

/// Registers, as a power of two: the standard error is 1.04 / 2^(12 / 2), 1.6 %.
const LG_REGISTERS: u8 = 12;
const REGISTERS: usize = 1 << LG_REGISTERS;
/// Coupons that are kept as they are: as many as the library keeps.
const COUPONS_MAX: usize = REGISTERS / 8 * 3 / 4;
const SLOT_BITS: u32 = 26;
/// Leading zeros in the other bits, plus one.
const ZEROS_MAX: u8 = (u64::BITS - SLOT_BITS) as u8 + 1;
const SLOT: u32 = (1 << SLOT_BITS) - 1;

/// What is kept of the hashes of some values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize)]
pub struct Registers {
    /// Sorted, and without two that are alike; none once there are registers.
    coupons: Vec<u32>,
    /// None as long as there are few coupons.
    registers: Vec<u8>,
}

impl Deserialize<Registers, Decoder> for ArchivedRegisters {
    fn deserialize(&self, decoder: &mut Decoder) -> Result<Registers, Failure> {
        let coupons: Vec<u32> = self.coupons.deserialize(decoder)?;
        let registers: Vec<u8> = self.registers.deserialize(decoder)?;
        // Bytes of a disk may say anything; the library is given what makes a sketch.
        let few = registers.is_empty() && coupons.len() <= COUPONS_MAX;
        let many = registers.len() == REGISTERS && coupons.is_empty();
        let sorted = coupons.windows(2).all(|pair| pair[0] < pair[1]);
        let zeros = coupons.iter().all(|coupon| (1..=ZEROS_MAX).contains(&((coupon >> SLOT_BITS) as u8)))
            && registers.iter().all(|zeros| *zeros <= ZEROS_MAX);
        if (few || many) && sorted && zeros { Ok(Registers { coupons, registers }) } else { Err(Failure) }
    }
}

impl Record for Registers {
    const SCHEMA: &'static Schema = &Schema::Struct {
        id: core::any::TypeId::of::<Self>(),
        name: "Registers",
        fields: &[Field::of::<Vec<u32>>("coupons"), Field::of::<Vec<u8>>("registers")],
    };

    fn heap_bytes(&self) -> usize {
        owned(&self.coupons) + owned(&self.registers)
    }
}

impl Registers {
    /// Adds the hash of a value. Its bits should be as good as random.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        let zeros = (hash >> SLOT_BITS).leading_zeros() - SLOT_BITS;
        self.add_coupon((zeros + 1) << SLOT_BITS | hash as u32 & SLOT);
    }

    fn add_coupon(&mut self, coupon: u32) {
        if !self.registers.is_empty() {
            return self.raise(coupon);
        }
        let Err(at) = self.coupons.binary_search(&coupon) else { return };
        self.coupons.insert(at, coupon);
        if self.coupons.len() > COUPONS_MAX {
            self.registers = vec![0; REGISTERS];
            for coupon in core::mem::take(&mut self.coupons) {
                self.raise(coupon);
            }
        }
    }

    #[inline]
    fn raise(&mut self, coupon: u32) {
        let (slot, zeros) = (coupon as usize % REGISTERS, (coupon >> SLOT_BITS) as u8);
        if let Some(register) = self.registers.get_mut(slot) {
            *register = zeros.max(*register);
        }
    }

    /// Adds the hashes of another one.
    pub fn merge(&mut self, other: &Registers) {
        other.coupons.iter().for_each(|coupon| self.add_coupon(*coupon));
        if other.registers.is_empty() {
            return;
        }
        if self.registers.is_empty() {
            self.registers = vec![0; REGISTERS];
            for coupon in core::mem::take(&mut self.coupons) {
                self.raise(coupon);
            }
        }
        for (register, other) in self.registers.iter_mut().zip(&other.registers) {
            *register = (*register).max(*other);
        }
    }

    /// How many different hashes were added, about.
    pub fn estimate(&self) -> f64 {
        let sketch = HllSketch::deserialize(&self.image());
        // The other estimator goes by the order of arrival, which is not known.
        sketch.expect("a sketch in the layout of the library").composite_estimate()
    }

    /// The sketch as every DataSketches library writes it, but for the hash: the mode `SET` of coupons, and 8 bits for each register of the mode `HLL`.
    fn image(&self) -> Vec<u8> {
        const VERSION: u8 = 1;
        const FAMILY: u8 = 7;
        const COMPACT: u8 = 8;
        const OUT_OF_ORDER: u8 = 16;
        const EIGHT_BITS: u8 = 2 << 2;
        if self.registers.is_empty() {
            let lg_places = LG_REGISTERS - 3;
            let mut image = vec![3, VERSION, FAMILY, LG_REGISTERS, lg_places, COMPACT, 0, EIGHT_BITS | 1];
            image.extend((self.coupons.len() as u32).to_le_bytes());
            self.coupons.iter().for_each(|coupon| image.extend(coupon.to_le_bytes()));
            return image;
        }
        // Sums of powers of two, in two parts: each has so few bits that it is exact in whatever order it is added up.
        let inverse = |range: core::ops::Range<u8>| -> f64 {
            let within = self.registers.iter().filter(|zeros| range.contains(zeros));
            within.map(|zeros| f64::from_bits((1_023 - u64::from(*zeros)) << 52)).sum()
        };
        let empty = self.registers.iter().filter(|zeros| **zeros == 0).count() as u32;
        let mut image = vec![10, VERSION, FAMILY, LG_REGISTERS, 0, OUT_OF_ORDER, 0, EIGHT_BITS | 2];
        for number in [0.0, inverse(0..32), inverse(32..64)] {
            image.extend(number.to_le_bytes());
        }
        image.extend(empty.to_le_bytes());
        image.extend(0u32.to_le_bytes());
        image.extend(&self.registers);
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approx_distinct::mixed;
    use datasketches::hll::HllType;
    use pelton_core::record::rows::{decode_one, encode_one};

    fn bytes(registers: &Registers) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_one(&mut bytes, registers).unwrap();
        bytes
    }

    #[test]
    fn neither_order_nor_grouping_shows() {
        for count in [0u64, 1, 100, COUPONS_MAX as u64, COUPONS_MAX as u64 + 1, 1_000, 30_000] {
            let mut plain = Registers::default();
            (0..count).for_each(|n| plain.add(mixed(n)));
            assert_eq!(plain.registers.is_empty(), count <= COUPONS_MAX as u64, "{count}");
            for parts in 1..5u64 {
                let mut split: Vec<Registers> = vec![Registers::default(); parts as usize];
                for n in (0..count).rev() {
                    // Some values on several parts, and some twice.
                    split[(mixed(n) % parts) as usize].add(mixed(n));
                    split[(n % parts) as usize].add(mixed(n / 2));
                }
                let mut merged = Registers::default();
                for part in split.iter().rev() {
                    merged.merge(&decode_one(&bytes(part)).unwrap());
                }
                assert_eq!(bytes(&merged), bytes(&plain), "{count} in {parts} parts");
                assert_eq!(merged.estimate().to_bits(), plain.estimate().to_bits());
            }
        }
    }

    /// The library's own sketch, read by this crate: the two mean the same by each byte.
    #[test]
    fn the_layout_is_that_of_the_library() {
        for count in [1_000u64, 4_000, 20_000, 3_000_000] {
            let mut theirs = HllSketch::new(LG_REGISTERS, HllType::Hll8).unwrap();
            (0..count).for_each(|n| theirs.update(n));
            let image = theirs.serialize();
            let ours = Registers { coupons: Vec::new(), registers: image[40..].to_vec() };
            assert_eq!(ours.registers.len(), REGISTERS);
            assert_eq!(ours.estimate().to_bits(), theirs.composite_estimate().to_bits(), "{count}");
        }
        for count in [9u64, 20, 300] {
            let mut theirs = HllSketch::new(LG_REGISTERS, HllType::Hll8).unwrap();
            (0..count).for_each(|n| theirs.update(n));
            let coupons = theirs.serialize()[12..]
                .chunks(4)
                .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
                .collect();
            let mut ours = Registers { coupons, registers: Vec::new() };
            ours.coupons.sort_unstable();
            assert_eq!(ours.estimate().to_bits(), theirs.estimate().to_bits(), "{count}");
        }
        assert_eq!(Registers::default().estimate(), 0.0);
    }

    #[test]
    fn what_it_owns_is_a_few_kib_at_most() {
        let mut registers = Registers::default();
        let mut most = 0;
        for n in 0..100_000 {
            registers.add(mixed(n));
            most = most.max(registers.heap_bytes());
        }
        assert!((4_096..=4_200).contains(&most), "{most}");
        assert_eq!(registers.heap_bytes(), most);
    }

    #[test]
    fn bytes_that_are_no_sketch_are_refused() {
        let coupon = |zeros: u32, slot: u32| zeros << SLOT_BITS | slot;
        let few = |coupons: &[u32]| Registers { coupons: coupons.to_vec(), registers: Vec::new() };
        let many = |registers: Vec<u8>| Registers { coupons: Vec::new(), registers };
        let ascending = |count: u32| (0..count).map(|slot| coupon(1, slot)).collect::<Vec<_>>();
        let read = |registers: &Registers| decode_one::<Registers>(&bytes(registers));
        for right in
            [few(&[]), few(&[coupon(1, 5), coupon(39, 0)]), few(&ascending(384)), many(vec![39; REGISTERS])]
        {
            assert_eq!(read(&right).unwrap(), right);
            assert!(right.estimate().is_finite());
        }
        let both = Registers { coupons: vec![coupon(1, 0)], registers: vec![0; REGISTERS] };
        let wrong = [
            few(&[coupon(1, 5), coupon(1, 5)]),
            few(&[coupon(2, 0), coupon(1, 0)]),
            few(&[coupon(0, 1)]),
            few(&[coupon(40, 1)]),
            few(&ascending(385)),
            many(vec![0; 10]),
            many(vec![40; REGISTERS]),
            both,
        ];
        wrong.iter().for_each(|wrong| assert!(read(wrong).is_err(), "{wrong:?}"));
    }
}
