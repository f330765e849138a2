//! One damaged byte in the last group of a log, told from a write that was cut short.
//!
//! A last group that does not check was cut short while it was written, so nobody was told that it is durable, and it
//! is dropped; or it was written completely, perhaps acknowledged, and a byte of it was changed later. To drop it then
//! is to lose what was promised. What tells the two apart is how much differs. A write that is cut short leaves whole
//! sectors of 512 bytes as they were: zeros, or what a recycled segment held before, which differ from what should be
//! there in hundreds of bytes. So if changing one single byte makes the group good from end to end, it was written, and
//! that byte is damage.
//!
//! # Finding the byte
//!
//! CRC32C is linear: what a changed byte does to the checksum depends on the change `d` and on how many bytes follow,
//! not on any other byte.
//!
//! ```text
//!  difference of the states      0     0    T[d]   step(T[d])   step(step(T[d])) …   = stored ^ computed
//!  bytes of the entry         | ... | ... | byte ^ d | same  |  same  | ... | same |
//!                                         ^ the byte        <--- walked back from here
//! ```
//!
//! A step can be undone, since the top byte of T\[k\] is another one for each k. So the difference is walked back from the
//! entry's last byte to its first, and where it is one of the 256 values of T, a change of that one byte explains it:
//! one look per byte instead of 255 checksums. A changed byte of the checksum itself shows in the difference as it is.
//! A changed byte of `len` moves the end of what is covered, so all values of its bytes are tried, those behind
//! whose entry another one claims to begin; a changed `position` can only have one value.
//!
//! # When that proves nothing
//!
//! A sector that holds a checksum or a position of this group was written with it: in what was there before, both
//! are others. So only sectors wholly within a payload can be old without being noticed otherwise ("blind"), and an entry
//! without one was not torn if one byte makes the group good. In a longer one, the difference that comes from a missing
//! sector looks like that of one byte with a chance of (changes that are tried) / 2^32. What is tried of its payload and
//! the fields of its header is therefore
//!
//! | blind sectors of the entry | changes that count |
//! |---|---|
//! | none | of one byte |
//! | some | of one byte up to 8 KiB, of one bit up to 256 KiB: one in 2,000 torn writes that lost nothing but such sectors is taken for damage |
//! | one reads as zeros | of one byte up to 1 KiB, of one bit up to 32 KiB: one in 16,000 |
//! | one holds a position from before its segment was recycled | none |
//!
//! And two kinds of sectors can be old in a single byte: one of which only that byte is not zero, and one of a recycled
//! segment in which only the position differs. With these the group counts as cut short. What remains is a payload of
//! which a sector is, but for one byte, what the recycled segment held there before, and of which just that sector is missing:
//! it is refused, though nothing of it was acknowledged.
//!
//! Costs, once at a start, no more than a few nanoseconds for each byte of one entry.

use crate::entry::{self, ALIGN, HEADER, PAD};
use crate::group::{self, Fault};
use crate::segment::Identity;

/// What a disk writes wholly or not at all.
const SECTOR: u64 = 512;
/// Changes of an entry that may be tried against its checksum: one in 2,000 that one of them fits by chance.
const CHANGES_MAX: usize = 1 << 21;

/// CRC32C's polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// What a byte does to a state of zero.
const STEP: [u32; 256] = step_table();
/// Which byte a state's highest byte comes from.
const BACK: [u8; 256] = back_table();

const fn step_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            state = (state >> 1) ^ if state & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[byte] = state;
        byte += 1;
    }
    table
}

const fn back_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[(STEP[byte] >> 24) as usize] = byte as u8;
        byte += 1;
    }
    table
}

/// A byte that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) position: u64,
    pub(crate) expected: u8,
    pub(crate) found: u8,
}

/// A change of one byte of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    at: usize,
    to: u8,
}

