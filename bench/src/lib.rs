//! Measures Pelton: workloads as data, open-loop load, histograms, the machine's floor, and reports.
//!
//! `pelton bench` is a thin shell around [`run`]. A run prepares a workload's job, starts it on the engine through
//! the public API only, waits for it without taking a core from it, and compares what came out with a result
//! known beforehand or computed by a naive twin. A figure without a correct result does not exist here.
//!
//! The jobs in [`jobs`] are also meant to be read: each is a complete program for the engine on one page.

mod checksum;
mod clock;
mod error;
mod event;
mod floor;
mod flush;
mod hist;
pub mod jobs;
mod machine;
mod measure;
mod mix;
pub mod nexmark;
mod options;
mod paced;
mod report;
mod result;
mod run;
mod schedule;
mod scratch;
pub mod state;
mod table;
pub mod twin;
mod workload;

pub use checksum::{Tally, filter_map_term, hop_max_term, tumble_term};
pub use error::BenchError;
pub use event::Event;
pub use floor::{ClockGaps, Floor};
pub use flush::Flush;
pub use hist::{Latencies, Percentiles};
pub use machine::Machine;
pub use mix::mix;
pub use options::{Options, Planned};
pub use pelton_cli::Interrupt;
pub use result::{OpenLoop, RunResult, Sample};
pub use run::{list, run, run_planned};
pub use schedule::Schedule;
pub use scratch::Scratch;
pub use workload::{Expected, Input, Known, Load, Prepared, Produced, Workload, all};
