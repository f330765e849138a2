//! Panics of user code: caught where they happen, and reported once, in the job's own error.
//!
//! A hook, installed once per process, takes down message, place and (with `RUST_BACKTRACE`) the backtrace of a panic
//! on an engine thread. Then, as for every other thread, it calls the hook that was there before, be it the
//! application's own or the one that prints. Catching costs nothing as long as nothing panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

/// What was known at the moment of a panic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panicked {
    /// The panic's message.
    pub message: String,
    /// `file:line:column`, unless another panic hook took the place of Pelton's.
    pub location: Option<String>,
    /// The backtrace, if the environment asked for one.
    pub backtrace: Option<String>,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(location) = &self.location {
            write!(f, " ({location})")?;
        }
        if let Some(backtrace) = &self.backtrace {
            write!(f, "\n{backtrace}")?;
        }
        Ok(())
    }
}

thread_local! {
    static ENGINE_THREAD: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<Panicked>> = const { RefCell::new(None) };
}

/// From now on the panics of the current thread are recorded.
pub fn record_here() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if ENGINE_THREAD.get() {
                let panicked = describe(info);
                LAST.with_borrow_mut(|last| *last = Some(panicked));
            }
            previous(info);
        }));
    });
    ENGINE_THREAD.set(true);
}

fn describe(info: &PanicHookInfo<'_>) -> Panicked {
    let backtrace = Backtrace::capture();
    Panicked {
        message: info.payload_as_str().unwrap_or(NO_MESSAGE).to_owned(),
        location: info.location().map(ToString::to_string),
        backtrace: (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string()),
    }
}

const NO_MESSAGE: &str = "panicked without a message";

/// Runs `call`; a panic of it becomes an error, with the place where it happened if the thread [records](record_here).
///
/// # Errors
/// When `call` panics.
#[inline]
pub fn catch<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // What `call` was working on is dropped after a panic and never used again, whatever state it is in.
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        LAST.take().unwrap_or_else(|| {
            let message = payload.downcast_ref::<&str>().copied();
            let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            Panicked { message: message.unwrap_or(NO_MESSAGE).to_owned(), ..Panicked::default() }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn an_engine_thread_records_message_and_place() {
        let line = line!() + 3;
        let panicked = thread::spawn(|| {
            record_here();
            catch(|| panic!("no more than {} apples", 3)).unwrap_err()
        });
        let panicked = panicked.join().unwrap();
        assert_eq!(panicked.message, "no more than 3 apples");
        let location = panicked.location.unwrap();
        assert!(location.contains("panics.rs") && location.contains(&format!(":{line}:")), "{location}");
    }

    #[test]
    fn a_panic_that_bypasses_the_hook_still_has_its_message() {
        let panicked = thread::spawn(|| {
            record_here();
            catch(|| panic::resume_unwind(Box::new("thrown".to_owned()))).unwrap_err()
        });
        assert_eq!(
            panicked.join().unwrap(),
            Panicked { message: "thrown".to_owned(), ..Panicked::default() }
        );
    }

    #[test]
    fn a_payload_that_is_no_text_is_reported_too() {
        let panicked = thread::spawn(|| {
            record_here();
            catch(|| panic::panic_any(7_u32)).unwrap_err()
        });
        assert_eq!(panicked.join().unwrap().message, NO_MESSAGE);
    }
}
