//! The manifest: what a data directory holds, in one file that people can read.
//!
//! Program, configuration, generation of shards and the list of checkpoints. It is small, replaced as a whole, and what it does not name does
//! not count: a snapshot becomes a checkpoint by standing in it.
//!
//! ```text
//! {                                        JSON in UTF-8
//!   "format": 3,
//!   ...
//! }
//! crc32c 1a2b3c4d                          CRC32C of all bytes before this line
//! ```
//!
//! [`Manifest::store`] writes `MANIFEST.new`, makes it durable, renames it and makes the name durable. So after a crash there is the old one
//! or the new one, and a half-written `MANIFEST.new` is nothing. Each carries the next number, which is then noted in `MANIFEST.stored`
//! ([marks](crate::mark)): one that was put back from an older copy is found out by it. Storing waits for the disk; it is for the coordinator of checkpoints.

use crate::disk::{Disk, How};
use crate::error::StorageError;
use crate::fingerprint::{EarlierJob, Job};
use crate::mark;
use crate::snapshot::{SnapshotId, SnapshotReader, snapshot_path};
use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The format version that this program writes, and the only one that it reads: earlier ones say of a job only lines of text.
pub(crate) const VERSION: u32 = 3;

const NAME: &str = "MANIFEST";
const NEW_NAME: &str = "MANIFEST.new";
const LAST_LINE_BYTES: usize = "crc32c 01234567\n".len();
const ADVICE: &str = "Nothing was changed. Put back a copy of the file; if it was edited by hand, undo that. Without it \
                      nobody knows which checkpoints and logs belong together.";

const OLDER_ADVICE: &str =
    "An older copy of the file was put back. Put back the newest, or take back all of the data directory.";

/// What a data directory holds.
///
/// ```
/// use pelton_storage::Manifest;
/// use pelton_storage::disk::{Blocking, Disk};
/// use std::sync::Arc;
///
/// let disk: Arc<dyn Disk> = Arc::new(Blocking::new());
/// let data = std::env::temp_dir().join(format!("pelton-doc-manifest-{}", std::process::id()));
/// disk.create_directory(&data).unwrap();
/// assert_eq!(Manifest::load(&disk, &data)?, None);
///
/// let manifest = Manifest { log_id: 0xBEE, shards: 2, ..Manifest::default() };
/// manifest.store(&disk, &data)?;
/// assert_eq!(Manifest::load(&disk, &data)?, Some(manifest));
/// # std::fs::remove_dir_all(&data).unwrap();
/// # Ok::<(), pelton_storage::StorageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the manifest's format.
    pub format: u32,
    /// In the file: which manifest of the directory it is, counted from 1. In memory: 0.
    pub stored: u64,
    /// What all files of the directory carry, drawn once.
    #[serde(with = "hex")]
    pub log_id: u128,
    /// The program.
    pub job: Job,
    /// Programs of before it, ascending: see [`job_of`](Self::job_of).
    pub earlier: Vec<EarlierJob>,
    /// Number of key groups, which never changes.
    pub key_groups: u32,
    /// What an acknowledged record is safe from: "process" or "disk".
    pub durability: String,
    /// The generation of shards; a new one begins when their number changes.
    pub generation: u32,
    /// Shards of this generation.
    pub shards: u16,
    /// Bytes of the segments of its logs.
    pub segment_bytes: u64,
    /// The first tick in the logs of this generation.
    pub first_tick: u64,
    /// Whether all logs of this generation had been made. Before that nothing was shown or acknowledged.
    pub begun: bool,
    /// The checkpoint that this generation began from, if it did not begin from nothing.
    pub base: Option<u64>,
    /// What the job was told to go back to last, so that it does so once.
    pub restored: Option<String>,
    /// Which boot of the machine the last start was in. Staging rings of another one are gone.
    pub boot_id: String,
    /// Whether the last run ended of its own accord.
    pub clean: bool,
    /// The configuration of the last start, for people.
    pub configuration: BTreeMap<String, String>,
    /// The checkpoints that can be started from, ascending by number.
    pub checkpoints: Vec<Checkpoint>,
    /// Moves of key groups in this generation behind the oldest of them, ascending by tick. Each stands here before it is made.
    pub moves: Vec<Moved>,
}

