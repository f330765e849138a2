//! Slabs: pieces of memory of a few sizes, cut from larger blocks, for what there is very much of.
//!
//! A table of a million keys has hundreds of leaves, and a window of a second thousands of panes with a few keys each: to ask the driver for
//! each would cost a system call or waste most of a page. A block holds slabs of one size: the first of a size few of them, each further one
//! as many as there are already, up to a huge page. One that is empty goes back, but for one of each size, so that a shard that fills and
//! empties the same state in turn asks for nothing; and that one as well when it has not been needed for a while.
//!
//! ```text
//!  size      256, 320, 384, 448, 512, 640 ... : four steps from each power of two to the next, so a fifth is wasted at most
//!  block     | slab | slab | slab | ... |     16 KiB to 2 MiB, and one slab at least; 2 MiB for slabs of 16 KiB and more
//! ```

use crate::bounds::{SLAB_BLOCK_BYTES_MAX, SLAB_BLOCK_BYTES_MIN, SLAB_BYTES_MIN};
use crate::fault::OutOfMemory;
use crate::state::heap_bytes::HeapBytes;
use crate::state::memory::{Memory, Region};
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ptr::NonNull;

/// A piece of memory, which has to be [given back](Slabs::free) to where it came from.
#[derive(Debug)]
#[must_use = "a slab that is not given back is lost"]
pub(crate) struct Slab {
    ptr: NonNull<u8>,
    class: u16,
    block: u32,
}

impl Slab {
    /// The first byte.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Bytes in the slab.
    pub(crate) fn len(&self) -> usize {
        class_bytes(self.class)
    }
}

/// Bytes of the slabs of a class.
const fn class_bytes(class: u16) -> usize {
    let (octave, step) = (class / 4, class as usize % 4);
    (SLAB_BYTES_MIN << octave) + (SLAB_BYTES_MIN << octave) / 4 * step
}

/// The smallest class whose slabs have so many bytes.
const fn class_of(bytes: usize) -> u16 {
    if bytes <= SLAB_BYTES_MIN {
        return 0;
    }
    // The octave whose first size is below what is asked for.
    let octave = (bytes - 1).ilog2() - SLAB_BYTES_MIN.ilog2();
    let first = SLAB_BYTES_MIN << octave;
    octave as u16 * 4 + (bytes - first).div_ceil(first / 4) as u16
}

struct Block {
    region: Region,
    /// Slabs that it has room for, and those that are in use.
    slabs: u32,
    used: u32,
    /// Slabs that were given back, by their number in the block, and how many were ever handed out.
    free: Vec<u32>,
    fresh: u32,
}

#[derive(Default)]
struct Class {
    /// Blocks in which there may be a free slab.
    open: Vec<u32>,
    /// Blocks without any slab in use.
    empty: u32,
    /// Whether one of these became so, or no longer is, since it was last [looked](Slabs::tidy) at; and whether none did for as long.
    used: bool,
    idle: bool,
    /// Bytes of all blocks.
    bytes: usize,
}

struct Inner {
    memory: Arc<dyn Memory>,
    blocks: Vec<Option<Block>>,
    vacant: Vec<u32>,
    classes: Vec<Class>,
}

/// Where the slabs of a shard come from. A handle: a clone is the same.
#[derive(Clone)]
pub struct Slabs {
    inner: Rc<RefCell<Inner>>,
    heap: HeapBytes,
}

impl Slabs {
    /// Slabs cut from what `memory` gives.
    pub fn new(memory: Arc<dyn Memory>) -> Self {
        let (blocks, vacant, classes) = (Vec::new(), Vec::new(), Vec::new());
        let heap = HeapBytes::new(memory.clone());
        Slabs { inner: Rc::new(RefCell::new(Inner { memory, blocks, vacant, classes })), heap }
    }

    /// Where what the shard's rows own elsewhere is counted.
    pub(crate) fn heap(&self) -> &HeapBytes {
        &self.heap
    }

    /// A slab of at least `bytes` bytes, aligned to a cache line. Its content is whatever it was, or zero.
    ///
    /// # Errors
    /// When the memory limit refuses a further block.
    pub(crate) fn take(&self, bytes: usize) -> Result<Slab, OutOfMemory> {
        self.inner.borrow_mut().take(class_of(bytes))
    }

    /// Gives a block back that has been empty for a while, if there is one; true if there is none. A while `ends`, and another begins, for blocks of
    /// each size.
    pub(crate) fn tidy(&self, ends: bool) -> bool {
        self.inner.borrow_mut().tidy(ends)
    }

