//! The tree of names of a simulated machine: as programs see it, and as it is on the disk.
//!
//! A change of names becomes durable when its directory is synced, and then with all changes that came before it in the same directory.
//! When the power goes, of the changes that were not synced each directory keeps a stretch from the oldest on, as a journal would.

use super::Node;
use super::random::Stream;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Names {
    seen: Tree,
    durable: Tree,
    unsynced: Vec<Change>,
}

#[derive(Default)]
struct Tree {
    files: BTreeMap<PathBuf, Arc<Node>>,
    directories: BTreeSet<PathBuf>,
}

enum Change {
    File(PathBuf, Arc<Node>),
    Directory(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Change {
    /// The directories whose names it changes.
    fn directories(&self) -> impl Iterator<Item = &Path> {
        let (one, other) = match self {
            Change::File(path, _) | Change::Directory(path) | Change::Remove(path) => (path, None),
            Change::Rename(from, to) => (from, Some(to)),
        };
        [Some(one), other].into_iter().flatten().filter_map(|path| path.parent())
    }
}

impl Tree {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::File(path, node) => {
                self.files.insert(path.clone(), Arc::clone(node));
            }
            Change::Directory(path) => {
                self.directories.insert(path.clone());
            }
            Change::Rename(from, to) => {
                let node = self.files.remove(from).expect("changes of a directory are applied in order");
                self.files.insert(to.clone(), node);
            }
            Change::Remove(path) => {
                self.files.remove(path);
                self.directories.remove(path);
            }
        }
    }
}

impl Names {
    pub(super) fn file(&self, path: &Path) -> Option<&Arc<Node>> {
        self.seen.files.get(path)
    }

    pub(super) fn is_directory(&self, path: &Path) -> bool {
        is_root(path) || self.seen.directories.contains(path)
    }

    /// Every file that has a name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&PathBuf, &Arc<Node>)> {
        self.seen.files.iter()
    }

    pub(super) fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        if !self.is_directory(directory) {
            return Err(ErrorKind::NotFound.into());
        }
        let from = (Bound::Excluded(directory), Bound::Unbounded);
        let files = self.seen.files.range::<Path, _>(from).map(|(path, _)| path);
        let directories = self.seen.directories.range::<Path, _>(from);
        // Paths are ordered by their parts, so what is below a directory follows it without a gap.
        let below = |path: &&PathBuf| path.starts_with(directory);
        let mut names: Vec<String> = files
            .take_while(below)
            .chain(directories.take_while(below))
            .filter(|path| path.parent() == Some(directory))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn create(&mut self, path: &Path, node: Arc<Node>) -> io::Result<()> {
        if self.file(path).is_some() || self.is_directory(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.parent_exists(path)?;
        self.change(Change::File(path.to_owned(), node));
        Ok(())
    }

    pub(super) fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        let ancestors: Vec<&Path> = path.ancestors().filter(|path| !is_root(path)).collect();
        for directory in ancestors.into_iter().rev() {
            if self.file(directory).is_some() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if self.is_directory(directory) {
                continue;
            }
            self.change(Change::Directory(directory.to_owned()));
            // What is right below the root stands for a file system that was mounted; it is always there.
            if directory.parent().is_none_or(is_root) {
                self.sync(directory.parent().unwrap_or(Path::new("")));
            }
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if self.file(from).is_none() {
            return Err(ErrorKind::NotFound.into());
        }
        if self.is_directory(to) {
            return Err(ErrorKind::IsADirectory.into());
        }
        self.parent_exists(to)?;
        if from != to {
            self.change(Change::Rename(from.to_owned(), to.to_owned()));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        if self.file(path).is_none() {
            if !self.seen.directories.contains(path) {
                return Err(ErrorKind::NotFound.into());
            }
            if !self.list(path)?.is_empty() {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
        }
        self.change(Change::Remove(path.to_owned()));
        Ok(())
    }

    /// Makes the names in a directory durable. A rename between two directories brings the other's earlier changes with it.
    pub(super) fn sync(&mut self, directory: &Path) {
        let mut wanted = BTreeSet::from([directory.to_owned()]);
        let mut chosen = vec![false; self.unsynced.len()];
        for (change, chosen) in self.unsynced.iter().zip(&mut chosen).rev() {
            if change.directories().any(|directory| wanted.contains(directory)) {
                wanted.extend(change.directories().map(Path::to_owned));
                *chosen = true;
            }
        }
        let mut chosen = chosen.into_iter();
        let durable = &mut self.durable;
        self.unsynced.retain(|change| {
            let synced = chosen.next().expect("one answer for each change");
            if synced {
                durable.apply(change);
            }
            !synced
        });
    }

    /// What is on the disk is all there is, and of the changes that were not synced the older ones.
    pub(super) fn lose_power(&mut self, chance: &mut Stream) {
        let mut cut = BTreeSet::new();
        for change in std::mem::take(&mut self.unsynced) {
            let lost = change.directories().any(|directory| cut.contains(directory)) || chance.below(3) == 0;
            if lost {
                cut.extend(change.directories().map(Path::to_owned));
            } else {
                self.durable.apply(&change);
            }
        }
        // What stands in a directory that is lost is lost with it; parents come before what is in them.
        let all = std::mem::take(&mut self.durable.directories);
        for path in all {
            let parent = path.parent().unwrap_or(Path::new(""));
            if is_root(parent) || self.durable.directories.contains(parent) {
                self.durable.directories.insert(path);
            }
        }
        let directories = &self.durable.directories;
        self.durable.files.retain(|path, _| {
            let parent = path.parent().unwrap_or(Path::new(""));
            is_root(parent) || directories.contains(parent)
        });
        self.seen.files.clone_from(&self.durable.files);
        self.seen.directories.clone_from(&self.durable.directories);
    }

    /// Feeds all names to a digest.
    pub(super) fn digest(&self, into: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        for tree in [&self.seen, &self.durable] {
            tree.directories.hash(into);
            for (path, node) in &tree.files {
                path.hash(into);
                node.digest(into);
            }
        }
        self.unsynced.len().hash(into);
    }

    fn change(&mut self, change: Change) {
        self.seen.apply(&change);
        self.unsynced.push(change);
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if self.is_directory(parent) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }
}

/// `/`, or the directory that relative paths start from.
fn is_root(path: &Path) -> bool {
    path.parent().is_none()
}