/// A move of key groups between shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moved {
    /// The last tick before it.
    pub tick: u64,
    /// The shard of each key group from then on.
    pub owners: Vec<u16>,
}

/// A checkpoint: a tick, and a snapshot of each shard after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Its number, which is the name of its directory.
    pub number: u64,
    /// The last tick whose effects are in it.
    pub tick: u64,
    /// The generation whose shards it is of.
    pub generation: u32,
    /// How many these are.
    pub shards: u16,
    /// The name that it was given, if it was asked for; such a one is kept until it is deleted: see [`delete_savepoint`](crate::DataDirectory::delete_savepoint).
    pub savepoint: Option<String>,
    /// The shard of each key group.
    pub owners: Vec<u16>,
    /// The number of partitions of each source.
    pub partitions: Vec<u32>,
    /// What tells each shard's snapshot from any other: [`SnapshotIndex::digest`](crate::SnapshotIndex::digest). Empty in manifests of before it
    /// was recorded.
    #[serde(with = "hex_list")]
    pub digests: Vec<u64>,
    /// Through which position each shard's log was on disk when it was made.
    pub positions: Vec<u64>,
    /// Earlier checkpoints whose files its snapshots refer to.
    pub needs: Vec<u64>,
    /// Bytes of its own files.
    pub bytes: u64,
    /// When it was made, as RFC 3339 has it.
    pub created: String,
    /// A later start could not read it, and went on from an earlier one: what has happened since does not follow from it, so no start begins from
    /// it without being told to.
    #[serde(default, skip_serializing_if = "is_not")]
    pub superseded: bool,
}

fn is_not(what: &bool) -> bool {
    !what
}

impl Checkpoint {
    /// What messages call it.
    pub fn called(&self) -> String {
        match &self.savepoint {
            Some(name) => format!("savepoint `{name}` (checkpoint {})", self.number),
            None => format!("checkpoint {}", self.number),
        }
    }

    /// Opens the snapshot of `shard` in the directory `checkpoints` of log `log_id`.
    ///
    /// # Errors
    /// As for [`SnapshotReader::open`], and when it is another than the one that was made.
    pub fn snapshot(
        &self,
        disk: &Arc<dyn Disk>,
        checkpoints: &Path,
        log_id: u128,
        shard: u16,
    ) -> Result<SnapshotReader, StorageError> {
        let Checkpoint { number, tick, generation, .. } = *self;
        let reader =
            SnapshotReader::open(disk, checkpoints, &SnapshotId { log_id, generation, shard, number, tick })?;
        let found = reader.index().digest();
        match self.digests.get(usize::from(shard)) {
            Some(&made) if made != found => Err(StorageError::Foreign {
                what: "snapshot",
                path: snapshot_path(checkpoints, number, shard),
                field: "digest",
                expected: format!("{made:016x}"),
                found: format!("{found:016x}"),
            }),
            _ => Ok(reader),
        }
    }
}

impl Default for Manifest {
    fn default() -> Self {
        Manifest {
            format: VERSION,
            stored: 0,
            log_id: 0,
            job: Job::default(),
            earlier: Vec::new(),
            key_groups: 0,
            durability: String::new(),
            generation: 0,
            shards: 0,
            segment_bytes: 0,
            first_tick: 0,
            begun: false,
            base: None,
            restored: None,
            boot_id: String::new(),
            clean: false,
            configuration: BTreeMap::new(),
            checkpoints: Vec::new(),
            moves: Vec::new(),
        }
    }
}

impl Manifest {
    /// The program that a generation of shards ran.
    ///
    /// ```
    /// use pelton_storage::{EarlierJob, Job, Manifest};
    ///
    /// let named = |name: &str| Job { name: name.to_owned(), ..Job::default() };
    /// let manifest = Manifest {
    ///     generation: 5,
    ///     job: named("now"),
    ///     earlier: vec![EarlierJob { through: 2, job: named("first") }, EarlierJob { through: 4, job: named("second") }],
    ///     ..Manifest::default()
    /// };
    /// let names: Vec<_> = (0..=5).map(|generation| &*manifest.job_of(generation).name).collect();
    /// assert_eq!(names, ["first", "first", "first", "second", "second", "now"]);
    /// ```
    pub fn job_of(&self, generation: u32) -> &Job {
        self.earlier
            .iter()
            .find(|earlier| generation <= earlier.through)
            .map_or(&self.job, |earlier| &earlier.job)
    }

