//! Where a reader is in a file, noted at a checkpoint.
//!
//! ```text
//!  | offset | line number | 1 in the rest of a line too long | records | empty | malformed | chain | block bytes | block hash |
//! ```
//!
//! Each is a u64, little-endian. The block is what stands in the file right before the offset.

use super::LineCounts;
use pelton_core::hash;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The most bytes of the block.
const BLOCK_BYTES: u64 = 4 * 1024;
const WORDS: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) number: u64,
    pub(crate) skipping: bool,
    pub(crate) counts: LineCounts,
    pub(crate) chain: u64,
    /// Length and hash of the block before the offset.
    pub(crate) block: (u64, u64),
}

fn hash_before(file: &File, offset: u64, len: u64) -> std::io::Result<u64> {
    let mut block = vec![0; len as usize];
    file.read_exact_at(&mut block, offset - len)?;
    Ok(hash::bytes(&block))
}

impl Place {
    /// The block before `offset`. One that cannot be read is not compared; the next read will say what is wrong.
    pub(crate) fn block(file: &File, offset: u64) -> (u64, u64) {
        let len = offset.min(BLOCK_BYTES);
        hash_before(file, offset, len).map_or((0, hash::bytes(&[])), |hash| (len, hash))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let LineCounts { records, empty, malformed, .. } = self.counts;
        let (len, hash) = self.block;
        let skipping = u64::from(self.skipping);
        let words: [u64; WORDS] =
            [self.offset, self.number, skipping, records, empty, malformed, self.chain, len, hash];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Place> {
        let (words, rest) = bytes.as_chunks::<8>();
        if words.len() != WORDS || !rest.is_empty() {
            return None;
        }
        let word = |at: usize| u64::from_le_bytes(words[at]);
        let (records, empty, malformed) = (word(3), word(4), word(5));
        let lines = records.checked_add(empty)?.checked_add(malformed)?;
        let place = Place {
            offset: word(0),
            number: word(1),
            skipping: word(2) == 1,
            counts: LineCounts { lines, records, empty, malformed },
            chain: word(6),
            block: (word(7), word(8)),
        };
        let sound = place.number == lines && word(2) <= 1 && place.block.0 <= place.offset.min(BLOCK_BYTES);
        sound.then_some(place)
    }

    /// Says why the file cannot be the one that the place is in, if so.
    pub(crate) fn check(&self, file: &File) -> Result<(), String> {
        let bytes = file.metadata().map_err(|error| error.to_string())?.len();
        let (offset, (len, hash)) = (self.offset, self.block);
        if bytes < offset {
            return Err(format!("{offset} bytes of it have been read, and now it has {bytes}: it was cut"));
        }
        let found = hash_before(file, offset, len).map_err(|error| error.to_string())?;
        if found != hash {
            return Err(format!(
                "it is not the file that was read before: the {len} bytes before byte {offset}, behind line {}, are others",
                self.number
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_noticed_or_harmless() {
        let counts = LineCounts { lines: 12, records: 7, empty: 2, malformed: 3 };
        let place = Place { offset: 900, number: 12, skipping: false, counts, chain: 77, block: (900, 88) };
        let bytes = place.encode();
        assert_eq!(Place::decode(&bytes), Some(place));
        for len in 0..bytes.len() {
            assert_eq!(Place::decode(&bytes[..len]), None, "cut to {len}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Place::decode(&bytes), Some(place), "bit {bit}");
        }
    }
}
