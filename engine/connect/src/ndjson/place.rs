//! Where a reader is in a file, noted at a checkpoint.
//!
//! ```text
//!  | offset | lines | 1 in the rest of a line that is passed over | records | empty | malformed | chain | block bytes | block hash |
//!  | end | partition | of how many | chunk | lines of it |
//! ```
//!
//! Each is a u64, little-endian. The block is what stands in the file right before the offset. The end is how far the file is read. Chunks are of
//! 1 MiB: see `chunks.rs`.

use super::LineCounts;
use super::chunks::CHUNK_BYTES;
use pelton_core::bounds::PARTITIONS_MAX;
use pelton_core::exchange::hash;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// The most bytes of the block.
const BLOCK_BYTES: u64 = 4 * 1024;
const WORDS: usize = 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinePlace {
    pub(crate) offset: u64,
    pub(crate) skipping: bool,
    pub(crate) counts: LineCounts,
    pub(crate) chain: u64,
    /// Length and hash of the block before the offset.
    pub(crate) block: (u64, u64),
    /// How far the file is read.
    pub(crate) end: u64,
    /// Which partition, of how many.
    pub(crate) part: (u64, u64),
    /// The chunk, and how many lines that begin in it have been read.
    pub(crate) chunk: (u64, u64),
}

fn hash_before(file: &File, offset: u64, len: u64) -> std::io::Result<u64> {
    let mut block = vec![0; len as usize];
    file.read_exact_at(&mut block, offset - len)?;
    Ok(hash::bytes(&block))
}

impl LinePlace {
    /// The block before `offset`. One that cannot be read is not compared; the next read will say what is wrong.
    pub(crate) fn block(file: &File, offset: u64) -> (u64, u64) {
        let len = offset.min(BLOCK_BYTES);
        hash_before(file, offset, len).map_or((0, hash::bytes(&[])), |hash| (len, hash))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let LineCounts { lines, records, empty, malformed } = self.counts;
        let (len, hash) = self.block;
        let skipping = u64::from(self.skipping);
        let ((index, of), (chunk, in_chunk)) = (self.part, self.chunk);
        let words: [u64; WORDS] = [
            self.offset,
            lines,
            skipping,
            records,
            empty,
            malformed,
            self.chain,
            len,
            hash,
            self.end,
            index,
            of,
            chunk,
            in_chunk,
        ];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<LinePlace> {
        let (words, rest) = bytes.as_chunks::<8>();
        if words.len() != WORDS || !rest.is_empty() {
            return None;
        }
        let word = |at: usize| u64::from_le_bytes(words[at]);
        let (records, empty, malformed) = (word(3), word(4), word(5));
        let lines = records.checked_add(empty)?.checked_add(malformed)?;
        let place = LinePlace {
            offset: word(0),
            skipping: word(2) == 1,
            counts: LineCounts { lines, records, empty, malformed },
            chain: word(6),
            block: (word(7), word(8)),
            end: word(9),
            part: (word(10), word(11)),
            chunk: (word(12), word(13)),
        };
        let ((index, of), (chunk, in_chunk)) = (place.part, place.chunk);
        let parts = index < of
            && of <= PARTITIONS_MAX as u64
            && chunk.checked_rem(of) == Some(index)
            && (of > 1 || chunk == 0);
        // No chunk but the next one begins behind the end, and no file has more bytes than can be numbered.
        let chunks = parts && chunk / of <= place.end / CHUNK_BYTES / of + 1 && place.end <= i64::MAX as u64;
        let sound = word(1) == lines && word(2) <= 1 && in_chunk <= lines && chunks;
        (sound && place.block.0 <= place.offset.min(BLOCK_BYTES)).then_some(place)
    }

    /// Says why the file cannot be the one that the place is in, if so.
    pub(crate) fn check(&self, file: &File) -> Result<(), String> {
        let bytes = file.metadata().map_err(|error| error.to_string())?.len();
        let (offset, (len, hash)) = (self.offset, self.block);
        if bytes < offset.max(self.end) {
            let had = if bytes < offset { offset } else { self.end };
            return Err(format!("it had {had} bytes, and now it has {bytes}: it was cut"));
        }
        let found = hash_before(file, offset, len).map_err(|error| error.to_string())?;
        if found != hash {
            return Err(format!(
                "it is not the file that was read before: the {len} bytes before byte {offset}, where reading was, are others"
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
        let whole = LinePlace {
            offset: 900,
            skipping: false,
            counts,
            chain: 77,
            block: (900, 88),
            end: 1_000,
            part: (0, 1),
            chunk: (0, 12),
        };
        let part = LinePlace {
            offset: 8 << 20,
            block: (4_096, 9),
            end: 9 << 20,
            part: (2, 3),
            chunk: (8, 1),
            ..whole
        };
        for place in [whole, part] {
            let bytes = place.encode();
            assert_eq!(LinePlace::decode(&bytes), Some(place));
            for len in 0..bytes.len() {
                assert_eq!(LinePlace::decode(&bytes[..len]), None, "cut to {len}");
            }
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(LinePlace::decode(&bytes), Some(place), "bit {bit}");
            }
        }
    }
}
