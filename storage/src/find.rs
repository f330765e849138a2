//! Which files are the log: headers decide, and the last group says where the log begins.
//!
//! 1. Each file's first page says which segment it is. One that is damaged, newer or another log's is refused if it may
//!    be in use.
//! 2. From the highest number down, the first segment with a GROUP entry holds the end of the log. That entry names the
//!    oldest segment in use; files below it are spares, whatever their names say.
//! 3. From there on no number may be missing, and no file may hold groups in use of another segment than the one it
//!    says it is.
//!
//! Nothing is changed here; a reader does the same.

use crate::StorageError;
use crate::disk::{Disk, DiskFile, How};
use crate::entry::{self, HEADER};
use crate::group::{self, Opening};
use crate::log::{Durability, ring_name, ring_path};
use crate::segment::{self, FirstPage, Identity, PAGE, SegmentHeader, live_name};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The content of a file.
pub(crate) type Map = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A file with a valid header.
pub(crate) struct SegmentFile {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) len: u64,
}

/// A file that holds nothing of the log.
pub(crate) struct Leftover {
    pub(crate) name: String,
    pub(crate) len: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    /// How much of it is known to have been written. Of a file that never was a segment, nothing: the sync of its zeros
    /// may have failed.
    pub(crate) filled: u64,
}

/// The files of a log.
pub(crate) struct Found {
    pub(crate) directory: PathBuf,
    pub(crate) identity: Identity,
    /// Segments from the oldest in use on, by number. Those above the last group hold none that can be made out.
    pub(crate) segments: BTreeMap<u64, SegmentFile>,
    pub(crate) leftovers: Vec<Leftover>,
    /// The last GROUP entry; its group need not be complete.
    pub(crate) last_group: Option<Opening>,
    /// How the log was kept when it was last written.
    pub(crate) durability: Option<Durability>,
    /// In which boot of the machine; see [`segment::boot`].
    pub(crate) boot: u64,
    /// The number of the staging ring that it was kept in then; 0 if there was none.
    pub(crate) ring: u64,
}

const HEADER_ADVICE: &str = "It holds groups that were acknowledged: put back a good copy of the file, or start from a \
                             savepoint in a new data directory.";
const OTHER_ADVICE: &str = "If it is a copy of that segment, remove it; else put back a good copy of the file, or start \
                            from a savepoint in a new data directory.";
const RING_ADVICE: &str = "The last run was cut short, and the machine was not restarted since, so somebody has removed \
                           the ring from memory. What was acknowledged last was only there: put it back, or start from \
                           a savepoint in a new data directory.";
const MISSING_ADVICE: &str = "What was acknowledged after the segment before it is lost to this log: put the file back, \
                              or start from a savepoint in a new data directory.";

impl Found {
    pub(crate) fn path(&self, number: u64) -> PathBuf {
        match self.segments.get(&number) {
            Some(segment) => self.directory.join(&segment.name),
            None => self.directory.join(live_name(number)),
        }
    }

    /// The number of the oldest segment in use.
    pub(crate) fn first(&self) -> u64 {
        self.segments.first_key_value().map_or(0, |(number, _)| *number)
    }

    /// The name of the staging ring that the log was kept in.
    pub(crate) fn ring_name(&self) -> String {
        ring_name(&self.identity, self.ring)
    }

    pub(crate) fn missing(&self, number: u64) -> StorageError {
        StorageError::Missing { what: "log segment", path: self.path(number), advice: MISSING_ADVICE }
    }

    /// Refuses a log whose staging ring is not there, though it was used since the machine was started. After a restart
    /// it cannot be there.
    pub(crate) fn without_ring(&self, disk: &dyn Disk) -> Result<(), StorageError> {
        if self.boot == 0 || self.boot != segment::boot(&disk.boot_id()) {
            return Ok(());
        }
        Err(StorageError::Missing {
            what: "staging ring",
            path: ring_path(&self.ring_name()),
            advice: RING_ADVICE,
        })
    }

