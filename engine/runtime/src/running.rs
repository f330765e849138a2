//! Starting a job on its cores, and holding on to it while it runs.
//!
//! 1. [`launch`] checks the shape and, for glommio, io_uring; starts one thread per core; each builds its shards there.
//! 2. When all are built they start together, or none does and `launch` says why. With [`prepare`] whoever starts them can do in between what has
//!    to be done before the first step, and give up if it fails.
//! 3. [`Running`] watches and stops them. Dropping it stops the job at once.
//! 4. [`Running::wait`] returns when the last core has left, with the first failure if there was one.

use crate::config::{Config, DriverKind};
use crate::control::{Control, Order};
use crate::doorbell::Bells;
use crate::driver::workers::{self, Done, WorkerPlace};
use crate::driver::{ChosenDriver, Seat, glommio, threads};
use crate::duty::Build;
use crate::error::{RunError, StartError};
use crate::on_core::{OnCore, on_core};
use crate::panics;
use crate::pin::current_mask;
use crate::stats::{CoreStats, Counters};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How to stop a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// End the input: whoever sends to a source is refused from now on, what was accepted is taken in, and all that follows from it is shown. A
    /// job with durability cannot be gone on with: its later runs find the input at its end.
    Drain,
    /// Stop so that a later run goes on where this one was: what sources have accepted is taken in and shown, state and logs are brought to the
    /// disk whole, and nothing is left elsewhere. The input does not end. For a job without durability, which keeps nothing, this is
    /// [`Now`](Self::Now).
    Suspend,
    /// Leave everything where it is, at once. A job with durability goes on later as it would after its process was killed.
    Now,
}

/// A job on its cores.
#[derive(Debug)]
pub struct Running {
    control: Arc<Control>,
    bells: Bells,
    counters: Arc<[Counters]>,
    threads: Vec<CoreThread>,
    driver: ChosenDriver,
}

/// The thread of a core.
#[derive(Debug)]
enum CoreThread {
    /// Its own, which ends with it.
    Own(JoinHandle<()>),
    /// One with an executor, which outlives it.
    Lent(Done),
}

/// Stops a job from another thread than the one that waits for it.
#[derive(Clone, Debug)]
pub struct Stopper {
    control: Arc<Control>,
}

/// Says how a job has ended, for whoever does not hold it.
#[derive(Clone, Debug)]
pub struct Watch {
    control: Arc<Control>,
}

impl Watch {
    /// Whether all cores have left.
    pub fn is_over(&self) -> bool {
        self.control.is_over()
    }

    /// The first failure so far.
    pub fn failure(&self) -> Option<RunError> {
        self.control.failure()
    }

    /// Whether shards were left where they were before they had finished.
    pub fn is_undone(&self) -> bool {
        self.control.is_undone()
    }
}

impl Stopper {
    /// Asks all cores to stop, and returns at once. Only a stricter order changes an earlier one: `Suspend` one to `Drain`, and `Now` both.
    pub fn stop(&self, how: Stop) {
        self.control.give(match how {
            Stop::Drain => Order::Drain,
            Stop::Suspend => Order::Suspend,
            Stop::Now => Order::StopNow,
        });
    }

    /// The first failure, as soon as there is one. It is known before anything of a shard that failed is dropped.
    pub fn failure(&self) -> Option<RunError> {
        self.control.failure()
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
    prepare(config, build).map(Prepared::begin)
}

/// A job whose shards are built, each on its core. They are not stepped before [`begin`](Prepared::begin); dropping this gives them up.
///
/// ```
/// use pelton::config::{Config, DriverKind};
/// use pelton::{Fault, ShardId};
/// use pelton_core::{ClockReading, Step};
/// use pelton_runtime::{Duty, Position, prepare};
/// use std::sync::Arc;
///
/// struct Never;
///
/// impl Duty for Never {
///     fn step(&mut self, _at: ClockReading) -> Result<Step, Fault> {
///         unreachable!("it was given up")
///     }
///     fn drain(&mut self) {}
///     fn position(&self) -> Position {
///         Position::default()
///     }
/// }
///
/// let config = Config { shards: 1, driver: DriverKind::Threads, pin: false, ..Config::default() };
/// let prepared = prepare(&config, Arc::new(|_: ShardId| Ok(Box::new(Never) as Box<dyn Duty>)))?;
/// drop(prepared);
/// # Ok::<(), pelton::StartError>(())
/// ```
#[derive(Debug)]
pub struct Prepared {
    running: Option<Running>,
}

impl Prepared {
    /// The doorbells of the cores.
    pub fn bells(&self) -> Bells {
        self.running.as_ref().map_or_else(|| Bells::new(0), Running::bells)
    }

