//! The one partition of a source of lines.
//!
//! Of a file that is read in a job that survives it notes, for each tick with records, where it was behind the last of them, and a
//! chain of hashes of all lines up to there. A replay must come to the same.
//!
//! ```text
//!  logged    | offset u64 | chain u64 |      little-endian
//! ```

use super::feed::{Fed, Feed};
use super::lines::{Line, Lines};
use super::place::Place;
use super::{Counters, LineCounts, Malformed, Ndjson, Reason};
use pelton_core::bounds::REPLAY_PAUSES_MAX;
use pelton_core::hash;
use pelton_core::source::{Partition, Poll, Polled};
use serde::de::DeserializeOwned;
use std::sync::atomic::Ordering::Relaxed;

/// Lines without a record, and blocks, that one poll goes through at most.
const SKIPPED_LINES_MAX: u32 = 1_024;
const BLOCKS_MAX: u32 = 16;
/// Bytes that a tick logs.
const LOGGED: usize = 16;

/// The reading end of [`Ndjson`].
///
/// A checkpoint holds the offset in the file, a hash of the 4 KiB before it, the number of the line and the counts; the log of the job
/// holds, for each tick, the offset behind its last record and a hash of every line so far. When the file does not agree with these after a
/// restart, the job says so and does not start.
pub struct NdjsonPartition<T> {
    source: Ndjson<T>,
    feed: Option<Feed>,
    lines: Lines,
    ended: bool,
    /// Whether lines are hashed: in a job that survives.
    hashes: bool,
    /// The chain of the hashes of all lines.
    chain: u64,
    /// The offset behind the last record, and the chain through it.
    mark: (u64, u64),
    failure: Option<String>,
}

impl<T: DeserializeOwned> NdjsonPartition<T> {
    pub(crate) fn open(source: &Ndjson<T>) -> Self {
        let Counters { records, empty, malformed } = &*source.counters;
        [records, empty, malformed].into_iter().for_each(|counter| counter.store(0, Relaxed));
        let mut failure = None;
        let feed = source
            .input
            .open(&source.wake)
            .map_err(|error| failure = Some(format!("{}: {error}", source.name)))
            .ok();
        let lines = Lines::new(source.line_bytes_max);
        NdjsonPartition {
            source: source.clone(),
            feed,
            lines,
            ended: false,
            hashes: false,
            chain: 0,
            mark: (0, 0),
            failure,
        }
    }

    /// How much of the file is done with; 0 of anything else.
    fn offset(&mut self) -> u64 {
        let unread = self.lines.unread() as u64;
        self.feed.as_mut().and_then(Feed::file).map_or(0, |(_, at)| *at - unread)
    }

    /// Notes where the last record was, its line being the last that was given out.
    fn set_mark(&mut self) {
        self.mark = (self.offset(), self.chain);
    }

    /// Reads a block; `Nothing` when there is none to be had now.
    fn more(&mut self) -> Fed {
        let Some(feed) = &mut self.feed else { return Fed::End };
        let fed = feed.more(self.lines.buffer()).unwrap_or_else(|error| {
            self.failure = Some(format!("{}: {error}, after line {}", self.source.name, self.lines.number()));
            Fed::End
        });
        self.ended = fed == Fed::End;
        fed
    }
}

