//! The position of a part: how much of it counts.
//!
//! ```text
//!  0      magic "PELTONFP" | version u32 | part u32 | log u128 | crc32c u32 |     written once, durably, before the part's first byte
//!  512    number u64 | tick u64 | bytes u64 | generation u64 | boot u128 | crc32c u32 |      position 0, 2, 4 ...
//!  1024   the same                                                                          position 1, 3, 5 ...
//! ```
//!
//! Integers are little-endian, and a checksum is of what stands before it in its block. Positions are written in turn, each after the
//! bytes that it counts, so that one of the two is whole at any time. They are in the page cache, which outlives the process but not the
//! machine: a position of another boot says nothing. This file judges no position; it reads and writes them.

use super::disk::{OpenFile, SinkDisk};
use super::marks::Mark;
use crate::bounds::PART_LOCK_WAIT;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MAGIC: &[u8; 8] = b"PELTONFP";
const VERSION: u32 = 2;
const BLOCK: usize = 512;
const HEADER_BYTES: usize = 36;
const SLOT_BYTES: usize = 56;
const FILE_BYTES: usize = 2 * BLOCK + SLOT_BYTES;

/// A position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Counts the positions of the part.
    pub(super) number: u64,
    /// Everything through this tick is in the part ...
    pub(super) tick: u64,
    /// ... which was this long then.
    pub(super) bytes: u64,
    /// The generation of the log that it belongs to.
    pub(super) generation: u64,
    /// Which boot of the machine wrote it.
    pub(super) boot: u128,
    /// The checksum of these bytes of the part.
    pub(super) sum: u32,
}

/// What a position file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// Something else.
    Damaged,
    /// A form that this version does not know.
    Newer(u32),
    /// The position of a part.
    Part { log: u128, part: u32, slots: [Option<Slot>; 2] },
}

fn sealed<const N: usize>(mut block: Vec<u8>) -> [u8; N] {
    let crc = crc32c::crc32c(&block);
    block.extend_from_slice(&crc.to_le_bytes());
    let mut bytes = [0; N];
    bytes.copy_from_slice(&block);
    bytes
}

fn header(log: u128, part: u32) -> [u8; HEADER_BYTES] {
    let mut block = MAGIC.to_vec();
    block.extend_from_slice(&VERSION.to_le_bytes());
    block.extend_from_slice(&part.to_le_bytes());
    block.extend_from_slice(&log.to_le_bytes());
    sealed(block)
}

fn slot(slot: &Slot) -> [u8; SLOT_BYTES] {
    let mut block = Vec::with_capacity(SLOT_BYTES);
    let words = [slot.number, slot.tick, slot.bytes, slot.generation];
    words.iter().for_each(|word| block.extend_from_slice(&word.to_le_bytes()));
    block.extend_from_slice(&slot.boot.to_le_bytes());
    block.extend_from_slice(&slot.sum.to_le_bytes());
    sealed(block)
}

/// The block at `at` without its checksum, if it is whole.
fn unsealed(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    let (block, crc) = bytes.get(at..at + len)?.split_at(len - 4);
    (crc32c::crc32c(block).to_le_bytes() == crc).then_some(block)
}

fn word<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    let mut word = [0; N];
    word.copy_from_slice(&block[at..at + N]);
    word
}

/// Reads a position file.
pub(super) fn parse(bytes: &[u8]) -> Found {
    // A file of zeros is one whose making was cut off.
    if bytes.iter().all(|byte| *byte == 0) {
        return Found::Nothing;
    }
    let Some(block) = unsealed(bytes, 0, HEADER_BYTES).filter(|block| block.starts_with(MAGIC)) else {
        return Found::Damaged;
    };
    let version = u32::from_le_bytes(word(block, 8));
    if version != VERSION {
        return Found::Newer(version);
    }
    let slot = |index: usize| {
        let block = unsealed(bytes, (index + 1) * BLOCK, SLOT_BYTES)?;
        let long = |at| u64::from_le_bytes(word(block, at));
        Some(Slot {
            number: long(0),
            tick: long(8),
            bytes: long(16),
            generation: long(24),
            boot: u128::from_le_bytes(word(block, 32)),
            sum: u32::from_le_bytes(word(block, 48)),
        })
    };
    Found::Part {
        log: u128::from_le_bytes(word(block, 16)),
        part: u32::from_le_bytes(word(block, 12)),
        slots: [slot(0), slot(1)],
    }
}

/// A position file, locked for as long as it is open.
#[derive(Debug)]
pub(super) struct PositionFile {
    file: OpenFile,
    /// Of the next position.
    number: u64,
    pub(super) generation: u64,
    boot: u128,
    /// Where it is, as long as nothing was written to a file that was not there before.
    made: Option<(SinkDisk, PathBuf)>,
}

