//! A walk over a data directory that looks at everything but the logs, and lists what it finds.
//!
//! It reads every byte of every snapshot that the manifest refers to, each once, and changes nothing. It does not take the lock: beside a
//! running job it may report files as missing that were replaced under it; see [`presence`](crate::presence()). Logs have a reader of their own.

use crate::directory::{Unreferenced, checkpoints, unreferenced};
use crate::disk::{Disk, How};
use crate::error::StorageError;
use crate::manifest::{Checkpoint, Manifest};
use crate::snapshot::snapshot_path;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is lost: what a crash left behind, say.
    Note,
    /// Something cannot be read, and the job can start without it.
    Damage,
    /// The job cannot start.
    Fatal,
}

/// Something found in a data directory.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file or directory.
    pub path: PathBuf,
    /// What is the matter.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Note => "note",
            Severity::Damage => "damage",
            Severity::Fatal => "fatal",
        };
        write!(text, "{severity}: {}", self.text)
    }
}

/// Looks at the manifest and all snapshots of the data directory `data`. An empty list says that all is well.
///
/// Returns the manifest, too, if it can be read: it says where the logs are.
pub fn verify(disk: &Arc<dyn Disk>, data: &Path) -> (Option<Manifest>, Vec<Finding>) {
    let mut findings = Vec::new();
    let manifest = match Manifest::load(disk, data) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            let text = format!("{}: nothing has been stored here", data.display());
            return (None, vec![Finding { severity: Severity::Note, path: data.to_path_buf(), text }]);
        }
        Err(error) => return (None, vec![finding(Severity::Fatal, &error)]),
    };
    let mut seen = BTreeSet::new();
    let mut readable = 0;
    for checkpoint in &manifest.checkpoints {
        let before = findings.len();
        for shard in 0..checkpoint.shards {
            verify_snapshot(disk, data, &manifest, checkpoint, shard, &mut seen, &mut findings);
        }
        readable += usize::from(findings.len() == before);
    }
    if readable == 0 && !manifest.checkpoints.is_empty() {
        let path = Manifest::path(data);
        let text =
            format!("{}: none of the {} checkpoints can be read", path.display(), manifest.checkpoints.len());
        findings.push(Finding { severity: Severity::Fatal, path, text });
    }
    match unreferenced(disk.as_ref(), data, &manifest) {
        Ok(directories) => {
            for Unreferenced { directory: path, names, .. } in directories {
                let text = format!(
                    "{}: no checkpoint needs it; it goes when the job next tidies up",
                    path.display()
                );
                findings.extend((!names.is_empty()).then_some(Finding {
                    severity: Severity::Note,
                    path,
                    text,
                }));
            }
        }
        Err(error) => findings.push(finding(Severity::Damage, &error)),
    }
    (Some(manifest), findings)
}

/// The files that a checkpoint needs, its own and those of earlier ones, and that are not there.
pub fn missing_files(disk: &Arc<dyn Disk>, data: &Path, checkpoint: &Checkpoint) -> Vec<PathBuf> {
    let numbers = checkpoint.needs.iter().copied().chain([checkpoint.number]);
    let paths = numbers.flat_map(|number| {
        (0..checkpoint.shards).map(move |shard| snapshot_path(&checkpoints(data), number, shard))
    });
    let is_missing = |path: &PathBuf| {
        disk.open(path, How::Read).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let missing: BTreeSet<PathBuf> = paths.filter(is_missing).collect();
    missing.into_iter().collect()
}

/// Looks at one snapshot. `seen` holds the blocks that were read before, by shard, checkpoint and place.
fn verify_snapshot(
    disk: &Arc<dyn Disk>,
    data: &Path,
    manifest: &Manifest,
    checkpoint: &Checkpoint,
    shard: u16,
    seen: &mut BTreeSet<(u16, u64, u64)>,
    findings: &mut Vec<Finding>,
) {
    let checkpoints = checkpoints(data);
    let reader = match checkpoint.snapshot(disk, &checkpoints, manifest.log_id, shard) {
        Ok(reader) => reader,
        Err(error) => {
            let found = finding(Severity::Damage, &error);
            let text = format!(
                "{}; no job can begin from {}",
                found.text.trim_end_matches('.'),
                checkpoint.called()
            );
            return findings.push(Finding { text, ..found });
        }
    };
    for &number in reader.index().needs().iter().filter(|&number| !checkpoint.needs.contains(number)) {
        let path = snapshot_path(&checkpoints, checkpoint.number, shard);
        let text =
            format!("{}: it needs checkpoint {number}, and the manifest does not say so", path.display());
        findings.push(Finding { severity: Severity::Damage, path, text });
    }
    for entry in reader.index().entries() {
        if !seen.insert((shard, entry.number, entry.at)) {
            continue;
        }
        if let Err(error) = reader.block(entry) {
            seen.remove(&(shard, entry.number, entry.at));
            findings.push(finding(Severity::Damage, &error));
        }
    }
}

fn finding(severity: Severity, error: &StorageError) -> Finding {
    Finding { severity, path: error.path().to_path_buf(), text: error.to_string() }
}
