//! What may be a key: a record with a fixed hash, an order, and an order-preserving prefix for sorting.

use crate::exchange::hash;
use crate::ids::EventTime;
use crate::record::Record;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use rkyv::Archive;

/// A value that records can be grouped by.
///
/// Integers, `bool`, `char`, `String`, [`EventTime`], `Option`s, arrays and tuples of keys are keys;
/// `#[pelton::record(key)]` makes one of a struct. Floats are not: they have no total order that equality agrees with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "this type is not a `Key`",
    note = "integers, `bool`, `char`, `String`, `EventTime`, and options, arrays and tuples of them are keys; \
            for a struct of your own use `#[pelton::record(key)]` and derive `Clone, PartialEq, Eq, PartialOrd, Ord`"
)]
pub trait Key: Record + Clone + Ord {
    /// The partition hash. Part of the format of logs and checkpoints: it never changes for a type.
    fn hash(&self) -> u64;

    /// A number that orders as the key does: `a < b` implies `a.prefix() <= b.prefix()`.
    fn prefix(&self) -> u64;

    /// Whether an archived key is this key.
    fn is(&self, archived: &<Self as Archive>::Archived) -> bool;

    /// The key for a message. What cannot be printed is told by its hash, which is the default.
    fn describe(&self) -> String {
        format!("of hash {:#018x}", self.hash())
    }
}

macro_rules! integers {
    ($($type:ty => $unsigned:ty, $flip:expr;)*) => { $(
        impl Key for $type {
            #[inline(always)]
            fn hash(&self) -> u64 {
                hash::fold(*self as u64)
            }
            #[inline(always)]
            fn prefix(&self) -> u64 {
                u64::from(*self as $unsigned ^ $flip)
            }
            #[inline(always)]
            fn is(&self, archived: &<Self as Archive>::Archived) -> bool {
                archived == self
            }
            fn describe(&self) -> String {
                self.to_string()
            }
        }
    )* };
}
integers! {
    u8 => u8, 0; u16 => u16, 0; u32 => u32, 0; u64 => u64, 0;
    i8 => u8, 1 << 7; i16 => u16, 1 << 15; i32 => u32, 1 << 31; i64 => u64, 1 << 63;
}

macro_rules! wide_integers {
    ($($type:ty => $flip:expr;)*) => { $(
        impl Key for $type {
            fn hash(&self) -> u64 {
                hash::join(hash::fold((*self >> 64) as u64), hash::fold(*self as u64))
            }
            fn prefix(&self) -> u64 {
                ((*self >> 64) as u64) ^ $flip
            }
            fn is(&self, archived: &<Self as Archive>::Archived) -> bool {
                archived == self
            }
            fn describe(&self) -> String {
                self.to_string()
            }
        }
    )* };
}
wide_integers! { u128 => 0; i128 => 1 << 63; }

impl Key for () {
    fn hash(&self) -> u64 {
        hash::fold(0)
    }
    fn prefix(&self) -> u64 {
        0
    }
    fn is(&self, _: &()) -> bool {
        true
    }
    fn describe(&self) -> String {
        "()".to_string()
    }
}

