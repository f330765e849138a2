//! A map that an accumulator is made of: in order, and counted as it grows.
//!
//! It is changed in place and never copied for a record. What keys and values own is counted with each change, so that the figure costs the same
//! however large the map is. Archived it is two lists, keys and values, in the order of the keys: the same bytes however it came about.

use crate::record::heap::{of_nodes, owned};
use crate::record::schema::Schema;
use crate::record::{Archived, Decoder, Encoder, Record, rebuild};
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use rkyv::munge::munge;
use rkyv::rancor::Failure;
use rkyv::tuple::ArchivedTuple2;
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};

/// A map in the order of its keys that counts what it owns: the state of aggregates that keep values.
#[derive(Debug)]
pub struct Entries<K, V> {
    map: BTreeMap<K, V>,
    /// Bytes that keys and values own, beside the nodes of the map.
    owned: usize,
}

impl<K: Record + Clone, V: Record + Clone> Clone for Entries<K, V> {
    fn clone(&self) -> Self {
        let map = self.map.clone();
        // A copy of a list has no more room than it needs, so it owns less.
        let owned = owned_by(&map);
        Entries { map, owned }
    }
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Entries { map: BTreeMap::new(), owned: 0 }
    }
}

impl<K: Record + Ord, V: Record> Entries<K, V> {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// All of them, in the order of the keys.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + ExactSizeIterator {
        self.map.iter()
    }

    /// Has the value of a key changed by `change`: what `empty` gives, if there is none yet.
    #[inline]
    pub(super) fn change(&mut self, key: K, empty: impl FnOnce() -> V, change: impl FnOnce(&mut V)) {
        match self.map.entry(key) {
            Entry::Occupied(mut entry) => change_value(&mut self.owned, entry.get_mut(), change),
            Entry::Vacant(entry) => {
                let mut value = empty();
                change(&mut value);
                self.owned += owned(entry.key()) + owned(&value);
                entry.insert(value);
            }
        }
    }

    /// As [`change`](Self::change), of a key that somebody else has: it is copied if it is new.
    pub(super) fn change_of(&mut self, key: &K, empty: impl FnOnce() -> V, change: impl FnOnce(&mut V))
    where
        K: Clone,
    {
        match self.map.get_mut(key) {
            Some(value) => change_value(&mut self.owned, value, change),
            None => self.change(key.clone(), empty, change),
        }
    }
}

fn owned_by<K: Record, V: Record>(map: &BTreeMap<K, V>) -> usize {
    map.iter().map(|(key, value)| owned(key).saturating_add(owned(value))).sum()
}

#[inline]
fn change_value<V: Record>(owned_by_all: &mut usize, value: &mut V, change: impl FnOnce(&mut V)) {
    let before = owned(value);
    change(value);
    *owned_by_all = (*owned_by_all + owned(value)).saturating_sub(before);
}

/// Counts of keys: how often each was there.
impl<K: Record + Ord> Entries<K, u64> {
    /// Counts one more.
    #[inline]
    pub(super) fn count(&mut self, key: K) {
        self.change(key, || 0, |count| *count += 1);
    }

    /// Adds the counts of another one.
    pub(super) fn add_counts(&mut self, other: &Self)
    where
        K: Clone,
    {
        for (key, more) in other.iter() {
            self.change_of(key, || 0, |count| *count += more);
        }
    }
}

type ArchivedEntries<K, V> = ArchivedTuple2<ArchivedVec<Archived<K>>, ArchivedVec<Archived<V>>>;

impl<K: Archive, V: Archive> Archive for Entries<K, V> {
    type Archived = ArchivedEntries<K, V>;
    type Resolver = (VecResolver, VecResolver);

    fn resolve(&self, (of_keys, of_values): Self::Resolver, out: Place<Self::Archived>) {
        munge!(let ArchivedTuple2(keys, values) = out);
        ArchivedVec::resolve_from_len(self.map.len(), of_keys, keys);
        ArchivedVec::resolve_from_len(self.map.len(), of_values, values);
    }
}

impl<K: Record, V: Record> Serialize<Encoder> for Entries<K, V> {
    fn serialize(&self, encoder: &mut Encoder) -> Result<Self::Resolver, Failure> {
        let keys = ArchivedVec::serialize_from_iter::<K, _, _>(self.map.keys(), encoder)?;
        let values = ArchivedVec::serialize_from_iter::<V, _, _>(self.map.values(), encoder)?;
        Ok((keys, values))
    }
}

