//! Giving files the names that fit them, when a log is opened. Names are for people, but no file may lose its own to
//! another.
//!
//! ```text
//! what it is             name                 why nothing is renamed onto it later
//! segment N in use       seg-N.log            N is counted upwards
//! spare, retired before  spare-K.log          K, below the oldest segment in use, is never retired again
//! any other spare        spare-new-K.log      retired segments do not get such names
//! ```

use crate::StorageError;
use crate::bounds::SPARES_MAX;
use crate::disk::Disk;
use crate::find::Found;
use crate::log::Spare;
use crate::segment::{live_name, new_name, number_in, spare_number_in};
use std::collections::{BTreeSet, VecDeque};

/// Gives every file the name that fits it; returns the spares, of which there are not too many then.
pub(crate) fn name_files(
    disk: &dyn Disk,
    found: &Found,
    current: u64,
) -> Result<VecDeque<Spare>, StorageError> {
    let mut names = Names::of(disk, found);
    let mut spares = VecDeque::new();
    let unused = found.segments.range(current + 1..).map(|(_, segment)| (&segment.name, segment.len));
    for (name, filled) in found.leftovers.iter().map(|file| (&file.name, file.filled)).chain(unused) {
        let may_be_wanted = spare_number_in(name).is_some_and(|number| number >= found.first());
        let name =
            if number_in(name).is_some() || may_be_wanted { names.step_aside(name)? } else { name.clone() };
        spares.push_back(Spare { name, filled: filled.min(found.identity.segment_bytes) });
    }

    // Names may have been swapped: whoever has another's steps aside first.
    let mut wrong = Vec::new();
    for (&number, segment) in found.segments.range(..=current) {
        let right = live_name(number);
        if segment.name == right {
            continue;
        }
        let is_wanted = number_in(&segment.name).is_some_and(|number| number <= current);
        let name = if is_wanted { names.step_aside(&segment.name)? } else { segment.name.clone() };
        wrong.push((name, right));
    }
    for (name, right) in wrong {
        names.rename(&name, right)?;
    }

    while spares.len() > SPARES_MAX + 1
        && let Some(spare) = spares.pop_front()
    {
        names.remove(&spare.name)?;
    }
    if names.changed {
        let synced = disk.sync_directory(&found.directory);
        synced.map_err(|error| StorageError::io("sync", &found.directory, error))?;
    }
    Ok(spares)
}

/// The names of a log's files.
struct Names<'a> {
    disk: &'a dyn Disk,
    found: &'a Found,
    taken: BTreeSet<String>,
    changed: bool,
}

impl<'a> Names<'a> {
    fn of(disk: &'a dyn Disk, found: &'a Found) -> Self {
        let leftovers = found.leftovers.iter().map(|file| &file.name);
        let taken = leftovers.chain(found.segments.values().map(|segment| &segment.name)).cloned().collect();
        Names { disk, found, taken, changed: false }
    }

    /// Gives a file a name that nobody has and nobody will want.
    fn step_aside(&mut self, name: &str) -> Result<String, StorageError> {
        let free = (0..).map(new_name).find(|name| !self.taken.contains(name)).expect("names do not end");
        self.rename(name, free.clone())?;
        Ok(free)
    }

    fn rename(&mut self, from: &str, to: String) -> Result<(), StorageError> {
        assert!(!self.taken.contains(&to), "{from} is renamed to {to}, which another file is called");
        let path = self.found.directory.join(from);
        let renamed = self.disk.rename(&path, &self.found.directory.join(&to));
        renamed.map_err(|error| StorageError::io("rename", path, error))?;
        self.taken.remove(from);
        self.taken.insert(to);
        self.changed = true;
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), StorageError> {
        let path = self.found.directory.join(name);
        self.disk.remove(&path).map_err(|error| StorageError::io("remove", path, error))?;
        self.taken.remove(name);
        self.changed = true;
        Ok(())
    }
}
