//! A line of a leaf's index: tags that are compared all at once, and the entries that they lead to.

/// Keys in one line of the index.
pub(super) const WAYS: usize = 16;

/// One cache line of the index.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// Parts of hashes, all of them odd; 0 is free, and those come last. An entry that is gone from a line that was full leaves [`GONE`].
    pub(super) tags: [u16; WAYS],
    pub(super) entries: [u16; WAYS],
}

/// The bits of a hash that a leaf uses. What chooses the leaf are others, and neither the key group nor a key's low bits show here: a set
/// of keys whose hashes agree in many bits is spread all the same.
#[derive(Clone, Copy)]
pub(super) struct Mixed(u32);

impl Mixed {
    #[inline(always)]
    pub(super) fn new(hash: u64) -> Self {
        Mixed((Self::product(hash) >> 32) as u32)
    }

    /// What is mixed: the first bits depend on all bits of the hash.
    #[inline(always)]
    pub(super) fn product(hash: u64) -> u64 {
        hash.wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }

    #[inline(always)]
    pub(super) fn tag(self) -> u16 {
        self.0 as u16 | 1
    }

    #[inline(always)]
    pub(super) fn home(self) -> usize {
        (self.0 >> 16) as usize
    }
}

/// A bit for each way whose tag is `tag`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn matching(tags: &[u16; WAYS], tag: u16) -> u32 {
    use core::arch::x86_64::{
        _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
    };
    // SAFETY: every x86-64 processor has these instructions, and the tags are two times sixteen bytes.
    unsafe {
        let wanted = _mm_set1_epi16(tag as i16);
        let half = |from: usize| _mm_cmpeq_epi16(_mm_loadu_si128(tags.as_ptr().add(from).cast()), wanted);
        _mm_movemask_epi8(_mm_packs_epi16(half(0), half(WAYS / 2))) as u32
    }
}

/// A bit for each way whose tag is `tag`.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn matching(tags: &[u16; WAYS], tag: u16) -> u32 {
    tags.iter().enumerate().fold(0, |found, (way, &t)| found | u32::from(t == tag) << way)
}

/// A line without keys.
pub(super) const FREE: Line = Line { tags: [0; WAYS], entries: [0; WAYS] };

/// The tag of an entry that is gone from a full line, since others may have gone on to the next line.
const GONE: u16 = 2;

/// Where an entry is: its line and way.
pub(super) fn way_of(lines: &[Line], mixed: Mixed, entry: u16) -> (usize, usize) {
    let mask = lines.len() - 1;
    let mut at = mixed.home() & mask;
    loop {
        let line = &lines[at];
        let mut found = matching(&line.tags, mixed.tag());
        while found != 0 {
            let way = found.trailing_zeros() as usize & (WAYS - 1);
            if line.entries[way] == entry {
                return (at, way);
            }
            found &= found - 1;
        }
        assert!(line.tags[WAYS - 1] != 0, "an entry that is not in the index");
        at = (at + 1) & mask;
    }
}

/// Takes an entry out that is in the index; true if that left a way that cannot be used again.
pub(super) fn take_out(lines: &mut [Line], mixed: Mixed, entry: u16) -> bool {
    let (at, way) = way_of(lines, mixed, entry);
    let line = &mut lines[at];
    if line.tags[WAYS - 1] != 0 {
        line.tags[way] = GONE;
        return true;
    }
    // The last one used takes its way.
    let last = matching(&line.tags, 0).trailing_zeros() as usize - 1;
    (line.tags[way], line.entries[way]) = (line.tags[last], line.entries[last]);
    line.tags[last] = 0;
    false
}

/// An entry has another number now.
pub(super) fn renumber(lines: &mut [Line], mixed: Mixed, from: u16, to: u16) {
    let (at, way) = way_of(lines, mixed, from);
    lines[at].entries[way] = to;
}

/// Puts an entry that is not in the index yet into the first free way from its home on.
#[inline(always)]
pub(super) fn insert(lines: &mut [Line], mixed: Mixed, entry: u16) {
    let mask = lines.len() - 1;
    let mut at = mixed.home() & mask;
    loop {
        let line = &mut lines[at];
        let free = matching(&line.tags, 0);
        if free != 0 {
            let way = free.trailing_zeros() as usize & (WAYS - 1);
            line.tags[way] = mixed.tag();
            line.entries[way] = entry;
            return;
        }
        at = (at + 1) & mask;
    }
}
