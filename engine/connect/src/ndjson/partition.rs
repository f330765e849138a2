//! The partition of a source of lines.
//!
//! Of a file that is read in a job with durability it notes, for each tick with records, where the line of the last of them begins, a
//! chain of hashes of all its lines up to there, and how far the file is read. A replay must come to the same.
//!
//! ```text
//!  logged    | offset u64 | chain u64 | end u64 |      little-endian
//! ```

use super::chunks::{CHUNK_BYTES, Run};
use super::feed::{Fed, Feed, ring};
use super::lines::{Line, Lines};
use super::place::LinePlace;
use super::{LineCounts, Malformed, Ndjson, Reason, strict};
use crate::bounds::{BLOCKS_MAX, SHOWN_MAX, SKIPPED_LINES_MAX};
use pelton_core::bounds::REPLAY_PAUSES_MAX;
use pelton_core::exchange::hash;
use pelton_core::ingress::source::{Partition, Poll, Polled};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes that a tick logs.
const LOGGED: usize = 24;

/// The reading end of [`Ndjson`].
///
/// A checkpoint holds the offset in the file, a hash of the 4 KiB before it, how far the file is read, and the counts; the log of the job
/// holds, for each tick, where the line of its last record begins and a hash of every line so far. When the file does not agree with these after a
/// restart, the job says so and does not start.
pub struct NdjsonPartition<T> {
    source: Ndjson<T>,
    feed: Option<Feed>,
    lines: Lines,
    /// Nothing more can be read.
    ended: bool,
    run: Arc<Run>,
    index: usize,
    of: usize,
    /// Whether it is known how far to read, and the first chunk was begun.
    begun: bool,
    /// How far the file is read; the largest number of anything else.
    end: u64,
    /// The chunk being read; 0 of what is read whole.
    chunk: u64,
    /// Lines of it that have been read.
    in_chunk: u64,
    /// A chunk, and how many lines begin before it.
    numbered: (u64, u64),
    /// Whether lines are hashed: in a job with durability.
    hashes: bool,
    /// The chain of the hashes of all lines.
    chain: u64,
    /// Where the line of the last record begins, and the chain through it.
    mark: (u64, u64),
    failure: Option<String>,
}

