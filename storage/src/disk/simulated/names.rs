//! The tree of names of a simulated machine: as programs see it, and as it is on the disk.
//!
//! A change of names becomes durable when its directory is synced, and then with all changes that came before it in the same directory.
//! When the power goes, of the changes that were not synced each directory keeps a stretch from the oldest on, as a input log would.

use super::Node;
use super::random::Stream;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Names {
    seen: Tree,
    durable: Tree,
    unsynced: Vec<Change>,
}

/// Paths as text: to compare them part by part was a fifth of a run.
#[derive(Default)]
struct Tree {
    files: BTreeMap<String, Arc<Node>>,
    directories: BTreeSet<String>,
}

enum Change {
    File(String, Arc<Node>),
    Directory(String),
    Rename(String, String),
    Remove(String),
}

impl Change {
    /// The directories whose names it changes.
    fn directories(&self) -> impl Iterator<Item = &str> {
        let (one, other) = match self {
            Change::File(path, _) | Change::Directory(path) | Change::Remove(path) => (path, None),
            Change::Rename(from, to) => (from, Some(to)),
        };
        [Some(one), other].into_iter().flatten().filter_map(|path| parent(path))
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
        self.seen.files.get(text(path))
    }

    pub(super) fn is_directory(&self, path: &Path) -> bool {
        self.is_directory_at(text(path))
    }

    fn is_directory_at(&self, path: &str) -> bool {
        is_root(path) || self.seen.directories.contains(path)
    }

    /// Every file that has a name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &Arc<Node>)> {
        self.seen.files.iter().map(|(path, node)| (Path::new(path), node))
    }

    pub(super) fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        if !self.is_directory(directory) {
            return Err(ErrorKind::NotFound.into());
        }
        let directory = text(directory);
        let within = if directory.ends_with('/') { directory.to_owned() } else { format!("{directory}/") };
        let files = self.seen.files.range(within.clone()..).map(|(path, _)| path);
        let directories = self.seen.directories.range(within.clone()..);
        // What begins alike stands together.
        let name = |path: &String| path.strip_prefix(&*within).map(str::to_owned);
        let mut names: Vec<String> = files
            .map_while(name)
            .chain(directories.map_while(name))
            .filter(|name| !name.contains('/'))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn create(&mut self, path: &Path, node: Arc<Node>) -> io::Result<()> {
        if self.file(path).is_some() || self.is_directory(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.parent_exists(path)?;
        self.change(Change::File(text(path).to_owned(), node));
        Ok(())
    }

    pub(super) fn create_directory(&mut self, path: &Path) -> io::Result<()> {
        let ancestors: Vec<&str> = path.ancestors().map(text).filter(|path| !is_root(path)).collect();
        for directory in ancestors.into_iter().rev() {
            if self.seen.files.contains_key(directory) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if self.is_directory_at(directory) {
                continue;
            }
            self.change(Change::Directory(directory.to_owned()));
            // What is right below the root stands for a file system that was mounted; it is always there.
            if parent(directory).is_none_or(is_root) {
                self.sync(Path::new(parent(directory).unwrap_or("")));
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
            self.change(Change::Rename(text(from).to_owned(), text(to).to_owned()));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        if self.file(path).is_none() {
            if !self.seen.directories.contains(text(path)) {
                return Err(ErrorKind::NotFound.into());
            }
            if !self.list(path)?.is_empty() {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
        }
        self.change(Change::Remove(text(path).to_owned()));
        Ok(())
    }

    /// Makes the names in a directory durable. A rename between two directories brings the other's earlier changes with it.
    pub(super) fn sync(&mut self, directory: &Path) {
        let mut wanted = BTreeSet::from([text(directory).to_owned()]);
        let mut chosen = vec![false; self.unsynced.len()];
        for (change, chosen) in self.unsynced.iter().zip(&mut chosen).rev() {
            if change.directories().any(|directory| wanted.contains(directory)) {
                wanted.extend(change.directories().map(str::to_owned));
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
                cut.extend(change.directories().map(str::to_owned));
            } else {
                self.durable.apply(&change);
            }
        }
        // What stands in a directory that is lost is lost with it; parents come before what is in them.
        let all = std::mem::take(&mut self.durable.directories);
        for path in all {
            let parent = parent(&path).unwrap_or("");
            if is_root(parent) || self.durable.directories.contains(parent) {
                self.durable.directories.insert(path);
            }
        }
        let directories = &self.durable.directories;
        self.durable.files.retain(|path, _| {
            let parent = parent(path).unwrap_or("");
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
        let parent = parent(text(path)).unwrap_or("");
        if self.is_directory_at(parent) { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
    }
}

/// The text of a path, without a slash at its end.
fn text(path: &Path) -> &str {
    let text = path.to_str().expect("paths of simulated machines are text");
    if text.len() > 1 { text.strip_suffix('/').unwrap_or(text) } else { text }
}

/// The directory that a path stands in; the root has none.
fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/') {
        _ if is_root(path) => None,
        Some(("", _)) => Some("/"),
        Some((parent, _)) => Some(parent),
        None => Some(""),
    }
}

/// `/`, or the directory that relative paths start from.
fn is_root(path: &str) -> bool {
    matches!(path, "" | "/")
}
