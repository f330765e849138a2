//! Jobs with durability on one thread and a machine in memory: restarts of the machine, drains, and disks that fail.

use crate::JobError;
use crate::prelude::*;
use crate::sinks::Collect;
use crate::sinks::{Sink, SinkWriter};
use crate::sources::{Inlet, inlet};
use pelton_core::sink::SinkNotes;
use pelton_core::stage::wiring::Sizes;
use pelton_core::state::memory::{HeapMemory, Memory};
use pelton_core::{Fault, Nanos, ShardId, Tick, TickBudget};
use pelton_runtime::Duty as _;
use pelton_runtime::durability::{CoordinatorOptions, DurabilityOptions, Harness, Opened, Request, restore};
use pelton_storage::Durability;
use pelton_storage::disk::{Crash, Disk, Faults, Simulated};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

const SHARDS: u16 = 2;
const SEGMENT_BYTES: u64 = 64 << 10;
const IDLE_NANOS: u64 = 1_000;

/// An inlet's numbers, as they are.
fn job() -> (Inlet<u64>, Job, Collect<u64>) {
    let ((numbers, source), rows) = (inlet(100_000), collect());
    (numbers, Job::new("numbers").source(source).rebalance().map(|n: u64| n).sink(rows.clone()), rows)
}

fn options(durability: Durability) -> DurabilityOptions {
    DurabilityOptions {
        durability,
        shards: SHARDS,
        segment_bytes: SEGMENT_BYTES,
        hash_ticks: 0,
        restore: None,
        drop_state: Vec::new(),
        log_id: 7,
        configuration: BTreeMap::new(),
    }
}

fn coordinator() -> CoordinatorOptions {
    CoordinatorOptions { interval_ns: 0, balance_ns: 0, keep: 2, now: || "now".to_owned() }
}

/// A run of the job, and the clock of the machine.
struct Run {
    harness: Harness,
    now: u64,
    /// The directory is locked as long as this lives.
    _opened: Opened,
}

impl Run {
    fn begin(job: &Job, disk: &Simulated, durability: Durability, now: u64) -> Result<Self, JobError> {
        let plan = job.plan();
        let blueprint = plan.blueprint();
        let shape = blueprint.shape(usize::from(SHARDS), 64);
        let memory: Arc<dyn Memory> = Arc::new(HeapMemory);
        let tick =
            TickBudget { records_max: 64, interval_idle_nanos: IDLE_NANOS, interval_busy_nanos: IDLE_NANOS };
        let sizes =
            Sizes { shards: SHARDS, key_groups: 64, ring_bytes: 64 << 10, tick, tick_bytes_max: 1 << 20 };
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = Opened::open(&disk, Path::new("/data/job"), &shape, options(durability))?;
        restore::begin(opened, |mut opened, checkpoint| {
            let harness =
                Harness::build(&blueprint, &sizes, &memory, &mut opened, checkpoint, false, coordinator());
            let harness = harness.map_err(|error| Box::new((error, None)))?;
            Ok(Run { harness, now, _opened: opened })
        })
    }

    /// A few steps of everything.
    fn step(&mut self) -> Result<(), JobError> {
        for _ in 0..20 {
            self.now += IDLE_NANOS;
            self.harness.coordinator.turn(self.now);
            for shard in 0..usize::from(SHARDS) {
                self.harness.step(shard, Nanos(self.now).into()).map_err(JobError::Fault)?;
            }
        }
        Ok(())
    }

    /// Steps until that is so.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Harness) -> bool) -> Result<(), JobError> {
        for _ in 0..5_000 {
            if is_so(&mut self.harness) {
                return Ok(());
            }
            self.step()?;
        }
        panic!("it never came about: {what}");
    }

    /// Steps until so many rows have been shown; those, in order.
    fn shown(&mut self, rows: &Collect<u64>, count: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        self.until("rows", |_| {
            seen.extend(rows.take());
            seen.len() as u64 >= count
        })
        .unwrap();
        seen.sort_unstable();
        seen
    }
}