    /// Sets the shards going.
    pub fn begin(mut self) -> Running {
        let running = self.running.take().unwrap_or_else(|| unreachable!("it is taken here and by the drop"));
        running.control.begin();
        running
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.control.give_up();
        }
    }
}

/// Builds the shards as [`launch`] does, and leaves it to the caller to set them going.
///
/// # Errors
/// As for [`launch`].
pub fn prepare(config: &Config, build: Build) -> Result<Prepared, StartError> {
    let shards = config.shards;
    let cores = config.cores.len().min(shards);
    if cores == 0 || shards > usize::from(u16::MAX) {
        return Err(StartError::Shape { cores: config.cores.len(), shards });
    }
    let driver = config.choose_driver().map_err(StartError::IoUring)?;
    let bells = Bells::new(cores);
    let mut running = Running {
        control: Arc::new(Control::new(cores, bells.clone())),
        bells,
        counters: (0..cores).map(|_| Counters::default()).collect(),
        threads: Vec::with_capacity(cores),
        driver,
    };
    let config = Arc::new(config.clone());
    let inherited = if running.driver.kind == DriverKind::Glommio { current_mask() } else { Vec::new() };
    for (core, &cpu) in config.cores.iter().take(cores).enumerate() {
        let (config, build) = (config.clone(), build.clone());
        let (control, bells, counters) =
            (running.control.clone(), running.bells.clone(), running.counters.clone());
        let place = WorkerPlace {
            core,
            cpus: if config.pin { vec![cpu] } else { inherited.clone() },
            pinned: config.pin,
        };
        let run = move |run: &mut dyn FnMut(&Seat<'_>) -> Result<(), StartError>| {
            let (config, build, control, bells) = (&*config, &build, &*control, &bells);
            let counters = &counters[core];
            run_core(&Seat { core, cpu, cores, config, build, control, bells, counters }, run)
        };
        let started = match running.driver.kind {
            DriverKind::Glommio => {
                let work =
                    Box::new(move |executor: &mut Option<_>| run(&mut |seat| glommio::run(seat, executor)));
                workers::run(&place, work).map(CoreThread::Lent)
            }
            DriverKind::Threads | DriverKind::Auto => {
                let body = move || {
                    run(&mut threads::run);
                };
                thread::Builder::new().name(format!("pelton-{core}")).spawn(body).map(CoreThread::Own)
            }
        };
        match started {
            Ok(thread) => running.threads.push(thread),
            Err(error) => {
                running.control.cannot_start(StartError::Thread(error));
                break;
            }
        }
    }
    running.control.wait_started()?;
    Ok(Prepared { running: Some(running) })
}

/// The life of a core on its thread; whether the thread is fit for another.
fn run_core(seat: &Seat<'_>, run: &mut dyn FnMut(&Seat<'_>) -> Result<(), StartError>) -> bool {
    panics::record_here();
    let _on_core = OnCore::enter();
    let mut fit = true;
    match panics::catch(|| run(seat)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            // A shard that could not be built is no fault of the thread's.
            fit = matches!(error, StartError::Build { .. } | StartError::BuildPanic { .. });
            seat.control.cannot_start(error);
        }
        Err(panicked) => {
            fit = false;
            // Before the start this is how it failed to start; later it is how the job failed. Tell both.
            let message = panicked.to_string();
            seat.control.fail(RunError::Core { cpu: seat.cpu, panicked });
            seat.control.cannot_start(StartError::Executor { cpu: seat.cpu, message });
        }
    }
    seat.control.leave();
    fit
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

    /// What says how the job has ended, also when this is gone.
    pub fn watch(&self) -> Watch {
        Watch { control: self.control.clone() }
    }

    /// The doorbells of the cores, for producers outside of them.
    pub fn bells(&self) -> Bells {
        self.bells.clone()
    }

    /// What drives the cores, and why, if that was left open.
    pub fn driver(&self) -> &ChosenDriver {
        &self.driver
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
        // A core cannot wait for itself. It has been told to stop, and does so when it is through with what it is doing.
        if on_core() {
            return;
        }
        for thread in self.threads.drain(..) {
            match thread {
                CoreThread::Own(thread) => thread.join().expect("an engine thread catches its own panics"),
                CoreThread::Lent(done) => done.wait(),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop(Stop::Now);
        self.join();
    }
}
