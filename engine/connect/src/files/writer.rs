//! The writing end of a file sink on one shard.

use super::FileSink;
use super::marks::Marks;
use super::part::{Looked, Noted, Part, PartPlace};
use crate::bounds::WRITE_BYTES;
use pelton_core::checkpoint::notes;
use pelton_core::sink::{Recalled, SinkNotes, SinkWriter};
use pelton_core::{EventTime, Fault, ShardId, Tick};
use std::collections::BTreeMap;

/// The writing end of [`FileSink`] on one shard.
#[derive(Debug)]
pub struct FileWriter<F> {
    pub(super) place: PartPlace,
    encode: F,
    /// None until there is something to write, in a job without durability.
    part: Option<Part>,
    /// Rows that have not been written.
    buffer: Vec<u8>,
    /// The last tick whose rows are all in the buffer or the part.
    tick: u64,
    /// Whether anything was committed since the position was written.
    counted: bool,
    /// What was in them at the last restart, of the parts of all shards of then and before; later notes of those that are being written replace them.
    others: BTreeMap<u16, Marks>,
    /// Why a row could not be written.
    refused: Option<String>,
    /// What a start that is not certain yet has found.
    found: Option<FoundParts>,
}

/// What is to be done when the start is certain.
#[derive(Debug)]
struct FoundParts {
    own: Option<Looked>,
    /// The directory was made for it.
    made: bool,
    log: u128,
    generation: u32,
    begins: bool,
    gives_up: bool,
    /// Parts that no shard goes on with, and the lengths and the tick that count.
    others: Vec<u16>,
    lengths: BTreeMap<u16, Marks>,
    tick: u64,
}

impl<F> Drop for FileWriter<F> {
    fn drop(&mut self) {
        if let Some(found) = self.found.take().filter(|found| found.made) {
            drop(found);
            self.place.unmake_directory();
        }
    }
}

impl<F> FileWriter<F> {
    pub(super) fn new(sink: FileSink<F>, shard: ShardId) -> Self {
        let FileSink { disk, directory, extension, encode } = sink;
        let boot = disk.boot();
        FileWriter {
            place: PartPlace { disk, directory, extension, boot, shard },
            encode,
            part: None,
            buffer: Vec::new(),
            tick: 0,
            counted: true,
            others: BTreeMap::new(),
            refused: None,
            found: None,
        }
    }

    fn part(&mut self) -> Result<&mut Part, Fault> {
        if self.part.is_none() {
            self.part = Some(self.place.make(self.place.shard.0)?);
        }
        match &mut self.part {
            Some(part) => Ok(part),
            None => unreachable!("made above"),
        }
    }

    /// Its part, to put another file in its place.
    #[cfg(test)]
    pub(super) fn part_for_tests(&mut self) -> &mut Part {
        self.part().unwrap_or_else(|fault| panic!("{fault}"))
    }

    fn write_out(&mut self) -> Result<(), Fault> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.part()?.append(&buffer);
        self.buffer = buffer;
        written?;
        self.buffer.clear();
        self.buffer.shrink_to(2 * WRITE_BYTES);
        Ok(())
    }

    fn flush_all(&mut self) -> Result<(), Fault> {
        if !self.buffer.is_empty() {
            self.write_out()?;
        }
        if !self.counted {
            let tick = self.tick;
            self.part()?.count(tick)?;
            self.counted = true;
        }
        Ok(())
    }
}

/// What a shard noted.
struct NotedShard {
    part: u16,
    marks: Marks,
    others: Vec<(u16, Marks)>,
}

fn read_note(bytes: &[u8]) -> Result<NotedShard, Fault> {
    let mut noted = notes::Noted::new(bytes);
    let index = |number: u64| {
        let message =
            || format!("a checkpoint's notes name part {number} of a file sink, which there cannot be");
        u16::try_from(number).map_err(|_| Fault::Restore { message: message() })
    };
    let (part, marks) = (index(noted.number()?)?, Marks::noted(&mut noted)?);
    let others = (0..noted.number()?).map(|_| Ok((index(noted.number()?)?, Marks::noted(&mut noted)?)));
    let others = others.collect::<Result<_, Fault>>()?;
    if !noted.is_empty() {
        let message = "a checkpoint's notes of a file sink are longer than they say".to_owned();
        return Err(Fault::Restore { message });
    }
    Ok(NotedShard { part, marks, others })
}

