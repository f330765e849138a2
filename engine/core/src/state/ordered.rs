//! Entries in their own order, the least of them at hand: timers, and whatever else is taken by its order and not by its key.
//!
//! Entries live in pages of about 4 KiB, those of each of 64 parts of the hash space apart: a part is what is saved, restored or moved. A page
//! is sorted, and the pages of a part are in order; so adding, finding and taking away cost a binary search and a move within one page, and no
//! step is larger than the list of a part's pages. Which part has the least entry is known by a tree of comparisons among the parts.
//!
//! ```text
//!  part      | page 4 | page 0 | page 7 | ...       in the order of their entries; a page that is full is halved, one that is empty is let go of
//!  page      | entry | entry | ...
//!  winners   a tournament among the parts: part 17 has the least entry of all
//! ```
//!
//! What a checkpoint knows of pages is in `saving`.

mod lookup;
mod saving;
#[cfg(test)]
mod tests;

use self::saving::PageWatch;
use crate::checkpoint::saver::Saver;
use crate::fault::Fault;
use crate::record::Record;
use crate::record::heap::owned;
use crate::state::heap_bytes::{HeapBytes, HeapShare};
use crate::state::memory::{Buf, Memory};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Parts of the hash space, a power of two.
pub(crate) const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 6;

/// What can be kept in order. No two entries that are here are equal.
pub trait Ordering: Record + Clone + Ord {
    /// The hash of the key that the entry is of, which says where it lives.
    fn hash(&self) -> u64;
}

/// Entries side by side.
struct Page<E> {
    entries: Buf<E>,
    watch: PageWatch,
}

/// The entries of a part of the hash space.
struct Part<E> {
    pages: Vec<Page<E>>,
    /// The pages that have entries, by their numbers, in the order of these.
    order: Vec<u32>,
    /// Those that have none.
    free: Vec<u32>,
}

/// See the [module](self).
pub struct Ordered<E> {
    parts: Vec<Part<E>>,
    /// A tournament: node `n` has the better of nodes `2n` and `2n + 1`, of which those from [`PARTS`] on are the parts themselves.
    winners: [u8; PARTS],
    len: usize,
    /// What the entries own.
    heap: HeapShare,
    saver: Saver,
    memory: Arc<dyn Memory>,
    /// Where saving is: a part, and a page of it; none if a checkpoint needs nothing more.
    swept: Option<(usize, usize)>,
}

fn part_of(hash: u64) -> usize {
    (hash >> (64 - PART_BITS)) as usize
}

impl<E: Ordering> Ordered<E> {
    /// Entries of a page.
    const PAGE: usize = {
        let size = if size_of::<E>() == 0 { 1 } else { size_of::<E>() };
        let fit = crate::bounds::CHUNK_BYTES / size;
        if fit < 8 {
            8
        } else if fit > 256 {
            256
        } else {
            fit
        }
    };

    pub(crate) fn new(memory: &Arc<dyn Memory>, heap: &HeapBytes) -> Self {
        let part = |_| Part { pages: Vec::new(), order: Vec::new(), free: Vec::new() };
        let parts = (0..PARTS).map(part).collect();
        let mut ordered = Ordered {
            parts,
            winners: [0; PARTS],
            len: 0,
            heap: heap.share(),
            saver: Saver::new(memory),
            memory: memory.clone(),
            swept: None,
        };
        ordered.play_all();
        ordered
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The least entry.
    pub fn first(&self) -> Option<&E> {
        self.parts[usize::from(self.winners[1])].first()
    }

    /// Every entry, those of each part in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &E> {
        self.parts.iter().flat_map(Part::iter)
    }

    /// Adds an entry; false if it is there already.
    ///
    /// # Errors
    /// When the memory limit refuses the room for it, or an entry refuses to be archived that a checkpoint needs as it was.
    pub fn insert(&mut self, entry: E) -> Result<bool, Fault> {
        let number = part_of(entry.hash());
        let Err((at, place)) = self.parts[number].find(&entry) else { return Ok(false) };
        let (owned, part) = (owned(&entry), &mut self.parts[number]);
        let Some(&page) = part.order.get(at) else {
            // The part has no entry yet.
            let page = self.open(number)?;
            self.parts[number].pages[page as usize].entries.push(entry);
            self.parts[number].order.push(page);
            self.has_grown(number, true, owned);
            return Ok(true);
        };
        if part.pages[page as usize].entries.len() < Self::PAGE {
            self.touch(number, page)?;
            put(&mut self.parts[number].pages[page as usize].entries, place, entry)?;
            self.has_grown(number, at == 0 && place == 0, owned);
            return Ok(true);
        }
        self.halve(number, at)?;
        self.insert(entry)
    }

    /// Takes an entry away; false if there is none.
    ///
    /// # Errors
    /// When an entry refuses to be archived that a checkpoint needs as it was.
    pub fn remove(&mut self, entry: &E) -> Result<bool, Fault> {
        let number = part_of(entry.hash());
        let Ok((at, place)) = self.parts[number].find(entry) else { return Ok(false) };
        self.take(number, at, place)?;
        Ok(true)
    }

