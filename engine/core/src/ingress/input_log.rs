//! The input log: what a shard writes down of its input, so that a restart sees the same input again.
//!
//! One entry for each tick that holds anything, in this form; a tick without an entry was empty. Numbers are little-endian.
//!
//! ```text
//!  | now u64 | wall i64 | partitions u32 | 0 u32 |
//!  | records u32 | flags u32 | watermark i64 | logged u32 | 0 u32 |      for each partition of the shard
//!  | logged bytes, padded to 8 |                                        for each partition
//!
//!  now       the driver's clock, and `wall` the time of day in nanoseconds since 1970; neither ever falls in a log
//!  flags     1 the partition was asked, 2 it has ended
//!  logged    what the partition wrote down of its records; nothing, if it can yield them again
//! ```

use crate::fault::Fault;
use crate::ids::{EventTime, Nanos, Tick};
use crate::ingress::{IngressEntry, Taken};
use alloc::format;
use alloc::vec::Vec;

/// Where a shard's input is written down.
pub trait InputLog {
    /// Bytes of an entry that surely can be appended now; 0 while there is no room.
    fn room(&self) -> usize;

    /// Bytes of the largest entry that there is room for sooner or later, whatever was appended before.
    fn entry_bytes_max(&self) -> usize;

    /// Appends the entry of a tick.
    ///
    /// # Errors
    /// When the entry is larger than any may be.
    fn append(&mut self, tick: Tick, entry: &[u8]) -> Result<(), Fault>;
}

/// What comes back from a input log, tick by tick.
pub trait Replay {
    /// The next entry, or none when what was written down is at its end.
    ///
    /// # Errors
    /// When the input log cannot be read.
    fn next(&mut self) -> Result<Option<IngressEntry>, Fault>;
}

const ASKED: u32 = 1;
const DONE: u32 = 2;
const HEAD: usize = 24;
const PARTITION: usize = 24;
const ALIGN: usize = 8;

/// Bytes of an entry besides what partitions log; for more partitions than there can be, more than any entry has.
pub const fn entry_bytes(partitions: usize) -> usize {
    partitions.saturating_mul(PARTITION).saturating_add(HEAD)
}

/// Bytes that `logged` takes up in an entry.
pub(crate) const fn padded(logged: usize) -> usize {
    logged.next_multiple_of(ALIGN)
}

/// Writes an entry. `logged` holds what all partitions wrote down, one after the other; `lens` says how much is whose.
pub(crate) fn encode(
    into: &mut Vec<u8>,
    (now, wall): (Nanos, EventTime),
    taken: &[Taken],
    lens: &[u32],
    mut logged: &[u8],
) {
    into.clear();
    into.extend_from_slice(&now.0.to_le_bytes());
    into.extend_from_slice(&wall.0.to_le_bytes());
    into.extend_from_slice(&(taken.len() as u32).to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    for (taken, len) in taken.iter().zip(lens) {
        let flags = if taken.asked { ASKED } else { 0 } | if taken.done { DONE } else { 0 };
        into.extend_from_slice(&(taken.records as u32).to_le_bytes());
        into.extend_from_slice(&flags.to_le_bytes());
        into.extend_from_slice(&taken.watermark.0.to_le_bytes());
        into.extend_from_slice(&len.to_le_bytes());
        into.extend_from_slice(&[0; 4]);
    }
    for len in lens {
        let (mine, rest) = logged.split_at(*len as usize);
        into.extend_from_slice(mine);
        into.resize(into.len().next_multiple_of(ALIGN), 0);
        logged = rest;
    }
}

/// When the tick of an entry was taken in, by the wall clock, as time since 1970, without reading the rest; none if the bytes are no entry.
pub fn taken_in(bytes: &[u8]) -> Option<Nanos> {
    let (_, rest) = bytes.split_first_chunk::<8>()?;
    Some(Nanos(u64::from_le_bytes(*rest.first_chunk::<8>()?)))
}

/// Reads an entry.
///
/// # Errors
/// [`Fault::Restore`] when the bytes are no entry.
pub fn decode(tick: Tick, bytes: &[u8]) -> Result<IngressEntry, Fault> {
    let bad =
        |what: &str| Fault::Restore { message: format!("the input log's entry of tick {}: {what}", tick.0) };
    let word = |at: usize| -> Result<u32, Fault> {
        let word = bytes.get(at..at + 4).ok_or_else(|| bad("it is cut short"))?;
        Ok(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    };
    let long = |at: usize| Ok::<u64, Fault>(u64::from(word(at)?) | u64::from(word(at + 4)?) << 32);
    let (now, wall, partitions) = (Nanos(long(0)?), EventTime(long(8)? as i64), word(16)? as usize);
    if word(20)? != 0 || partitions > bytes.len() / PARTITION {
        return Err(bad("its head is none"));
    }
    let (mut taken, mut logged) = (Vec::with_capacity(partitions), Vec::with_capacity(partitions));
    let mut at = HEAD + partitions * PARTITION;
    for head in (0..partitions).map(|partition| HEAD + partition * PARTITION) {
        let (records, flags, len) = (word(head)? as usize, word(head + 4)?, word(head + 16)? as usize);
        if flags & !(ASKED | DONE) != 0 || word(head + 20)? != 0 {
            return Err(bad("a partition has flags that this version does not know"));
        }
        let watermark = EventTime(long(head + 8)? as i64);
        taken.push(Taken { records, watermark, done: flags & DONE != 0, asked: flags & ASKED != 0 });
        logged.push(bytes.get(at..at + len).ok_or_else(|| bad("it is cut short"))?.to_vec());
        at += len.next_multiple_of(ALIGN);
    }
    if at != bytes.len() {
        return Err(bad("it is longer than what it holds"));
    }
    Ok(IngressEntry { tick, now, wall, taken, logged })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> (IngressEntry, Vec<u8>) {
        let taken = [
            Taken { records: 3, watermark: EventTime(-7), done: false, asked: true },
            Taken { records: 0, watermark: EventTime::MAX, done: true, asked: false },
        ];
        let mut bytes = Vec::new();
        encode(&mut bytes, (Nanos(99), EventTime(44)), &taken, &[5, 0], b"abcde");
        let logged = alloc::vec![b"abcde".to_vec(), Vec::new()];
        (
            IngressEntry {
                tick: Tick(8),
                now: Nanos(99),
                wall: EventTime(44),
                taken: taken.to_vec(),
                logged,
            },
            bytes,
        )
    }

    #[test]
    fn what_was_written_is_read() {
        let (entry, bytes) = entry();
        assert_eq!(decode(Tick(8), &bytes).unwrap(), entry);
        assert_eq!(bytes.len(), entry_bytes(2) + padded(5));
        assert_eq!((taken_in(&bytes), taken_in(&bytes[..15])), (Some(Nanos(44)), None));
    }

    #[test]
    fn damage_never_panics() {
        let (_, bytes) = entry();
        for len in 0..bytes.len() {
            assert!(decode(Tick(8), &bytes[..len]).is_err(), "cut to {len}");
        }
        for at in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            let _ = decode(Tick(8), &bytes);
        }
    }
}
