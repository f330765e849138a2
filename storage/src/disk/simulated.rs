//! A machine in memory, whose processes are killed and whose power fails: the disk of the simulator.
//!
//! # The fault model
//!
//! - **Writes** of a [`Writer`] take a number of polls ([`Faults::slow`]); until then they may have happened wholly, up to some sector of
//!   512 bytes, or not at all. They read their memory when they happen. Some are carried out in two parts, cut between sectors
//!   ([`Faults::short_write`]), some fail after a part ([`Faults::write_error`]).
//! - **Syncs** make a file's content durable, or fail ([`Faults::sync_error`]). After a failed one some of what was not durable is, the
//!   rest never will be, and a later sync that succeeds says nothing about it. A sync is not of names. Those of what comes from a ring,
//!   a log's groups, may be said to be done and not be ([`Faults::false_syncs`]): nothing that a job is durable, only to show that it would be noticed.
//! - **Writes that block** ([`DiskFile::write_at`], zeros that are filled in) fail as those of a writer do, after a part up to some sector.
//! - **Names** are not made, changed or removed ([`Faults::name_error`]). They become durable when their directory is synced. Directories right below the root are always there.
//! - **[`Crash::Process`]**: everything that completed stays, and so do rings that live on the machine. Writes under way are decided as
//!   above. Locks are free again, rings in the process are gone.
//! - **[`Crash::Power`]**: that, and then each write that was not synced is there wholly, in some of its sectors, or not, each by itself;
//!   names keep an older stretch of the changes in each directory. All rings are gone, and the machine has another boot id.
//! - **Bits** turn over at either crash, any number of them, in files that are named ([`Faults::bit_flips`]); if asked for, only in what was
//!   written of them ([`Faults::flip_written`]).
//! - **Reads** fail ([`Faults::read_error`]): files cannot be opened, mapped or asked for their length, directories cannot be listed; or what
//!   is read of a file comes to an end before it should ([`Faults::short_read`]). What is on the disk is as it was, and may be read the next time.
//! - **Space** ends at [`Faults::full_at_bytes`]. A file takes what was written or filled with zeros, up to its last byte.
//! - **[`Simulated::stop_after`]** ends the process between two operations, wherever that is; the next `crash` starts it again.
//!
//! Not in the model: clocks, writes that go to the wrong place, pages of a map that cannot be read.
//!
//! All of it is drawn from one seed, each kind of chance from its own stream: the same calls give the same bytes, which
//! [`Simulated::snapshot`] folds into a number. Everything is done by the caller's calls; there are no threads and no clock. Files hold
//! only the pages that were written, so simulated machines are cheap in spite of their large segments.

mod content;
mod names;
mod random;
#[cfg(test)]
mod tests;
mod writer;

use super::files::LOCK;
use super::{Disk, DiskFile, How, Lifetime, Owner, Writer};
use crate::staging::Staging;
use content::{Content, SECTOR_BYTES};
use names::Names;
use random::{Digest, Stream};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{error, fmt};
use writer::{Queue, SimulatedWriter};

/// What goes wrong, and how often. The default is a machine where nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Of a thousand syncs, of files or of directories, this many fail.
    pub sync_error: u32,
    /// Syncs of what a writer has from a ring are said to be done, and make nothing durable.
    pub false_syncs: bool,
    /// Of a thousand writes of a writer, this many fail.
    pub write_error: u32,
    /// Of a thousand writes that block, this many fail.
    pub blocking_write_error: u32,
    /// Of a thousand files and directories that are to be made, renamed or removed, this many stay as they are.
    pub name_error: u32,
    /// Of a thousand files that are to be renamed, so many are said to have been and were not: nothing that a disk does, only to show that it would
    /// be noticed.
    pub false_renames: u32,
    /// Of a thousand writes of a writer, this many are carried out in two parts.
    pub short_write: u32,
    /// Of a thousand reads (files that are opened, measured, mapped or read, directories that are listed), this many fail.
    pub read_error: u32,
    /// Of a thousand reads of bytes, this many come to the end of the file before they should.
    pub short_read: u32,
    /// In which files and directories: those whose path contains this.
    pub unread_in: String,
    /// Of what cannot be opened or listed it is said that it is not there: nothing that a disk does, only to show that it would be noticed.
    pub false_absence: bool,
    /// Writes that block are said to be done, and are done with the next call for the file, where its path contains this: nothing that a disk does,
    /// only to show that it would be noticed.
    pub late_in: Option<String>,
    /// All files together have room for this many bytes.
    pub full_at_bytes: Option<u64>,
    /// For how many polls a write is only under way; none if the range is empty.
    pub slow: Range<u32>,
    /// Bits that turn over at each crash.
    pub bit_flips: u32,
    /// In which files: those whose path contains one of these.
    pub flip_in: Vec<String>,
    /// Only before the last byte of a page that is not zero: most of a large file may never have been written.
    pub flip_written: bool,
}

