//! Rows that wait, in no order but that in which they came: what an operator holds back for a while and lets go of in an order of its own.
//!
//! Adding and taking cost O(1). The rows of each of 64 parts of the hash space lie together, at places that they keep: a part is what
//! is saved, restored or moved. A place that was freed is used again before a new one is made, the last first.
//!
//! A row has a number for good: how many came before it, and then the shard that it came to. A shard counts on from the highest number of any
//! row that it has or had, so numbers on one shard are in the order in which rows came, and no two anywhere are alike.
//!
//! ```text
//!  number   | 1 | how many came before, and one, 53 bits | the shard, 10 bits |
//!  header   | how many came | blocks |
//!  table    1 and the part: rows (number, hash of the key, row), in the order of their places
//! ```
//!
//! A checkpoint of before numbers had shards has the count alone: its shard is the one that the row comes back from.

use crate::bounds::SHARDS_MAX;
use crate::checkpoint::notes::{Noted, Notes};
use crate::checkpoint::owned::Owned;
use crate::checkpoint::saver::Saver;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::exchange::hash::{fold, join};
use crate::fault::Fault;
use crate::ids::ShardId;
use crate::record::heap::owned;
use crate::record::rows::{decode, encode};
use crate::record::{Record, digest, struct_record};
use crate::state::heap_bytes::{HeapBytes, HeapShare};
use crate::state::keyed::Stretch;
use crate::state::memory::Memory;
use crate::state::slots::Slots;
use crate::state::store::{Extraction, State};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use rkyv::{Archive, Deserialize, Serialize};

/// Parts of the hash space, a power of two.
pub(crate) const RANGES: usize = 1 << RANGE_BITS;
const RANGE_BITS: u32 = 6;
/// Places that are looked at for what moves, and become a block.
const MOVED_ROWS: usize = 256;

/// The bits of a number that say the shard, and the one that says that there are such bits.
const ORIGIN_BITS: u32 = 10;
const HAS_ORIGIN: u64 = 1 << 63;
const _: () = assert!(SHARDS_MAX <= 1 << ORIGIN_BITS);

fn number(count: u64, shard: u64) -> u64 {
    HAS_ORIGIN | count << ORIGIN_BITS | shard
}

/// A row that waits.
#[derive(Archive, Serialize, Deserialize)]
pub(crate) struct Waiting<T> {
    /// Its number: in the order in which rows came.
    pub(crate) arrival: u64,
    /// That of the key, which says where the row lives.
    hash: u64,
    pub(crate) row: T,
}
struct_record!(Waiting<T> { arrival: u64, hash: u64, row: T });

/// Where a row waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BagPlace(u32);

impl BagPlace {
    fn new(range: usize, place: u32) -> Self {
        assert!(place >> (32 - RANGE_BITS) == 0, "2^26 rows of a part that wait");
        BagPlace((range as u32) << (32 - RANGE_BITS) | place)
    }

    fn parts(self) -> (usize, u32) {
        ((self.0 >> (32 - RANGE_BITS)) as usize, self.0 & (u32::MAX >> RANGE_BITS))
    }
}

fn range_of(hash: u64) -> usize {
    (hash >> (64 - RANGE_BITS)) as usize
}

fn stretch_of(range: usize) -> Stretch {
    Stretch { prefix: (range as u64) << (64 - RANGE_BITS), depth: RANGE_BITS }
}

/// See the [module](self).
pub struct Bag<T> {
    ranges: Vec<Slots<Waiting<T>>>,
    len: usize,
    /// The highest count of a row that is or was here, and the shard.
    arrivals: u64,
    shard: ShardId,
    /// What the rows own.
    heap: HeapShare,
    saver: Saver,
    /// Earlier shards that have begun to come, and the highest count that they had: it holds here once all have come, since what this shard gives
    /// others meanwhile says its own.
    earlier: u64,
    coming: u64,
}