/// `process` does not promise that what was acknowledged outlives the machine, and the job goes on without; but it says so.
#[test]
fn a_machine_that_was_lost_with_acknowledged_input_is_told_of() {
    for suspended in [false, true] {
        let disk = Simulated::new(1, Faults::default());
        let (numbers, job, rows) = job();
        let mut run = Run::begin(&job, &disk, Durability::Process, 0).unwrap();
        assert_eq!(run.harness.mailbox.said(), [""; 0], "nothing was there before");
        run.until("live", |_| numbers.is_recovered()).unwrap();
        let mut a = numbers.producer("a").unwrap();
        for n in 1..=100 {
            a.send(n).unwrap();
        }
        run.until("acknowledged", |_| a.acknowledged() == 100).unwrap();
        if suspended {
            suspend(&mut run).unwrap();
        }
        drop((a, run));
        if !suspended {
            disk.crash(Crash::Process);
            let run = Run::begin(&job, &disk, Durability::Process, 1).unwrap();
            assert_eq!(run.harness.mailbox.said(), [""; 0], "the machine is the same");
        }
        disk.crash(Crash::Power);
        let run = Run::begin(&job, &disk, Durability::Process, 2).unwrap();
        let said = run.harness.mailbox.said();
        match suspended {
            true => assert_eq!(said, [""; 0], "nothing was in memory only"),
            false => {
                assert!(said[0].starts_with("the machine was restarted since the job last ran"), "{said:?}")
            }
        }
        drop((run, rows));
    }
}

/// The clock of a machine begins anew when it restarts, and ticks go on all the same.
#[test]
fn a_restart_of_the_machine_is_none_of_the_log() {
    let disk = Simulated::new(1, Faults::default());
    let (numbers, job, rows) = job();
    // It had been running for a month.
    let mut run = Run::begin(&job, &disk, Durability::Disk, 30 * 86_400 * 1_000_000_000).unwrap();
    run.until("live", |_| numbers.is_recovered()).unwrap();
    let mut a = numbers.producer("a").unwrap();
    for n in 1..=100 {
        a.send(n).unwrap();
    }
    run.until("acknowledged", |_| a.acknowledged() == 100).unwrap();
    drop((a, run));
    disk.crash(Crash::Power);
    rows.take();

    let mut run = Run::begin(&job, &disk, Durability::Disk, 5).unwrap();
    run.until("live", |_| numbers.is_recovered()).unwrap();
    let mut a = numbers.producer("a").unwrap();
    assert_eq!(a.send(101), Ok(101));
    run.until("new input", |_| a.acknowledged() == 101).unwrap();
    assert!(run.now < 1_000_000_000, "within a moment, not in a month");
    assert_eq!(run.shown(&rows, 101), (1..=101).collect::<Vec<u64>>());
}

/// Told to end while it still takes in again what was logged, a job does that first, and loses nothing.
#[test]
fn a_drain_during_the_replay_comes_after_it() {
    let disk = Simulated::new(2, Faults::default());
    let (numbers, job, rows) = job();
    let mut run = Run::begin(&job, &disk, Durability::Disk, 1).unwrap();
    run.until("live", |_| numbers.is_recovered()).unwrap();
    let mut a = numbers.producer("a").unwrap();
    for n in 1..=5_000 {
        a.send(n).unwrap();
    }
    run.until("acknowledged", |_| a.acknowledged() == 5_000).unwrap();
    drop((a, run));
    disk.crash(Crash::Power);
    rows.take();

    let mut run = Run::begin(&job, &disk, Durability::Disk, 1).unwrap();
    for durable_shard in run.harness.durable_shards.iter_mut().flatten() {
        assert!(!durable_shard.shard().is_live());
        durable_shard.drain();
    }
    run.until("the end", |harness| harness.is_finished()).unwrap();
    let mut seen = rows.take();
    seen.sort_unstable();
    assert_eq!(seen, (1..=5_000).collect::<Vec<u64>>());
}

/// Suspends every shard, and steps until all have closed their logs.
fn suspend(run: &mut Run) -> Result<(), JobError> {
    for durable_shard in run.harness.durable_shards.iter_mut().flatten() {
        assert!(durable_shard.suspend());
    }
    run.until("suspended", |harness| harness.is_finished())?;
    assert!(run.harness.mailbox.all_closed());
    run.harness.coordinator.finish().map_err(|error| JobError::Storage(error.to_string()))
}

