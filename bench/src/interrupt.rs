//! Ctrl-C: noticed at once by whoever waits, and never a hang.
//!
//! The first Ctrl-C wakes every waiter, so that the run can be stopped in order. Should it not have ended a few
//! seconds later, or should Ctrl-C come again, the process ends all the same. Waiting is a condition variable: a
//! waiting thread takes nothing from the cores that are being measured.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an orderly stop may take.
const GRACE: Duration = Duration::from_secs(3);

/// Exit code after Ctrl-C, as shells expect it.
const EXIT_CODE: i32 = 130;

/// A flag that Ctrl-C raises. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    raised: Arc<(Mutex<bool>, Condvar)>,
}

impl Interrupt {
    /// A flag that Ctrl-C raises from now on; call it once, before threads are pinned (the helper thread that
    /// waits for the signal inherits the affinity of the caller).
    pub fn on_ctrl_c() -> Interrupt {
        let interrupt = Interrupt::default();
        let flag = interrupt.clone();
        let installed = ctrlc::set_handler(move || {
            if flag.is_raised() {
                leave("interrupted twice");
            }
            flag.raise();
            // Another thread, so that this one can hear Ctrl-C again.
            std::thread::spawn(|| {
                std::thread::sleep(GRACE);
                leave("interrupted; what was running did not stop in time");
            });
        });
        // A second harness in one process keeps the first one's handler: then Ctrl-C ends the first.
        drop(installed);
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
    let _ = writeln!(std::io::stderr(), "error: {message}");
    std::process::exit(EXIT_CODE)
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
