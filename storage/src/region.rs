//! Anonymous memory maps: the memory of rings and state tables.
//!
//! A region is zeroed, aligned to a page, owned by one holder and given back to the kernel when dropped. From
//! [`HUGE_PAGE_BYTES`] on it asks for huge pages, because a state table is read at random and would otherwise miss
//! the TLB on nearly every access.
//!
//! Mapping costs a system call and each first touch of a page a fault, so regions are made at start or when a table
//! doubles, never per record. A region is private memory, not a file: nothing here outlasts the process.

use memmap2::{Advice, MmapMut};
use std::io;
use std::ptr::NonNull;

/// The size of a huge page on the machines that Pelton runs on.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

const PAGE_BYTES: usize = 4 << 10;

/// A zeroed block of private memory.
///
/// ```
/// let region = pelton_storage::Region::new(1_000)?;
/// assert_eq!(region.len(), 4_096);
/// assert!(region.as_slice().iter().all(|&byte| byte == 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Region {
    map: MmapMut,
}

impl Region {
    /// What a request for `bytes` really takes: whole pages, and whole huge pages from the first of them on.
    ///
    /// A length of whole huge pages is also what makes the kernel align the map to one.
    pub const fn rounded(bytes: usize) -> Option<usize> {
        let page = if bytes < HUGE_PAGE_BYTES { PAGE_BYTES } else { HUGE_PAGE_BYTES };
        if bytes == 0 { Some(page) } else { bytes.checked_next_multiple_of(page) }
    }

    /// Maps at least `bytes` bytes.
    ///
    /// # Errors
    /// When the kernel refuses: no address space, or an overcommit or `ulimit -v` limit.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let bytes = Region::rounded(bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        let map = MmapMut::map_anon(bytes)?;
        if bytes >= HUGE_PAGE_BYTES {
            // Advice, not a demand: a kernel without transparent huge pages refuses it, and the region works all
            // the same, only slower.
            let _ = map.advise(Advice::HugePage);
        }
        Ok(Region { map })
    }

    /// The first byte.
    pub fn as_ptr(&mut self) -> NonNull<u8> {
        NonNull::new(self.map.as_mut_ptr()).expect("a map is never at address zero")
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.map
    }

    /// The bytes, to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.map
    }

    /// Bytes in the region: what was asked for, rounded up.
    #[expect(clippy::len_without_is_empty, reason = "a region is never empty")]
    pub fn len(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_rounded_to_whole_pages() {
        for (asked, given) in [
            (0, PAGE_BYTES),
            (1, PAGE_BYTES),
            (PAGE_BYTES, PAGE_BYTES),
            (PAGE_BYTES + 1, 2 * PAGE_BYTES),
            (HUGE_PAGE_BYTES - 1, HUGE_PAGE_BYTES),
            (HUGE_PAGE_BYTES, HUGE_PAGE_BYTES),
            (HUGE_PAGE_BYTES + 1, 2 * HUGE_PAGE_BYTES),
        ] {
            assert_eq!(Region::new(asked).unwrap().len(), given, "{asked} bytes");
        }
    }

    #[test]
    fn a_region_is_zeroed_and_every_byte_of_it_can_be_written() {
        let mut region = Region::new(3 << 20).unwrap();
        assert!(region.as_slice().iter().all(|&byte| byte == 0));
        region.as_mut_slice().fill(0xA5);
        assert!(region.as_slice().iter().all(|&byte| byte == 0xA5));
        assert_eq!(region.as_ptr().as_ptr() as usize % PAGE_BYTES, 0);
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert!(Region::new(usize::MAX).is_err());
        assert!(Region::new(1 << 60).is_err());
    }
}
