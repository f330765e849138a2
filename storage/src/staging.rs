//! Staging rings: mapped memory that an appender writes and the disk reads.
//!
//! A [`Staging`] is a handle to a block of bytes that lives in the process (an anonymous map, or the heap of a simulated machine) or on
//! the machine (a file on tmpfs, which outlives the process). Clones share the bytes. Every access is bounds-checked, and made of relaxed
//! atomic words, so that two threads that meet in the same place read stale or mixed bytes but never cause undefined behaviour; who may
//! write where, and when, is the business of the log's protocol, whose `head` and `written` are stored and loaded with release and acquire.
//!
//! Writing costs one store per eight bytes, which keeps pace with `memcpy` up to some KiB, and a load more for each end that is not
//! aligned to eight. No call here enters the kernel, apart from the page faults of a ring that is touched for the first time.
//!
//! ```text
//! byte    0        8        16                      len
//!         | word 0 | word 1 | ...                    |
//!         the unit of atomicity; `load` and `store` take a multiple of 8
//! ```

use crate::disk::Lifetime;
use memmap2::{Advice, MmapMut, MmapOptions};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io};

const WORD: usize = 8;

/// A handle to mapped memory; clones share it.
///
/// ```
/// use pelton_storage::disk::Lifetime;
/// use pelton_storage::staging::Staging;
///
/// let ring = Staging::in_process(8_192)?;
/// let same = ring.clone();
/// ring.write(4_100, b"bytes");
/// ring.store(8, 4_105);
///
/// let mut seen = [0; 5];
/// same.read(4_100, &mut seen);
/// assert_eq!(&seen, b"bytes");
/// assert_eq!((same.load(8), same.len(), same.lifetime()), (4_105, 8_192, Lifetime::InProcess));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Staging {
    shared: Arc<SharedMemory>,
}

struct SharedMemory {
    first: NonNull<AtomicU64>,
    bytes: usize,
    lifetime: Lifetime,
    // Only kept, so that what `first` points to stays; all access goes through `first`.
    _memory: Memory,
}

enum Memory {
    // The file, if there is one, holds the lock that says that the ring is in use.
    Mapped { _map: MmapMut, _held: Option<File> },
    Heap { words: NonNull<[u64]> },
}

// SAFETY: the memory is reached through atomics only, and belongs to no thread.
unsafe impl Send for SharedMemory {}
// SAFETY: as above: every access through `&self` is atomic.
unsafe impl Sync for SharedMemory {}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Heap { words } = self {
            // SAFETY: the pointer came from `Box::into_raw` in `Staging::on_heap`, and is freed here only.
            drop(unsafe { Box::from_raw(words.as_ptr()) });
        }
    }
}

impl Staging {
    /// Zeroed memory that is gone with the process, every page of it present.
    ///
    /// # Errors
    /// When the kernel has no memory for it.
    pub fn in_process(bytes: usize) -> io::Result<Self> {
        assert!(
            bytes > 0 && bytes.is_multiple_of(WORD),
            "a ring is a positive multiple of 8 bytes, not {bytes}"
        );
        let map = MmapMut::map_anon(bytes)?;
        // Advice: without huge pages it is only slower.
        let _ = map.advise(Advice::HugePage);
        Ok(Staging::mapped(map, None, Lifetime::InProcess))
    }

    /// The first `bytes` bytes of a file on tmpfs, which must be that long and have its pages reserved: touching a page that tmpfs has no
    /// room for ends the process. The file stays open, with the lock that it may hold, as long as a handle lives.
    ///
    /// # Errors
    /// When the file cannot be mapped.
    pub(crate) fn on_machine(file: File, bytes: usize) -> io::Result<Self> {
        assert!(
            bytes > 0 && bytes.is_multiple_of(WORD),
            "a ring is a positive multiple of 8 bytes, not {bytes}"
        );
        // SAFETY: rings are removed and made anew, never cut, so the map stays whole whoever has the file; and its bytes are only read
        // and written as atomics, as memory shared with others has to be.
        let map = unsafe { MmapOptions::new().len(bytes).map_mut(&file)? };
        Ok(Staging::mapped(map, Some(file), Lifetime::OnMachine))
    }

