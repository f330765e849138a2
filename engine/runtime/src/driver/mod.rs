//! The two drivers: each runs the duty cycle of one core on the current thread until the core may leave.
//!
//! They differ in how they rest. [`threads`] is a plain loop. [`glommio`] runs the same loop as one long-lived task of
//! an executor, so that connectors and timers can live beside it. glommio is named in this directory and nowhere else.

mod choice;
pub(crate) mod glommio;
pub(crate) mod threads;
pub(crate) mod workers;

pub use choice::ChosenDriver;

use crate::config::Config;
use crate::control::{Control, Order};
use crate::cycle::{Cycle, Shard};
use crate::doorbell::Bells;
use crate::duty::Build;
use crate::error::StartError;
use crate::idle::Idle;
use crate::pin::pin_current_thread;
use crate::stats::{Counters, Meter};
use pelton_core::{Nanos, ShardId};

/// All that a core's thread is given.
pub(crate) struct Seat<'a> {
    /// The core's index in the job, from 0.
    pub(crate) core: usize,
    /// The CPU it is to run on.
    pub(crate) cpu: usize,
    /// How many cores the job runs on.
    pub(crate) cores: usize,
    pub(crate) config: &'a Config,
    pub(crate) build: &'a Build,
    pub(crate) control: &'a Control,
    pub(crate) bells: &'a Bells,
    pub(crate) counters: &'a Counters,
}

impl<'a> Seat<'a> {
    /// Pins the current thread, if that is asked for.
    fn pin(&self) -> Result<(), StartError> {
        if self.config.pin { pin_current_thread(self.cpu).map_err(StartError::Pin) } else { Ok(()) }
    }

    /// Builds this core's shards, every `cores`-th of them, and waits until all other cores have built theirs.
    fn take(&self) -> Result<Cycle<'a>, StartError> {
        let mine = (self.core..self.config.shards).step_by(self.cores);
        let shards = mine.map(|shard| Shard::build(ShardId(shard as u16), self.build));
        let shards = shards.collect::<Result<_, _>>()?;
        self.control.ready();
        Ok(Cycle {
            core: self.core,
            shards,
            control: self.control,
            bells: self.bells,
            idle: Idle::new(&self.config.idle),
            meter: Meter::new(self.counters),
            told: Order::Run,
            now: Nanos(0),
            wall_read: Nanos(0),
        })
    }
}
