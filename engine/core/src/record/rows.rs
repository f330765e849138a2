//! Records as bytes that outlive the process: the blocks of a checkpoint, and single records in input logs and notes.
//!
//! What is written is what rkyv archives, so reading costs little more than a copy. What is read comes from a disk
//! and may be anything: every length is compared with what is there, every record is checked before it is taken for
//! one, and what does not fit is an error.
//!
//! ```text
//!  block     | count u32 | stride u32 | 0 u64 | rows ...
//!  stride    bytes of each row, which follow each other; or, if records of the type differ in size, 2^32 - 1 and
//! each row is
//!            | len u32 | 0 u32 | 0 u64 | archived bytes, padded to 16 |
//!  one       archived bytes, the root last
//! ```
//!
//! This file holds the unsafe code that takes checked bytes for rows of fixed size.

use crate::bounds::FRAME_ALIGN;
use crate::bounds::HINT_BYTES_MAX;
use crate::fault::Fault;
use crate::record::{Record, is_fixed, rebuild, with_archived, write_fixed};
use alloc::format;
use alloc::vec::Vec;
use core::any::type_name;
use core::cmp::Ordering;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use rkyv::api::access_pos_with_context;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Failure, Strategy};
use rkyv::validation::archive::ArchiveValidator;

/// Bytes before the rows of a block, and before each row of varying size.
pub(super) const HEADER: usize = FRAME_ALIGN;
/// The stride of rows that differ in size.
pub(super) const VARYING: u32 = u32::MAX;

const fn stride<R: Record>() -> u32 {
    if is_fixed::<R>() { size_of::<R::Archived>() as u32 } else { VARYING }
}

/// Appends a block of rows to `into`.
///
/// ```
/// use pelton_core::record::rows::{decode, encode};
/// let mut block = Vec::new();
/// encode(&mut block, [&(1u64, "one".to_string()), &(2, "two".to_string())])?;
/// let rows: Result<Vec<(u64, String)>, _> = decode(&block)?.collect();
/// assert_eq!(rows?[1].1, "two");
/// # Ok::<(), pelton::Fault>(())
/// ```
///
/// # Errors
/// When a custom rkyv wrapper in a record refuses to be archived.
pub fn encode<'a, R: Record>(into: &mut Vec<u8>, rows: impl IntoIterator<Item = &'a R>) -> Result<(), Fault> {
    let (start, rows) = (into.len(), rows.into_iter());
    // A hint is anybody's: one that is absurd reserves little, and is not believed.
    let hint = rows.size_hint().0.saturating_mul(size_of::<R::Archived>()).min(HINT_BYTES_MAX);
    into.reserve(HEADER + hint);
    into.extend_from_slice(&header(0, stride::<R>()));
    let mut count = 0u32;
    for row in rows {
        count = count.checked_add(1).ok_or_else(|| too_large::<R>("a block of more than 2^32 rows"))?;
        if is_fixed::<R>() {
            fixed(into, row);
        } else {
            with_archived(row, |bytes| {
                let len =
                    u32::try_from(bytes.len()).map_err(|_| too_large::<R>("a row of more than 4 GiB"))?;
                into.extend_from_slice(&header(len, 0));
                into.extend_from_slice(bytes);
                into.resize(start + (into.len() - start).next_multiple_of(FRAME_ALIGN), 0);
                Ok::<(), Fault>(())
            })??;
        }
    }
    into[start..start + 4].copy_from_slice(&count.to_le_bytes());
    Ok(())
}

pub(super) fn header(first: u32, second: u32) -> [u8; HEADER] {
    (u128::from(first) | u128::from(second) << 32).to_le_bytes()
}

