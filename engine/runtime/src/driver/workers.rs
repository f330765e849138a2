//! Threads that have a glommio executor, and outlive the jobs that they work for.
//!
//! An executor of glommio 0.9 that has run anything leaves an eventfd open for good: a task is freed without its header being dropped
//! (`RawTask::destroy`), and the header holds the executor's notifier. A service that starts and stops jobs would run out of files. So
//! executors are made once, and used by one job after the other:
//!
//! 1. a job asks for a thread for its core number and CPU, and takes one that is idle, or a new one
//! 2. the thread runs the core in its executor, which it makes the first time
//! 3. the core leaves: the thread is idle again, and only then is the job told that it has gone
//!
//! So there are as many threads as cores of jobs that ever ran at the same time, for each core number and CPU. An idle one sleeps; it
//! holds its rings and 64 KiB of locked memory. One whose executor could not be made, or whose core panicked, ends.
//!
//! What a job's own code spawned on the executor and did not end goes on when the next job runs there.

use glommio::LocalExecutor;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// What a thread is for. One that is idle is taken up again for the same only: threads keep their names and their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerPlace {
    /// The core's number in its job, which is in the thread's name.
    pub(crate) core: usize,
    /// The CPU that it is pinned to, or the CPUs that its maker could run on, which it inherits.
    pub(crate) cpus: Vec<usize>,
    pub(crate) pinned: bool,
}

/// Runs a core in the executor, which it makes if there is none. Whether the thread can be used again.
type Work = Box<dyn FnOnce(&mut Option<LocalExecutor>) -> bool + Send>;

/// A core to run, and whom to tell when it has left.
struct Order {
    work: Work,
    done: Done,
}

/// Whether a core has left its thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done(Arc<(Mutex<bool>, Condvar)>);

impl Done {
    fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits until the core has left.
    pub(crate) fn wait(&self) {
        let done = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.1.wait_while(done, |done| !*done).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Threads that wait for a job.
static IDLE: Mutex<Vec<(WorkerPlace, Sender<Order>)>> = Mutex::new(Vec::new());

/// Has `work` done on a thread for `place`.
pub(crate) fn run(place: &WorkerPlace, work: Work) -> io::Result<Done> {
    let done = Done::default();
    let mut order = Order { work, done: done.clone() };
    loop {
        let idle = {
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            let found = idle.iter().position(|(other, _)| other == place);
            found.map(|found| idle.swap_remove(found).1)
        };
        let Some(inbox) = idle else { break };
        match inbox.send(order) {
            Ok(()) => return Ok(done),
            // It ended while it waited, as a process may see to that is about to.
            Err(returned) => order = returned.0,
        }
    }
    let (inbox, orders) = channel();
    let place = place.clone();
    let name = format!("pelton-{}", place.core);
    thread::Builder::new().name(name).spawn(move || serve(&place, order, &inbox, &orders))?;
    Ok(done)
}

/// The life of a thread.
fn serve(place: &WorkerPlace, first: Order, inbox: &Sender<Order>, orders: &Receiver<Order>) {
    let (mut executor, mut next) = (None, Some(first));
    while let Some(Order { work, done }) = next {
        let again = work(&mut executor);
        if again {
            // Before the job is told: a start that follows finds the thread.
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((place.clone(), inbox.clone()));
        }
        done.set();
        next = if again { orders.recv().ok() } else { None };
    }
}
