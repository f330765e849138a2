//! Sources, sinks and formats: how records come from, and go to, places outside of the process.
//!
//! [`ndjson`] reads newline-delimited JSON from files, standard input and other readers.
#![warn(unreachable_pub)]

mod bounds;
pub mod files;
pub mod ndjson;
