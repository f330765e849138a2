//! Both drivers under all idle strategies, with duties that pretend: who runs where, who wakes whom, how jobs end.

use crate::fake::{HUNG, combinations, config, fakes, idle_until_drained, in_child, step};
use pelton_core::{Fault, ShardId};
use pelton_runtime::config::{Config, DriverKind, IdleStrategy};
use pelton_runtime::{Duty, RunError, Running, StartError, Stop, launch};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Waits for the end, and fails rather than hangs.
fn finish(running: Running, what: &str) -> Result<(), RunError> {
    assert!(running.wait_for(HUNG), "{what} hangs: {:?}", running.stats());
    assert!(running.is_finished());
    running.wait()
}

#[test]
fn any_number_of_shards_runs_on_any_number_of_cores() {
    for (driver, strategy) in combinations() {
        for (cores, shards) in [(1, 1), (1, 3), (2, 2), (2, 5), (3, 2)] {
            let what = format!("{shards} shards on {cores} cores, {driver:?}, {strategy:?}");
            let threads = Arc::new(Mutex::new(BTreeMap::new()));
            let seen = threads.clone();
            let build = fakes(move |shard| {
                seen.lock().unwrap().insert(shard.0, thread::current().name().unwrap().to_owned());
                // Shard n takes 100 x (n + 1) steps, so that they do not finish together.
                let last = 100 * (u64::from(shard.0) + 1);
                move |steps, _| {
                    assert!(steps <= last, "stepped after it finished");
                    step((steps % 2) as usize, false, steps == last)
                }
            });
            // Nobody publishes here, so parks must end by themselves.
            let mut config = config(cores, shards, driver, strategy);
            config.idle.park_us = 100;
            finish(launch(&config, build).unwrap(), &what).unwrap();
            let expected =
                (0..shards as u16).map(|s| (s, format!("pelton-{}", s as usize % cores.min(shards))));
            assert_eq!(*threads.lock().unwrap(), expected.collect(), "{what}");
        }
    }
}

#[test]
fn a_parked_core_is_woken_by_each_publication_of_another() {
    const ROUNDS: u64 = 10_000;
    for (driver, strategy) in combinations().filter(|&(_, strategy)| strategy != IdleStrategy::Spin) {
        let turn = Arc::new(AtomicU64::new(0));
        let build = fakes(move |shard| {
            let turn = turn.clone();
            move |_, _| {
                let now = turn.load(Ordering::Acquire);
                if now >= 2 * ROUNDS {
                    return step(0, false, true);
                }
                if now % 2 != u64::from(shard.0) {
                    return step(0, false, false);
                }
                turn.store(now + 1, Ordering::Release);
                step(1, true, false)
            }
        });
        let running = launch(&config(2, 2, driver, strategy), build).unwrap();
        finish(running, &format!("ping-pong, {driver:?}, {strategy:?}")).unwrap();
    }
}

#[test]
fn a_producer_outside_wakes_the_shard_it_feeds() {
    for driver in [DriverKind::Threads, DriverKind::Glommio] {
        let fed = Arc::new(AtomicU64::new(0));
        let eaten = Arc::new(AtomicU64::new(0));
        let build = fakes({
            let (fed, eaten) = (fed.clone(), eaten.clone());
            move |shard| {
                let (fed, eaten) = (fed.clone(), eaten.clone());
                move |_, draining| {
                    let new = shard.0 == 1 && fed.load(Ordering::Acquire) > eaten.load(Ordering::Relaxed);
                    eaten.fetch_add(u64::from(new), Ordering::Release);
                    step(usize::from(new), false, draining)
                }
            }
        });
        let running = launch(&config(2, 2, driver, IdleStrategy::Park), build).unwrap();
        let bells = running.bells();
        for round in 1..=1_000 {
            fed.store(round, Ordering::Release);
            bells.ring(ShardId(1));
            while eaten.load(Ordering::Acquire) < round {
                thread::yield_now();
            }
        }
        assert!(running.stats()[1].parks > 0, "{:?}", running.stats());
        running.stop(Stop::Drain);
        finish(running, "fed from outside").unwrap();
    }
}

#[test]
fn draining_finishes_every_shard_even_on_a_parked_core() {
    for (driver, strategy) in combinations() {
        let running = launch(&config(2, 3, driver, strategy), idle_until_drained()).unwrap();
        assert!(!running.wait_for(Duration::from_millis(5)), "it has no reason to end");
        running.stop(Stop::Drain);
        finish(running, &format!("drain, {driver:?}, {strategy:?}")).unwrap();
    }
}

#[test]
fn stopping_now_drops_every_shard_where_it_is() {
    for (driver, strategy) in combinations() {
        let token = Arc::new(());
        let held = token.clone();
        let build = fakes(move |_| {
            let held = held.clone();
            move |_, draining| {
                assert!(!draining && Arc::strong_count(&held) > 1);
                step(0, false, false)
            }
        });
        let running = launch(&config(2, 3, driver, strategy), build).unwrap();
        let stopper = running.stopper();
        let other = thread::spawn(move || stopper.stop(Stop::Now));
        finish(running, &format!("stop, {driver:?}, {strategy:?}")).unwrap();
        other.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1, "the shards are dropped before the job is over");
    }
}

