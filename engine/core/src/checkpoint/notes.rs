//! Small state: the numbers that a chain of operators keeps between ticks, written down for a checkpoint and read back.
//!
//! A chain writes its notes front to back, and reads them in the same order, so there are no names in them. On a restart with another
//! number of shards each shard is given the notes of all earlier ones: every chain has the same shape on every shard, so they are read in
//! step, and each operator makes of the several what it can.
//!
//! ```text
//!  number   | u64 little-endian |
//!  bytes    | length u64 | bytes |
//! ```

use crate::fault::Fault;
use crate::ids::EventTime;
use alloc::string::ToString;
use alloc::vec::Vec;

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
    fn a_length_beyond_the_notes_is_an_error() {
        let mut notes = Notes::default();
        notes.number(u64::MAX);
        assert!(Noted::new(notes.as_slice()).bytes().is_err());
        assert!(Noted::new(&[1, 2, 3]).number().is_err());
    }
}