    /// Bytes of the slab that is given to whoever asks for so many.
    pub(crate) fn bytes_for(bytes: usize) -> usize {
        class_bytes(class_of(bytes))
    }

    /// Takes a slab back.
    pub(crate) fn free(&self, slab: Slab) {
        self.inner.borrow_mut().free(&slab);
    }
}

impl Inner {
    fn take(&mut self, class: u16) -> Result<Slab, OutOfMemory> {
        if self.classes.len() <= usize::from(class) {
            self.classes.resize_with(usize::from(class) + 1, Class::default);
        }
        loop {
            let Some(&number) = self.classes[usize::from(class)].open.last() else {
                self.open_block(class)?;
                continue;
            };
            let Some(block) = self.blocks[number as usize].as_mut() else { unreachable!("an open block") };
            let slab = match block.free.pop() {
                Some(slab) => slab,
                None if block.fresh < block.slabs => {
                    block.fresh += 1;
                    block.fresh - 1
                }
                None => {
                    self.classes[usize::from(class)].open.pop();
                    continue;
                }
            };
            if block.used == 0 {
                let class = &mut self.classes[usize::from(class)];
                class.empty -= 1;
                (class.used, class.idle) = (true, false);
            }
            block.used += 1;
            // SAFETY: the block has room for its number of slabs of this class, and this is one of them.
            let ptr = unsafe { block.region.as_ptr().add(slab as usize * class_bytes(class)) };
            return Ok(Slab { ptr, class, block: number });
        }
    }

    fn open_block(&mut self, class: u16) -> Result<(), OutOfMemory> {
        let size = class_bytes(class);
        // Slabs that are large are those of large tables, whose lookups would miss the TLB without huge pages.
        let large = size >= SLAB_BLOCK_BYTES_MIN;
        let wanted = if large { SLAB_BLOCK_BYTES_MAX } else { self.classes[usize::from(class)].bytes };
        // All of a huge page, though the last slab may not fit into it: nothing less is one.
        let mut bytes = wanted.clamp(SLAB_BLOCK_BYTES_MIN, SLAB_BLOCK_BYTES_MAX).max(size);
        let region = loop {
            match self.memory.map(bytes) {
                Ok(region) => break region,
                // Close to the limit less will do.
                Err(_) if bytes > size => bytes = size.max(bytes / 2),
                Err(refused) => return Err(refused),
            }
        };
        let slabs = bytes / size;
        // A `Memory` is anybody's, and slabs go as far as the size says.
        assert!(region.len() >= bytes, "{bytes} bytes were asked for, and a block of {} came", region.len());
        let block = Block { region, slabs: slabs as u32, used: 0, free: Vec::new(), fresh: 0 };
        let number = match self.vacant.pop() {
            Some(number) => {
                self.blocks[number as usize] = Some(block);
                number
            }
            None => {
                self.blocks.push(Some(block));
                self.blocks.len() as u32 - 1
            }
        };
        let class = &mut self.classes[usize::from(class)];
        class.open.push(number);
        class.empty += 1;
        class.bytes += size * slabs;
        Ok(())
    }

    fn free(&mut self, slab: &Slab) {
        let Some(block) = self.blocks[slab.block as usize].as_mut() else { unreachable!("a slab's block") };
        let was_full = block.free.is_empty() && block.fresh == block.slabs;
        let offset = slab.ptr.as_ptr() as usize - block.region.as_ptr().as_ptr() as usize;
        block.free.push((offset / class_bytes(slab.class)) as u32);
        block.used -= 1;
        let class = &mut self.classes[usize::from(slab.class)];
        if was_full {
            // It stands there already if nobody has found it full yet.
            class.open.retain(|open| *open != slab.block);
            class.open.push(slab.block);
        }
        if block.used > 0 {
            return;
        }
        if class.empty > 0 {
            self.let_go(slab.class, slab.block);
        } else {
            class.empty += 1;
            (class.used, class.idle) = (true, false);
        }
    }

    /// A block of a class has no slab in use, and goes back.
    fn let_go(&mut self, class: u16, number: u32) {
        let Some(block) = self.blocks[number as usize].take() else { unreachable!("a class's block") };
        let bytes = class_bytes(class) * block.slabs as usize;
        let class = &mut self.classes[usize::from(class)];
        class.open.retain(|open| *open != number);
        class.bytes -= bytes;
        self.vacant.push(number);
    }