#[inline(always)]
fn fixed<R: Record>(into: &mut Vec<u8>, row: &R) {
    let mut place = MaybeUninit::<R::Archived>::zeroed();
    // SAFETY: the place is as large and as aligned as the archived row.
    unsafe { write_fixed(row, place.as_mut_ptr().cast()) };
    // SAFETY: every byte of the place is initialised, by the row or by the zeros before it.
    let bytes = unsafe { core::slice::from_raw_parts(place.as_ptr().cast(), size_of::<R::Archived>()) };
    into.extend_from_slice(bytes);
}

/// Appends one record to `into`. Where it ends has to be known when it is read.
///
/// # Errors
/// As for [`encode`].
pub fn encode_one<R: Record>(into: &mut Vec<u8>, record: &R) -> Result<(), Fault> {
    with_archived(record, |bytes| into.extend_from_slice(bytes))
}

/// Reads what [`encode_one`] appended.
///
/// ```
/// use pelton_core::record::rows::{decode_one, encode_one};
/// let mut bytes = Vec::new();
/// encode_one(&mut bytes, &"a record".to_string())?;
/// assert_eq!(decode_one::<String>(&bytes)?, "a record");
/// assert!(decode_one::<String>(&bytes[..5]).is_err());
/// # Ok::<(), pelton::Fault>(())
/// ```
///
/// # Errors
/// When the bytes are no such record.
pub fn decode_one<R: Record>(bytes: &[u8]) -> Result<R, Fault> {
    if is_aligned(bytes) {
        return one(bytes);
    }
    let mut small = [0u128; 32];
    if bytes.len() <= size_of_val(&small) {
        return one(copy(bytes, &mut small));
    }
    let mut large = alloc::vec![0; bytes.len().div_ceil(size_of::<u128>())];
    one(copy(bytes, &mut large))
}

/// The record whose bytes these are, aligned, the root last.
fn one<R: Record>(bytes: &[u8]) -> Result<R, Fault> {
    let root =
        bytes.len().checked_sub(size_of::<R::Archived>()).ok_or_else(|| damaged::<R>("bytes are missing"))?;
    // Of a fixed record there is nothing before the root, and of another the root is where its alignment has it.
    if is_fixed::<R>() && root != 0 {
        return Err(damaged::<R>("bytes are left over"));
    }
    let archived =
        access_pos_with_context::<R::Archived, _, Failure>(bytes, root, &mut ArchiveValidator::new(bytes));
    archived.ok().and_then(rebuild::<R>).ok_or_else(|| damaged::<R>("a record is none"))
}

fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(FRAME_ALIGN)
}

fn copy<'a>(bytes: &[u8], words: &'a mut [u128]) -> &'a [u8] {
    // SAFETY: words are bytes, and as many as are asked for.
    let place =
        unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), size_of_val(words)) };
    place[..bytes.len()].copy_from_slice(bytes);
    &place[..bytes.len()]
}

#[cold]
fn too_large<R>(what: &str) -> Fault {
    Fault::Storage { message: format!("records of type {} cannot be saved: {what}", type_name::<R>()) }
}

#[cold]
fn damaged<R>(what: &str) -> Fault {
    Fault::Restore {
        message: format!("what was saved of records of type {} is damaged: {what}", type_name::<R>()),
    }
}

/// The rows of a block: see [`decode`].
pub struct Rows<'a, R> {
    bytes: Bytes<'a>,
    left: usize,
    at: usize,
    _rows: PhantomData<fn() -> R>,
}

/// Bytes that begin at a multiple of 16.
enum Bytes<'a> {
    Borrowed(&'a [u8]),
    Copied(Vec<u128>, usize),
}

impl Bytes<'_> {
    #[inline(always)]
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Borrowed(bytes) => bytes,
            // SAFETY: words are bytes, of which there are at least as many.
            Bytes::Copied(words, len) => unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), *len) },
        }
    }
}