impl<T: Record> Bag<T> {
    pub(crate) fn new(memory: &Arc<dyn Memory>, heap: &HeapBytes, shard: ShardId) -> Self {
        let slots = |number| Slots::new(memory.clone(), number as u32 + 1);
        Bag {
            ranges: (0..RANGES).map(slots).collect(),
            len: 0,
            arrivals: 0,
            shard,
            heap: heap.share(),
            saver: Saver::new(memory),
            earlier: 0,
            coming: 0,
        }
    }

    /// Rows that wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a row of a key with `hash`, and returns its place.
    ///
    /// # Errors
    /// When the memory limit refuses the room for it, or a row refuses to be archived that a checkpoint needs as it was.
    pub(crate) fn add(&mut self, hash: u64, row: T) -> Result<BagPlace, Fault> {
        self.arrivals += 1;
        let arrival = number(self.arrivals, self.shard.0.into());
        self.put(Waiting { arrival, hash, row })
    }

    fn put(&mut self, waiting: Waiting<T>) -> Result<BagPlace, Fault> {
        let (range, owned) = (range_of(waiting.hash), owned(&waiting.row));
        let place = self.ranges[range].add(waiting, &mut self.saver)?;
        self.len += 1;
        self.heap.add(owned);
        Ok(BagPlace::new(range, place))
    }

    /// The row at a place.
    #[inline(always)]
    pub(crate) fn get(&self, place: BagPlace) -> &Waiting<T> {
        let (range, place) = place.parts();
        &self.ranges[range][place]
    }

    /// Takes the row at a place away.
    ///
    /// # Errors
    /// When a row refuses to be archived that a checkpoint needs as it was.
    pub(crate) fn take(&mut self, place: BagPlace) -> Result<T, Fault> {
        let (range, place) = place.parts();
        let waiting = self.ranges[range].take(place, &mut self.saver)?;
        self.len -= 1;
        self.heap.sub(owned(&waiting.row));
        Ok(waiting.row)
    }

    /// Every row with its place, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (BagPlace, &Waiting<T>)> {
        let ranges = self.ranges.iter().enumerate();
        ranges.flat_map(|(range, slots)| {
            slots.iter().map(move |(place, row)| (BagPlace::new(range, place), row))
        })
    }

    /// The places of a part of the hash space.
    pub(crate) fn places(&self, part: usize) -> usize {
        self.ranges[part].places()
    }

    /// The rows at some of the places of a part of the hash space.
    pub(crate) fn part(
        &self,
        part: usize,
        places: Range<usize>,
    ) -> impl Iterator<Item = (BagPlace, &Waiting<T>)> {
        let rows = self.ranges[part].among(places);
        rows.map(move |(place, row)| (BagPlace::new(part, place), row))
    }

    fn header(&self) -> Notes {
        let mut header = Notes::default();
        header.number(self.arrivals);
        header
    }
}

impl<T: Record> State for Bag<T> {
    fn freeze(&mut self, full: bool, last_counts: bool) {
        self.saver.freeze(full, last_counts);
        self.saver.set_header(self.header());
        self.ranges.iter_mut().for_each(|slots| slots.freeze(&mut self.saver));
    }

    fn save(&mut self, section: Section, out: &mut dyn SnapshotOut) -> Result<bool, Fault> {
        let Some(mut step) = self.saver.step(section, out) else { return Ok(true) };
        if !step.begin() {
            return Ok(false);
        }
        for slots in &mut self.ranges {
            if !slots.sweep(&mut step)? {
                return Ok(false);
            }
        }
        Ok(step.end())
    }

    fn wants(&self, block: BlockId, owned: &Owned<'_>) -> bool {
        block.table == 0 || !owned.has_none(stretch_of(block.table as usize - 1))
    }