    /// The job was changed: the generation that begins runs another program.
    pub fn change_job(&mut self, job: Job) {
        let before = std::mem::replace(&mut self.job, job);
        let oldest =
            self.checkpoints.iter().map(|checkpoint| checkpoint.generation).min().unwrap_or(u32::MAX);
        self.earlier.push(EarlierJob { through: self.generation, job: before });
        // Nobody asks any more for one of which there is no checkpoint.
        self.earlier.retain(|earlier| earlier.through >= oldest);
    }

    /// Where the manifest of a data directory is.
    pub fn path(data: &Path) -> PathBuf {
        data.join(NAME)
    }

    /// Reads the manifest of the data directory `data`; `None` if nothing has been stored there yet.
    ///
    /// # Errors
    /// When it cannot be read, is damaged or of another version; and when there is none although there are logs or checkpoints, because a
    /// manifest is stored before the first of these.
    pub fn load(disk: &Arc<dyn Disk>, data: &Path) -> Result<Option<Manifest>, StorageError> {
        let path = Manifest::path(data);
        let read = disk.open(&path, How::Read).and_then(|file| {
            let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
            file.read_at(&mut bytes, 0)?;
            Ok(bytes)
        });
        match read {
            Ok(bytes) => {
                let (manifest, number) = Manifest::parse(&path, &bytes)?;
                let newest = mark::stored(&**disk, data, manifest.log_id)?;
                if newest > number {
                    return Err(StorageError::Damaged {
                        what: "manifest",
                        path,
                        at: 0,
                        expected: format!("manifest number {newest}, which was stored last"),
                        found: format!("number {number}"),
                        advice: OLDER_ADVICE,
                    });
                }
                Ok(Some(manifest))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                for directory in ["log", "checkpoint"].map(|name| data.join(name)) {
                    match disk.list(&directory) {
                        Ok(names) if names.is_empty() => {}
                        Ok(_) => {
                            return Err(StorageError::Missing { what: "manifest", path, advice: ADVICE });
                        }
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        // A job that began anew because nobody could look would bury what is there.
                        Err(error) => return Err(StorageError::io("list", directory, error)),
                    }
                }
                Ok(None)
            }
            Err(error) => Err(StorageError::io("read", &path, error)),
        }
    }

