//! Keys that somebody has chosen so that their hashes agree in many bits: what they cost beside ordinary ones, counted and not timed.

use super::*;
use crate::exchange::hash::fold;
use crate::record::struct_record;
use crate::state::memory::{HeapMemory, Memory};
use alloc::sync::Arc;
use rkyv::{Archive, Deserialize, Serialize};

/// A key that is its own hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub(crate) struct Chosen {
    pub(crate) hash: u64,
}
struct_record!(Chosen { hash: u64 });

impl Key for Chosen {
    fn hash(&self) -> u64 {
        self.hash
    }
    fn prefix(&self) -> u64 {
        self.hash
    }
    fn is(&self, archived: &ArchivedChosen) -> bool {
        archived.hash == self.hash
    }
}

/// The hash of each number.
type Hashes = fn(u64) -> u64;

/// Sets of hashes, by what they have in common; the first is ordinary.
pub(crate) const SETS: [(&str, Hashes); 6] = [
    ("ordinary", fold),
    ("equal low 32 bits", |key| key << 32),
    ("equal low 44 bits", |key| key << 44),
    ("equal high 34 bits, of one key group, and equal low 10", |key| key << 10),
    ("equal high 24 bits, of one key group, and equal low 20", |key| 0x155 << 54 | key << 20),
    ("what is left counts up from below: equal high 44", |key| key),
];

/// What a table of so many keys cost, for each of them.
#[derive(Debug)]
struct Cost {
    /// Lines that are looked at to find a key, and other entries whose tag is that of the key.
    looks: f64,
    /// Entries that were moved and put in an index again as leaves grew, and places of the directory that were copied.
    moved: f64,
    /// Bytes of all slabs and of the directory.
    bytes: f64,
}

fn cost(hash: Hashes, keys: u64) -> Cost {
    let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
    let (mut saver, mut table) =
        (Saver::new(&memory), KeyedTable::<Chosen, u64>::new(Slabs::new(memory.clone())));
    let (mut moved, mut leaves, mut places) = (0, 0, 0);
    for key in 0..keys {
        let key = Chosen { hash: hash(key) };
        let capacity = |table: &KeyedTable<_, _>| {
            table
                .directory
                .get(table.slot(key.hash))
                .map_or(0, |probe| table.nodes[probe.leaf as usize].leaf.capacity())
        };
        let before = capacity(&table);
        table.place(key.hash, &mut saver, |k| *k == key, || (key, 0)).unwrap();
        // A leaf may be divided more than once before there is room on one side.
        moved += (table.leaves() - leaves) * Leaf::<Chosen, u64>::ENTRIES_MAX;
        if table.leaves() == leaves && capacity(&table) > before {
            moved += before;
        }
        if table.directory.len() > places {
            moved += table.directory.len();
        }
        (leaves, places) = (table.leaves(), table.directory.len());
    }
    assert_eq!(table.len() as u64, keys);
    let looks: usize = table
        .iter()
        .map(|(key, _)| {
            let leaf = &table.nodes[table.directory[table.slot(key.hash)].leaf as usize].leaf;
            leaf.looks(Mixed::new(key.hash), |other| other == key)
        })
        .sum();
    let bytes: usize = table.nodes.iter().map(|node| node.leaf.slab_bytes()).sum();
    let bytes = bytes + table.directory.len() * size_of::<Probe>();
    let each = |sum: usize| sum as f64 / keys as f64;
    Cost { looks: each(looks), moved: each(moved), bytes: each(bytes) }
}

/// The promise is three times; what is counted is far from it.
#[test]
fn chosen_keys_cost_at_most_three_times_what_ordinary_ones_do() {
    let keys = 400_000;
    let ordinary = cost(SETS[0].1, keys);
    assert!(ordinary.looks >= 1.0 && ordinary.moved > 0.0, "{ordinary:?}");
    for (what, hash) in SETS {
        let chosen = cost(hash, keys);
        extern crate std;
        std::println!("{what}: {chosen:.3?}");
        for (what_of_it, chosen, ordinary) in [
            ("looks", chosen.looks, ordinary.looks),
            ("moved", chosen.moved, ordinary.moved),
            ("bytes", chosen.bytes, ordinary.bytes),
        ] {
            assert!(chosen <= 3.0 * ordinary, "{what}: {chosen} {what_of_it} for a key, beside {ordinary}");
        }
    }
}