    fn restore(&mut self, block: BlockId, bytes: &[u8], owned: &Owned<'_>) -> Result<(), Fault> {
        if block.table == 0 {
            self.earlier += 1;
            self.coming = self.coming.max(Noted::new(bytes).number()?);
            return Ok(());
        }
        for row in decode::<Waiting<T>>(bytes)? {
            let mut waiting = row?;
            if owned.has(waiting.hash) {
                if waiting.arrival & HAS_ORIGIN == 0 {
                    waiting.arrival = number(waiting.arrival, self.earlier.saturating_sub(1));
                }
                self.put(waiting)?;
            }
        }
        Ok(())
    }

    fn restored(&mut self) -> Result<bool, Fault> {
        self.earlier = 0;
        self.arrivals = self.arrivals.max(core::mem::take(&mut self.coming));
        Ok(true)
    }

    fn extract(&mut self, moving: &Owned<'_>, step: &mut Extraction) -> Result<bool, Fault> {
        while let Some(slots) = self.ranges.get_mut(step.at.0) {
            while step.at.1 < slots.places() && !moving.has_none(stretch_of(step.at.0)) {
                if !step.has_time() {
                    return Ok(false);
                }
                let from = step.at.1;
                step.at.1 = slots.places().min(from + MOVED_ROWS);
                step.count(step.at.1 - from);
                let going = slots.among(from..step.at.1).filter(|(_, waiting)| moving.has(waiting.hash));
                let places: Vec<u32> = going.map(|(place, _)| place).collect();
                if places.is_empty() {
                    continue;
                }
                let mut header = Notes::default();
                header.number(self.arrivals);
                step.header(&header);
                let mut bytes = Vec::new();
                encode(&mut bytes, places.iter().map(|place| &slots[*place]))?;
                step.block(step.at.0 as u32 + 1, (from / MOVED_ROWS) as u32, 0, bytes);
                for place in places {
                    let gone = slots.take(place, &mut self.saver)?;
                    self.len -= 1;
                    self.heap.sub(owned(&gone.row));
                }
            }
            step.count(1);
            step.at = (step.at.0 + 1, 0);
        }
        Ok(true)
    }

    fn digest(&self) -> u64 {
        // A sum, so that places do not show.
        self.iter()
            .fold(fold(0), |sum, (_, waiting)| sum.wrapping_add(join(waiting.arrival, digest(&waiting.row))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::router::Router;
    use crate::state::memory::HeapMemory;

    const SECTION: Section = Section::operator(1, 0);

    /// What two shards saved before numbers said the shard: each counted from 1.
    #[test]
    fn numbers_of_before_are_told_apart_and_come_before_new_ones() {
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let mut bag = Bag::<u64>::new(&memory, &HeapBytes::new(memory.clone()), ShardId(5));
        let alone = Router::with_owners([0].into());
        let owned = Owned::new(&alone, ShardId(0));
        let hash = |row: u64| fold(row);
        for shard in 0..2u64 {
            let mut header = Notes::default();
            header.number(3 + shard);
            bag.restore(BlockId { section: SECTION, table: 0, chunk: 0 }, header.as_slice(), &owned).unwrap();
            for count in 1..=3 + shard {
                let row = 10 * count + shard;
                let mut bytes = Vec::new();
                encode(&mut bytes, [&Waiting { arrival: count, hash: hash(row), row }]).unwrap();
                let id = BlockId { section: SECTION, table: range_of(hash(row)) as u32 + 1, chunk: 0 };
                bag.restore(id, &bytes, &owned).unwrap();
            }
        }
        assert!(bag.restored().unwrap());
        bag.add(hash(99), 99).unwrap();
        let mut rows: Vec<(u64, u64)> =
            bag.iter().map(|(_, waiting)| (waiting.arrival, waiting.row)).collect();
        rows.sort_unstable();
        assert!(rows.windows(2).all(|two| two[0].0 < two[1].0), "two rows have one number");
        let rows: Vec<u64> = rows.into_iter().map(|(_, row)| row).collect();
        assert_eq!(rows, [10, 11, 20, 21, 30, 31, 41, 99]);
    }
}
