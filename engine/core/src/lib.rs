//! The Pelton engine as deterministic state machines.
//!
//! A driver calls [`Shard::step`] over and over, from one thread or many; what comes out depends on the input alone. Everything
//! that would make it depend on anything else is absent: no clock, no thread, no file, no socket, no random seed, and no std.
//!
//! The way of a record, with the file that has it:
//!
//! 1. [`source`]: a partition hands it over, and `ingress` gives its group a tick;
//! 2. [`push`], [`operator`]: the fused stateless operators, one file each;
//! 3. [`partition`], `channel`, `frame`, [`ring`]: its key chooses a shard, and it is archived into that shard's ring;
//! 4. `stage`: the receiver merges its rings in the order (tick, edge, source shard, sequence);
//! 5. [`operator::WindowOperator`], [`table`](mod@table), `order`: it is added to its window, which closes in key order;
//! 6. [`sink`]: the row leaves.
#![cfg_attr(not(loom), no_std)]
#![warn(unreachable_pub)]

extern crate alloc;

pub mod aggregate;
mod announced;
pub mod bounds;
pub mod build;
mod channel;
pub mod clock;
pub mod context;
mod deadline;
pub mod doorbell;
mod fault;
pub mod fork;
mod frame;
pub mod hash;
mod heap;
mod ids;
mod ingress;
pub mod input_log;
pub mod key;
mod known;
mod leaving;
mod log_quota;
pub mod memory;
pub mod moving;
pub mod notes;
pub mod operator;
mod order;
mod owns;
pub mod partition;
pub mod prefetch;
pub mod push;
pub mod record;
pub mod ring;
pub mod rows;
mod saver;
pub mod schema;
mod shard;
pub mod sink;
mod slots;
pub mod snapshot;
pub mod source;
mod stage;
pub mod stats;
mod sync;
pub mod table;
pub mod time;
mod watch;
pub mod window;

pub use aggregate::Aggregate;
pub use fault::{Fault, OutOfMemory};
pub use frame::Frame;
pub use ids::{EdgeId, EventTime, Nanos, ShardId, StageId, Tick};
pub use ingress::{IngressEntry, Taken, TickBudget};
pub use key::Key;
pub use owns::Owns;
pub use record::Record;
pub use shard::{Saved, Shard, Step, TakenIn};
pub use window::{Window, Windowed};
