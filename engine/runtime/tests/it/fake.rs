//! Duties made of closures, and configurations small enough for tests that share two CPUs.

use pelton_core::{ClockReading, Fault, ShardId, Step, Tick};
use pelton_runtime::config::{Config, DriverKind, IdleConfig, IdleStrategy};
use pelton_runtime::{Build, Duty, Position};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, thread};

/// Longer than any test takes; a test that needs it has hung.
pub const HUNG: Duration = Duration::from_secs(120);

/// A step's answer.
pub fn step(work: usize, published: bool, finished: bool) -> Result<Step, Fault> {
    Ok(Step { work, published, finished })
}

/// A duty whose step is a closure of the number of steps so far and whether it drains.
pub struct Fake<F> {
    steps: u64,
    draining: bool,
    run: F,
}

impl<F: FnMut(u64, bool) -> Result<Step, Fault>> Duty for Fake<F> {
    fn step(&mut self, _at: ClockReading) -> Result<Step, Fault> {
        self.steps += 1;
        (self.run)(self.steps, self.draining)
    }

    fn drain(&mut self) {
        assert!(!self.draining, "drained twice");
        self.draining = true;
    }

    fn position(&self) -> Position {
        Position { tick: Tick(self.steps), operator: "map #2".to_owned() }
    }
}

/// A build function that makes the step closure of each shard.
pub fn fakes<F>(make: impl Fn(ShardId) -> F + Send + Sync + 'static) -> Build
where
    F: FnMut(u64, bool) -> Result<Step, Fault> + 'static,
{
    Arc::new(move |shard| Ok(Box::new(Fake { steps: 0, draining: false, run: make(shard) }) as Box<dyn Duty>))
}

/// A duty that does nothing until it is drained.
pub fn idle_until_drained() -> Build {
    fakes(|_| |_, draining| step(0, false, draining))
}

/// Unpinned cores; parks last until they are rung, so that a lost wake-up shows.
pub fn config(cores: usize, shards: usize, driver: DriverKind, strategy: IdleStrategy) -> Config {
    Config {
        cores: (0..cores).collect(),
        shards,
        driver,
        pin: false,
        idle: IdleConfig { strategy, spin_us: 20, park_us: 3_600_000_000 },
        ..Config::default()
    }
}

/// Runs the current test, which is `name`, in a process of its own: for what binds or counts all of a process. False in that process, where
/// the test is to go on.
pub fn in_child(name: &str) -> bool {
    const CHILD: &str = "PELTON_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        return false;
    }
    assert!(name.ends_with(thread::current().name().unwrap()), "{name} is this test");
    let mut child = Command::new(env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}", text.concat());
    assert!(text[0].contains("1 passed"), "{}", text.concat());
    true
}

/// Every driver with every idle strategy.
pub fn combinations() -> impl Iterator<Item = (DriverKind, IdleStrategy)> {
    [DriverKind::Threads, DriverKind::Glommio].into_iter().flat_map(|driver| {
        let strategies = [IdleStrategy::Spin, IdleStrategy::SpinThenPark, IdleStrategy::Park];
        strategies.into_iter().map(move |strategy| (driver, strategy))
    })
}