impl Drop for PositionFile {
    fn drop(&mut self) {
        if let Some((disk, path)) = &self.made {
            // Nobody needs it, and nobody is there who could be told.
            let _ = disk.remove(path);
        }
    }
}

/// Why a position file was not opened.
pub(super) enum NotOpened {
    /// Another writer has it.
    Locked,
    Failed(io::Error),
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        NotOpened::Failed(error)
    }
}

impl PositionFile {
    /// Opens and locks the file, making it if it is not there, and reads it. With `patient` it waits for another to let it go.
    pub(super) fn open(
        disk: &SinkDisk,
        path: &Path,
        boot: u128,
        patient: bool,
    ) -> Result<(PositionFile, Found), NotOpened> {
        let file = disk.open_or_make(path)?;
        match file.lock(if patient { PART_LOCK_WAIT } else { Duration::ZERO }) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(NotOpened::Locked),
            Err(error) => return Err(error.into()),
        }
        let bytes = read(&file)?;
        let found = parse(&bytes);
        let number = match &found {
            Found::Part { slots, .. } => {
                slots.iter().flatten().map(|slot| slot.number.wrapping_add(1)).max().unwrap_or(0)
            }
            _ => 0,
        };
        let made = bytes.is_empty().then(|| (disk.clone(), path.to_path_buf()));
        Ok((PositionFile { file, number, generation: 0, boot, made }, found))
    }

    /// Says durably whose part it is.
    pub(super) fn claim(&mut self, log: u128, part: u32) -> io::Result<()> {
        self.made = None;
        self.file.set_len(0)?;
        self.file.write_at(&header(log, part), 0)?;
        self.file.sync()
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Writes a position.
    pub(super) fn write(&mut self, tick: u64, mark: Mark) -> io::Result<()> {
        let Mark { bytes, crc: sum } = mark;
        let next =
            Slot { number: self.number, tick, bytes, generation: self.generation, boot: self.boot, sum };
        let at = (self.number % 2 + 1) * BLOCK as u64;
        self.file.write_at(&slot(&next), at)?;
        self.number = self.number.wrapping_add(1);
        Ok(())
    }
}

/// What a position file holds, as far as it is any.
pub(super) fn read(file: &OpenFile) -> io::Result<Vec<u8>> {
    let len = file.len()?.min(FILE_BYTES as u64);
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> (Vec<u8>, [Slot; 2]) {
        let slots = [6, 7].map(|number| Slot {
            number,
            tick: number * 10,
            bytes: number * 1_000,
            generation: 5,
            boot: 9 << 70,
            sum: number as u32 * 0x0101_0101,
        });
        let mut bytes = vec![0; FILE_BYTES];
        bytes[..HEADER_BYTES].copy_from_slice(&header(77 << 64, 3));
        for slot in &slots {
            let at = (slot.number % 2 + 1) as usize * BLOCK;
            bytes[at..at + SLOT_BYTES].copy_from_slice(&super::slot(slot));
        }
        (bytes, slots)
    }

    #[test]
    fn what_was_written_is_read() {
        let (bytes, [a, b]) = file();
        assert_eq!(parse(&bytes), Found::Part { log: 77 << 64, part: 3, slots: [Some(a), Some(b)] });
        assert_eq!(parse(&[]), Found::Nothing);
    }

    #[test]
    fn damage_is_noticed_wherever_it_is() {
        let (bytes, [a, b]) = file();
        let (log, part) = (77 << 64, 3);
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let slots = match bit / 8 {
                0..HEADER_BYTES => {
                    assert_eq!(parse(&bytes), Found::Damaged, "bit {bit}");
                    continue;
                }
                at if (BLOCK..BLOCK + SLOT_BYTES).contains(&at) => [None, Some(b)],
                at if at >= 2 * BLOCK => [Some(a), None],
                _ => [Some(a), Some(b)],
            };
            assert_eq!(parse(&bytes), Found::Part { log, part, slots }, "bit {bit}");
        }
        for len in 1..bytes.len() {
            let slots = [(len >= BLOCK + SLOT_BYTES).then_some(a), None];
            let expected = if len < HEADER_BYTES { Found::Damaged } else { Found::Part { log, part, slots } };
            assert_eq!(parse(&bytes[..len]), expected, "cut to {len}");
        }
    }

    #[test]
    fn a_newer_form_is_named() {
        let mut block = MAGIC.to_vec();
        block.extend_from_slice(&(VERSION + 1).to_le_bytes());
        block.resize(HEADER_BYTES - 4, 0);
        assert_eq!(parse(&sealed::<HEADER_BYTES>(block)), Found::Newer(VERSION + 1));
    }
}
