//! What a malformed line is reported with. `partition.rs` finds it malformed, reports it, and counts it.

use std::fmt;

/// A line that does not hold a record. It prints as `file:line: reason (at byte offset)`.
#[derive(Debug)]
pub struct Malformed<'a> {
    /// The file, or what the source is called.
    pub source: &'a str,
    /// The line's number, from 1.
    pub line: u64,
    /// Bytes before it.
    pub offset: u64,
    /// The line without its end; of one that is too long, its beginning.
    pub text: &'a [u8],
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a line does not hold a record.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// It is not JSON, or not JSON of the record's shape.
    Json(serde_json::Error),
    /// It is not UTF-8.
    NotUtf8 {
        /// The first column, from 1, that is not.
        column: usize,
    },
    /// It is too long.
    TooLong {
        /// The most bytes that a line may have.
        bytes_max: usize,
    },
}

impl fmt::Display for Malformed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} (at byte {})", self.source, self.line, self.reason, self.offset)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Json(error) => {
                // serde_json read one line, and takes it for the first.
                let (whole, place) = (error.to_string(), format!(" at line 1 column {}", error.column()));
                match whole.strip_suffix(&place) {
                    Some(message) if error.column() > 0 => {
                        write!(f, "{message} at column {}", error.column())
                    }
                    Some(message) => f.write_str(message),
                    None => f.write_str(&whole),
                }
            }
            Reason::NotUtf8 { column } => write!(f, "not UTF-8 at column {column}"),
            Reason::TooLong { bytes_max } => write!(f, "longer than {bytes_max} bytes"),
        }
    }
}