/// How the simulated process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Crash {
    /// It is killed.
    Process,
    /// The machine loses power.
    Power,
}

/// A machine in memory; clones are handles to the same one.
///
/// ```
/// use pelton_storage::disk::{Crash, Disk, Faults, How, Simulated};
/// use std::path::Path;
///
/// let machine = Simulated::new(42, Faults::default());
/// machine.create_directory(Path::new("/data"))?;
/// let file = machine.open(Path::new("/data/bytes"), How::Create)?;
/// file.write_at(b"kept", 0)?;
/// file.sync()?;
/// machine.sync_directory(Path::new("/data"))?;
/// file.write_at(b" and perhaps not", 4)?;
///
/// machine.crash(Crash::Power);
/// assert!(file.len().is_err(), "it was the dead process's file");
/// let file = machine.open(Path::new("/data/bytes"), How::Read)?;
/// let map = file.map()?;
/// assert!((*map).as_ref().starts_with(b"kept"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Simulated {
    state: Arc<Mutex<MachineState>>,
    /// Of which process it is a handle; none, of whichever runs.
    life: Option<u64>,
}

struct MachineState {
    names: Names,
    /// Numbers of files that are locked.
    locks: BTreeSet<u64>,
    staging: BTreeMap<String, Staging>,
    writers: BTreeMap<u64, Queue>,
    faults: Faults,
    chance: Chance,
    // Counts processes: what an earlier one had opened is of no use to the next.
    life: u64,
    boot: u64,
    numbers: u64,
    operations: u64,
    failed_reads: u64,
    failed_changes: u64,
    stops_at: Option<u64>,
}

/// A stream for each thing that may go wrong.
#[derive(Hash)]
struct Chance {
    delays: Stream,
    torn: Stream,
    short_write: Stream,
    write_error: Stream,
    sync_error: Stream,
    power: Stream,
    names: Stream,
    flips: Stream,
    reads: Stream,
    changes: Stream,
}

/// A file, whatever its name.
struct Node {
    number: u64,
    content: Mutex<Content>,
}

impl Node {
    fn content(&self) -> MutexGuard<'_, Content> {
        // A test that panicked elsewhere is no reason to panic here, too.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, into: &mut impl Hasher) {
        self.number.hash(into);
        self.content().hash(into);
    }
}

/// What is said to a process that has ended and still wants something.
#[derive(Debug)]
struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated process has ended")
    }
}

impl error::Error for Ended {}

impl Simulated {
    /// A machine with empty disks, whose faults are drawn from `seed`.
    pub fn new(seed: u64, faults: Faults) -> Self {
        let stream = |name| Stream::new(seed, name);
        let chance = Chance {
            delays: stream("delays"),
            torn: stream("torn"),
            short_write: stream("short writes"),
            write_error: stream("write errors"),
            sync_error: stream("sync errors"),
            power: stream("power"),
            names: stream("names"),
            flips: stream("flips"),
            reads: stream("reads"),
            changes: stream("changes"),
        };
        let state = MachineState {
            names: Names::default(),
            locks: BTreeSet::new(),
            staging: BTreeMap::new(),
            writers: BTreeMap::new(),
            faults,
            chance,
            life: 1,
            boot: 1,
            numbers: 0,
            operations: 0,
            failed_reads: 0,
            failed_changes: 0,
            stops_at: None,
        };
        Simulated { state: Arc::new(Mutex::new(state)), life: None }
    }