impl<K: Record + Ord, V: Record> Deserialize<Entries<K, V>, Decoder> for ArchivedEntries<K, V> {
    fn deserialize(&self, _: &mut Decoder) -> Result<Entries<K, V>, Failure> {
        let ArchivedTuple2(keys, values) = self;
        // Bytes of a disk may say anything: keys without values, or out of order.
        if keys.len() != values.len() {
            return Err(Failure);
        }
        let entry = |(key, value)| Some((rebuild(key)?, rebuild(value)?));
        let entries = keys.iter().zip(values.iter()).map(entry);
        let map: BTreeMap<K, V> = entries.collect::<Option<_>>().ok_or(Failure)?;
        if map.len() != keys.len() {
            return Err(Failure);
        }
        let owned = owned_by(&map);
        Ok(Entries { map, owned })
    }
}

impl<K: Record + Ord, V: Record> Record for Entries<K, V> {
    // Not a `Vec` of pairs, of which a changed program could take a part away: keys that are the same then would be lost.
    const SCHEMA: &'static Schema = &Schema::Generic { name: "Entries", of: &[|| K::SCHEMA, || V::SCHEMA] };

    fn heap_bytes(&self) -> usize {
        of_nodes::<K, V>(self.map.len()).saturating_add(self.owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::convert::Conversion;
    use crate::record::rows::{decode_one, encode_one};
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    fn bytes<T: Record>(value: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_one(&mut bytes, value).unwrap();
        bytes
    }

    #[test]
    fn what_it_owns_is_counted_as_a_map_of_it_is() {
        let mut entries = Entries::<String, Vec<u64>>::default();
        assert_eq!(owned(&entries), 0);
        for n in 0..60u64 {
            let key = "x".repeat((n % 20) as usize + 1);
            entries.change(key.clone(), Vec::new, |list| list.push(n));
            let twin: BTreeMap<String, Vec<u64>> = entries.map.clone();
            assert!(owned(&entries).abs_diff(owned(&twin)) <= owned(&twin) / 3, "{n}");
        }
        let sum: usize = entries.iter().map(|(key, list)| owned(key) + owned(list)).sum();
        assert_eq!(owned(&entries), of_nodes::<String, Vec<u64>>(20) + sum);
        let restored: Entries<String, Vec<u64>> = decode_one(&bytes(&entries)).unwrap();
        assert_eq!(restored.map, entries.map);
        let sum: usize = restored.iter().map(|(key, list)| owned(key) + owned(list)).sum();
        assert_eq!(owned(&restored), of_nodes::<String, Vec<u64>>(20) + sum);
    }

    #[test]
    fn values_without_bytes_and_no_entries_come_back() {
        for count in [0u64, 1, 5, 1_000] {
            let mut entries = Entries::<u64, ()>::default();
            (0..count).rev().for_each(|n| entries.change(n * 3, || (), |()| ()));
            let restored: Entries<u64, ()> = decode_one(&bytes(&entries)).unwrap();
            assert_eq!(restored.map, entries.map);
        }
    }

    /// Two lists of different lengths are no map, and neither are equal keys.
    #[test]
    fn damaged_bytes_are_refused() {
        let lists = |keys: &[u64], values: &[u64]| bytes(&(keys.to_vec(), values.to_vec()));
        assert!(decode_one::<Entries<u64, u64>>(&lists(&[1, 2], &[3, 4])).is_ok());
        assert!(decode_one::<Entries<u64, u64>>(&lists(&[1, 2], &[3])).is_err());
        assert!(decode_one::<Entries<u64, u64>>(&lists(&[1], &[3, 4])).is_err());
        assert!(decode_one::<Entries<u64, u64>>(&lists(&[1, 1], &[3, 4])).is_err());
        let within = |keys: &[u64], values: &[u64]| {
            let inner = alloc::vec![(keys.to_vec(), values.to_vec())];
            decode_one::<Entries<u64, Entries<u64, u64>>>(&bytes(&(alloc::vec![7u64], inner)))
        };
        assert!(within(&[1, 2], &[3, 4]).is_ok());
        assert!(within(&[1, 2], &[3]).is_err());
    }

    #[test]
    fn a_changed_program_does_not_convert_it() {
        let before = <Entries<u32, u64>>::SCHEMA.to_string();
        assert_eq!(before, "Entries<u32, u64>");
        assert!(Conversion::between(&before, "Entries<u64, u64>").is_err());
    }
}
