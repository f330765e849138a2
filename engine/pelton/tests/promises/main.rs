//! The two promises of the engine, held against naive twins.
//!
//! (a) The same ingress logs give byte-identical output and state, whatever the threads, their interleaving, the sizes of rings
//!     and the speeds.
//! (b) The same input with another number of shards or cores, or cut into other ticks, gives the same rows once ordered by
//!     (window end, key), and the same late records where the partitions are the same.
//!
//! Every job goes through [`check::check`], which runs it in all of these ways; a test is a job, its input and its twin.

mod aggregates;
mod chained;
mod check;
mod data;
mod graphs;
mod joins;
mod keys;
mod late;
mod pre_aggregated;
mod process;
mod records;
mod selected;
mod sessions;
mod sources;
mod times;
mod windows;
