//! Ordered entries in a checkpoint, and on their way to another shard.
//!
//! At a freeze nothing is copied. A page that is about to change before it has been saved is put aside first; the others are swept, part by
//! part. A page that did not change since the last checkpoint is only referred to.
//!
//! ```text
//!  header   | blocks |                            that there are
//!  table    1 and the part, chunk: the page       entries, in order
//! ```

use super::{Ordered, Ordering, PART_BITS, PARTS, Page, part_of};
use crate::checkpoint::notes::Notes;
use crate::checkpoint::owned::Owned;
use crate::checkpoint::saver::Saver;
use crate::checkpoint::snapshot::{BlockId, Section, SnapshotOut};
use crate::exchange::hash::fold;
use crate::fault::Fault;
use crate::record::digest;
use crate::record::heap::owned;
use crate::record::rows::{decode, encode};
use crate::state::keyed::Stretch;
use crate::state::store::{Extraction, State};
use alloc::vec::Vec;

/// What a checkpoint knows of a page.
#[derive(Clone, Copy)]
pub(super) struct PageWatch {
    /// The freeze that this is of: 0 while nobody watches.
    epoch: u32,
    /// Whether it has changed since then, or is no part of it; and whether it had changed before it since the last that was saved.
    fresh: bool,
    changed: bool,
}

impl PageWatch {
    /// Of a page that begins to be used.
    pub(super) fn of_new(saver: &Saver) -> Self {
        PageWatch { epoch: saver.epoch(), fresh: true, changed: true }
    }

    /// Comes to the last freeze, if there was one since.
    fn catch_up(&mut self, epoch: u32, since: u32) {
        if self.epoch == epoch {
            return;
        }
        self.changed = match self.epoch.cmp(&since) {
            // Nothing that was saved counts, or nobody was watching.
            _ if since == 0 || self.epoch == 0 => true,
            // What changed was saved by a checkpoint since then.
            core::cmp::Ordering::Less => false,
            core::cmp::Ordering::Equal => self.fresh,
            // The checkpoints since then were given up.
            core::cmp::Ordering::Greater => self.changed || self.fresh,
        };
        (self.fresh, self.epoch) = (false, epoch);
    }
}

fn stretch_of(part: usize) -> Stretch {
    Stretch { prefix: (part as u64) << (64 - PART_BITS), depth: PART_BITS }
}

impl<E: Ordering> Ordered<E> {
    /// A page is about to change.
    pub(super) fn touch(&mut self, number: usize, page: u32) -> Result<(), Fault> {
        let (epoch, since) = (self.saver.epoch(), self.saver.since());
        let Page { entries, watch } = &mut self.parts[number].pages[page as usize];
        if epoch == 0 || watch.epoch == epoch && watch.fresh {
            return Ok(());
        }
        watch.catch_up(epoch, since);
        if self.swept.is_some_and(|swept| (number, page as usize) >= swept) && !entries.is_empty() {
            let table = number as u32 + 1;
            if watch.changed {
                self.saver.put_aside(table, page, |into| encode(into, entries.iter()))?;
            } else {
                self.saver.same_aside(table, page)?;
            }
        }
        watch.fresh = true;
        Ok(())
    }

    /// Adds entries that are in order. Where they lie together between those that are here they are a page at once.
    fn restore_page(&mut self, rows: Vec<E>) -> Result<(), Fault> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let number = part_of(first.hash());
        let part = &self.parts[number];
        let at = part.order.partition_point(|page| part.pages[*page as usize].entries[0] <= *first);
        let fits = rows.len() <= Self::PAGE
            && rows.is_sorted_by(|a, b| a < b)
            && rows.iter().all(|row| part_of(row.hash()) == number)
            && at.checked_sub(1).is_none_or(|before| part.page(before).last() < Some(first))
            && (at == part.order.len() || *last < part.page(at)[0]);
        if !fits {
            return rows.into_iter().try_for_each(|row| self.insert(row).map(drop));
        }
        let page = self.open(number)?;
        let part = &mut self.parts[number];
        self.len += rows.len();
        self.heap.add(rows.iter().map(owned).sum());
        rows.into_iter().for_each(|row| part.pages[page as usize].entries.push(row));
        part.order.insert(at, page);
        if at == 0 {
            self.play(number);
        }
        Ok(())
    }
}