/// The one byte that is wrong in the last group of a log, which begins at `position` and fails with `fault`; `None` if
/// it was cut short. `bytes` are those of the group and of all that follows in its segment.
pub(crate) fn damage(identity: &Identity, bytes: &[u8], position: u64, fault: Fault) -> Option<Damage> {
    let (seed, at) = (identity.seed(), fault.position);
    let rest = bytes.get((at - position) as usize..).filter(|rest| rest.len() >= HEADER)?;
    let changes = changes(identity, rest, at);
    let change = changes.into_iter().find(|&change| {
        let Some(mended) = mended(seed, rest, at, change) else { return false };
        !is_perhaps_old(identity, rest, at, change, mended.len())
            && group::check_with(identity, bytes, position, false, Some((at, &mended))).is_ok()
    })?;
    Some(Damage { position: at + change.at as u64, expected: change.to, found: rest[change.at] })
}

/// The entry with one byte changed, if it is good then.
fn mended(seed: u32, bytes: &[u8], position: u64, change: Change) -> Option<Vec<u8>> {
    let mut header: [u8; HEADER] = *bytes.first_chunk()?;
    if let Some(byte) = header.get_mut(change.at) {
        *byte = change.to;
    }
    let mut mended = bytes.get(..entry::bytes(entry::fields(&header).len))?.to_vec();
    *mended.get_mut(change.at)? = change.to;
    entry::check(seed, &mended, position).ok().map(|_| mended)
}

/// The changes of one byte that may make the entry good that begins `bytes`, most of them for certain.
fn changes(identity: &Identity, bytes: &[u8], position: u64) -> Vec<Change> {
    if !entry::claims(bytes, position) {
        let wrong = (16..24).zip(position.to_le_bytes()).filter(|&(at, to)| bytes[at] != to);
        return wrong.map(|(at, to)| Change { at, to }).collect();
    }
    let mut changes = Vec::new();
    let header = entry::fields(bytes);
    for at in 4..8 {
        for to in (0..=u8::MAX).filter(|&to| to != bytes[at]) {
            let shift = 8 * (at - 4);
            let len = header.len & !(0xFF << shift) | usize::from(to) << shift;
            let next = entry::bytes(len);
            let is_followed =
                bytes.get(next..).is_some_and(|rest| entry::claims(rest, position + next as u64));
            if is_followed || len == 0 && header.kind == PAD {
                changes.push(Change { at, to });
            }
        }
    }
    let Some(entry) = bytes.get(..entry::bytes(header.len)) else { return changes };
    let end = HEADER + header.len;
    let difference = entry::u32_at(bytes, 0) ^ crc32c::crc32c_append(identity.seed(), &entry[4..end]);
    for (at, (by, &there)) in difference.to_le_bytes().into_iter().zip(entry).enumerate() {
        if u32::from(by) << (8 * at) == difference {
            changes.push(Change { at, to: there ^ by });
        }
    }
    let most = match blind(identity, entry, position) {
        Blind::None => usize::MAX,
        Blind::Old => 0,
        Blind::Zeros => CHANGES_MAX / 8,
        Blind::Some => CHANGES_MAX,
    };
    let most = most / (end - 4);
    let counts =
        |change: &Change| most >= if (change.to ^ bytes[change.at]).is_power_of_two() { 8 } else { 255 };
    if most >= 8 {
        changes.extend(changes_that_explain(difference, &entry[..end]).filter(counts));
    }
    changes
}

/// The changes of one byte behind the checksum and outside of `len` that lead to such a difference of checksums.
fn changes_that_explain(difference: u32, entry: &[u8]) -> impl Iterator<Item = Change> {
    let mut state = difference;
    (8..entry.len()).rev().filter_map(move |at| {
        let byte = BACK[(state >> 24) as usize];
        let explains = STEP[usize::from(byte)] == state && byte != 0;
        // Undone: the shift has lost the lowest byte, which is the one that was looked up.
        state = (state ^ STEP[usize::from(byte)]) << 8 | u32::from(byte);
        explains.then(|| Change { at, to: entry[at] ^ byte })
    })
}

/// What the sectors of an entry show in which nothing can say that they are of this group: neither its checksum nor
/// its position nor any of the next entry, which begins where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Blind {
    /// There are none.
    None,
    /// They may be what they should be.
    Some,
    /// One reads as zeros.
    Zeros,
    /// One has an entry of an earlier segment.
    Old,
}