/// A suspended job is wholly on the disk: without its rings, on a machine that was restarted, with another durability it goes on with all
/// that it accepted, acknowledged or not, and replays nothing.
#[test]
fn a_suspended_job_goes_on_on_a_machine_that_was_restarted() {
    let modes = [Durability::Process, Durability::Disk];
    for (before, after) in modes.into_iter().flat_map(|before| modes.map(|after| (before, after))) {
        let disk = Simulated::new(5, Faults::default());
        let (numbers, job, rows) = job();
        let mut run = Run::begin(&job, &disk, before, 1).unwrap();
        run.until("live", |_| numbers.is_recovered()).unwrap();
        let mut a = numbers.producer("a").unwrap();
        for n in 1..=20 {
            a.send(n).unwrap();
        }
        run.until("acknowledged", |_| a.acknowledged() == 20).unwrap();
        for n in 21..=4_000 {
            a.send(n).unwrap();
        }
        assert!(a.acknowledged() < 4_000);
        suspend(&mut run).unwrap();
        assert_eq!(a.acknowledged(), 4_000, "what was accepted is in the log");
        assert_eq!(a.send(4_001), Err(crate::sources::InletError::Closed));
        let mut seen = rows.take();
        seen.sort_unstable();
        assert_eq!(seen, (1..=4_000).collect::<Vec<u64>>(), "and shown");
        let manifest = run.harness.coordinator.manifest().clone();
        assert!(manifest.clean && manifest.checkpoints.len() == 1, "{manifest:?}");
        drop((a, run));
        disk.crash(Crash::Power);

        let mut run = Run::begin(&job, &disk, after, 1).unwrap();
        run.until("live", |_| numbers.is_recovered()).unwrap();
        let mut a = numbers.producer("a").unwrap();
        assert_eq!(a.next_sequence(), Ok(4_001));
        assert_eq!(
            run.harness.mailbox.last_recovered(),
            Tick(manifest.checkpoints[0].tick),
            "nothing is behind it"
        );
        a.send(4_001).unwrap();
        assert_eq!(run.shown(&rows, 1), [4_001], "nothing is shown again");
    }
}

/// Whenever the process is killed while it is being suspended, between two steps or between two operations of the disk, the next start goes on
/// as after any other kill.
#[test]
fn a_suspension_that_is_cut_short_is_a_kill() {
    for durability in [Durability::Process, Durability::Disk] {
        let mut ends = BTreeMap::new();
        for cut in 0..160 {
            let disk = Simulated::new(6 + cut, Faults::default());
            let (numbers, job, rows) = job();
            let mut run = Run::begin(&job, &disk, durability, 1).unwrap();
            run.until("live", |_| numbers.is_recovered()).unwrap();
            let mut a = numbers.producer("a").unwrap();
            for n in 1..=500 {
                a.send(n).unwrap();
            }
            run.until("acknowledged", |_| a.acknowledged() == 500).unwrap();
            for n in 501..=700 {
                a.send(n).unwrap();
            }
            disk.stop_after(cut);
            let suspended = suspend(&mut run);
            *ends.entry(suspended.is_ok()).or_insert(0) += 1;
            let acknowledged = a.acknowledged();
            let mut shown = rows.take();
            drop((a, run));
            disk.crash(if durability == Durability::Disk { Crash::Power } else { Crash::Process });

            let mut run = Run::begin(&job, &disk, durability, 1).unwrap();
            run.until("live", |_| numbers.is_recovered()).unwrap();
            let mut a = numbers.producer("a").unwrap();
            let known = a.next_sequence().unwrap() - 1;
            assert!((acknowledged..=700).contains(&known), "cut {cut}: {known} of {acknowledged}");
            for n in known + 1..=701 {
                a.send(n).unwrap();
            }
            run.until("all", |_| {
                shown.extend(rows.take());
                shown.contains(&701)
            })
            .unwrap();
            shown.sort_unstable();
            shown.dedup();
            assert_eq!(shown, (1..=701).collect::<Vec<u64>>(), "cut {cut}");
        }
        assert!(ends.len() == 2, "some are cut short and some are not: {ends:?}");
    }
}

