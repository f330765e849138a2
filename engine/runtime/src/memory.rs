//! The memory limit of a job: every ring, table and buffer is charged here, and too much is refused.
//!
//! A block is charged at the size it really takes and refunded when it is dropped, from whatever thread. Large blocks
//! are maps of their own, so that they can have huge pages and go back to the kernel; small ones would waste most of a
//! page and come from the allocator. Charging is two atomic operations per block, and blocks are few.
//!
//! What comes from the allocator elsewhere is [charged](Memory::charge) by whoever holds it: what keys and values own on the heap, and rows that
//! wait in the queues of sources and sinks.
//!
//! Not counted: thread stacks, code, what glommio registers for its rings (64 KiB a core), and what user code
//! allocates.

use crate::bounds::MAP_BYTES_MIN;
use pelton_core::OutOfMemory;
use pelton_core::state::memory::{HeapMemory, Memory, Region};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory up to a limit.
///
/// ```
/// use pelton_core::state::memory::Memory;
/// use pelton_runtime::MemoryBudget;
///
/// let memory = MemoryBudget::new(1 << 20);
/// let block = memory.map(700_000)?;
/// assert!(memory.in_use() >= 700_000);
/// assert!(memory.map(700_000).is_err());
/// drop(block);
/// assert!(memory.map(700_000).is_ok());
/// # Ok::<(), pelton_core::OutOfMemory>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
struct Ledger {
    limit: usize,
    in_use: AtomicUsize,
    peak: AtomicUsize,
}

/// Keeps a block alive and refunds it when dropped.
struct Charged {
    // Declared first, so that the block is gone before others may take its share.
    _block: Block,
    _charge: Charge,
}

/// Where a block came from; held only to be dropped.
enum Block {
    Map { _map: pelton_storage::Region },
    Heap { _heap: Region },
}

/// A number of bytes in the ledger.
struct Charge {
    ledger: Arc<Ledger>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.in_use.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl MemoryBudget {
    /// Memory up to `limit` bytes.
    pub fn new(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        MemoryBudget { ledger: Arc::new(Ledger { limit, in_use: 0.into(), peak: 0.into() }) }
    }

    /// Bytes in use now.
    pub fn in_use(&self) -> usize {
        self.ledger.in_use.load(Ordering::Relaxed)
    }

    /// The most bytes that were ever in use.
    pub fn peak(&self) -> usize {
        self.ledger.peak.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.ledger.limit
    }

    fn charge_block(&self, asked: usize, bytes: usize) -> Result<Charge, OutOfMemory> {
        self.add(asked, bytes).map(|()| Charge { ledger: self.ledger.clone(), bytes })
    }

    fn add(&self, asked: usize, bytes: usize) -> Result<(), OutOfMemory> {
        let ledger = &self.ledger;
        let add = |in_use: usize| in_use.checked_add(bytes).filter(|&sum| sum <= ledger.limit);
        match ledger.in_use.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(before) => {
                ledger.peak.fetch_max(before + bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(in_use) => Err(OutOfMemory { asked, in_use, limit: ledger.limit }),
        }
    }
}

impl Memory for MemoryBudget {
    fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
        // The kernel's refusal counts as the limit's: there is no more memory than what is in use.
        let refused = || OutOfMemory { asked: bytes, in_use: self.in_use(), limit: self.limit() };
        if bytes < MAP_BYTES_MIN {
            let heap = HeapMemory.map(bytes)?;
            let charge = self.charge_block(bytes, heap.len())?;
            let (ptr, len) = (heap.as_ptr(), heap.len());
            let owner = Box::new(Charged { _block: Block::Heap { _heap: heap }, _charge: charge });
            // SAFETY: the block is fresh, zeroed and aligned as `HeapMemory` promises, and the owner keeps it.
            return Ok(unsafe { Region::new(ptr, len, owner) });
        }
        let charge = self.charge_block(bytes, pelton_storage::Region::rounded(bytes).ok_or_else(refused)?)?;
        let mut map = pelton_storage::Region::new(bytes).map_err(|_| refused())?;
        let (ptr, len) = (map.as_ptr(), map.len());
        let owner = Box::new(Charged { _block: Block::Map { _map: map }, _charge: charge });
        // SAFETY: the map is fresh, zeroed and aligned to a page, and the owner keeps it.
        Ok(unsafe { Region::new(ptr, len, owner) })
    }

    fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        self.add(bytes, bytes)
    }

    fn refund(&self, bytes: usize) {
        self.ledger.in_use.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn limit(&self) -> usize {
        self.ledger.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn blocks_of_all_sizes_are_charged_and_refunded() {
        let memory = MemoryBudget::new(64 << 20);
        for bytes in [0, 1, 64, 4_096, MAP_BYTES_MIN - 1, MAP_BYTES_MIN, 1 << 20, (2 << 20) + 1] {
            let block = memory.map(bytes).unwrap();
            assert!(block.len() >= bytes);
            assert_eq!(memory.in_use(), block.len(), "{bytes} bytes");
            // SAFETY: the block has `len` bytes and nobody else has it.
            let content = unsafe { std::slice::from_raw_parts_mut(block.as_ptr().as_ptr(), block.len()) };
            assert!(content.iter().all(|&byte| byte == 0));
            content.fill(1);
            drop(block);
            assert_eq!(memory.in_use(), 0, "{bytes} bytes");
        }
        assert_eq!(memory.peak(), 4 << 20);
    }

    #[test]
    fn a_refusal_says_what_was_asked_what_is_used_and_what_is_allowed() {
        let memory = MemoryBudget::new(1 << 20);
        let _held = memory.map(512 << 10).unwrap();
        let refused = memory.map(600 << 10).err().unwrap();
        assert_eq!(refused, OutOfMemory { asked: 600 << 10, in_use: 512 << 10, limit: 1 << 20 });
        assert_eq!(memory.in_use(), 512 << 10, "a refused block is not charged");
    }

    #[test]
    fn no_request_overflows() {
        let memory = MemoryBudget::new(u64::MAX);
        for bytes in [usize::MAX, usize::MAX - 4_095, 1 << 60] {
            assert!(memory.map(bytes).is_err());
            assert_eq!(memory.in_use(), 0, "what the kernel refused is refunded");
        }
    }

    #[test]
    fn threads_never_exceed_the_limit_together() {
        let memory = MemoryBudget::new(100 * 1_024);
        let take = |memory: MemoryBudget| {
            thread::spawn(move || (0..1_000).filter_map(|_| memory.map(1_024).ok()).collect::<Vec<_>>().len())
        };
        let threads: Vec<_> = (0..4).map(|_| take(memory.clone())).collect();
        threads.into_iter().for_each(|thread| assert!(thread.join().unwrap() <= 100));
        assert_eq!(memory.in_use(), 0);
        assert!(memory.peak() <= 100 * 1_024);
    }
}
