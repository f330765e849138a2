//! Snapshots, manifest and directory against everything that may happen to them.
//!
//! A twin in memory says what must be read back. Damage is systematic where files are small (each byte, each length), and drawn from a seed
//! where it is a matter of moments (crashes).

mod crash;
mod damage;
mod directory;
mod manifest;
mod snapshot;

use crate::disk::{Disk, DiskFile, How, Lifetime, Owner, Writer};
use crate::manifest::{Checkpoint, Manifest};
use crate::snapshot::{SnapshotFile, SnapshotId, SnapshotIndex, SnapshotReader, SnapshotWriter};
use crate::staging::Staging;
use crate::{
    BLOCK_BYTES, EarlierJob, StorageError, StoredInput, StoredNumbers, StoredOperator, StoredSchema,
    StoredState,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const LOG_ID: u128 = 0xFEED_0000_0000_0000_0000_0000_0000_BEEF;
const SHARD: u16 = 3;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let (seed, step) = (self.below(251), 1 + self.below(13));
        (0..len).map(|at| ((seed + at * step) % 251) as u8).collect()
    }
}

type Key = (u32, u32, u32);
type Blocks = BTreeMap<Key, Vec<u8>>;

/// What a shard remembers, and what of it has changed since the last snapshot.
#[derive(Clone, Default)]
struct Twin {
    blocks: Blocks,
    changed: BTreeSet<Key>,
}

impl Twin {
    /// Writes, extends and forgets some blocks of up to `len_max` bytes.
    fn live(&mut self, random: &mut Random, writes: usize, len_max: usize) {
        for _ in 0..writes {
            let key = (random.below(3) as u32, random.below(2) as u32, random.below(40) as u32);
            if random.below(10) == 0 {
                self.blocks.remove(&key);
                self.changed.remove(&key);
            } else {
                let len = random.below(len_max + 1);
                self.blocks.insert(key, random.bytes(len));
                self.changed.insert(key);
            }
        }
    }

    /// Gives the blocks to a writer, in an order of chance.
    fn write(
        &self,
        random: &mut Random,
        writer: &mut SnapshotWriter,
        full: bool,
    ) -> Result<(), StorageError> {
        let mut keys: Vec<Key> = self.blocks.keys().copied().collect();
        if random.below(2) == 0 {
            for at in (1..keys.len()).rev() {
                keys.swap(at, random.below(at + 1));
            }
        }
        for (section, table, chunk) in keys {
            if !full && !self.changed.contains(&(section, table, chunk)) {
                writer.same(section, table, chunk);
                continue;
            }
            while !writer.room() {
                writer.turn()?;
            }
            writer.block(section, table, chunk, &self.blocks[&(section, table, chunk)]);
            if random.below(4) == 0 {
                writer.turn()?;
            }
        }
        writer.finish();
        while !writer.is_done() {
            writer.turn()?;
        }
        Ok(())
    }
}

fn id(number: u64) -> SnapshotId {
    SnapshotId { log_id: LOG_ID, generation: 1, shard: SHARD, number, tick: 100 * number }
}

/// Snapshots the twin as checkpoint `number`, in full if there is no previous one.
fn snapshot(
    disk: &Arc<dyn Disk>,
    checkpoints: &Path,
    twin: &mut Twin,
    random: &mut Random,
    number: u64,
    previous: Option<&SnapshotIndex>,
) -> Result<SnapshotIndex, StorageError> {
    let file = SnapshotFile::create(disk.as_ref(), checkpoints, id(number))?;
    let mut writer = SnapshotWriter::new(disk.as_ref(), file, previous)?;
    twin.write(random, &mut writer, previous.is_none())?;
    twin.changed.clear();
    Ok(writer.into_index())
}

/// The content of a snapshot.
fn read(disk: &Arc<dyn Disk>, checkpoints: &Path, number: u64) -> Result<Blocks, StorageError> {
    let reader = SnapshotReader::open(disk, checkpoints, &id(number))?;
    reader.blocks().map(|(entry, bytes)| Ok((entry.key(), bytes?.to_vec()))).collect()
}

fn checkpoint(index: &SnapshotIndex) -> Checkpoint {
    Checkpoint {
        number: index.id().number,
        tick: index.id().tick,
        generation: 1,
        shards: SHARD + 1,
        owners: vec![0, 1, 2, 3],
        digests: Vec::new(),
        needs: index.needs().to_vec(),
        bytes: index.file_bytes(),
        created: "2026-01-02T03:04:05Z".into(),
        ..Checkpoint::default()
    }
}