/// A shard that does not come to rest does not keep the others from closing their logs, and the time for that is bounded.
#[test]
fn a_suspension_does_not_wait_for_ever() {
    let disk = Simulated::new(7, Faults::default());
    let (numbers, job, rows) = job();
    let mut run = Run::begin(&job, &disk, Durability::Process, 1).unwrap();
    run.until("live", |_| numbers.is_recovered()).unwrap();
    let mut a = numbers.producer("a").unwrap();
    for n in 1..=100 {
        a.send(n).unwrap();
    }
    run.until("acknowledged", |_| a.acknowledged() == 100).unwrap();
    // Only one of them is told.
    assert!(run.harness.durable_shards[0].as_mut().unwrap().suspend());
    for _ in 0..10 {
        run.step().unwrap();
        assert!(!run.harness.is_finished());
    }
    let waiting = run.harness.mailbox.command(Request::Checkpoint(None));
    run.now += 9_000_000_000;
    run.until("closed", |harness| harness.is_finished()).unwrap();
    assert!(waiting.get().is_some_and(|answer| answer.unwrap_err().contains("is being suspended")));
    run.harness.coordinator.finish().unwrap();
    assert!(run.harness.coordinator.manifest().checkpoints.is_empty(), "there was no time for one");
    drop((a, run));
    rows.take();
    disk.crash(Crash::Power);
    let mut run = Run::begin(&job, &disk, Durability::Disk, 1).unwrap();
    assert_eq!(run.shown(&rows, 100), (1..=100).collect::<Vec<u64>>(), "replayed");
}

/// A checkpoint that waits for a shard says for which, and since when; whoever asked for it hears when that shard is gone.
#[test]
fn a_checkpoint_says_whom_it_waits_for() {
    let disk = Simulated::new(9, Faults::default());
    let (numbers, job, _rows) = job();
    let mut run = Run::begin(&job, &disk, Durability::Process, 1).unwrap();
    run.until("live", |harness| harness.mailbox.all_live() && numbers.is_recovered()).unwrap();
    assert_eq!(run.harness.mailbox.under_way(), None);
    let (begun, asked) = (run.now + 1, run.harness.mailbox.command(Request::Checkpoint(None)));
    for _ in 0..2_000 {
        run.now += 1;
        run.harness.coordinator.turn(run.now);
        run.harness.step(0, Nanos(run.now).into()).unwrap();
    }
    let under_way = run.harness.mailbox.under_way().unwrap();
    assert_eq!((under_way.begun, under_way.waits_for.last()), (begun, Some(&ShardId(1))));
    assert!(asked.get().is_none());
    drop(run.harness.durable_shards[1].take());
    run.harness.coordinator.turn(run.now);
    assert!(asked.get().unwrap().unwrap_err().contains("came to its end"));
    assert_eq!(run.harness.mailbox.under_way(), None);
    let next = run.harness.mailbox.command(Request::Checkpoint(None));
    run.harness.coordinator.turn(run.now);
    assert!(next.get().unwrap().is_err(), "of a job whose shards are going");
}

/// Key groups are asked to move at every moment of a job that comes to its end. They move, or it is said that they do not; the job ends well, with
/// every row once.
#[test]
fn a_move_that_comes_too_late_is_refused_and_ends_no_job() {
    const KEYS: u64 = 10_000;
    let (mut moved, mut refused) = (0, 0);
    for delay in 0..80 {
        let disk = Simulated::new(11, Faults::default());
        let ((numbers, source), rows) = (inlet(100_000), collect());
        let job = Job::new("counts")
            .source(source)
            .event_time(|n: &u64| EventTime::from_nanos(*n as i64), in_order())
            .key_by(|n| *n)
            .window(tumbling(secs(1)))
            .count()
            .map(|row| row.key)
            .sink(rows.clone());
        let mut run = Run::begin(&job, &disk, Durability::Process, 1).unwrap();
        run.until("live", |harness| harness.mailbox.all_live() && numbers.is_recovered()).unwrap();
        let mut a = numbers.producer("a").unwrap();
        for n in 0..KEYS {
            a.send(n).unwrap();
        }
        run.until("taken in", |_| a.acknowledged() == KEYS).unwrap();
        drop(a);
        numbers.close();
        let mut asked = None;
        for step in 0.. {
            assert!(step < 100_000, "delay {delay}: it does not end");
            if run.harness.is_finished() {
                break;
            }
            if step == delay {
                let request = Request::Move { first: 0, last: 31, shard: 1 };
                asked = Some(run.harness.mailbox.command(request));
            }
            // The second shard is slow, and so is the coordinator now and then.
            run.now += IDLE_NANOS;
            if step % (1 + delay % 3) == 0 {
                run.harness.coordinator.turn(run.now);
            }
            run.harness.step(0, Nanos(run.now).into()).unwrap();
            if step % 7 == 0 {
                run.harness.step(1, Nanos(run.now).into()).unwrap();
            }
            assert_eq!(run.harness.mailbox.failure(), None, "delay {delay}");
        }
        // Whoever reported last has not been heard yet.
        run.harness.coordinator.turn(run.now);
        match asked.and_then(|asked| asked.get()) {
            Some(Ok(done)) => moved += u32::from(done.moved > 0),
            Some(Err(why)) => refused += u32::from(why.contains("nothing has moved")),
            None => {}
        }
        let mut keys = rows.take();
        keys.sort_unstable();
        assert_eq!(keys, (0..KEYS).collect::<Vec<u64>>(), "delay {delay}");
    }
    assert!(moved > 5 && refused > 5, "{moved} moved, {refused} refused");
}