    fn tidy(&mut self, ends: bool) -> bool {
        if ends {
            for class in &mut self.classes {
                class.idle = class.empty > 0 && !core::mem::replace(&mut class.used, false);
            }
        }
        let Some(class) = self.classes.iter().position(|class| class.idle) else { return true };
        self.classes[class].idle = false;
        let is_empty =
            |number: &&u32| self.blocks[**number as usize].as_ref().is_some_and(|block| block.used == 0);
        if let Some(number) = self.classes[class].open.iter().find(is_empty).copied() {
            self.classes[class].empty -= 1;
            self.let_go(class as u16, number);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::join;
    use crate::state::memory::HeapMemory;
    use alloc::collections::BTreeMap;
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Counts what it has given out.
    struct Counted(Arc<AtomicUsize>);

    impl Memory for Counted {
        fn map(&self, bytes: usize) -> Result<Region, OutOfMemory> {
            struct Owner(Arc<AtomicUsize>, usize, #[expect(dead_code, reason = "held to be dropped")] Region);
            impl Drop for Owner {
                fn drop(&mut self) {
                    self.0.fetch_sub(self.1, Relaxed);
                }
            }
            let region = HeapMemory.map(bytes)?;
            self.0.fetch_add(region.len(), Relaxed);
            let (ptr, len) = (region.as_ptr(), region.len());
            let owner = alloc::boxed::Box::new(Owner(self.0.clone(), len, region));
            // SAFETY: the owner keeps the block, and nobody else has it.
            Ok(unsafe { Region::new(ptr, len, owner) })
        }
    }

    #[test]
    fn sizes_grow_by_a_quarter_of_a_power_of_two() {
        for bytes in [1, 255, 256, 257, 320, 321, 4_000, 73_728, 1 << 20, (1 << 20) + 1] {
            let class = class_of(bytes);
            assert!(class_bytes(class) >= bytes, "{bytes}");
            assert!(class == 0 || class_bytes(class - 1) < bytes, "{bytes}");
            assert!(class == 0 || class_bytes(class) <= bytes + bytes / 4 + 1, "{bytes}");
        }
    }

    #[test]
    fn no_two_slabs_overlap_and_empty_blocks_go_back() {
        let in_use = Arc::new(AtomicUsize::new(0));
        let slabs = Slabs::new(Arc::new(Counted(in_use.clone())));
        for seed in 0..4 {
            let mut held: BTreeMap<usize, Slab> = BTreeMap::new();
            for draw in 0..6_000u64 {
                let chance = join(seed, draw);
                if chance % 16 < 4 + 8 * (draw / 1_000 % 2) {
                    let slab = slabs.take((chance >> 32) as usize % 100_000).unwrap();
                    // SAFETY: the slab has so many bytes and is this test's.
                    unsafe { slab.as_ptr().write_bytes(draw as u8, slab.len()) };
                    let before = held.range(..slab.as_ptr() as usize).next_back();
                    assert!(before.is_none_or(|(at, other)| at + other.len() <= slab.as_ptr() as usize));
                    let behind = held.range(slab.as_ptr() as usize..).next();
                    assert!(behind.is_none_or(|(at, _)| slab.as_ptr() as usize + slab.len() <= *at));
                    held.insert(slab.as_ptr() as usize, slab);
                } else if let Some((_, slab)) = held.pop_first() {
                    slabs.free(slab);
                }
            }
            let held_bytes: usize = held.values().map(Slab::len).sum();
            assert!(held_bytes <= in_use.load(Relaxed));
            held.into_values().for_each(|slab| slabs.free(slab));
            // One block of each size, each of which goes when it was not used for as long as it takes to end two whiles.
            assert!(in_use.load(Relaxed) <= 40 * SLAB_BLOCK_BYTES_MAX);
            if seed % 2 == 1 {
                let classes = slabs.inner.borrow().classes.iter().filter(|class| class.empty > 0).count();
                let before = in_use.load(Relaxed);
                assert!(slabs.tidy(true) && in_use.load(Relaxed) == before, "they have just been used");
                assert!(!slabs.tidy(true), "one block is a step");
                assert!(in_use.load(Relaxed) < before);
                let kept = slabs.take(1).unwrap();
                let steps = (1..).take_while(|_| !slabs.tidy(false)).count();
                assert!(steps + 2 >= classes, "{steps} of {classes}");
                assert!(in_use.load(Relaxed) <= SLAB_BLOCK_BYTES_MIN, "but for the one that is in use");
                slabs.free(kept);
            }
        }
        drop(slabs);
        assert_eq!(in_use.load(Relaxed), 0);
    }
}
