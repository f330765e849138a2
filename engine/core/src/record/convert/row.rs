//! One row, from bytes to bytes, as a [`Plan`] says.
//!
//! The order in which rkyv writes is kept: whatever a value owns, depth first, and then the value, aligned. Since a pointer is relative to
//! where it stands, and a value is made before that is known, pointers are noted and filled in when the value is written.
//!
//! The bytes before may be damaged. Every place that is read is looked up with its bounds; and what lies out of line is claimed, byte by
//! byte, of which there are no more than the row has: so what was written once is read once at most, and a row becomes no larger than
//! its schema allows for.

use super::layout::Layout;
use super::parse::{Kind, Number};
use super::plan::{Part, Plan};
use crate::bounds::{CONVERTED_BYTES_MAX, FRAME_ALIGN};
use crate::record::rows::{HEADER, header};
use alloc::string::String;
use alloc::vec::Vec;

/// Why a row was not converted.
pub(super) enum Stop {
    /// What is wrong with its bytes.
    Damage(&'static str),
    /// It has a variant that is gone: the enum, and the variant.
    Gone(String, String),
    /// It would be too large.
    TooLarge,
}

const OUTSIDE: Stop = Stop::Damage("a row points to bytes that are not its own");

/// Bytes of a text that need no place out of line.
const INLINE_TEXT: usize = 8;

/// A pointer that is written when its own place is known. Places are indices of `values`, and the target counts from the start of the row.
struct Pointer {
    stands: usize,
    counts_from: usize,
    target: usize,
}

/// Rows on their way, one after the other.
pub(super) struct Rows<'o> {
    into: &'o mut Vec<u8>,
    /// Where in `into` the row under way begins.
    start: usize,
    /// Bytes before that nothing has claimed yet.
    left: usize,
    /// Values that are not complete, the outermost first.
    values: Vec<u8>,
    pointers: Vec<Pointer>,
}

impl<'o> Rows<'o> {
    pub(super) fn new(into: &'o mut Vec<u8>) -> Self {
        Rows { into, start: 0, left: 0, values: Vec::new(), pointers: Vec::new() }
    }

    /// Appends the row that `before` becomes, in which the value begins at `root`.
    pub(super) fn row(&mut self, plan: &Plan, before: &[u8], root: usize, now: Layout) -> Result<(), Stop> {
        (self.start, self.left) = (self.into.len(), root);
        self.owned(now, 1, |rows, to| rows.value(plan, before, root, to)).map(drop)
    }

    /// As `row`, with the header of a row of varying size, in a block that begins at `block`.
    pub(super) fn entry(
        &mut self,
        plan: &Plan,
        before: &[u8],
        root: usize,
        now: Layout,
        block: usize,
    ) -> Result<(), Stop> {
        let at = self.into.len();
        self.into.extend_from_slice(&header(0, 0));
        self.row(plan, before, root, now)?;
        let len = u32::try_from(self.into.len() - at - HEADER).map_err(|_| Stop::TooLarge)?;
        self.into[at..at + 4].copy_from_slice(&len.to_le_bytes());
        self.into.resize(block + (self.into.len() - block).next_multiple_of(FRAME_ALIGN), 0);
        Ok(())
    }

    /// Writes `len` values of one layout behind all that they own, and says where they begin.
    fn owned(
        &mut self,
        Layout { size, align }: Layout,
        len: usize,
        make: impl FnOnce(&mut Self, usize) -> Result<(), Stop>,
    ) -> Result<usize, Stop> {
        let (values, pointers) = (self.values.len(), self.pointers.len());
        let bytes =
            size.checked_mul(len).filter(|bytes| *bytes <= CONVERTED_BYTES_MAX).ok_or(Stop::TooLarge)?;
        self.values.resize(values + bytes, 0);
        make(self, values)?;
        let at = self.align(align);
        for Pointer { stands, counts_from, target } in self.pointers.drain(pointers..) {
            let distance = target as i64 - (at + counts_from - values) as i64;
            let distance = i32::try_from(distance).map_err(|_| Stop::TooLarge)?;
            self.values[stands..stands + 4].copy_from_slice(&distance.to_le_bytes());
        }
        self.into.extend_from_slice(&self.values[values..]);
        self.values.truncate(values);
        Ok(at)
    }