fn manifest(checkpoints: Vec<Checkpoint>) -> Manifest {
    let mut manifest =
        Manifest { log_id: LOG_ID, generation: 1, shards: SHARD + 1, checkpoints, ..Manifest::default() };
    manifest.job.name = "größe \"x\"".into();
    let text = "Line { word: String }".to_owned();
    let schema = StoredSchema { id: "0123456789abcdef".into(), text };
    let kept = StoredState { name: "panes".into(), key: Some(schema.clone()), value: Some(schema.clone()) };
    let input = StoredInput { from: "lines".into(), how: "key".into(), key: Some(schema) };
    manifest.job.operators.push(StoredOperator {
        uid: "per-word".into(),
        kind: "window".into(),
        inputs: vec![input],
        state: vec![kept],
        parameters: [("size".to_owned(), "60s".to_owned())].into(),
        given: true,
        side_outputs: 1,
        numbers: StoredNumbers { stage: 1, place: Some(0), ..StoredNumbers::default() },
    });
    manifest.earlier.push(EarlierJob { through: 0, job: manifest.job.clone() });
    manifest.configuration.insert("shards".into(), "4".into());
    manifest
}

/// A directory of its own for a test, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pelton-storage-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A disk that carries out some operations, and fails all that come after, with `kind`.
struct Failing {
    inner: Arc<dyn Disk>,
    left: Arc<AtomicU32>,
    kind: io::ErrorKind,
}

struct FailingFile {
    inner: Arc<dyn DiskFile>,
    left: Arc<AtomicU32>,
    kind: io::ErrorKind,
}

fn take(left: &AtomicU32, kind: io::ErrorKind) -> io::Result<()> {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    taken.map(drop).map_err(|_| kind.into())
}

impl Failing {
    fn after(inner: &Arc<dyn Disk>, operations: u32, kind: io::ErrorKind) -> Arc<dyn Disk> {
        Arc::new(Failing { inner: Arc::clone(inner), left: Arc::new(AtomicU32::new(operations)), kind })
    }

    fn take(&self) -> io::Result<()> {
        take(&self.left, self.kind)
    }
}

impl Disk for Failing {
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>> {
        self.take()?;
        let inner = self.inner.open(path, how)?;
        Ok(Arc::new(FailingFile { inner, left: Arc::clone(&self.left), kind: self.kind }))
    }
    fn len_of(&self, path: &Path) -> io::Result<u64> {
        self.inner.len_of(path)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.inner.list(directory)
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.take()?;
        self.inner.create_directory(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.take()?;
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.take()?;
        self.inner.remove(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.take()?;
        self.inner.sync_directory(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.take()?;
        self.inner.lock(path)
    }
    fn writer(&self) -> io::Result<Box<dyn Writer>> {
        self.inner.writer()
    }
    fn staging(&self, name: &str, bytes: usize, lifetime: Lifetime) -> io::Result<Staging> {
        self.take()?;
        self.inner.staging(name, bytes, lifetime)
    }
    fn find_staging(&self, name: &str, hold: Option<Duration>) -> io::Result<Option<Staging>> {
        self.inner.find_staging(name, hold)
    }
    fn stagings(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.inner.stagings(prefix)
    }
    fn remove_staging(&self, name: &str) -> io::Result<()> {
        self.inner.remove_staging(name)
    }
    fn staging_room(&self) -> io::Result<Option<u64>> {
        self.take()?;
        self.inner.staging_room()
    }
    fn owner(&self, directory: &Path) -> io::Result<Owner> {
        self.inner.owner(directory)
    }
    fn draw(&self) -> u64 {
        self.inner.draw()
    }
    fn boot_id(&self) -> String {
        self.inner.boot_id()
    }
}

impl DiskFile for FailingFile {
    fn lock(&self, longest: Duration) -> io::Result<()> {
        self.inner.lock(longest)
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.inner.read_at(bytes, at)
    }
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        take(&self.left, self.kind)?;
        self.inner.write_at(bytes, at)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn fill_zeros(&self, len: u64) -> io::Result<()> {
        self.inner.fill_zeros(len)
    }
    fn sync(&self) -> io::Result<()> {
        take(&self.left, self.kind)?;
        self.inner.sync()
    }
    fn map(&self) -> io::Result<Arc<dyn AsRef<[u8]> + Send + Sync>> {
        self.inner.map()
    }
    fn descriptor(&self) -> Option<i32> {
        self.inner.descriptor()
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self.inner.as_any()
    }
}
