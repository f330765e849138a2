//! Making sure that nothing behind the end of a log is ever taken for a part of it.
//!
//! ```text
//!             end
//!   ... group | torn: page, page, page | old bytes of a recycled segment ...
//!             ^ 1. here goes a mark    ^ 2. pages with traces become zeros, synced   3. so does the mark, synced
//! ```
//!
//! What was cut short (and not damaged: `mark` tells the two apart, and damage is refused before anything is erased) lies
//! where the next groups will be written, with positions and checksums that are right: pages of it between pages of a
//! later write that is cut short as well could make up a group that nobody has written. So it has to be gone from the
//! disk itself before the log goes on; and a page cache does not show what is on the disk. A sync that fails leaves
//! pages that read as zeros and count as clean: an attempt after it sees nothing to erase, and its sync has nothing to
//! do.
//!
//! Therefore an attempt leaves evidence while it is not through: the mark, an entry of its own kind at the end of the
//! log, in the page cache at least. An attempt that finds one writes zeros over all the rest of the segment, whatever
//! it reads there. Only the page of the mark itself can then be in doubt, and that page is written anew each time a log
//! is opened. After a loss of power there is no such doubt: what is read is what the disk has.
//!
//! A prepared segment behind the end loses its header, and is a spare. If it holds traces of its own number it is removed
//! instead: used again it would get the same number, with what an attempt to erase has perhaps left on the disk.

use crate::StorageError;
use crate::bounds::ERASED_BYTES;
use crate::disk::Disk;
use crate::entry::{self, ERASING};
use crate::find::Found;
use crate::group;
use crate::segment::PAGE;

/// Erases what lies behind `end` in its segment. True if there was anything.
pub(crate) fn tail(found: &Found, end: u64) -> Result<bool, StorageError> {
    let identity = &found.identity;
    let number = identity.segment(end);
    let from = end - identity.base(number);
    let Some(map) = found.map(number)? else { return Ok(false) };
    let bytes = (*map).as_ref();
    let pages = group::traces(identity, bytes, number, from);
    let marked = entry::check(identity.seed(), &bytes[from as usize..], end)
        .is_ok_and(|header| header.kind == ERASING);
    drop(map);
    if marked {
        let mut at = from + PAGE;
        while at < identity.segment_bytes {
            let step = ERASED_BYTES.min(identity.segment_bytes - at);
            found.write(number, &vec![0; step as usize], at)?;
            at += step;
        }
        found.sync(number)?;
    } else if !pages.is_empty() {
        let mut mark = [0; PAGE as usize];
        let header = entry::seal(identity.seed(), end, 0, ERASING, 0, &[]);
        mark[..header.len()].copy_from_slice(&header);
        found.write(number, &mark, from)?;
        for &page in pages.iter().filter(|&&page| page != from) {
            found.write(number, &[0; PAGE as usize], page)?;
        }
        found.sync(number)?;
    }
    found.write(number, &[0; PAGE as usize], from)?;
    found.sync(number)?;
    Ok(!pages.is_empty())
}

/// Takes segments behind segment `current` out of the log. True if any held something that was cut short.
pub(crate) fn beyond(disk: &dyn Disk, found: &mut Found, current: u64) -> Result<bool, StorageError> {
    let mut torn = Vec::new();
    for &number in found.segments.keys().filter(|&&number| number > current) {
        let Some(map) = found.map(number)? else { continue };
        if group::traces(&found.identity, (*map).as_ref(), number, PAGE).is_empty() {
            drop(map);
            found.write(number, &[0; PAGE as usize], 0)?;
            found.sync(number)?;
        } else {
            torn.push(number);
        }
    }
    for number in &torn {
        let path = found.path(*number);
        disk.remove(&path).map_err(|error| StorageError::io("remove", path, error))?;
        found.segments.remove(number);
    }
    if !torn.is_empty() {
        let synced = disk.sync_directory(&found.directory);
        synced.map_err(|error| StorageError::io("sync", &found.directory, error))?;
    }
    Ok(!torn.is_empty())
}
