//! What kind of file system something is on, and how much room it has.
//!
//! One call, `fstatfs`, on a descriptor that the disk layer opened. File systems are told apart by the number that the kernel gives each.

use std::io;
use std::mem::MaybeUninit;

/// What the kernel says of a file system.
pub(crate) struct FileSystem {
    /// Its number, as in `statfs(2)`.
    kind: i64,
    /// Bytes that this user may still use.
    pub(crate) free: u64,
}

impl FileSystem {
    /// Asks about the file system of an open file.
    pub(crate) fn of(descriptor: i32) -> io::Result<Self> {
        let mut answer = MaybeUninit::<libc::statfs>::zeroed();
        // SAFETY: `answer` is memory for exactly one `statfs`, which the kernel fills; a bad descriptor is an error.
        if unsafe { libc::fstatfs(descriptor, answer.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: all of it was zeroed, and zeros are a valid `statfs`.
        let answer = unsafe { answer.assume_init() };
        let block = u64::try_from(answer.f_bsize).unwrap_or(0);
        Ok(FileSystem { kind: answer.f_type, free: block.saturating_mul(answer.f_bavail) })
    }

    /// Whether what is written there is memory.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.kind, 0x0102_1994 | 0x8584_58F6)
    }

    /// What to know about keeping a log there, if there is anything.
    pub(crate) fn oddity(&self) -> Option<&'static str> {
        Some(match self.kind {
            0x0102_1994 | 0x8584_58F6 => "it is in memory (tmpfs): nothing there outlasts the machine",
            0x6969 => "it is NFS: locks and syncs are as good as the server's, and each sync is a round trip",
            0xFF53_4D42 | 0xFE53_4D42 | 0x517B => "it is SMB: locks and syncs are as good as the server's",
            0x6573_5546 => "it is FUSE: whether a sync reaches a device is up to the program behind it",
            0x0102_1997 => "it is 9p: syncs are as good as the host's",
            0x794C_7630 => {
                "it is an overlay, as containers have: it goes with the container, so mount a volume there"
            }
            0x9123_683E => {
                "it is btrfs: log segments are copied on every write unless the directory has `chattr +C`"
            }
            0x2FC1_2FC1 => {
                "it is ZFS: log segments are copied on every write, and syncs are slow without a log device"
            }
            _ => return None,
        })
    }
}