/// What producers sent before a drain is taken in before the input ends.
#[test]
fn a_drain_takes_in_what_was_accepted() {
    let disk = Simulated::new(8, Faults::default());
    let (numbers, job, rows) = job();
    let mut run = Run::begin(&job, &disk, Durability::Disk, 1).unwrap();
    run.until("live", |_| numbers.is_recovered()).unwrap();
    let mut a = numbers.producer("a").unwrap();
    for n in 1..=4_000 {
        a.send(n).unwrap();
    }
    run.harness.durable_shards.iter_mut().flatten().for_each(|durable_shard| durable_shard.drain());
    run.until("the end", |harness| harness.is_finished()).unwrap();
    assert_eq!(a.acknowledged(), 4_000);
    assert_eq!(a.send(4_001), Err(crate::sources::InletError::Closed));
    let mut seen = rows.take();
    seen.sort_unstable();
    assert_eq!(seen, (1..=4_000).collect::<Vec<u64>>());
}

/// After a write or a sync that failed the job stops, says so, and acknowledges nothing; on a sound disk it goes on with all that it
/// acknowledged.
#[test]
fn a_disk_that_fails_ends_the_job_and_loses_nothing() {
    let faults = [
        ("sync_error", Faults { sync_error: 1_000, ..Faults::default() }, "Input/output error"),
        ("write_error", Faults { write_error: 1_000, ..Faults::default() }, "Input/output error"),
        ("full", Faults { full_at_bytes: Some(1), ..Faults::default() }, "no space left"),
    ];
    for (number, (what, faults, about)) in faults.into_iter().enumerate() {
        let disk = Simulated::new(number as u64, Faults::default());
        let (numbers, job, rows) = job();
        let mut run = Run::begin(&job, &disk, Durability::Disk, 1).unwrap();
        run.until("live", |_| numbers.is_recovered()).unwrap();
        let mut a = numbers.producer("a").unwrap();
        for n in 1..=1_000 {
            a.send(n).unwrap();
        }
        run.until("acknowledged", |_| a.acknowledged() == 1_000).unwrap();
        assert_eq!(run.shown(&rows, 1_000), (1..=1_000).collect::<Vec<u64>>());
        disk.set_faults(faults);
        let mut sent = 1_000;
        let error = loop {
            sent += 1;
            a.send(sent).unwrap();
            match run.step() {
                Ok(()) => assert!(sent < 100_000, "{what}: it notices"),
                Err(error) => break error,
            }
        };
        let error = error.to_string();
        assert!(error.contains(about), "{what}: {error}");
        // What fitted into the segment in hand may have been taken in before the disk was full.
        let acknowledged = a.acknowledged();
        assert!(acknowledged == 1_000 || what == "full", "{what}: {acknowledged} of {sent} acknowledged");
        let again = run.step().unwrap_err().to_string();
        assert!(again.contains(about), "nothing is tried again: {again}");
        assert_eq!(a.acknowledged(), acknowledged);
        assert!(rows.take().iter().all(|n| *n <= acknowledged), "{what}: nothing is shown that may be lost");
        drop((a, run));

        disk.set_faults(Faults::default());
        disk.crash(Crash::Power);
        let mut run = Run::begin(&job, &disk, Durability::Disk, 1).unwrap();
        run.until("live", |_| numbers.is_recovered()).unwrap();
        let a = numbers.producer("a").unwrap();
        let known = a.next_sequence().unwrap() - 1;
        assert!((acknowledged..=sent).contains(&known), "{what}: {known} of {acknowledged} to {sent}");
        assert_eq!(run.shown(&rows, known), (1..=known).collect::<Vec<u64>>(), "{what}");
    }
}

