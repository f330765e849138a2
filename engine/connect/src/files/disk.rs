//! The disk that parts are on: the machine's, or another one that a test gives to the sink.

use pelton_storage::disk::{Blocking, Disk, DiskFile, How, sync_above};
use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// A disk; clones are handles to the same one.
#[derive(Clone)]
pub(super) struct SinkDisk(Arc<dyn Disk>);

/// An open file on it.
#[derive(Clone)]
pub(super) struct OpenFile(pub(super) Arc<dyn DiskFile>);

impl SinkDisk {
    /// The machine's.
    pub(super) fn of_the_machine() -> Self {
        SinkDisk(Arc::new(Blocking::new()))
    }

    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        SinkDisk(disk)
    }

    /// Makes the names in a directory durable, its own, and those above it.
    pub(super) fn sync_names(&self, directory: &Path) -> io::Result<()> {
        self.0.sync_directory(directory)?;
        sync_above(&*self.0, directory)
    }

    /// Opens a file to read it.
    pub(super) fn read(&self, path: &Path) -> io::Result<OpenFile> {
        self.0.open(path, How::Read).map(OpenFile)
    }

    /// Makes a file, which must not be there.
    pub(super) fn make(&self, path: &Path) -> io::Result<OpenFile> {
        self.0.open(path, How::Create).map(OpenFile)
    }

    /// Opens a file, and makes it if it is not there.
    pub(super) fn open_or_make(&self, path: &Path) -> io::Result<OpenFile> {
        match self.0.open(path, How::Write) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened.map(OpenFile),
        }
        match self.make(path) {
            // Another was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.0.open(path, How::Write).map(OpenFile)
            }
            made => made,
        }
    }

    /// Which boot of the machine this is; 0, which is like no other, where the system does not say.
    pub(super) fn boot(&self) -> u128 {
        boot_of(&self.0.boot_id())
    }
}

/// A boot id as a number: a UUID is one. The simulated disk has other ids, which are short.
fn boot_of(id: &str) -> u128 {
    if let Some(number) = id.strip_prefix("simulated-") {
        return number.parse().map_or(0, |number: u64| u128::from(number) + 1);
    }
    u128::from_str_radix(&id.replace('-', ""), 16).unwrap_or(0)
}

impl Deref for SinkDisk {
    type Target = dyn Disk;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Deref for OpenFile {
    type Target = dyn DiskFile;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for SinkDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SinkDisk")
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenFile")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_storage::disk::{Crash, Faults, Simulated};

    #[test]
    fn each_boot_has_a_number_of_its_own() {
        let machine = SinkDisk::of_the_machine();
        assert_ne!(machine.boot(), 0);
        assert_eq!(machine.boot(), SinkDisk::of_the_machine().boot());
        assert_eq!(
            boot_of("01234567-89ab-cdef-0123-456789abcdef"),
            0x0123_4567_89ab_cdef_0123_4567_89ab_cdef
        );
        assert_eq!(boot_of("unknown"), 0);
        let simulated = Simulated::new(1, Faults::default());
        let disk = SinkDisk::new(Arc::new(simulated.clone()));
        let first = disk.boot();
        assert_ne!(first, 0);
        simulated.crash(Crash::Process);
        assert_eq!(disk.boot(), first);
        simulated.crash(Crash::Power);
        assert!(![0, first].contains(&disk.boot()));
    }
}