    /// Where what follows in the row begins.
    fn align(&mut self, align: usize) -> usize {
        let at = (self.into.len() - self.start).next_multiple_of(align);
        self.into.resize(self.start + at, 0);
        at
    }

    fn write(&mut self, to: usize, bytes: &[u8]) {
        self.values[to..to + bytes.len()].copy_from_slice(bytes);
    }

    /// The place of `len` bytes that a pointer points to, which counts from `from`.
    fn claim(&mut self, before: &[u8], from: usize, distance: [u8; 4], len: usize) -> Result<usize, Stop> {
        let place = from as i64 + i64::from(i32::from_le_bytes(distance));
        let place = usize::try_from(place).map_err(|_| OUTSIDE)?;
        if before.len().checked_sub(place).is_none_or(|rest| len > rest) {
            return Err(OUTSIDE);
        }
        self.left = self.left.checked_sub(len).ok_or(Stop::Damage("parts of a row lie over each other"))?;
        Ok(place)
    }

    fn point(&mut self, stands: usize, target: usize) {
        self.pointers.push(Pointer { stands, counts_from: stands, target });
    }

    /// Makes the value at `to` in `values` of the one at `from` in `before`.
    fn value(&mut self, plan: &Plan, before: &[u8], from: usize, to: usize) -> Result<(), Stop> {
        match plan {
            Plan::Nothing => {}
            Plan::Copy(len) => self.copy(before, from, to, *len)?,
            Plan::Widen { from: number, to: wider } => {
                let bytes = before.get(from..from + number.bytes).ok_or(OUTSIDE)?;
                self.write(to, &widen(*number, *wider, bytes)[..wider.bytes]);
            }
            Plan::Text => self.text(before, from, to)?,
            Plan::NoText => self.write(to, &[0xff; INLINE_TEXT]),
            Plan::Vec { before: size, now, each } => {
                let len = u32::from_le_bytes(read(before, from + 4)?);
                let bytes = size.checked_mul(len as usize).ok_or(OUTSIDE)?;
                let place = self.claim(before, from, read(before, from)?, bytes)?;
                let at = self.owned(*now, len as usize, |rows, to| {
                    rows.each(each, before, (place, *size), (to, now.size), len as usize)
                })?;
                self.point(to, at);
                self.write(to + 4, &len.to_le_bytes());
            }
            Plan::NoVec { align } => {
                let at = self.align(*align);
                self.point(to, at);
            }
            Plan::Box { before: size, now, of } => {
                let place = self.claim(before, from, read(before, from)?, *size)?;
                let at = self.owned(*now, 1, |rows, to| rows.value(of, before, place, to))?;
                self.point(to, at);
            }
            Plan::NewBox { now, of } => {
                let at = self.owned(*now, 1, |rows, to| rows.value(of, before, 0, to))?;
                self.point(to, at);
            }
            Plan::Option { before: value, now, of } => match read(before, from)? {
                [0] => {}
                [1] => {
                    self.write(to, &[1]);
                    self.value(of, before, from + value, to + now)?;
                }
                _ => return Err(Stop::Damage("an `Option` is neither `Some` nor `None`")),
            },
            Plan::Some { now, of } => {
                self.write(to, &[1]);
                self.value(of, before, from, to + now)?;
            }
            Plan::Parts(parts) => self.parts(parts, before, from, to)?,
            Plan::Array { len, before: size, now, each } => {
                self.each(each, before, (from, *size), (to, *now), *len)?;
            }
            Plan::Enum { name, ways } => {
                let [tag] = read(before, from)?;
                let way = ways.iter().find(|way| way.tag == tag);
                let way = way.ok_or(Stop::Damage("an enum is none of its variants"))?;
                let Some((tag, parts)) = &way.now else {
                    return Err(Stop::Gone(name.clone(), way.name.clone()));
                };
                self.write(to, &[*tag]);
                self.parts(parts, before, from, to)?;
            }
        }
        Ok(())
    }

