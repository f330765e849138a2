//! Rows that wait, in no order but that in which they came: what an operator holds back for a while and lets go of in an order of its own.
//!
//! Adding and taking cost O(1). The rows of each of 64 parts of the hash space lie together, at places that they keep: a part is what
//! is saved, restored or moved. A place that was freed is used again before a new one is made, the last first.
//!
//! Rows are numbered as they come. Where those of several shards meet they are numbered anew, in the order (number on the earlier shard,
//! earlier shard), so that those of one shard keep their order and there are no two alike.
//!
//! ```text
//!  header   | the last number | blocks |
//!  table    1 and the part: rows (number, hash of the key, row), in the order of their places
//! ```

use crate::checkpoint::notes::{Noted, Notes};
use crate::checkpoint::owned::Owned;
use crate::checkpoint::saver::Saver;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::exchange::hash::{fold, join};
use crate::fault::Fault;
use crate::record::heap::owned;
use crate::record::rows::{decode, encode};
use crate::record::{Record, digest, struct_record};
use crate::state::heap_bytes::{HeapBytes, HeapShare};
use crate::state::keyed::Stretch;
use crate::state::memory::{Buf, Memory};
use crate::state::slots::Slots;
use crate::state::store::{MovedBlocks, State, put_header};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rkyv::{Archive, Deserialize, Serialize};

/// Parts of the hash space, a power of two.
const RANGES: usize = 1 << RANGE_BITS;
const RANGE_BITS: u32 = 6;
/// Rows of a part that moves, in a block.
const MOVED_ROWS: usize = 256;

/// A row that waits.
#[derive(Archive, Serialize, Deserialize)]
pub(crate) struct Waiting<T> {
    /// How many came before it, and one.
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
    arrivals: u64,
    /// What the rows own.
    heap: HeapShare,
    saver: Saver,
    memory: Arc<dyn Memory>,
    /// Earlier shards that have begun to come, and of each row, where those of several meet, (arrival, earlier shard, place).
    earlier: u32,
    origins: Option<Buf<(u64, u32, u32)>>,
}

impl<T: Record> Bag<T> {
    pub(crate) fn new(memory: &Arc<dyn Memory>, heap: &HeapBytes) -> Self {
        let slots = |number| Slots::new(memory.clone(), number as u32 + 1);
        Bag {
            ranges: (0..RANGES).map(slots).collect(),
            len: 0,
            arrivals: 0,
            heap: heap.share(),
            saver: Saver::new(memory),
            memory: memory.clone(),
            earlier: 0,
            origins: None,
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
        self.put(Waiting { arrival: self.arrivals, hash, row })
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

    fn header(&self) -> Notes {
        let mut header = Notes::default();
        header.number(self.arrivals);
        header
    }

    /// Another earlier shard begins to come.
    fn restore_header(&mut self, header: &mut Noted<'_>) -> Result<(), Fault> {
        if self.len > 0 && self.origins.is_none() {
            let mut origins = Buf::new(self.memory.clone());
            origins.reserve(self.len)?;
            self.iter().for_each(|(place, waiting)| origins.push((waiting.arrival, 0, place.0)));
            self.origins = Some(origins);
        }
        self.earlier += 1;
        self.arrivals = self.arrivals.max(header.number()?);
        Ok(())
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
            return self.restore_header(&mut Noted::new(bytes));
        }
        for row in decode::<Waiting<T>>(bytes)? {
            let waiting = row?;
            if owned.has(waiting.hash) {
                let arrival = waiting.arrival;
                let place = self.put(waiting)?;
                if let Some(origins) = &mut self.origins {
                    origins.reserve(1)?;
                    origins.push((arrival, self.earlier, place.0));
                }
            }
        }
        Ok(())
    }

    fn restored(&mut self) -> Result<(), Fault> {
        self.earlier = 0;
        if let Some(mut origins) = self.origins.take() {
            origins.sort_unstable();
            for (before, &(arrival, _, place)) in origins.iter().enumerate() {
                let counted = before as u64 + 1;
                if arrival != counted {
                    let (range, place) = BagPlace(place).parts();
                    self.ranges[range].change(place, &mut self.saver)?.arrival = counted;
                }
            }
            self.arrivals = origins.len() as u64;
        }
        Ok(())
    }

    fn extract(
        &mut self,
        section: Section,
        moving: &Owned<'_>,
        blocks: &mut MovedBlocks,
    ) -> Result<(), Fault> {
        let before = blocks.len();
        for (range, slots) in self.ranges.iter_mut().enumerate() {
            if slots.len() == 0 || moving.has_none(stretch_of(range)) {
                continue;
            }
            let places: Vec<u32> = slots
                .iter()
                .filter(|(_, waiting)| moving.has(waiting.hash))
                .map(|(place, _)| place)
                .collect();
            for (chunk, places) in places.chunks(MOVED_ROWS).enumerate() {
                let mut bytes = Vec::new();
                encode(&mut bytes, places.iter().map(|place| &slots[*place]))?;
                blocks.push((BlockId { section, table: range as u32 + 1, chunk: chunk as u32 }, bytes));
                for place in places {
                    let gone = slots.take(*place, &mut self.saver)?;
                    self.len -= 1;
                    self.heap.sub(owned(&gone.row));
                }
            }
        }
        put_header(blocks, before, section, self.header());
        Ok(())
    }

    fn digest(&self) -> u64 {
        // A sum, so that places do not show.
        self.iter()
            .fold(fold(0), |sum, (_, waiting)| sum.wrapping_add(join(waiting.arrival, digest(&waiting.row))))
    }
}