    /// Ends the process and starts the next: what was opened before fails from now on, and has to be opened again.
    ///
    /// Call it before what the process held is dropped: a writer that is dropped by a living process carries its writes out first. And
    /// let nothing write to the old process's rings afterwards: the memory of those on the machine is the same.
    pub fn crash(&self, how: Crash) {
        let mut state = self.state();
        for queue in std::mem::take(&mut state.writers).into_values() {
            queue.crash(&mut state);
        }
        if how == Crash::Power {
            state.lose_power();
        }
        state.flip_bits();
        state.locks.clear();
        state.life += 1;
        state.stops_at = None;
    }

    /// Lets `operations` more operations happen, then ends the process: until [`Simulated::crash`] all calls fail, and writes under way
    /// complete with an error.
    ///
    /// An operation is what changes the disk or makes it durable, each write and each sync of a writer being one.
    pub fn stop_after(&self, operations: u64) {
        let mut state = self.state();
        state.stops_at = Some(state.operations + operations);
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Reads that have failed, or were short.
    pub fn failed_reads(&self) -> u64 {
        self.state().failed_reads
    }

    /// Writes that block and changes of names that have failed.
    pub fn failed_changes(&self) -> u64 {
        self.state().failed_changes
    }

    /// Whether the process was ended by [`Simulated::stop_after`].
    pub fn has_ended(&self) -> bool {
        self.state().has_ended()
    }

    /// A handle that is of use to this process only: what the process drops when it is gone already does nothing through it.
    #[must_use]
    pub fn of_this_process(&self) -> Self {
        let life = Some(self.state().life);
        Simulated { state: Arc::clone(&self.state), life }
    }

    /// What a file holds, as another process of this machine sees it that has no trouble with reading; `None` if there is none.
    pub fn seen(&self, path: &Path) -> Option<Vec<u8>> {
        let node = Arc::clone(self.state().names.file(path)?);
        let content = node.content();
        let mut bytes = vec![0; usize::try_from(content.len()).ok()?];
        content.read_sparse(&mut bytes);
        Some(bytes)
    }

    /// Has other faults from now on, drawn from the same streams.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// All that the machine holds, and all that it will draw, as one number: two machines that were treated alike have the same.
    pub fn snapshot(&self) -> u64 {
        let state = self.state();
        let mut digest = Digest::new();
        state.names.digest(&mut digest);
        for (key, ring) in &state.staging {
            key.hash(&mut digest);
            ring.digest(&mut digest);
        }
        for (number, queue) in &state.writers {
            number.hash(&mut digest);
            queue.digest(&mut digest);
        }
        state.locks.hash(&mut digest);
        state.chance.hash(&mut digest);
        (state.life, state.boot, state.numbers, state.operations).hash(&mut digest);
        digest.finish()
    }

    fn state(&self) -> MutexGuard<'_, MachineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, before an operation of the current process.
    fn operation(&self) -> io::Result<MutexGuard<'_, MachineState>> {
        let mut state = self.state();
        let life = self.life.unwrap_or(state.life);
        state.operation(life)?;
        Ok(state)
    }

    /// The same, of one that changes a name.
    fn name_operation(&self) -> io::Result<MutexGuard<'_, MachineState>> {
        let mut state = self.operation()?;
        let per_mille = state.faults.name_error;
        state.changes(per_mille)?;
        Ok(state)
    }

    /// The state, for a look.
    fn look(&self) -> io::Result<MutexGuard<'_, MachineState>> {
        let state = self.state();
        state.alive(self.life.unwrap_or(state.life))?;
        Ok(state)
    }

    /// The state, for a look at what is on the disk.
    fn read(&self, path: &Path) -> io::Result<MutexGuard<'_, MachineState>> {
        let mut state = self.look()?;
        let concerned = state.concerns(path);
        match state.reads(concerned) {
            Err(_) if state.faults.false_absence => Err(ErrorKind::NotFound.into()),
            read => read.map(|()| state),
        }
    }
}

impl MachineState {
    fn has_ended(&self) -> bool {
        self.stops_at.is_some_and(|end| self.operations >= end)
    }

