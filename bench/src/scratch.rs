//! A directory on a real disk for data that is thrown away: what a benchmark of durability writes to.
//!
//! Unless told where, it is made in `./target` if that is there, and in the current directory otherwise, never in the system's directory for
//! temporary files: that one may be in memory, where a flush costs nothing. Removed when dropped, with what jobs left in shared memory for it.

use crate::error::BenchError;
use pelton_storage::remove_rings_below;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that is gone afterwards, unless it is kept.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes a new directory in `within`, or where it is fit.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(within: Option<&Path>, name: &str) -> Result<Scratch, BenchError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let within = within.unwrap_or(Path::new(if Path::new("target").is_dir() { "target" } else { "." }));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = within.join(format!("pelton-{name}-{}-{number}", std::process::id()));
        let made = fs::create_dir_all(&path).and_then(|()| path.canonicalize());
        match made {
            Ok(path) => Ok(Scratch { path, keep: false }),
            Err(error) => Err(BenchError::Scratch { path, error }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is.
    pub fn keep(mut self) -> PathBuf {
        self.keep = true;
        self.path.clone()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            // What is left in memory costs room, and nothing else.
            let _ = remove_rings_below(&self.path);
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_storage::disk::{Blocking, Disk};
    use pelton_storage::{Durability, Log, LogOptions, rings};
    use std::sync::Arc;

    #[test]
    fn nothing_stays_behind_unless_it_is_kept() {
        let within = std::env::temp_dir();
        let scratch = Scratch::new(Some(&within), "scratch").unwrap();
        let path = scratch.path().to_owned();
        let rings =
            || rings().unwrap().into_iter().filter(|ring| ring.data == Some(path.join("mode/data"))).count();
        let log = path.join("mode/data/log/g0003/shard-0001");
        let (durability, segment_bytes) = (Durability::Process, LogOptions::SEGMENT_BYTES_MIN);
        let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
        // Rings are found by the log's id, and other processes may run this test.
        let id = u128::from(disk.draw());
        let options = LogOptions { durability, segment_bytes, id, generation: 3, shard: 1 };
        drop(Log::open(&disk, &log, &options).unwrap());
        assert_eq!(rings(), 1);
        drop(scratch);
        assert!(!path.exists());
        assert_eq!(rings(), 0);
        let kept = Scratch::new(Some(&within), "scratch").unwrap().keep();
        assert!(kept.is_dir());
        fs::remove_dir(kept).unwrap();
    }
}