    /// Writes to a segment, and leaves it to a later sync.
    pub(crate) fn write(&self, number: u64, bytes: &[u8], at: u64) -> Result<(), StorageError> {
        let Some(segment) = self.segments.get(&number) else { return Err(self.missing(number)) };
        segment.file.write_at(bytes, at).map_err(|error| StorageError::io("write", self.path(number), error))
    }

    /// Makes a segment durable.
    pub(crate) fn sync(&self, number: u64) -> Result<(), StorageError> {
        let Some(segment) = self.segments.get(&number) else { return Err(self.missing(number)) };
        segment.file.sync().map_err(|error| StorageError::io("sync", self.path(number), error))
    }

    pub(crate) fn map(&self, number: u64) -> Result<Option<Map>, StorageError> {
        let Some(segment) = self.segments.get(&number) else { return Ok(None) };
        let map = segment.file.map();
        map.map(Some).map_err(|error| StorageError::io("map", self.path(number), error))
    }
}

/// A file whose first page is no header, though it may have been one.
struct Headless {
    name: String,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    len: u64,
    magic: bool,
}

/// Looks at all files of the log in `directory`.
pub(crate) fn find(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    identity: &Identity,
    how: How,
) -> Result<Found, StorageError> {
    let names = disk.list(directory).map_err(|error| StorageError::io("list", directory, error))?;
    let mut segments: BTreeMap<u64, Vec<SegmentFile>> = BTreeMap::new();
    let mut headless = Vec::new();
    let mut leftovers = Vec::new();
    for name in names.into_iter().filter(|name| segment::is_ours(name)) {
        let path = directory.join(&name);
        let file = disk.open(&path, how).map_err(|error| StorageError::io("open", &path, error))?;
        let len = file.len().map_err(|error| StorageError::io("look at", &path, error))?;
        let mut page = vec![0; PAGE.min(len) as usize];
        file.read_at(&mut page, 0).map_err(|error| StorageError::io("read", &path, error))?;
        match SegmentHeader::read(&page) {
            FirstPage::Newer(found) => {
                return Err(StorageError::Newer {
                    what: "log segment",
                    path,
                    found,
                    known: segment::VERSION,
                });
            }
            FirstPage::Header(header) => {
                header.belongs(identity, &path)?;
                segments.entry(header.number).or_default().push(SegmentFile { name, header, file, len });
            }
            FirstPage::Other { magic } => headless.push(Headless { name, path, file, len, magic }),
        }
    }

    let mut last_group = None;
    let mut newest = segments.values().flatten().next().map(|segment| segment.header);
    'search: for (&number, files) in segments.iter().rev() {
        for segment in files {
            let path = directory.join(&segment.name);
            let map = segment.file.map().map_err(|error| StorageError::io("map", &path, error))?;
            last_group = group::last(identity, (*map).as_ref(), number);
            if last_group.is_some() {
                newest = Some(segment.header);
                break 'search;
            }
        }
    }
    let last = last_group.map_or(0, |opening| identity.segment(opening.position));
    let first = oldest(directory, identity, &segments, last_group)?;

    // A header is all that tells the groups of one segment from those of another. If a file with the wrong one were
    // used again, its groups would be missed sooner or later.
    for segment in segments.values().flatten() {
        let (path, own) = (directory.join(&segment.name), segment.header.number);
        if let Some(number) = claimed(identity, &*segment.file, segment.len, &path, first, Some(own))? {
            return Err(StorageError::Damaged {
                what: "header of a log segment",
                path,
                at: 32,
                expected: format!("segment {number}, whose groups follow it"),
                found: format!("segment {own}"),
                advice: OTHER_ADVICE,
            });
        }
    }
    for file in headless {
        match claimed(identity, &*file.file, file.len, &file.path, first, None)? {
            Some(number) => {
                return Err(StorageError::Damaged {
                    what: "header of a log segment",
                    path: file.path,
                    at: 0,
                    expected: format!("the header of segment {number}"),
                    found: if file.magic {
                        "a header with a wrong checksum".into()
                    } else {
                        "something else".into()
                    },
                    advice: HEADER_ADVICE,
                });
            }
            None => leftovers.push(Leftover { name: file.name, len: file.len, file: file.file, filled: 0 }),
        }
    }

    let in_use = segments.split_off(&first);
    for old in segments.into_values().flatten() {
        leftovers.push(Leftover { name: old.name, len: old.len, file: old.file, filled: old.len });
    }
    let mut found = Found {
        directory: directory.to_path_buf(),
        identity: *identity,
        segments: BTreeMap::new(),
        leftovers,
        last_group,
        durability: newest.map(|header| header.durability),
        boot: newest.map_or(0, |header| header.boot),
        ring: newest.map_or(0, |header| header.ring),
    };
    for (number, mut files) in in_use {
        if let [one, other, ..] = &files[..] {
            return Err(StorageError::Unusable {
                path: directory.to_path_buf(),
                reason: format!(
                    "Both {} and {} say that they are segment {number} of the log.",
                    one.name, other.name
                ),
                advice: "Remove the one that is a copy, and start again.",
            });
        }
        let Some(segment) = files.pop() else { continue };
        if segment.len < identity.segment_bytes {
            return Err(StorageError::Damaged {
                what: "log segment",
                path: directory.join(&segment.name),
                at: segment.len,
                expected: format!("{} bytes, which it had before it was first used", identity.segment_bytes),
                found: format!("{} bytes", segment.len),
                advice: HEADER_ADVICE,
            });
        }
        found.segments.insert(number, segment);
    }
    let any = !found.segments.is_empty() || last_group.is_some();
    if any && let Some(number) = (first..=last).find(|number| !found.segments.contains_key(number)) {
        return Err(found.missing(number));
    }
    Ok(found)
}