#[test]
fn dropping_the_handle_stops_the_job() {
    let token = Arc::new(());
    let held = token.clone();
    let build = fakes(move |_| {
        let held = held.clone();
        move |_, _| step(Arc::strong_count(&held), true, false)
    });
    drop(launch(&config(2, 2, DriverKind::Threads, IdleStrategy::Park), build).unwrap());
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn a_panic_is_reported_with_its_place_and_stops_the_others() {
    for (driver, strategy) in combinations() {
        let line = line!() + 3;
        let build = fakes(|shard| {
            move |steps, _| match (shard.0, steps) {
                (2, 5) => panic!("no price for item {}", 17),
                // Shard 1 shares no core with shard 2 and would run for ever.
                _ => step(usize::from(shard.0 == 2), false, false),
            }
        });
        let running = launch(&config(2, 4, driver, strategy), build).unwrap();
        let error = finish(running, &format!("panic, {driver:?}, {strategy:?}")).unwrap_err();
        let RunError::Panic { shard, position, panicked } = &error else { panic!("{error}") };
        assert_eq!((shard.0, position.tick.0, position.operator.as_str()), (2, 5, "map #2"));
        assert_eq!(panicked.message, "no price for item 17");
        let location = panicked.location.as_deref().unwrap();
        assert!(location.contains(&format!("tests/it/drivers.rs:{line}:")), "{location}");
        let text = error.to_string();
        let expected = format!("shard 2 panicked at tick 5 in map #2: no price for item 17 ({location})");
        assert_eq!(text.lines().next(), Some(expected.as_str()));
    }
}

#[test]
fn a_fault_is_reported_and_stops_the_others() {
    let build = fakes(|shard| {
        move |steps, _| match (shard.0, steps) {
            (1, 3) => Err(Fault::External { shard, message: "the disk is full".to_owned() }),
            _ => step(usize::from(shard.0 == 1), false, false),
        }
    });
    let running = launch(&config(2, 2, DriverKind::Threads, IdleStrategy::Park), build).unwrap();
    let error = finish(running, "a fault").unwrap_err();
    assert_eq!(error.to_string(), "shard 1 failed at tick 3 in map #2: shard 1: the disk is full");
}

#[test]
fn a_panic_while_dropping_or_draining_ends_the_job_too() {
    struct Bad {
        when_drained: bool,
    }
    impl Duty for Bad {
        fn step(&mut self, _: pelton_core::ClockReading) -> Result<pelton_core::Step, Fault> {
            step(0, false, false)
        }
        fn drain(&mut self) {
            assert!(!self.when_drained, "cannot drain");
        }
        fn position(&self) -> pelton_runtime::Position {
            panic!("nobody knows")
        }
    }
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("cannot even be dropped");
        }
    }
    for when_drained in [true, false] {
        let build = Arc::new(move |_| Ok(Box::new(Bad { when_drained }) as Box<dyn Duty>));
        let running = launch(&config(2, 2, DriverKind::Threads, IdleStrategy::Park), build).unwrap();
        running.stop(Stop::Drain);
        if !when_drained {
            running.stop(Stop::Now);
        }
        let result = finish(running, "a bad shard");
        assert_eq!(result.is_err(), when_drained);
        if let Err(error) = result {
            assert!(error.to_string().contains("panicked at tick 0: cannot drain ("), "{error}");
        }
    }
}

#[test]
fn a_shard_that_cannot_be_built_lets_none_start() {
    for driver in [DriverKind::Threads, DriverKind::Glommio] {
        for panics in [false, true] {
            let fine = fakes(|_| |_, _| panic!("stepped although a shard is missing"));
            let build = Arc::new(move |shard: ShardId| match shard.0 {
                3 if panics => panic!("no such topic"),
                3 => Err(Fault::External { shard, message: "no such topic".to_owned() }),
                _ => fine(shard),
            });
            let error = launch(&config(2, 4, driver, IdleStrategy::Spin), build).unwrap_err();
            match &error {
                StartError::Build { shard: ShardId(3), .. } if !panics => {}
                StartError::BuildPanic { shard: ShardId(3), .. } if panics => {}
                other => panic!("{other}"),
            }
            let text = error.to_string();
            assert!(text.starts_with("shard 3 ") && text.contains("no such topic"), "{text}");
        }
    }
}

#[test]
fn impossible_shapes_are_refused() {
    for (cores, shards) in [(0, 2), (2, 0), (1, 70_000)] {
        let config = config(cores, shards, DriverKind::Threads, IdleStrategy::Park);
        let text = launch(&config, idle_until_drained()).unwrap_err().to_string();
        assert!(
            text.contains(&format!("{cores} cores")) && text.contains(&format!("{shards} shards")),
            "{text}"
        );
    }
}