impl<E: Ordering> Ordered<E> {
    /// Takes what moves out of a page, the one at place `step.at.1` in the order of its part; whether that was all of it, and the page is let go of.
    fn extract_page(
        &mut self,
        number: usize,
        page: u32,
        moving: &Owned<'_>,
        step: &mut Extraction,
    ) -> Result<bool, Fault> {
        let entries = &self.parts[number].pages[page as usize].entries;
        step.count(entries.len());
        let going = || entries.iter().filter(|entry| moving.has(entry.hash()));
        if going().next().is_none() {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        encode(&mut bytes, going())?;
        step.block(number as u32 + 1, page, 0, bytes);
        self.touch(number, page)?;
        let part = &mut self.parts[number];
        let entries = &mut part.pages[page as usize].entries;
        // They are moved, and not copied: a copy of a text may own less than what was counted.
        let mut staying = Vec::with_capacity(entries.len());
        while let Some(entry) = entries.pop() {
            if moving.has(entry.hash()) {
                self.len -= 1;
                self.heap.sub(owned(&entry));
            } else {
                staying.push(entry);
            }
        }
        let is_gone = staying.is_empty();
        staying.into_iter().rev().for_each(|entry| entries.push(entry));
        if is_gone {
            part.order.remove(step.at.1);
            part.let_go(page, &self.memory);
        }
        Ok(is_gone)
    }
}

impl<E: Ordering> State for Ordered<E> {
    fn freeze(&mut self, full: bool, last_counts: bool) {
        self.saver.freeze(full, last_counts);
        self.saver.set_header(Notes::default());
        self.swept = Some((0, 0));
    }

    fn save(&mut self, section: Section, out: &mut dyn SnapshotOut) -> Result<bool, Fault> {
        let (epoch, since) = (self.saver.epoch(), self.saver.since());
        let Some(mut step) = self.saver.step(section, out) else { return Ok(true) };
        if !step.begin() {
            return Ok(false);
        }
        while let Some((number, at)) = self.swept {
            if number == PARTS {
                self.swept = None;
                break;
            }
            let Some(Page { entries, watch }) = self.parts[number].pages.get_mut(at) else {
                self.swept = Some((number + 1, 0));
                continue;
            };
            watch.catch_up(epoch, since);
            if !step.goes_on() {
                return Ok(false);
            }
            let (table, page) = (number as u32 + 1, at as u32);
            if watch.fresh || entries.is_empty() {
                step.skip();
            } else if watch.changed {
                step.block(table, page, entries.len(), |into| encode(into, entries.iter()))?;
            } else {
                step.same(table, page);
            }
            self.swept = Some((number, at + 1));
        }
        Ok(step.end())
    }

    fn wants(&self, block: BlockId, owned: &Owned<'_>) -> bool {
        let part = block.table as usize;
        // One that is of no part is refused when it is taken back.
        part == 0 || part > PARTS || !owned.has_none(stretch_of(part - 1))
    }

    fn restore(&mut self, block: BlockId, bytes: &[u8], owned: &Owned<'_>) -> Result<(), Fault> {
        if block.table == 0 {
            return Ok(());
        }
        if block.table as usize > PARTS {
            return Err(Fault::Restore {
                message: alloc::format!("{block:?} is of no part of the hash space"),
            });
        }
        let owned = |row: &Result<E, Fault>| row.as_ref().map_or(true, |row| owned.has(row.hash()));
        let rows = decode::<E>(bytes)?.filter(owned).collect::<Result<Vec<E>, Fault>>()?;
        self.restore_page(rows)
    }

    fn restored(&mut self) -> Result<bool, Fault> {
        Ok(true)
    }

    fn extract(&mut self, moving: &Owned<'_>, step: &mut Extraction) -> Result<bool, Fault> {
        while step.at.0 < PARTS {
            let number = step.at.0;
            while let Some(&page) = self.parts[number].order.get(step.at.1) {
                if moving.has_none(stretch_of(number)) {
                    break;
                }
                if !step.has_time() {
                    self.play(number);
                    return Ok(false);
                }
                if !self.extract_page(number, page, moving, step)? {
                    step.at.1 += 1;
                }
            }
            self.play(number);
            step.count(1);
            step.at = (number + 1, 0);
        }
        Ok(true)
    }

    fn digest(&self) -> u64 {
        // A sum, so that places do not show.
        self.iter().fold(fold(0), |sum, entry| sum.wrapping_add(digest(entry)))
    }
}
