//! Doorbells: how a shard that publishes wakes one that sleeps, and costs next to nothing while none does.
//!
//! The sleeper and the publisher each write one thing and then read the other's:
//!
//! ```text
//! sleeper                          publisher
//! 1. arm: asleep = true            1. publish: ring tails, clock line
//! 2. full fence                    2. full fence
//! 3. look once more for work       3. ring: was asleep? then asleep = false, and wake it
//! 4. none: sleep until woken
//! ```
//!
//! One of the two fences comes first, so either the publisher sees the sleeper or the sleeper sees what was published:
//! no wake-up is lost. The price is one fence per publishing cycle, and one read of a line that changes only when a
//! core falls asleep.
//!
//! How to sleep and wake is the driver's business; a wake-up that comes before the sleep must make that sleep return
//! at once, as `park` and `unpark` of a thread do. Spurious wake-ups are harmless.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};

/// The flag of one sleeper.
///
/// ```
/// use pelton_core::exchange::doorbell::{Doorbell, published};
///
/// let bell = Doorbell::new();
/// published();
/// assert!(!bell.ring(), "nobody sleeps");
/// bell.arm();
/// published();
/// assert!(bell.ring(), "the first ring must wake the sleeper");
/// assert!(!bell.ring(), "the second need not");
/// ```
#[derive(Debug)]
#[repr(align(128))]
pub struct Doorbell {
    asleep: AtomicBool,
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}

impl Doorbell {
    /// A bell whose owner is awake.
    pub fn new() -> Self {
        Doorbell { asleep: AtomicBool::new(false) }
    }

    /// The owner is about to sleep. It must look for work once more after this, and sleep only if there is none.
    pub fn arm(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The owner is awake again, or found work on its last look.
    pub fn disarm(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Whether nobody has rung since the owner armed the bell.
    pub fn is_armed(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Whether the caller must wake the owner. Call [`published`] first, once for any number of bells.
    #[inline]
    pub fn ring(&self) -> bool {
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }
}

/// What was published before this call is seen by every owner whose bell does not ring after it.
#[inline]
pub fn published() {
    fence(Ordering::SeqCst);
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use alloc::vec::Vec;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    /// One consumer sleeps until it has seen a publication of each of `publishers`, `each` times. Loom reports a
    /// deadlock if any interleaving leaves it asleep.
    fn check(publishers: usize, each: usize) {
        let mut model = loom::model::Builder::new();
        // Every known way to lose a wake-up needs fewer switches than this, and more take minutes.
        model.preemption_bound = Some(3);
        model.check(move || {
            let bell = Arc::new(Doorbell::new());
            let lines: Arc<Vec<AtomicUsize>> =
                Arc::new((0..publishers).map(|_| AtomicUsize::new(0)).collect());
            let sleeper = thread::current();
            let threads: Vec<_> = (0..publishers)
                .map(|index| {
                    let (bell, lines, sleeper) = (bell.clone(), lines.clone(), sleeper.clone());
                    thread::spawn(move || {
                        for done in 1..=each {
                            lines[index].store(done, Ordering::Release);
                            published();
                            if bell.ring() {
                                sleeper.unpark();
                            }
                        }
                    })
                })
                .collect();
            let all_seen = || lines.iter().all(|line| line.load(Ordering::Acquire) == each);
            while !all_seen() {
                bell.arm();
                if !all_seen() {
                    thread::park();
                }
                bell.disarm();
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn one_publisher_never_leaves_the_sleeper_asleep() {
        check(1, 1);
        check(1, 2);
    }

    #[test]
    fn neither_do_two() {
        check(2, 1);
    }
}