#[test]
fn a_pinned_core_runs_on_its_cpu_only() {
    let cpu = core_affinity::get_core_ids().unwrap().last().unwrap().id;
    for driver in [DriverKind::Threads, DriverKind::Glommio] {
        let build = fakes(move |_| {
            let mask: Vec<_> = core_affinity::get_core_ids().unwrap().iter().map(|core| core.id).collect();
            assert_eq!(mask, [cpu]);
            |_, _| step(0, false, true)
        });
        let config = Config { cores: vec![cpu], pin: true, ..config(1, 2, driver, IdleStrategy::Park) };
        finish(launch(&config, build).unwrap(), "pinned").unwrap();
    }
}

#[test]
fn a_core_that_is_not_there_is_an_error_that_names_it() {
    for driver in [DriverKind::Threads, DriverKind::Glommio] {
        let config = Config { cores: vec![0, 900], pin: true, ..config(2, 2, driver, IdleStrategy::Park) };
        let text = launch(&config, idle_until_drained()).unwrap_err().to_string();
        assert!(
            text.starts_with("cannot pin a thread to CPU 900: ") && text.contains("pin = false"),
            "{text}"
        );
    }
}

/// glommio serves timers and sockets only when its reactor turns, which a task that never sleeps would prevent.
#[test]
fn timers_beside_an_idle_spinning_shard_fire_on_time() {
    const SLEEPS: u32 = 20;
    let cpu = core_affinity::get_core_ids().unwrap()[0].id;
    for pin in [false, true] {
        let begin = Instant::now();
        let build = fakes(|_| {
            let slept = Rc::new(Cell::new(0));
            let counter = slept.clone();
            // The shard is built inside the executor of its core.
            glommio::spawn_local(async move {
                while counter.get() < SLEEPS {
                    glommio::timer::sleep(Duration::from_millis(1)).await;
                    counter.set(counter.get() + 1);
                }
            })
            .detach();
            move |_, _| step(0, false, slept.get() == SLEEPS)
        });
        let config =
            Config { cores: vec![cpu], pin, ..config(1, 1, DriverKind::Glommio, IdleStrategy::Spin) };
        finish(launch(&config, build).unwrap(), "timers").unwrap();
        // Left to glommio's own preempt timer, each sleep would take 100 ms.
        assert!(begin.elapsed() < SLEEPS * Duration::from_millis(50), "pin {pin}: {:?}", begin.elapsed());
    }
}

/// Files that the process has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A service may start and stop jobs for as long as it lives.
#[test]
fn two_hundred_starts_leave_no_file_open() {
    if in_child("drivers::two_hundred_starts_leave_no_file_open") {
        return;
    }
    for (driver, pin) in
        [(DriverKind::Threads, false), (DriverKind::Glommio, false), (DriverKind::Glommio, true)]
    {
        let cpu = core_affinity::get_core_ids().unwrap()[0].id;
        let config = Config { cores: vec![cpu; 2], pin, ..config(2, 2, driver, IdleStrategy::Park) };
        let mut before = 0;
        for start in 0..200 {
            let running = launch(&config, idle_until_drained()).unwrap();
            // Now and then one that does not start at all, one that fails, and one that is dropped as it is.
            match start % 5 {
                0 => running.stop(Stop::Now),
                1 => drop(launch(&config, Arc::new(|shard| Err(no_topic(shard)))).unwrap_err()),
                2 => {
                    let fails = launch(&config, fakes(|shard| move |_, _| Err(no_topic(shard)))).unwrap();
                    finish(fails, "a job that fails").unwrap_err();
                }
                _ => {}
            }
            if start % 5 < 4 {
                running.stop(Stop::Drain);
                finish(running, "one of many").unwrap();
            } else {
                drop(running);
            }
            if start == 20 {
                before = open_files();
            }
        }
        assert!(open_files() <= before, "{driver:?}, pin {pin}: {before} files, now {}", open_files());
    }
}

fn no_topic(shard: ShardId) -> Fault {
    Fault::External { shard, message: "no such topic".to_owned() }
}

/// A job that runs beside another has threads of its own, and the next ones use all of them again.
#[test]
fn jobs_side_by_side_do_not_share_a_core_s_thread() {
    let threads = Arc::new(Mutex::new(Vec::new()));
    let seen = threads.clone();
    // Only what cores have that no other test of this process has, which leave threads behind and take them up as well.
    const OTHERS: u16 = 4;
    let build = fakes(move |shard| {
        if shard.0 >= OTHERS {
            seen.lock().unwrap().push(thread::current().id());
        }
        |_, draining| step(0, false, draining)
    });
    let config = Config { cores: vec![0; 7], ..config(7, 7, DriverKind::Glommio, IdleStrategy::Park) };
    let mut before = Vec::new();
    for _ in 0..3 {
        let jobs = [launch(&config, build.clone()).unwrap(), launch(&config, build.clone()).unwrap()];
        for running in jobs {
            running.stop(Stop::Drain);
            finish(running, "one of two").unwrap();
        }
        let mut now = std::mem::take(&mut *threads.lock().unwrap());
        now.sort_unstable_by_key(|id| format!("{id:?}"));
        now.dedup();
        assert_eq!(now.len(), 2 * (7 - usize::from(OTHERS)), "each core has one of its own");
        assert!(before.is_empty() || before == now, "and they are used again");
        before = now;
    }
}