    /// Takes the least entry away.
    ///
    /// # Errors
    /// As for [`remove`](Self::remove).
    pub fn pop_first(&mut self) -> Result<Option<E>, Fault> {
        if self.len == 0 {
            return Ok(None);
        }
        self.take(usize::from(self.winners[1]), 0, 0).map(Some)
    }

    fn take(&mut self, number: usize, at: usize, place: usize) -> Result<E, Fault> {
        let page = self.parts[number].order[at];
        self.touch(number, page)?;
        let part = &mut self.parts[number];
        let entries = &mut part.pages[page as usize].entries;
        entries[place..].rotate_left(1);
        let Some(entry) = entries.pop() else { unreachable!("the entry was found") };
        if entries.is_empty() {
            part.order.remove(at);
            part.let_go(page, &self.memory);
        }
        self.len -= 1;
        self.heap.sub(owned(&entry));
        if at == 0 && place == 0 {
            self.play(number);
        }
        Ok(entry)
    }

    fn has_grown(&mut self, number: usize, is_first: bool, owned: usize) {
        self.len += 1;
        self.heap.add(owned);
        if is_first {
            self.play(number);
        }
    }

    /// A page without entries, which is not in the order yet.
    fn open(&mut self, number: usize) -> Result<u32, Fault> {
        let watch = PageWatch::of_new(&self.saver);
        let part = &mut self.parts[number];
        let page = match part.free.last() {
            Some(page) => *page,
            None => {
                part.pages.push(Page { entries: Buf::new(self.memory.clone()), watch });
                let page = part.pages.len() as u32 - 1;
                part.free.push(page);
                page
            }
        };
        let opened = &mut part.pages[page as usize];
        opened.entries.reserve(Self::PAGE)?;
        opened.watch = watch;
        part.free.pop();
        Ok(page)
    }

    /// Moves the second half of a full page into one of its own.
    fn halve(&mut self, number: usize, at: usize) -> Result<(), Fault> {
        let page = self.parts[number].order[at];
        self.touch(number, page)?;
        let other = self.open(number)?;
        let part = &mut self.parts[number];
        // Where entries come in order, as timers of a constant delay do, pages stay full.
        let is_last = at + 1 == part.order.len();
        let keep = if is_last { Self::PAGE - Self::PAGE / 8 } else { Self::PAGE / 2 };
        while part.pages[page as usize].entries.len() > keep
            && let Some(entry) = part.pages[page as usize].entries.pop()
        {
            part.pages[other as usize].entries.push(entry);
        }
        part.pages[other as usize].entries.reverse();
        part.order.insert(at + 1, other);
        Ok(())
    }

    /// The least entry of a part has changed.
    fn play(&mut self, number: usize) {
        let mut node = (PARTS + number) / 2;
        while node > 0 {
            self.winners[node] = self.winner(node);
            node /= 2;
        }
    }

    fn play_all(&mut self) {
        for node in (1..PARTS).rev() {
            self.winners[node] = self.winner(node);
        }
    }

    fn winner(&self, node: usize) -> u8 {
        let of = |child: usize| if child < PARTS { self.winners[child] } else { (child - PARTS) as u8 };
        let (left, right) = (of(2 * node), of(2 * node + 1));
        let first = |part: u8| self.parts[usize::from(part)].first();
        match (first(left), first(right)) {
            (None, _) => right,
            (Some(left_first), Some(right_first)) if right_first < left_first => right,
            _ => left,
        }
    }
}

/// Puts an entry where it belongs.
fn put<E>(entries: &mut Buf<E>, place: usize, entry: E) -> Result<(), Fault> {
    entries.reserve(1)?;
    entries.push(entry);
    entries[place..].rotate_right(1);
    Ok(())
}

impl<E: Ordering> Part<E> {
    fn page(&self, at: usize) -> &[E] {
        &self.pages[self.order[at] as usize].entries
    }

    fn first(&self) -> Option<&E> {
        self.order.first().and_then(|page| self.pages[*page as usize].entries.first())
    }

    fn iter(&self) -> impl Iterator<Item = &E> {
        (0..self.order.len()).flat_map(|at| self.page(at))
    }

    /// Where an entry is: the place of its page in the order, and its own in the page; or where it would be.
    fn find(&self, entry: &E) -> Result<(usize, usize), (usize, usize)> {
        // The last page that begins at or before it.
        let at = self.order.partition_point(|page| self.pages[*page as usize].entries[0] <= *entry);
        let at = at.saturating_sub(1);
        if at == self.order.len() {
            return Err((at, 0));
        }
        match self.page(at).binary_search(entry) {
            Ok(place) => Ok((at, place)),
            Err(place) => Err((at, place)),
        }
    }

    /// A page has no entries any more, and is not in the order.
    fn let_go(&mut self, page: u32, memory: &Arc<dyn Memory>) {
        if !self.free.is_empty() {
            // One is kept, so that a part with an entry now and then asks for nothing.
            self.pages[page as usize].entries = Buf::new(memory.clone());
        }
        self.free.push(page);
    }
}
