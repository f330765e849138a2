//! What a part should hold: the CRC32C of all its bytes, with marks on the way.
//!
//! ```text
//!  part     |---------------------------|--------|--------|--------|----|
//!  marks                                m0       m1       m2       m3  end      each: so many bytes from the beginning, and their CRC32C
//!                                       <--- at least CHECK_BYTES -->
//! ```
//!
//! A checksum goes on from one mark to the next, so bytes between two marks can be checked without those before them. Marks are kept over the last
//! [`CHECK_BYTES`], one for each [`MARK_BYTES`]: that is what a start reads. A smaller part is checked from its first byte. What lies further back
//! was checked by earlier starts.
//!
//! Appending costs one pass of CRC32C over each row's bytes. A start costs one over the bytes that it reads, at the speed of the disk or of the page
//! cache.

use crate::bounds::{CHECK_BYTES, MARK_BYTES, READ_BYTES};
use pelton_core::Fault;
use pelton_core::checkpoint::notes::{Noted, Notes};
use pelton_storage::disk::DiskFile;
use std::collections::VecDeque;
use std::io;

/// Marks of a part: those over [`CHECK_BYTES`], the one before them, and the end.
const MARKS_MAX: u64 = CHECK_BYTES / MARK_BYTES + 2;

/// The beginning of a part: how long it is, and its CRC32C.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) bytes: u64,
    pub(super) crc: u32,
}

/// A part up to some length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// Ascending; the first is where a check begins, the last the end.
    marks: VecDeque<Mark>,
}

/// Why a part is not what it should be.
#[derive(Debug)]
pub(super) enum NotRight {
    /// Something in these bytes has changed.
    Differs { from: u64, to: u64, expected: u32, found: u32 },
    /// It cannot be read.
    Unreadable(io::Error),
}

impl Default for Marks {
    fn default() -> Self {
        Marks { marks: VecDeque::from([Mark::default()]) }
    }
}

impl Marks {
    /// Where the part ends.
    pub(super) fn end(&self) -> Mark {
        self.marks.back().copied().unwrap_or_default()
    }

    /// The part has these bytes more.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.append_spaced(bytes, MARK_BYTES, CHECK_BYTES);
    }

    fn append_spaced(&mut self, mut bytes: &[u8], spacing: u64, reach: u64) {
        while !bytes.is_empty() {
            let end = self.end();
            let room = spacing - end.bytes % spacing;
            let (now, rest) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            let next = Mark { bytes: end.bytes + now.len() as u64, crc: crc32c::crc32c_append(end.crc, now) };
            // The end is a mark that stays only where a mark is due, and the first one always.
            if self.marks.len() == 1 || end.bytes.is_multiple_of(spacing) {
                self.marks.push_back(next);
            } else if let Some(last) = self.marks.back_mut() {
                *last = next;
            }
            bytes = rest;
        }
        let from = self.end().bytes.saturating_sub(reach);
        while self.marks.get(1).is_some_and(|second| second.bytes <= from) {
            self.marks.pop_front();
        }
    }

    /// Reads `file` from the first mark on and compares: up to the end, and from there to `through`, which is not before it. Returns the marks
    /// through there.
    pub(super) fn check(&self, file: &dyn DiskFile, through: Mark) -> Result<Marks, NotRight> {
        let mut at = self.marks.front().copied().unwrap_or_default();
        let mut buffer = vec![0; READ_BYTES];
        for &expected in self.marks.iter().skip(1) {
            at = run(file, at, expected, &mut buffer, |_| ())?;
        }
        let mut marks = self.clone();
        run(file, at, through, &mut buffer, |bytes| marks.append(bytes))?;
        Ok(marks)
    }

    /// `| marks |`, and for each `| bytes | crc |`: numbers.
    pub(super) fn note(&self, notes: &mut Notes) {
        notes.number(self.marks.len() as u64);
        for mark in &self.marks {
            notes.number(mark.bytes);
            notes.number(u64::from(mark.crc));
        }
    }

    /// Reads what [`note`](Self::note) wrote.
    pub(super) fn noted(noted: &mut Noted<'_>) -> Result<Marks, Fault> {
        let wrong =
            || Fault::Restore { message: "a checkpoint's notes of a file sink make no sense".to_owned() };
        let count = noted.number()?;
        if !(1..=MARKS_MAX).contains(&count) {
            return Err(wrong());
        }
        let mut marks = VecDeque::new();
        for _ in 0..count {
            let (bytes, crc) = (noted.number()?, u32::try_from(noted.number()?).map_err(|_| wrong())?);
            if marks.back().is_some_and(|before: &Mark| before.bytes >= bytes) {
                return Err(wrong());
            }
            marks.push_back(Mark { bytes, crc });
        }
        Ok(Marks { marks })
    }
}