fn blind(identity: &Identity, entry: &[u8], position: u64) -> Blind {
    let sectors = blind_sectors(position, entry.len()).map(|at| &entry[at as usize..][..SECTOR as usize]);
    let first = blind_sectors(position, entry.len()).next().map_or(0, |at| position + at);
    let shown = sectors.enumerate().map(|(number, sector)| {
        let own = first + number as u64 * SECTOR;
        let is_earlier = |(word, bytes): (usize, &[u8])| {
            // Of the entry that begins 16 bytes before.
            let (there, of) = (own + (word * ALIGN) as u64 - ALIGN as u64, entry::u64_at(bytes, 0));
            of != 0 && of < there && (there - of).is_multiple_of(identity.segment_bytes)
        };
        match () {
            () if sector.chunks_exact(ALIGN).enumerate().any(is_earlier) => Blind::Old,
            () if sector.iter().all(|&byte| byte == 0) => Blind::Zeros,
            () => Blind::Some,
        }
    });
    shown.max().unwrap_or(Blind::None)
}

/// Where they begin in the entry.
fn blind_sectors(position: u64, bytes: usize) -> impl Iterator<Item = u64> {
    let first = (position + HEADER as u64).next_multiple_of(SECTOR) - position;
    (first..).step_by(SECTOR as usize).take_while(move |at| at + SECTOR <= bytes as u64)
}