    fn parts(&mut self, parts: &[Part], before: &[u8], from: usize, to: usize) -> Result<(), Stop> {
        parts.iter().try_for_each(|part| self.value(&part.plan, before, from + part.before, to + part.now))
    }

    /// Values that follow each other.
    fn each(
        &mut self,
        plan: &Plan,
        before: &[u8],
        (from, size): (usize, usize),
        (to, now): (usize, usize),
        len: usize,
    ) -> Result<(), Stop> {
        match plan {
            // Without this, damage could have it count to 2^32 for nothing.
            _ if now == 0 => Ok(()),
            Plan::Nothing => Ok(()),
            Plan::Copy(_) => self.copy(before, from, to, now * len),
            _ => (0..len).try_for_each(|at| self.value(plan, before, from + at * size, to + at * now)),
        }
    }

    fn copy(&mut self, before: &[u8], from: usize, to: usize, len: usize) -> Result<(), Stop> {
        let bytes = before.get(from..from + len).ok_or(OUTSIDE)?;
        self.write(to, bytes);
        Ok(())
    }

    fn text(&mut self, before: &[u8], from: usize, to: usize) -> Result<(), Stop> {
        let bytes: [u8; INLINE_TEXT] = read(before, from)?;
        if bytes[0] & 0xc0 != 0x80 {
            self.write(to, &bytes);
            return Ok(());
        }
        // Behind the sixth bit of the length are two that say that the text is out of line. The pointer counts from before the length.
        let [a, b, c, d, distance @ ..] = bytes;
        let len = u32::from_le_bytes([a, b, c, d]);
        let len = ((len & 0x3f) | (len & !0xff) >> 2) as usize;
        if len <= INLINE_TEXT {
            return Err(Stop::Damage("a text has another length than it says"));
        }
        let place = self.claim(before, from, distance, len)?;
        let at = self.align(1);
        self.into.extend_from_slice(&before[place..place + len]);
        self.write(to, &[a, b, c, d]);
        self.pointers.push(Pointer { stands: to + 4, counts_from: to, target: at });
        Ok(())
    }
}

fn read<const N: usize>(before: &[u8], at: usize) -> Result<[u8; N], Stop> {
    before.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(OUTSIDE)
}

/// The bytes of the wider number, and zeros.
fn widen(from: Number, to: Number, bytes: &[u8]) -> [u8; 16] {
    let mut low = [0; 16];
    low[..bytes.len()].copy_from_slice(bytes);
    if from.kind == Kind::Float {
        return u128::from(wide_float(u32::from_le_bytes([low[0], low[1], low[2], low[3]]))).to_le_bytes();
    }
    let negative = from.kind == Kind::Signed && bytes.last().is_some_and(|last| last >> 7 == 1);
    if negative {
        low[bytes.len()..].fill(0xff);
    }
    let value = i128::from_le_bytes(low);
    match (to.kind, to.bytes) {
        (Kind::Float, 4) => u128::from((value as f32).to_bits()).to_le_bytes(),
        (Kind::Float, _) => u128::from((value as f64).to_bits()).to_le_bytes(),
        _ => low,
    }
}

/// The bits of an `f64` with the value of an `f32`. What a number that is none looks like must not depend on the processor.
fn wide_float(bits: u32) -> u64 {
    let value = f32::from_bits(bits);
    if !value.is_nan() {
        return f64::from(value).to_bits();
    }
    u64::from(bits >> 31) << 63 | 0x7ff << 52 | u64::from(bits & 0x7f_ffff) << 29
}
