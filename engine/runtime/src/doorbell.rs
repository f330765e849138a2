//! The doorbells of a job: one for each core, with whatever it takes to wake that core.
//!
//! The protocol that loses no wake-up is [`pelton_core::exchange::doorbell`]; this adds the sleeping. A core under the thread
//! driver sleeps in `park`, one under glommio as a task whose waker is kept here meanwhile. Ringing costs a fence and
//! a look at each other core; only a sleeping one costs a lock and a system call (some 15 µs).

use pelton_core::ShardId;
use pelton_core::exchange::doorbell::{Doorbell, published};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::thread::{self, Thread};
use std::time::Duration;

/// The doorbells of a running job, for producers outside its cores: ring after handing something over.
///
/// A source that is fed by another thread is polled anyway, but a parked core looks only every `idle.park_us`.
#[derive(Clone, Debug)]
pub struct Bells {
    cores: Arc<[Bell]>,
}

#[derive(Debug, Default)]
struct Bell {
    door: Doorbell,
    sleeper: Mutex<Sleeper>,
}

/// How to wake a core.
#[derive(Debug, Default)]
enum Sleeper {
    #[default]
    Awake,
    Thread(Thread),
    Task(Waker),
}

impl Bell {
    /// Wakes the owner if it sleeps. What it should find was [`published`] before.
    #[inline]
    fn ring(&self) {
        if self.door.ring() {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // By reference and under the lock: a task's waker is only ever dropped on the task's own thread.
        match &*self.sleeper.lock().unwrap_or_else(PoisonError::into_inner) {
            Sleeper::Awake => {}
            Sleeper::Thread(thread) => thread.unpark(),
            Sleeper::Task(waker) => waker.wake_by_ref(),
        }
    }

    fn set(&self, sleeper: Sleeper) {
        *self.sleeper.lock().unwrap_or_else(PoisonError::into_inner) = sleeper;
    }
}

impl Bells {
    pub(crate) fn new(cores: usize) -> Self {
        Bells { cores: (0..cores).map(|_| Bell::default()).collect() }
    }

    /// Wakes the core that runs `shard`, if it sleeps.
    pub fn ring(&self, shard: ShardId) {
        published();
        self.cores[usize::from(shard.0) % self.cores.len()].ring();
    }

    /// Wakes every core that sleeps.
    pub fn ring_all(&self) {
        published();
        self.cores.iter().for_each(Bell::ring);
    }

    /// Wakes every core that sleeps but `core`, which is the caller.
    #[inline]
    pub(crate) fn ring_others(&self, core: usize) {
        if self.cores.len() > 1 {
            published();
            self.cores
                .iter()
                .enumerate()
                .filter(|&(other, _)| other != core)
                .for_each(|(_, bell)| bell.ring());
        }
    }

    /// The flag of `core`.
    pub(crate) fn door(&self, core: usize) -> &Doorbell {
        &self.cores[core].door
    }

    /// Sleeps on the current thread, which runs `core`, until its bell rings or `longest` is over.
    pub(crate) fn park_thread(&self, core: usize, longest: Duration) {
        let bell = &self.cores[core];
        bell.set(Sleeper::Thread(thread::current()));
        if bell.door.is_armed() {
            thread::park_timeout(longest);
        }
        self.woke(core);
    }

    /// Lets `waker` be woken when `core`'s bell rings; false if it already rang.
    pub(crate) fn park_task(&self, core: usize, waker: &Waker) -> bool {
        let bell = &self.cores[core];
        if bell.door.is_armed() {
            bell.set(Sleeper::Task(waker.clone()));
        }
        // Whoever rang before the waker was in place found nobody to wake, so look again.
        bell.door.is_armed()
    }

    /// Ends a sleep of `core`.
    pub(crate) fn woke(&self, core: usize) {
        self.cores[core].door.disarm();
        self.cores[core].set(Sleeper::Awake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn ping_pong_between_two_sleeping_threads_never_waits_for_the_timeout() {
        const ROUNDS: u32 = 10_000;
        let bells = Bells::new(2);
        let turn = Arc::new(AtomicU32::new(0));
        let play = |me: usize| {
            let (bells, turn) = (bells.clone(), turn.clone());
            thread::spawn(move || {
                for round in (me as u32..2 * ROUNDS).step_by(2) {
                    while turn.load(Ordering::Acquire) != round {
                        bells.door(me).arm();
                        if turn.load(Ordering::Acquire) == round {
                            bells.door(me).disarm();
                        } else {
                            // Without a ring this would sleep for longer than any test runs.
                            bells.park_thread(me, Duration::from_secs(3_600));
                        }
                    }
                    turn.store(round + 1, Ordering::Release);
                    bells.ring_others(me);
                }
            })
        };
        let players = [play(0), play(1)];
        players.into_iter().for_each(|player| player.join().unwrap());
        assert_eq!(turn.load(Ordering::Relaxed), 2 * ROUNDS);
    }

    #[test]
    fn a_ring_that_comes_before_the_waker_is_not_lost() {
        let bells = Bells::new(1);
        bells.door(0).arm();
        bells.ring(ShardId(7));
        assert!(!bells.park_task(0, Waker::noop()));
    }
}
