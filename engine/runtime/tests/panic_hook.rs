//! The panic hook: one that was there before hears of the engine's panics, too.
//!
//! Alone in its file, because the hook belongs to the whole process.

use pelton_core::{ClockReading, Fault, Step};
use pelton_runtime::config::{Config, DriverKind};
use pelton_runtime::{Duty, Position, RunError, launch};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

struct Panics;

impl Duty for Panics {
    fn step(&mut self, _: ClockReading) -> Result<Step, Fault> {
        panic!("in an operator")
    }
    fn drain(&mut self) {}
    fn position(&self) -> Position {
        Position::default()
    }
}

static PRINTED: AtomicU32 = AtomicU32::new(0);

#[test]
fn all_panics_reach_the_hook_that_was_there() {
    panic::set_hook(Box::new(|_| {
        PRINTED.fetch_add(1, Ordering::Relaxed);
    }));
    let config = Config { shards: 1, driver: DriverKind::Threads, pin: false, ..Config::default() };
    for n in 1..=2 {
        let running = launch(&config, Arc::new(|_| Ok(Box::new(Panics) as Box<dyn Duty>))).unwrap();
        let RunError::Panic { panicked, .. } = running.wait().unwrap_err() else { panic!("a panic") };
        assert_eq!(panicked.message, "in an operator");
        assert!(panicked.location.is_some());
        assert_eq!(PRINTED.load(Ordering::Relaxed), n);
    }
    assert!(thread::spawn(|| panic!("elsewhere")).join().is_err());
    assert_eq!(PRINTED.load(Ordering::Relaxed), 3);
}