    /// An error if the process of that life has ended.
    fn alive(&self, life: u64) -> io::Result<()> {
        if life != self.life || self.has_ended() { Err(io::Error::other(Ended)) } else { Ok(()) }
    }

    /// Counts an operation, or says that there will be none.
    fn operation(&mut self, life: u64) -> io::Result<()> {
        self.alive(life)?;
        self.operations += 1;
        Ok(())
    }

    /// Whether reads may fail there.
    fn concerns(&self, path: &Path) -> bool {
        let Faults { read_error, short_read, ref unread_in, .. } = self.faults;
        read_error + short_read > 0 && path.to_string_lossy().contains(unread_in.as_str())
    }

    /// Something is read of the disk, or fails if it is `concerned`.
    fn reads(&mut self, concerned: bool) -> io::Result<()> {
        if !concerned || !self.chance.reads.happens(self.faults.read_error) {
            return Ok(());
        }
        self.failed_reads += 1;
        Err(io::Error::from_raw_os_error(libc::EIO))
    }

    /// Something on the disk is changed, or that fails.
    fn changes(&mut self, per_mille: u32) -> io::Result<()> {
        if !self.chance.changes.happens(per_mille) {
            return Ok(());
        }
        self.failed_changes += 1;
        Err(io::Error::from_raw_os_error(libc::EIO))
    }

    /// Bytes are read, or that fails; they may also end too early.
    fn reads_bytes(&mut self, concerned: bool) -> io::Result<()> {
        self.reads(concerned)?;
        if !concerned || !self.chance.reads.happens(self.faults.short_read) {
            return Ok(());
        }
        self.failed_reads += 1;
        Err(ErrorKind::UnexpectedEof.into())
    }

