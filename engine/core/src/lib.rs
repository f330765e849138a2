//! The Pelton engine as deterministic state machines.
//!
//! A driver calls [`Shard::step`] over and over, from one thread or many; what comes out depends on the input alone. Everything
//! that would make it depend on anything else is absent: no clock, no thread, no file, no socket, no random seed, and no std.
//!
//! The way of a record, with the file that has it:
//!
//! 1. [`ingress::source`]: a partition hands it over, and `ingress` gives its group a tick;
//! 2. [`operator::push`], [`operator`]: the fused stateless operators, one file each;
//! 3. [`exchange::partition`], `channel`, `frame`, [`exchange::ring`]: its key chooses a shard, and it is archived into that shard's ring;
//! 4. `stage`: the receiver merges its rings in the order (tick, edge, source shard, sequence);
//! 5. [`operator::WindowOperator`], [`state::keyed`], `order`: it is added to its window, which closes in key order;
//! 6. [`sink`]: the row leaves.
#![cfg_attr(not(loom), no_std)]
#![warn(unreachable_pub)]

extern crate alloc;

pub mod aggregate;
pub mod bounds;
pub mod checkpoint;
pub mod exchange;
mod fault;
mod ids;
pub mod ingress;
pub mod operator;
pub mod record;
pub mod sink;
pub mod stage;
pub mod state;
pub mod stats;
mod sync;
pub mod time;
pub mod window;

pub use aggregate::Aggregate;
pub use exchange::frame::Frame;
pub use fault::{Fault, OutOfMemory};
pub use ids::{EdgeId, EventTime, Nanos, ShardId, StageId, Tick};
pub use ingress::{IngressEntry, Taken, TickBudget};
pub use record::Record;
pub use record::key::Key;
pub use stage::shard::{
    Beginning, CheckpointBegun, ClockReading, RestoreFrom, RestoredShard, Saved, Shard, Step, TakenIn,
};
pub use window::{Window, Windowed};