/// Reads a block that [`encode`] wrote. Each row is checked when it is reached. Bytes that do not begin at a multiple
/// of 16 are copied.
///
/// # Errors
/// When the bytes are no block of rows of this type.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<Rows<'_, R>, Fault> {
    let number =
        |at: usize| bytes.get(at..at + 4).and_then(|word| Some(u32::from_le_bytes(word.try_into().ok()?)));
    let (Some(count), Some(found), true) = (number(0), number(4), bytes.len() >= HEADER) else {
        return Err(damaged::<R>("a block ends within its header"));
    };
    if found != stride::<R>() {
        return Err(damaged::<R>("its rows are of another size"));
    }
    let left = count as usize;
    if is_fixed::<R>()
        && bytes.len() as u64 != HEADER as u64 + u64::from(count) * size_of::<R::Archived>() as u64
    {
        return Err(damaged::<R>("a block has another length than its rows"));
    }
    if left == 0 && bytes.len() > HEADER {
        return Err(damaged::<R>("bytes are left over"));
    }
    let bytes = if is_aligned(bytes) {
        Bytes::Borrowed(bytes)
    } else {
        let mut words = alloc::vec![0; bytes.len().div_ceil(size_of::<u128>())];
        copy(bytes, &mut words);
        Bytes::Copied(words, bytes.len())
    };
    Ok(Rows { bytes, left, at: HEADER, _rows: PhantomData })
}

impl<R: Record> Rows<'_, R> {
    #[inline(always)]
    fn fixed(&mut self) -> Result<R, Fault> {
        let bytes = self.bytes.as_slice();
        let row = bytes[self.at..self.at + size_of::<R::Archived>()].as_ptr().cast::<R::Archived>();
        self.at += size_of::<R::Archived>();
        let mut validator = ArchiveValidator::new(bytes);
        // SAFETY: the bytes are initialised, and rows follow each other from an aligned start.
        if unsafe { R::Archived::check_bytes(row, Strategy::<_, Failure>::wrap(&mut validator)) }.is_err() {
            return Err(damaged::<R>("a record is none"));
        }
        // SAFETY: checked above.
        rebuild::<R>(unsafe { &*row }).ok_or_else(|| damaged::<R>("a record is none"))
    }

    fn varying(&mut self) -> Result<R, Fault> {
        let rest = &self.bytes.as_slice()[self.at..];
        let short = || damaged::<R>("a block ends within a record");
        let (header, rest) = rest.split_at_checked(HEADER).ok_or_else(short)?;
        let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let row = one(rest.get(..len).ok_or_else(short)?)?;
        // The padding of the last row is there too.
        self.at += HEADER + len.next_multiple_of(FRAME_ALIGN);
        match self.at.cmp(&self.bytes.as_slice().len()) {
            Ordering::Greater => Err(short()),
            // A row that nobody would read: its number says that there is none.
            Ordering::Less if self.left == 0 => Err(damaged::<R>("bytes are left over")),
            _ => Ok(row),
        }
    }
}

impl<R: Record> Iterator for Rows<'_, R> {
    type Item = Result<R, Fault>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let row = if is_fixed::<R>() { self.fixed() } else { self.varying() };
        if row.is_err() {
            self.left = 0;
        }
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // A damaged block may end early.
        (0, Some(self.left))
    }
}