    /// Replaces the manifest of the data directory `data` by this one, under the next number, and returns when that will be durable.
    ///
    /// # Errors
    /// When the disk refuses. Then the one before may or may not have been replaced: the job has to stop.
    pub fn store(&self, disk: &Arc<dyn Disk>, data: &Path) -> Result<(), StorageError> {
        assert_eq!(self.flaw(), None, "a manifest must make sense");
        let (path, new) = (Manifest::path(data), data.join(NEW_NAME));
        let number = mark::stored(&**disk, data, self.log_id)? + 1;
        let bytes = Manifest { stored: number, ..self.clone() }.to_bytes();
        match disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &new, error));
            }
            _ => {}
        }
        let refused = |action| {
            let (new, needed) = (&new, bytes.len() as u64);
            move |error| match StorageError::io(action, new, error) {
                StorageError::Full { path, free, .. } => StorageError::Full { path, needed, free },
                other => other,
            }
        };
        let file = disk.open(&new, How::Create).map_err(refused("create"))?;
        file.write_at(&bytes, 0).map_err(refused("write"))?;
        file.sync().map_err(refused("sync"))?;
        disk.rename(&new, &path).map_err(|error| StorageError::io("rename", &new, error))?;
        disk.sync_directory(data).map_err(|error| StorageError::io("sync", data, error))?;
        mark::store(&**disk, data, self.log_id, number)
    }

    /// The checkpoint of that number.
    pub fn checkpoint(&self, number: u64) -> Option<&Checkpoint> {
        self.checkpoints.iter().find(|checkpoint| checkpoint.number == number)
    }

    /// Numbers of all checkpoints whose files are needed by one of the list, itself included; ascending.
    pub fn referenced(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> =
            self.checkpoints.iter().flat_map(|one| one.needs.iter().copied().chain([one.number])).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Whether the job can only begin from the checkpoint of that number: this generation of shards began from it, and has none of its own that
    /// comes and goes yet, so its log says what happened after that one and nothing else does.
    pub fn begins_from(&self, number: u64) -> bool {
        let stands_alone = |one: &Checkpoint| one.generation == self.generation && one.savepoint.is_none();
        self.base == Some(number) && !self.checkpoints.iter().any(stands_alone)
    }

    /// The file's content.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = serde_json::Serializer::with_formatter(&mut bytes, Indented::default());
        self.serialize(&mut writer).expect("a manifest is plain data, and memory takes it");
        bytes.push(b'\n');
        let last = last_line(&bytes);
        bytes.extend_from_slice(last.as_bytes());
        bytes
    }

    /// Reads a file's content; `path` is for errors only. Public for fuzzing and inspection.
    ///
    /// # Errors
    /// When it is damaged or of another version.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Manifest, StorageError> {
        Manifest::parse(path, bytes).map(|(manifest, _)| manifest)
    }

    /// As [`from_bytes`](Self::from_bytes), and which manifest of the directory it is.
    fn parse(path: &Path, bytes: &[u8]) -> Result<(Manifest, u64), StorageError> {
        let damaged = |at: usize, expected: &str, found: String| StorageError::Damaged {
            what: "manifest",
            path: path.to_path_buf(),
            at: at as u64,
            expected: expected.into(),
            found,
            advice: ADVICE,
        };
        let Some(end) = bytes.len().checked_sub(LAST_LINE_BYTES) else {
            return Err(damaged(0, "JSON and a line with a checksum", format!("{} bytes", bytes.len())));
        };
        let (json, last) = bytes.split_at(end);
        let expected = last_line(json);
        if last != expected.as_bytes() {
            let found = format!("\"{}\"", last.escape_ascii());
            return Err(damaged(end, &format!("a last line \"{}\"", expected.escape_default()), found));
        }
        // The version first: what else a newer one holds is not known here.
        let format: Format = parse(json).map_err(|error| damaged(0, "JSON with a \"format\"", error))?;
        if format.format > VERSION {
            let path = path.to_path_buf();
            return Err(StorageError::Newer { what: "manifest", path, found: format.format, known: VERSION });
        }
        if format.format < VERSION {
            let path = path.to_path_buf();
            return Err(StorageError::Older { what: "manifest", path, found: format.format, known: VERSION });
        }
        let mut manifest: Manifest =
            parse(json).map_err(|error| damaged(0, "a manifest of format version 3", error))?;
        match manifest.flaw() {
            None => {
                let number = std::mem::take(&mut manifest.stored);
                Ok((manifest, number))
            }
            Some(flaw) => Err(damaged(0, "a manifest that makes sense", flaw)),
        }
    }

    /// What cannot be, in a manifest that can be read.
    fn flaw(&self) -> Option<String> {
        if let Some(pair) = self.checkpoints.windows(2).find(|pair| pair[0].number >= pair[1].number) {
            return Some(format!("checkpoint {} before checkpoint {}", pair[0].number, pair[1].number));
        }
        self.checkpoints.iter().find_map(|checkpoint| {
            let number = checkpoint.number;
            if let Some(later) = checkpoint.needs.iter().find(|&&needed| needed >= number) {
                return Some(format!("checkpoint {number} that needs checkpoint {later}"));
            }
            let owner = checkpoint.owners.iter().find(|&&owner| owner >= checkpoint.shards)?;
            Some(format!(
                "a key group of shard {owner} in checkpoint {number} of {} shards",
                checkpoint.shards
            ))
        })
    }
}

/// What every version has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

fn last_line(json: &[u8]) -> String {
    format!("crc32c {:08x}\n", crc32c::crc32c(json))
}

/// Members of objects on lines of their own, lists on one line: a thousand key groups are not a thousand lines.
#[derive(Default)]
struct Indented {
    depth: usize,
}

impl Indented {
    fn line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        write!(writer, "\n{:1$}", "", 2 * self.depth)
    }
}

impl Formatter for Indented {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        self.line(writer)?;
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.line(writer)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }
}

/// Numbers without a meaning as such, as hexadecimal text: JSON's own numbers are not that wide everywhere.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

mod hex_list {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(numbers: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(numbers.iter().map(|number| format!("{number:016x}")))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
        let list = Vec::<String>::deserialize(deserializer)?;
        list.iter().map(|text| u64::from_str_radix(text, 16).map_err(D::Error::custom)).collect()
    }
}