impl Key for bool {
    fn hash(&self) -> u64 {
        hash::fold(u64::from(*self))
    }
    fn prefix(&self) -> u64 {
        u64::from(*self)
    }
    fn is(&self, archived: &bool) -> bool {
        self == archived
    }
    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Key for char {
    fn hash(&self) -> u64 {
        hash::fold(u64::from(u32::from(*self)))
    }
    fn prefix(&self) -> u64 {
        u64::from(u32::from(*self))
    }
    fn is(&self, archived: &<Self as Archive>::Archived) -> bool {
        *archived == *self
    }
    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

impl Key for EventTime {
    #[inline(always)]
    fn hash(&self) -> u64 {
        self.0.hash()
    }
    #[inline(always)]
    fn prefix(&self) -> u64 {
        self.0.prefix()
    }
    #[inline(always)]
    fn is(&self, archived: &<Self as Archive>::Archived) -> bool {
        self.0.is(&archived.0)
    }
    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

impl Key for String {
    fn hash(&self) -> u64 {
        hash::bytes(self.as_bytes())
    }
    fn prefix(&self) -> u64 {
        let mut word = [0; 8];
        let len = self.len().min(8);
        word[..len].copy_from_slice(&self.as_bytes()[..len]);
        u64::from_be_bytes(word)
    }
    fn is(&self, archived: &<Self as Archive>::Archived) -> bool {
        archived.as_str() == self.as_str()
    }
    fn describe(&self) -> String {
        // In quotes, on one line, and no longer than a glance takes.
        match self.char_indices().nth(60) {
            Some((end, _)) => format!("{:?}...", &self[..end]),
            None => format!("{self:?}"),
        }
    }
}

impl<K: Key> Key for Option<K> {
    fn hash(&self) -> u64 {
        self.as_ref().map_or(hash::fold(0), |key| hash::join(1, key.hash()))
    }
    fn prefix(&self) -> u64 {
        // Halving keeps the order and makes room for `None`, which sorts first.
        self.as_ref().map_or(0, |key| (key.prefix() >> 1) | 1 << 63)
    }
    fn is(&self, archived: &<Self as Archive>::Archived) -> bool {
        match (self, archived.as_ref()) {
            (Some(key), Some(archived)) => key.is(archived),
            (None, None) => true,
            _ => false,
        }
    }
    fn describe(&self) -> String {
        self.as_ref().map_or("None".to_string(), |key| format!("Some({})", key.describe()))
    }
}

impl<K: Key, const N: usize> Key for [K; N] {
    fn hash(&self) -> u64 {
        self.iter().fold(N as u64, |hash, key| hash::join(hash, key.hash()))
    }
    fn prefix(&self) -> u64 {
        self.first().map_or(0, Key::prefix)
    }
    fn is(&self, archived: &<Self as Archive>::Archived) -> bool {
        self.iter().zip(archived.iter()).all(|(key, archived)| key.is(archived))
    }
    fn describe(&self) -> String {
        let keys: Vec<String> = self.iter().map(Key::describe).collect();
        format!("[{}]", keys.join(", "))
    }
}

macro_rules! tuples {
    ($($first:ident $first_index:tt $(, $name:ident $index:tt)*;)*) => { $(
        impl<$first: Key $(, $name: Key)*> Key for ($first, $($name,)*) {
            fn hash(&self) -> u64 {
                let hash = self.$first_index.hash();
                $(let hash = hash::join(hash, self.$index.hash());)*
                hash
            }
            fn prefix(&self) -> u64 {
                self.$first_index.prefix()
            }
            fn is(&self, archived: &<Self as Archive>::Archived) -> bool {
                self.$first_index.is(&archived.$first_index) $(&& self.$index.is(&archived.$index))*
            }
            fn describe(&self) -> String {
                let keys = [self.$first_index.describe() $(, self.$index.describe())*];
                format!("({})", keys.join(", "))
            }
        }
    )* };
}
tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders<K: Key + core::fmt::Debug>(mut keys: alloc::vec::Vec<K>) {
        keys.sort();
        for pair in keys.windows(2) {
            assert!(pair[0].prefix() <= pair[1].prefix(), "{pair:?}");
        }
    }

    #[test]
    fn prefixes_order_as_keys_do() {
        orders(alloc::vec![i64::MIN, -1, 0, 1, i64::MAX]);
        orders(alloc::vec![-128i8, -1, 0, 127]);
        orders(alloc::vec![i128::MIN, -1, 0, 1, i128::MAX]);
        orders(["", "a", "ab", "abcdefgh", "abcdefghi", "b", "é"].map(String::from).to_vec());
        orders(alloc::vec![None, Some(i32::MIN), Some(0), Some(i32::MAX)]);
        orders(alloc::vec![(1u8, 9u8), (2, 1), (2, 3)]);
    }

    #[test]
    fn keys_are_told_in_messages() {
        let long = "é".repeat(100);
        assert_eq!((1u8, Some(-2i64), [true, false]).describe(), "(1, Some(-2), [true, false])");
        assert_eq!(("a\nb".to_string(), 'c').describe(), "(\"a\\nb\", 'c')");
        assert_eq!(long.describe().chars().count(), 65);
        assert_eq!(None::<u128>.describe(), "None");
    }

    #[test]
    fn equal_keys_of_different_shape_hash_apart() {
        assert_ne!((1u64, 2u64).hash(), (2u64, 1u64).hash());
        assert_ne!(Some(0u64).hash(), None::<u64>.hash());
    }
}
