//! What the fuzz targets share: decisions drawn from the fuzzer's bytes, and machines in memory with files on them.
//!
//! Most of what Pelton reads carries checksums, and a fuzzer that only flips bits never gets past them. So targets
//! take files that are sound, change them as the input says, and seal again what they changed when the input says
//! that, too. What they then hold against the readers is more than "no panic": what one reader shows the other must
//! show, and what was refused must not have been changed.

use pelton_storage::disk::{Disk, Faults, How, Simulated};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Decisions, drawn from the fuzzer's bytes; zeros when these are used up.
pub struct Draw<'a> {
    rest: &'a [u8],
}

impl<'a> Draw<'a> {
    /// Draws from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Draw { rest: bytes }
    }

    /// Whether the input is used up.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// A number of up to eight bytes, of which the input has `len`.
    pub fn number(&mut self, len: usize) -> u64 {
        let mut word = [0; 8];
        let bytes = self.bytes(len);
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.number(3) as usize % bound
    }

    /// The next bytes, at most `len`.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// A number of the kind that breaks things: small, at the end of its range, or anything.
    pub fn edge(&mut self) -> u64 {
        match self.byte() % 6 {
            0 => u64::from(self.byte()),
            1 => u64::MAX - u64::from(self.byte()),
            2 => u64::from(u32::MAX) - u64::from(self.byte()),
            3 => (1 << (self.byte() % 64)) + u64::from(self.byte()) - 1,
            _ => self.number(8),
        }
    }
}

/// Files by path.
pub type Files = Vec<(PathBuf, Vec<u8>)>;

/// A machine in memory on which nothing goes wrong but what a target does to it.
pub fn machine() -> Arc<dyn Disk> {
    Arc::new(Simulated::new(1, Faults::default()))
}

/// All files right in `directory`, other directories aside.
pub fn files_in(disk: &Arc<dyn Disk>, directory: &Path) -> Files {
    let names = disk.list(directory).expect("the directory is there");
    let read = |name: String| {
        let path = directory.join(name);
        let file = disk.open(&path, How::Read).ok()?;
        let mut bytes = vec![0; file.len().expect("memory") as usize];
        file.read_at(&mut bytes, 0).expect("memory");
        Some((path, bytes))
    };
    names.into_iter().filter_map(read).collect()
}

/// Puts files on a machine.
pub fn put(disk: &Arc<dyn Disk>, files: &Files) {
    for (path, bytes) in files {
        disk.create_directory(path.parent().expect("files are in directories")).expect("memory");
        // Of two files with one name the later one counts.
        let _ = disk.remove(path);
        disk.open(path, How::Create).and_then(|file| file.write_at(bytes, 0)).expect("memory");
    }
}

/// Replaces bytes of `file`, as far as it reaches.
pub fn patch(file: &mut [u8], at: usize, bytes: &[u8]) {
    let end = (at + bytes.len()).min(file.len());
    if at < end {
        file[at..end].copy_from_slice(&bytes[..end - at]);
    }
}

/// The little-endian number in `file` at `at`, if it is there.
pub fn u64_in(file: &[u8], at: usize) -> Option<u64> {
    file.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// The little-endian number in `file` at `at`, if it is there.
pub fn u32_in(file: &[u8], at: usize) -> Option<u32> {
    file.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}