    fn lock(&mut self, number: u64) -> io::Result<()> {
        if self.locks.insert(number) { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    fn unlock(&mut self, life: u64, number: u64) {
        if self.life == life {
            self.locks.remove(&number);
        }
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn delay(&mut self) -> u64 {
        let Range { start, end } = self.faults.slow;
        u64::from(start) + self.chance.delays.below(u64::from(end.saturating_sub(start)))
    }

    /// How much of a write at `at` happened, when it did not happen wholly: none, or up to some sector.
    fn part_of(&mut self, at: u64, len: usize) -> usize {
        let first = SECTOR_BYTES - at % SECTOR_BYTES;
        let sectors = (len as u64).saturating_sub(first).div_ceil(SECTOR_BYTES);
        match self.chance.torn.below(sectors + 1) {
            0 => 0,
            sector => (first + (sector - 1) * SECTOR_BYTES).min(len as u64) as usize,
        }
    }

    /// Whether the disk has room for a file that reaches up to `end`.
    fn room_for(&self, node: &Node, end: u64) -> io::Result<()> {
        let Some(full) = self.faults.full_at_bytes else { return Ok(()) };
        let more = end.saturating_sub(node.content().reserved());
        if more == 0 {
            return Ok(());
        }
        let used: u64 = self.names.files().map(|(_, node)| node.content().reserved()).sum();
        if used + more <= full { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOSPC)) }
    }

    fn sync(&mut self, node: &Node) -> io::Result<()> {
        if self.chance.sync_error.happens(self.faults.sync_error) {
            node.content().sync_failed(&mut self.chance.power);
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        node.content().sync();
        Ok(())
    }

    fn lose_power(&mut self) {
        self.names.lose_power(&mut self.chance.names);
        // In the order of names, not of numbers: which of two files was made first may depend on threads, their names do not.
        for (_, node) in self.names.files() {
            node.content().lose_power(&mut self.chance.power);
        }
        self.staging.clear();
        self.boot += 1;
    }

    fn flip_bits(&mut self) {
        let named = |path: &Path| {
            let text = path.to_string_lossy();
            self.faults.flip_in.iter().any(|part| text.contains(part.as_str()))
        };
        let files = self.names.files().filter(|(path, _)| named(path));
        let nodes: Vec<_> = files.map(|(_, node)| Arc::clone(node)).collect();
        for _ in 0..if nodes.is_empty() { 0 } else { self.faults.bit_flips } {
            let node = &nodes[self.chance.flips.below(nodes.len() as u64) as usize];
            if self.faults.flip_written {
                node.content().flip_written(&mut self.chance.flips);
            } else {
                node.content().flip(&mut self.chance.flips);
            }
        }
    }
}

impl Disk for Simulated {
    fn open(&self, path: &Path, how: How) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = if how == How::Create { self.name_operation()? } else { self.read(path)? };
        let node = match (state.names.file(path), how) {
            (_, How::Create) => {
                let number = state.next_number();
                let node = Arc::new(Node { number, content: Mutex::default() });
                state.names.create(path, Arc::clone(&node))?;
                node
            }
            (Some(node), _) => Arc::clone(node),
            (None, _) => return Err(ErrorKind::NotFound.into()),
        };
        let (life, concerned) = (state.life, state.concerns(path));
        let late_in = state.faults.late_in.as_deref();
        let late = late_in.filter(|late| path.to_string_lossy().contains(*late)).map(|_| Mutex::default());
        let is_locked = AtomicBool::new(false);
        Ok(Arc::new(SimulatedFile { disk: self.clone(), life, node, how, concerned, is_locked, late }))
    }

    fn len_of(&self, path: &Path) -> io::Result<u64> {
        let state = self.read(path)?;
        match state.names.file(path) {
            Some(node) => Ok(node.content().len()),
            None if state.names.is_directory(path) => Ok(0),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.read(directory)?.names.list(directory)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.name_operation()?.names.create_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.name_operation()?;
        let per_mille = state.faults.false_renames;
        // Nobody is told, so it is no failure that is counted.
        if state.chance.changes.happens(per_mille) { Ok(()) } else { state.names.rename(from, to) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.name_operation()?.names.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.operation()?;
        if !state.names.is_directory(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let per_mille = state.faults.sync_error;
        if state.chance.sync_error.happens(per_mille) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        state.names.sync(path);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.operation()?;
        let path = if state.names.is_directory(path) { path.join(LOCK) } else { path.to_owned() };
        let there = state.names.file(&path).map(|node| node.number);
        let number = match there {
            Some(number) => number,
            None => {
                let number = state.next_number();
                state.names.create(&path, Arc::new(Node { number, content: Mutex::default() }))?;
                number
            }
        };
        let life = state.life;
        state.lock(number)?;
        drop(state);
        Ok(Box::new(Lock { disk: self.clone(), life, number }))
    }

    fn writer(&self) -> io::Result<Box<dyn Writer>> {
        Ok(Box::new(SimulatedWriter::new(self)?))
    }

    fn staging(&self, name: &str, bytes: usize, lifetime: Lifetime) -> io::Result<Staging> {
        let mut state = self.look()?;
        let ring = Staging::on_heap(bytes, lifetime);
        if lifetime == Lifetime::OnMachine {
            if state.staging.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            state.staging.insert(name.to_owned(), ring.clone());
        }
        Ok(ring)
    }

    fn find_staging(&self, name: &str, _: Option<Duration>) -> io::Result<Option<Staging>> {
        Ok(self.look()?.staging.get(name).cloned())
    }

    fn stagings(&self, prefix: &str) -> io::Result<Vec<String>> {
        let state = self.look()?;
        Ok(state.staging.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn remove_staging(&self, name: &str) -> io::Result<()> {
        self.look()?.staging.remove(name);
        Ok(())
    }

    fn staging_room(&self) -> io::Result<Option<u64>> {
        drop(self.look()?);
        Ok(None)
    }

    fn owner(&self, directory: &Path) -> io::Result<Owner> {
        Ok(Owner::simulated(directory))
    }

    fn draw(&self) -> u64 {
        self.state().next_number()
    }

    fn boot_id(&self) -> String {
        format!("simulated-{}", self.state().boot)
    }
}

struct Lock {
    disk: Simulated,
    life: u64,
    number: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.state().unlock(self.life, self.number);
    }
}

/// An open file.
struct SimulatedFile {
    disk: Simulated,
    life: u64,
    node: Arc<Node>,
    how: How,
    /// Whether reads of it may fail, as of when it was opened.
    concerned: bool,
    is_locked: AtomicBool,
    /// The last write, if it is one of those that are late.
    late: Option<Mutex<Option<LateWrite>>>,
}

/// Where, and what.
type LateWrite = (u64, Box<[u8]>);

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        if *self.is_locked.get_mut() {
            self.disk.state().unlock(self.life, self.node.number);
        }
    }
}

impl SimulatedFile {
    /// The file behind the trait, which must be one of such a disk.
    fn of(file: &Arc<dyn DiskFile>) -> io::Result<&SimulatedFile> {
        file.as_any()
            .downcast_ref()
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "a file of another disk"))
    }

    fn is_writable(&self) -> bool {
        self.how != How::Read
    }

    /// The state, before something is read of the file.
    fn look(&self) -> io::Result<MutexGuard<'_, MachineState>> {
        let state = self.disk.state();
        state.alive(self.life)?;
        self.catch_up(None);
        Ok(state)
    }

