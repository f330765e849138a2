//! Chance, drawn from a seed: one stream for each thing that may go wrong, so that a change in one leaves the others as they were.

/// A stream of numbers (SplitMix64).
#[derive(Clone, Debug, Hash)]
pub(super) struct Stream {
    state: u64,
}

impl Stream {
    /// The stream of that name.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mut state = seed;
        for byte in name.bytes() {
            state = mixed(state ^ u64::from(byte));
        }
        Stream { state }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.state)
    }

    /// A number below `bound`; 0 if there is none.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True `per_mille` times in a thousand. Draws nothing if the answer is known.
    pub(super) fn happens(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1_000) < u64::from(per_mille)
    }

    /// True every other time.
    pub(super) fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }
}

fn mixed(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// From so many bytes on a stretch is folded by its CRC.
const LONG: usize = 256;

/// Folds all that is hashed into 64 bits, the same on every run and every machine.
pub(super) struct Digest {
    state: u64,
}

impl Digest {
    pub(super) fn new() -> Self {
        Digest { state: 0x5045_4C54_4F4E }
    }
}

impl std::hash::Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        if bytes.len() >= LONG {
            // The contents of files: a tenth of a run went into mixing their words one by one.
            self.write_u64(u64::from(crc32c::crc32c(bytes)) ^ (bytes.len() as u64) << 32);
            return;
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_u64(&mut self, word: u64) {
        self.state = mixed(self.state ^ word).wrapping_add(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        mixed(self.state)
    }
}