impl<R> Rows<'_, R> {
    /// Rows that are still to come, as far as the block can be believed.
    pub fn left(&self) -> usize {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::hash::fold;
    use alloc::boxed::Box;
    use alloc::collections::BTreeMap;
    use alloc::string::String;

    /// Every kind of part that a record can have.
    type Varied = (Option<Box<String>>, Vec<(u8, i128)>, BTreeMap<u32, String>, [char; 2], bool);

    fn varied(n: u64) -> Varied {
        let text = |n: u64| "ab\u{e9}c".repeat(n as usize % 40);
        let numbers = (0..n % 5).map(|i| (i as u8, i128::from(fold(i)))).collect();
        let map = (0..n % 3).map(|i| (i as u32, text(fold(n + i)))).collect();
        ((n % 3 == 1).then(|| Box::new(text(n))), numbers, map, ['x', '\u{1F600}'], n.is_multiple_of(2))
    }

    fn check<R: Record + Clone + PartialEq + core::fmt::Debug>(row: impl Fn(u64) -> R) {
        for count in [0, 1, 2, 50] {
            let rows: Vec<R> = (0..count).map(&row).collect();
            // Behind something else, and at any address.
            for before in 0..17 {
                let mut bytes = alloc::vec![7; before];
                encode(&mut bytes, &rows).unwrap();
                let block = &bytes[before..];
                let read = decode::<R>(block).unwrap();
                assert_eq!(read.left(), rows.len());
                assert_eq!(read.collect::<Result<Vec<R>, Fault>>().unwrap(), rows);
                for len in [0, 3, HEADER - 1, block.len() - 1] {
                    // A block without rows is nothing but its header.
                    let read =
                        decode::<R>(&block[..len]).and_then(|rows| rows.collect::<Result<Vec<R>, Fault>>());
                    assert!(matches!(read, Err(Fault::Restore { .. })), "{len} bytes of {}", block.len());
                }
                // Nor are there more bytes than rows, or more rows than it says.
                let read = |bytes: &[u8]| decode::<R>(bytes)?.collect::<Result<Vec<R>, Fault>>();
                let longer = [block, &[0; FRAME_ALIGN]].concat();
                assert!(matches!(read(&longer), Err(Fault::Restore { .. })), "{count} rows");
                if count > 0 && size_of::<R::Archived>() > 0 {
                    let mut fewer = block.to_vec();
                    fewer[0] -= 1;
                    assert!(matches!(read(&fewer), Err(Fault::Restore { .. })), "{count} rows");
                }
                for one in &rows {
                    let mut bytes = alloc::vec![7; before];
                    encode_one(&mut bytes, one).unwrap();
                    assert_eq!(decode_one::<R>(&bytes[before..]).unwrap(), *one);
                }
            }
        }
        // Any bit may have flipped: that is an error or another record, and nothing worse.
        let mut block = Vec::new();
        encode(&mut block, &(1..6).map(&row).collect::<Vec<R>>()).unwrap();
        let mut single = Vec::new();
        encode_one(&mut single, &row(4)).unwrap();
        for bit in 0..block.len() * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            if let Ok(rows) = decode::<R>(&block) {
                assert!(rows.take(1_000).filter_map(Result::ok).count() <= 1_000);
            }
            block[bit / 8] ^= 1 << (bit % 8);
        }
        for bit in 0..single.len() * 8 {
            single[bit / 8] ^= 1 << (bit % 8);
            let _ = decode_one::<R>(&single).map(|row| row == row.clone());
            single[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn what_was_written_is_read_and_damage_is_no_more_than_an_error() {
        check(|n| n);
        check(|n| (n as u8, fold(n)));
        check(|n| (n, (n % 2 == 0).then_some(i128::from(n)), [char::from(n as u8); 3], n % 3 == 0));
        check(|n| "long or short ".repeat(n as usize % 70));
        check(varied);
    }

    #[test]
    fn rows_of_another_type_are_refused() {
        let mut block = Vec::new();
        encode(&mut block, &[1u64, 2]).unwrap();
        assert!(decode::<u32>(&block).is_err());
        assert!(decode::<String>(&block).is_err());
        assert!(decode_one::<u64>(&[0; 16]).is_err());
    }

    #[test]
    fn equal_rows_are_equal_bytes() {
        // What lies between the parts of a row is zero, whatever was there before.
        let block = |garbage: u8| {
            let mut into = alloc::vec![garbage; 4_096];
            into.clear();
            encode(&mut into, &(0..9).map(|n| (n as u8, n, Some(n % 2 == 0))).collect::<Vec<_>>()).unwrap();
            into
        };
        assert_eq!(block(0), block(0xff));
    }
}
