//! Starting a job on its cores, and holding on to it while it runs.
//!
//! 1. [`launch`] checks the shape and, for glommio, io_uring; starts one thread per core; each builds its shards there.
//! 2. When all are built they start together, or none does and `launch` says why.
//! 3. [`Running`] watches and stops them. Dropping it stops the job at once.
//! 4. [`Running::wait`] returns when the last core has left, with the first failure if there was one.

use crate::config::{Config, DriverKind};
use crate::control::{Control, Order};
use crate::doorbell::Bells;
use crate::driver::Seat;
use crate::duty::Build;
use crate::error::{RunError, StartError};
use crate::panics;
use crate::probe::probe_io_uring;
use crate::stats::{CoreStats, Counters};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How to stop a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Close the sources and finish what was taken in.
    Drain,
    /// Leave everything where it is.
    Now,
}

/// A job on its cores.
#[derive(Debug)]
pub struct Running {
    control: Arc<Control>,
    bells: Bells,
    counters: Arc<[Counters]>,
    threads: Vec<JoinHandle<()>>,
}

/// Stops a job from another thread than the one that waits for it.
#[derive(Clone, Debug)]
pub struct Stopper {
    control: Arc<Control>,
}

impl Stopper {
    /// Asks all cores to stop, and returns at once. After `Drain`, `Now` still has its effect; not the other way round.
    pub fn stop(&self, how: Stop) {
        self.control.give(match how {
            Stop::Drain => Order::Drain,
            Stop::Now => Order::StopNow,
        });
    }
}

/// Builds `config.shards` shards with `build`, each on the thread of its core, and sets them going.
///
/// Shards are dealt to the cores in turn: shard `s` runs on core `s % cores`. With fewer shards than cores, the rest of
/// the cores is not used.
///
/// # Errors
/// When a thread, a pin, io_uring or a shard cannot be had. Nothing is left running then.
pub fn launch(config: &Config, build: Build) -> Result<Running, StartError> {
    let shards = config.shards;
    let cores = config.cores.len().min(shards);
    if cores == 0 || shards > usize::from(u16::MAX) {
        return Err(StartError::Shape { cores: config.cores.len(), shards });
    }
    if config.driver == DriverKind::Glommio {
        probe_io_uring().map_err(StartError::IoUring)?;
    }
    let bells = Bells::new(cores);
    let mut running = Running {
        control: Arc::new(Control::new(cores, bells.clone())),
        bells,
        counters: (0..cores).map(|_| Counters::default()).collect(),
        threads: Vec::with_capacity(cores),
    };
    let config = Arc::new(config.clone());
    for (core, &cpu) in config.cores.iter().take(cores).enumerate() {
        let (config, build) = (config.clone(), build.clone());
        let (control, bells, counters) =
            (running.control.clone(), running.bells.clone(), running.counters.clone());
        let body = move || {
            let (config, build, control, bells) = (&*config, &build, &*control, &bells);
            run_core(&Seat { core, cpu, cores, config, build, control, bells, counters: &counters[core] });
        };
        match thread::Builder::new().name(format!("pelton-{core}")).spawn(body) {
            Ok(thread) => running.threads.push(thread),
            Err(error) => {
                running.control.cannot_start(StartError::Thread(error));
                break;
            }
        }
    }
    running.control.wait_started()?;
    Ok(running)
}

/// The life of a core's thread.
fn run_core(seat: &Seat<'_>) {
    panics::record_here();
    match panics::catch(|| seat.run()) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => seat.control.cannot_start(error),
        Err(panicked) => {
            // Before the start this is how it failed to start; later it is how the job failed. Tell both.
            let message = panicked.to_string();
            seat.control.fail(RunError::Core { cpu: seat.cpu, panicked });
            seat.control.cannot_start(StartError::Executor { cpu: seat.cpu, message });
        }
    }
    seat.control.leave();
}

impl Running {
    /// Asks all cores to stop, and returns at once; see [`Stopper::stop`].
    pub fn stop(&self, how: Stop) {
        self.stopper().stop(how);
    }

    /// A handle for another thread, such as the one that hears of Ctrl-C.
    pub fn stopper(&self) -> Stopper {
        Stopper { control: self.control.clone() }
    }

    /// The doorbells of the cores, for producers outside of them.
    pub fn bells(&self) -> Bells {
        self.bells.clone()
    }

    /// What each core did so far.
    pub fn stats(&self) -> Vec<CoreStats> {
        self.counters.iter().map(Counters::read).collect()
    }

    /// Whether all cores have left.
    pub fn is_finished(&self) -> bool {
        self.control.is_over()
    }

    /// Sleeps until all cores have left, but no longer than `longest`; whether they have.
    pub fn wait_for(&self, longest: Duration) -> bool {
        self.control.wait_over(longest)
    }

    /// Sleeps until all cores have left.
    ///
    /// # Errors
    /// The first failure, if a shard panicked or could not go on.
    pub fn wait(mut self) -> Result<(), RunError> {
        self.join();
        self.control.failure().map_or(Ok(()), Err)
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            thread.join().expect("an engine thread catches its own panics");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop(Stop::Now);
        self.join();
    }
}
