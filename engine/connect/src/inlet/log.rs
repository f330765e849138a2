//! What an inlet writes to the log of its shard.
//!
//! ```text
//!  entry       | count u32 | producer u32 | first u64 | len u32 | 0 u32 | len bytes |
//!  count > 0   a transaction: that many records, numbered from `first`, each as  | len u32 | archived bytes |
//!  count = 0   a producer's name, before its first transaction; `first` is 0, and the bytes are its id
//!              or its end; `first` is 1, and there are no bytes
//! ```
//!
//! Integers are little-endian, and nothing is aligned. Producers are numbered 0, 1, 2 in the order of their names; a number whose producer has
//! been retired is given to another. What is read may be anything: every length is compared with what is there.

use pelton_core::state::blocks::BlockQueue;

/// Bytes of an entry besides its own.
pub(super) const HEAD: usize = 24;
/// Bytes of a record besides its own.
pub(super) const RECORD_HEAD: usize = 4;

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    Name { producer: u32, id: &'a str },
    Retired { producer: u32 },
    Records { producer: u32, first: u64, count: u32, records: &'a [u8] },
}

fn put(log: &mut Vec<u8>, count: u32, producer: u32, first: u64, len: usize) {
    log.extend_from_slice(&count.to_le_bytes());
    log.extend_from_slice(&producer.to_le_bytes());
    log.extend_from_slice(&first.to_le_bytes());
    log.extend_from_slice(&(len as u64).to_le_bytes());
}

/// Writes a producer's name.
pub(super) fn put_name(log: &mut Vec<u8>, producer: u32, id: &str) {
    put(log, 0, producer, 0, id.len());
    log.extend_from_slice(id.as_bytes());
}

/// Writes that a producer is no more.
pub(super) fn put_retired(log: &mut Vec<u8>, producer: u32) {
    put(log, 0, producer, 1, 0);
}

/// Writes a transaction, whose records are the first `len` of `bytes`.
pub(super) fn put_records(
    log: &mut Vec<u8>,
    producer: u32,
    first: u64,
    count: u32,
    bytes: &mut BlockQueue<u8>,
    len: usize,
) {
    put(log, count, producer, first, len);
    bytes.take_slices(len, |some| log.extend_from_slice(some));
}

/// A few bytes off the front.
pub(super) fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], String> {
    let (taken, after) = rest.split_at_checked(len).ok_or("what the inlet logged is cut short")?;
    *rest = after;
    Ok(taken)
}

pub(super) fn take_u32(rest: &mut &[u8]) -> Result<u32, String> {
    let mut word = [0; 4];
    word.copy_from_slice(take(rest, 4)?);
    Ok(u32::from_le_bytes(word))
}

pub(super) fn take_u64(rest: &mut &[u8]) -> Result<u64, String> {
    let mut word = [0; 8];
    word.copy_from_slice(take(rest, 8)?);
    Ok(u64::from_le_bytes(word))
}

/// Reads the next entry; none at the end.
pub(super) fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<Entry<'a>>, String> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (count, producer) = (take_u32(rest)?, take_u32(rest)?);
    let (first, len, zero) = (take_u64(rest)?, take_u32(rest)?, take_u32(rest)?);
    let bytes = take(rest, len as usize)?;
    if zero != 0 || count == 0 && (first > 1 || first == 1 && !bytes.is_empty()) {
        return Err("what the inlet logged has a head that is none".to_owned());
    }
    if count > 0 {
        return Ok(Some(Entry::Records { producer, first, count, records: bytes }));
    }
    if first == 1 {
        return Ok(Some(Entry::Retired { producer }));
    }
    let id = std::str::from_utf8(bytes).map_err(|_| "a producer's name is no text")?;
    Ok(Some(Entry::Name { producer, id }))
}

/// Reads the archived bytes of the next record of a transaction.
pub(super) fn next_record<'a>(records: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let len = take_u32(records)?;
    take(records, len as usize)
}
