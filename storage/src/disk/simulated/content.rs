//! What a simulated file holds: what a reader sees, and what is on the disk.
//!
//! The two differ by what was changed since the last sync. Pages that nobody wrote do not exist, so a file of zeros takes no memory:
//!
//! ```text
//! pages      what a reader sees, by page number          absent = zeros
//! stale      what the disk holds instead, for the pages that were touched since the last sync
//! unsynced   the changes that lead from the one to the other, in order
//! ```
//!
//! A sync forgets `stale` and `unsynced`, which costs what was changed and not what the file holds. A sync that fails lets some changes
//! through and forgets the rest, as kernels do: the pages count as clean from then on, and no later sync brings them to the disk.

use super::random::Stream;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

/// What a disk writes at once, or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;

const PAGE_BYTES: u64 = 4 << 10;

/// More than this and the kernel would have started to write by itself.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

type Page = Box<[u8; PAGE_BYTES as usize]>;

#[derive(Debug, Default, Hash)]
pub(super) struct Content {
    len: u64,
    pages: BTreeMap<u64, Page>,
    // Blocks are taken up to here; a file that was only made longer has none there.
    reserved: u64,
    durable_len: u64,
    stale: BTreeMap<u64, Option<Page>>,
    unsynced: Vec<Change>,
    unsynced_bytes: u64,
    // A sync has failed: the disk differs from what is seen by more than `unsynced`.
    diverged: bool,
}

#[derive(Debug, Hash)]
enum Change {
    Write { at: u64, bytes: Box<[u8]> },
    Zeros { len: u64 },
    Length { len: u64 },
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Fills `bytes` from `at` on.
    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        if at.checked_add(bytes.len() as u64).is_none_or(|end| end > self.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.fill(0);
        self.read_pages(bytes, at);
        Ok(())
    }

    /// Fills in what there is but zeros, from the beginning on.
    pub(super) fn read_sparse(&self, zeros: &mut [u8]) {
        self.read_pages(zeros, 0);
    }

    fn read_pages(&self, bytes: &mut [u8], at: u64) {
        let end = at + bytes.len() as u64;
        if at == end {
            return;
        }
        for (&number, page) in self.pages.range(at / PAGE_BYTES..=(end - 1) / PAGE_BYTES) {
            let first = number * PAGE_BYTES;
            let (from, to) = (at.max(first), end.min(first + PAGE_BYTES));
            let there = &page[(from - first) as usize..(to - first) as usize];
            bytes[(from - at) as usize..(to - at) as usize].copy_from_slice(there);
        }
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len() as u64;
        for number in at / PAGE_BYTES..=(end - 1) / PAGE_BYTES {
            self.keep(number);
        }
        put(&mut self.pages, at, bytes);
        self.len = self.len.max(end);
        self.reserved = self.reserved.max(end);
        self.changed(Change::Write { at, bytes: bytes.into() }, bytes.len() as u64);
    }

    /// Zeros in the first `len` bytes, and blocks for them.
    pub(super) fn fill_zeros(&mut self, len: u64) {
        let touched: Vec<u64> =
            self.pages.range(..len.div_ceil(PAGE_BYTES)).map(|(&number, _)| number).collect();
        for number in touched {
            self.keep(number);
            if let Some(page) = self.pages.get_mut(&number) {
                let end = (len - number * PAGE_BYTES).min(PAGE_BYTES);
                page[..end as usize].fill(0);
            }
        }
        self.len = self.len.max(len);
        self.reserved = self.reserved.max(len);
        self.changed(Change::Zeros { len }, 0);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let touched: Vec<u64> = self.pages.range(len / PAGE_BYTES..).map(|(&number, _)| number).collect();
        for number in touched {
            self.keep(number);
        }
        cut(&mut self.pages, len);
        self.len = len;
        self.reserved = self.reserved.min(len);
        self.changed(Change::Length { len }, 0);
    }

    /// All that is seen is on the disk, but for what an earlier failed sync has lost.
    pub(super) fn sync(&mut self) {
        if self.diverged {
            for change in std::mem::take(&mut self.unsynced) {
                self.harden(&change, |_| true);
            }
        } else {
            self.stale.clear();
            self.unsynced.clear();
            self.durable_len = self.len;
        }
        self.unsynced_bytes = 0;
    }