/// The oldest segment in use, as the last complete group has it. One that was cut short does not count: what it gives
/// up is given up only when it is durable.
fn oldest(
    directory: &Path,
    identity: &Identity,
    segments: &BTreeMap<u64, Vec<SegmentFile>>,
    last: Option<Opening>,
) -> Result<u64, StorageError> {
    let Some(last) = last else { return Ok(0) };
    for opening in [last.position, last.previous] {
        for segment in segments.get(&identity.segment(opening)).into_iter().flatten() {
            let path = directory.join(&segment.name);
            let map = segment.file.map().map_err(|error| StorageError::io("map", &path, error))?;
            let bytes = (*map).as_ref();
            let bytes = &bytes[..bytes.len().min(identity.segment_bytes as usize)];
            let bytes = bytes.get((opening - identity.base(segment.header.number)) as usize..);
            if let Ok(group) = group::check(identity, bytes.unwrap_or_default(), opening, false) {
                group.opening.is_in_use(identity, || path)?;
                return Ok(group.opening.first);
            }
        }
    }
    // Nothing was complete before it, or what was is damaged, which the walk will see.
    last.is_in_use(identity, || directory.join(live_name(identity.segment(last.position))))?;
    Ok(if last.previous == 0 { 0 } else { last.first })
}

/// The segment other than its `own` whose groups a file holds, if that is in use, or one that nobody could have
/// retired: from `first` on. Goes by the file's name and by the positions of GROUP entries.
fn claimed(
    identity: &Identity,
    file: &dyn DiskFile,
    len: u64,
    path: &Path,
    first: u64,
    own: Option<u64>,
) -> Result<Option<u64>, StorageError> {
    let mut header = [0; HEADER];
    if len < PAGE + HEADER as u64 {
        return Ok(None);
    }
    file.read_at(&mut header, PAGE).map_err(|error| StorageError::io("read", path, error))?;
    let by_name = path.file_name().and_then(|name| segment::number_in(name.to_str()?));
    let by_first = identity.segment(entry::u64_at(&header, 16));
    let other = |number: &u64| *number >= first && Some(*number) != own && identity.can_have(*number);
    let mut numbers = [Some(by_first), by_name].into_iter().flatten().filter(other).peekable();
    // Most have none, and need not be read through.
    if numbers.peek().is_none() {
        return Ok(None);
    }
    let map = file.map().map_err(|error| StorageError::io("map", path, error))?;
    Ok(numbers.filter(|&number| group::last(identity, (*map).as_ref(), number).is_some()).max())
}