impl<T: DeserializeOwned> NdjsonPartition<T> {
    pub(crate) fn open(source: &Ndjson<T>, index: usize, of: usize) -> Self {
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
            run: Run::join(&source.run, index, of),
            index,
            of,
            begun: false,
            end: u64::MAX,
            chunk: index as u64,
            in_chunk: 0,
            numbered: (0, 0),
            hashes: false,
            chain: 0,
            mark: (0, 0),
            failure,
        }
    }

    /// How much is done with: where the next line begins.
    #[inline]
    fn offset(&self) -> u64 {
        self.feed.as_ref().map_or(0, Feed::at) - self.lines.unread() as u64
    }

    /// Where the chunk ends: a line that begins before that is read here.
    #[inline]
    fn chunk_end(&self) -> u64 {
        if self.of == 1 { self.end } else { self.end.min((self.chunk + 1) * CHUNK_BYTES) }
    }

    /// Fixes how far the file is read, unless that is known, and begins with the first chunk.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        if let Some((file, _)) = self.feed.as_mut().and_then(Feed::file) {
            match file.metadata() {
                Ok(facts) => {
                    let bytes = facts.len();
                    self.end = self.run.end(bytes);
                    if bytes < self.end {
                        let (name, end) = (&self.source.name, self.end);
                        self.failure =
                            Some(format!("{name}: it had {end} bytes, and now it has {bytes}: it was cut"));
                    }
                }
                Err(error) => self.failure = Some(format!("{}: {error}", self.source.name)),
            }
        }
        // The chain is one of how far the file is read, too.
        self.chain = hash::fold(self.end);
        self.begin_chunk(self.index as u64);
    }

    /// Goes to a chunk, if there is one of that number.
    fn begin_chunk(&mut self, chunk: u64) {
        (self.chunk, self.in_chunk) = (chunk, 0);
        if self.is_done() {
            return;
        }
        self.run.set_chunk(self.index, chunk);
        if chunk > 0
            && let Some((_, at)) = self.feed.as_mut().and_then(Feed::file)
        {
            *at = chunk * CHUNK_BYTES - 1;
            self.ended = false;
            self.lines.restart(true);
        }
    }

    /// Whether there is no chunk left.
    fn is_done(&self) -> bool {
        self.chunk > 0 && self.chunk * CHUNK_BYTES >= self.end
    }

    /// All lines of the chunk have been read: goes to the next one, if there is one.
    fn end_chunk(&mut self) -> bool {
        if self.of == 1 {
            return false;
        }
        self.run.note_lines(self.chunk, self.in_chunk);
        self.begin_chunk(self.chunk + self.of as u64);
        // One who is ahead may wait for this.
        ring(&self.source.wake);
        !self.is_done()
    }

    /// The line that is read next, and its number if that can be told, for a message.
    fn describe_place(&mut self) -> String {
        let offset = self.offset();
        match number(
            &self.run,
            self.feed.as_mut(),
            &self.lines,
            (self.chunk, self.in_chunk),
            &mut self.numbered,
        ) {
            Some(line) => format!("after line {line}, at byte {offset}"),
            None => format!("at byte {offset}"),
        }
    }

    /// Reads a block; `Nothing` when there is none to be had now.
    fn more(&mut self) -> Fed {
        let until = self.chunk_end();
        let Some(feed) = &mut self.feed else { return Fed::End };
        let fed = feed.more(self.lines.buffer(), until);
        let at = feed.at();
        let is_file = feed.file().is_some();
        let fed = fed.unwrap_or_else(|error| {
            let place = self.describe_place();
            self.failure = Some(format!("{}: {error}, {place}", self.source.name));
            Fed::End
        });
        if fed == Fed::End && is_file && at < self.end && self.failure.is_none() {
            let (name, end, place) = (self.source.name.clone(), self.end, self.describe_place());
            self.failure = Some(format!(
                "{name}: it had {end} bytes, and now it has {at} at most: it was cut while it was read, {place}"
            ));
        }
        self.ended = fed == Fed::End;
        fed
    }

    /// Reads on; one who is `live` waits for partitions that are far behind.
    fn read(&mut self, poll: Poll, live: bool, out: &mut impl FnMut(T)) -> Polled {
        self.begin();
        if self.is_done() || self.failure.is_some() {
            return Polled::Done;
        }
        if live && self.of > 1 && self.run.is_ahead(self.chunk) {
            return Polled::Open;
        }
        let run = self.run.clone();
        let counters = run.counters(self.index);
        let (mut records, mut skipped, mut blocks) = (0, 0, 0);
        while records < poll.records_max && skipped < SKIPPED_LINES_MAX && blocks < BLOCKS_MAX {
            let offset = self.offset();
            if offset >= self.chunk_end() {
                match self.end_chunk() {
                    false => return Polled::Done,
                    true if live && run.is_ahead(self.chunk) => break,
                    true => continue,
                }
            }
            let next = if self.lines.skip(self.ended) {
                // What was passed over may have ended just now, and beyond the chunk.
                if self.offset() != offset {
                    continue;
                }
                self.lines.next(self.ended)
            } else {
                None
            };
            let mut marked = false;
            let counter = match next {
                Some((_, line)) => {
                    self.in_chunk += 1;
                    if self.hashes {
                        let (Line::Whole(text) | Line::TooLong(text)) = line;
                        self.chain = hash::join_bytes(self.chain, text);
                    }
                    match parse(line, self.source.line_bytes_max) {
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
                            let (source, place) = (&self.source, (self.chunk, self.in_chunk));
                            let shown = source.on_malformed.is_none() && run.shows_one_more(SHOWN_MAX);
                            if source.strict || shown || source.on_malformed.is_some() {
                                // Copied, as counting lines may need the reader; nobody reads many of these.
                                let text = text.to_vec();
                                let line =
                                    number(&run, self.feed.as_mut(), &self.lines, place, &mut self.numbered);
                                let malformed = Malformed {
                                    source: &source.name,
                                    line: line.unwrap_or(0),
                                    offset,
                                    text: &text,
                                    reason,
                                };
                                match &source.on_malformed {
                                    Some(handler) => handler(&malformed),
                                    None if source.strict => {}
                                    None => eprintln!("note: passed over {malformed}"),
                                }
                                if source.strict {
                                    self.failure = Some(malformed.to_string());
                                }
                            }
                            &counters.malformed
                        }
                    }
                }
                None if self.ended => match self.end_chunk() {
                    false => return Polled::Done,
                    true => continue,
                },
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
                // Where the line begins: its end moves when a file grows whose last line had none.
                self.mark = (offset, self.chain);
            }
            if self.failure.is_some() {
                return Polled::Done;
            }
        }
        Polled::Open
    }

    /// What a tick logs.
    fn logged(&self) -> [u8; LOGGED] {
        let mut logged = [0; LOGGED];
        for (at, word) in [self.mark.0, self.mark.1, self.end].into_iter().enumerate() {
            logged[at * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        logged
    }

    /// An earlier run read the file as far as `end`.
    fn recall_end(&mut self, end: u64) -> Result<(), String> {
        self.run.recall_end(end).map_err(|why| format!("{}: {why}", self.source.name))
    }
}

/// The number of the line that was read last, if it can be told: the lines before its chunk may have to be counted, and the file may be gone.
fn number(
    run: &Run,
    feed: Option<&mut Feed>,
    lines: &Lines,
    (chunk, in_chunk): (u64, u64),
    numbered: &mut (u64, u64),
) -> Option<u64> {
    if chunk == 0 && run.all_counters().count() == 1 {
        return Some(lines.number());
    }
    let (file, _) = feed?.file()?;
    run.lines_before(file, chunk, numbered).ok().map(|before| before + in_chunk)
}

impl<T: DeserializeOwned + 'static> Partition for NdjsonPartition<T> {
    type Item = T;

    fn poll(&mut self, poll: Poll, out: &mut impl FnMut(T)) -> Polled {
        self.read(poll, true, out)
    }

    fn poll_logged(&mut self, poll: Poll, log: &mut Vec<u8>, out: &mut impl FnMut(T)) -> Polled {
        self.hashes = true;
        if poll.logged_max < LOGGED {
            return Polled::Waits(LOGGED);
        }
        let mut records = 0;
        let polled = self.read(poll, true, &mut |record| {
            records += 1;
            out(record);
        });
        if records > 0 {
            log.extend_from_slice(&self.logged());
        }
        polled
    }

    fn replay(&mut self, poll: Poll, logged: &[u8], out: &mut impl FnMut(T)) -> Result<(), String> {
        self.hashes |= !logged.is_empty();
        if let Some(end) = logged.get(LOGGED - 8..LOGGED).and_then(|word| word.try_into().ok()) {
            self.recall_end(u64::from_le_bytes(end))?;
        }
        let (mut records, mut pauses) = (0, 0);
        while records < poll.records_max {
            let before = (records, self.lines.number());
            let rest = Poll { records_max: poll.records_max - records, ..poll };
            let polled = self.read(rest, false, &mut |record| {
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
        if poll.records_max > 0 && logged != self.logged() {
            let (name, place) = (self.source.name.clone(), self.describe_place());
            return Err(format!(
                "{name}: it is not the file that was read before: a line is another, {place} or before"
            ));
        }
        Ok(())
    }

    fn position(&mut self) -> Vec<u8> {
        self.begin();
        let (offset, chain, end) = (self.offset(), self.chain, self.end);
        let skipping = self.lines.skipping();
        let counts = LineCounts::of(self.run.counters(self.index));
        let (part, chunk) = ((self.index as u64, self.of as u64), (self.chunk, self.in_chunk));
        let Some((file, _)) = self.feed.as_mut().and_then(Feed::file) else { return Vec::new() };
        LinePlace { offset, skipping, counts, chain, block: LinePlace::block(file, offset), end, part, chunk }
            .encode()
    }

    fn resume(&mut self, records: u64, position: &[u8]) -> Result<(), String> {
        let name = self.source.name.clone();
        let Some((file, at)) = self.feed.as_mut().and_then(Feed::file) else {
            let why = self.failure.take().unwrap_or_else(|| format!("{name}: it can be read only once"));
            return Err(why);
        };
        let place =
            LinePlace::decode(position).ok_or_else(|| format!("{name}: what was noted of it is damaged"))?;
        place.check(file).map_err(|why| format!("{name}: {why}"))?;
        if place.counts.records != records {
            return Err(format!(
                "{name}: {} records were noted of it, and {records} taken",
                place.counts.records
            ));
        }
        if place.part != (self.index as u64, self.of as u64) {
            let (index, of) = place.part;
            return Err(format!(
                "{name}: partition {index} of {of} was noted, and this is partition {} of {}",
                self.index, self.of
            ));
        }
        *at = place.offset;
        self.recall_end(place.end)?;
        (self.begun, self.end) = (true, place.end);
        (self.chunk, self.in_chunk) = place.chunk;
        self.run.set_chunk(self.index, self.chunk);
        self.hashes = true;
        self.chain = place.chain;
        self.lines = Lines::resumed(self.source.line_bytes_max, place.counts.lines, place.skipping);
        let counters = self.run.counters(self.index);
        counters.records.store(place.counts.records, Relaxed);
        counters.empty.store(place.counts.empty, Relaxed);
        counters.malformed.store(place.counts.malformed, Relaxed);
        Ok(())
    }

    fn failure(&mut self) -> Option<String> {
        self.failure.take()
    }
}

impl<T> Drop for NdjsonPartition<T> {
    /// Nobody waits for one who has ended.
    fn drop(&mut self) {
        self.run.set_chunk(self.index, u64::MAX);
        if self.of > 1 {
            ring(&self.source.wake);
        }
    }
}

enum Parsed<'a, T> {
    Record(T),
    Empty,
    Malformed(&'a [u8], Reason),
}

fn parse<T: DeserializeOwned>(line: Line<'_>, bytes_max: usize) -> Parsed<'_, T> {
    let text = match line {
        Line::TooLong(text) => return Parsed::Malformed(text, Reason::TooLong { bytes_max }),
        // Some programs put a byte-order mark in front of a file, and files are put one behind the other.
        Line::Whole(text) => text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
    };
    if text.trim_ascii().is_empty() {
        return Parsed::Empty;
    }
    match std::str::from_utf8(text) {
        Ok(json) => strict::from_str(json)
            .map_or_else(|error| Parsed::Malformed(text, Reason::Json(error)), Parsed::Record),
        Err(error) => Parsed::Malformed(text, Reason::NotUtf8 { column: error.valid_up_to() + 1 }),
    }
}
