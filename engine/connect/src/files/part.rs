//! One file of rows: opened where it counts, appended to, cut.

use super::disk::{OpenFile, SinkDisk};
use super::marks::{Mark, Marks, NotRight, again};
use super::position::{Found, NotOpened, PositionFile, Slot};
use pelton_core::{Fault, ShardId};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the parts of a sink are, and whose they have to be.
#[derive(Clone, Debug)]
pub(super) struct PartPlace {
    pub(super) disk: SinkDisk,
    pub(super) directory: Arc<Path>,
    pub(super) extension: Arc<str>,
    pub(super) boot: u128,
    /// The shard in whose name faults are reported.
    pub(super) shard: ShardId,
}

/// What is known of a part from the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// The checkpoint's tick.
    pub(super) tick: u64,
    /// What was in the part then.
    pub(super) marks: Marks,
    /// The generation of the log now: what was written in an earlier one counts only as far as the checkpoint says.
    pub(super) generation: u32,
    /// Whether it begins with this start.
    pub(super) begins: bool,
    /// Whether what was written behind the checkpoint is given up.
    pub(super) gives_up: bool,
}

/// A part that was looked at, and locked, and that is what it was until it is [taken](Looked::take).
#[derive(Debug)]
pub(super) struct Looked {
    path: PathBuf,
    at: PathBuf,
    position: PositionFile,
    counts: Slot,
    marks: Marks,
    /// What the checkpoint vouches for.
    safe: u64,
    there: u64,
    /// The job and the part that the position is to name, if that is not durable yet.
    claim: Option<(u128, u32)>,
    shard: ShardId,
}

/// A part that is open for appending.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) data: OpenFile,
    /// What is in it.
    pub(super) marks: Marks,
    pub(super) tick: u64,
    /// None in a job without durability.
    position: Option<PositionFile>,
    shard: ShardId,
}

fn shrunken(there: u64, bytes: u64, tick: u64) -> String {
    format!(
        "has {there} bytes, and had {bytes} at tick {tick}: rows that were delivered are gone; restore the file, or begin the \
         job anew in another directory"
    )
}

impl PartPlace {
    fn path(&self, index: u16, extension: &str) -> PathBuf {
        self.directory.join(format!("part-{index:04}.{extension}"))
    }

    pub(super) fn external(&self, path: &Path, what: &str, error: &io::Error) -> Fault {
        Fault::External { shard: self.shard, message: format!("cannot {what} `{}`: {error}", path.display()) }
    }

    /// How long a file is; one that is not there has nothing.
    fn len_of(&self, path: &Path) -> Result<u64, Fault> {
        match self.disk.len_of(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            len => len.map_err(|error| self.external(path, "read", &error)),
        }
    }

    /// Makes the directory, and says whether it was not there.
    pub(super) fn make_directory(&self) -> Result<bool, Fault> {
        let there = self.disk.len_of(&self.directory);
        let new = there.is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let made = self.disk.create_directory(&self.directory);
        made.map(|()| new).map_err(|error| self.external(&self.directory, "make", &error))
    }

    /// Removes the directory again, if nothing is in it.
    pub(super) fn unmake_directory(&self) {
        let _ = self.disk.remove(&self.directory);
    }

    /// Makes the names of parts durable, and that of the directory, which may be new.
    fn sync_names(&self) -> Result<(), Fault> {
        self.disk.sync_names(&self.directory).map_err(|error| self.external(&self.directory, "sync", &error))
    }

    /// The parts that are there, whosever they are.
    pub(super) fn parts(&self) -> Result<Vec<u16>, Fault> {
        let number = |name: &str| {
            let number = name.strip_prefix("part-")?.strip_suffix(&*self.extension)?.strip_suffix('.')?;
            number.parse::<u16>().ok()
        };
        let names = self.disk.list(&self.directory);
        let names = names.map_err(|error| self.external(&self.directory, "read", &error))?;
        let mut parts: Vec<u16> = names.iter().filter_map(|name| number(name)).collect();
        parts.sort_unstable();
        Ok(parts)
    }

    /// Makes part `index`, which must not be there, for a job without durability.
    pub(super) fn make(&self, index: u16) -> Result<Part, Fault> {
        self.make_directory()?;
        let path = self.path(index, &self.extension);
        match self.disk.make(&path) {
            Ok(data) => {
                let marks = Marks::default();
                Ok(Part { path, data, marks, tick: 0, position: None, shard: self.shard })
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Fault::External {
                shard: self.shard,
                message: format!(
                    "`{}` is there already, and a job without durability begins anew: move it away, or write to another \
                     directory",
                    path.display()
                ),
            }),
            Err(error) => Err(self.external(&path, "make", &error)),
        }
    }

