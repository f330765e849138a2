//! Small state: the numbers that a chain of operators keeps between ticks, written down for a checkpoint and read back.
//!
//! Whoever keeps something writes a [part](Part) of its own, front to back, and reads it in the same order. Parts have names, so that a job
//! whose operators stand elsewhere, or are others, still finds those of the operators that it has. On a restart with another number of
//! shards each shard is given the notes of all earlier ones: they are read in step, and whoever wrote them makes of the several what it can.
//!
//! ```text
//!  notes    | part | part | ...
//!  part     | name u64 | bytes |
//!  number   | u64 little-endian |
//!  bytes    | length u64 | bytes |
//! ```

use crate::fault::Fault;
use crate::ids::{EdgeId, EventTime};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Whose notes these are, among those of a stage or of all sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part(u64);

impl Part {
    /// The stage's own.
    pub(crate) const STAGE: Part = Part(0);
    /// How far each partition is.
    pub(crate) const POSITIONS: Part = Part(1);
    /// What the chains of the stage share.
    pub(crate) const CONTEXT: Part = Part(2);

    const fn of(kind: u64, number: u32) -> Self {
        Part(kind << 32 | number as u64)
    }

    /// Those of a watermark generator.
    pub(crate) const fn generator(id: u32) -> Self {
        Part::of(1, id)
    }

    /// Those of the sending end of an exchange.
    pub(crate) const fn exchange(edge: EdgeId) -> Self {
        Part::of(2, edge.0 as u32)
    }

    /// Whose turn it is at the sending end of an exchange.
    pub(crate) const fn turn(edge: EdgeId) -> Self {
        Part::of(3, edge.0 as u32)
    }

    /// Those of a sink.
    pub(crate) const fn sink(id: u32) -> Self {
        Part::of(4, id)
    }

    /// Whether the name has the number of an exchange in it, which another program gives to another.
    const fn is_of_exchange(self) -> bool {
        matches!(self.0 >> 32, 2 | 3)
    }
}

/// Notes being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    bytes: Vec<u8>,
}

impl Notes {
    /// Writes a number.
    pub fn number(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// Writes a time.
    pub fn time(&mut self, time: EventTime) {
        self.number(time.0 as u64);
    }

    /// Writes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes a part: what `write` writes.
    pub(crate) fn part(&mut self, part: Part, write: impl FnOnce(&mut Notes)) {
        self.number(part.0);
        let place = self.bytes.len();
        self.number(0);
        write(self);
        let len = (self.bytes.len() - place - 8) as u64;
        self.bytes[place..place + 8].copy_from_slice(&len.to_le_bytes());
    }

    /// Writes what others have written.
    pub(crate) fn append(&mut self, notes: &Notes) {
        self.bytes.extend_from_slice(&notes.bytes);
    }

    /// What was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

/// The notes of one earlier shard, being read.
#[derive(Clone, Debug)]
pub struct Noted<'a> {
    rest: &'a [u8],
}

impl<'a> Noted<'a> {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Noted { rest: bytes }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a number.
    ///
    /// # Errors
    /// When there are no more notes: they are of a job of another shape.
    pub fn number(&mut self) -> Result<u64, Fault> {
        let mut word = [0; 8];
        word.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(word))
    }

    /// Reads a time.
    ///
    /// # Errors
    /// As for [`number`](Self::number).
    pub fn time(&mut self) -> Result<EventTime, Fault> {
        Ok(EventTime(self.number()? as i64))
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// As for [`number`](Self::number).
    pub fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.number()?;
        self.take(usize::try_from(len).map_err(|_| short())?)
    }

    /// Reads all that there still is.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cold]
fn short() -> Fault {
    Fault::Restore { message: "a checkpoint's notes are of a job of another shape".to_string() }
}

/// The notes of all earlier shards, being read in step.
#[derive(Clone, Debug)]
pub struct Earlier<'a> {
    /// One for each shard of the run that wrote them.
    pub shards: Vec<Noted<'a>>,
    /// Which of them this shard continues; none if there are now more or fewer shards.
    pub mine: Option<usize>,
}

impl<'a> Earlier<'a> {
    /// Reads the same thing from the notes of every earlier shard.
    ///
    /// # Errors
    /// The first that `read` returns.
    pub fn each<T>(&mut self, read: impl FnMut(&mut Noted<'a>) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        self.shards.iter_mut().map(read).collect()
    }
}

/// The notes of all earlier shards, part by part.
#[derive(Debug)]
pub struct EarlierParts<'a> {
    shards: Vec<BTreeMap<Part, Noted<'a>>>,
    mine: Option<usize>,
    /// Whether the job that wrote them had other operators: some may be missing, and some may be nobody's.
    is_of_another: bool,
}

impl<'a> EarlierParts<'a> {
    /// Those of nobody: the job begins anew.
    pub(crate) fn none() -> Self {
        EarlierParts { shards: Vec::new(), mine: None, is_of_another: false }
    }

