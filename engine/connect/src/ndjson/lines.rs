//! Bytes in, lines out, whatever the blocks that the bytes come in.
//!
//! Holds one block and one line at most: what goes beyond the longest line is passed over and not kept.

use memchr::memchr;

/// A line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Whole(&'a [u8]),
    /// The beginning of one that is too long.
    TooLong(&'a [u8]),
}

/// The lines of a stream of bytes.
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Bytes of the buffer that are done with.
    start: usize,
    /// Bytes from there on that are known to hold no line end.
    searched: usize,
    bytes_max: usize,
    number: u64,
    /// The end of a line that was too long is still to come.
    skipping: bool,
}

impl Lines {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Lines { buffer: Vec::new(), start: 0, searched: 0, bytes_max, number: 0, skipping: false }
    }

    /// Goes on behind line `number`, in the middle of a line that was too long if `skipping`.
    pub(crate) fn resumed(bytes_max: usize, number: u64, skipping: bool) -> Self {
        Lines { number, skipping, ..Lines::new(bytes_max) }
    }

    /// Bytes that were put in and are not part of what was given out.
    pub(crate) fn unread(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether the rest of a line that was too long is still to be passed over.
    pub(crate) fn skipping(&self) -> bool {
        self.skipping
    }

    /// The number of the last line given out.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Goes on elsewhere, with nothing in the buffer; the first line begins behind the next line end if `skipping`.
    pub(crate) fn restart(&mut self, skipping: bool) {
        self.buffer.clear();
        (self.start, self.searched, self.skipping) = (0, 0, skipping);
    }

    /// Passes over the rest of a line, if there is one to pass over; whether that is done. With `ended`, all that is left is part of it.
    pub(crate) fn skip(&mut self, ended: bool) -> bool {
        if !self.skipping {
            return true;
        }
        let len = match memchr(b'\n', &self.buffer[self.start..]) {
            Some(len) => len + 1,
            None => {
                self.start = self.buffer.len();
                self.skipping = !ended;
                return ended;
            }
        };
        self.start += len;
        self.skipping = false;
        true
    }

    /// The buffer, for more bytes to be put at its end.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.start = 0;
        &mut self.buffer
    }

    /// The next line with its number, from 1; with `ended`, what is left is one too.
    pub(crate) fn next(&mut self, ended: bool) -> Option<(u64, Line<'_>)> {
        loop {
            let from = self.start;
            let len = match memchr(b'\n', &self.buffer[from + self.searched..]) {
                Some(more) => {
                    let len = self.searched + more;
                    self.start = from + len + 1;
                    self.searched = 0;
                    if std::mem::take(&mut self.skipping) {
                        continue;
                    }
                    len
                }
                None => {
                    let len = self.buffer.len() - from;
                    // Room for a carriage return, which is no part of the line.
                    let too_long = len > self.bytes_max.saturating_add(1);
                    let last = ended && len > 0;
                    if self.skipping || last || too_long {
                        self.start = self.buffer.len();
                        self.searched = 0;
                    } else {
                        self.searched = len;
                    }
                    if self.skipping || !(last || too_long) {
                        return None;
                    }
                    self.skipping = too_long;
                    len
                }
            };
            self.number += 1;
            let line = &self.buffer[from..from + len];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = match line.get(..self.bytes_max) {
                Some(beginning) if line.len() > self.bytes_max => Line::TooLong(beginning),
                _ => Line::Whole(line),
            };
            return Some((self.number, line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 6;

    /// By definition, from the whole text at once.
    fn twin(text: &[u8]) -> Vec<(bool, Vec<u8>)> {
        let body = text.strip_suffix(b"\n").unwrap_or(text);
        if text.is_empty() {
            return Vec::new();
        }
        let line = |line: &[u8]| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (line.len() > BYTES_MAX, line[..line.len().min(BYTES_MAX)].to_vec())
        };
        body.split(|byte| *byte == b'\n').map(line).collect()
    }

    fn check(text: &str, block: usize) {
        let (mut lines, mut found) = (Lines::new(BYTES_MAX), Vec::new());
        let mut blocks = text.as_bytes().chunks(block);
        let mut ended = false;
        loop {
            match lines.next(ended) {
                Some((number, line)) => {
                    found.push(match line {
                        Line::Whole(line) => (false, line.to_vec()),
                        Line::TooLong(line) => (true, line.to_vec()),
                    });
                    assert_eq!(number, found.len() as u64);
                }
                None if ended => break,
                None => match blocks.next() {
                    Some(bytes) => lines.buffer().extend_from_slice(bytes),
                    None => ended = true,
                },
            }
            assert!(lines.buffer.len() <= BYTES_MAX + 1 + block, "holds one line and one block");
        }
        assert_eq!(found, twin(text.as_bytes()), "{text:?} in blocks of {block}");
    }

    #[test]
    fn lines_do_not_depend_on_blocks() {
        let texts = [
            "",
            "\n",
            "\r\n",
            "a",
            "a\n",
            "a\r\n",
            "a\nb",
            "a\r",
            "\n\na\n",
            "123456\n",
            "123456\r\n",
            "1234567\n",
            "1234567\r\n",
            "123456",
            "123456\r",
            "123456\rx\n",
            "1234567",
            "123456789012345\nok\n",
            "123456789012345",
            "ok\n1234567890123\r\n\nok",
            "1234567\n\n\n7654321",
        ];
        for text in texts {
            (1..=12).for_each(|block| check(text, block));
        }
    }

    #[test]
    fn a_carriage_return_ends_a_line_only_before_a_line_feed() {
        let mut lines = Lines::new(100);
        lines.buffer().extend_from_slice(b"a\rb\n");
        assert_eq!(lines.next(true), Some((1, Line::Whole(b"a\rb"))));
    }
}
