//! What happens when something goes wrong, by no mistake of the engine: a clean report, at once, and never a hang.

use pelton::config::{DriverKind, TickConfig};
use pelton::prelude::*;
use pelton::{EventTime, Fault, JobError, RunError};

fn config(memory_bytes: u64) -> Config {
    let defaults = Config::default();
    let ring_bytes = 16 * 1024;
    let tick = TickConfig { bytes_max: ring_bytes / 4, records_max: 256, ..defaults.tick };
    let cores = vec![defaults.cores[0]];
    Config {
        cores,
        shards: 2,
        ring_bytes,
        tick,
        memory_bytes,
        driver: DriverKind::Threads,
        pin: false,
        ..defaults
    }
}

const ROOMY: u64 = 1 << 30;

fn numbers()
-> pelton::sources::Generate<impl Fn(usize, usize) -> std::ops::RangeFrom<u64> + Clone + Send + Sync> {
    generate(|_, _| 0u64..)
}

fn time(n: &u64) -> EventTime {
    EventTime(*n as i64)
}

/// The job runs out of memory in the middle, and says so.
fn refused(job: &Job) {
    match job.run_with(&config(4 << 20)) {
        Err(JobError::Run(RunError::Fault { fault: Fault::OutOfMemory(error), position, .. })) => {
            assert_eq!(error.limit, 4 << 20);
            assert!(
                error.asked > 0 && position.tick.0 > 0 && !position.operator.is_empty(),
                "{error} {position}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_that_outgrows_the_memory_limit_is_a_fault() {
    let windows = numbers().clone();
    refused(
        &Job::new("keys")
            .source(windows)
            .event_time(time, in_order())
            .key_by(|n| *n)
            .window(tumbling(secs(1_000_000)))
            .count()
            .sink(for_each(|_| ())),
    );
}

#[test]
fn open_panes_that_outgrow_the_memory_limit_are_a_fault() {
    refused(
        &Job::new("panes")
            .source(numbers())
            .event_time(time, out_of_order(secs(1_000_000)))
            .key_by(|n| n % 2)
            .window(tumbling(Duration::from_nanos(10)))
            .count()
            .sink(for_each(|_| ())),
    );
}

#[test]
fn one_record_that_becomes_too_many_is_a_fault() {
    refused(
        &Job::new("explosion")
            .source(numbers())
            .flat_map(|n| {
                (0..1u64 << 40)
                    .map(move |m| n ^ m)
                    .take(if n == 1_000 { usize::MAX } else { 1 })
                    .take(10_000_000)
            })
            .rebalance()
            .sink(for_each(|_| ())),
    );
}

#[test]
fn a_record_that_is_too_long_is_a_fault() {
    refused(
        &Job::new("long")
            .source(numbers())
            .map(|n| "x".repeat(if n == 1_000 { 10_000_000 } else { 10 }))
            .rebalance()
            .sink(for_each(|_| ())),
    );
}

/// A stage that makes more than the next can take waits for it, within the memory that the job was given.
#[test]
fn a_slow_stage_holds_back_those_before_it() {
    let total = fold(0u64, |sum, n| *sum += n, |a, b| a + b);
    let job = Job::new("slow")
        .source(generate(|_, _| 0..40_000u64))
        .rebalance()
        .flat_map(|n| (0..40).map(move |_| n))
        .rebalance()
        .flat_map(|n| (0..2).map(move |_| n))
        .rebalance()
        .sink(total.clone());
    job.run_with(&config(6 << 20)).unwrap();
    assert_eq!(total.take(), 2 * 80 * (40_000 * 39_999 / 2));
}

/// The job panics, and the report says where.
fn panics(job: &Job, operator: &str) {
    match job.run_with(&config(ROOMY)) {
        Err(JobError::Run(RunError::Panic { position, panicked, .. })) => {
            assert_eq!(panicked.message, "user code");
            assert!(panicked.location.unwrap().contains("faults.rs"));
            assert!(position.tick.0 > 0);
            assert_eq!(position.operator, operator);
        }
        other => panic!("{other:?}"),
    }
}

fn fails(n: u64) -> u64 {
    if n == 5_000 { panic!("user code") } else { n }
}

#[test]
fn a_panic_is_reported_with_its_operator() {
    panics(&Job::new("source").source(numbers().clone()).map(fails).sink(for_each(|_| ())), "source 0");
    panics(
        &Job::new("behind").source(numbers()).rebalance().map(fails).sink(for_each(|_| ())),
        "source 0 > rebalance",
    );
    panics(
        &Job::new("named").source(numbers()).named("numbers").rebalance().map(fails).sink(for_each(|_| ())),
        "numbers > rebalance",
    );
    panics(
        &Job::new("sink").source(numbers()).rebalance().sink(for_each(|n| {
            fails(n);
        })),
        "sink of `source 0 > rebalance`",
    );
    let windows = |name: &str| Job::new(name).source(numbers()).event_time(time, in_order());
    panics(
        &windows("item")
            .key_by(|n| n % 10)
            .window(tumbling(Duration::from_nanos(100)))
            .sum(|n| fails(*n))
            .sink(for_each(|_| ())),
        "source 0",
    );
    panics(
        &windows("key")
            .rebalance()
            .key_by(|n| fails(*n))
            .window(tumbling(Duration::from_nanos(100)))
            .count()
            .sink(for_each(|_| ())),
        "source 0 > event_time > rebalance",
    );
    panics(
        &windows("row")
            .key_by(|_| ())
            .window(tumbling(Duration::from_nanos(100)))
            .count()
            .map(|row| fails(if row.window.start.0 > 5_000 { 5_000 } else { 0 }))
            .sink(for_each(|_| ())),
        "source 0 > event_time > window",
    );
    let (left, right) = Job::new("fork").source(numbers()).fork();
    let _ = left.sink(for_each(|_| ()));
    panics(&right.map(fails).sink(for_each(|_| ())), "source 0 > right");
}

/// Fails as it is told to, in a call that comes once in a tick or once in a run.
#[derive(Clone)]
struct Faulty {
    call: &'static str,
    panics: bool,
}

impl Faulty {
    fn called(&self, call: &str, due: bool) -> Result<(), Fault> {
        match due && call == self.call {
            true if self.panics => panic!("user code"),
            true => Err(Fault::External { shard: pelton::ShardId(0), message: "no more room".to_owned() }),
            false => Ok(()),
        }
    }
}

struct FaultyWriter(Faulty, u64);

impl pelton::sinks::Sink<u64> for Faulty {
    type Writer = FaultyWriter;
    fn open(&self, _: pelton::ShardId) -> FaultyWriter {
        FaultyWriter(self.clone(), 0)
    }
}

impl pelton::sinks::SinkWriter<u64> for FaultyWriter {
    fn write(&mut self, _: EventTime, row: u64) {
        self.1 = self.1.max(row);
    }
    fn commit(&mut self, _: pelton::Tick) -> Result<(), Fault> {
        self.0.called("commit", self.1 > 5_000)
    }
    fn flush(&mut self) -> Result<(), Fault> {
        self.0.called("flush", self.1 > 5_000)
    }
    fn close(&mut self) -> Result<(), Fault> {
        self.0.called("close", true)
    }
}

/// Whatever call of a sink fails, and however: the sink is named, and no other operator, be it the one that ran last.
#[test]
fn what_a_sink_does_is_blamed_on_that_sink() {
    for (call, panics) in
        ["commit", "flush", "close"].into_iter().flat_map(|call| [false, true].map(|panics| (call, panics)))
    {
        let behind =
            |job: &str| Job::new(job).source(from_iter(|| 0..20_000u64)).rebalance().named("numbers");
        let (left, right) = behind("two").fork();
        let _ = left.map(|n| n).sink(for_each(|_| ()));
        let job = right.filter(|_| true).named("right").sink(Faulty { call, panics });
        match job.run_with(&config(ROOMY)).unwrap_err() {
            JobError::Run(RunError::Fault { position, fault, .. }) if !panics => {
                assert!(fault.to_string().contains("no more room"), "{fault}");
                assert_eq!(position.operator, "sink of `right`", "{call}");
            }
            JobError::Run(RunError::Panic { position, panicked, .. }) if panics => {
                assert_eq!(panicked.message, "user code");
                assert_eq!(position.operator, "sink of `right`", "{call}");
            }
            other => panic!("{call}: {other:?}"),
        }
    }
}

/// Whoever holds a sink hears how the job has ended.
#[test]
fn those_who_wait_for_rows_hear_of_a_failure() {
    use pelton::Outcome;
    use pelton::sinks::{NoRow, subscribe};
    let ((rows, sink), collected) = (subscribe(), collect());
    let (left, right) = Job::new("told").source(numbers()).fork();
    let _ = left.map(fails).sink(sink);
    let running = right.sink(collected.clone()).start_with(&config(ROOMY)).unwrap();
    let mut last = None;
    let error = loop {
        match rows.recv(Duration::from_secs(60)) {
            Ok(row) => last = last.max(Some(row.row)),
            Err(NoRow::Ended(Outcome::Failed(error))) => break error.to_string(),
            Err(other) => panic!("{other}"),
        }
    };
    assert!(error.contains("user code") && last < Some(5_000), "{error}");
    assert!(rows.is_finished() && matches!(rows.outcome(), Some(Outcome::Failed(_))));
    let failed = running.wait().unwrap_err().to_string();
    assert_eq!(failed, error);
    assert!(matches!(collected.outcome(), Some(Outcome::Failed(error)) if error.to_string() == failed));

    let (rows, sink) = subscribe();
    let running = Job::new("stopped").source(numbers()).sink(sink).start_with(&config(ROOMY)).unwrap();
    rows.recv(Duration::from_secs(60)).unwrap();
    running.stop(Stop::Now);
    let end = loop {
        if let Err(end) = rows.recv(Duration::from_secs(60)) {
            break end;
        }
    };
    assert!(matches!(end, NoRow::Ended(Outcome::Stopped)), "{end}");
    running.wait().unwrap();

    let (rows, sink) = subscribe();
    Job::new("whole").source(from_iter(|| 0..3u64)).sink(sink).run_with(&config(ROOMY)).unwrap();
    (0..3).for_each(|n| assert_eq!(rows.recv(Duration::ZERO).unwrap().row, n));
    assert!(matches!(rows.recv(Duration::MAX), Err(NoRow::Ended(Outcome::Complete))));
}

/// Frames beside the ring are freed once, also when reading one was cut short.
#[test]
fn a_panic_amid_an_oversized_frame_is_reported() {
    panics(
        &Job::new("oversized")
            .source(numbers())
            .flat_map(|n| (0..100_000u64).take(if n == 10 { 100_000 } else { 1 }))
            .rebalance()
            .map(fails)
            .sink(for_each(|_| ())),
        "source 0 > flat_map > rebalance",
    );
}

#[test]
fn an_aggregate_that_panics_while_it_makes_a_value_leaves_a_sound_table() {
    #[derive(Clone)]
    struct Fails;
    impl Aggregate<u64> for Fails {
        type Item = ();
        type Acc = Vec<u64>;
        type Out = ();
        fn item(&self, _: &u64) {}
        fn empty(&self) -> Vec<u64> {
            panic!("user code")
        }
        fn add(&self, _: &mut Vec<u64>, (): ()) {}
        fn merge(&self, _: &mut Vec<u64>, _: &Vec<u64>) {}
        fn finish(&self, _: &Vec<u64>) {}
    }
    panics(
        &Job::new("empty")
            .source(numbers())
            .event_time(time, in_order())
            .key_by(|n| n.to_string())
            .window(tumbling(secs(1)))
            .aggregate(Fails)
            .sink(for_each(|_| ())),
        "source 0 > event_time > window",
    );
}

#[test]
fn a_job_that_cannot_be_is_refused_at_the_start() {
    let message = |job: &Job| job.run_with(&config(ROOMY)).unwrap_err().to_string();
    assert!(message(&Job::new("empty")).contains("no source"));

    let job = Job::new("open");
    let _ = job.source(numbers()).map(|n| n);
    assert!(
        message(&job).contains("`source 0` ends nowhere")
            || message(&job).contains("`source 0 > map` ends nowhere")
    );

    let job = Job::new("clock");
    let late =
        job.source(numbers()).rebalance().ingestion_time().key_by(|n| *n).window(tumbling(secs(1))).count();
    assert!(message(&late.sink(for_each(|_| ()))).contains("`.ingestion_time()`"));

    let idle = in_order().idle_after(secs(1));
    let job = Job::new("idle").source(numbers()).rebalance().event_time(time, idle).sink(for_each(|_| ()));
    assert!(message(&job).contains("`.idle_after(..)`"));

    // It would wait for a source that cannot be heard there, for ever.
    let job = Job::new("source")
        .source(numbers())
        .rebalance()
        .event_time(time, from_source())
        .sink(for_each(|_| ()));
    assert!(message(&job).contains("`from_source()`"));

    let job = Job::new("small").source(numbers()).rebalance().sink(for_each(|_| ()));
    assert!(matches!(job.run_with(&config(32 * 1024)), Err(JobError::Memory { rings: 4, .. })));
}

#[test]
fn a_job_without_end_stops_when_told_to() {
    for how in [Stop::Now, Stop::Drain] {
        let rows = fold(
            (0u64, 0u64),
            |acc, row: Windowed<u64, u64>| *acc = (acc.0 + 1, acc.1 + row.value),
            |a, b| (a.0 + b.0, a.1 + b.1),
        );
        let job = Job::new("endless")
            .source(numbers())
            .event_time(time, in_order())
            .key_by(|n| n % 100)
            .window(tumbling(Duration::from_micros(10)))
            .count()
            .sink(rows.clone());
        let running = job.start_with(&config(ROOMY)).unwrap();
        while running.progress().total.windows < 10 {
            std::thread::yield_now();
        }
        running.stop(how);
        let progress = running.wait().unwrap();
        if how == Stop::Drain {
            let (_, counted) = rows.take();
            assert_eq!(counted, progress.total.records_in, "what was taken in came out");
        }
    }
}

#[test]
fn a_channel_says_when_its_job_has_gone() {
    use pelton::sources::SendError;
    let (sender, source) = channel(4);
    let running =
        Job::new("gone").source(source).sink(for_each(|_: u64| ())).start_with(&config(ROOMY)).unwrap();
    sender.send(1).unwrap();
    running.stop(Stop::Now);
    running.wait().unwrap();
    assert_eq!(sender.try_send(2), Err(SendError::Closed(2)));
    assert_eq!(sender.send(3), Err(SendError::Closed(3)), "it must not wait for room that nobody makes");
}

/// What was sent before a drain was heard of is taken in, and what comes later is given back.
#[test]
fn a_drain_takes_in_what_a_channel_has() {
    use pelton::sources::SendError;
    for driver in [DriverKind::Threads, DriverKind::Glommio] {
        let (sender, source) = channel(10_000);
        let total = fold(0u64, |sum, n: u64| *sum += n, |a, b| a + b);
        let job = Job::new("drained").source(source).rebalance().map(|n: u64| n).sink(total.clone());
        let running = match job.start_with(&Config { driver, ..config(ROOMY) }) {
            Err(JobError::Start(pelton::StartError::IoUring(_))) => continue,
            started => started.unwrap(),
        };
        let mut sent = 0;
        (1..=4_000).for_each(|n| sent = sender.send(n).map(|()| n).unwrap());
        running.stop(Stop::Drain);
        while sender.send(sent + 1).is_ok() {
            sent += 1;
        }
        assert_eq!(sender.send(7), Err(SendError::Closed(7)));
        running.wait().unwrap();
        assert_eq!(total.take(), sent * (sent + 1) / 2);
    }
}

#[test]
fn sizes_that_no_job_can_run_with_are_errors() {
    let job = || Job::new("sizes").source(from_iter(|| 0..3u64)).sink(for_each(|_: u64| ()));
    let good = config(ROOMY);
    for bad in [
        Config { shards: 0, ..good.clone() },
        Config { shards: 65_536, ..good.clone() },
        Config { key_groups: 1, ..good.clone() },
        Config { ring_bytes: 100_000, ..good.clone() },
        Config { ring_bytes: 64, ..good.clone() },
    ] {
        let error = job().run_with(&bad).unwrap_err();
        assert!(matches!(error, JobError::Size { .. }), "{error}");
    }
    job().run_with(&good).unwrap();
}

#[pelton::record(key)]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Account {
    bank: String,
    number: u32,
}

/// A sum that its type cannot hold is an error with the operator, the key and the sum, and no row of it is shown; with one window or with several panes,
/// alone or among others.
#[test]
fn a_sum_that_does_not_fit_stops_the_job_by_name() {
    let account = |n: &u64| Account { bank: format!("bank {}", n % 2), number: (*n % 3) as u32 };
    let huge = |n: &u64| if *n % 6 == 5 { u64::MAX / 3 } else { 1 };
    let windows = [
        tumbling(Duration::from_nanos(1_000)),
        hopping(Duration::from_nanos(1_000), Duration::from_nanos(300)),
    ];
    for window in windows {
        for several in [false, true] {
            let rows = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
            let kept = rows.clone();
            let stream = Job::new("sums")
                .source(from_iter(|| 0..600u64))
                .event_time(|n| EventTime::from_nanos(*n as i64), in_order())
                .key_by(account)
                .window(window);
            let job = match several {
                false => stream
                    .sum(huge)
                    .map(|row| (row.key, row.value))
                    .sink(for_each(move |row| kept.lock().unwrap().push(row))),
                true => stream
                    .aggregate((count(), sum(huge), max(huge)))
                    .map(|row| (row.key, row.value.1))
                    .sink(for_each(move |row| kept.lock().unwrap().push(row))),
            };
            let error = job.run_with(&config(ROOMY)).unwrap_err().to_string();
            assert!(error.contains("key Account { bank: \"bank 1\", number: 2 }: a sum of "), "{error}");
            assert!(error.contains(" does not fit into `u64`: sum `i128`s"), "{error}");
            assert!(error.contains("source 0 > event_time > window"), "{error}");
            let rows = rows.lock().unwrap();
            assert!(rows.iter().all(|(key, _)| *key != account(&5)), "{rows:?}");
        }
        // The way out that the message names.
        let rows = collect();
        Job::new("wide")
            .source(from_iter(|| 0..600u64))
            .event_time(|n| EventTime::from_nanos(*n as i64), in_order())
            .key_by(account)
            .window(tumbling(Duration::from_nanos(1_000)))
            .sum(move |n| i128::from(huge(n)))
            .sink(rows.clone())
            .run_with(&config(ROOMY))
            .unwrap();
        let sums: Vec<i128> = rows.take().into_iter().map(|row| row.value).collect();
        assert_eq!(sums.iter().max(), Some(&(100 * i128::from(u64::MAX / 3))));
    }
}

#[test]
fn small_integers_are_summed_in_a_wider_type() {
    let rows = collect();
    Job::new("ones")
        .source(from_iter(|| 0..300u64))
        .event_time(|n| EventTime::from_nanos(*n as i64), in_order())
        .key_by(|_| ())
        .window(tumbling(Duration::from_nanos(1_000)))
        .aggregate((sum(|_: &u64| 1u8), sum(|_: &u64| -1i8), avg(|_: &u64| 200u8)))
        .sink(rows.clone())
        .run_with(&config(ROOMY))
        .unwrap();
    assert_eq!(rows.take()[0].value, (300u64, -300i64, 200.0));
}
