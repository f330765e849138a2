//! Sources, sinks and formats: how records come from, and go to, places outside of the process.
//!
//! [`ndjson`] reads newline-delimited JSON from files, standard input and other readers; [`files`] writes files in which each row stands exactly
//! once. [`inlet`] and [`channel`] take records of the service that a job is part of, and [`subscribe`] hands it rows.
//!
//! Users find all of it in `pelton::sources` and `pelton::sinks`, `ndjson` in the prelude.
#![warn(unreachable_pub)]

mod bounds;
pub mod channel;
pub mod files;
pub mod inlet;
pub mod ndjson;
mod ready;
mod row;
pub mod subscribe;

pub use row::{Position, Row};