impl<T: DeserializeOwned + 'static> Partition for NdjsonPartition<T> {
    type Item = T;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(T)) -> Polled {
        let (mut records, mut skipped, mut blocks) = (0, 0, 0);
        while records < poll.records_max && skipped < SKIPPED_LINES_MAX && blocks < BLOCKS_MAX {
            let counters = &self.source.counters;
            let mut marked = false;
            let counter = match self.lines.next(self.ended) {
                Some((number, line)) => {
                    if self.hashes {
                        let (Line::Whole(text) | Line::TooLong(text)) = line;
                        self.chain = hash::join(self.chain, hash::bytes(text));
                    }
                    match parse(line, number, self.source.line_bytes_max) {
                        Parsed::Record(record) => {
                            records += 1;
                            out(record);
                            marked = self.hashes;
                            &counters.records
                        }
                        Parsed::Empty => {
                            skipped += 1;
                            &counters.empty
                        }
                        Parsed::Malformed(text, reason) => {
                            skipped += 1;
                            if let Some(handler) = &self.source.on_malformed {
                                handler(&Malformed { source: &self.source.name, line: number, text, reason });
                            }
                            &counters.malformed
                        }
                    }
                }
                None if self.ended => return Polled::Done,
                None => {
                    blocks += 1;
                    match self.more() {
                        Fed::Nothing => break,
                        Fed::End if self.failure.is_some() => return Polled::Done,
                        Fed::Bytes | Fed::End => continue,
                    }
                }
            };
            // The only writer: no need for a locked instruction.
            counter.store(counter.load(Relaxed) + 1, Relaxed);
            if marked {
                self.set_mark();
            }
        }
        Polled::Open
    }

    fn poll_logged(&mut self, poll: Poll, log: &mut Vec<u8>, out: &mut impl FnMut(T)) -> Polled {
        self.hashes = true;
        if poll.logged_max < LOGGED {
            return Polled::Waits(LOGGED);
        }
        let mut records = 0;
        let polled = self.poll(poll, &mut |record| {
            records += 1;
            out(record);
        });
        if records > 0 {
            log.extend_from_slice(&self.mark.0.to_le_bytes());
            log.extend_from_slice(&self.mark.1.to_le_bytes());
        }
        polled
    }

    fn replay(&mut self, poll: Poll, logged: &[u8], out: &mut impl FnMut(T)) -> Result<(), String> {
        self.hashes |= !logged.is_empty();
        let (mut records, mut pauses) = (0, 0);
        while records < poll.records_max {
            let before = (records, self.lines.number());
            let rest = Poll { records_max: poll.records_max - records, ..poll };
            let polled = self.poll(rest, &mut |record| {
                records += 1;
                out(record);
            });
            pauses = if before == (records, self.lines.number()) { pauses + 1 } else { 0 };
            if records < poll.records_max && (polled == Polled::Done || pauses > REPLAY_PAUSES_MAX) {
                let (name, line, max) = (&self.source.name, self.lines.number(), poll.records_max);
                let failure = self.failure.take().map_or(String::new(), |failure| format!(" ({failure})"));
                return Err(format!(
                    "{name}: it ends behind line {line} with {records} of {max} records{failure}"
                ));
            }
        }
        if logged.is_empty() {
            return Ok(());
        }
        let mark = [self.mark.0.to_le_bytes(), self.mark.1.to_le_bytes()].concat();
        if poll.records_max > 0 && logged != mark {
            let (name, line) = (&self.source.name, self.lines.number());
            return Err(format!(
                "{name}: it is not the file that was read before: line {line}, or one before it, is another"
            ));
        }
        Ok(())
    }

    fn position(&mut self) -> Vec<u8> {
        let (offset, chain) = (self.offset(), self.chain);
        let (number, skipping, counts) = (self.lines.number(), self.lines.skipping(), self.source.counts());
        let Some((file, _)) = self.feed.as_mut().and_then(Feed::file) else { return Vec::new() };
        Place { offset, number, skipping, counts, chain, block: Place::block(file, offset) }.encode()
    }

    fn resume(&mut self, records: u64, position: &[u8]) -> Result<(), String> {
        let name = self.source.name.clone();
        let Some((file, at)) = self.feed.as_mut().and_then(Feed::file) else {
            let why = self.failure.take().unwrap_or_else(|| format!("{name}: it can be read only once"));
            return Err(why);
        };
        let place =
            Place::decode(position).ok_or_else(|| format!("{name}: what was noted of it is damaged"))?;
        place.check(file).map_err(|why| format!("{name}: {why}"))?;
        if place.counts.records != records {
            return Err(format!(
                "{name}: {} records were noted of it, and {records} taken",
                place.counts.records
            ));
        }
        *at = place.offset;
        self.hashes = true;
        self.chain = place.chain;
        self.lines = Lines::resumed(self.source.line_bytes_max, place.number, place.skipping);
        let Counters { records, empty, malformed } = &*self.source.counters;
        let LineCounts { records: r, empty: e, malformed: m, .. } = place.counts;
        [(records, r), (empty, e), (malformed, m)]
            .iter()
            .for_each(|(counter, count)| counter.store(*count, Relaxed));
        Ok(())
    }

    fn failure(&mut self) -> Option<String> {
        self.failure.take()
    }
}

enum Parsed<'a, T> {
    Record(T),
    Empty,
    Malformed(&'a [u8], Reason),
}

fn parse<T: DeserializeOwned>(line: Line<'_>, number: u64, bytes_max: usize) -> Parsed<'_, T> {
    let text = match line {
        Line::TooLong(text) => return Parsed::Malformed(text, Reason::TooLong { bytes_max }),
        // Some programs put a byte-order mark in front of a file.
        Line::Whole(text) if number == 1 => text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
        Line::Whole(text) => text,
    };
    if text.trim_ascii().is_empty() {
        return Parsed::Empty;
    }
    match std::str::from_utf8(text) {
        Ok(json) => serde_json::from_str(json)
            .map_or_else(|error| Parsed::Malformed(text, Reason::Json(error)), Parsed::Record),
        Err(error) => Parsed::Malformed(text, Reason::NotUtf8 { column: error.valid_up_to() + 1 }),
    }
}