    /// Zeroed memory of a simulated machine. Large rings cost nothing until they are touched.
    pub(crate) fn on_heap(bytes: usize, lifetime: Lifetime) -> Self {
        assert!(
            bytes > 0 && bytes.is_multiple_of(WORD),
            "a ring is a positive multiple of 8 bytes, not {bytes}"
        );
        let words = Box::into_raw(vec![0u64; bytes / WORD].into_boxed_slice());
        let words = NonNull::new(words).expect("a box is never at address zero");
        let shared = SharedMemory { first: words.cast(), bytes, lifetime, _memory: Memory::Heap { words } };
        Staging { shared: Arc::new(shared) }
    }

    fn mapped(mut map: MmapMut, held: Option<File>, lifetime: Lifetime) -> Self {
        // Faults are taken now rather than by the first appends. An older kernel does not know this advice; its appends fault once.
        let _ = map.advise(Advice::PopulateWrite);
        let first = NonNull::new(map.as_mut_ptr()).expect("a map is never at address zero").cast();
        let shared = SharedMemory {
            first,
            bytes: map.len(),
            lifetime,
            _memory: Memory::Mapped { _map: map, _held: held },
        };
        Staging { shared: Arc::new(shared) }
    }

    /// Bytes.
    #[expect(clippy::len_without_is_empty, reason = "a ring is never empty")]
    pub fn len(&self) -> usize {
        self.shared.bytes
    }

    /// What it is safe from.
    pub fn lifetime(&self) -> Lifetime {
        self.shared.lifetime
    }