/// Whether the sector with the changed byte may be what was there before, all of it.
fn is_perhaps_old(
    identity: &Identity,
    bytes: &[u8],
    position: u64,
    change: Change,
    entry_bytes: usize,
) -> bool {
    let sector = (position + change.at as u64) / SECTOR * SECTOR;
    let in_position = (16..24).contains(&change.at);
    let is_last = entry::fields(bytes).kind == PAD;
    if in_position && sector > position && (is_last || sector + SECTOR <= position + entry_bytes as u64) {
        // The checksum is in the sector before, and the next entry behind this one; or nothing but zeros is, behind a PAD.
        let found = entry::u64_at(bytes, 16);
        return found < position && (position - found).is_multiple_of(identity.segment_bytes);
    }
    let is_blind = blind_sectors(position, entry_bytes).any(|at| position + at == sector);
    is_blind && bytes[(sector - position) as usize..][..SECTOR as usize].iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Bad, Kind};
    use crate::group::{GROUP_BYTES, Opening};
    use crate::segment::PAGE;

    const IDENTITY: Identity = Identity { id: 77, generation: 1, shard: 2, segment_bytes: 64 << 10 };

    /// Splitmix64.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut x = self.0;
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((x ^ (x >> 31)) % end as u64) as usize
        }
    }

    fn push(bytes: &mut Vec<u8>, start: u64, tick: u64, kind: u16, payload: &[u8]) {
        let position = start + bytes.len() as u64;
        bytes.extend(entry::seal(IDENTITY.seed(), position, tick, kind, 0, payload));
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(entry::ALIGN), 0);
    }

    /// A group at `start` with entries of such payloads.
    fn group(start: u64, payloads: &[Vec<u8>]) -> Vec<u8> {
        let opening =
            Opening { position: start, tick_before: 4, sequence: 9, previous: 4_096, released: 3, first: 0 };
        let mut bytes = opening.seal(IDENTITY.seed()).to_vec();
        for payload in payloads {
            push(&mut bytes, start, 5, Kind::Tick as u16, payload);
        }
        push(&mut bytes, start, 9, PAD, &[]);
        bytes.resize(bytes.len().next_multiple_of(PAGE as usize), 0);
        bytes
    }

    fn look(start: u64, bytes: &[u8]) -> Option<Damage> {
        let fault = group::check(&IDENTITY, bytes, start, false).err()?;
        damage(&IDENTITY, bytes, start, fault)
    }

    fn payload(chance: &mut Chance, len: usize) -> Vec<u8> {
        (0..len).map(|_| chance.below(256) as u8).collect()
    }

    /// All changes of one byte that make it good, by trying them.
    fn twin(bytes: &[u8], position: u64) -> Vec<Change> {
        let mut found = Vec::new();
        let mut tried = bytes.to_vec();
        for at in 0..bytes.len() {
            for to in (0..=u8::MAX).filter(|&to| to != bytes[at]) {
                tried[at] = to;
                if entry::check(IDENTITY.seed(), &tried, position).is_ok() {
                    found.push(Change { at, to });
                }
            }
            tried[at] = bytes[at];
        }
        found
    }

    #[test]
    fn the_same_changes_are_found_as_by_trying_all() {
        let mut found = 0;
        for seed in 0..40 {
            let chance = &mut Chance(seed);
            let start = 4_096 + 16 * chance.below(200) as u64;
            let len = chance.below(60);
            let mut bytes = Vec::new();
            push(&mut bytes, start, 5, Kind::Tick as u16, &payload(chance, len));
            let own = bytes.len();
            // The one that follows, so that a length can be made out.
            push(&mut bytes, start, 9, PAD, &[]);
            for _ in 0..1 + chance.below(2) {
                let (at, by) = (chance.below(own), 1 + chance.below(255));
                bytes[at] ^= by as u8;
            }
            let mut changes = changes(&IDENTITY, &bytes, start);
            changes.retain(|&change| mended(IDENTITY.seed(), &bytes, start, change).is_some());
            changes.sort_unstable();
            if entry::check(IDENTITY.seed(), &bytes, start).is_err() {
                assert_eq!(changes, twin(&bytes, start), "seed {seed}");
                found += changes.len();
            }
        }
        assert!(found > 10, "{found}");
    }

    #[test]
    fn a_walk_back_undoes_steps() {
        let mut chance = Chance(1);
        for _ in 0..1_000 {
            let len = 9 + chance.below(400);
            let mut entry = payload(&mut chance, len);
            let good = crc32c::crc32c(&entry);
            let (at, by) = (8 + chance.below(entry.len() - 8), 1 + chance.below(255) as u8);
            entry[at] ^= by;
            let difference = good ^ crc32c::crc32c(&entry);
            let change = Change { at, to: entry[at] ^ by };
            assert!(changes_that_explain(difference, &entry).any(|found| found == change));
        }
    }

    #[test]
    fn every_changed_byte_of_a_group_is_named() {
        for seed in 0..60 {
            let chance = &mut Chance(seed);
            let start = 4_096 * (1 + chance.below(8) as u64);
            let most = [40, 700, 5_000][seed as usize % 3];
            let payloads: Vec<_> = (0..chance.below(4)).map(|_| chance.below(most)).collect();
            let payloads: Vec<_> = payloads.into_iter().map(|len| payload(chance, len)).collect();
            let whole = group(start, &payloads);
            assert_eq!(look(start, &whole), None);
            let mut bytes = whole.clone();
            for at in 0..whole.len() {
                let to = whole[at] ^ (1 + chance.below(255) as u8);
                bytes[at] = to;
                let damage = Damage { position: start + at as u64, expected: whole[at], found: to };
                match group::check(&IDENTITY, &bytes, start, false) {
                    Ok(_) => assert_eq!(whole[at], 0, "seed {seed}: byte {at} counts"),
                    Err(_) => assert_eq!(look(start, &bytes), Some(damage), "seed {seed}: byte {at}"),
                }
                bytes[at] = whole[at];
            }
        }
    }

    #[test]
    fn two_changed_bytes_are_not_one() {
        for seed in 0..2_000 {
            let chance = &mut Chance(seed);
            let len = 16 * chance.below(25);
            let mut bytes = group(8_192, &[payload(chance, len)]);
            let end = GROUP_BYTES as usize + 64 + len;
            let (one, other) = (chance.below(end / 2), end / 2 + chance.below(end / 2));
            bytes[one] ^= 1 + chance.below(255) as u8;
            bytes[other] ^= 1 + chance.below(255) as u8;
            assert_eq!(look(8_192, &bytes), None, "seed {seed}");
        }
    }

    /// A sector that was lost, with zeros or old bytes in its place, however little of it that changes.
    #[test]
    fn a_sector_that_was_not_written_is_no_byte() {
        let mut payload = vec![0; 3_000];
        // Alone in its sector.
        payload[1_500] = 5;
        let whole = group(4_096, &[payload]);
        let mut bytes = whole.clone();
        bytes[GROUP_BYTES as usize + HEADER + 1_500] = 0;
        assert!(group::check(&IDENTITY, &bytes, 4_096, false).is_err());
        assert_eq!(look(4_096, &bytes), None);
        bytes[GROUP_BYTES as usize + HEADER + 1_500] = 4;
        assert!(look(4_096, &bytes).is_some());
        bytes[GROUP_BYTES as usize + HEADER + 1_500] = 6;
        assert_eq!(look(4_096, &bytes), None, "two bits, with zeros elsewhere");

        // A header across two sectors, before zeros: of an old sector in a recycled segment only the position tells.
        let start = IDENTITY.segment_bytes * 5 + 4_096;
        let split = vec![0; 496 - GROUP_BYTES as usize - HEADER];
        let mut bytes = group(start, &[split.clone(), vec![0; 2_000]]);
        let before = group(start - IDENTITY.segment_bytes, &[split, vec![0; 2_000]]);
        bytes[512..1_024].copy_from_slice(&before[512..1_024]);
        let fault = group::check(&IDENTITY, &bytes, start, false).unwrap_err();
        assert_eq!((fault.position, fault.bad), (start + 496, Bad::Nothing));
        assert_eq!(
            bytes.iter().zip(&group(start, &[vec![0; 400], vec![0; 2_000]])).filter(|(a, b)| a != b).count(),
            1
        );
        assert_eq!(look(start, &bytes), None);
    }

    /// The simulator's seed 4003917: of the last sector of a group, which had replaced one just as long, only the position was another.
    #[test]
    fn a_pad_of_which_the_old_half_is_left_is_no_damage() {
        let start = IDENTITY.segment_bytes * 5 + 4_096;
        let payload = vec![0; 496 - GROUP_BYTES as usize - HEADER];
        let whole = group(start, std::slice::from_ref(&payload));
        let before = group(start - IDENTITY.segment_bytes, std::slice::from_ref(&payload));
        let mut bytes = whole.clone();
        bytes[512..].copy_from_slice(&before[512..]);
        assert_eq!(bytes.iter().zip(&whole).filter(|(a, b)| a != b).count(), 1);
        assert!(group::check(&IDENTITY, &bytes, start, false).is_err());
        assert_eq!(look(start, &bytes), None);
    }

    /// As the chance allows that another sector is missing.
    #[test]
    fn long_entries_are_believed_less() {
        let identity = Identity { segment_bytes: 4 << 20, ..IDENTITY };
        for (len, any_byte, one_bit) in
            [(900, true, true), (8_000, true, true), (9_000, false, true), (300_000, false, false)]
        {
            let payload = payload(&mut Chance(len as u64), len);
            let mut bytes = group(4_096, &[payload]);
            for (by, named) in [(0x40, one_bit), (0x41, any_byte)] {
                let at = GROUP_BYTES as usize + HEADER + len / 2;
                bytes[at] ^= by;
                let fault = group::check(&identity, &bytes, 4_096, false).unwrap_err();
                assert!(matches!(fault.bad, Bad::Checksum { .. }));
                assert_eq!(damage(&identity, &bytes, 4_096, fault).is_some(), named, "{len} bytes, {by}");
                bytes[at] ^= by;
            }
            // Its length has one value only.
            let at = GROUP_BYTES as usize + 5;
            bytes[at] ^= 0x41;
            let fault = group::check(&identity, &bytes, 4_096, false).unwrap_err();
            assert!(damage(&identity, &bytes, 4_096, fault).is_some(), "{len} bytes");
        }
    }
}
