//! Finding entries by a comparison: what lies between two places in the order, without an entry at hand that is equal.

use super::{Ordered, Ordering, Part, part_of};
use crate::fault::Fault;
use crate::record::heap::{owned, owns};
use core::cmp;

impl<E: Ordering> Part<E> {
    /// Where the first entry is for which `before` is false: the place of its page in the order, and its own in the page.
    fn seek(&self, before: impl Fn(&E) -> bool) -> (usize, usize) {
        // The last page that begins before it.
        let at = self.order.partition_point(|page| before(&self.pages[*page as usize].entries[0]));
        let Some(at) = at.checked_sub(1) else { return (0, 0) };
        let place = self.page(at).partition_point(&before);
        if place < self.page(at).len() { (at, place) } else { (at + 1, 0) }
    }

    fn get(&self, (at, place): (usize, usize)) -> Option<&E> {
        if at < self.order.len() { self.page(at).get(place) } else { None }
    }
}

impl<E: Ordering> Ordered<E> {
    /// The entries of keys whose hash begins as `hash` does, in order, from the first on for which `before` is false. It must be true for those
    /// alone that come first.
    pub(crate) fn from<'a>(
        &'a self,
        hash: u64,
        before: &dyn Fn(&E) -> bool,
    ) -> impl Iterator<Item = &'a E> + use<'a, E> {
        let part = &self.parts[part_of(hash)];
        let (at, place) = part.seek(before);
        let rest = (at + 1..part.order.len()).flat_map(|at| part.page(at));
        let first = if at < part.order.len() { &part.page(at)[place..] } else { &[] };
        first.iter().chain(rest)
    }

    /// The last entry of keys whose hash begins as `hash` does for which `before` is true.
    pub(crate) fn last_before(&self, hash: u64, before: impl Fn(&E) -> bool) -> Option<&E> {
        let part = &self.parts[part_of(hash)];
        match part.seek(before) {
            (0, 0) => None,
            (at, 0) => part.page(at - 1).last(),
            (at, place) => part.get((at, place - 1)),
        }
    }

    /// The entry of a key with `hash` for which `order` is equal. It must be less for those alone that come before it.
    pub(crate) fn get(&self, hash: u64, order: impl Fn(&E) -> cmp::Ordering) -> Option<&E> {
        let part = &self.parts[part_of(hash)];
        part.get(part.seek(|entry| order(entry).is_lt())).filter(|entry| order(entry).is_eq())
    }

    /// Changes an entry, as [`get`](Self::get) finds it, in what has no part in its order; none if there is none.
    ///
    /// # Errors
    /// When an entry refuses to be archived that a checkpoint needs as it was.
    pub(crate) fn change<R>(
        &mut self,
        hash: u64,
        order: impl Fn(&E) -> cmp::Ordering,
        change: impl FnOnce(&mut E) -> R,
    ) -> Result<Option<R>, Fault> {
        let number = part_of(hash);
        let part = &self.parts[number];
        let (at, place) = part.seek(|entry| order(entry).is_lt());
        if part.get((at, place)).is_none_or(|entry| order(entry).is_ne()) {
            return Ok(None);
        }
        let page = part.order[at];
        self.touch(number, page)?;
        let entry = &mut self.parts[number].pages[page as usize].entries[place];
        if const { !owns::<E>() } {
            return Ok(Some(change(entry)));
        }
        let before = owned(entry);
        let changed = change(entry);
        self.heap.change(before, owned(entry));
        Ok(Some(changed))
    }

    /// Takes an entry away, as [`get`](Self::get) finds it.
    ///
    /// # Errors
    /// As for [`change`](Self::change).
    pub(crate) fn remove_by(
        &mut self,
        hash: u64,
        order: impl Fn(&E) -> cmp::Ordering,
    ) -> Result<Option<E>, Fault> {
        let number = part_of(hash);
        let part = &self.parts[number];
        let (at, place) = part.seek(|entry| order(entry).is_lt());
        if part.get((at, place)).is_none_or(|entry| order(entry).is_ne()) {
            return Ok(None);
        }
        self.take(number, at, place).map(Some)
    }
}