    /// Whether both handles share the same memory.
    pub fn is_same(&self, other: &Staging) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Copies `bytes` in at byte `at`.
    #[inline]
    pub fn write(&self, at: usize, bytes: &[u8]) {
        let words = self.words(at, bytes.len());
        let head = (at.wrapping_neg() % WORD).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        let mut index = at / WORD;
        if !head.is_empty() {
            merge(&words[index], at % WORD, head);
            index += 1;
        }
        let (whole, tail) = rest.as_chunks::<WORD>();
        for (word, chunk) in words[index..].iter().zip(whole) {
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        if !tail.is_empty() {
            merge(&words[index + whole.len()], 0, tail);
        }
    }

    /// Copies out what stands at byte `at`, filling `bytes`.
    #[inline]
    pub fn read(&self, at: usize, bytes: &mut [u8]) {
        let words = self.words(at, bytes.len());
        let head = (at.wrapping_neg() % WORD).min(bytes.len());
        let (head, rest) = bytes.split_at_mut(head);
        let mut index = at / WORD;
        if !head.is_empty() {
            let word = words[index].load(Ordering::Relaxed).to_ne_bytes();
            head.copy_from_slice(&word[at % WORD..][..head.len()]);
            index += 1;
        }
        let (whole, tail) = rest.as_chunks_mut::<WORD>();
        for (word, chunk) in words[index..].iter().zip(&mut *whole) {
            *chunk = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        if !tail.is_empty() {
            let word = words[index + whole.len()].load(Ordering::Relaxed).to_ne_bytes();
            tail.copy_from_slice(&word[..tail.len()]);
        }
    }

    /// Writes zeros over `len` bytes from `at` on.
    pub fn zero(&self, at: usize, len: usize) {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut done = 0;
        while done < len {
            let step = (len - done).min(ZEROS.len());
            self.write(at + done, &ZEROS[..step]);
            done += step;
        }
    }

    /// The word at byte `at`, a multiple of 8, and with it all that was written before it was stored (acquire).
    #[inline]
    pub fn load(&self, at: usize) -> u64 {
        u64::from_le(self.word(at).load(Ordering::Acquire))
    }

    /// Stores the word at byte `at`, a multiple of 8, after all that was written before (release). In memory it is little-endian.
    #[inline]
    pub fn store(&self, at: usize, value: u64) {
        self.word(at).store(value.to_le(), Ordering::Release);
    }

    /// Feeds all words that are not zero to a digest, with their places.
    pub(crate) fn digest(&self, into: &mut impl Hasher) {
        self.shared.bytes.hash(into);
        for (index, word) in self.words(0, self.len()).iter().enumerate() {
            let value = word.load(Ordering::Relaxed);
            if value != 0 {
                (index, value).hash(into);
            }
        }
    }

    /// Where byte `at` is, for a system call that reads `len` bytes from there. Valid for as long as a handle lives.
    pub(crate) fn address(&self, at: usize, len: usize) -> *const u8 {
        self.check(at, len);
        self.shared.first.as_ptr().cast_const().cast::<u8>().wrapping_add(at)
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(WORD), "a word at byte {at}, which is no multiple of 8");
        &self.words(at, WORD)[at / WORD]
    }

    #[inline]
    fn words(&self, at: usize, len: usize) -> &[AtomicU64] {
        self.check(at, len);
        // SAFETY: `first` points to `bytes` bytes that live as long as `shared`, are aligned to a word and initialised (zeroed by whoever
        // made them), and are reached as atomic words everywhere.
        unsafe { std::slice::from_raw_parts(self.shared.first.as_ptr(), self.shared.bytes / WORD) }
    }

    #[inline]
    fn check(&self, at: usize, len: usize) {
        let bytes = self.shared.bytes;
        assert!(at <= bytes && len <= bytes - at, "{len} bytes at {at} of a ring of {bytes}");
    }
}

/// Puts `bytes` into part of a word, from byte `from` of it on.
#[inline]
fn merge(word: &AtomicU64, from: usize, bytes: &[u8]) {
    let mut all = word.load(Ordering::Relaxed).to_ne_bytes();
    all[from..][..bytes.len()].copy_from_slice(bytes);
    word.store(u64::from_ne_bytes(all), Ordering::Relaxed);
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging").field("len", &self.len()).field("lives", &self.lifetime()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every alignment and length: what is written is read, and nothing beside it is touched.
    #[test]
    fn any_stretch_can_be_written_and_read() {
        let rings = [Staging::in_process(4_096).unwrap(), Staging::on_heap(4_096, Lifetime::OnMachine)];
        for ring in rings {
            for at in 0..20 {
                for len in 0..40 {
                    ring.zero(0, 64);
                    let bytes: Vec<u8> = (0..len as u8).map(|byte| byte | 0x80).collect();
                    ring.write(at, &bytes);
                    let mut all = [0; 64];
                    ring.read(0, &mut all);
                    let mut expected = [0; 64];
                    expected[at..][..len].copy_from_slice(&bytes);
                    assert_eq!(all, expected, "{len} bytes at {at}");
                    let mut some = vec![0; len];
                    ring.read(at, &mut some);
                    assert_eq!(some, bytes, "{len} bytes at {at}");
                }
            }
        }
    }

    #[test]
    fn words_are_little_endian_in_memory() {
        let ring = Staging::on_heap(64, Lifetime::InProcess);
        ring.store(16, 0x0102_0304_0506_0708);
        let mut bytes = [0; 8];
        ring.read(16, &mut bytes);
        assert_eq!(bytes, [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(ring.load(16), 0x0102_0304_0506_0708);
    }

    #[test]
    #[should_panic(expected = "5 bytes at 60 of a ring of 64")]
    fn the_end_is_checked() {
        Staging::on_heap(64, Lifetime::InProcess).write(60, &[0; 5]);
    }

    #[test]
    #[should_panic(expected = "a ring of 64")]
    fn an_overflowing_length_is_checked() {
        Staging::on_heap(64, Lifetime::InProcess).address(8, usize::MAX);
    }
}