/// Writes the bytes of a file from `from` to `to` once more.
pub(super) fn again(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let mut at = from;
    while at < to {
        let len = usize::try_from(to - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        file.read_at(&mut buffer[..len], at)?;
        file.write_at(&buffer[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

/// Reads from one mark to the next, and compares. `each` is shown what was read.
fn run(
    file: &dyn DiskFile,
    from: Mark,
    to: Mark,
    buffer: &mut [u8],
    mut each: impl FnMut(&[u8]),
) -> Result<Mark, NotRight> {
    let mut at = from;
    while at.bytes < to.bytes {
        let len = usize::try_from(to.bytes - at.bytes).map_or(buffer.len(), |left| left.min(buffer.len()));
        let bytes = &mut buffer[..len];
        file.read_at(bytes, at.bytes).map_err(NotRight::Unreadable)?;
        each(bytes);
        at = Mark { bytes: at.bytes + len as u64, crc: crc32c::crc32c_append(at.crc, bytes) };
    }
    if at == to {
        return Ok(to);
    }
    Err(NotRight::Differs { from: from.bytes, to: to.bytes, expected: to.crc, found: at.crc })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_storage::disk::{Blocking, Disk, How};

    const SPACING: u64 = 1_000;
    const REACH: u64 = 16 * SPACING;

    fn marks_of(pieces: &[&[u8]]) -> Marks {
        let mut marks = Marks::default();
        pieces.iter().for_each(|piece| marks.append_spaced(piece, SPACING, REACH));
        marks
    }

    #[test]
    fn marks_do_not_depend_on_the_pieces() {
        let bytes: Vec<u8> = (0..3_005).map(|n: u32| ((n * 31) >> 3) as u8).collect();
        let whole = marks_of(&[&bytes]);
        for cut in [1, 7, 999, 1_000, 1_001, 3_000] {
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            assert_eq!(marks_of(&pieces), whole, "pieces of {cut}");
        }
        let lengths: Vec<u64> = whole.marks.iter().map(|mark| mark.bytes).collect();
        assert_eq!(lengths, [0, 1_000, 2_000, 3_000, 3_005]);
        assert_eq!(whole.end().crc, crc32c::crc32c(&bytes));
    }

    #[test]
    fn only_so_many_are_kept_and_they_reach_back_far_enough() {
        let mut marks = Marks::default();
        for piece in 0..300 {
            marks.append_spaced(&vec![7; piece], SPACING, REACH);
            let (first, end) = (marks.marks[0].bytes, marks.end().bytes);
            assert!(marks.marks.len() as u64 <= MARKS_MAX, "{} marks", marks.marks.len());
            let checked = end - first;
            assert!(first == 0 || (REACH..REACH + SPACING).contains(&checked), "{checked} of {end}");
            let mut notes = Notes::default();
            marks.note(&mut notes);
            assert_eq!(Marks::noted(&mut Noted::new(notes.as_slice())).unwrap(), marks);
        }
        assert!(marks.marks[0].bytes > 0);
    }

    #[test]
    fn what_has_changed_is_found_with_its_place() {
        let path = std::env::temp_dir().join(format!("pelton-marks-{}", std::process::id()));
        let mut bytes: Vec<u8> = (0..2_500).map(|n: u32| (n >> 3) as u8).collect();
        let marks = marks_of(&[&bytes[..1_500]]);
        let end = crc32c::crc32c(&bytes);
        let check = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let file = Blocking::new().open(&path, How::Read).unwrap();
            marks.check(&*file, Mark { bytes: 2_500, crc: end })
        };
        assert_eq!(check(&bytes).unwrap().end().crc, end);
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let NotRight::Differs { from, to, .. } = check(&bytes).unwrap_err() else { panic!("{at}") };
            assert!(
                [(0, 1_000), (1_000, 1_500), (1_500, 2_500)].contains(&(from, to)),
                "byte {at}: {from} {to}"
            );
            assert!((from..to).contains(&(at as u64)), "byte {at}: {from} {to}");
            bytes[at] ^= 1;
        }
        assert!(matches!(check(&bytes[..2_499]), Err(NotRight::Unreadable(_))));
        std::fs::remove_file(&path).unwrap();
    }
}
