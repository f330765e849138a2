//! Services that send into jobs: from many threads, from the job itself, and with handles that get lost.

use pelton::config::{DriverKind, IdleStrategy};
use pelton::prelude::*;
use pelton::sources::{SendError, Sender};
use pelton::{JobError, Running};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

const LONG: Duration = Duration::from_secs(120);

fn config() -> Config {
    let mut config =
        Config { driver: DriverKind::Threads, pin: false, cores: vec![0, 0], shards: 2, ..Config::default() };
    config.idle.strategy = IdleStrategy::Park;
    config
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pelton-senders-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Scratch(path)
    }

    fn durable(&self) -> Config {
        Config { durability: Durability::Process, data: Some(self.0.clone()), ..config() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn end(running: Running) {
    assert!(running.wait_for(LONG), "the job hangs: {:?}", running.progress());
    running.wait().unwrap();
}

/// A job whose sink feeds its own source stands still if it may wait there: it is told so instead, and goes on.
#[test]
fn a_job_that_feeds_itself_is_told_instead_of_standing_still() {
    let (numbers, source) = channel::<u64>(4);
    let feedback: Arc<Mutex<Option<Sender<u64>>>> = Arc::new(Mutex::new(Some(numbers.clone())));
    let (refused, seen) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let (told, counted, back) = (refused.clone(), seen.clone(), feedback.clone());
    let sink = for_each(move |n: u64| {
        *counted.lock().unwrap() += 1;
        let Some(back) = &*back.lock().unwrap() else { return };
        for child in 0..if n == 0 { 10 } else { 0 } {
            match back.send(child + 1) {
                Ok(()) => {}
                Err(SendError::OnCore(record)) => {
                    assert!(matches!(back.try_send(record), Err(SendError::Full(_))));
                    *told.lock().unwrap() += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    });
    let running = Job::new("feedback").source(source).sink(sink).start_with(&config()).unwrap();
    for _ in 0..20 {
        numbers.send(0).unwrap();
    }
    drop(numbers);
    thread::sleep(Duration::from_millis(50));
    feedback.lock().unwrap().take();
    end(running);
    let (refused, seen) = (*refused.lock().unwrap(), *seen.lock().unwrap());
    assert!(refused > 0, "ten do not fit into four");
    assert_eq!(seen + refused, 20 + 200);
}

/// Whatever waits for the engine is refused in a function of the job, with the name of the call.
#[test]
fn calls_that_wait_for_the_job_are_refused_within_it() {
    let scratch = Scratch::new("calls");
    let (numbers, source) = inlet::<u64>(64);
    let (running, errors): (Arc<OnceLock<Running>>, Arc<Mutex<Vec<JobError>>>) = Default::default();
    let (of_job, heard) = (running.clone(), errors.clone());
    let sink = for_each(move |n: u64| {
        let Some(running) = of_job.get().filter(|_| n == 1) else { return };
        let mut heard = heard.lock().unwrap();
        heard.push(running.checkpoint(None).unwrap_err());
        heard.push(running.move_groups(0..=1, 0).unwrap_err());
        heard.push(running.rebalance().unwrap_err());
    });
    let started = Job::new("calls").source(source).sink(sink).start_with(&scratch.durable()).unwrap();
    running.set(started).unwrap();
    let mut producer = numbers.producer("a").unwrap();
    producer.send(1).unwrap();
    let began = std::time::Instant::now();
    while errors.lock().unwrap().len() < 3 {
        assert!(began.elapsed() < LONG, "a call waits");
        thread::sleep(Duration::from_millis(1));
    }
    let texts: Vec<String> = errors.lock().unwrap().iter().map(ToString::to_string).collect();
    for (text, call) in texts.iter().zip(["`checkpoint`", "`move_groups`", "`rebalance`"]) {
        assert!(text.starts_with(call) && text.contains("on another thread"), "{text}");
    }
    running.get().unwrap().checkpoint(None).unwrap();
}

/// A service that panics, or loses its handle, has not ended its input: the next run goes on. Closing does, for good.
#[test]
fn only_closing_ends_the_input_of_a_durable_job() {
    let scratch = Scratch::new("ends");
    let rows = collect();
    for run in 0..12u64 {
        let (numbers, source) = inlet::<u64>(64);
        let running =
            Job::new("ends").source(source).sink(rows.clone()).start_with(&scratch.durable()).unwrap();
        let mut producer = numbers.producer("a").unwrap();
        assert_eq!(producer.next_sequence(), Ok(run + 1));
        producer.send(run).unwrap();
        producer.wait_acknowledged(run + 1, LONG).unwrap();
        match run % 3 {
            0 => drop((numbers, producer)),
            1 => drop(
                thread::spawn(move || {
                    let _held = (numbers, producer);
                    panic!("of the service");
                })
                .join()
                .unwrap_err(),
            ),
            _ => {
                drop(producer);
                let (_, nobody) = (numbers, 0);
                assert_eq!(nobody, 0);
            }
        }
        assert!(!running.wait_for(Duration::from_millis(20)), "nothing has ended");
        running.stop(Stop::Now);
        end(running);
    }
    for closed in [false, true] {
        let (numbers, source) = inlet::<u64>(64);
        let running =
            Job::new("ends").source(source).sink(rows.clone()).start_with(&scratch.durable()).unwrap();
        if closed {
            assert_eq!(numbers.producer("a").err(), Some(InletError::Closed), "it is at its end");
        } else {
            assert_eq!(numbers.producer("a").unwrap().send(12), Ok(13));
            numbers.close();
        }
        end(running);
    }
    let mut seen = rows.take();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..13).collect::<Vec<u64>>());
}

/// Clones of a sender on many threads, a queue that is full most of the time, and threads that share one: all comes, in the order of each.
#[test]
fn a_channel_takes_all_that_many_threads_send() {
    const THREADS: u64 = 90;
    const RECORDS: u64 = 500;
    for shared in [false, true] {
        let (numbers, source) = channel::<(u64, u64)>(3);
        let rows = collect();
        let running = Job::new("threads").source(source).sink(rows.clone()).start_with(&config()).unwrap();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let own = if shared { None } else { Some(numbers.clone()) };
                let numbers = &numbers;
                scope.spawn(move || {
                    let sender = own.as_ref().unwrap_or(numbers);
                    (0..RECORDS).for_each(|n| sender.send((thread, n)).unwrap());
                });
            }
        });
        drop(numbers);
        end(running);
        let mut last = vec![0; THREADS as usize];
        for (thread, n) in rows.take() {
            assert_eq!(n, last[thread as usize], "of thread {thread}");
            last[thread as usize] += 1;
        }
        assert!(last.iter().all(|last| *last == RECORDS));
    }
}
