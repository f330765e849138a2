//! Ctrl-C, SIGTERM and SIGHUP: noticed at once by whoever waits, and never a hang.
//!
//! The first signal wakes every waiter, so that what is running can be stopped in order. Should it not have ended some time later, or
//! should a signal come again, the process ends all the same. Waiting is a condition variable: a waiting thread takes nothing from the
//! cores that are being measured.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::exit;

/// How long an orderly stop may take.
const GRACE: Duration = Duration::from_secs(3);

/// A flag that a signal raises. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    raised: Arc<(Mutex<bool>, Condvar)>,
}

impl Interrupt {
    /// A flag that Ctrl-C raises from now on; the process ends three seconds later, whatever it is doing. Call it once, before threads
    /// are pinned (the helper thread that waits for the signal inherits the affinity of the caller).
    pub fn on_ctrl_c() -> Interrupt {
        Self::within(Some(GRACE))
    }

    /// As [`on_ctrl_c`](Self::on_ctrl_c), for what may take as long as it needs to stop in order: only a second signal ends the process.
    pub fn on_signals() -> Interrupt {
        Self::within(None)
    }

    fn within(grace: Option<Duration>) -> Interrupt {
        let interrupt = Interrupt::default();
        let flag = interrupt.clone();
        let listens = pelton_runtime::signals::listen(move || {
            if flag.is_raised() {
                leave("interrupted twice");
            }
            flag.raise();
            if let Some(grace) = grace {
                // Another thread, so that this one can hear the next signal.
                std::thread::spawn(move || {
                    std::thread::sleep(grace);
                    leave("interrupted; what was running did not stop in time");
                });
            }
        });
        // Where no handler is allowed, a signal ends the process as it would any other.
        drop(listens);
        interrupt
    }

    /// Raises the flag and wakes every waiter.
    pub fn raise(&self) {
        *self.raised.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.raised.1.notify_all();
    }

    /// Whether the flag is up.
    pub fn is_raised(&self) -> bool {
        *self.raised.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for at most `time`; says whether the flag is up.
    pub fn wait(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut raised = self.raised.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*raised {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            raised = self.raised.1.wait_timeout(raised, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// Ends the process whatever it is doing.
fn leave(message: &str) -> ! {
    exit::complain(message);
    std::process::exit(i32::from(exit::INTERRUPTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_wakes_when_the_flag_goes_up_and_not_before() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.wait(Duration::from_millis(1)));
        let other = interrupt.clone();
        let waiter = std::thread::spawn(move || other.wait(Duration::from_secs(60)));
        interrupt.raise();
        assert!(waiter.join().unwrap());
        assert!(interrupt.is_raised());
    }
}