    /// Some changes reach the disk, the others never will.
    pub(super) fn sync_failed(&mut self, chance: &mut Stream) {
        for change in std::mem::take(&mut self.unsynced) {
            if chance.coin() {
                self.harden(&change, |_| chance.coin());
            }
        }
        self.unsynced_bytes = 0;
        self.diverged = true;
    }

    /// The power went: what is on the disk is all there is, and of the changes since the last sync each may be on it wholly, in some of
    /// its sectors, or not at all.
    pub(super) fn lose_power(&mut self, chance: &mut Stream) {
        for change in std::mem::take(&mut self.unsynced) {
            match chance.below(3) {
                0 => {}
                1 => self.harden(&change, |_| true),
                _ => self.harden(&change, |_| chance.coin()),
            }
        }
        for (number, page) in std::mem::take(&mut self.stale) {
            match page {
                Some(page) => self.pages.insert(number, page),
                None => self.pages.remove(&number),
            };
        }
        self.len = self.durable_len;
        // A page of a file that is shorter on the disk; what is past the end of a file does not exist.
        cut(&mut self.pages, self.len);
        self.reserved = self.reserved.min(self.len);
        self.unsynced_bytes = 0;
        self.diverged = false;
    }

    /// Turns a bit over, both on the disk and in what is seen.
    pub(super) fn flip(&mut self, chance: &mut Stream) {
        if self.len == 0 {
            return;
        }
        let (at, bit) = (chance.below(self.len), chance.below(8));
        self.turn_over(at, bit);
    }

    /// The same, before the last byte of some page that is not zero, if there is one.
    pub(super) fn flip_written(&mut self, chance: &mut Stream) {
        let used = |page: &Page| page.iter().rposition(|&byte| byte != 0);
        let pages: Vec<(u64, usize)> =
            self.pages.iter().filter_map(|(&number, page)| used(page).map(|last| (number, last))).collect();
        if pages.is_empty() {
            return;
        }
        let (number, last) = pages[chance.below(pages.len() as u64) as usize];
        let (byte, bit) = (chance.below(last as u64 + 1), chance.below(8));
        self.turn_over(number * PAGE_BYTES + byte, bit);
    }

    fn turn_over(&mut self, at: u64, bit: u64) {
        let (number, byte) = (at / PAGE_BYTES, (at % PAGE_BYTES) as usize);
        self.pages.entry(number).or_insert_with(zeros)[byte] ^= 1 << bit;
        if let Some(page) = self.stale.get_mut(&number) {
            page.get_or_insert_with(zeros)[byte] ^= 1 << bit;
        }
    }

    /// Remembers a page as the disk holds it, before it is changed for the first time.
    fn keep(&mut self, number: u64) {
        let pages = &self.pages;
        self.stale.entry(number).or_insert_with(|| pages.get(&number).cloned());
    }

    fn changed(&mut self, change: Change, bytes: u64) {
        self.unsynced.push(change);
        self.unsynced_bytes += bytes;
        if self.unsynced_bytes > UNSYNCED_BYTES_MAX {
            self.sync();
        }
    }

    /// Carries a change out on the disk, in those of its sectors that `keeps` says.
    fn harden(&mut self, change: &Change, mut keeps: impl FnMut(u64) -> bool) {
        match change {
            Change::Write { at, bytes } => {
                let end = at + bytes.len() as u64;
                let mut from = *at;
                while from < end {
                    let to = (from / SECTOR_BYTES + 1) * SECTOR_BYTES;
                    let to = to.min(end);
                    if keeps(from) {
                        harden_bytes(&mut self.stale, from, &bytes[(from - at) as usize..(to - at) as usize]);
                        self.durable_len = self.durable_len.max(to);
                    }
                    from = to;
                }
            }
            Change::Zeros { len } => {
                if keeps(0) {
                    for (&number, page) in self.stale.range_mut(..len.div_ceil(PAGE_BYTES)) {
                        if let Some(page) = page {
                            let end = (len - number * PAGE_BYTES).min(PAGE_BYTES);
                            page[..end as usize].fill(0);
                        }
                    }
                    self.durable_len = self.durable_len.max(*len);
                }
            }
            Change::Length { len } => {
                if keeps(0) {
                    for (&number, page) in self.stale.range_mut(len / PAGE_BYTES..) {
                        let keep = len.saturating_sub(number * PAGE_BYTES);
                        match page {
                            Some(page) if keep > 0 => page[keep as usize..].fill(0),
                            page => *page = None,
                        }
                    }
                    self.durable_len = *len;
                }
            }
        }
    }
}

fn zeros() -> Page {
    Box::new([0; PAGE_BYTES as usize])
}

