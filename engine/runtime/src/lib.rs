//! Drives the Pelton core on pinned cores: the duty cycle, the idle strategies, memory, pinning and configuration.
//!
//! A job is a number of shards, each a [`Duty`]. [`launch`] deals them to the configured cores, one thread each,
//! under one of two drivers, and [`Running`] watches and stops them. The engine's logic is in `pelton-core`; this
//! crate has the clock, the threads and the system calls, and nothing that decides what a result is.
//!
//! ```
//! use pelton::config::{Config, DriverKind};
//! use pelton::{Fault, ShardId, Tick};
//! use pelton_core::{ClockReading, Step};
//! use pelton_runtime::{Duty, Position, launch};
//! use std::sync::Arc;
//!
//! /// Counts down to zero, and is done.
//! struct Countdown(u64);
//!
//! impl Duty for Countdown {
//!     fn step(&mut self, _at: ClockReading) -> Result<Step, Fault> {
//!         self.0 -= 1;
//!         Ok(Step { work: 1, published: false, finished: self.0 == 0 })
//!     }
//!     fn drain(&mut self) {
//!         self.0 = 1;
//!     }
//!     fn position(&self) -> Position {
//!         Position { tick: Tick(self.0), operator: "countdown".to_owned() }
//!     }
//! }
//!
//! let config = Config { shards: 3, driver: DriverKind::Threads, pin: false, ..Config::default() };
//! let running = launch(&config, Arc::new(|_: ShardId| Ok(Box::new(Countdown(1_000)) as Box<dyn Duty>)))?;
//! running.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blueprint;
pub mod bounds;
pub mod clock;
pub mod config;

mod control;
mod cycle;
mod doorbell;
mod driver;
pub mod durability;
mod duty;
mod error;
mod idle;
mod job_error;
mod memory;
mod on_core;
pub mod panics;
mod pin;
pub mod plan;
mod probe;
mod running;
pub mod signals;
pub mod sim;
pub mod sizes;
mod stats;

pub use blueprint::{Blueprint, BuildShard};
pub use bounds::STALL_NS;
pub use doorbell::Bells;
pub use driver::ChosenDriver;
pub use duty::{Build, Duty, Position};
pub use error::{RunError, StartError};
pub use job_error::{JobError, JobFailure};
pub use memory::MemoryBudget;
pub use on_core::{OnCore, on_core};
pub use panics::Panicked;
pub use pin::{PinCause, PinError};
pub use probe::{IoUringBlocked, probe_io_uring};
pub use running::{Prepared, Running, Stop, Stopper, Watch, launch, prepare};
pub use stats::CoreStats;