    /// Looks at part `index` of the job with log `log`, and locks it. None if another writer has it, unless `mine` says that none may. Nothing is
    /// changed, but that an empty position may have been made, which goes again with what is returned.
    pub(super) fn look(
        &self,
        index: u16,
        log: u128,
        noted: Noted,
        mine: bool,
    ) -> Result<Option<Looked>, Fault> {
        let (path, at) = (self.path(index, &self.extension), self.path(index, "position"));
        let refuse = |why: String| Err(Fault::Restore { message: format!("`{}` {why}", path.display()) });
        let (position, found) = match PositionFile::open(&self.disk, &at, self.boot, mine) {
            Ok(opened) => opened,
            Err(NotOpened::Locked) if !mine => return Ok(None),
            Err(NotOpened::Locked) => {
                return refuse(
                    "is being written by another sink or another process: give each a directory of its own"
                        .into(),
                );
            }
            Err(NotOpened::Failed(error)) => return Err(self.external(&at, "open", &error)),
        };
        let there = self.len_of(&path)?;
        let safe = noted.marks.end().bytes;
        if there < safe {
            return refuse(shrunken(there, safe, noted.tick));
        }
        // Nothing to lose: a part that was never begun, or whose making was cut off.
        let vacant = there == 0 && safe == 0;
        // What an earlier start wrote of it may not be durable: it may have been cut off, or failed.
        let claim = vacant.then_some((log, u32::from(index)));
        let slots = match found {
            Found::Part { log: theirs, part, slots } if theirs == log && part == u32::from(index) => slots,
            Found::Part { log: theirs, part, .. } => {
                return refuse(format!(
                    "is part {part} of the output of another job (log {theirs:032x}, and this is {log:032x}): write to \
                     another directory"
                ));
            }
            Found::Newer(version) => {
                return refuse(format!("was written by another version: its position has form {version}"));
            }
            Found::Nothing | Found::Damaged if vacant => [None; 2],
            Found::Nothing => {
                return refuse(format!(
                    "holds {there} bytes without a position, so this job did not write it: move it away, or write to \
                     another directory"
                ));
            }
            Found::Damaged => {
                return refuse(format!(
                    "holds {there} bytes, but `{}` is damaged, so nothing says whose they are: restore it, or begin the \
                     job anew in another directory",
                    at.display()
                ));
            }
        };
        if let Some(later) = later(&slots, &noted) {
            return refuse(format!(
                "has rows of a later run than the job's data knows of (through tick {}, of generation {}, and the data is of generation {}): an \
                 older copy of the data was put back. Put back the newest copy, take the output back as well, or start from a savepoint (`restore`)",
                later.tick, later.generation, noted.generation
            ));
        }
        let counts = self.counts(&slots, &noted);
        if there < counts.bytes {
            return refuse(shrunken(there, counts.bytes, counts.tick));
        }
        let end = Mark { bytes: counts.bytes, crc: counts.sum };
        let marks = match self.check(&path, there, &noted.marks, end)? {
            Ok(marks) => marks,
            Err(why) => return refuse(why),
        };
        Ok(Some(Looked { path, at, position, counts, marks, safe, there, claim, shard: self.shard }))
    }

    /// Opens a part that was looked at, cut to what counts of it.
    pub(super) fn take(&self, looked: Looked) -> Result<Part, Fault> {
        let Looked { path, at, mut position, counts, marks, safe, there, claim, shard } = looked;
        if let Some((log, part)) = claim {
            position.claim(log, part).map_err(|error| self.external(&at, "write", &error))?;
        }
        let end = Mark { bytes: counts.bytes, crc: counts.sum };
        // First the position, then the cut: a longer part than counts is cut again. Where the checkpoint counts, neither of the
        // positions may that are there.
        position.generation = counts.generation;
        let times = if counts.number == 0 { 2 } else { 1 };
        let written = (0..times).try_for_each(|_| position.write(counts.tick, end));
        written.map_err(|error| self.external(&at, "write", &error))?;
        let open = || {
            let data = self.disk.open_or_make(&path)?;
            // A device that failed may have dropped what the page cache still has: what no checkpoint vouches for is written once more.
            again(&*data, safe, counts.bytes)?;
            if there > counts.bytes {
                data.set_len(counts.bytes)?;
                // A part that nobody goes on with is not looked at again.
                data.sync()?;
            }
            Ok(data)
        };
        let data = open().map_err(|error| self.external(&path, "open", &error))?;
        if claim.is_some() {
            self.sync_names()?;
        }
        let position = Some(position);
        Ok(Part { path, data, marks, tick: counts.tick, position, shard })
    }

    /// Reads the part's end, or all of a part that is not long, and says what is wrong with it. Nothing has been changed.
    fn check(
        &self,
        path: &Path,
        there: u64,
        safe: &Marks,
        end: Mark,
    ) -> Result<Result<Marks, String>, Fault> {
        if there == 0 {
            return Ok(Ok(Marks::default()));
        }
        let file = self.disk.read(path).map_err(|error| self.external(path, "open", &error))?;
        match safe.check(&*file, end) {
            Ok(marks) => Ok(Ok(marks)),
            Err(NotRight::Unreadable(error)) => Err(self.external(path, "read", &error)),
            Err(NotRight::Differs { from, to, expected, found }) => Ok(Err(format!(
                "is not what was written: bytes {from} to {to} have the CRC32C {found:08x}, and had {expected:08x}, so something there was \
                 changed, or lost by the device; restore the file, or begin the job anew in another directory"
            ))),
        }
    }

