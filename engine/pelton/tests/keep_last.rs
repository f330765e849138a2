//! Keep-last with a time to live, rows by a timer when a sensor is silent, and a window of an hour behind it in the same chain.

use pelton::prelude::*;

#[pelton::record]
#[derive(Clone, Debug, PartialEq)]
struct Reading {
    sensor: String,
    millis: i64,
    celsius: f64,
}

/// What is kept of the last reading of a sensor. A struct, so that fields may be added to it.
#[pelton::record]
#[derive(Clone, Debug, PartialEq)]
struct Last {
    celsius: f64,
}

#[pelton::record]
#[derive(Clone, Debug, PartialEq)]
enum Row {
    Read { sensor: String, celsius: f64, before: Option<f64>, in_last_minute: u64 },
    Silent { sensor: String },
}

impl Row {
    fn sensor(&self) -> &String {
        match self {
            Row::Read { sensor, .. } | Row::Silent { sensor } => sensor,
        }
    }
}

#[derive(Clone)]
struct KeepLast;

impl ProcessFunction<String, Reading> for KeepLast {
    // The last reading; how many readings there were at which time; when the sensor counts as silent.
    // The third one must not expire: a record that comes in one tick with the timer would find it gone, and the row would be lost.
    // It is cleared by the timer.
    type State = (Expiring<ValueState<Last>>, Expiring<MapState<EventTime, u64>>, ValueState<EventTime>);
    type Out = Row;

    fn state(&self) -> Self::State {
        (
            Expiring::after(Ttl::event_time(secs(300))),
            Expiring::after(Ttl::event_time(secs(60))),
            Default::default(),
        )
    }

    fn record(
        &self,
        reading: Reading,
        (mut last, mut minute, due): StateOf<'_, String, Self::State>,
        key: &mut KeyContext<'_, String, Self::Out>,
    ) {
        let now = key.time();
        // This reading may be ahead of the timer that is earlier than it.
        if let Some(at) = due.take_if(|due| *due <= now) {
            let row = Row::Silent { sensor: key.key().clone() };
            key.emit_at(at, row);
        }

        let before = last.as_ref().map(|last| last.celsius);
        *last = Some(Last { celsius: reading.celsius });

        let at_this_time = minute.get(&now).copied().unwrap_or(0);
        minute.put(now, at_this_time + 1);
        let in_last_minute: u64 = minute.iter().map(|(_, readings)| readings).sum();

        *due = Some(now + secs(600));
        key.set_timer(now + secs(600), 0);
        key.emit(Row::Read { sensor: reading.sensor, celsius: reading.celsius, before, in_last_minute });
    }

    fn timer(
        &self,
        timer: FiredTimer,
        (_last, _minute, due): StateOf<'_, String, Self::State>,
        key: &mut KeyContext<'_, String, Self::Out>,
    ) {
        // Timers of earlier readings fire too: only the last one counts.
        if due.take_if(|due| *due == timer.at).is_some() {
            let row = Row::Silent { sensor: key.key().clone() };
            key.emit(row);
        }
    }
}

fn readings() -> Vec<Reading> {
    [
        ("a", 0, 20.0),
        ("b", 10_000, 50.0),
        ("b", 20_000, 51.0),
        ("a", 30_000, 21.0),
        ("a", 29_500, 20.5), // half a second out of order
        ("a", 60_000, 22.0),
        ("a", 359_000, 23.0),
        ("b", 610_000, 52.0),
        ("a", 659_000, 24.0),
        ("b", 1_300_000, 53.0),
        ("a", 3_000_000, 25.0),
    ]
    .into_iter()
    .map(|(sensor, millis, celsius)| Reading { sensor: sensor.to_owned(), millis, celsius })
    .collect()
}

fn read(sensor: &str, celsius: f64, before: Option<f64>, in_last_minute: u64) -> Row {
    Row::Read { sensor: sensor.to_owned(), celsius, before, in_last_minute }
}

fn silent(sensor: &str) -> Row {
    Row::Silent { sensor: sensor.to_owned() }
}

/// The rows of the operator, by sensor and of each in their order; and (start of the hour in seconds, sensor, rows).
fn run(config: &Config) -> (Vec<Row>, Vec<(i64, String, u64)>) {
    let kept = |job: &Job| {
        job.source(from_vec(readings()))
            .uid("readings")
            .event_time(|reading| EventTime::from_millis(reading.millis), out_of_order(secs(1)))
            .key_by(|reading| reading.sensor.clone())
            .sort_by(|left, right| left.celsius.total_cmp(&right.celsius))
            .uid("in-order")
            .keyed_as(|reading| reading.sensor.clone())
            .process(KeepLast)
            .uid("keep-last")
    };

    let rows = collect();
    let job = Job::new("keep last");
    let progress =
        kept(&job).sink_with_uid("rows", rows.clone()).run_with(config).expect("the job of the rows");
    assert_eq!((progress.total.late, progress.total.early), (0, 0));

    let counts = collect();
    let job = Job::new("rows per hour");
    let progress = kept(&job)
        .keyed_as(|row| row.sensor().clone())
        .window(tumbling(secs(3_600)))
        .count()
        .uid("per-hour")
        .map(|row| (row.window.start.as_secs(), row.key, row.value))
        .sink_with_uid("counts", counts.clone())
        .run_with(config)
        .expect("the job of the counts");
    assert_eq!((progress.total.late, progress.total.early), (0, 0));

    // Among shards there is no order. The sort is stable, and a sensor is on one shard.
    let mut rows: Vec<Row> = rows.take();
    rows.sort_by(|left, right| left.sensor().cmp(right.sensor()));
    let mut counts: Vec<(i64, String, u64)> = counts.take();
    counts.sort();
    (rows, counts)
}

fn check(config: &Config) {
    let (rows, counts) = run(config);
    let expected = vec![
        read("a", 20.0, None, 1),       // 0 s
        read("a", 20.5, Some(20.0), 2), // 29.5 s
        read("a", 21.0, Some(20.5), 3), // 30 s
        read("a", 22.0, Some(21.0), 3), // 60 s: the reading of 0 s is a minute old, and counts no more
        read("a", 23.0, Some(22.0), 1), // 359 s: 299 s after the one before it
        read("a", 24.0, None, 1),       // 659 s: 300 s after the one before it
        silent("a"),                    // 1,259 s
        read("a", 25.0, None, 1),       // 3,000 s
        silent("a"),                    // 3,600 s, at the end of the input
        read("b", 50.0, None, 1),       // 10 s
        read("b", 51.0, Some(50.0), 2), // 20 s
        read("b", 52.0, None, 1),       // 610 s: 590 s, which is not silent yet
        silent("b"),                    // 1,210 s
        read("b", 53.0, None, 1),       // 1,300 s
        silent("b"),                    // 1,900 s
    ];
    assert_eq!(rows, expected);
    // a: seven readings and the silence of 1,259 s; that of 3,600 s is in the next hour. b: four readings and two silences.
    assert_eq!(counts, [(0, "a".to_owned(), 8), (0, "b".to_owned(), 6), (3_600, "a".to_owned(), 1)]);
}

#[test]
fn by_default() {
    check(&Config::default());
}

#[test]
fn on_any_number_of_shards() {
    for shards in [1, 2, 3, 5] {
        check(&Config { shards, ..Config::default() });
    }
}

#[test]
fn with_a_tick_for_each_record() {
    for shards in [1, 3] {
        let mut config = Config { shards, ..Config::default() };
        config.tick.records_max = 1;
        check(&config);
    }
}