/// What the log holds is flushed when somebody waits for it, on whatever shard, and a little later when nobody does.
#[test]
fn logs_are_flushed_when_somebody_waits() {
    let disk = Simulated::new(3, Faults::default());
    let (source, rows) = (generate(|w, of| (w as u64..1 << 20).step_by(of)).partitions(2), collect());
    let job = Job::new("rare");
    let _ = job
        .source(source)
        .event_time(|n| EventTime::from_millis(*n as i64), in_order())
        .key_by(|n| n % 8)
        .window(tumbling(secs(10)))
        .count()
        .map(|row: Windowed<u64, u64>| row.value)
        .sink(rows.clone());
    let mut run = Run::begin(&job, &disk, Durability::Disk, 1).unwrap();
    run.until("live", |harness| harness.mailbox.all_live()).unwrap();
    let begun = run.now;
    // The clock stands still, but for ticks to be made.
    let quietly = |run: &mut Run, steps: u64| {
        for _ in 0..steps {
            run.now += IDLE_NANOS;
            for shard in 0..usize::from(SHARDS) {
                run.harness.step(shard, Nanos(run.now).into()).unwrap();
            }
        }
        (run.harness.mailbox.durable_through(), rows.take().len())
    };
    let (before, _) = quietly(&mut run, 1);
    let (durable_through, shown) = quietly(&mut run, 40);
    assert_eq!((durable_through, shown), (before, 0), "nobody waits, and no millisecond is over");
    // 10,000 numbers are a window: 79 ticks of 64 on each of two shards.
    let (durable_through, shown) = quietly(&mut run, 50);
    assert!(run.now - begun < 900_000, "still within a millisecond: {}", run.now - begun);
    assert!(
        durable_through > before && shown == 8,
        "{shown} rows are shown, and the log through {durable_through:?}"
    );
    let window = durable_through;
    let (durable_through, shown) = quietly(&mut run, 20);
    assert_eq!((durable_through, shown), (window, 0), "nobody waits again");
    run.now += 1_000_000;
    let (durable_through, shown) = quietly(&mut run, 10);
    assert!(durable_through > window && shown == 0, "what nobody waits for is flushed by now");
}

/// Writes nothing, and notes through which tick it was shown rows.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Vec<Tick>>>);

struct NotingWriter {
    sink: Noting,
    shown: Tick,
}

impl Sink<u64> for Noting {
    type Writer = NotingWriter;

    fn open(&self, _: ShardId) -> NotingWriter {
        NotingWriter { sink: self.clone(), shown: Tick(0) }
    }
}

impl SinkWriter<u64> for NotingWriter {
    fn write(&mut self, _: EventTime, _: u64) {}

    fn commit(&mut self, tick: Tick) -> Result<(), Fault> {
        self.shown = tick;
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn note(&mut self, _: &mut SinkNotes) -> Result<(), Fault> {
        self.sink.0.lock().unwrap().push(self.shown);
        Ok(())
    }
}

/// A shard whose input has ended holds back nobody's clock, so others may be beyond a checkpoint before it has heard of it. Its sinks
/// are shown no row behind the checkpoint before they have noted what they keep.
#[test]
fn sinks_note_nothing_behind_a_checkpoint() {
    let (disk, sink) = (Simulated::new(4, Faults::default()), Noting::default());
    // One partition, so that the second shard's input ends at once.
    let source = generate(|w, of| (w as u64..1 << 20).step_by(of)).partitions(1);
    let job = Job::new("noting");
    let _ = job.source(source).rebalance().map(|n: u64| n).sink(sink.clone());
    let mut run = Run::begin(&job, &disk, Durability::Process, 1).unwrap();
    run.until("live", |harness| harness.mailbox.all_live()).unwrap();
    run.harness.mailbox.command(Request::Checkpoint(None));
    for _ in 0..400 {
        run.now += IDLE_NANOS;
        run.harness.coordinator.turn(run.now);
        run.harness.step(0, Nanos(run.now).into()).unwrap();
    }
    run.until("the checkpoint", |harness| !harness.coordinator.manifest().checkpoints.is_empty()).unwrap();
    let tick = Tick(run.harness.coordinator.manifest().checkpoints[0].tick);
    let noted = sink.0.lock().unwrap().clone();
    assert_eq!(noted.len(), usize::from(SHARDS));
    assert!(noted.iter().all(|shown| *shown <= tick), "{noted:?} at a checkpoint at {tick:?}");
}