impl<T, F> SinkWriter<T> for FileWriter<F>
where
    F: Fn(&T, &mut Vec<u8>) -> Result<(), String> + 'static,
{
    #[inline]
    fn write(&mut self, _: EventTime, row: T) {
        let start = self.buffer.len();
        if let Err(why) = (self.encode)(&row, &mut self.buffer) {
            self.buffer.truncate(start);
            self.refused.get_or_insert(why);
        }
    }

    fn commit(&mut self, tick: Tick) -> Result<(), Fault> {
        if let Some(why) = &self.refused {
            let message = format!("`{}`: {tick}: {why}", self.place.directory.display());
            return Err(Fault::External { shard: self.place.shard, message });
        }
        (self.tick, self.counted) = (tick.0, false);
        if self.buffer.len() >= WRITE_BYTES { self.write_out() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.flush_all()
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.flush_all()?;
        self.part()?.close()
    }

    /// `| part | marks | others |`, and for each  `| part | marks |`.
    fn note(&mut self, notes: &mut SinkNotes) -> Result<(), Fault> {
        self.flush_all()?;
        let shard = self.place.shard.0;
        let part = self.part()?;
        let (data, path) = (part.data.clone(), part.path.clone());
        notes.notes.number(u64::from(shard));
        part.marks.note(&mut notes.notes);
        notes.notes.number(self.others.len() as u64);
        for (part, marks) in &self.others {
            notes.notes.number(u64::from(*part));
            marks.note(&mut notes.notes);
        }
        notes.syncs.push(Box::new(move || {
            data.sync().map_err(|error| format!("cannot sync `{}`: {error}", path.display()))
        }));
        Ok(())
    }

    fn recall(&mut self, recalled: &Recalled<'_>) -> Result<Tick, Fault> {
        let shards = recalled.shards.iter().map(|bytes| read_note(bytes)).collect::<Result<Vec<_>, _>>()?;
        let mut lengths: BTreeMap<u16, Marks> =
            shards.iter().flat_map(|shard| shard.others.clone()).collect();
        // What a shard says of its own part is newer.
        lengths.extend(shards.iter().map(|shard| (shard.part, shard.marks.clone())));
        let own = self.place.shard.0;
        if let Some(mine) = recalled.mine
            && shards.get(mine).is_none_or(|shard| shard.part != own)
        {
            let message = format!("a checkpoint's notes of shard {own} are of another shard");
            return Err(Fault::Restore { message });
        }
        let made = self.place.make_directory()?;
        let tick = recalled.checkpoint.0;
        let marks = lengths.get(&own).cloned().unwrap_or_default();
        let Recalled { log, generation, begins, gives_up, .. } = *recalled;
        let noted = Noted { tick, marks, generation, begins, gives_up };
        let mut cut = Vec::new();
        if own == 0 {
            let there = self.place.parts()?;
            let others = || there.iter().chain(lengths.keys()).copied().filter(|part| *part != own);
            self.place.check_others(recalled.log, others())?;
            // The others' own parts are theirs to cut, as long as there are as many shards as then. Before the first checkpoint there were
            // never other ones.
            let same_shards = recalled.mine.is_some() || shards.is_empty();
            let theirs = |part: &u16| same_shards && shards.iter().any(|shard| shard.part == *part);
            if !shards.is_empty() {
                cut = others().filter(|part| !theirs(part)).collect();
                self.place.check_lengths(tick, cut.iter().copied(), &lengths)?;
            }
        }
        let looked = self.place.look(own, recalled.log, noted, true)?;
        let kept = looked.as_ref().map_or(tick, Looked::tick);
        (self.part, self.tick, self.counted) = (None, kept, true);
        self.others = if own == 0 { lengths.clone() } else { BTreeMap::new() };
        self.others.remove(&own);
        self.found = Some(FoundParts {
            own: looked,
            made,
            log,
            generation,
            begins,
            gives_up,
            others: cut,
            lengths,
            tick,
        });
        Ok(Tick(kept))
    }

    fn begin(&mut self) -> Result<(), Fault> {
        let Some(found) = self.found.take() else { return Ok(()) };
        let FoundParts { own, log, generation, begins, gives_up, others, lengths, tick, .. } = found;
        let noted = |part| Noted {
            tick,
            marks: lengths.get(&part).cloned().unwrap_or_default(),
            generation,
            begins,
            gives_up,
        };
        self.place.cut_others(log, others, noted)?;
        self.part = own.map(|looked| self.place.take(looked)).transpose()?;
        Ok(())
    }
}