fn put(pages: &mut BTreeMap<u64, Page>, at: u64, bytes: &[u8]) {
    each_page(at, bytes, |number, from, bytes| {
        pages.entry(number).or_insert_with(zeros)[from..][..bytes.len()].copy_from_slice(bytes);
    });
}

fn harden_bytes(stale: &mut BTreeMap<u64, Option<Page>>, at: u64, bytes: &[u8]) {
    each_page(at, bytes, |number, from, bytes| {
        let page = stale.get_mut(&number).expect("a page is kept before it is changed");
        page.get_or_insert_with(zeros)[from..][..bytes.len()].copy_from_slice(bytes);
    });
}

fn each_page(at: u64, mut bytes: &[u8], mut visit: impl FnMut(u64, usize, &[u8])) {
    let mut at = at;
    while !bytes.is_empty() {
        let from = at % PAGE_BYTES;
        let step = bytes.len().min((PAGE_BYTES - from) as usize);
        let (here, rest) = bytes.split_at(step);
        visit(at / PAGE_BYTES, from as usize, here);
        at += step as u64;
        bytes = rest;
    }
}

fn cut(pages: &mut BTreeMap<u64, Page>, len: u64) {
    pages.split_off(&len.div_ceil(PAGE_BYTES));
    if !len.is_multiple_of(PAGE_BYTES)
        && let Some(page) = pages.get_mut(&(len / PAGE_BYTES))
    {
        page[(len % PAGE_BYTES) as usize..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &Content) -> Vec<u8> {
        let mut bytes = vec![0xEE; content.len() as usize];
        content.read(&mut bytes, 0).unwrap();
        bytes
    }

    /// The page map against a plain vector, over random writes, cuts, zeros, syncs and power losses.
    #[test]
    fn it_behaves_like_a_vector_of_bytes() {
        for seed in 0..200 {
            let mut chance = Stream::new(seed, "test");
            let (mut content, mut twin, mut durable) = (Content::default(), Vec::new(), Vec::new());
            for step in 0..60 {
                match chance.below(8) {
                    0..4 => {
                        let (at, len) = (chance.below(20_000) as usize, chance.below(9_000) as usize + 1);
                        let bytes: Vec<u8> = (0..len).map(|_| chance.below(256) as u8).collect();
                        content.write(at as u64, &bytes);
                        twin.resize(twin.len().max(at + len), 0);
                        twin[at..at + len].copy_from_slice(&bytes);
                    }
                    4 => {
                        let len = chance.below(30_000);
                        content.set_len(len);
                        twin.resize(len as usize, 0);
                    }
                    5 => {
                        let len = chance.below(12_000) as usize;
                        content.fill_zeros(len as u64);
                        twin.resize(twin.len().max(len), 0);
                        twin[..len].fill(0);
                    }
                    6 => {
                        content.sync();
                        durable.clone_from(&twin);
                    }
                    _ => {
                        if chance.coin() {
                            content.sync();
                            durable.clone_from(&twin);
                        }
                        // Without unsynced changes left the disk holds exactly what was synced.
                        content.unsynced.clear();
                        content.lose_power(&mut chance);
                        twin.clone_from(&durable);
                    }
                }
                assert_eq!(all(&content), twin, "seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn zeros_take_no_memory() {
        let mut content = Content::default();
        content.fill_zeros(64 << 20);
        content.sync();
        content.write(4_096, &[1; 4_096]);
        content.sync();
        assert_eq!((content.len(), content.pages.len(), content.stale.len()), (64 << 20, 1, 0));
        assert_eq!(content.reserved(), 64 << 20);
    }

    #[test]
    fn a_failed_sync_loses_what_no_later_sync_brings_back() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut chance = Stream::new(seed, "test");
            let mut content = Content::default();
            content.fill_zeros(8_192);
            content.sync();
            content.write(0, &[1; 512]);
            content.sync_failed(&mut chance);
            content.write(4_096, &[2; 512]);
            content.sync();
            assert_eq!(all(&content)[..512], [1; 512], "what is seen stays");
            content.lose_power(&mut chance);
            let bytes = all(&content);
            assert_eq!(bytes[4_096..4_608], [2; 512], "what a good sync covers stays");
            assert!(bytes[..512] == [0; 512] || bytes[..512] == [1; 512]);
            lost += u32::from(bytes[0] == 0);
        }
        assert!((20..95).contains(&lost), "{lost} of 100");
    }
}
