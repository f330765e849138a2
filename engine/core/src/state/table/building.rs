//! An index that is built at once, for a table whose rows came back from a checkpoint.
//!
//! In the order in which the keys came every line of a large index would be a cache miss. So the pairs of tag and
//! entry number are dealt out first, to shares of the index that fit into the cache next to the processor; then each
//! share is *settled* by itself:
//!
//! ```text
//!  dealt     | tag, number | tag, number | ... free |    a share holds the pairs that belong to it, unordered ...
//!  settled   |   8 tags, 8 numbers   |   8 tags, 8 numbers   |           ... and then as lines, each pair at home
//! ```
//!
//! The line of each share that is being filled lies beside the others of its kind, all of them in the first cache, and
//! goes to its share when it is full. How many ways of a line are used is counted beside the lines while a share is
//! settled: a pair is written without reading its line. What finds its line full waits for the end of its share, and
//! goes on from its home like any key.
//!
//! All of it is done in bounded steps, page faults of the new index included.

use super::{FREE, Line, WAYS, each_pair, home, insert, tag};
use crate::fault::OutOfMemory;
use crate::record::key::Key;
use crate::state::memory::{Buf, Memory};
use crate::state::prefetch::prefetch_to_write;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// An index of at most this many lines is built where it lies: it is in the cache, or soon will be.
pub(super) const SHARE_LINES: usize = 4 << 10;
/// Shares of an index: as many places as can be written to in turn without missing the cache.
const SHARES_MAX: usize = 512;
/// Lines of pairs ahead for whose homes the processor is asked while a share is settled.
const AHEAD: usize = 2;
/// Keys that are dealt out, or put into an index where it lies, in a step.
pub(super) const STEP_KEYS: usize = 4 << 10;
/// Lines that are touched for the first time in a step: a huge page.
const STEP_LINES: usize = (2 << 20) / size_of::<Line>();

/// What a step came to.
pub(super) enum Built {
    /// There is more to do.
    Partly,
    /// The index is whole.
    Wholly,
    /// One of the shares would have more pairs than it has room for: hashes that are hardly any. The lines have any
    /// content.
    Crowded,
}

/// An index that is being built.
pub(super) struct Deal {
    /// Lines that have been touched.
    touched: usize,
    /// Entries that have been dealt out.
    entries: usize,
    /// Pairs in each share.
    dealt: Vec<u32>,
    /// The last line of each share, until it is full.
    last: Vec<Line>,
    /// Lines of a share, as a power of two.
    shift: u32,
    settling: Option<Settling>,
}

/// Shares are being settled.
struct Settling {
    /// The shares that are left, from the first on.
    left: usize,
    /// Pairs of the last share, and of the one in hand.
    last: Buf<Line>,
    pairs: Buf<Line>,
    /// Used ways of each line of a share.
    used: Vec<u8>,
    /// Pairs that found their line full.
    full: Vec<(u32, u32)>,
}

impl Deal {
    /// Begins with `lines` lines that are all empty, a power of two of more than [`SHARE_LINES`].
    pub(super) fn new(lines: usize) -> Self {
        let share = SHARE_LINES.max(lines / SHARES_MAX);
        let shares = lines / share;
        Deal {
            touched: 0,
            entries: 0,
            dealt: alloc::vec![0; shares],
            last: alloc::vec![FREE; shares],
            shift: share.ilog2(),
            settling: None,
        }
    }

    /// Goes on with the index of `entries`, which have room in it.
    pub(super) fn step<K: Key, V>(
        &mut self,
        lines: &mut Buf<Line>,
        entries: &[(K, V)],
        memory: &Arc<dyn Memory>,
    ) -> Result<Built, OutOfMemory> {
        if self.touched < lines.len() {
            let to = lines.len().min(self.touched + STEP_LINES);
            lines.refill_with_zeros(self.touched..to);
            self.touched = to;
            return Ok(Built::Partly);
        }
        if self.entries < entries.len() {
            let to = entries.len().min(self.entries + STEP_KEYS);
            let dealt = self.deal(lines, &entries[self.entries..to]);
            self.entries = to;
            return Ok(if dealt { Built::Partly } else { Built::Crowded });
        }
        self.settle(lines, memory)
    }

    /// Gives the pairs of some entries to their shares. False if there is no room.
    fn deal<K: Key, V>(&mut self, lines: &mut [Line], entries: &[(K, V)]) -> bool {
        let (mask, share) = (lines.len() - 1, 1 << self.shift);
        for (number, (key, _)) in (self.entries..).zip(entries) {
            let tag = tag(key.hash());
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

    /// Brings the pairs of one share home.
    ///
    /// What does not fit into a share goes on in the next one, which therefore comes before it; and what comes after
    /// the last one is the first one, so that the last one is taken out first and put back last.
    fn settle(&mut self, lines: &mut Buf<Line>, memory: &Arc<dyn Memory>) -> Result<Built, OutOfMemory> {
        let (share, shares) = (1 << self.shift, self.dealt.len());
        let Some(mut settling) = self.settling.take() else {
            let (mut last, mut pairs) = (Buf::new(memory.clone()), Buf::new(memory.clone()));
            last.reserve(share + 1)?;
            pairs.reserve(share + 1)?;
            self.take(lines, shares - 1, &mut last);
            let (used, full) = (alloc::vec![0; share], Vec::new());
            self.settling = Some(Settling { left: shares - 1, last, pairs, used, full });
            return Ok(Built::Partly);
        };
        let Settling { left, last, pairs, used, full } = &mut settling;
        if *left == 0 {
            each_pair(last, |tag, entry| insert(lines, tag, entry));
            return Ok(Built::Wholly);
        }
        *left -= 1;
        self.take(lines, *left, pairs);
        let first = *left << self.shift;
        settle_share(&mut lines[first..first + share], pairs, used, full);
        full.drain(..).for_each(|(tag, entry)| insert(lines, tag, entry));
        self.settling = Some(settling);
        Ok(Built::Partly)
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
