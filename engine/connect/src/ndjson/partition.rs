//! The one partition of a source of lines.

use super::feed::{Fed, Feed};
use super::lines::{Line, Lines};
use super::{Counters, Malformed, Ndjson, Reason};
use pelton_core::source::{Partition, Poll, Polled};
use serde::de::DeserializeOwned;
use std::sync::atomic::Ordering::Relaxed;

/// Lines without a record, and blocks, that one poll goes through at most.
const SKIPPED_LINES_MAX: u32 = 1_024;
const BLOCKS_MAX: u32 = 16;

/// The reading end of [`Ndjson`].
pub struct NdjsonPartition<T> {
    source: Ndjson<T>,
    feed: Option<Feed>,
    lines: Lines,
    ended: bool,
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
        NdjsonPartition { source: source.clone(), feed, lines, ended: false, failure }
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
            let counter = match self.lines.next(self.ended) {
                Some((number, line)) => match parse(line, number, self.source.line_bytes_max) {
                    Parsed::Record(record) => {
                        records += 1;
                        out(record);
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
                },
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
        }
        Polled::Open
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