    /// Finds the parts of what each shard wrote.
    ///
    /// # Errors
    /// When that is no sequence of parts, or there is one twice.
    pub(crate) fn of(shards: &'a [Vec<u8>], mine: Option<usize>, is_of_another: bool) -> Result<Self, Fault> {
        let parts = |bytes: &'a Vec<u8>| {
            let (mut noted, mut parts) = (Noted::new(bytes), BTreeMap::new());
            while !noted.is_empty() {
                let (part, bytes) = (Part(noted.number()?), noted.bytes()?);
                if parts.insert(part, Noted::new(bytes)).is_some() {
                    return Err(short());
                }
            }
            Ok(parts)
        };
        // What the shards of another program noted of themselves is no more than what those of another number of shards did.
        let mine = mine.filter(|_| !is_of_another);
        Ok(EarlierParts { shards: shards.iter().map(parts).collect::<Result<_, _>>()?, mine, is_of_another })
    }

    /// Has `recall` take back a part, all of it. What another job did not have is as if no shard had noted anything.
    ///
    /// # Errors
    /// When it is not there, or more than `recall` knows of, and the first of `recall`.
    pub(crate) fn recall<T>(
        &mut self,
        part: Part,
        recall: impl FnOnce(&mut Earlier<'a>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut shards: Vec<_> = self.shards.iter_mut().filter_map(|parts| parts.remove(&part)).collect();
        if self.is_of_another && part.is_of_exchange() {
            shards.clear();
        }
        if shards.len() != self.shards.len() && !(self.is_of_another && shards.is_empty()) {
            return Err(short());
        }
        let mut earlier = Earlier { shards, mine: self.mine };
        let outcome = recall(&mut earlier)?;
        if earlier.shards.iter().all(Noted::is_empty) { Ok(outcome) } else { Err(short()) }
    }

    /// Whether nothing is left that nobody knew of.
    pub(crate) fn is_done(&self) -> bool {
        self.is_of_another || self.shards.iter().all(BTreeMap::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_in_step() {
        let noted = |n: u64| {
            let mut notes = Notes::default();
            notes.number(n);
            notes.bytes(b"abc");
            notes.time(EventTime(-5));
            notes
        };
        let (a, b) = (noted(1), noted(2));
        let shards = [&a, &b].map(|notes| Noted::new(notes.as_slice())).to_vec();
        let mut earlier = Earlier { shards, mine: Some(1) };
        assert_eq!(earlier.each(Noted::number).unwrap(), [1, 2]);
        assert_eq!(earlier.each(Noted::bytes).unwrap(), [b"abc", b"abc"]);
        assert_eq!(earlier.each(Noted::time).unwrap(), [EventTime(-5); 2]);
        assert!(earlier.shards.iter().all(Noted::is_empty));
        assert!(matches!(earlier.each(Noted::number), Err(Fault::Restore { .. })));
    }

    #[test]
    fn parts_are_found_by_name() {
        let noted = |parts: &[(Part, u64)]| {
            let mut notes = Notes::default();
            parts.iter().for_each(|(part, number)| notes.part(*part, |notes| notes.number(*number)));
            notes.as_slice().to_vec()
        };
        let (a, b) = (Part::generator(7), Part::sink(7));
        let shards = [noted(&[(a, 1), (b, 2)]), noted(&[(b, 20), (a, 10)])];
        let numbers = |earlier: &mut Earlier<'_>| earlier.each(Noted::number);
        for is_of_another in [false, true] {
            let mut parts = EarlierParts::of(&shards, Some(1), is_of_another).unwrap();
            assert_eq!(parts.recall(b, numbers).unwrap(), [2, 20]);
            assert_eq!(parts.is_done(), is_of_another, "one is left");
            let mine = parts.recall(a, |earlier| Ok((numbers(earlier)?, earlier.mine))).unwrap();
            assert_eq!(mine, (alloc::vec![1, 10], (!is_of_another).then_some(1)));
            assert!(parts.is_done());
            // Of what the program that wrote them did not have there is nothing.
            let absent = parts.recall(Part::STAGE, numbers);
            assert_eq!(absent.ok(), is_of_another.then(Vec::new));
        }
        // What is called by an exchange may be of another one.
        let of_exchange = [noted(&[(Part::turn(EdgeId(1)), 5)])];
        for (is_of_another, found) in [(false, alloc::vec![5]), (true, Vec::new())] {
            let mut parts = EarlierParts::of(&of_exchange, None, is_of_another).unwrap();
            assert_eq!(parts.recall(Part::turn(EdgeId(1)), numbers).unwrap(), found);
        }
        let refused = |shards: &[Vec<u8>]| EarlierParts::of(shards, None, true).is_err();
        assert!(refused(&[noted(&[(a, 1), (a, 1)])]), "twice");
        assert!(refused(&[shards[0][..20].to_vec()]), "cut short");
        let mut some = EarlierParts::of(&shards, None, true).unwrap();
        assert!(some.recall(a, |earlier| earlier.each(|_| Ok(()))).is_err(), "more than anybody reads");
        // One shard has it and the other has not: damage.
        let uneven = [noted(&[(a, 1)]), noted(&[])];
        assert!(EarlierParts::of(&uneven, None, true).unwrap().recall(a, numbers).is_err());
    }

    #[test]
    fn a_length_beyond_the_notes_is_an_error() {
        let mut notes = Notes::default();
        notes.number(u64::MAX);
        assert!(Noted::new(notes.as_slice()).bytes().is_err());
        assert!(Noted::new(&[1, 2, 3]).number().is_err());
    }
}