    /// The position that counts: the newest, if it is of this boot and of this generation of the log, and not behind the checkpoint's.
    fn counts(&self, slots: &[Option<Slot>; 2], noted: &Noted) -> Slot {
        let (tick, generation, Mark { bytes, crc: sum }) = (noted.tick, noted.generation, noted.marks.end());
        let checkpoint = Slot { number: 0, tick, bytes, generation: generation.into(), boot: self.boot, sum };
        let alive = |slot: &&Slot| {
            let same = slot.generation == u64::from(generation) && !noted.begins && slot.boot == self.boot;
            same && self.boot != 0 && slot.bytes >= bytes
        };
        let newest = slots.iter().flatten().max_by_key(|slot| slot.number).filter(alive);
        newest.map_or(checkpoint, |slot| Slot { tick: slot.tick.max(tick), ..*slot })
    }

    /// Cuts parts that no shard goes on with to what a checkpoint counted of them, and refuses those of other jobs.
    pub(super) fn cut_others(
        &self,
        log: u128,
        parts: impl IntoIterator<Item = u16>,
        noted: impl Fn(u16) -> Noted,
    ) -> Result<(), Fault> {
        for index in parts {
            // One that is open is being cut by its own shard.
            if let Some(looked) = self.look(index, log, noted(index), false)? {
                self.take(looked)?;
            }
        }
        Ok(())
    }

    /// Refuses parts that have become shorter than a checkpoint counted of them.
    pub(super) fn check_lengths(
        &self,
        tick: u64,
        parts: impl IntoIterator<Item = u16>,
        lengths: &BTreeMap<u16, Marks>,
    ) -> Result<(), Fault> {
        for index in parts {
            let path = self.path(index, &self.extension);
            let there = self.len_of(&path)?;
            let bytes = lengths.get(&index).map_or(0, |marks| marks.end().bytes);
            if there < bytes {
                let message = format!("`{}` {}", path.display(), shrunken(there, bytes, tick));
                return Err(Fault::Restore { message });
            }
        }
        Ok(())
    }

    /// Refuses parts of other jobs.
    pub(super) fn check_others(&self, log: u128, parts: impl IntoIterator<Item = u16>) -> Result<(), Fault> {
        for index in parts {
            let (path, at) = (self.path(index, &self.extension), self.path(index, "position"));
            let bytes = self.len_of(&path)?;
            let found = match self.disk.read(&at).and_then(|file| super::position::read(&file)) {
                Ok(bytes) => super::position::parse(&bytes),
                Err(error) if error.kind() == ErrorKind::NotFound => Found::Nothing,
                Err(error) => return Err(self.external(&at, "read", &error)),
            };
            let ours = matches!(found, Found::Part { log: theirs, .. } if theirs == log);
            if bytes > 0 && !ours {
                let message = format!(
                    "`{}` holds {bytes} bytes that this job did not write: write to another directory",
                    path.display()
                );
                return Err(Fault::Restore { message });
            }
        }
        Ok(())
    }
}

/// The position, if there is one, of a history that the job's data does not know: of a generation behind this one, or, where this one begins from a
/// suspension, with rows behind that. Where a job goes back to a savepoint all that is known of any other was given up.
fn later(slots: &[Option<Slot>; 2], noted: &Noted) -> Option<Slot> {
    let newest = slots.iter().flatten().max_by_key(|slot| slot.number)?;
    let is_unknown = if noted.begins {
        !noted.gives_up && newest.tick > noted.tick
    } else {
        newest.generation > u64::from(noted.generation)
    };
    is_unknown.then_some(*newest)
}

impl Looked {
    /// The tick through which it has all rows.
    pub(super) fn tick(&self) -> u64 {
        self.counts.tick
    }
}

impl Part {
    /// Appends bytes; on an error the part is what it was, as far as positions say.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let at = self.marks.end().bytes;
        self.data.write_at(bytes, at).map_err(|error| self.external("write", &error))?;
        self.marks.append(bytes);
        Ok(())
    }

    /// Everything appended counts, and is everything through `tick`.
    pub(super) fn count(&mut self, tick: u64) -> Result<(), Fault> {
        self.tick = tick;
        let Some(position) = &mut self.position else { return Ok(()) };
        let written = position.write(tick, self.marks.end());
        written.map_err(|error| self.external("write the position of", &error))
    }

    /// Nothing more comes: all of it is made durable. A device may keep an error to itself until it is asked for this, so a job that needs no
    /// part of it to be durable asks, too, before it says that all went well.
    pub(super) fn close(&self) -> Result<(), Fault> {
        self.data.sync().map_err(|error| self.external("sync", &error))?;
        let synced = self.position.as_ref().map_or(Ok(()), PositionFile::sync);
        synced.map_err(|error| self.external("sync the position of", &error))
    }

    pub(super) fn external(&self, what: &str, error: &io::Error) -> Fault {
        let message = format!("cannot {what} `{}`: {error}", self.path.display());
        Fault::External { shard: self.shard, message }
    }
}