    /// A write that is late is done now; this one is, from now on, if there is one.
    fn catch_up(&self, next: Option<LateWrite>) {
        let Some(late) = &self.late else { return };
        let late = std::mem::replace(&mut *late.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let Some((at, bytes)) = late {
            self.node.content().write(at, &bytes);
        }
    }

    /// The state, before an operation that changes the file.
    fn change(&self) -> io::Result<MutexGuard<'_, MachineState>> {
        let mut state = self.disk.state();
        state.operation(self.life)?;
        self.catch_up(None);
        if self.is_writable() { Ok(state) } else { Err(io::Error::from_raw_os_error(libc::EBADF)) }
    }
}

impl DiskFile for SimulatedFile {
    /// Does not wait: whoever has it does not get on meanwhile.
    fn lock(&self, _: Duration) -> io::Result<()> {
        let mut state = self.look()?;
        if !self.is_locked.load(Ordering::Relaxed) {
            state.lock(self.node.number)?;
            self.is_locked.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.look()?.reads(self.concerned)?;
        Ok(self.node.content().len())
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.look()?.reads_bytes(self.concerned)?;
        self.node.content().read(bytes, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.change()?;
        let end = at.checked_add(bytes.len() as u64).ok_or(ErrorKind::InvalidInput)?;
        state.room_for(&self.node, end)?;
        let per_mille = state.faults.blocking_write_error;
        if let Err(error) = state.changes(per_mille) {
            let part = state.part_of(at, bytes.len());
            self.node.content().write(at, &bytes[..part]);
            return Err(error);
        }
        if self.late.is_some() {
            self.catch_up(Some((at, bytes.into())));
        } else {
            self.node.content().write(at, bytes);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let _state = self.change()?;
        self.node.content().set_len(len);
        Ok(())
    }

    fn fill_zeros(&self, len: u64) -> io::Result<()> {
        let mut state = self.change()?;
        state.room_for(&self.node, len)?;
        let per_mille = state.faults.blocking_write_error;
        state.changes(per_mille)?;
        self.node.content().fill_zeros(len);
        state.operation(self.life)?;
        state.sync(&self.node)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation(self.life)?;
        self.catch_up(None);
        state.sync(&self.node)
    }

    fn map(&self) -> io::Result<Arc<dyn AsRef<[u8]> + Send + Sync>> {
        self.look()?.reads(self.concerned)?;
        let content = self.node.content();
        let len = usize::try_from(content.len()).map_err(|_| ErrorKind::OutOfMemory)?;
        // As aligned as what readers of a real map may rely on. The memory is zeroed lazily, so holes cost next to nothing.
        let mut memory = vec![0; len + ALIGNMENT];
        let from = memory.as_ptr().align_offset(ALIGNMENT);
        content.read_sparse(&mut memory[from..][..len]);
        Ok(Arc::new(Mapped { memory, from, len }))
    }

    fn descriptor(&self) -> Option<i32> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Of a simulated map; a real one begins a page.
const ALIGNMENT: usize = 64;

struct Mapped {
    memory: Vec<u8>,
    from: usize,
    len: usize,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.from..][..self.len]
    }
}
