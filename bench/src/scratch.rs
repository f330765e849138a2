//! A directory on a real disk for data that is thrown away: what a benchmark of durability writes to.
//!
//! Unless told where, it is made in `./target` if that is there, and in the current directory otherwise, never in the system's directory for
//! temporary files: that one may be in memory, where a flush costs nothing. Removed when dropped, with what jobs left in shared memory for it.

use crate::error::BenchError;
use pelton_storage::disk::{Blocking, Disk};
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
            remove_rings(&self.path);
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes the rings in shared memory of all logs below `path`. A log's directory is `log/GENERATION/SHARD`, and its ring is named after it.
fn remove_rings(path: &Path) {
    let below = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for directory in below(path) {
        if name(&directory) != "log" {
            remove_rings(&directory);
            continue;
        }
        for generation in below(&directory) {
            for shard in below(&generation) {
                let ring = format!("log-{}-{}", name(&generation), name(&shard));
                // What is not there need not be removed.
                let _ = Blocking::new().remove_staging(&shard, &ring);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_storage::disk::{Lives, STAGING_DIRECTORY};

    #[test]
    fn nothing_stays_behind_unless_it_is_kept() {
        let rings = || fs::read_dir(STAGING_DIRECTORY).map_or(0, |entries| entries.count());
        let within = std::env::temp_dir();
        let scratch = Scratch::new(Some(&within), "scratch").unwrap();
        let (path, before) = (scratch.path().to_owned(), rings());
        let log = path.join("mode/data/log/g0003/shard-0001");
        fs::create_dir_all(&log).unwrap();
        drop(Blocking::new().staging(&log, "log-g0003-shard-0001", 1 << 16, Lives::OnMachine, true).unwrap());
        let with = rings();
        drop(scratch);
        assert!(!path.exists());
        // Others may make rings at the same time.
        assert!(rings() < with || with <= before);
        let kept = Scratch::new(Some(&within), "scratch").unwrap().keep();
        assert!(kept.is_dir());
        fs::remove_dir(kept).unwrap();
    }
}
