//! What the two processes of a crash test say to each other, over the child's standard input and output.
//!
//! ```text
//!  to the child    | kind u32 | producer u32 | sequence u64 | key u64 | time_ms u64 | value u64 |
//!  to the parent   | kind u32 | producer u32 | number u64 |
//! ```
//!
//! Numbers are little-endian, messages have no other frame. A message that was cut off by a kill is no message: the reader stops before it.

use std::io::{self, ErrorKind, Read, Write};

/// A record on its way into the job: its producer and its number, and what the windows are made of.
#[pelton::record]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Who sent it.
    pub producer: u32,
    /// Its number among that producer's; [`NEVER`] in a transaction that is given up.
    pub sequence: u64,
    /// The key of its window.
    pub key: u64,
    /// Its event time.
    pub time_ms: u64,
    /// What is summed.
    pub value: u64,
}

/// The number of a record that must never be seen.
pub const NEVER: u64 = u64::MAX;

/// Something for the child to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Send this record.
    Single(Sent),
    /// Add this record to the transaction in hand.
    Part(Sent),
    /// Commit the transaction in hand.
    Commit {
        /// Whose it is.
        producer: u32,
        /// The number of its first record.
        first: u64,
    },
    /// Give up the transaction in hand.
    Abort {
        /// Whose it is.
        producer: u32,
    },
    /// Stop in the middle of it all, in order.
    Stop,
    /// The input is over, for good.
    End,
}

/// Something that the child says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// After a start: the last number of this producer that the engine has.
    Known {
        /// The producer.
        producer: u32,
        /// The number.
        last: u64,
    },
    /// All producers have been named: send.
    Ready,
    /// The engine has acknowledged this producer's records through this number.
    Acknowledged {
        /// The producer.
        producer: u32,
        /// The number.
        last: u64,
    },
    /// A checkpoint is complete.
    Checkpoint {
        /// Its number.
        number: u64,
    },
    /// The job has ended, and well.
    Ended,
}

const ORDER_BYTES: usize = 40;
const WORD_BYTES: usize = 16;

/// Writes an order.
pub fn write_order(out: &mut impl Write, order: Order) -> io::Result<()> {
    let empty = Sent { producer: 0, sequence: 0, key: 0, time_ms: 0, value: 0 };
    let (kind, sent) = match order {
        Order::Single(sent) => (1u32, sent),
        Order::Part(sent) => (2, sent),
        Order::Commit { producer, first } => (3, Sent { producer, sequence: first, ..empty }),
        Order::Abort { producer } => (4, Sent { producer, ..empty }),
        Order::Stop => (5, empty),
        Order::End => (6, empty),
    };
    let mut bytes = [0; ORDER_BYTES];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..8].copy_from_slice(&sent.producer.to_le_bytes());
    let words = [sent.sequence, sent.key, sent.time_ms, sent.value];
    for (place, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    out.write_all(&bytes)
}

/// Reads the next order; none at the end.
pub fn read_order(input: &mut impl Read) -> io::Result<Option<Order>> {
    let mut bytes = [0; ORDER_BYTES];
    if !fill(input, &mut bytes)? {
        return Ok(None);
    }
    let (kind, producer) = (u32_at(&bytes, 0), u32_at(&bytes, 4));
    let sequence = u64_at(&bytes, 8);
    let sent = Sent {
        producer,
        sequence,
        key: u64_at(&bytes, 16),
        time_ms: u64_at(&bytes, 24),
        value: u64_at(&bytes, 32),
    };
    Ok(Some(match kind {
        1 => Order::Single(sent),
        2 => Order::Part(sent),
        3 => Order::Commit { producer, first: sequence },
        4 => Order::Abort { producer },
        5 => Order::Stop,
        6 => Order::End,
        _ => return Err(io::Error::new(ErrorKind::InvalidData, format!("an order of kind {kind}"))),
    }))
}

/// Writes a word.
pub fn write_word(out: &mut impl Write, word: Word) -> io::Result<()> {
    let (kind, producer, number) = match word {
        Word::Known { producer, last } => (1u32, producer, last),
        Word::Ready => (2, 0, 0),
        Word::Acknowledged { producer, last } => (3, producer, last),
        Word::Checkpoint { number } => (4, 0, number),
        Word::Ended => (5, 0, 0),
    };
    let mut bytes = [0; WORD_BYTES];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..8].copy_from_slice(&producer.to_le_bytes());
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    out.write_all(&bytes)
}

/// Reads the next word; none at the end.
pub fn read_word(input: &mut impl Read) -> io::Result<Option<Word>> {
    let mut bytes = [0; WORD_BYTES];
    if !fill(input, &mut bytes)? {
        return Ok(None);
    }
    let (producer, number) = (u32_at(&bytes, 4), u64_at(&bytes, 8));
    Ok(Some(match u32_at(&bytes, 0) {
        1 => Word::Known { producer, last: number },
        2 => Word::Ready,
        3 => Word::Acknowledged { producer, last: number },
        4 => Word::Checkpoint { number },
        5 => Word::Ended,
        kind => return Err(io::Error::new(ErrorKind::InvalidData, format!("a word of kind {kind}"))),
    }))
}

/// Whether there was a whole message.
fn fill(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_and_a_cut_message_is_none() {
        let sent = Sent { producer: 3, sequence: 1 << 40, key: 7, time_ms: 99, value: NEVER };
        let orders = [
            Order::Single(sent),
            Order::Part(sent),
            Order::Commit { producer: 1, first: 5 },
            Order::Abort { producer: 2 },
            Order::Stop,
            Order::End,
        ];
        let mut bytes = Vec::new();
        orders.iter().for_each(|order| write_order(&mut bytes, *order).unwrap());
        let mut input = &bytes[..bytes.len() - 1];
        let heard: Vec<Order> = std::iter::from_fn(|| read_order(&mut input).unwrap()).collect();
        assert_eq!(heard, orders[..orders.len() - 1]);

        let words = [
            Word::Known { producer: 3, last: 8 },
            Word::Ready,
            Word::Acknowledged { producer: 0, last: 1 << 50 },
            Word::Checkpoint { number: 12 },
            Word::Ended,
        ];
        let mut bytes = Vec::new();
        words.iter().for_each(|word| write_word(&mut bytes, *word).unwrap());
        let mut input = bytes.as_slice();
        let heard: Vec<Word> = std::iter::from_fn(|| read_word(&mut input).unwrap()).collect();
        assert_eq!(heard, words);
        assert!(read_order(&mut [9u8; ORDER_BYTES].as_slice()).is_err());
    }
}
