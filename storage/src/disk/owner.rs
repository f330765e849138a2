//! Whose a ring on the machine is: what its first page says of the directory that it was made for.
//!
//! ```text
//!  byte 192 of a ring
//!  | crc u32 | path bytes u32 | device | inode | device above | inode above | mounts | pid u32 | 0 u32 | path ...      numbers u64 unless said
//! ```
//!
//! The directory is that of the log, `DATA/log/gNNNN/shard-NNNN`. Device and inode tell it from a copy of it, and from another that has its
//! path in another container. `above` is the directory that `DATA` is in, and `mounts` the mount namespace of the process: with these a tool
//! can tell a directory that is gone from one that it cannot see from where it is. The checksum is of all that follows it.

use crate::entry::{u32_at, u64_at};
use crate::staging::Staging;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where in a ring.
const AT: usize = 192;
/// Bytes before the path.
const FIXED: usize = 56;
/// Of a ring's first page.
const BYTES_MAX: usize = 4096 - AT;
/// Directories from a log's own up to the one that the data directory is in.
const ABOVE: usize = 4;

/// The directory that a ring was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The log's directory, by the path that it had.
    pub path: PathBuf,
    /// Device and inode of that directory; zeros where directories have none.
    pub directory: (u64, u64),
    /// Those of the directory that the data directory is in.
    pub above: (u64, u64),
    /// The mount namespace in which it was made; 0 if that is not known.
    pub mounts: u64,
    /// The process that made it, as that saw itself.
    pub pid: u32,
}

impl Owner {
    /// A directory of the machine, for a ring that this process makes.
    pub(super) fn of(directory: &Path) -> io::Result<Owner> {
        let path = fs::canonicalize(directory)?;
        let above = path.ancestors().nth(ABOVE).and_then(|above| identity(above).ok());
        Ok(Owner {
            directory: identity(&path)?,
            above: above.unwrap_or_default(),
            mounts: mounts(),
            pid: std::process::id(),
            path,
        })
    }

    /// A directory of a simulated machine, where paths are all there is.
    pub(super) fn simulated(directory: &Path) -> Owner {
        Owner { path: directory.to_owned(), directory: (0, 0), above: (0, 0), mounts: 0, pid: 0 }
    }

    /// Whether it is the same directory, whatever it is called by now.
    pub(crate) fn is_same(&self, other: &Owner) -> bool {
        self.directory == other.directory && (self.directory != (0, 0) || self.path == other.path)
    }

    /// Whether the directory is still there under its path, as seen from this process.
    pub(crate) fn is_there(&self) -> bool {
        self.directory != (0, 0) && identity(&self.path).is_ok_and(|found| found == self.directory)
    }

    /// The data directory that the log is in.
    pub fn data(&self) -> &Path {
        self.path.ancestors().nth(ABOVE - 1).unwrap_or(&self.path)
    }

    /// Whether the data directory is gone: the one that it was in is there, seen as the process saw it that made the ring, and holds nothing of
    /// that name. `None` if that cannot be told from here.
    pub(crate) fn is_gone(&self) -> Option<bool> {
        if self.is_there() {
            return Some(false);
        }
        let above = self.path.ancestors().nth(ABOVE)?;
        let seen = self.mounts != 0 && self.mounts == mounts() && self.above != (0, 0);
        if !seen || identity(above).ok() != Some(self.above) {
            return None;
        }
        match fs::symlink_metadata(self.data()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(true),
            // Something is there that this ring was not made for: a mount point with nothing mounted, say.
            _ => None,
        }
    }

    /// Writes it into a ring.
    pub(crate) fn write(&self, ring: &Staging) {
        let mut bytes = vec![0; 4];
        let path = self.path.as_os_str().as_bytes();
        let path = if FIXED + path.len() <= BYTES_MAX { path } else { &[] };
        bytes.extend_from_slice(&(path.len() as u32).to_le_bytes());
        let numbers = [self.directory.0, self.directory.1, self.above.0, self.above.1, self.mounts];
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.extend_from_slice(&self.pid.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(path);
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        ring.write(AT, &bytes);
    }

    /// What a ring says.
    pub(crate) fn read(ring: &Staging) -> Option<Owner> {
        let mut page = vec![0; ring.len().min(AT + BYTES_MAX)];
        ring.read(0, &mut page);
        Owner::from_page(&page)
    }

    /// What the first page of a ring says; `None` if it says nothing that can be trusted.
    pub(crate) fn from_page(page: &[u8]) -> Option<Owner> {
        let bytes = page.get(AT..)?;
        let path = u32_at(bytes.get(..FIXED)?, 4) as usize;
        let bytes = bytes.get(..FIXED.checked_add(path)?)?;
        if path == 0 || crc32c::crc32c(&bytes[4..]) != u32_at(bytes, 0) {
            return None;
        }
        let number = |index: usize| u64_at(bytes, 8 + 8 * index);
        Some(Owner {
            path: std::ffi::OsString::from_vec(bytes[FIXED..].to_vec()).into(),
            directory: (number(0), number(1)),
            above: (number(2), number(3)),
            mounts: number(4),
            pid: u32_at(bytes, 48),
        })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let facts = fs::metadata(path)?;
    Ok((facts.dev(), facts.ino()))
}

fn mounts() -> u64 {
    fs::metadata("/proc/self/ns/mnt").map_or(0, |facts| facts.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Lifetime;

    #[test]
    fn what_was_written_is_read_and_no_flipped_bit_passes() {
        let owner = Owner {
            path: "/some/data/log/g0000/shard-0000".into(),
            directory: (1, 2),
            above: (3, 4),
            mounts: 5,
            pid: 6,
        };
        let ring = Staging::on_heap(8_192, Lifetime::OnMachine);
        assert_eq!(Owner::read(&ring), None);
        owner.write(&ring);
        assert_eq!(Owner::read(&ring), Some(owner.clone()));
        assert_eq!(owner.data(), Path::new("/some/data"));
        let mut page = vec![0; 4_096];
        ring.read(0, &mut page);
        let used = FIXED + owner.path.as_os_str().len();
        for bit in AT * 8..(AT + used) * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Owner::from_page(&page), None, "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..AT + used {
            assert_eq!(Owner::from_page(&page[..len]), None, "cut to {len}");
        }
        Owner { path: "/x".repeat(4_000).into(), ..owner }.write(&ring);
        assert_eq!(Owner::read(&ring), None, "a path that has no room says nothing");
    }

    #[test]
    fn a_directory_is_gone_only_where_it_would_be_seen() {
        let above = std::env::temp_dir().join(format!("pelton-owner-{}", std::process::id()));
        let log = above.join("data/log/g0000/shard-0000");
        fs::create_dir_all(&log).unwrap();
        let owner = Owner::of(&log).unwrap();
        assert_eq!((owner.is_there(), owner.is_gone()), (true, Some(false)));
        fs::rename(above.join("data"), above.join("moved")).unwrap();
        let moved = Owner::of(&above.join("moved/log/g0000/shard-0000")).unwrap();
        assert!(moved.is_same(&owner), "it is the same directory by another name");
        assert_eq!((owner.is_there(), owner.is_gone()), (false, Some(true)));
        let elsewhere = Owner { mounts: owner.mounts + 1, ..owner.clone() };
        assert_eq!(elsewhere.is_gone(), None, "another container's");
        fs::create_dir_all(above.join("data")).unwrap();
        assert_eq!(owner.is_gone(), None, "something else is in its place");
        fs::remove_dir_all(&above).unwrap();
        assert_eq!(owner.is_gone(), None, "what it was in is not there either");
    }
}
