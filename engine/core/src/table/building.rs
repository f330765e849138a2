//! An index that is built at once, while the rows of a table come back from a checkpoint.
//!
//! In the order in which the keys came every line of a large index would be a cache miss. So the pairs of tag and
//! entry number are dealt out first, each row's while it is at hand, to shares of the index that fit into the cache
//! next to the processor; then each share is *settled* by itself:
//!
//! ```text
//!  dealt     | tag, number | tag, number | ... free |    a share holds the pairs that belong to it, unordered ...
//!  settled   |   8 tags, 8 numbers   |   8 tags, 8 numbers   |           ... and then as lines, each pair at home
//! ```
//!
//! How many ways of a line are used is counted beside the lines while a share is settled: a pair is then written
//! without reading its line. What finds its line full waits for the end of its share, and goes on from its home like
//! any key.

use super::{FREE, Line, WAYS, each_pair, home, insert};
use crate::fault::OutOfMemory;
use crate::memory::{Buf, Memory};
use crate::prefetch::prefetch_to_write;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// An index of at most this many lines is built where it lies: it is in the cache, or soon will be.
pub(super) const SHARE_LINES: usize = 4 << 10;
/// Shares of an index: as many places as can be written to in turn without missing the cache.
const SHARES_MAX: usize = 512;

/// Lines of pairs ahead for whose homes the processor is asked while a share is settled.
const AHEAD: usize = 2;

/// An index that is being dealt out to its shares.
pub(super) struct Deal {
    /// Pairs in each share.
    dealt: Vec<u32>,
    /// The last line of each share, until it is full: all of them together fit into the first cache.
    last: Vec<Line>,
    /// Lines of a share, as a power of two.
    shift: u32,
}

impl Deal {
    /// Begins with `lines` lines that are all empty, a power of two of more than [`SHARE_LINES`].
    pub(super) fn new(lines: usize) -> Self {
        let share = SHARE_LINES.max(lines / SHARES_MAX);
        let shares = lines / share;
        Deal { dealt: alloc::vec![0; shares], last: alloc::vec![FREE; shares], shift: share.ilog2() }
    }

    /// Gives the pairs of entry `first` and the following to their shares. False if one of them would have more than
    /// it has room for, with lines of any content: hashes that are hardly any.
    pub(super) fn deal(&mut self, lines: &mut [Line], first: usize, tags: impl Iterator<Item = u32>) -> bool {
        let (mask, share) = (lines.len() - 1, 1 << self.shift);
        for (number, tag) in (first..).zip(tags) {
            let to = home(tag, mask) >> self.shift;
            let (dealt, last) = (&mut self.dealt[to], &mut self.last[to]);
            let way = *dealt as usize % WAYS;
            last.tags[way] = tag;
            last.entries[way] = number as u32;
            if way == WAYS - 1 {
                let line = *dealt as usize / WAYS;
                if line == share {
                    return false;
                }
                let at = (to << self.shift) + line;
                lines[at] = *last;
                // Wanted when the next one is full.
                prefetch_to_write(lines.as_ptr().wrapping_add(at + 1).cast());
            }
            *dealt += 1;
        }
        true
    }

    /// Takes the pairs of share `to` out of its lines, which are empty then.
    fn take(&mut self, lines: &mut Buf<Line>, to: usize, into: &mut Buf<Line>) {
        let (full, rest) = (self.dealt[to] as usize / WAYS, self.dealt[to] as usize % WAYS);
        let held = to << self.shift..(to << self.shift) + full;
        into.clear();
        into.extend_from_slice(&lines[held.clone()]);
        lines.refill_with_zeros(held);
        self.last[to].tags[rest..].fill(0);
        into.push(self.last[to]);
    }

    /// Brings all pairs home.
    pub(super) fn settle(
        mut self,
        lines: &mut Buf<Line>,
        memory: &Arc<dyn Memory>,
    ) -> Result<(), OutOfMemory> {
        let (share, shares) = (1 << self.shift, self.dealt.len());
        // What does not fit into a share goes on in the next one, which therefore comes before it; and what comes
        // after the last one is the first one, so that the last one is taken out first and put back last.
        let (mut last, mut pairs) = (Buf::new(memory.clone()), Buf::new(memory.clone()));
        last.reserve(share + 1)?;
        pairs.reserve(share + 1)?;
        self.take(lines, shares - 1, &mut last);
        let (mut used, mut full) = (alloc::vec![0u8; share], Vec::new());
        for to in (0..shares - 1).rev() {
            self.take(lines, to, &mut pairs);
            let first = to << self.shift;
            settle_share(&mut lines[first..first + share], &pairs, &mut used, &mut full);
            full.drain(..).for_each(|(tag, entry)| insert(lines, tag, entry));
        }
        each_pair(&last, |tag, entry| insert(lines, tag, entry));
        Ok(())
    }
}

/// Writes pairs into the empty lines that they belong to. Those that find a line full are put into `full`.
fn settle_share(lines: &mut [Line], pairs: &[Line], used: &mut [u8], full: &mut Vec<(u32, u32)>) {
    used.fill(0);
    let mask = lines.len() - 1;
    for (number, line) in pairs.iter().enumerate() {
        if let Some(ahead) = pairs.get(number + AHEAD) {
            for &tag in &ahead.tags {
                prefetch_to_write(lines.as_ptr().wrapping_add(home(tag, mask)).cast());
            }
        }
        each_pair(core::slice::from_ref(line), |tag, entry| {
            let at = home(tag, mask);
            let way = usize::from(used[at]);
            if way == WAYS {
                return full.push((tag, entry));
            }
            used[at] += 1;
            lines[at].tags[way] = tag;
            lines[at].entries[way] = entry;
        });
    }
}
